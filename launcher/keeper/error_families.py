"""What kind of failure a message speaks of, whoever prints it, and what to do about that kind. Pure."""

import re

from tracetail.launcher.engines.causes.cause import Text

_GPU = Text(
    "its kernel is not made for this GPU: choose another backend (attention, MoE, quantization) in `args`, or a "
    "build of the engine for this GPU",
    "该内核不支持此 GPU：在 `args` 中选择其他后端（注意力、MoE、量化），或安装适用于该 GPU 的引擎版本",
)
_FAMILIES = (
    (
        (
            r"\b(?:supported|available|valid|allowed|possible|known)(?: \w+){0,3}(?: are\b|: ?[\[({])|\bchoose from\b"
            r"|\bmust be (?:one|either|any) of\b|\bexpected one of\b"
        ),
        Text("choose one of those that the line lists", "从该行列出的选项中选择"),
    ),
    (
        (
            r"\b(?:out of|not enough|insufficient|lack of|ran out of|cannot allocate|failed to allocate)\b"
            r"[^.]{0,40}\bmemory\b|\bOOM\b|OutOfMemory|std::bad_alloc|OUT_OF_(?:DEVICE|HOST)_MEMORY"
        ),
        Text(
            "memory does not suffice: choose a smaller context, fewer parallel requests, more devices or a smaller "
            "quantization of the model in `args`, and end what else uses the devices",
            "内存或显存不足：在 `args` 中减小上下文长度、并发请求数，使用更多设备或更小的量化模型，"
            "并结束其他占用设备的程序",
        ),
    ),
    (
        (
            r"\bonly \W?sm[ _]?\d+|\bsm_?\d+\w* (?:is|are) (?:only )?(?:not )?supported\b|\bcompute capabilit|"
            r"\bcurrent device sm|\bnot support\w* .{0,40}\bsm_?\d+|\bGPU arch\w*|flash_fwd_launch_template"
        ),
        _GPU,
    ),
    (
        (
            r"\b(?:nvcc|nvrtc|ptxas|hipcc|ninja|cmake|bisheng)\b.{0,80}\b(?:fail\w*|error)|\bcompil(?:e|ation|ing) "
            r"(?:\w+ ){0,3}(?:failed|error)|\bfail(?:ed|ure) (?:to|in|during) (?:\w+ ){0,2}(?:compil|build)"
        ),
        Text(
            "a kernel could not be compiled: the compiler's own lines above it say why; use the compiler that "
            "belongs to the engine's PyTorch (CUDA_HOME, PATH in `environ`), or the engine's image",
            "内核编译失败：原因见其上编译器的输出；使用与引擎的 PyTorch 对应的编译器"
            "（`environ` 中的 CUDA_HOME、PATH），或使用自带已编译内核的引擎镜像",
        ),
    ),
    (
        (
            r"Max retries exceeded|\bconnect(?:ion)? ?(?:refused|reset|aborted|closed|timed out|timeout|error)"
            r"|\bname resolution\b|\bunreachable\b|\bfailed to connect\b|\bProxyError\b|\bSSLError\b"
        ),
        Text(
            "what the line names could not be reached: check its address, that it runs, and firewalls and proxies "
            "(http_proxy, no_proxy in `environ`) in between",
            "无法连接该行提到的对象：检查其地址、是否在运行，"
            "以及中间的防火墙和代理（`environ` 中的 http_proxy、no_proxy）",
        ),
    ),
    (
        (
            r"\btim(?:ed|e) ?out\b|\btimeout(?:s|ed|Error)?\b|\bdid not (?:start|come up|become \w+|respond"
            r"|answer)\b"
        ),
        Text(
            "what it waited for did not come in time: the log of that process or node says why; a slow disk or a "
            "busy machine may be it as well",
            "等待的对象没有及时就绪：该进程或节点的日志会说明原因；也可能是磁盘慢或机器繁忙",
        ),
    ),
    (
        (
            r"\bCUDA error\b|\bcuda(?:Error|_error)|\bCUBLAS_STATUS|\bCUDNN_STATUS|\bHIP error\b"
            r"|\bhipError|\bACL error\b|\bUR_RESULT_ERROR|\blevel_zero backend failed|\bNative API failed"
        ),
        Text(
            "a call of the device's library failed: see dmesg for faults of the device (NVRM: Xid, amdgpu, xe), and "
            "check that driver, library and this build of the engine belong together",
            "设备库的调用失败：查看 dmesg 中的设备故障（NVRM: Xid、amdgpu、xe），并检查驱动、库与引擎版本是否匹配",
        ),
    ),
    (
        (
            r"\b(?:file|path|folder|director(?:y|ies))\b[^.]{0,60}\b(?:(?:does|do) ?n[o']t exist|not found"
            r"|cannot be found)|\bnot\b[^.]{0,60}\bvalid\b[^.]{0,40}\b(?:file|path|folder|directory)\b"
            r"|\bNo such file or directory: ?['\"/]"
        ),
        Text(
            "check the path that the line names: a relative one is searched from the directory in which the server "
            "is started, and in a container it must be mounted",
            "检查该行中的路径：相对路径从启动服务的目录查找；在容器中还需要挂载该路径",
        ),
    ),
    (
        r"\bGGML_ASSERT\(",
        Text(
            "llama.cpp does not expect this: update it, or use another GGUF file of the model (and of the draft "
            "model or projector, if there is one)",
            "llama.cpp 未预料到此情况：升级 llama.cpp，或使用该模型（以及草稿模型、投影模型）的其他 GGUF 文件",
        ),
    ),
    (
        r"\b(?:is|are) not enabled\b|\bnot enabled\b|\bmust be enabled\b",
        Text(
            "enable it by its option in `args`, or leave out the options that need it",
            "在 `args` 中用相应参数启用它，或去掉需要它的参数",
        ),
    ),
)


def hint(message: str) -> Text | None:
    """Return what to do about the kind of failure that a message speaks of; None if it speaks of none of these."""
    return next((text for pattern, text in _FAMILIES if re.search(pattern, message, re.IGNORECASE)), None)
