/* MIG: a card's instances, which are devices of their own. */
#include "call.h"

enum { MULTIPROCESSORS_PER_SLICE = 16 };

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *mode, unsigned *pending_mode)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *mode = *pending_mode = call.gpu->instance_count > 0;
    return finish(&call, result);
}

DEVICE_NUMBER(nvmlDeviceIsMigDeviceHandle, unsigned, ANY_DEVICE, FEATURE_ALWAYS, call.instance != NULL)
DEVICE_NUMBER(nvmlDeviceGetMaxMigDeviceCount, unsigned, ANY_CARD, FEATURE_ALWAYS,
              call.gpu->instance_count ? MAX_INSTANCES : 0)

static nvmlReturn_t find_instance(struct call *call, unsigned index, nvmlDevice_t *instance)
{
    if (call->gpu->instance_count == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    if (index >= MAX_INSTANCES)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (index >= (unsigned)call->gpu->instance_count)
        return NVML_ERROR_NOT_FOUND;
    call->instance = &call->gpu->instances[index];
    *instance = handle_of(call);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *instance)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? find_instance(&call, index, instance) : result);
}

/* A call that has to be about an instance. */
static nvmlReturn_t begin_instance(struct call *call, nvmlDevice_t device)
{
    nvmlReturn_t result = begin_device(call, device, ANY_DEVICE, FEATURE_ALWAYS);
    return result == NVML_SUCCESS && !call->instance ? NVML_ERROR_INVALID_ARGUMENT : result;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin_instance(&call, instance);
    if (result == NVML_SUCCESS) {
        call.instance = NULL;
        *device = handle_of(&call);
    }
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned *id)
{
    struct call call;
    nvmlReturn_t result = begin_instance(&call, device);
    if (result == NVML_SUCCESS)
        *id = call.instance->gpu_instance;
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned *id)
{
    struct call call;
    nvmlReturn_t result = begin_instance(&call, device);
    if (result == NVML_SUCCESS)
        *id = call.instance->compute_instance;
    return finish(&call, result);
}

/* Real drivers, too, tell it of instances alone. */
nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS && !call.instance)
        result = NVML_ERROR_NOT_SUPPORTED;
    if (result == NVML_SUCCESS)
        *attributes = (nvmlDeviceAttributes_t){
            .multiprocessors = call.instance->slices * MULTIPROCESSORS_PER_SLICE,
            .copy_engines = call.instance->slices,
            .gpu_instance_slices = call.instance->slices,
            .compute_instance_slices = call.instance->slices,
            .memory_mebibytes = call.instance->memory_total >> 20,
        };
    return finish(&call, result);
}
