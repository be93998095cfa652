/* The lists of processes, of each kind. */
#include "call.h"

#include <string.h>

struct process_list {
    nvmlProcessInfo_t items[MAX_SLOTS * MAX_INSTANCES];
    unsigned count;
};

/* A process without memory, on the instance of a hold or on the whole card. */
static nvmlProcessInfo_t process_of(const struct call *call, const struct hold *hold)
{
    nvmlProcessInfo_t info = {(unsigned)call->control->pids[hold->slot], 0, NO_INSTANCE, NO_INSTANCE};
    if (hold->instance != WHOLE_CARD) {
        info.gpu_instance = call->gpu->instances[hold->instance].gpu_instance;
        info.compute_instance = call->gpu->instances[hold->instance].compute_instance;
    }
    return info;
}

/* One entry for each pid on each instance, however many slots it has. */
static nvmlProcessInfo_t *entry_of(struct process_list *list, nvmlProcessInfo_t process)
{
    unsigned i = 0;
    while (i < list->count &&
           (list->items[i].pid != process.pid || list->items[i].gpu_instance != process.gpu_instance))
        i++;
    if (i == list->count)
        list->items[list->count++] = process;
    return &list->items[i];
}

static void list_processes(const struct call *call, char kind, struct process_list *list)
{
    list->count = 0;
    for (size_t i = 0; i < call->trace->hold_count && !call->control->hide_processes; i++) {
        const struct hold *hold = &call->trace->holds[i];
        if (hold->kind != kind || !is_held(call, hold) || !call->control->pids[hold->slot])
            continue;
        entry_of(list, process_of(call, hold))->memory_bytes += hold->memory_bytes;
    }
}

static nvmlReturn_t answer_processes(nvmlDevice_t device, char kind, unsigned *count, nvmlProcessInfo_t *infos)
{
    struct call call;
    struct process_list list;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
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
