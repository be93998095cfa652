/* The part of NVML's ABI that is played: its results, and the structures that callers pass. */
#pragma once

typedef void *nvmlDevice_t;

typedef enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15,
    NVML_ERROR_RESET_REQUIRED = 16,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
    NVML_ERROR_GPU_NOT_FOUND = 28,
    NVML_ERROR_UNKNOWN = 999,
} nvmlReturn_t;

enum { TOTAL_POWER_SAMPLES = 0, GPU_UTILIZATION_SAMPLES = 1 };
enum { VALUE_TYPE_UNSIGNED_INT = 1, VALUE_TYPE_UNSIGNED_LONG_LONG = 3 };
enum { CLOCK_MEMORY = 2, CLOCK_KINDS = 4 };
enum { ECC_CORRECTED = 0, ECC_UNCORRECTED = 1, ECC_KINDS = 2 };
enum { ECC_VOLATILE = 0, ECC_AGGREGATE = 1, ECC_COUNTERS = 2 };
enum { NO_INSTANCE = 0xFFFFFFFFu };

#define MEMORY_V2 0x02000028u
#define TEMPERATURE_V1 0x0100000Cu
#define PROCESSES_UTILIZATION_V1 0x01000018u
#define GPM_METRICS_GET_V1 1u
#define GPM_SUPPORT_V1 1u

typedef struct {
    unsigned long long total, free, used;
} nvmlMemory_t;

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

typedef struct {
    unsigned gpu, memory;
} nvmlUtilization_t;

typedef union {
    unsigned number;
    unsigned long long bits;
} nvmlValue_t;

typedef struct {
    unsigned long long time_us;
    nvmlValue_t value;
} nvmlSample_t;

typedef struct {
    unsigned field, scope;
    long long time_us, latency_us;
    unsigned value_type;
    nvmlReturn_t result;
    nvmlValue_t value;
} nvmlFieldValue_t;

typedef struct {
    unsigned pid;
    unsigned long long time_us;
    unsigned sm_percent, memory_percent, encoder_percent, decoder_percent;
} nvmlProcessUtilizationSample_t;

typedef struct {
    unsigned long long time_us;
    unsigned pid;
    unsigned sm_percent, memory_percent, encoder_percent, decoder_percent, jpeg_percent, optical_flow_percent;
} nvmlProcessUtilizationInfo_v1_t;

typedef struct {
    unsigned version, count;
    unsigned long long last_seen_us;
    nvmlProcessUtilizationInfo_v1_t *infos;
} nvmlProcessesUtilizationInfo_t;

typedef struct {
    unsigned pid;
    unsigned long long memory_bytes;
    unsigned gpu_instance, compute_instance;
} nvmlProcessInfo_t;

typedef struct {
    char bus_id_legacy[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
} nvmlPciInfo_t;

typedef struct {
    unsigned version, sensor;
    int celsius;
} nvmlTemperature_t;

typedef struct {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpeg_engines, optical_flow_engines;
    unsigned gpu_instance_slices, compute_instance_slices;
    unsigned long long memory_mebibytes;
} nvmlDeviceAttributes_t;

typedef struct gpm_sample *nvmlGpmSample_t;

typedef struct {
    unsigned version, is_supported;
} nvmlGpmSupport_t;

typedef struct {
    unsigned metric;
    nvmlReturn_t result;
    double value;
    struct {
        const char *short_name, *long_name, *unit;
    } info;
} nvmlGpmMetric_t;

/* The caller's array is as long as its version of NVML knows metrics; only `count` of them are asked for. */
typedef struct {
    unsigned version, count;
    nvmlGpmSample_t first, second;
    nvmlGpmMetric_t metrics[];
} nvmlGpmMetricsGet_t;
