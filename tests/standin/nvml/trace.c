/* Reads the script and adds up its series: see trace.h. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double SLICES = MAX_INSTANCES; /* of a card */

static const char *const REASON_NAMES[REASON_COUNT] = {
    [POWER_CAP] = "power_cap",     [THERMAL] = "thermal",
    [SYNC_BOOST] = "sync_boost",   [BOARD_LIMIT] = "board_limit",
    [RELIABILITY] = "reliability", [SW_THERMAL] = "sw_thermal",
    [HW_THERMAL] = "hw_thermal",   [HW_POWER_BRAKE] = "hw_power_brake",
};

static int compare_bursts(const void *left, const void *right)
{
    const struct burst *a = left, *b = right;
    return a->gpu != b->gpu ? a->gpu - b->gpu : a->slot - b->slot;
}

/* ---- Lines --------------------------------------------------------------------------------------------------- */

/* `items`, moved if it was full: its room doubles from 64 on. */
static void *with_room(void *items, size_t count, size_t size)
{
    bool full = count == 0 || (count >= 64 && (count & (count - 1)) == 0);
    void *grown = full ? realloc(items, (count ? 2 * count : 64) * size) : items;
    if (!grown)
        abort();
    return grown;
}

static bool parse_gpu(struct trace *trace, const char *line)
{
    struct gpu gpu = {0};
    if (trace->gpu_count >= MAX_GPUS)
        return false;
    if (sscanf(line, "gpu %95s %31s %llu %lf %lf %d %lf %95[^\n]", gpu.uuid, gpu.pci, &gpu.memory_total,
               &gpu.idle_watts, &gpu.peak_watts, &gpu.gpm, &gpu.sm_share, gpu.name) != 8)
        return false;
    trace->gpus[trace->gpu_count++] = gpu;
    return true;
}

/* An instance of the last GPU. */
static bool parse_instance(struct trace *trace, const char *line)
{
    struct instance instance = {0};
    if (trace->gpu_count == 0 || trace->gpus[trace->gpu_count - 1].instance_count >= MAX_INSTANCES)
        return false;
    if (sscanf(line, "mig %95s %31s %u %llu %u %u", instance.uuid, instance.profile, &instance.slices,
               &instance.memory_total, &instance.gpu_instance, &instance.compute_instance) != 6)
        return false;
    struct gpu *gpu = &trace->gpus[trace->gpu_count - 1];
    gpu->instances[gpu->instance_count++] = instance;
    return true;
}

static bool known(const struct trace *trace, int gpu, int instance, int slot)
{
    return gpu >= 0 && gpu < trace->gpu_count && slot >= 0 && slot < MAX_SLOTS && instance >= WHOLE_CARD &&
           instance < trace->gpus[gpu].instance_count;
}

static bool parse_hold(struct trace *trace, const char *line)
{
    struct hold hold;
    if (sscanf(line, "hold %d %d %d %lf %lf %llu %c", &hold.gpu, &hold.instance, &hold.slot, &hold.start, &hold.end,
               &hold.memory_bytes, &hold.kind) != 7 || !known(trace, hold.gpu, hold.instance, hold.slot))
        return false;
    trace->holds = with_room(trace->holds, trace->hold_count, sizeof hold);
    trace->holds[trace->hold_count++] = hold;
    return true;
}

static bool parse_burst(struct trace *trace, const char *line)
{
    struct burst burst;
    if (sscanf(line, "burst %d %d %d %lf %lf %lf", &burst.gpu, &burst.instance, &burst.slot, &burst.span.start,
               &burst.span.end, &burst.span.height) != 6 || !known(trace, burst.gpu, burst.instance, burst.slot))
        return false;
    trace->bursts = with_room(trace->bursts, trace->burst_count, sizeof burst);
    trace->bursts[trace->burst_count++] = burst;
    return true;
}

/* Its number, or REASON_COUNT where there is no such reason. */
static enum reason reason_of(const char *name)
{
    int reason = 0;
    while (reason < REASON_COUNT && strcmp(REASON_NAMES[reason], name) != 0)
        reason++;
    return (enum reason)reason;
}

static bool parse_throttle(struct trace *trace, const char *line)
{
    struct throttle throttle = {.span.height = 1};
    char name[32];
    if (sscanf(line, "throttle %d %31s %lf %lf", &throttle.gpu, name, &throttle.span.start, &throttle.span.end) != 4)
        return false;
    throttle.reason = reason_of(name);
    if (!known(trace, throttle.gpu, WHOLE_CARD, 0) || throttle.reason == REASON_COUNT)
        return false;
    trace->throttles = with_room(trace->throttles, trace->throttle_count, sizeof throttle);
    trace->throttles[trace->throttle_count++] = throttle;
    return true;
}

