/* A stand-in for libnvidia-ml.so.1: plays back a scripted trace, and fails on demand.
 *
 * The folder named by NVML_STANDIN holds two files, both written by driver.py:
 *   trace    text, one item a line (see trace.py), parsed by the nvmlInit that opens a session;
 *   control  struct control below, mapped shared, so that a test drives the clock and injects faults
 *            from outside of a running process.
 *
 * No lock is held while a call works or hangs: each call takes a reference on the session it began in.
 * Times are seconds from trace zero (double), or microseconds where the name ends in _us.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- The part of NVML's ABI that is played ------------------------------------------------------------------- */

typedef void *nvmlDevice_t;

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_RESET_REQUIRED = 16,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_GPU_NOT_FOUND = 28,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

enum { TOTAL_POWER_SAMPLES = 0, GPU_UTILIZATION_SAMPLES = 1 };
enum { VALUE_TYPE_UNSIGNED_INT = 1 };
enum { CLOCK_MEMORY = 2, CLOCK_KINDS = 4 };
enum { NO_INSTANCE = 0xFFFFFFFFu };

#define MEMORY_V2 0x02000028u
#define TEMPERATURE_V1 0x0100000Cu

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned gpu, memory;
} nvmlUtilization_t;

typedef union {
    unsigned number;
    unsigned long long bits;
} nvmlValue_t;

typedef struct {
    unsigned long long time_us;
    nvmlValue_t value;
} nvmlSample_t;

typedef struct {
    unsigned pid;
    unsigned long long time_us;
    unsigned sm_percent, memory_percent, encoder_percent, decoder_percent;
} nvmlProcessUtilizationSample_t;

typedef struct {
    unsigned pid;
    unsigned long long memory_bytes;
    unsigned gpu_instance, compute_instance;
} nvmlProcessInfo_t;

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned version, sensor;
    int celsius;
} nvmlTemperature_t;

/* ---- The control file ---------------------------------------------------------------------------------------- */

enum { MAX_GPUS = 32, MAX_SLOTS = 1024, MAX_QUERIES = 65536 };

enum feature {
    FEATURE_ALWAYS = 0,
    FEATURE_RING = 1 << 0,
    FEATURE_PROCESS_UTILIZATION = 1 << 1,
    FEATURE_ENERGY = 1 << 2,
    FEATURE_POWER = 1 << 3,
    FEATURE_TEMPERATURE = 1 << 4,
    FEATURE_MEMORY = 1 << 5,
    FEATURE_CLOCKS = 1 << 6,
    FEATURE_POWER_LIMIT = 1 << 7,
};

/* Mirrored by driver.py, field by field. */
struct control {
    _Atomic int64_t epoch_us;          /* CLOCK_REALTIME at trace zero */
    _Atomic int64_t zero_boottime_us;  /* CLOCK_BOOTTIME at trace zero */
    _Atomic int64_t frozen;            /* 1: the time is frozen_us, 0: it runs */
    _Atomic int64_t frozen_us;
    _Atomic int64_t wall_step_us;      /* added to every time stamp given out */
    _Atomic int64_t energy_from_us;    /* the trace time at which the energy counter read energy_base_mj */
    _Atomic int64_t energy_base_mj;
    _Atomic int64_t kernel_version;    /* the last number of the version of the driver in the kernel */
    _Atomic int64_t driver_present;
    _Atomic int64_t driver_generation; /* goes up each time the driver goes away */
    _Atomic int64_t garbage;
    _Atomic int64_t hide_processes;
    _Atomic int64_t unsupported;       /* a mask of enum feature */
    _Atomic int64_t calls;             /* counted here */
    _Atomic int64_t gpu_error[MAX_GPUS];
    _Atomic int64_t hang_until_us[MAX_GPUS]; /* CLOCK_BOOTTIME */
    _Atomic int64_t pids[MAX_SLOTS];         /* 0: the slot has no process */
    _Atomic int64_t query_count[MAX_GPUS];   /* counted here */
    _Atomic int64_t query_us[MAX_GPUS][MAX_QUERIES];
};

/* ---- The trace ----------------------------------------------------------------------------------------------- */

enum { RING_DEPTH = 120 };
static const double NOTHING = 1e-9; /* shares and busy seconds below this are rounding errors */

struct burst {
    int gpu, slot;
    double start, end, share;
};

struct hold {
    int gpu, slot;
    double start, end;
    unsigned long long memory_bytes;
    char kind; /* its first letter: compute, graphics, mps */
};

/* A step function of time and its integral: rate[i] from time[i] on, integral[i] up to time[i]. */
struct series {
    size_t count;
    double *time, *rate, *integral;
};

struct slot_use {
    int slot;
    struct series busy;
};

