/* Opens, shares and ends sessions: see session.h. */
#define _GNU_SOURCE
#include "session.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Clocks -------------------------------------------------------------------------------------------------- */

int64_t boottime_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

int64_t trace_now_us(const struct control *control)
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

int library_patch(void)
{
    return (int)library_version;
}

void release(struct session *session)
{
    if (atomic_fetch_sub(&session->references, 1) > 1)
        return;
    free_trace(&session->trace);
    munmap(session->control, sizeof *session->control);
    free(session);
}

struct session *acquire(void)
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

nvmlReturn_t driver_state(const struct session *session, nvmlReturn_t while_gone)
{
    nvmlReturn_t kernel = kernel_state(session->control);
    if (kernel == NVML_ERROR_DRIVER_NOT_LOADED)
        return while_gone;
    if (kernel == NVML_SUCCESS && session->generation != session->control->driver_generation)
        return NVML_ERROR_UNINITIALIZED;
    return kernel;
}

static nvmlReturn_t open_session(const char *folder, struct session **opened)
{
    char script[PATH_MAX + 8];
    struct control *control = map_control(folder);
    if (!control)
        return NVML_ERROR_UNKNOWN;
    struct session *session = allocate(1, sizeof *session);
    session->references = 1;
    session->control = control;
    session->generation = control->driver_generation;
    snprintf(session->folder, sizeof session->folder, "%s", folder);
    snprintf(script, sizeof script, "%s/trace", folder);
    control->calls++;
    nvmlReturn_t result = kernel_state(control);
    if (result == NVML_SUCCESS && !load_trace(&session->trace, script))
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
