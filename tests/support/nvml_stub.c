/* Replaces libnvidia-ml.so.1: two devices, whose processes stand in the file $STUB_NVML.
 *
 * Each line of that file is `device pid bytes`; each line of $STUB_NVML.utilization, if there is one, is
 * `device pid percent timestamp`. Every question for processes appends a byte to $STUB_NVML.asked. The signatures are
 * those of NVML's reference.
 */
#include <stdio.h>
#include <stdlib.h>

enum { SUCCESS = 0, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } info;
typedef struct { unsigned pid; unsigned long long timestamp; unsigned sm, memory, encoder, decoder; } sample;

static FILE *state(const char *suffix, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s", getenv("STUB_NVML"), suffix);
    return fopen(path, mode);
}

static unsigned index_of(void *handle) { return (unsigned)(unsigned long)handle - 1; }

int nvmlInit_v2(void) { return getenv("STUB_NVML") ? SUCCESS : DRIVER_NOT_LOADED; }

int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(unsigned long)(index + 1); return SUCCESS; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, info *infos) {
    FILE *log = state(".asked", "a");
    fputc('.', log);
    fclose(log);
    FILE *file = state("", "r");
    unsigned device, pid, found = 0, size = *count;
    unsigned long long used;
    while (file && fscanf(file, "%u %u %llu", &device, &pid, &used) == 3)
        if (device == index_of(handle) && found++ < size) {
            infos[found - 1].pid = pid;
            infos[found - 1].used = used;
        }
    if (file)
        fclose(file);
    *count = found;
    return found > size ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetProcessUtilization(void *handle, sample *samples, unsigned *count, unsigned long long since) {
    FILE *file = state(".utilization", "r");
    unsigned device, pid, percent, found = 0, size = samples ? *count : 0;
    unsigned long long timestamp;
    while (file && fscanf(file, "%u %u %u %llu", &device, &pid, &percent, &timestamp) == 4)
        if (device == index_of(handle) && timestamp > since && found++ < size) {
            samples[found - 1].pid = pid;
            samples[found - 1].sm = percent;
            samples[found - 1].timestamp = timestamp;
        }
    if (file)
        fclose(file);
    *count = found;
    return !found ? NOT_FOUND : found > size ? INSUFFICIENT_SIZE : SUCCESS;
}