struct gpu {
    char uuid[96], name[96], pci[32];
    unsigned long long memory_total;
    double idle_watts, peak_watts;
    struct series busy;
    struct slot_use *uses;
    size_t use_count;
};

struct session {
    atomic_int references;
    char folder[PATH_MAX];
    struct control *control;
    int64_t generation;
    double period;
    int gpu_count;
    struct gpu gpus[MAX_GPUS];
    struct hold *holds;
    size_t hold_count;
    struct burst *bursts;
    size_t burst_count;
};

struct edge {
    double time, change;
};

static int compare_edges(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;
    return (a->time > b->time) - (a->time < b->time);
}

static int compare_bursts(const void *left, const void *right)
{
    const struct burst *a = left, *b = right;
    return a->gpu != b->gpu ? a->gpu - b->gpu : a->slot - b->slot;
}

/* Memory that is there, or the end of the process: a test has no use for half a trace. */
static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        abort();
    return memory;
}

static struct series series_of(const struct burst *bursts, size_t count)
{
    struct edge *edges = allocate(2 * count, sizeof *edges);
    for (size_t i = 0; i < count; i++) {
        edges[2 * i] = (struct edge){bursts[i].start, bursts[i].share};
        edges[2 * i + 1] = (struct edge){bursts[i].end, -bursts[i].share};
    }
    qsort(edges, 2 * count, sizeof *edges, compare_edges);
    struct series series = {
        .count = 2 * count,
        .time = allocate(2 * count, sizeof(double)),
        .rate = allocate(2 * count, sizeof(double)),
        .integral = allocate(2 * count, sizeof(double)),
    };
    double rate = 0, integral = 0;
    for (size_t i = 0; i < series.count; i++) {
        integral += i ? rate * (edges[i].time - edges[i - 1].time) : 0;
        rate += edges[i].change;
        rate = fabs(rate) < NOTHING ? 0 : rate;
        series.time[i] = edges[i].time;
        series.rate[i] = rate;
        series.integral[i] = integral;
    }
    free(edges);
    return series;
}

/* The number of steps that begin at `time` or before. */
static size_t steps_until(const struct series *series, double time)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (series->time[middle] <= time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double rate_at(const struct series *series, double time)
{
    size_t steps = steps_until(series, time);
    return steps ? series->rate[steps - 1] : 0;
}

static double integral_until(const struct series *series, double time)
{
    size_t steps = steps_until(series, time);
    if (!steps)
        return 0;
    return series->integral[steps - 1] + series->rate[steps - 1] * (time - series->time[steps - 1]);
}

static double integral_between(const struct series *series, double from, double to)
{
    return integral_until(series, to) - integral_until(series, from);
}

static void free_series(struct series *series)
{
    free(series->time);
    free(series->rate);
    free(series->integral);
}

/* `items`, moved if it was full: its room doubles from 64 on. */
static void *with_room(void *items, size_t count, size_t size)
{
    bool full = count == 0 || (count >= 64 && (count & (count - 1)) == 0);
    void *grown = full ? realloc(items, (count ? 2 * count : 64) * size) : items;
    if (!grown)
        abort();
    return grown;
}

static bool parse_gpu(struct session *session, const char *line)
{
    struct gpu gpu = {0};
    if (session->gpu_count >= MAX_GPUS)
        return false;
    if (sscanf(line, "gpu %95s %31s %llu %lf %lf %95[^\n]", gpu.uuid, gpu.pci, &gpu.memory_total, &gpu.idle_watts,
               &gpu.peak_watts, gpu.name) != 6)
        return false;
    session->gpus[session->gpu_count++] = gpu;
    return true;
}

static bool known(const struct session *session, int gpu, int slot)
{
    return gpu >= 0 && gpu < session->gpu_count && slot >= 0 && slot < MAX_SLOTS;
}

static bool parse_hold(struct session *session, const char *line)
{
    struct hold hold;
    if (sscanf(line, "hold %d %d %lf %lf %llu %c", &hold.gpu, &hold.slot, &hold.start, &hold.end, &hold.memory_bytes,
               &hold.kind) != 6 || !known(session, hold.gpu, hold.slot))
        return false;
    session->holds = with_room(session->holds, session->hold_count, sizeof hold);
    session->holds[session->hold_count++] = hold;
    return true;
}

static bool parse_burst(struct session *session, const char *line)
{
    struct burst burst;
    if (sscanf(line, "burst %d %d %lf %lf %lf", &burst.gpu, &burst.slot, &burst.start, &burst.end, &burst.share) != 5 ||
        !known(session, burst.gpu, burst.slot))
        return false;
    session->bursts = with_room(session->bursts, session->burst_count, sizeof burst);
    session->bursts[session->burst_count++] = burst;
    return true;
}

static bool parse_line(struct session *session, const char *line)
{
    switch (line[0]) {
    case 'p':
        return sscanf(line, "period %lf", &session->period) == 1;
    case 'g':
        return parse_gpu(session, line);
    case 'h':
        return parse_hold(session, line);
    case 'b':
        return parse_burst(session, line);
    default:
        return false;
    }
}

/* The bursts of one GPU, sorted by slot: one series for the GPU, and one for each slot. */
static void index_gpu(struct gpu *gpu, const struct burst *bursts, size_t count)
{
    gpu->busy = series_of(bursts, count);
    gpu->uses = allocate(count, sizeof *gpu->uses);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && bursts[to].slot == bursts[from].slot;)
            to++;
        gpu->uses[gpu->use_count++] = (struct slot_use){bursts[from].slot, series_of(bursts + from, to - from)};
    }
}

