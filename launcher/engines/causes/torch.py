"""Known causes: PyTorch, CUDA, NCCL and Triton."""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "gpu_busy",
        Text("the GPU is in use by a process that has it for itself", "GPU 正被另一个进程独占"),
        Text(
            "end the process that nvidia-smi shows; exclusive mode is ended by nvidia-smi -c DEFAULT",
            "结束 nvidia-smi 中显示的进程；用 nvidia-smi -c DEFAULT 取消独占模式",
        ),
        (
            Line(
                b" busy or unavailable",
                rb"CUDA error: (?:all CUDA-capable devices are|CUDA-capable device\(s\) is/are) busy or unavailable",
            ),
        ),
    ),
    Cause(
        "dtype_not_supported",
        Text("this GPU cannot compute in {type}", "当前 GPU 不支持 {type} 计算"),
        Text(
            "use weights and a KV cache in another precision (--dtype, --kv-cache-dtype)",
            "使用其他精度的权重和 KV cache（--dtype、--kv-cache-dtype）",
        ),
        (Line(b"not supported in this architecture", rb"type (?P<type>fp8\w+) not supported in this architecture"),),
    ),
    Cause(
        "no_device",
        Text("the AMD GPUs cannot be used: {why}", "无法使用 AMD GPU：{why}"),
        Text(
            "let the server's user open /dev/kfd and /dev/dri/renderD* (groups render and video; in a container both devices, "
            "and --group-add with the machine's group ids), and check the amdgpu driver (amd-smi on the machine)",
            "让服务的用户能打开 /dev/kfd 和 /dev/dri/renderD*（render 和 video 组；在容器中传入这两个设备，并用 --group-add "
            "指定主机的组 ID），并检查 amdgpu 驱动（在主机上运行 amd-smi）",
        ),
        (
            Line(b"AMDSMI_STATUS_", rb"(?:Error code:\s*)?\d{1,3} \| (?P<why>AMDSMI_STATUS_\w{1,60})"),
            Line(
                b"rocBLAS error: Could not initialize",
                rb"rocBLAS error: (?P<why>Could not initialize Tensile host: No devices found)",
            ),
        ),
    ),
    Cause(
        "gpu_not_supported",
        Text("this build has no code for this AMD GPU ({gpu})", "当前程序没有适用于此 AMD GPU（{gpu}）的代码"),
        Text(
            "use an image or build of ROCm for it; HSA_OVERRIDE_GFX_VERSION in `environ` makes it pass for a GPU of the same "
            "generation that the build has code for",
            "使用支持该 GPU 的 ROCm 镜像或版本；也可在 `environ` 中用 HSA_OVERRIDE_GFX_VERSION 将其视为同一代中已支持的 GPU",
        ),
        (
            Line(
                b"rocBLAS error: Cannot read",
                rb"rocBLAS error: Cannot read \S{1,300}TensileLibrary\S*: .{1,80} for GPU arch ?: ?(?P<gpu>gfx\w{2,12})",
            ),
            Line(
                b"No compatible code objects found for",
                rb":?\d:hip_fatbin\.cpp\s*:\d+\s*: \d+ us: +No compatible code objects found for: (?P<gpu>gfx\w{2,12})",
            ),
        ),
    ),
    Cause(
        "no_device",
        Text("no GPU can be used[: {why}]", "没有可用的 GPU 设备[：{why}]"),
        Text(
            "check the driver (nvidia-smi), `devices`, and in a container the GPU runtime (--gpus)",
            "检查驱动（nvidia-smi）、`devices`，容器中还要检查 GPU 运行时（--gpus）",
        ),
        (
            Line(b"No CUDA GPUs are available", rb"(?P<why>No CUDA GPUs are available)"),
            Line(b"CUDA driver initialization failed", rb"(?P<why>CUDA driver initialization failed)"),
            Line(b"hsa_init Failed", rb"(?P<why>hsa_init Failed, possibly no supported GPU devices)"),
        ),
    ),
    Cause(
        "driver_too_old",
        Text(
            "the NVIDIA driver is too old for this build[ ({why})]", "NVIDIA 驱动版本过旧，不支持当前程序[（{why}）]"
        ),
        Text("update the driver, or use a build for an older CUDA", "升级驱动，或使用基于较旧 CUDA 的版本"),
        (
            Line(
                b"The NVIDIA driver on your system is too old",
                rb"The NVIDIA driver on your system is too old \((?P<why>found version \d+)\)",
            ),
            Line(
                b"CUDA driver version is insufficient",
                rb"[^'\"]{0,100}CUDA driver version is insufficient for CUDA runtime version",
            ),
            Line(
                b"was compiled with an unsupported toolchain",
                rb"[^'\"]{0,60}(?P<why>the provided PTX was compiled with an unsupported toolchain)",
            ),
        ),
    ),
    Cause(
        "driver_mismatch",
        Text("driver and CUDA library do not fit together[: {why}]", "驱动与 CUDA 库不匹配[：{why}]"),
        Text(
            "in a container take its CUDA compatibility library out of LD_LIBRARY_PATH; on the host reboot after an update",
            "容器中请从 LD_LIBRARY_PATH 去掉 CUDA compat 库；主机升级驱动后请重启",
        ),
        (
            Line(
                b"Unexpected error from cudaGetDeviceCount()",
                rb"Unexpected error from cudaGetDeviceCount\(\)[^'\"]{0,120}(?P<why>Error 80[34]: [^'\"]{1,80})",
            ),
            Line(
                b"Driver/library version mismatch",
                rb"[^'\"]{0,400}(?P<why>Driver/library version mismatch)",
            ),
        ),
    ),
    Cause(
        "device_not_ready",
        Text(
            "CUDA is not ready on this machine (error 802: system not yet initialized)",
            "本机的 CUDA 尚未就绪（error 802: system not yet initialized）",
        ),
        Text(
            "machines with NVSwitch need nvidia-fabricmanager, in exactly the driver's version: systemctl status "
            "nvidia-fabricmanager; nvidia-smi -q shows the state of the fabric",
            "带 NVSwitch 的机器需要与驱动版本完全一致的 nvidia-fabricmanager：systemctl status nvidia-fabricmanager；"
            "nvidia-smi -q 显示 Fabric 的状态",
        ),
        (
            Line(
                b"system not yet initialized",
                rb"[^'\"]{0,200}(?:Error 802|CUDA error(?: 802)?|cudaErrorSystemNotReady): system not yet initialized",
            ),
        ),
    ),
    Cause(
        "gpu_not_supported",
        Text("DeepGEMM has no kernel for this GPU", "DeepGEMM 没有适用于该 GPU 的内核程序"),
        Text(
            "it is made for Hopper and Blackwell's data centre GPUs: choose another backend for these kernels if the engine has "
            "one (VLLM_USE_DEEP_GEMM=0, SGLANG_ENABLE_JIT_DEEPGEMM=0, --attention-backend, --moe-backend), or another GPU or "
            "model",
            "它用于 Hopper 和 Blackwell 数据中心 GPU：如果引擎支持，为这些内核选择其他后端（VLLM_USE_DEEP_GEMM=0、"
            "SGLANG_ENABLE_JIT_DEEPGEMM=0、--attention-backend、--moe-backend），或使用其他 GPU 或模型",
        ),
        (
            Line(
                b"Unsupported arch",
                rb"(?:RuntimeError: )?Assertion error \(\S{1,200}:\d{1,6}\): .{0,80}Unsupported arch",
            ),
        ),
    ),
    Cause(
        "gpu_not_supported",
        Text("this build has no code for this GPU", "当前程序没有适用于该 GPU 的代码"),
        Text(
            "use a build for its compute capability, or a newer GPU",
            "使用支持其算力（compute capability）的版本，或更新的 GPU",
        ),
        (
            Line(
                b"no kernel image is available for execution on the device",
                rb"[^'\"]{0,100}no kernel image is available for execution on the device",
            ),
            Line(b"invalid device function", rb"(?:CUDA|HIP) error: invalid device function"),
        ),
    ),
    Cause(
        "gpu_not_supported",
        Text("FlashAttention does not run on this GPU: {why}", "FlashAttention 不支持该 GPU：{why}"),
        Text(
            "choose another attention backend (--attention-backend, VLLM_ATTENTION_BACKEND), a KV cache that is not fp8 "
            "(--kv-cache-dtype), or a newer GPU",
            "选择其他注意力后端（--attention-backend、VLLM_ATTENTION_BACKEND）、非 fp8 的 KV cache（--kv-cache-dtype），"
            "或更新的 GPU",
        ),
        (
            Line(
                b"FlashAttention only supports",
                rb"[^'\"]{0,200}(?P<why>FlashAttention only supports \w+ GPUs or newer)",
            ),
            Line(
                b"FlashAttention on Ampere/Ada cards only supports",
                rb"(?P<why>FlashAttention on Ampere/Ada cards only supports fp16 and bf16 data type)",
            ),
        ),
    ),
    Cause(
        "kernel_image_invalid",
        Text(
            "the driver refuses a compiled GPU kernel (device kernel image is invalid)",
            "驱动拒绝加载已编译的 GPU 内核（device kernel image is invalid）",
        ),
        Text(
            "update the driver: it is older than the CUDA that compiled the kernel; else remove what is compiled and kept "
            "(~/.triton/cache, ~/.cache/vllm); on an AMD GPU the build of ROCm or PyTorch has no code for it: use one that has",
            "升级驱动：它比编译内核所用的 CUDA 旧；否则删除编译缓存（~/.triton/cache、~/.cache/vllm）；在 AMD GPU 上则是 ROCm 或 PyTorch "
            "没有适用于它的代码：使用支持该 GPU 的版本",
        ),
        (
            Line(
                b"device kernel image is invalid",
                rb"(?:CUDA error: |Triton Error \[CUDA\]: )device kernel image is invalid",
            ),
        ),
    ),
    Cause(
        "kernel_too_large",
        Text(
            "a Triton kernel needs {wanted} bytes of shared memory, this GPU has {there}",
            "Triton 内核需要 {wanted} 字节的共享内存，该 GPU 只有 {there}",
        ),
        Text(
            "use half precision (--dtype half) or another attention backend, or a GPU of a newer generation",
            "使用半精度（--dtype half）或其他注意力后端，或更新一代的 GPU",
        ),
        (
            Line(
                b"out of resource: shared memory",
                rb"(?:[\w.]*\.)?(?:OutOfResources: )?out of resource: shared memory, Required: (?P<wanted>\d+), Hardware limit: (?P<there>\d+)",
            ),
        ),
    ),
    Cause(
        "peer_access_unsupported",
        Text(
            "the GPUs cannot access each other's memory directly (peer access)",
            "GPU 之间无法直接访问对方的显存（peer access）",
        ),
        Text(
            "add --disable-custom-all-reduce to `args` and NCCL_P2P_DISABLE=1 to `environ`; nvidia-smi topo -p2p r shows "
            "which GPUs can (IOMMU, ACS and virtual machines prevent it)",
            "在 `args` 中加入 --disable-custom-all-reduce，在 `environ` 中设置 NCCL_P2P_DISABLE=1；nvidia-smi topo -p2p r "
            "显示哪些 GPU 支持（IOMMU、ACS 和虚拟机会阻止）",
        ),
        (
            Line(
                b"peer access is not supported",
                rb"(?:CUDA|HIP) error: peer access is not supported between these two devices",
            ),
        ),
    ),
    Cause(
        "gpu_assigned_twice",
        Text("rank {one} and rank {other} use the same GPU", "rank {one} 和 rank {other} 使用了同一块 GPU"),
        Text(
            "give each rank a GPU of its own: check `devices` (CUDA_VISIBLE_DEVICES), the parallel sizes, and that Ray gives "
            "each worker one",
            "为每个 rank 分配单独的 GPU：检查 `devices`（CUDA_VISIBLE_DEVICES）、并行规模，以及 Ray 是否为每个 worker 分配一块",
        ),
        (Line(b"Duplicate GPU detected", rb"Duplicate GPU detected ?: rank (?P<one>\d+) and rank (?P<other>\d+)"),),
    ),
    Cause(
        "ptxas_failed",
        Text("Triton's ptxas cannot compile for this GPU: {why}", "Triton 的 ptxas 无法为该 GPU 编译：{why}"),
        Text(
            "use a build for a newer CUDA, or set TRITON_PTXAS_PATH in `environ` to the ptxas of a newer CUDA",
            "使用基于更新 CUDA 的版本，或在 `environ` 中把 TRITON_PTXAS_PATH 设为更新的 CUDA 中的 ptxas",
        ),
        (
            Line(
                b"ptxas",
                rb"ptxas(?:-\w+)? fatal +: (?P<why>[^\[]{1,120})",
            ),
        ),
    ),
    Cause(
        "device_missing",
        Text("a device is asked for that is not there", "请求的设备不存在"),
        Text(
            "check `devices` (CUDA_VISIBLE_DEVICES; in a container they are numbered from 0) and the parallel sizes in `args`",
            "检查 `devices`（CUDA_VISIBLE_DEVICES；容器内从 0 开始编号）和 `args` 中的并行规模",
        ),
        (
            Line(b"invalid device ordinal", rb"[^'\"]{0,100}invalid device ordinal"),
            Line(b"NVMLError_InvalidArgument", rb"(?:[\w.]*\.)?NVMLError_InvalidArgument(?:: |$)"),
        ),
    ),
    Cause(
        "gpu_fault",
        Text("an assertion in a GPU kernel failed: {why}", "GPU 内核中的断言失败：{why}"),
        Text(
            "mostly a value out of range: a fault of the engine, or a config.json (vocabulary, positions) that does not belong to "
            "the model; if nothing above says which kernel, run again with CUDA_LAUNCH_BLOCKING=1",
            "多为取值越界：引擎的错误，或 config.json（词表、位置）与模型不符；如果上文没有指出是哪个内核，设置 "
            "CUDA_LAUNCH_BLOCKING=1 重新运行",
        ),
        (
            Line(b" Assertion `", rb"[\w./+-]{1,200}\.cuh?:\d{1,7}: .{0,200}Assertion `(?P<why>.{1,150})` failed"),
            Line(b"device-side assert triggered", rb"[^'\"]{0,60}CUDA error: (?P<why>device-side assert triggered)"),
        ),
    ),
    Cause(
        "gpu_fault",
        Text("a GPU kernel failed: {why}", "GPU 内核执行失败：{why}"),
        Text(
            "check dmesg for Xid errors and the GPU's health (nvidia-smi -q); if the GPU is sound, it is a fault of the engine: run again with CUDA_LAUNCH_BLOCKING=1",
            "查看 dmesg 中的 Xid 错误和 GPU 健康状态（nvidia-smi -q）；如果 GPU 正常，则是引擎的问题：设置 CUDA_LAUNCH_BLOCKING=1 重新运行",
        ),
        (
            Line(
                b"CUDA",
                rb"[^'\"]{0,60}(?:CUDA error(?: \(\S{1,300}\))?: |Triton Error \[CUDA\]: )(?P<why>an illegal memory access was encountered|unspecified launch failure|misaligned address|an illegal instruction was encountered|uncorrectable ECC error encountered|unknown error)",
            ),
        ),
    ),
    Cause(
        "gpu_fault",
        Text("a GPU kernel failed: {why}", "GPU 内核执行失败：{why}"),
        Text(
            "the engine, or the build of ROCm, may not support this GPU (rocminfo shows its gfx name): use a build or image for "
            "it, and leave out what the engine has for other GPUs (VLLM_ROCM_USE_AITER=0); on a GPU that is supported see dmesg",
            "引擎或 ROCm 版本可能不支持该 GPU（rocminfo 显示其 gfx 名称）：使用支持它的版本或镜像，关闭只适用于其他 GPU 的功能"
            "（VLLM_ROCM_USE_AITER=0）；如果 GPU 受支持，查看 dmesg",
        ),
        (
            Line(b"Memory access fault by GPU", rb"(?P<why>Memory access fault by GPU.{1,200})"),
            Line(
                b"HSA_STATUS_ERROR",
                rb":?0:rocdevice\.cpp.{1,120} aborting with error : (?P<why>HSA_STATUS_ERROR_.{1,150})",
            ),
        ),
    ),
    Cause(
        "gpu_xid",
        Text("the GPU {gpu} reports Xid {code}: {why}", "GPU {gpu} 报告 Xid {code}：{why}"),
        Text(
            "13, 31, 43, 45: mostly a fault of the program, whose own error says more; 48, 63, 64, 94, 95: memory errors (ECC): "
            "nvidia-smi -q -d ECC, reset or replace the GPU; 79: it is off the bus: power, slot, heat; 119, 120: its firmware "
            "(GSP) hangs: reset it or reboot; others: NVIDIA's list of Xid errors",
            "13、31、43、45：多为程序错误，程序自身的报错更具体；48、63、64、94、95：显存错误（ECC）：nvidia-smi -q -d ECC，重置或更换 GPU；"
            "79：GPU 掉卡：检查供电、插槽和温度；119、120：固件（GSP）无响应：重置或重启；其他见 NVIDIA 的 Xid 列表",
        ),
        (
            Line(
                b"NVRM: Xid (",
                rb"(?:\[ *[\d.+]{1,20}\] )?NVRM: Xid \(PCI:(?P<gpu>[\w:.]{4,40})\): (?P<code>\d{1,4}), (?P<why>.{1,200})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "gpu_call_failed",
        Text(
            "the operating system refused a call of the CUDA driver: {why}", "操作系统拒绝了 CUDA 驱动的调用：{why}"
        ),
        Text(
            "mostly memory that is to be locked (pinned): raise its limit (ulimit -l; Docker: --ulimit memlock=-1), check the "
            "host's free memory (WSL2 lets little of it be locked) and dmesg",
            "多为无法锁定内存（pinned memory）：提高限制（ulimit -l；Docker：--ulimit memlock=-1），检查主机可用内存（WSL2 "
            "可锁定的内存很少）和 dmesg",
        ),
        (Line(b"OS call failed", rb"[^'\"]{0,60}CUDA error: (?P<why>OS call failed[\w ]{0,60})"),),
    ),
    Cause(
        "kernel_failed",
        Text("a call of CUDA failed at {file}: {why}", "{file} 处的 CUDA 调用失败：{why}"),
        Text(
            "mostly these kernels are not made for this GPU: use a build for its compute capability, or another backend (of "
            "attention, if the file is one of flash-attention's)",
            "该内核多半不支持此 GPU：使用适用于其计算能力的版本，或其他后端（如果是 flash-attention 的文件，换用其他注意力后端）",
        ),
        (
            Line(
                b"CUDA error (",
                rb"CUDA error \((?:\S{1,250}/)?(?P<file>[\w.-]{1,100}:\d{1,7})\): "
                rb"(?P<why>(?!out of memory|no kernel image|an illegal memory access)[a-z][\w ,'()-]{5,120})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "gpu_call_failed",
        Text("a call of the GPU's driver or runtime failed: {why}", "GPU 驱动或运行时的调用失败：{why}"),
        Text(
            "check nvidia-smi (rocm-smi) and dmesg, and that the driver fits this build's CUDA or ROCm; the frame may be a later "
            "one than that of the fault: run again with CUDA_LAUNCH_BLOCKING=1 (AMD_SERIALIZE_KERNEL=3)",
            "检查 nvidia-smi（rocm-smi）和 dmesg，以及驱动是否适合该版本的 CUDA 或 ROCm；报错位置可能晚于出错处："
            "设置 CUDA_LAUNCH_BLOCKING=1（AMD_SERIALIZE_KERNEL=3）重新运行",
        ),
        (
            Line(
                b" error: ",
                rb"(?:CUDA|HIP)(?: driver| runtime)? error: "
                rb"(?P<why>(?!operation (?:failed due to|not permitted (?:when|on an event))|out of memory)[a-z][\w ,'()-]{5,120})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "kernel_failed",
        Text("a GPU kernel of CUTLASS failed: {why}", "CUTLASS 的 GPU 内核执行失败：{why}"),
        Text(
            "mostly it is not made for this GPU: use a build for it, another quantization of the model, or another backend for "
            "these kernels (vLLM: --moe-backend, VLLM_DISABLED_KERNELS)",
            "该内核多半不支持此 GPU：使用适用于它的版本、其他量化版本的模型，或这些内核的其他后端（vLLM：--moe-backend、"
            "VLLM_DISABLED_KERNELS）",
        ),
        (
            Line(b"cutlass", rb"(?P<why>(?:\[[\w ]{1,60}\] )?Failed to (?:initialize|run|execute) cutlass.{0,120})"),
            Line(b"Error Internal", rb"(?P<why>Error Internal)$"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "cublas_failed",
        Text("cuBLAS failed: {why}", "cuBLAS 失败：{why}"),
        Text(
            "most often the GPU's memory is full, or libcublas does not fit this PyTorch",
            "通常是显存已满，或 libcublas 与 PyTorch 不匹配",
        ),
        (
            Line(
                b"CUBLAS_STATUS_",
                rb"[^'\"]{0,60}(?P<why>CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED|EXECUTION_FAILED|INTERNAL_ERROR|NOT_SUPPORTED|INVALID_VALUE))",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "nccl_failed",
        Text("the GPUs cannot talk to each other (NCCL)[: {why}]", "GPU 之间无法通信（NCCL）[：{why}]"),
        Text(
            "run again with NCCL_DEBUG=INFO in `environ`; check NCCL_SOCKET_IFNAME and /dev/shm",
            "在 `environ` 中设置 NCCL_DEBUG=INFO 重新运行；检查 NCCL_SOCKET_IFNAME 和 /dev/shm",
        ),
        (
            Line(b"NCCL error", rb"NCCL error[ :] ?(?:in: [^,]{1,200}, )?(?P<why>\w[\w ]{2,60}\w)?"),
            Line(b"NCCL Error ", rb"NCCL Error \d{1,2}: (?P<why>\w[\w ]{2,60}\w)"),
            Line(b"ncclSystemError", rb"ncclSystemError: (?P<why>[^.\n]{0,80})"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "nvshmem_failed",
        Text("the GPUs of the nodes cannot be connected (NVSHMEM)", "节点间的 GPU 无法连接（NVSHMEM）"),
        Text(
            "DeepEP needs RDMA between the nodes: give the container /dev/infiniband and --ulimit memlock=-1, choose the "
            "network cards (NVSHMEM_HCA_LIST), and check that all of them reach each other",
            "DeepEP 需要节点间的 RDMA：为容器提供 /dev/infiniband 和 --ulimit memlock=-1，指定网卡（NVSHMEM_HCA_LIST），"
            "并检查它们能否互通",
        ),
        (
            Line(b"nvshmem setup connections failed"),
            Line(b"nvshmem initialization failed"),
            Line(b"NVSHMEM API called before NVSHMEM initialization has completed"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "worker_timeout",
        Text("DeepEP waited too long for the other ranks ({why})", "DeepEP 等待其他 rank 超时（{why}）"),
        Text(
            "find the rank that failed first, or is slow: it may still compile kernels (compile DeepGEMM's before the start); "
            "else check the RDMA network",
            "找到最先出错或较慢的 rank：它可能仍在编译内核（请在启动前预编译 DeepGEMM）；否则检查 RDMA 网络",
        ),
        (Line(b"DeepEP error: ", rb"DeepEP error: (?P<why>(?:CPU recv )?timeout.{0,40})"),),
        Rank.GENERAL,
    ),
    Cause(
        "deepep_tokens",
        Text(
            "a rank has more tokens than DeepEP's low-latency mode is set up for (num_max_dispatch_tokens_per_rank)",
            "某个 rank 的 token 数超过了 DeepEP 低延迟模式的上限（num_max_dispatch_tokens_per_rank）",
        ),
        Text(
            "raise SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK (SGLang) in `environ`, lower the number of running requests, or "
            "use DeepEP's normal or auto mode for prefill",
            "在 `environ` 中增大 SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK（SGLang），减少并发请求数，或在 prefill 中使用 "
            "DeepEP 的 normal 或 auto 模式",
        ),
        (
            Line(
                b"<= num_max_dispatch_tokens_per_rank",
                rb"(?:Failed: )?Assertion error \S{1,200} '[^']{0,120}<= num_max_dispatch_tokens_per_rank'",
            ),
        ),
    ),
    Cause(
        "rank_died",
        Text("the process of local rank {name}", "local rank {name} 的进程"),
        Text("", ""),
        (
            Line(
                b"failed (exitcode: -",
                rb"failed \(exitcode: (?P<status>-\d+)\) local_rank: (?P<name>\d+)",
            ),
        ),
        died=True,
    ),
    Cause(
        "compile_failed",
        Text("a kernel cannot be compiled: {why}", "内核程序编译失败：{why}"),
        Text(
            "the compiler's output below says why; --enforce-eager (vLLM) or --disable-cuda-graph (SGLang) do without",
            "原因见下方编译器输出；可用 --enforce-eager（vLLM）或 --disable-cuda-graph（SGLang）跳过编译",
        ),
        (
            Line(
                b" error: ",  # the compiler's own line, in the output that torch and FlashInfer quote
                rb"(?:[\w./+-]{1,300}(?:[:(]\d{1,7}\)?){1,2}: )(?:fatal )?error: (?P<why>(?!.*No such file).{3,200})",
            ),
            Line(b"CppCompileError", rb"(?P<why>C\+\+ compile error)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "compile_failed",
        Text("DeepGEMM cannot compile or load a kernel: {why}", "DeepGEMM 无法编译或加载内核程序：{why}"),
        Text(
            "it needs a CUDA toolkit (nvcc, cuobjdump; CUDA_HOME) that fits PyTorch's CUDA: the lines above may say what failed; "
            "or do without it: VLLM_USE_DEEP_GEMM=0 (vLLM), SGLANG_ENABLE_JIT_DEEPGEMM=0 (SGLang) in `environ`",
            "它需要与 PyTorch 的 CUDA 匹配的 CUDA toolkit（nvcc、cuobjdump；CUDA_HOME）：上方的行可能说明原因；或不使用它：在 "
            "`environ` 中设置 VLLM_USE_DEEP_GEMM=0（vLLM）、SGLANG_ENABLE_JIT_DEEPGEMM=0（SGLang）",
        ),
        (
            Line(
                b"Assertion error (",
                rb"(?:RuntimeError: )?Assertion error \(\S{0,200}/jit/[\w.]{1,60}:\d{1,6}\): (?P<why>.{1,200})",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "compile_failed",
        Text("Triton cannot compile a kernel for this GPU[: {why}]", "Triton 无法为该 GPU 编译内核程序[：{why}]"),
        Text(
            "Triton and the GPU do not fit: use the Triton that belongs to the engine's PyTorch, or another attention backend",
            "Triton 与 GPU 不匹配：使用引擎的 PyTorch 所要求的 Triton，或其他注意力后端",
        ),
        (
            Line(b"PassManager::run failed"),
            Line(b"Cannot select: ", rb"(?P<why>Cannot select: .{1,200})"),  # behind a stamp `LLVM ERROR` is a level
            Line(b"LLVM ERROR: ", rb"(?:Translate to LLVM IR failed)?LLVM ERROR: (?P<why>.{1,200})"),
            Line(
                b"): error: ",
                rb"loc\(.{1,300}\): error: (?P<why>(?!operation scheduled before its operands).{1,200})",
            ),
            Line(b"LLVM Translation failed", rb"(?P<why>LLVM Translation failed for operation: \S{1,100})"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "graph_capture_failed",
        Text("the capture of a CUDA graph failed: {why}", "CUDA graph 捕获失败：{why}"),
        Text(
            "start without CUDA graphs (vLLM: --enforce-eager; SGLang: --disable-cuda-graph); if torch.compile is on as well, "
            "without that first (SGLang: --enable-torch-compile); on AMD GPUs update ROCm",
            "不使用 CUDA graph 启动（vLLM：--enforce-eager；SGLang：--disable-cuda-graph）；如果同时启用了 torch.compile，先关闭它"
            "（SGLang：--enable-torch-compile）；AMD GPU 请升级 ROCm",
        ),
        (
            Line(
                b"when stream is capturing",
                rb"(?:CUDA|HIP) error: (?P<why>operation not permitted when stream is capturing)",
            ),
            Line(
                b"in a capturing stream",
                rb"(?:CUDA|HIP) error: (?P<why>operation not permitted on an event last recorded in a capturing stream)",
            ),
            Line(b"during CUDA graph capture", rb"(?P<why>Cannot call \S{1,80} during CUDA graph capture)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "graph_capture_failed",
        Text("the capture of a CUDA graph failed", "CUDA graph 捕获失败"),
        ABOVE,
        (
            Line(
                b"operation failed due to a previous error during capture",
                rb"(?:CUDA|HIP) error: operation failed due to a",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
)
