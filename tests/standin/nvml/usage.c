/* Utilisation by process. A card in MIG mode tells none. */
#include "ring.h"

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
    unsigned long long time_us = (unsigned long long)sample_stamp_us(call, window.last);
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

/* Sizes the caller's buffer where it has none; otherwise fills `entries` if so many fit there. */
static nvmlReturn_t answer_usage(const struct call *call, unsigned long long last_seen_us, bool sizing,
                                 unsigned *capacity, nvmlProcessUtilizationSample_t *entries)
{
    struct window window = samples_since(call, last_seen_us);
    unsigned count = window.count ? collect_entries(call, window, entries) : 0;
    if (sizing) {
        *capacity = count > SIZING_ANSWER ? count : SIZING_ANSWER;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    if (count == 0)
        return NVML_ERROR_NOT_FOUND;
    bool fits = count <= *capacity;
    *capacity = count;
    return fits ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples,
                                             unsigned *count, unsigned long long last_seen_us)
{
    struct call call;
    nvmlProcessUtilizationSample_t entries[MAX_USAGES];
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_PROCESS_UTILIZATION);
    if (result == NVML_SUCCESS)
        result = answer_usage(&call, last_seen_us, !samples, count, entries);
    for (unsigned i = 0; result == NVML_SUCCESS && i < *count; i++) {
        samples[i] = entries[i];
        if (lacks(&call, FEATURE_PROCESS_UTILIZATION_ZERO))
            samples[i].sm_percent = 0;
    }
    return finish(&call, result);
}

static nvmlProcessUtilizationInfo_v1_t info_of(const nvmlProcessUtilizationSample_t *sample)
{
    return (nvmlProcessUtilizationInfo_v1_t){
        .time_us = sample->time_us,
        .pid = sample->pid,
        .sm_percent = sample->sm_percent,
        .memory_percent = sample->memory_percent,
    };
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *request)
{
    struct call call;
    nvmlProcessUtilizationSample_t entries[MAX_USAGES];
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_PROCESS_UTILIZATION);
    if (result == NVML_SUCCESS && request->version != PROCESSES_UTILIZATION_V1)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        result = answer_usage(&call, request->last_seen_us, !request->infos, &request->count, entries);
    for (unsigned i = 0; result == NVML_SUCCESS && i < request->count; i++)
        request->infos[i] = info_of(&entries[i]);
    return finish(&call, result);
}