static void index_bursts(struct session *session)
{
    const struct burst *bursts = session->bursts;
    if (session->burst_count)
        qsort(session->bursts, session->burst_count, sizeof *bursts, compare_bursts);
    size_t from = 0;
    for (int index = 0; index < session->gpu_count; index++) {
        size_t to = from;
        while (to < session->burst_count && bursts[to].gpu == index)
            to++;
        index_gpu(&session->gpus[index], bursts + from, to - from);
        from = to;
    }
}

static bool load_trace(struct session *session)
{
    char path[PATH_MAX + 8], line[512];
    snprintf(path, sizeof path, "%s/trace", session->folder);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool good = true;
    while (good && fgets(line, sizeof line, file))
        good = parse_line(session, line);
    fclose(file);
    index_bursts(session);
    return good && session->period > 0;
}

/* ---- Clocks -------------------------------------------------------------------------------------------------- */

static int64_t boottime_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int64_t trace_now_us(const struct control *control)
{
    return control->frozen ? control->frozen_us : boottime_us() - control->zero_boottime_us;
}

/* ---- Sessions ------------------------------------------------------------------------------------------------ */

static pthread_mutex_t session_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below, for moments */
static struct session *current_session;
static int initialisations;

static int64_t library_version; /* the kernel's when the loader mapped this library: set once, never after */

static struct control *map_control(const char *folder)
{
    char path[PATH_MAX + 8];
    struct stat status;
    snprintf(path, sizeof path, "%s/control", folder);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return NULL;
    void *mapped = MAP_FAILED;
    if (fstat(file, &status) == 0 && status.st_size == (off_t)sizeof(struct control))
        mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return mapped == MAP_FAILED ? NULL : mapped;
}

__attribute__((constructor)) static void read_library_version(void)
{
    const char *folder = getenv("NVML_STANDIN");
    struct control *control = folder ? map_control(folder) : NULL;
    if (!control)
        return;
    library_version = control->kernel_version;
    munmap(control, sizeof *control);
}

static void release(struct session *session)
{
    if (atomic_fetch_sub(&session->references, 1) > 1)
        return;
    for (int index = 0; index < session->gpu_count; index++) {
        struct gpu *gpu = &session->gpus[index];
        for (size_t use = 0; use < gpu->use_count; use++)
            free_series(&gpu->uses[use].busy);
        free_series(&gpu->busy);
        free(gpu->uses);
    }
    free(session->holds);
    free(session->bursts);
    munmap(session->control, sizeof *session->control);
    free(session);
}

static struct session *acquire(void)
{
    pthread_mutex_lock(&session_lock);
    struct session *session = current_session;
    if (session)
        atomic_fetch_add(&session->references, 1);
    pthread_mutex_unlock(&session_lock);
    return session;
}

static nvmlReturn_t kernel_state(const struct control *control)
{
    if (!control->driver_present)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    return control->kernel_version == library_version ? NVML_SUCCESS : NVML_ERROR_LIB_RM_VERSION_MISMATCH;
}

static nvmlReturn_t open_session(const char *folder, struct session **opened)
{
    struct control *control = map_control(folder);
    if (!control)
        return NVML_ERROR_UNKNOWN;
    struct session *session = allocate(1, sizeof *session);
    session->references = 1;
    session->control = control;
    session->generation = control->driver_generation;
    snprintf(session->folder, sizeof session->folder, "%s", folder);
    control->calls++;
    nvmlReturn_t result = kernel_state(control);
    if (result == NVML_SUCCESS && !load_trace(session))
        result = NVML_ERROR_UNKNOWN;
    if (result == NVML_SUCCESS)
        *opened = session;
    else
        release(session);
    return result;
}

