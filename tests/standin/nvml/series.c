/* Step functions: see series.h. */
#include "series.h"

#include <math.h>
#include <stdlib.h>

struct edge {
    double time, change;
};

static int compare_edges(const void *left, const void *right)
{
    const struct edge *a = left, *b = right;
    return (a->time > b->time) - (a->time < b->time);
}

void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        abort();
    return memory;
}

struct series series_of(const struct span *spans, size_t count)
{
    struct edge *edges = allocate(2 * count, sizeof *edges);
    for (size_t i = 0; i < count; i++) {
        edges[2 * i] = (struct edge){spans[i].start, spans[i].height};
        edges[2 * i + 1] = (struct edge){spans[i].end, -spans[i].height};
    }
    qsort(edges, 2 * count, sizeof *edges, compare_edges);
    struct series series = {
        .count = 2 * count,
        .time = allocate(2 * count, sizeof(double)),
        .rate = allocate(2 * count, sizeof(double)),
        .integral = allocate(2 * count, sizeof(double)),
    };
    double rate = 0, integral = 0;
    for (size_t i = 0; i < series.count; i++) {
        integral += i ? rate * (edges[i].time - edges[i - 1].time) : 0;
        rate += edges[i].change;
        rate = fabs(rate) < NOTHING ? 0 : rate;
        series.time[i] = edges[i].time;
        series.rate[i] = rate;
        series.integral[i] = integral;
    }
    free(edges);
    return series;
}

void free_series(struct series *series)
{
    free(series->time);
    free(series->rate);
    free(series->integral);
}

/* The number of steps that begin at `time` or before. */
static size_t steps_until(const struct series *series, double time)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (series->time[middle] <= time)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

double rate_at(const struct series *series, double time)
{
    size_t steps = steps_until(series, time);
    return steps ? series->rate[steps - 1] : 0;
}

static double integral_until(const struct series *series, double time)
{
    size_t steps = steps_until(series, time);
    if (!steps)
        return 0;
    return series->integral[steps - 1] + series->rate[steps - 1] * (time - series->time[steps - 1]);
}

double integral_between(const struct series *series, double from, double to)
{
    return integral_until(series, to) - integral_until(series, from);
}
