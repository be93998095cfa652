/* Begins and ends calls: see call.h. */
#include "call.h"

#include <string.h>
#include <time.h>

/* A handle is the address of its entry: a GPU's first one is the card's, the others are its instances'. */
static char handles[MAX_GPUS][1 + MAX_INSTANCES];

nvmlReturn_t begin(struct call *call)
{
    *call = (struct call){.session = acquire()};
    if (!call->session)
        return NVML_ERROR_UNINITIALIZED;
    call->control = call->session->control;
    call->trace = &call->session->trace;
    call->control->calls++;
    return NVML_SUCCESS;
}

nvmlReturn_t finish(struct call *call, nvmlReturn_t result)
{
    if (call->session)
        release(call->session);
    return result;
}

nvmlReturn_t begin_system(struct call *call)
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

nvmlReturn_t reach(struct call *call, int gpu, int instance)
{
    if (gpu < 0 || gpu >= call->trace->gpu_count || instance >= call->trace->gpus[gpu].instance_count)
        return NVML_ERROR_INVALID_ARGUMENT;
    wait_while_hung(call->control, gpu);
    nvmlReturn_t result = driver_state(call->session, NVML_ERROR_GPU_IS_LOST);
    if (result != NVML_SUCCESS)
        return result;
    if (call->control->gpu_error[gpu])
        return (nvmlReturn_t)call->control->gpu_error[gpu];
    call->index = gpu;
    call->gpu = &call->trace->gpus[gpu];
    call->instance = instance == WHOLE_CARD ? NULL : &call->gpu->instances[instance];
    call->now_us = trace_now_us(call->control);
    call->now = (double)call->now_us * 1e-6;
    return NVML_SUCCESS;
}

static bool within(const struct call *call, enum scope scope)
{
    if (scope == ANY_DEVICE)
        return true;
    return !call->instance && (scope == ANY_CARD || call->gpu->instance_count == 0);
}

bool lacks(const struct call *call, enum feature feature)
{
    return call->control->unsupported & feature;
}

nvmlReturn_t begin_device(struct call *call, nvmlDevice_t device, enum scope scope, enum feature feature)
{
    nvmlReturn_t result = begin(call);
    if (result != NVML_SUCCESS)
        return result;
    uintptr_t offset = (uintptr_t)device - (uintptr_t)handles;
    bool good = offset < sizeof handles;
    result = reach(call, good ? (int)(offset / sizeof handles[0]) : -1, (int)(offset % sizeof handles[0]) - 1);
    if (result == NVML_SUCCESS && (!within(call, scope) || lacks(call, feature)))
        return NVML_ERROR_NOT_SUPPORTED;
    return result;
}

int instance_index(const struct call *call)
{
    return call->instance ? (int)(call->instance - call->gpu->instances) : WHOLE_CARD;
}

bool is_held(const struct call *call, const struct hold *hold)
{
    bool here = hold->gpu == call->index && (!call->instance || hold->instance == instance_index(call));
    return here && hold->start <= call->now && call->now < hold->end;
}

nvmlDevice_t handle_of(const struct call *call)
{
    return &handles[call->index][1 + instance_index(call)];
}

int64_t stamp_us(const struct call *call, int64_t trace_us)
{
    return call->control->epoch_us + call->control->wall_step_us + trace_us;
}

nvmlReturn_t copy_text(char *buffer, unsigned length, const char *text)
{
    if (length <= strlen(text))
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}
