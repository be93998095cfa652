/* Step functions of time and their integrals: the arithmetic under a trace. Times are seconds from trace zero. */
#pragma once

#include <stddef.h>

static const double NOTHING = 1e-9; /* shares and seconds below this are rounding errors */

struct span {
    double start, end, height;
};

/* rate[i] from time[i] on, integral[i] up to time[i]. */
struct series {
    size_t count;
    double *time, *rate, *integral;
};

/* Memory that is there, or the end of the process: a test has no use for half a trace. */
void *allocate(size_t count, size_t size);

/* The sum of `spans`; end it with free_series. */
struct series series_of(const struct span *spans, size_t count);
void free_series(struct series *series);

double rate_at(const struct series *series, double time);
double integral_between(const struct series *series, double from, double to);