/* An initialisation within another counts, and changes nothing else, unless a test moved on to another folder. */
static nvmlReturn_t initialise_locked(const char *folder)
{
    struct session *before = current_session;
    if (before && strcmp(before->folder, folder) == 0) {
        before->control->calls++;
        nvmlReturn_t result = kernel_state(before->control);
        initialisations += result == NVML_SUCCESS;
        return result;
    }
    nvmlReturn_t result = open_session(folder, &current_session);
    if (result != NVML_SUCCESS)
        return result;
    initialisations = 1;
    if (before)
        release(before);
    return NVML_SUCCESS;
}

static nvmlReturn_t initialise(void)
{
    const char *folder = getenv("NVML_STANDIN");
    if (!folder)
        return NVML_ERROR_UNKNOWN;
    pthread_mutex_lock(&session_lock);
    nvmlReturn_t result = initialise_locked(folder);
    pthread_mutex_unlock(&session_lock);
    return result;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return initialise();
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    return initialise();
}

static nvmlReturn_t shutdown_locked(void)
{
    if (!current_session)
        return NVML_ERROR_UNINITIALIZED;
    current_session->control->calls++;
    nvmlReturn_t kernel = kernel_state(current_session->control);
    if (--initialisations == 0) {
        release(current_session);
        current_session = NULL;
    }
    return kernel == NVML_ERROR_LIB_RM_VERSION_MISMATCH ? kernel : NVML_SUCCESS;
}

nvmlReturn_t nvmlShutdown(void)
{
    pthread_mutex_lock(&session_lock);
    nvmlReturn_t result = shutdown_locked();
    pthread_mutex_unlock(&session_lock);
    return result;
}

/* ---- Calls --------------------------------------------------------------------------------------------------- */

struct call {
    struct session *session;
    struct control *control;
    const struct gpu *gpu;
    int index;
    int64_t now_us;
    double now;
};

static char handles[MAX_GPUS]; /* a device handle is the address of its entry */

static nvmlReturn_t driver_state(const struct session *session, nvmlReturn_t while_gone)
{
    nvmlReturn_t kernel = kernel_state(session->control);
    if (kernel == NVML_ERROR_DRIVER_NOT_LOADED)
        return while_gone;
    if (kernel == NVML_SUCCESS && session->generation != session->control->driver_generation)
        return NVML_ERROR_UNINITIALIZED;
    return kernel;
}

/* Every call that begins is finished, whatever its beginning returned. */
static nvmlReturn_t begin(struct call *call)
{
    *call = (struct call){.session = acquire()};
    if (!call->session)
        return NVML_ERROR_UNINITIALIZED;
    call->control = call->session->control;
    call->control->calls++;
    return NVML_SUCCESS;
}

static nvmlReturn_t finish(struct call *call, nvmlReturn_t result)
{
    if (call->session)
        release(call->session);
    return result;
}

static nvmlReturn_t begin_system(struct call *call)
{
    nvmlReturn_t result = begin(call);
    return result == NVML_SUCCESS ? driver_state(call->session, NVML_ERROR_UNINITIALIZED) : result;
}

static void wait_while_hung(const struct control *control, int index)
{
    const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};
    while (boottime_us() < control->hang_until_us[index])
        nanosleep(&nap, NULL);
}

/* Directs a call that has begun at one GPU. */
static nvmlReturn_t reach(struct call *call, int index, enum feature feature)
{
    if (index < 0 || index >= call->session->gpu_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    wait_while_hung(call->control, index);
    nvmlReturn_t result = driver_state(call->session, NVML_ERROR_GPU_IS_LOST);
    if (result != NVML_SUCCESS)
        return result;
    if (call->control->gpu_error[index])
        return (nvmlReturn_t)call->control->gpu_error[index];
    if (call->control->unsupported & feature)
        return NVML_ERROR_NOT_SUPPORTED;
    call->index = index;
    call->gpu = &call->session->gpus[index];
    call->now_us = trace_now_us(call->control);
    call->now = (double)call->now_us * 1e-6;
    return NVML_SUCCESS;
}

static nvmlReturn_t begin_device(struct call *call, nvmlDevice_t device, enum feature feature)
{
    nvmlReturn_t result = begin(call);
    if (result != NVML_SUCCESS)
        return result;
    uintptr_t offset = (uintptr_t)device - (uintptr_t)handles;
    return reach(call, offset < MAX_GPUS ? (int)offset : -1, feature);
}

static nvmlReturn_t copy_text(char *buffer, unsigned length, const char *text)
{
    if (length <= strlen(text))
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

/* A call that answers one number about one device. */
#define DEVICE_NUMBER(function, type, feature, expression)             \
    nvmlReturn_t function(nvmlDevice_t device, type *value)            \
    {                                                                  \
        struct call call;                                              \
        nvmlReturn_t result = begin_device(&call, device, feature);    \
        if (result == NVML_SUCCESS)                                    \
            *value = (type)(expression);                               \
        return finish(&call, result);                                  \
    }

/* ---- The driver ---------------------------------------------------------------------------------------------- */

const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
        return "Not Supported";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_GPU_IS_LOST:
        return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
        return "GPU requires reset";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
        return "Argument version mismatch";
    case NVML_ERROR_GPU_NOT_FOUND:
        return "GPU not found";
    default:
        return "Unknown Error";
    }
}

