/* What every call of the library begins with: its session, the device that it is about, and the faults injected. */
#pragma once

#include "session.h"

struct call {
    struct session *session;
    struct control *control;
    const struct trace *trace;
    const struct gpu *gpu;
    int index;                       /* of the GPU */
    const struct instance *instance; /* NULL: the call is about the whole card */
    int64_t now_us;
    double now;
};

/* On which handles a call works; on the others it is not supported. */
enum scope {
    ANY_DEVICE,     /* cards and MIG instances */
    ANY_CARD,       /* cards */
    UNDIVIDED_CARD, /* cards whose MIG mode is off */
};

/* Every call that begins is finished, whatever its beginning returned. */
nvmlReturn_t begin(struct call *call);
nvmlReturn_t begin_system(struct call *call);
nvmlReturn_t begin_device(struct call *call, nvmlDevice_t device, enum scope scope, enum feature feature);
nvmlReturn_t finish(struct call *call, nvmlReturn_t result);

/* Directs a call that has begun at one GPU, or one instance of it, unless the GPU fails. */
nvmlReturn_t reach(struct call *call, int gpu, int instance);

bool lacks(const struct call *call, enum feature feature);

/* The handle of what the call was directed at. */
nvmlDevice_t handle_of(const struct call *call);

int instance_index(const struct call *call); /* WHOLE_CARD where the call is about one */

/* Whether a hold is on what the call is about, now. The holds of its instances are on a card, too. */
bool is_held(const struct call *call, const struct hold *hold);

/* The driver's time stamp for a trace time. */
int64_t stamp_us(const struct call *call, int64_t trace_us);

nvmlReturn_t copy_text(char *buffer, unsigned length, const char *text);

/* A call that answers one number about one device. */
#define DEVICE_NUMBER(function, type, scope, feature, expression)          \
    nvmlReturn_t function(nvmlDevice_t device, type *value)                \
    {                                                                      \
        struct call call;                                                  \
        nvmlReturn_t result = begin_device(&call, device, scope, feature); \
        if (result == NVML_SUCCESS)                                        \
            *value = (type)(expression);                                   \
        return finish(&call, result);                                      \
    }
