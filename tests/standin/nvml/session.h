/* Sessions with the driver: what nvmlInit opens and nvmlShutdown closes.
 *
 * The folder named by NVML_STANDIN holds two files, both written by driver.py:
 *   trace    the script (see trace.h), parsed by the nvmlInit that opens a session;
 *   control  struct control below, mapped shared, so that a test drives the clock and injects faults
 *            from outside of a running process.
 *
 * No lock is held while a call works or hangs: each call takes a reference on the session it began in.
 * Times are seconds from trace zero (double), or microseconds where the name ends in _us.
 */
#pragma once

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include "nvml.h"
#include "trace.h"

enum { MAX_QUERIES = 65536 };

enum feature {
    FEATURE_ALWAYS = 0,
    FEATURE_RING = 1 << 0,
    FEATURE_PROCESS_UTILIZATION = 1 << 1,
    FEATURE_ENERGY = 1 << 2,
    FEATURE_POWER = 1 << 3,
    FEATURE_TEMPERATURE = 1 << 4,
    FEATURE_MEMORY = 1 << 5,
    FEATURE_CLOCKS = 1 << 6,
    FEATURE_POWER_LIMIT = 1 << 7,
    FEATURE_THROTTLE = 1 << 8,
    FEATURE_THROTTLE_NEW = 1 << 9,
    FEATURE_ECC = 1 << 10,
    FEATURE_PROCESS_UTILIZATION_ZERO = 1 << 11,
};

/* Mirrored by driver.py, field by field. */
struct control {
    _Atomic int64_t epoch_us;          /* CLOCK_REALTIME at trace zero */
    _Atomic int64_t zero_boottime_us;  /* CLOCK_BOOTTIME at trace zero */
    _Atomic int64_t frozen;            /* 1: the time is frozen_us, 0: it runs */
    _Atomic int64_t frozen_us;
    _Atomic int64_t wall_step_us;      /* added to every time stamp given out */
    _Atomic int64_t loaded_us;         /* the trace time at which the driver's counters had the two bases below */
    _Atomic int64_t energy_base_mj;
    _Atomic int64_t throttle_base_ns;
    _Atomic int64_t kernel_version;    /* the last number of the version of the driver in the kernel */
    _Atomic int64_t driver_present;
    _Atomic int64_t driver_generation; /* goes up each time the driver goes away */
    _Atomic int64_t garbage;
    _Atomic int64_t hide_processes;
    _Atomic int64_t unsupported;       /* a mask of enum feature */
    _Atomic int64_t calls;             /* counted here */
    _Atomic int64_t gpu_error[MAX_GPUS];
    _Atomic int64_t hang_until_us[MAX_GPUS];                   /* CLOCK_BOOTTIME */
    _Atomic int64_t ecc_errors[MAX_GPUS][ECC_COUNTERS][ECC_KINDS];
    _Atomic int64_t pids[MAX_SLOTS];                           /* 0: the slot has no process */
    _Atomic int64_t query_count[MAX_GPUS];                     /* counted here */
    _Atomic int64_t query_us[MAX_GPUS][MAX_QUERIES];
};

struct session {
    atomic_int references;
    char folder[PATH_MAX];
    struct control *control;
    int64_t generation;
    struct trace trace;
};

/* The session of now, or NULL. Whoever acquires it releases it, after which it may be gone. */
struct session *acquire(void);
void release(struct session *session);

/* Whether the session still has its driver, and with `while_gone` where there is none at all. */
nvmlReturn_t driver_state(const struct session *session, nvmlReturn_t while_gone);

/* The last number of the version of this library. */
int library_patch(void);

int64_t boottime_us(void);
int64_t trace_now_us(const struct control *control);