static nvmlReturn_t answer_version(const char *format, char *buffer, unsigned length)
{
    struct call call;
    char version[64];
    nvmlReturn_t result = begin_system(&call);
    snprintf(version, sizeof version, format, (int)library_version);
    if (result == NVML_SUCCESS)
        result = copy_text(buffer, length, version);
    return finish(&call, result);
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *buffer, unsigned length)
{
    return answer_version("570.86.%d", buffer, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *buffer, unsigned length)
{
    return answer_version("12.570.86.%d", buffer, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    if (result == NVML_SUCCESS)
        *version = 12080;
    return finish(&call, result);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

/* ---- Which devices there are --------------------------------------------------------------------------------- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    if (result == NVML_SUCCESS)
        *count = (unsigned)call.session->gpu_count;
    return finish(&call, result);
}

static nvmlReturn_t answer_handle(struct call *call, int index, nvmlDevice_t *device)
{
    nvmlReturn_t result = reach(call, index, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *device = &handles[index];
    return finish(call, result);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin(&call);
    if (result != NVML_SUCCESS)
        return finish(&call, result);
    return answer_handle(&call, index < MAX_GPUS ? (int)index : -1, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    for (int index = 0; result == NVML_SUCCESS && index < call.session->gpu_count; index++)
        if (strcmp(call.session->gpus[index].uuid, uuid) == 0)
            return answer_handle(&call, index, device);
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_FOUND : result);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    for (int index = 0; result == NVML_SUCCESS && index < call.session->gpu_count; index++)
        if (strcasecmp(call.session->gpus[index].pci, bus_id) == 0)
            return answer_handle(&call, index, device);
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_FOUND : result);
}

DEVICE_NUMBER(nvmlDeviceGetIndex, unsigned, FEATURE_ALWAYS, call.index)

/* Not the index, as on many real boards. */
DEVICE_NUMBER(nvmlDeviceGetMinorNumber, unsigned, FEATURE_ALWAYS, call.session->gpu_count - 1 - call.index)

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? copy_text(uuid, length, call.gpu->uuid) : result);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? copy_text(name, length, call.gpu->name) : result);
}

static nvmlPciInfo_t pci_info(const struct gpu *gpu)
{
    nvmlPciInfo_t info = {.device_id = 0x233010DE, .subsystem_id = 0x16C110DE};
    sscanf(gpu->pci, "%x:%x:%x", &info.domain, &info.bus, &info.device);
    snprintf(info.bus_id_legacy, sizeof info.bus_id_legacy, "%04X:%02X:%02X.0", info.domain & 0xFFFF, info.bus & 0xFF,
             info.device & 0xFF);
    snprintf(info.bus_id, sizeof info.bus_id, "%s", gpu->pci);
    return info;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *info)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *info = pci_info(call.gpu);
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *mode, unsigned *pending_mode)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *mode = *pending_mode = 0;
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        *major = 9;
        *minor = 0;
    }
    return finish(&call, result);
}

DEVICE_NUMBER(nvmlDeviceGetPersistenceMode, unsigned, FEATURE_ALWAYS, 1)
DEVICE_NUMBER(nvmlDeviceGetComputeMode, unsigned, FEATURE_ALWAYS, 0)

/* ---- Memory -------------------------------------------------------------------------------------------------- */

static const unsigned long long RESERVED_BYTES = 600ull << 20;

static bool held_now(const struct call *call, const struct hold *hold)
{
    return hold->gpu == call->index && hold->start <= call->now && call->now < hold->end;
}

static unsigned long long held_bytes(const struct call *call)
{
    unsigned long long bytes = 0;
    for (size_t i = 0; i < call->session->hold_count; i++)
        if (held_now(call, &call->session->holds[i]))
            bytes += call->session->holds[i].memory_bytes;
    return bytes;
}

static unsigned long long free_bytes(const struct call *call)
{
    unsigned long long taken = held_bytes(call) + RESERVED_BYTES;
    return taken < call->gpu->memory_total ? call->gpu->memory_total - taken : 0;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_MEMORY);
    if (result == NVML_SUCCESS)
        *memory = (nvmlMemory_t){call.gpu->memory_total, free_bytes(&call), held_bytes(&call) + RESERVED_BYTES};
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_MEMORY);
    if (result == NVML_SUCCESS && memory->version != MEMORY_V2)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        *memory = (nvmlMemory_v2_t){MEMORY_V2, call.gpu->memory_total, RESERVED_BYTES, free_bytes(&call),
                                    held_bytes(&call)};
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *memory = (nvmlMemory_t){128ull << 30, 128ull << 30, 0};
    return finish(&call, result);
}

