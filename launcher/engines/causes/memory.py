"""Known causes: memory of the device, of the machine, and of /dev/shm."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Text

CAUSES = (
    Cause(
        "gpu_out_of_memory",
        Text("the GPU's memory is full[ (tried to allocate {size})]", "GPU 显存已满[（尝试分配 {size}）]"),
        Text(
            "lower the engine's share of the memory or the sequence length, or end what else uses the GPU (nvidia-smi)",
            "降低引擎的显存占比或序列长度，或结束其他占用 GPU 的程序（nvidia-smi）",
        ),
        (
            Line(
                b"out of memory",
                rb"(?:CUDA|HIP|XPU|MUSA)(?: error:)? out of memory(?:\. Tried to allocate (?P<size>[\d.]+ \w+))?",
            ),
            Line(b"CUDA runtime error: out of memory", rb"CUDA runtime error: out of memory"),
            Line(b"[NV_ERR_NO_MEMORY]", rb"(?:\[ *[\d.+]{1,20}\] )?NVRM: .{0,200}Out of memory \[NV_ERR_NO_MEMORY\]"),
        ),
    ),
    Cause(
        "npu_out_of_memory",
        Text("the NPU's memory is full[ (tried to allocate {size})]", "NPU 显存已满[（尝试分配 {size}）]"),
        Text(
            "lower the engine's share of the memory or the sequence length, or use more devices (npu-smi info)",
            "降低引擎的显存占比或序列长度，或使用更多设备（npu-smi info）",
        ),
        (
            Line(b"NPU out of memory", rb"NPU out of memory(?:\. Tried to allocate (?P<size>[\d.]+ \w+))?"),
            Line(b"driver error:out of memory", rb"[^'\"]{0,300}driver error:out of memory"),
        ),
    ),
    Cause(
        "accelerator_out_of_memory",
        Text("the accelerator's memory is full: {why}", "加速器内存已满：{why}"),
        Text(
            "lower the sequence length or the number of sequences, or use more devices",
            "减小序列长度或并发序列数，或使用更多设备",
        ),
        (
            Line(b"nrt_tensor_allocate", rb"(?P<why>nrt_tensor_allocate status=4[\w =\"]{0,60})"),
            Line(
                b"RESOURCE_EXHAUSTED: ",
                rb"Bad StatusOr access: (?P<why>RESOURCE_EXHAUSTED: .{1,120})",
            ),
        ),
    ),
    Cause(
        "shared_memory_full",
        Text("/dev/shm is full", "/dev/shm 共享内存已满"),
        Text(
            "enlarge /dev/shm (docker run --shm-size=16g, or --ipc=host), remove what old servers left in it",
            "扩大 /dev/shm（docker run --shm-size=16g 或 --ipc=host），清理旧服务残留的文件",
        ),
        (
            Line(
                b"shared memory segment /dev/shm",
                rb"[^'\"]{0,200}Error while creating shared memory segment /dev/shm",
            ),
        ),
    ),
    Cause(
        "out_of_memory",
        Text("the machine's memory is full[ (tried to allocate {size} bytes)]", "内存已满[（尝试分配 {size} 字节）]"),
        Text(
            "use a machine, or a container limit, with more memory; end what else uses it",
            "使用内存更大的机器或提高容器上限；结束其他占用内存的程序",
        ),
        (
            Line(
                b"DefaultCPUAllocator: ",
                rb"[^'\"]{0,100}DefaultCPUAllocator: (?:can't allocate memory|not enough memory): you tried to allocate (?P<size>\d+) bytes",
            ),
            Line(b"MemoryError", rb"MemoryError$"),
            Line(b"std::bad_alloc", rb"std::bad_alloc$"),
            Line(b"[Errno 12]", rb"\[Errno 12\] Cannot allocate memory"),
            Line(
                b"ut of memory: Killed process",
                rb"(?:\[ *[\d.+]{1,20}\] )?(?:Memory cgroup o|O)ut of memory: Killed process \d+ \(",
            ),
        ),
    ),
)
