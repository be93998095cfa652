/* The driver and its devices: versions, handles and identities. */
#include "call.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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
    snprintf(version, sizeof version, format, library_patch());
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
        *count = (unsigned)call.trace->gpu_count;
    return finish(&call, result);
}

static nvmlReturn_t answer_handle(struct call *call, int gpu, int instance, nvmlDevice_t *device)
{
    nvmlReturn_t result = reach(call, gpu, instance);
    if (result == NVML_SUCCESS)
        *device = handle_of(call);
    return finish(call, result);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin(&call);
    if (result != NVML_SUCCESS)
        return finish(&call, result);
    return answer_handle(&call, index < MAX_GPUS ? (int)index : -1, WHOLE_CARD, device);
}

/* The instance of a GPU that has the UUID; WHOLE_CARD where none has it. */
static int instance_of(const struct gpu *gpu, const char *uuid)
{
    int instance = gpu->instance_count - 1;
    while (instance > WHOLE_CARD && strcmp(gpu->instances[instance].uuid, uuid) != 0)
        instance--;
    return instance;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    for (int index = 0; result == NVML_SUCCESS && index < call.trace->gpu_count; index++) {
        const struct gpu *gpu = &call.trace->gpus[index];
        int instance = instance_of(gpu, uuid);
        if (instance != WHOLE_CARD || strcmp(gpu->uuid, uuid) == 0)
            return answer_handle(&call, index, instance, device);
    }
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_FOUND : result);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    for (int index = 0; result == NVML_SUCCESS && index < call.trace->gpu_count; index++)
        if (strcasecmp(call.trace->gpus[index].pci, bus_id) == 0)
            return answer_handle(&call, index, WHOLE_CARD, device);
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_FOUND : result);
}

/* An instance's is its number on its card. */
DEVICE_NUMBER(nvmlDeviceGetIndex, unsigned, ANY_DEVICE, FEATURE_ALWAYS,
              call.instance ? instance_index(&call) : call.index)

/* Not the index, as on many real boards. */
DEVICE_NUMBER(nvmlDeviceGetMinorNumber, unsigned, ANY_CARD, FEATURE_ALWAYS, call.trace->gpu_count - 1 - call.index)

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        result = copy_text(uuid, length, call.instance ? call.instance->uuid : call.gpu->uuid);
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length)
{
    struct call call;
    char full[sizeof call.gpu->name + sizeof call.instance->profile + 8];
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        bool mig = call.instance;
        snprintf(full, sizeof full, "%s%s%s", call.gpu->name, mig ? " MIG " : "", mig ? call.instance->profile : "");
        result = copy_text(name, length, full);
    }
    return finish(&call, result);
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

/* An instance's is its card's: no evidence was found of what real drivers say. */
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *info)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *info = pci_info(call.gpu);
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        *major = 9;
        *minor = 0;
    }
    return finish(&call, result);
}

DEVICE_NUMBER(nvmlDeviceGetPersistenceMode, unsigned, ANY_CARD, FEATURE_ALWAYS, 1)
DEVICE_NUMBER(nvmlDeviceGetComputeMode, unsigned, ANY_CARD, FEATURE_ALWAYS, 0)
