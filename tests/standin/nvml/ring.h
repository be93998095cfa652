/* Utilisation as the driver samples it: sample k is taken at trace time k * period, over the period that ends there. */
#pragma once

#include "call.h"

struct window {
    int64_t first, last; /* sample numbers, both within */
    int64_t count;       /* last - first + 1 */
};

/* The samples that the driver still has and that are stamped after `last_seen_us`. */
struct window samples_since(const struct call *call, unsigned long long last_seen_us);

double window_busy(const struct call *call, const struct series *series, struct window window);
unsigned window_percent(const struct call *call, double busy_seconds, struct window window);
int64_t sample_stamp_us(const struct call *call, int64_t sample);

static const unsigned long long FAR_FUTURE_US = 9000000000000000ull; /* the year 2255, in garbage */
