/* GPU performance monitoring: activity between two samples, of a card or of one of its MIG instances. */
#include "call.h"

#include <math.h>
#include <stdlib.h>

enum { GRAPHICS_UTIL = 1, SM_UTIL = 2, ANY_TENSOR_UTIL = 5, DRAM_BW_UTIL = 10 };

static const double TENSOR_SHARE = 0.5, DRAM_SHARE = 0.3; /* of the SMs' activity */

/* What a caller holds between two calls: no pointer into a session, which it may outlive. */
struct gpm_sample {
    bool filled;
    int index, instance;
    int64_t time_us;
    double busy_seconds, sm_seconds; /* since trace zero */
};

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS && support->version != GPM_SUPPORT_V1)
        result = NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (result == NVML_SUCCESS)
        support->is_supported = (unsigned)call.gpu->gpm;
    return finish(&call, result);
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    if (result == NVML_SUCCESS)
        *sample = allocate(1, sizeof **sample);
    return finish(&call, result);
}

/* Also after the driver is gone: the memory is the caller's. */
nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample)
{
    struct call call;
    nvmlReturn_t result = begin(&call);
    if (result == NVML_SUCCESS && !sample)
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        free(sample);
    return finish(&call, result);
}

static nvmlReturn_t fill_sample(const struct call *call, nvmlGpmSample_t sample)
{
    if (!call->gpu->gpm)
        return NVML_ERROR_NOT_SUPPORTED;
    if (!sample)
        return NVML_ERROR_INVALID_ARGUMENT;
    double busy = integral_between(call->instance ? &call->instance->busy : &call->gpu->busy, 0, call->now);
    *sample = (struct gpm_sample){
        .filled = true,
        .index = call->index,
        .instance = instance_index(call),
        .time_us = call->now_us,
        .busy_seconds = busy,
        .sm_seconds = busy * call->gpu->sm_share,
    };
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t sample)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? fill_sample(&call, sample) : result);
}

static nvmlReturn_t fill_instance_sample(struct call *call, unsigned gpu_instance, nvmlGpmSample_t sample)
{
    const struct gpu *gpu = call->gpu;
    if (gpu->instance_count == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    for (int i = 0; i < gpu->instance_count && !call->instance; i++)
        if (gpu->instances[i].gpu_instance == gpu_instance)
            call->instance = &gpu->instances[i];
    return call->instance ? fill_sample(call, sample) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned gpu_instance, nvmlGpmSample_t sample)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ALWAYS);
    return finish(&call, result == NVML_SUCCESS ? fill_instance_sample(&call, gpu_instance, sample) : result);
}

/* Never a rounding error below 0 or above 100. */
static void answer_percent(nvmlGpmMetric_t *metric, double ratio, const char *name)
{
    metric->result = NVML_SUCCESS;
    metric->value = 100 * fmin(1, fmax(0, ratio));
    metric->info.short_name = metric->info.long_name = name;
    metric->info.unit = "%";
}

static void answer_metric(nvmlGpmMetric_t *metric, double busy, double sm)
{
    switch (metric->metric) {
    case GRAPHICS_UTIL:
        return answer_percent(metric, busy, "Graphics Util");
    case SM_UTIL:
        return answer_percent(metric, sm, "SM Util");
    case ANY_TENSOR_UTIL:
        return answer_percent(metric, sm * TENSOR_SHARE, "Any Tensor Util");
    case DRAM_BW_UTIL:
        return answer_percent(metric, sm * DRAM_SHARE, "DRAM BW Util");
    default:
        metric->result = NVML_ERROR_NOT_SUPPORTED;
    }
}

/* Both of one device, and the second later than the first. */
static bool are_a_pair(const struct gpm_sample *first, const struct gpm_sample *second)
{
    return first && second && first->filled && second->filled && first->index == second->index &&
           first->instance == second->instance && first->time_us < second->time_us;
}

static nvmlReturn_t answer_metrics(nvmlGpmMetricsGet_t *request)
{
    const struct gpm_sample *first = request->first, *second = request->second;
    if (request->version != GPM_METRICS_GET_V1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (!are_a_pair(first, second))
        return NVML_ERROR_INVALID_ARGUMENT;
    double seconds = (double)(second->time_us - first->time_us) * 1e-6;
    double busy = (second->busy_seconds - first->busy_seconds) / seconds;
    double sm = (second->sm_seconds - first->sm_seconds) / seconds;
    for (unsigned i = 0; i < request->count; i++)
        answer_metric(&request->metrics[i], busy, sm);
    return NVML_SUCCESS;
}

/* Arithmetic in the library: no device is asked, so none can fail or hang it. */
nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *request)
{
    struct call call;
    nvmlReturn_t result = begin_system(&call);
    return finish(&call, result == NVML_SUCCESS ? answer_metrics(request) : result);
}