/* ---- Power, heat, clocks, links ------------------------------------------------------------------------------ */

static double power_watts(const struct call *call)
{
    const struct gpu *gpu = call->gpu;
    return gpu->idle_watts + (gpu->peak_watts - gpu->idle_watts) * rate_at(&gpu->busy, call->now);
}

static double joules_between(const struct gpu *gpu, double from, double to)
{
    return gpu->idle_watts * (to - from) +
           (gpu->peak_watts - gpu->idle_watts) * integral_between(&gpu->busy, from, to);
}

static long long energy_millijoules(const struct call *call)
{
    double from = (double)call->control->energy_from_us * 1e-6;
    return call->control->energy_base_mj + llround(1000 * joules_between(call->gpu, from, call->now));
}

static double celsius(const struct call *call)
{
    return 30 + 45 * rate_at(&call->gpu->busy, call->now);
}

DEVICE_NUMBER(nvmlDeviceGetPowerUsage, unsigned, FEATURE_POWER, lround(1000 * power_watts(&call)))
DEVICE_NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, FEATURE_POWER_LIMIT, lround(1000 * call.gpu->peak_watts))
DEVICE_NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, FEATURE_POWER_LIMIT, lround(1000 * call.gpu->peak_watts))
DEVICE_NUMBER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, FEATURE_ENERGY, energy_millijoules(&call))
DEVICE_NUMBER(nvmlDeviceGetPerformanceState, unsigned, FEATURE_ALWAYS, 0)
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, FEATURE_ALWAYS, 0)
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, FEATURE_ALWAYS, 0)

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *degrees)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_TEMPERATURE);
    if (result == NVML_SUCCESS && sensor != 0)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *degrees = (unsigned)lround(celsius(&call));
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_TEMPERATURE);
    if (result == NVML_SUCCESS && temperature->version != TEMPERATURE_V1)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        temperature->celsius = (int)lround(celsius(&call));
    return finish(&call, result);
}

static nvmlReturn_t answer_clock(nvmlDevice_t device, unsigned kind, bool highest, unsigned *megahertz)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_CLOCKS);
    if (result == NVML_SUCCESS && kind >= CLOCK_KINDS)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS && kind == CLOCK_MEMORY)
        *megahertz = 2619;
    else if (result == NVML_SUCCESS)
        *megahertz = highest || rate_at(&call.gpu->busy, call.now) > 0 ? 1980 : 345;
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, unsigned kind, unsigned *megahertz)
{
    return answer_clock(device, kind, false, megahertz);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, unsigned kind, unsigned *megahertz)
{
    return answer_clock(device, kind, true, megahertz);
}

/* No fan, as on every board that a server's own fans cool. */
nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned *percent)
{
    struct call call;
    (void)percent;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_SUPPORTED : result);
}

/* Zero: the link is never used. Unlike the real call, this one returns at once. */
nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned counter, unsigned *kilobytes_per_second)
{
    struct call call;
    (void)counter;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *kilobytes_per_second = 0;
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned kind, unsigned counter,
                                         unsigned long long *errors)
{
    struct call call;
    (void)kind;
    (void)counter;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *errors = 0;
    return finish(&call, result);
}

/* ---- Utilisation --------------------------------------------------------------------------------------------- */

/* Sample k is taken at trace time k * period, over the period that ends there. */
struct window {
    int64_t first, last; /* sample numbers, both within */
    int64_t count;       /* last - first + 1 */
};

static int64_t newest_sample(const struct call *call)
{
    return (int64_t)floor(((double)call->now_us + 0.5) / (call->session->period * 1e6));
}

static int64_t stamp_us(const struct call *call, int64_t sample)
{
    return call->control->epoch_us + call->control->wall_step_us +
           llround((double)sample * call->session->period * 1e6);
}

static struct window samples_since(const struct call *call, unsigned long long last_seen_us)
{
    int64_t last_seen = last_seen_us < INT64_MAX ? (int64_t)last_seen_us : INT64_MAX;
    int64_t last = newest_sample(call), first = last + 1;
    while (last - first + 1 < RING_DEPTH && stamp_us(call, first - 1) > last_seen)
        first--;
    return (struct window){first, last, last - first + 1};
}

static double window_busy(const struct call *call, const struct series *series, struct window window)
{
    double period = call->session->period;
    return integral_between(series, (double)(window.first - 1) * period, (double)window.last * period);
}

static unsigned window_percent(const struct call *call, double busy_seconds, struct window window)
{
    return (unsigned)lround(100 * busy_seconds / ((double)window.count * call->session->period));
}

