/* Counters of what went wrong: time spent at reduced clocks, by reason, and memory errors. */
#include "call.h"

#include <math.h>

/* The field of a reason's counter, and its bit among the reasons of now. */
static const struct {
    unsigned field;
    unsigned long long bit;
} REASONS[REASON_COUNT] = {
    [POWER_CAP] = {74, 0x4},     [THERMAL] = {75, 0x8},     [SYNC_BOOST] = {76, 0x10},  [BOARD_LIMIT] = {77, 0x200},
    [RELIABILITY] = {79, 0x400}, [SW_THERMAL] = {269, 0x20}, [HW_THERMAL] = {270, 0x48}, [HW_POWER_BRAKE] = {271, 0x88},
};

/* Cards before Ampere count by other reasons. */
static bool counts(const struct call *call, enum reason reason)
{
    if (call->instance || lacks(call, FEATURE_THROTTLE))
        return false;
    bool old = reason == THERMAL || reason == BOARD_LIMIT || reason == RELIABILITY;
    bool both = reason == POWER_CAP || reason == SYNC_BOOST;
    return both || old == lacks(call, FEATURE_THROTTLE_NEW);
}

static unsigned long long throttled_ns(const struct call *call, enum reason reason)
{
    double loaded = (double)call->control->loaded_us * 1e-6;
    double seconds = integral_between(&call->gpu->throttled[reason], loaded, call->now);
    return (unsigned long long)(call->control->throttle_base_ns + llround(1e9 * seconds));
}

static void answer_field(const struct call *call, nvmlFieldValue_t *field)
{
    field->time_us = stamp_us(call, call->now_us);
    field->latency_us = 0;
    field->value_type = VALUE_TYPE_UNSIGNED_LONG_LONG;
    field->result = NVML_ERROR_NOT_SUPPORTED;
    field->value.bits = 0;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        if (REASONS[reason].field == field->field && counts(call, (enum reason)reason)) {
            field->result = NVML_SUCCESS;
            field->value.bits = throttled_ns(call, (enum reason)reason);
        }
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *fields)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_DEVICE, FEATURE_ALWAYS);
    if (result == NVML_SUCCESS && (count <= 0 || !fields))
        result = NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; result == NVML_SUCCESS && i < count; i++)
        answer_field(&call, &fields[i]);
    return finish(&call, result);
}

static unsigned long long reasons_now(const struct call *call)
{
    unsigned long long mask = 0;
    for (int reason = 0; reason < REASON_COUNT; reason++)
        if (rate_at(&call->gpu->throttled[reason], call->now) > 0)
            mask |= REASONS[reason].bit;
    return mask;
}

DEVICE_NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, ANY_CARD, FEATURE_ALWAYS, reasons_now(&call))
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, ANY_CARD, FEATURE_ALWAYS,
              reasons_now(&call))

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, unsigned kind, unsigned counter,
                                         unsigned long long *errors)
{
    struct call call;
    nvmlReturn_t result = begin_device(&call, device, ANY_CARD, FEATURE_ECC);
    if (result == NVML_SUCCESS && (kind >= ECC_KINDS || counter >= ECC_COUNTERS))
        result = NVML_ERROR_INVALID_ARGUMENT;
    if (result == NVML_SUCCESS)
        *errors = (unsigned long long)call.control->ecc_errors[call.index][counter][kind];
    return finish(&call, result);
}
