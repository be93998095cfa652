/* Utilisation of a card: the last sample, and the ring of those before. A card in MIG mode has none. */
#include "ring.h"

#include <math.h>

enum { RING_DEPTH = 120 };

static int64_t newest_sample(const struct call *call)
{
    return (int64_t)floor(((double)call->now_us + 0.5) / (call->trace->period * 1e6));
}

int64_t sample_stamp_us(const struct call *call, int64_t sample)
{
    return stamp_us(call, llround((double)sample * call->trace->period * 1e6));
}

struct window samples_since(const struct call *call, unsigned long long last_seen_us)
{
    int64_t last_seen = last_seen_us < INT64_MAX ? (int64_t)last_seen_us : INT64_MAX;
    int64_t last = newest_sample(call), first = last + 1;
    while (last - first + 1 < RING_DEPTH && sample_stamp_us(call, first - 1) > last_seen)
        first--;
    return (struct window){first, last, last - first + 1};
}

double window_busy(const struct call *call, const struct series *series, struct window window)
{
    double period = call->trace->period;
    return integral_between(series, (double)(window.first - 1) * period, (double)window.last * period);
}

unsigned window_percent(const struct call *call, double busy_seconds, struct window window)
{
    return (unsigned)lround(100 * busy_seconds / ((double)window.count * call->trace->period));
}

static unsigned sample_percent(const struct call *call, int64_t sample)
{
    struct window one = {sample, sample, 1};
    return window_percent(call, window_busy(call, &call->gpu->busy, one), one);
}

static unsigned sample_milliwatts(const struct call *call, int64_t sample)
{
    double period = call->trace->period;
    double joules = joules_between(call->gpu, (double)(sample - 1) * period, (double)sample * period);
    return (unsigned)lround(1000 * joules / period);
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        unsigned percent = sample_percent(&call, newest_sample(&call));
        *utilization = (nvmlUtilization_t){percent, percent / 2};
    }
    return finish(&call, result);
}

static nvmlReturn_t answer_codec(nvmlDevice_t device, unsigned *percent, unsigned *period_us)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS) {
        *percent = 0;
        *period_us = (unsigned)lround(call.trace->period * 1e6);
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
        put_sample(buffer, (unsigned long long)sample_stamp_us(call, window.last), 37100);
    }
    for (int64_t sample = window.first; sample <= window.last; sample++) {
        unsigned long long time_us = (unsigned long long)sample_stamp_us(call, sample);
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
    nvmlReturn_t result = begin_device(&call, device, UNDIVIDED_CARD, FEATURE_RING);
    if (result == NVML_SUCCESS) {
        *value_type = VALUE_TYPE_UNSIGNED_INT;
        result = answer_samples(&call, kind, last_seen_us, count, samples);
    }
    return finish(&call, result);
}