static unsigned sample_percent(const struct call *call, int64_t sample)
{
    struct window one = {sample, sample, 1};
    return window_percent(call, window_busy(call, &call->gpu->busy, one), one);
}

static unsigned sample_milliwatts(const struct call *call, int64_t sample)
{
    double period = call->session->period;
    double joules = joules_between(call->gpu, (double)(sample - 1) * period, (double)sample * period);
    return (unsigned)lround(1000 * joules / period);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        unsigned percent = sample_percent(&call, newest_sample(&call));
        *utilization = (nvmlUtilization_t){percent, percent / 2};
    }
    return finish(&call, result);
}

static nvmlReturn_t answer_codec(nvmlDevice_t device, unsigned *percent, unsigned *period_us)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        *percent = 0;
        *period_us = (unsigned)lround(call.session->period * 1e6);
    }
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned *percent, unsigned *period_us)
{
    return answer_codec(device, percent, period_us);
}

nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned *percent, unsigned *period_us)
{
    return answer_codec(device, percent, period_us);
}

enum { RING_GARBAGE = 3 };
static const unsigned long long FAR_FUTURE_US = 9000000000000000ull; /* the year 2255 */

struct sample_buffer {
    nvmlSample_t *samples;
    unsigned capacity, count;
};

static void put_sample(struct sample_buffer *buffer, unsigned long long time_us, unsigned number)
{
    if (buffer->count == buffer->capacity)
        return;
    nvmlSample_t *sample = &buffer->samples[buffer->count++];
    sample->time_us = time_us;
    sample->value.bits = 0;
    sample->value.number = number;
}

/* Oldest first: what the buffer has no room for is newer than what it got, and comes with the next query. */
static void fill_samples(const struct call *call, unsigned kind, struct window window, struct sample_buffer *buffer)
{
    if (call->control->garbage) {
        put_sample(buffer, 0, 50);
        put_sample(buffer, (unsigned long long)stamp_us(call, window.last), 37100);
    }
    for (int64_t sample = window.first; sample <= window.last; sample++) {
        unsigned long long time_us = (unsigned long long)stamp_us(call, sample);
        bool busy = kind == GPU_UTILIZATION_SAMPLES;
        put_sample(buffer, time_us, busy ? sample_percent(call, sample) : sample_milliwatts(call, sample));
    }
    if (call->control->garbage)
        put_sample(buffer, FAR_FUTURE_US, 50);
}

static void log_query(const struct call *call)
{
    int64_t number = atomic_fetch_add(&call->control->query_count[call->index], 1);
    if (number < MAX_QUERIES)
        call->control->query_us[call->index][number] = call->now_us;
}

static nvmlReturn_t answer_samples(const struct call *call, unsigned kind, unsigned long long last_seen_us,
                                   unsigned *count, nvmlSample_t *samples)
{
    if (kind != GPU_UTILIZATION_SAMPLES && kind != TOTAL_POWER_SAMPLES)
        return NVML_ERROR_NOT_SUPPORTED;
    struct window window = samples_since(call, last_seen_us);
    if (window.count == 0)
        return NVML_ERROR_NOT_FOUND;
    if (!samples) {
        *count = (unsigned)window.count + (call->control->garbage ? RING_GARBAGE : 0);
        return NVML_SUCCESS;
    }
    struct sample_buffer buffer = {samples, *count, 0};
    fill_samples(call, kind, window, &buffer);
    *count = buffer.count;
    if (kind == GPU_UTILIZATION_SAMPLES)
        log_query(call);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, unsigned kind, unsigned long long last_seen_us,
                                  unsigned *value_type, unsigned *count, nvmlSample_t *samples)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_RING);
    if (result == NVML_SUCCESS) {
        *value_type = VALUE_TYPE_UNSIGNED_INT;
        result = answer_samples(&call, kind, last_seen_us, count, samples);
    }
    return finish(&call, result);
}

/* ---- Processes ----------------------------------------------------------------------------------------------- */

struct process_list {
    nvmlProcessInfo_t items[MAX_SLOTS];
    unsigned count;
};

/* One entry for each pid, however many slots it has. */
static void put_process(struct process_list *list, unsigned pid, unsigned long long memory_bytes)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->items[i].pid == pid) {
            list->items[i].memory_bytes += memory_bytes;
            return;
        }
    if (list->count < MAX_SLOTS)
        list->items[list->count++] = (nvmlProcessInfo_t){pid, memory_bytes, NO_INSTANCE, NO_INSTANCE};
}

static void list_processes(const struct call *call, char kind, struct process_list *list)
{
    list->count = 0;
    for (size_t i = 0; i < call->session->hold_count && !call->control->hide_processes; i++) {
        const struct hold *hold = &call->session->holds[i];
        unsigned pid = (unsigned)call->control->pids[hold->slot];
        if (pid && hold->kind == kind && held_now(call, hold))
            put_process(list, pid, hold->memory_bytes);
    }
}