static bool parse_line(struct trace *trace, const char *line)
{
    switch (line[0]) {
    case 'p':
        return sscanf(line, "period %lf", &trace->period) == 1;
    case 'g':
        return parse_gpu(trace, line);
    case 'm':
        return parse_instance(trace, line);
    case 'h':
        return parse_hold(trace, line);
    case 'b':
        return parse_burst(trace, line);
    case 't':
        return parse_throttle(trace, line);
    default:
        return false;
    }
}

/* ---- Series -------------------------------------------------------------------------------------------------- */

/* What these bursts of one GPU take of the whole card's time. */
static struct series of_card(const struct gpu *gpu, const struct burst *bursts, size_t count)
{
    struct span *spans = allocate(count, sizeof *spans);
    for (size_t i = 0; i < count; i++) {
        spans[i] = bursts[i].span;
        if (bursts[i].instance != WHOLE_CARD)
            spans[i].height *= gpu->instances[bursts[i].instance].slices / SLICES;
    }
    struct series series = series_of(spans, count);
    free(spans);
    return series;
}

/* What one GPU's bursts take of one instance's time. */
static struct series of_instance(int instance, const struct burst *bursts, size_t count)
{
    struct span *spans = allocate(count, sizeof *spans);
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (bursts[i].instance == instance)
            spans[found++] = bursts[i].span;
    struct series series = series_of(spans, found);
    free(spans);
    return series;
}

/* The bursts of one GPU, sorted by slot: one series for the GPU, one for each instance, and one for each slot. */
static void index_gpu(struct gpu *gpu, const struct burst *bursts, size_t count)
{
    gpu->busy = of_card(gpu, bursts, count);
    for (int instance = 0; instance < gpu->instance_count; instance++)
        gpu->instances[instance].busy = of_instance(instance, bursts, count);
    gpu->uses = allocate(count, sizeof *gpu->uses);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && bursts[to].slot == bursts[from].slot;)
            to++;
        gpu->uses[gpu->use_count++] = (struct slot_use){bursts[from].slot, of_card(gpu, bursts + from, to - from)};
    }
}

static void index_bursts(struct trace *trace)
{
    const struct burst *bursts = trace->bursts;
    if (trace->burst_count)
        qsort(trace->bursts, trace->burst_count, sizeof *bursts, compare_bursts);
    size_t from = 0;
    for (int index = 0; index < trace->gpu_count; index++) {
        size_t to = from;
        while (to < trace->burst_count && bursts[to].gpu == index)
            to++;
        index_gpu(&trace->gpus[index], bursts + from, to - from);
        from = to;
    }
}

static struct series throttled(const struct trace *trace, int gpu, enum reason reason)
{
    struct span *spans = allocate(trace->throttle_count, sizeof *spans);
    size_t found = 0;
    for (size_t i = 0; i < trace->throttle_count; i++)
        if (trace->throttles[i].gpu == gpu && trace->throttles[i].reason == reason)
            spans[found++] = trace->throttles[i].span;
    struct series series = series_of(spans, found);
    free(spans);
    return series;
}

static void index_throttles(struct trace *trace)
{
    for (int gpu = 0; gpu < trace->gpu_count; gpu++)
        for (int reason = 0; reason < REASON_COUNT; reason++)
            trace->gpus[gpu].throttled[reason] = throttled(trace, gpu, (enum reason)reason);
}

/* ---- The whole ----------------------------------------------------------------------------------------------- */

bool load_trace(struct trace *trace, const char *path)
{
    char line[512];
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool good = true;
    while (good && fgets(line, sizeof line, file))
        good = parse_line(trace, line);
    fclose(file);
    index_bursts(trace);
    index_throttles(trace);
    return good && trace->period > 0;
}

static void free_gpu(struct gpu *gpu)
{
    for (size_t use = 0; use < gpu->use_count; use++)
        free_series(&gpu->uses[use].busy);
    for (int instance = 0; instance < gpu->instance_count; instance++)
        free_series(&gpu->instances[instance].busy);
    for (int reason = 0; reason < REASON_COUNT; reason++)
        free_series(&gpu->throttled[reason]);
    free_series(&gpu->busy);
    free(gpu->uses);
}

void free_trace(struct trace *trace)
{
    for (int index = 0; index < trace->gpu_count; index++)
        free_gpu(&trace->gpus[index]);
    free(trace->holds);
    free(trace->bursts);
    free(trace->throttles);
}

double joules_between(const struct gpu *gpu, double from, double to)
{
    return gpu->idle_watts * (to - from) +
           (gpu->peak_watts - gpu->idle_watts) * integral_between(&gpu->busy, from, to);
}
