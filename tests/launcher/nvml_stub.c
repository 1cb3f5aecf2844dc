/* Stands in for libnvidia-ml.so.1: two devices, and whatever $STUB_NVML says that processes hold.
 *
 * Each line of that file is `device pid bytes`. Every question adds a byte to $STUB_NVML.asked, so that a test can see
 * that it was asked. The signatures are those of NVML's reference.
 */
#include <stdio.h>
#include <stdlib.h>

typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } info;

int nvmlInit_v2(void) { return getenv("STUB_NVML") ? 0 : 9; /* DRIVER_NOT_LOADED */ }

int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = (void *)(unsigned long)(index + 1); return 0; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, info *infos) {
    char asked[4096];
    snprintf(asked, sizeof asked, "%s.asked", getenv("STUB_NVML"));
    FILE *log = fopen(asked, "a");
    fputc('.', log);
    fclose(log);
    FILE *file = fopen(getenv("STUB_NVML"), "r");
    unsigned device, pid, found = 0, room = *count;
    unsigned long long used;
    while (file && fscanf(file, "%u %u %llu", &device, &pid, &used) == 3)
        if (device + 1 == (unsigned)(unsigned long)handle && found++ < room) {
            infos[found - 1].pid = pid;
            infos[found - 1].used = used;
        }
    if (file)
        fclose(file);
    *count = found;
    return found > room ? 7 /* INSUFFICIENT_SIZE */ : 0;
}
