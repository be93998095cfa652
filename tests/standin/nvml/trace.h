/* The script that is played, as script.py writes it: one item a line.
 *
 * Times are seconds from trace zero. A burst's share is of its GPU's time, or of its MIG instance's; a MIG instance of
 * n slices then has n sevenths of the card.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "series.h"

enum { MAX_GPUS = 32, MAX_INSTANCES = 7, MAX_SLOTS = 1024 };
enum { WHOLE_CARD = -1 }; /* in the place of an instance */

enum reason {
    POWER_CAP,
    THERMAL,
    SYNC_BOOST,
    BOARD_LIMIT,
    RELIABILITY,
    SW_THERMAL,
    HW_THERMAL,
    HW_POWER_BRAKE,
    REASON_COUNT,
};

struct burst {
    int gpu, instance, slot;
    struct span span;
};

struct hold {
    int gpu, instance, slot;
    double start, end;
    unsigned long long memory_bytes;
    char kind; /* its first letter: compute, graphics, mps */
};

struct throttle {
    int gpu;
    enum reason reason;
    struct span span;
};

struct slot_use {
    int slot;
    struct series busy;
};

/* A MIG compute instance, alone in its GPU instance. */
struct instance {
    char uuid[96], profile[32];
    unsigned slices, gpu_instance, compute_instance;
    unsigned long long memory_total;
    struct series busy; /* of its own time */
};

struct gpu {
    char uuid[96], name[96], pci[32];
    unsigned long long memory_total;
    double idle_watts, peak_watts;
    int gpm; /* 1: it has GPU performance monitoring */
    double sm_share;
    int instance_count; /* 0: MIG is off */
    struct instance instances[MAX_INSTANCES];
    struct series busy; /* of the whole card's time */
    struct series throttled[REASON_COUNT];
    struct slot_use *uses;
    size_t use_count;
};

struct trace {
    double period; /* of utilisation samples, in seconds */
    int gpu_count;
    struct gpu gpus[MAX_GPUS];
    struct hold *holds;
    size_t hold_count;
    struct burst *bursts;
    size_t burst_count;
    struct throttle *throttles;
    size_t throttle_count;
};

/* Fills `trace`, all zeros before; false where the file is not a trace. Free it in either case. */
bool load_trace(struct trace *trace, const char *path);
void free_trace(struct trace *trace);

double joules_between(const struct gpu *gpu, double from, double to);
