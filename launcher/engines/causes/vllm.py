"""Known causes: vLLM, 0.6 to 0.32."""

from tracetail.launcher.engines.causes import checkpoint
from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "max_model_len",
        Text(
            "--max-model-len {wanted} is more than the model's {most}",
            "--max-model-len {wanted} 超过了模型的上限 {most}",
        ),
        Text("lower --max-model-len", "减小 --max-model-len"),
        (
            Line(
                b"is greater than the derived max_model_len",
                rb"User-specified max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len \(\w+=(?P<most>\d+)",
            ),
        ),
    ),
    Cause(
        "max_num_batched_tokens",
        Text(
            "max_num_batched_tokens ({batch}) is smaller than {what}", "max_num_batched_tokens（{batch}）小于 {what}"
        ),
        Text("raise --max-num-batched-tokens, or lower the other", "增大 --max-num-batched-tokens，或减小另一项"),
        (
            Line(
                b"max_num_batched_tokens",
                rb"max_num_batched_tokens \((?P<batch>\d+)\) (?:is smaller than|must be greater than or equal to) (?P<what>max_\w+ \(\d+\))",
            ),
        ),
    ),
    Cause(
        "model_not_found",
        Text(
            "there is no model that vLLM can read[ at {path}]: neither a directory with a config.json nor a repository",
            "没有 vLLM 能读取的模型[：{path}]：既不是含 config.json 的目录，也不是 hub 上的仓库",
        ),
        Text(
            "check modelPath (or the draft model's): it needs a config.json that vLLM knows",
            "检查 modelPath（或草稿模型的路径）：需要 vLLM 支持的 config.json",
        ),
        (
            Line(
                b"Invalid repository ID or local directory specified",
                rb"Invalid repository ID or local directory specified:(?: '(?P<path>[^']*)')?",
            ),
        ),
    ),
    Cause(
        "model_not_found",
        Text(
            "the model is not in Mistral's own format: it has no params.json",
            "该模型不是 Mistral 自有格式：没有 params.json",
        ),
        Text(
            "leave out --config-format mistral and --load-format mistral (--tokenizer-mode mistral needs tekken.json, too), or "
            "use the model's original files",
            "去掉 --config-format mistral 和 --load-format mistral（--tokenizer-mode mistral 还需要 tekken.json），或使用模型的原始文件",
        ),
        (
            Line(b"Failed to load mistral 'params.json'"),
            Line(b"assert isinstance(config_dict, dict)"),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("this vLLM does not know the architecture[ {names}]", "当前 vLLM 不支持该模型架构[ {names}]"),
        Text(
            "update vLLM, or check `architectures` in the model's config.json",
            "升级 vLLM，或检查模型 config.json 中的 `architectures`",
        ),
        (
            Line(
                b"are not supported for now", rb"Model architectures (?P<names>\[[^\]]*\]) are not supported for now"
            ),
            Line(b"No model architectures are specified"),
        ),
    ),
    Cause(
        "gpu_memory_in_use",
        Text(
            "only {free} of {total} GiB are free[ on {device}]", "[{device} 上]只剩 {free} GiB（共 {total} GiB）可用"
        ),
        Text(
            "end what else uses the GPU (nvidia-smi), or lower --gpu-memory-utilization",
            "结束其他占用 GPU 的程序（nvidia-smi），或减小 --gpu-memory-utilization",
        ),
        (
            Line(
                b"is less than desired GPU memory utilization",
                rb"Free memory on device(?: (?P<device>\S+))? \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup",
            ),
        ),
    ),
    Cause(
        "no_kv_cache_memory",
        Text("no memory is left for the KV cache", "没有剩余显存用于 KV cache"),
        Text("raise --gpu-memory-utilization, or use more GPUs", "增大 --gpu-memory-utilization，或使用更多 GPU"),
        (Line(b"No available memory for the cache blocks"),),
    ),
    Cause(
        "kv_cache_too_small",
        Text(
            "a sequence of {length} needs {needed} of KV cache, {there} are there",
            "长度 {length} 的序列需要 {needed} KV cache，现有 {there}",
        ),
        Text(
            "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs",
            "减小 --max-model-len，增大 --gpu-memory-utilization，或使用更多 GPU",
        ),
        (
            Line(
                b"larger than the available KV cache",
                rb"To serve at least one request with the models?(?:'s)? max seq len \((?P<length>\d+)\), \(?(?P<needed>[\d.]+ \w+) KV cache is needed, which is larger than the available KV cache memory \((?P<there>[\d.]+ \w+)\)",
            ),
            Line(
                b"larger than the maximum number of tokens that can be stored in KV cache",
                rb"The model's max seq len \((?P<needed>(?P<length>\d+))\) is larger than the maximum number of tokens that can be stored in KV cache \((?P<there>\d+)\)",
            ),
        ),
    ),
    Cause(
        "max_num_seqs",
        Text(
            "--max-num-seqs {wanted} is more than the Mamba cache holds: {there} sequences",
            "--max-num-seqs {wanted} 超过了 Mamba cache 能容纳的序列数 {there}",
        ),
        Text(
            "lower --max-num-seqs to {there} or less, or raise --gpu-memory-utilization",
            "将 --max-num-seqs 减小到 {there} 以内，或增大 --gpu-memory-utilization",
        ),
        (
            Line(
                b"exceeds available Mamba cache blocks",
                rb"max_num_seqs \((?P<wanted>\d+)\) exceeds available Mamba cache blocks \((?P<there>\d+)\)",
            ),
        ),
    ),
    Cause(
        "hybrid_kv_cache",
        Text(
            "this model has layers of different kinds, whose KV caches cannot be made one, and the hybrid KV cache manager is off",
            "该模型含有不同类型的层，其 KV cache 无法统一，而 hybrid KV cache manager 已关闭",
        ),
        Text(
            "remove --disable-hybrid-kv-cache-manager; a KV connector (--kv-transfer-config) turns it off, too, unless it supports "
            "such models: use another connector, none, or a newer vLLM",
            "去掉 --disable-hybrid-kv-cache-manager；不支持此类模型的 KV connector（--kv-transfer-config）也会将其关闭："
            "换用其他 connector、不使用 connector，或升级 vLLM",
        ),
        (Line(b"Hybrid KV cache manager is disabled but failed to convert"),),
    ),
    Cause(
        "kv_cache_too_large",
        Text(
            "a KV cache of {wanted} is asked for, {there} are free[ on node {node}]",
            "请求的 KV cache 为 {wanted}，[节点 {node} ]只有 {there} 可用",
        ),
        Text(
            "lower --kv-cache-memory-bytes or VLLM_CPU_KVCACHE_SPACE",
            "减小 --kv-cache-memory-bytes 或 VLLM_CPU_KVCACHE_SPACE",
        ),
        (
            Line(
                b"is less than requested memory for kv",
                rb"Available memory on node (?P<node>\d+) \((?P<there>[\d.]+)/[\d.]+ GiB\) on kv cache allocation is less than requested memory for kv \((?P<wanted>[\d.]+ GiB)\)",
            ),
        ),
    ),
    Cause(
        "max_num_batched_tokens",
        Text(
            "max_num_batched_tokens ({batch}) is smaller than one image, video or audio input ({item} tokens)",
            "max_num_batched_tokens（{batch}）小于单个图像、视频或音频输入（{item} 个 token）",
        ),
        Text("raise --max-num-batched-tokens", "增大 --max-num-batched-tokens"),
        (
            Line(
                b"max_tokens_per_mm_item",
                rb"Chunked MM input disabled but max_tokens_per_mm_item \((?P<item>\d+)\) is larger than max_num_batched_tokens \((?P<batch>\d+)\)",
            ),
        ),
    ),
    Cause(
        "lora_rank",
        Text(
            "LoRA rank {rank} is more than --max-lora-rank {most}",
            "LoRA rank {rank} 超过了 --max-lora-rank {most}",
        ),
        Text("raise --max-lora-rank", "增大 --max-lora-rank"),
        (
            Line(
                b"is greater than max_lora_rank",
                rb"LoRA rank (?P<rank>\d+) is greater than max_lora_rank (?P<most>\d+)",
            ),
        ),
    ),
    Cause(
        "lora_unsupported",
        Text("vLLM cannot use LoRA with this model: {name}", "vLLM 不支持该模型使用 LoRA：{name}"),
        Text(
            "merge the adapter into the model, remove --enable-lora, or update vLLM",
            "将适配器合并到模型中，去掉 --enable-lora，或升级 vLLM",
        ),
        (
            Line(
                b"does not support LoRA",
                rb"(?P<name>(?:Model )?[\w.-]+ does not support LoRA)\b(?:, but LoRA is enabled| yet|\.|$)",
            ),
        ),
    ),
    Cause(
        "lora_not_found",
        Text("there is no LoRA adapter at {path}", "{path} 没有 LoRA 适配器"),
        Text(
            "check the path in --lora-modules: the directory needs adapter_config.json and the adapter's weights",
            "检查 --lora-modules 中的路径：目录中需要 adapter_config.json 和适配器权重",
        ),
        (
            Line(
                b"/adapter_config.json'",
                rb"\[Errno 2\] No such file or directory: '(?P<path>[^']*)/adapter_config\.json'",
            ),
            Line(b"No adapter found for", rb"Loading lora \S+ failed: No adapter found for (?P<path>[^\s\"'\]]+)"),
        ),
    ),
    Cause(
        "lora_mismatch",
        Text(
            "the LoRA adapter has weights that vLLM cannot apply to this model: {names}",
            "LoRA 适配器含有 vLLM 无法用于该模型的权重：{names}",
        ),
        Text(
            "check that it was trained for this model; train it without those modules (target_modules, modules_to_save), "
            "or merge it into the model",
            "检查它是否为该模型训练；训练时去掉这些模块（target_modules、modules_to_save），或将其合并到模型中",
        ),
        (
            Line(
                b"expected target modules in",
                rb"While loading \S+, expected target modules in .{1,1500}? but received (?P<names>\[[^\]]{1,200})",
            ),
            Line(b"is unsupported LoRA weight", rb"(?P<names>\S+) is unsupported LoRA weight"),
        ),
    ),
    Cause(
        "lora_not_loaded",
        Text("the LoRA adapter {name} was not loaded", "LoRA 适配器 {name} 没有加载"),
        ABOVE,
        (Line(b"Loading lora", rb"Loading lora (?P<name>\S+) failed$"),),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "block_size",
        Text(
            "the attention backends do not take a block size of {size} ({why})",
            "注意力后端不支持块大小（block size）{size}（{why}）",
        ),
        Text("remove --block-size, or choose one that is listed", "去掉 --block-size，或选择列出的值"),
        (
            Line(
                b"No common block size for",
                rb"No common block size for (?P<size>\d+) \((?P<why>[^)]{1,200}\)?[^)]{0,100})",
            ),
        ),
    ),
    Cause(
        "socket_not_made",
        Text("the directory of vLLM's socket does not exist: {path}", "vLLM 的 socket 所在目录不存在：{path}"),
        Text(
            "make the directory that VLLM_RPC_BASE_PATH, or TMPDIR, in `environ` names",
            "创建 `environ` 中 VLLM_RPC_BASE_PATH 或 TMPDIR 指定的目录",
        ),
        (Line(b"for ipc path", rb'No such file or directory for ipc path "(?P<path>[^"]*)"'),),
    ),
    Cause(
        "socket_not_made",
        Text("the path of vLLM's socket is too long: {path}", "vLLM 的 socket 路径过长：{path}"),
        Text(
            "set VLLM_RPC_BASE_PATH, or TMPDIR, in `environ` to a directory with a shorter path",
            "在 `environ` 中把 VLLM_RPC_BASE_PATH 或 TMPDIR 设为路径更短的目录",
        ),
        (Line(b"ipc path", rb'ipc path "(?P<path>[^"]*)" is longer than \d+ characters'),),
    ),
    Cause(
        "cuda_in_forked_process",
        Text("CUDA was used before the workers were forked", "在 fork 工作进程之前已经使用了 CUDA"),
        Text(
            "set VLLM_WORKER_MULTIPROC_METHOD=spawn in `environ`",
            "在 `environ` 中设置 VLLM_WORKER_MULTIPROC_METHOD=spawn",
        ),
        (Line(b"Cannot re-initialize CUDA in forked subprocess"),),
    ),
    Cause(
        "extension_missing",
        Text(
            "vLLM's compiled part (vllm._C) has no {name}, or was not loaded",
            "vLLM 的编译部分（vllm._C）缺少 {name}，或没有加载",
        ),
        Text(
            "the warning `Failed to import from vllm._C` says why: install a build of vLLM that fits torch and the "
            "system, and do not start it in vLLM's source directory; without that warning, a build for this device "
            "does not have it: leave out the option that needs it (as --cpu-offload-gb)",
            "原因见警告 `Failed to import from vllm._C`：安装与 torch 和系统匹配的 vLLM，且不要在 vLLM 源码目录中启动；"
            "如果没有该警告，则适用于此设备的版本不提供它：去掉需要它的参数（如 --cpu-offload-gb）",
        ),
        (Line(b"'_OpNamespace' '_", rb"'_OpNamespace' '_\w*C\w*' object has no attribute '(?P<name>\w+)'"),),
    ),
    Cause(
        "extension_missing",
        Text("this vLLM has no compiled part vllm.{name}", "当前 vLLM 没有编译部分 vllm.{name}"),
        Text(
            "install a build of vLLM whose compiled and Python parts are of one version, and do not start it in vLLM's "
            "source directory, where Python finds the sources first",
            "安装编译部分与 Python 部分版本一致的 vLLM，且不要在 vLLM 源码目录中启动（Python 会先找到源码）",
        ),
        (Line(b"No module named 'vllm._", rb"No module named 'vllm\.(?P<name>_\w*C\w*)'"),),
    ),
    Cause(
        "gpu_memory_changed",
        Text("another process freed GPU memory while vLLM measured it", "vLLM 测量显存时，另一个进程释放了显存"),
        Text("start one server at a time on a GPU", "同一 GPU 上一次只启动一个服务"),
        (Line(b"Error in memory profiling"),),
    ),
    Cause(
        "parallel_size",
        Text("{heads} {what} cannot be split over {size} GPUs", "{heads} 个 {what} 无法分配到 {size} 个 GPU"),
        Text("choose a --tensor-parallel-size that divides {heads}", "选择能整除 {heads} 的 --tensor-parallel-size"),
        (
            Line(
                b"must be divisible by tensor parallel size",
                rb"Total number of (?P<what>attention heads) \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<size>\d+)\)",
            ),
        ),
    ),
    Cause(
        "not_enough_gpus",
        Text("{size} GPUs are asked for[, {there} are there]", "请求了 {size} 个 GPU[，只有 {there} 个]"),
        Text(
            "lower --tensor-parallel-size, or name more `devices`",
            "减小 --tensor-parallel-size，或在 `devices` 中填写更多设备",
        ),
        (
            Line(
                b"is larger than the number of available GPUs",
                rb"World size \((?P<size>\d+)\) is larger than the number of available GPUs \((?P<there>\d+)\)",
            ),
        ),
    ),
    Cause(
        "remote_code_not_trusted",
        Text(
            "the model brings code of its own, which vLLM does not run unasked", "模型自带代码，vLLM 未经允许不会执行"
        ),
        Text(
            "add --trust-remote-code to `args`, if you trust it",
            "如果信任该模型，在 `args` 中加入 --trust-remote-code",
        ),
        (Line(b"trust_remote_code=True", rb"Failed to load the model config\. If the model is a custom model"),),
    ),
    Cause(
        "dtype_not_supported",
        Text("this GPU cannot compute in bfloat16", "该 GPU 不支持 bfloat16"),
        Text("add --dtype=half to `args`", "在 `args` 中加入 --dtype=half"),
        (Line(b"Bfloat16 is only supported on GPUs"),),
    ),
    Cause(
        "dtype_not_supported",
        Text(
            "weights of the quantization {name} cannot be computed in {type}", "量化方式 {name} 不支持以 {type} 计算"
        ),
        Text(
            "choose one of those that the line lists for --dtype, or leave --dtype out",
            "将 --dtype 设为该行列出的类型，或去掉 --dtype",
        ),
        (
            Line(
                b"is not supported for quantization method",
                rb"torch\.(?P<type>\w+) is not supported for quantization method (?P<name>\w+)",
            ),
        ),
    ),
    Cause(
        "dtype_not_supported",
        Text(
            "FlashAttention 3 computes an fp8 KV cache in bfloat16 only",
            "FlashAttention 3 对 fp8 的 KV cache 只支持以 bfloat16 计算",
        ),
        Text(
            "use --dtype bfloat16, or leave --kv-cache-dtype out",
            "使用 --dtype bfloat16，或去掉 --kv-cache-dtype",
        ),
        (
            Line(
                b"For FP8 input, output must have dtype BF16",
                rb"For FP16/BF16 input, output must have the same dtype",
            ),
        ),
    ),
    Cause(
        "weights_missing",
        Text("the model has no weights: {path}", "模型没有权重（weights）：{path}"),
        Text(
            "check that the directory holds the whole model: download or copy it again",
            "检查目录是否包含完整的模型：重新下载或复制",
        ),
        (Line(b"Cannot find any model weights with", rb"Cannot find any model weights with `(?P<path>[^`]*)`"),),
    ),
    Cause(
        "weights_incomplete",
        Text("weights are missing in the checkpoint: {names}", "检查点中缺少权重：{names}"),
        Text(
            "check that every shard of the index is there and that config.json is this checkpoint's",
            "检查索引中的所有分片是否都在，以及 config.json 是否属于该检查点",
        ),
        (
            Line(
                b"weights were not initialized from checkpoint",
                rb"Following weights were not initialized from checkpoint: \{(?P<names>[^}]{1,200})",
            ),
        ),
    ),
    Cause(
        "quantization_unknown",
        Text(
            "this GPU is too old for the quantization: its compute capability is {there}, {needed} is needed",
            "该 GPU 不支持这种量化：其算力（compute capability）为 {there}，需要 {needed}",
        ),
        Text("use another quantization of the model, or a newer GPU", "使用其他量化版本的模型，或更新的 GPU"),
        (
            Line(
                b"Quantization scheme is not supported for",
                rb"\('Quantization scheme is not supported for ', 'the current GPU\. Min capability: (?P<needed>\d+)\. ', "
                rb"'Current capability: (?P<there>\d+)",
            ),
            Line(
                b"is not supported for the current GPU",
                rb"The quantization method \S+ is not supported for the current GPU\. Minimum capability: (?P<needed>\d+)\. "
                rb"Current capability: (?P<there>\d+)",
            ),
        ),
    ),
    Cause(
        "quantization_unknown",
        Text("the quantization cannot be used: {why}", "无法使用该量化方式：{why}"),
        Text(
            "remove --quantization, update vLLM, or use another quantization of the model",
            "去掉 --quantization，升级 vLLM，或使用其他量化版本的模型",
        ),
        (
            Line(
                b"Quantization method specified in the model config",
                rb"(?P<why>Quantization method specified in the model config \([^)]{1,40}\) does not match the quantization "
                rb"method specified in the `quantization` argument \([^)]{1,40}\))",
            ),
            Line(b"Unknown quantization method", rb"(?P<why>Unknown quantization method: [\w-]+)"),
            Line(b"Cannot find the config file for", rb"(?P<why>Cannot find the config file for \w+)"),
            Line(
                b"quantization method",
                rb"(?P<why>(?:The quantization method|\S+) \S*quantization(?: method)? .{0,100}(?:not supported|unsupported)[^.\[]{0,80})",
            ),
        ),
    ),
    Cause(
        "quantization_unsupported",
        Text("no kernel can compute this quantization here: {why}", "没有能在此运行该量化方式的内核：{why}"),
        Text(
            "the line gives the reason for each kernel: use another quantization of the model, another GPU, or a build of "
            "vLLM for this one; remove options that choose a backend",
            "该行列出了每个内核不可用的原因：使用其他量化版本的模型、其他 GPU 或适用于该 GPU 的 vLLM；去掉指定后端的选项",
        ),
        (
            Line(
                b"Failed to find a kernel that can implement",
                rb"(?P<why>Failed to find a kernel that can implement the [\w ]{1,60})",
            ),
            Line(
                b"MoE backend",
                rb"(?P<why>\w+ MoE backend '?[\w.]+'? does not support the deployment configuration[^\[]{0,150})",
            ),
            Line(
                b"No compiled cutlass_scaled_mm",
                rb"[^'\"]{0,100}(?P<why>No compiled cutlass_scaled_mm for(?: a compute capability less than)? CUDA device "
                rb"capability: \d+)",
            ),
        ),
    ),
    Cause(
        "device_not_found",
        Text("vLLM finds no device", "vLLM 找不到设备（device）"),
        Text(
            "check the driver (nvidia-smi), `devices`, and that this build of vLLM is for this machine",
            "检查驱动（nvidia-smi）、`devices`，以及 vLLM 的版本是否适用于本机",
        ),
        (Line(b"Failed to infer device type"), Line(b"Not support device type: ")),
    ),
    Cause(
        "platform_unusable",
        Text(
            "vLLM needs memory that CPU and GPU address alike (UVA, pinned memory), which is off here",
            "vLLM 需要 CPU 与 GPU 统一寻址的内存（UVA、pinned memory），而此处未启用",
        ),
        Text(
            "under WSL2 set VLLM_WSL2_ENABLE_PIN_MEMORY=1 in `environ`, or use another version of vLLM",
            "在 WSL2 中于 `environ` 设置 VLLM_WSL2_ENABLE_PIN_MEMORY=1，或换一个 vLLM 版本",
        ),
        (Line(b"UVA is not available"),),
    ),
    Cause(
        "platform_unusable",
        Text(
            "vLLM found no device, or a plugin for it that does not fit this vLLM: it has no {name}",
            "vLLM 找不到设备，或设备插件与当前 vLLM 不匹配：缺少 {name}",
        ),
        Text(
            "where the log says `No platform detected`, check the driver (nvidia-smi), `devices`, and that this build of vLLM "
            "is for this machine; else install the plugin that belongs to this version of vLLM",
            "如果日志中有 `No platform detected`，检查驱动（nvidia-smi）、`devices`，以及 vLLM 的版本是否适用于本机；否则安装与该 "
            "vLLM 版本对应的插件",
        ),
        (
            Line(
                b"/platforms/interface.py", rb'File "[^"]*/vllm/platforms/interface\.py", line \d+, in (?P<name>\w+)$'
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "bad_arguments",
        Text("the engine does not take its arguments: {message}", "引擎不接受给定的参数：{message}"),
        Text("correct `args`", "修改 `args`"),
        (Line(b" requires --", rb"(?P<message>--[\w-]+ requires --[\w-]+)"),),
    ),
    Cause(
        "bad_arguments",
        Text(
            "the engine does not take the value {value} of an argument: it should be {what}",
            "引擎不接受某个参数的值 {value}：应为 {what}",
        ),
        Text("correct `args`; the line before names the argument", "修改 `args`；上一行是参数的名称"),
        (
            Line(
                b"Input should be ",
                rb"Input should be (?P<what>[^\[]{1,200}?) \[type=\w+, input_value=(?P<value>.{1,80}?), input_type=",
            ),
        ),
    ),
    Cause(
        "device_missing",
        Text("vLLM wants the numbers of GPUs, and was given {name}", "vLLM 需要 GPU 的编号，而给出的是 {name}"),
        Text(
            "name the devices by number in `devices` (CUDA_VISIBLE_DEVICES): this version does not know UUIDs of GPUs and of "
            "MIG instances; a container that is given one MIG instance numbers it 0",
            "在 `devices`（CUDA_VISIBLE_DEVICES）中使用编号：该版本不支持 GPU 或 MIG 实例的 UUID；只分配了一个 MIG 实例的容器中，"
            "其编号为 0",
        ),
        (
            Line(
                b"invalid literal for int() with base 10: '",
                rb"invalid literal for int\(\) with base 10: '(?P<name>(?:MIG|GPU)-[\w-]{8,60})",
            ),
        ),
    ),
    Cause(
        "too_few_devices",
        Text(
            "the engine needs {wanted} devices on this machine and finds {found}",
            "引擎在本机需要 {wanted} 个设备，只找到 {found} 个",
        ),
        Text(
            "lower --tensor-parallel-size (times pipeline and data parallel size), or give it more: `devices`, the "
            "container's devices, CUDA_VISIBLE_DEVICES or ASCEND_RT_VISIBLE_DEVICES",
            "减小 --tensor-parallel-size（乘以 pipeline 和 data parallel 的大小），或提供更多设备：`devices`、容器的设备、"
            "CUDA_VISIBLE_DEVICES 或 ASCEND_RT_VISIBLE_DEVICES",
        ),
        (
            Line(
                b"the number of visible devices",
                rb"local_world_size \((?P<wanted>\d+)\) must be less than or equal to the number of visible devices "
                rb"\((?P<found>\d+)\)",
            ),
            Line(
                b"max local gpu count",
                rb"please ensure that world_size \((?P<wanted>\d+)\) is less than than max local gpu count "
                rb"\((?P<found>\d+)\)",
            ),
        ),
    ),
    Cause(
        "too_few_devices",
        Text(
            "the engine finds {found} devices, too few for its parallel sizes ({wanted})",
            "引擎只找到 {found} 个设备，不满足并行规模（{wanted}）",
        ),
        Text(
            "lower --tensor-parallel-size (and data parallel size) to what the machine has, or give it more devices",
            "将 --tensor-parallel-size（和 data parallel 的大小）减小到本机设备数，或提供更多设备",
        ),
        (
            Line(
                b" must be >= the product of mesh_shape ",
                rb"Number of devices (?P<found>\d{1,6}) must be >= the product of mesh_shape \((?P<wanted>[\d, ]{1,40})\)",
            ),
            Line(
                b"cannot reshape array of size ",
                rb"cannot reshape array of size (?P<found>\d{1,4}) into shape \((?P<wanted>1,\d{1,4})\)",
            ),
        ),
    ),
    Cause(
        "attention_backend",
        Text(
            "no attention backend can be used for this model on this GPU: {why}",
            "该 GPU 上没有可用于此模型的注意力后端：{why}",
        ),
        Text(
            "the line names each backend's reason: use a GPU that one of them supports, another data type of the KV cache "
            "(--kv-cache-dtype), or a model without what they do not support",
            "该行列出了各后端不可用的原因：使用其中之一支持的 GPU、其他 KV cache 数据类型（--kv-cache-dtype），或不需要该功能的模型",
        ),
        (
            Line(
                b"No valid attention backend",
                rb"(?P<why>No valid attention backend found)[^.]{0,80}.{0,600}Reasons: \{.{0,1200}compute capability not supported",
            ),
        ),
    ),
    Cause(
        "attention_backend",
        Text("the attention backend cannot be used: {why}", "无法使用该注意力后端（attention backend）：{why}"),
        Text(
            "remove --attention-backend (or VLLM_ATTENTION_BACKEND), or choose one of those that are listed",
            "去掉 --attention-backend（或 VLLM_ATTENTION_BACKEND），或选择列出的后端",
        ),
        (
            Line(b"Unknown attention backend", rb"(?P<why>Unknown attention backend: '[^']*')"),
            Line(b"No valid attention backend", rb"(?P<why>No valid attention backend found[^.]{0,80})"),
            Line(
                b"is not valid for this configuration",
                rb"Selected backend (?P<why>\S+ is not valid for this configuration\. Reason: \[[^\]]{1,200}\])",
            ),
        ),
    ),
    Cause(
        "tool_parser_unknown",
        Text("there is no such tool call parser: {name}", "没有这个 tool call parser：{name}"),
        Text(
            "choose one of those that the line lists for --tool-call-parser",
            "从该行列出的名称中选择 --tool-call-parser",
        ),
        (Line(b"invalid tool call parser", rb"'?invalid tool call parser: (?P<name>\S+)"),),
    ),
    Cause(
        "reasoning_parser_unknown",
        Text("there is no such reasoning parser: {name}", "没有这个 reasoning parser：{name}"),
        Text(
            "choose one of those that the line lists for --reasoning-parser",
            "从该行列出的名称中选择 --reasoning-parser",
        ),
        (
            Line(b"invalid reasoning parser", rb"'?invalid reasoning parser: (?P<name>\S+)"),
            Line(b"Reasoning parser '", rb"['\"]?Reasoning parser '(?P<name>[^']*)' not found"),
        ),
    ),
    Cause(
        "config_file_missing",
        Text("the file of --config cannot be read: {path}", "无法读取 --config 的文件：{path}"),
        Text("check the path in `args`", "检查 `args` 中的路径"),
        (
            Line(
                b"Unable to read the config file at",
                rb"Unable to read the config file at (?P<path>\S+?)\. Check path",
            ),
        ),
    ),
    Cause(
        "config_file_missing",
        Text("the logging configuration cannot be read: {path}", "无法读取日志配置文件：{path}"),
        Text("check VLLM_LOGGING_CONFIG_PATH", "检查 VLLM_LOGGING_CONFIG_PATH"),
        (
            Line(
                b"Could not load logging config. File does not exist",
                rb"\('Could not load logging config\. File does not exist: %s', '(?P<path>[^']*)'\)",
            ),
        ),
    ),
    Cause(
        "bad_overrides",
        Text("--hf-overrides is no JSON object", "--hf-overrides 不是 JSON 对象（dict）"),
        Text("give a JSON object, and quote it", "填写 JSON 对象，并注意引号"),
        (Line(b"hf_overrides.", rb"hf_overrides\.(?:dict|callable)"),),
    ),
    Cause(
        "ray_missing",
        Text("Ray is not installed", "未安装 Ray"),
        Text(
            "install ray into pythonBin's environment, or use --distributed-executor-backend mp",
            "在 pythonBin 的环境中安装 ray，或使用 --distributed-executor-backend mp",
        ),
        (Line(b"Failed to import Ray", rb"Failed to import Ray"),),
    ),
    Cause(
        "engine_start_timeout",
        Text("the engine did not come up in time", "引擎未能及时启动"),
        Text(
            "set VLLM_ENGINE_READY_TIMEOUT_S higher in `environ`", "在 `environ` 中增大 VLLM_ENGINE_READY_TIMEOUT_S"
        ),
        (Line(b"Timed out waiting for engine core", rb"Timed out waiting for engine core"),),
    ),
    Cause(
        "engine_start_timeout",
        Text(
            "the process that coordinates data parallelism did not come up in time", "数据并行的协调进程未能及时启动"
        ),
        Text(
            "storage or CPU were too busy: start again, or update vLLM, which waits longer",
            "存储或 CPU 过于繁忙：重新启动，或升级 vLLM（等待时间更长）",
        ),
        (Line(b"DP Coordinator process failed to report ZMQ addresses"),),
    ),
    Cause(
        "worker_timeout",
        Text("the workers did not answer in time[: {why}]", "工作进程未在时限内响应[：{why}]"),
        Text(
            "a worker hangs: look for its errors above, check the GPUs (nvidia-smi) and NCCL; if steps only take long, "
            "raise VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS (the V0 engine: VLLM_ENGINE_ITERATION_TIMEOUT_S) in `environ`",
            "有工作进程卡住：查看上文中它的错误，检查 GPU（nvidia-smi）和 NCCL；如果只是执行较慢，在 `environ` 中增大 "
            "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS（V0 引擎：VLLM_ENGINE_ITERATION_TIMEOUT_S）",
        ),
        (
            Line(b"RPC call to", rb"(?P<why>RPC call to \w+ timed out)"),
            Line(b"Engine iteration timed out", rb"(?P<why>Engine iteration timed out)"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "module_missing",
        Text("the KV connector needs {name}, which is not installed", "KV connector 需要 {name}，但没有安装"),
        Text(
            "install it (nixl, mooncake-transfer-engine), for the CUDA of the engine's PyTorch, or use another connector; a "
            "warning above may say why its import failed",
            "安装它（nixl、mooncake-transfer-engine，与引擎的 PyTorch 的 CUDA 版本一致），或使用其他 connector；"
            "上文的警告可能说明了导入失败的原因",
        ),
        (Line(b" is not available", rb"(?<=RuntimeError: )(?P<name>NIXL|Mooncake) is not available"),),
    ),
    Cause(
        "module_missing",
        Text("DeepGEMM is missing, or too old for this vLLM", "缺少 DeepGEMM，或其版本过旧"),
        Text(
            "install the deep_gemm that this vLLM asks for, or do without: VLLM_USE_DEEP_GEMM=0 in `environ`",
            "安装该 vLLM 要求的 deep_gemm，或在 `environ` 中设置 VLLM_USE_DEEP_GEMM=0 不使用它",
        ),
        (
            Line(b"DeepGEMM backend is not available or outdated"),
            Line(b"DeepGEMM backend is unavailable in the current vLLM environment"),
        ),
    ),
    Cause(
        "numa_denied",
        Text(
            "the process may not bind its memory to NUMA nodes ({why})",
            "进程没有权限将内存绑定到 NUMA 节点（{why}）",
        ),
        Text(
            "a container needs --cap-add SYS_NICE, and a seccomp profile that allows it (--security-opt seccomp=unconfined); or "
            "do not bind: leave VLLM_CPU_OMP_THREADS_BIND out, or set it to nobind",
            "容器需要 --cap-add SYS_NICE，以及允许该操作的 seccomp 配置（--security-opt seccomp=unconfined）；"
            "或不绑定：去掉 VLLM_CPU_OMP_THREADS_BIND，或设为 nobind",
        ),
        (Line(b"numa_migrate_pages failed", rb"(?P<why>numa_migrate_pages failed\. errno: 1$)"),),
    ),
    Cause(
        "kv_transfer_failed",
        Text("NIXL, which transfers the KV cache, failed: {why}", "传输 KV cache 的 NIXL 失败：{why}"),
        Text(
            "see what UCX says above: UCX_TLS and UCX_NET_DEVICES in `environ` must name transports that are there, and "
            "UCX be built with CUDA",
            "查看上文中 UCX 的输出：`environ` 中的 UCX_TLS 和 UCX_NET_DEVICES 应为可用的传输方式，且 UCX 需支持 CUDA",
        ),
        (Line(b"NIXL_ERR_", rb"(?:[\w.]*\.)?nixl\w+: (?P<why>NIXL_ERR_\w+)"),),
        Rank.GENERAL,
    ),
    Cause(
        "worker_died",
        Text("worker {name}", "工作进程 {name} "),
        ABOVE,
        (
            Line(
                b"died unexpectedly (exit code",
                rb"(?:Ray)?Worker[ P]\w* (?P<name>\S+) died unexpectedly \(exit code: (?P<status>-\d+)\)",
            ),
            Line(b"died, exit code: -", rb"Worker (?P<name>\S+) pid \d+ died, exit code: (?P<status>-\d+)"),
        ),
        died=True,
    ),
    Cause(
        "engine_died",
        Text("process {name}", "进程 {name} "),
        ABOVE,
        (
            Line(
                b"Failed core proc(s): {'",
                rb"Engine core initialization failed.*Failed core proc\(s\): \{'(?P<name>[^']+)': (?P<status>-\d+)",
            ),
            Line(
                b"died with exit code",
                rb"[^'\"]{0,60}Process (?P<name>\S+) \(PID: \d+\) died with exit code (?P<status>-\d+)",
            ),
        ),
        died=True,
    ),
    Cause(
        "worker_died",
        Text("worker {name} died", "工作进程 {name} 意外退出"),
        Text(
            "the log does not say why: the kernel's OOM killer, or a user, may have killed it, see dmesg",
            "日志没有说明原因：可能被内核的 OOM killer 或用户终止，查看 dmesg",
        ),
        (
            Line(b"died unexpectedly", rb"(?:Ray)?Worker(?:Proc| proc)? (?P<name>\S+) died unexpectedly"),
            Line(b"died with exit code", rb"[^'\"]{0,60}Process (?P<name>\S+) \(PID: \d+\) died with exit code"),
            Line(b"pid", rb"Worker (?P<name>\S+) pid \d+ died"),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_died",
        Text("the engine process died", "引擎进程意外退出"),
        Text(
            "the log does not say why: the kernel's OOM killer, or a user, may have killed it, see dmesg",
            "日志没有说明原因：可能被内核的 OOM killer 或用户终止，查看 dmesg",
        ),
        (
            Line(b"engine core exited unexpectedly", rb"(?:\[shutdown\] )?MPClient: engine core exited unexpectedly"),
            Line(b"Engine core proc", rb"Engine core proc(?:ess)? \S+ died unexpectedly"),
            Line(b"EngineCore encountered an issue", rb"EngineCore encountered an issue"),
            Line(b"EngineCore encountered a fatal error"),
            Line(b"EngineDeadError", rb"[\w.]*EngineDeadError(?:: |$)"),
            Line(b"Executor failed."),
            Line(b"cancelled", rb"(?<=RuntimeError: )cancelled$"),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "variable_invalid",
        Text("VLLM_PORT is no port but {value}", "VLLM_PORT 不是端口，而是 {value}"),
        Text(
            "Kubernetes sets it in every pod beside a Service that is named vllm: give the Service another name, set "
            "enableServiceLinks: false, or set VLLM_PORT to a number in `environ`",
            "Kubernetes 会为名为 vllm 的 Service 在每个 pod 中设置它：给该 Service 换一个名称、设置 enableServiceLinks: false，"
            "或在 `environ` 中把 VLLM_PORT 设为数字",
        ),
        (Line(b"VLLM_PORT '", rb"VLLM_PORT '(?P<value>[^']{1,200})' appears to be a URI"),),
    ),
    Cause(
        "mm_processor_failed",
        Text("the model's {name} failed", "模型的 {name} 失败"),
        ABOVE,
        (Line(b"Failed to apply ", rb"Failed to apply (?P<name>\w+) on data="),),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_failed",
        Text("the code of the model ({names}) cannot be loaded", "无法加载模型的代码（{names}）"),
        Text(
            "`Error in inspecting model architecture` before it has the exception: mostly an import that fails, or packages that "
            "do not fit together",
            "其上文的 `Error in inspecting model architecture` 给出了异常：多为导入失败，或安装包的版本不匹配",
        ),
        (
            Line(
                b"failed to be inspected",
                rb"(?:Value error, )?Model architectures \[(?P<names>[^\]]*)\] failed to be inspected",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_failed",
        Text("the engine process failed[: {why}]", "引擎进程启动失败[：{why}]"),
        ABOVE,
        (
            Line(b"Error raised in subprocess", rb"Error raised in subprocess:"),
            Line(
                b"fatal signal from worker processes",
                rb"(?:Mu(?:lit|lti)procExecutor got|Got) fatal signal from worker processes",
            ),
            Line(b"Engine core initialization failed"),
            Line(b"Engine process failed to start"),
            Line(b"ZMQError: Operation not supported", rb"zmq\.error\.ZMQError: Operation not supported$"),
            Line(b"WorkerProc initialization failed"),
            Line(b"Worker failed with error", rb"Worker failed with error '(?P<why>.{1,250}?)', please check"),
            Line(b"Worker failed with error"),
            Line(b"', please check the stack trace above for the root cause"),
            Line(
                b"'MultiprocExecutor' object",
                rb"'MultiprocExecutor' object has no attribute '(?:workers|io_thread_pool)'",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
)

HINTS = checkpoint.hints("--tensor-parallel-size") | {
    "gpu_out_of_memory": Text(
        "lower --gpu-memory-utilization, --max-model-len or --max-num-seqs, or end what else uses the GPU",
        "减小 --gpu-memory-utilization、--max-model-len 或 --max-num-seqs，或结束其他占用 GPU 的程序",
    ),
    "npu_out_of_memory": Text(
        "lower --gpu-memory-utilization, --max-model-len or --max-num-seqs, or use more devices (npu-smi info)",
        "减小 --gpu-memory-utilization、--max-model-len 或 --max-num-seqs，或使用更多设备（npu-smi info）",
    ),
    "compiler_missing": Text(
        "install it into the engine's environment or image (nvcc: CUDA_HOME and PATH in `environ`); without FlashInfer's "
        "sampler (VLLM_USE_FLASHINFER_SAMPLER=0) it may not be needed",
        "在引擎的环境或镜像中安装它（nvcc：`environ` 中的 CUDA_HOME 和 PATH）；关闭 FlashInfer 采样"
        "（VLLM_USE_FLASHINFER_SAMPLER=0）后可能不再需要",
    ),
    "out_of_memory": Text(
        "use a machine, or a container limit, with more memory; on a CPU lower VLLM_CPU_KVCACHE_SPACE",
        "使用内存更大的机器或提高容器上限；在 CPU 上减小 VLLM_CPU_KVCACHE_SPACE",
    ),
    "remote_code_not_trusted": Text(
        "add --trust-remote-code to `args`, if you trust it", "如果信任该模型，在 `args` 中加入 --trust-remote-code"
    ),
}