static nvmlReturn_t answer_processes(nvmlDevice_t device, char kind, unsigned *count, nvmlProcessInfo_t *infos)
{
    struct call call;
    struct process_list list;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_ALWAYS);
    if (result != NVML_SUCCESS)
        return finish(&call, result);
    list_processes(&call, kind, &list);
    if (*count < list.count)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    else if (list.count)
        memcpy(infos, list.items, list.count * sizeof *infos);
    *count = list.count;
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos)
{
    return answer_processes(device, 'c', count, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos)
{
    return answer_processes(device, 'g', count, infos);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos)
{
    return answer_processes(device, 'm', count, infos);
}

enum { SIZING_ANSWER = 100, PROCESS_GARBAGE = 4, MAX_USAGES = MAX_SLOTS + PROCESS_GARBAGE };
enum { SCRAMBLING_PRIME = 104729 };

struct usage_list {
    struct {
        unsigned pid;
        double busy_seconds;
    } items[MAX_SLOTS];
    unsigned count;
};

static void put_usage(struct usage_list *list, unsigned pid, double busy_seconds)
{
    unsigned i = 0;
    while (i < list->count && list->items[i].pid != pid)
        i++;
    if (i == list->count) {
        list->items[list->count].pid = pid;
        list->items[list->count++].busy_seconds = 0;
    }
    list->items[i].busy_seconds += busy_seconds;
}

static void list_usages(const struct call *call, struct window window, struct usage_list *list)
{
    list->count = 0;
    for (size_t i = 0; i < call->gpu->use_count && !call->control->hide_processes; i++) {
        const struct slot_use *use = &call->gpu->uses[i];
        unsigned pid = (unsigned)call->control->pids[use->slot];
        double busy_seconds = window_busy(call, &use->busy, window);
        if (pid && busy_seconds > NOTHING)
            put_usage(list, pid, busy_seconds);
    }
}

/* What was seen on real cards: an impossible share, no process, and times from nowhere. */
static unsigned put_garbage(nvmlProcessUtilizationSample_t *entries, unsigned pid, unsigned long long time_us)
{
    entries[0] = (nvmlProcessUtilizationSample_t){.pid = pid, .time_us = time_us, .sm_percent = 37100};
    entries[1] = (nvmlProcessUtilizationSample_t){.pid = 0, .time_us = time_us, .sm_percent = 50};
    entries[2] = (nvmlProcessUtilizationSample_t){.pid = pid, .time_us = 1, .sm_percent = 60};
    entries[3] = (nvmlProcessUtilizationSample_t){.pid = pid, .time_us = FAR_FUTURE_US, .sm_percent = 70};
    return PROCESS_GARBAGE;
}

/* Writes at most MAX_USAGES entries, in no useful order, and returns how many. */
static unsigned collect_entries(const struct call *call, struct window window, nvmlProcessUtilizationSample_t *entries)
{
    struct usage_list usages;
    unsigned count = 0;
    unsigned long long time_us = (unsigned long long)stamp_us(call, window.last);
    list_usages(call, window, &usages);
    if (call->control->garbage)
        count = put_garbage(entries, usages.count ? usages.items[0].pid : 1, time_us);
    for (unsigned i = 0; i < usages.count; i++) {
        unsigned pick = (unsigned)(((uint64_t)i * SCRAMBLING_PRIME + (window.last & 0xFFFF)) % usages.count);
        unsigned percent = window_percent(call, usages.items[pick].busy_seconds, window);
        entries[count++] = (nvmlProcessUtilizationSample_t){
            .pid = usages.items[pick].pid, .time_us = time_us, .sm_percent = percent, .memory_percent = percent / 2};
    }
    return count;
}

static nvmlReturn_t answer_process_samples(const struct call *call, nvmlProcessUtilizationSample_t *samples,
                                           unsigned *capacity, unsigned long long last_seen_us)
{
    nvmlProcessUtilizationSample_t entries[MAX_USAGES];
    struct window window = samples_since(call, last_seen_us);
    unsigned count = window.count ? collect_entries(call, window, entries) : 0;
    if (!samples) {
        *capacity = count > SIZING_ANSWER ? count : SIZING_ANSWER;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    if (count == 0)
        return NVML_ERROR_NOT_FOUND;
    bool fits = count <= *capacity;
    *capacity = count;
    if (!fits)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(samples, entries, count * sizeof *samples);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned *count, unsigned long long last_seen_us)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, FEATURE_PROCESS_UTILIZATION);
    if (result == NVML_SUCCESS)
        result = answer_process_samples(&call, samples, count, last_seen_us);
    return finish(&call, result);
}
