/* The board: memory, power, heat, clocks and links. */
#include "call.h"

#include <math.h>

/* ---- Memory -------------------------------------------------------------------------------------------------- */

static const unsigned long long RESERVED_BYTES = 600ull << 20;

static unsigned long long total_bytes(const struct call *call)
{
    return call->instance ? call->instance->memory_total : call->gpu->memory_total;
}

static unsigned long long reserved_bytes(const struct call *call)
{
    return call->instance ? RESERVED_BYTES * call->instance->slices / MAX_INSTANCES : RESERVED_BYTES;
}

static unsigned long long held_bytes(const struct call *call)
{
    unsigned long long bytes = 0;
    for (size_t i = 0; i < call->trace->hold_count; i++)
        if (is_held(call, &call->trace->holds[i]))
            bytes += call->trace->holds[i].memory_bytes;
    return bytes;
}

static unsigned long long free_bytes(const struct call *call)
{
    unsigned long long taken = held_bytes(call) + reserved_bytes(call);
    return taken < total_bytes(call) ? total_bytes(call) - taken : 0;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_MEMORY);
    if (result == NVML_SUCCESS)
        *memory = (nvmlMemory_t){total_bytes(&call), free_bytes(&call), held_bytes(&call) + reserved_bytes(&call)};
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_MEMORY);
    if (result == NVML_SUCCESS && memory->version != MEMORY_V2)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        *memory = (nvmlMemory_v2_t){MEMORY_V2, total_bytes(&call), reserved_bytes(&call), free_bytes(&call),
                                    held_bytes(&call)};
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
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

static long long energy_millijoules(const struct call *call)
{
    double from = (double)call->control->loaded_us * 1e-6;
    return call->control->energy_base_mj + llround(1000 * joules_between(call->gpu, from, call->now));
}

static double celsius(const struct call *call)
{
    return 30 + 45 * rate_at(&call->gpu->busy, call->now);
}

DEVICE_NUMBER(nvmlDeviceGetPowerUsage, unsigned, ANY_CARD, FEATURE_POWER, lround(1000 * power_watts(&call)))
DEVICE_NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, ANY_CARD, FEATURE_POWER_LIMIT,
              lround(1000 * call.gpu->peak_watts))
DEVICE_NUMBER(nvmlDeviceGetPowerManagementLimit, unsigned, ANY_CARD, FEATURE_POWER_LIMIT,
              lround(1000 * call.gpu->peak_watts))
DEVICE_NUMBER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, ANY_CARD, FEATURE_ENERGY,
              energy_millijoules(&call))
DEVICE_NUMBER(nvmlDeviceGetPerformanceState, unsigned, ANY_CARD, FEATURE_ALWAYS, 0)

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, unsigned sensor, unsigned *degrees)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_TEMPERATURE);
    if (result == NVML_SUCCESS && sensor != 0)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *degrees = (unsigned)lround(celsius(&call));
    return finish(&call, result);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_TEMPERATURE);
    if (result == NVML_SUCCESS && temperature->version != TEMPERATURE_V1)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        temperature->celsius = (int)lround(celsius(&call));
    return finish(&call, result);
}

static nvmlReturn_t answer_clock(nvmlDevice_t device, unsigned kind, bool highest, unsigned *megahertz)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_CLOCKS);
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
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? NVML_ERROR_NOT_SUPPORTED : result);
}

/* Zero: the link is never used. Unlike the real call, this one returns at once. */
nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, unsigned counter, unsigned *kilobytes_per_second)
{
    struct call call;
    (void)counter;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS)
        *kilobytes_per_second = 0;
    return finish(&call, result);
}
