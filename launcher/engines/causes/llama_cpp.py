"""Known causes: llama.cpp's server."""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

_FROM = rb"(?:\w+ +)?(?:[\w:]+(?:\(\))?: +)*(?:error loading model: )?(?:llama_model_loader: )?"

CAUSES = (
    Cause(
        "model_not_found",
        Text("the model file cannot be opened: {path}[ ({why})]", "无法打开模型文件：{path}[（{why}）]"),
        Text("check the path of the GGUF file", "检查 GGUF 文件的路径"),
        (
            Line(
                b"failed to open GGUF file",
                _FROM + rb"failed to open GGUF file '(?P<path>[^']*)'(?: \((?P<why>[^)]*)\))?",
            ),
        ),
    ),
    Cause(
        "weights_corrupt",
        Text("the GGUF file is no whole model: {why}", "GGUF 文件不完整：{why}"),
        Text("download or copy it again", "重新下载或复制"),
        (
            Line(
                b"model is corrupted or incomplete",
                _FROM + rb"(?P<why>(?:tensor '[^']*' )?[^'\"]{0,150}model is corrupted or incomplete)",
            ),
            Line(b"invalid magic", _FROM + rb"(?P<why>invalid magic characters?.{0,80})"),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("this llama.cpp does not know the architecture {names}", "当前 llama.cpp 不支持该模型架构 {names}"),
        Text("update llama.cpp", "升级 llama.cpp"),
        (
            Line(
                b"unknown model architecture",
                _FROM + rb"(?:error loading model architecture: )?unknown model architecture: '(?P<names>[^']*)'",
            ),
        ),
    ),
    Cause(
        "projector_not_loaded",
        Text("the multimodal projector (mmproj) cannot be loaded: {why}", "多模态投影模型（mmproj）无法加载：{why}"),
        Text(
            "update llama.cpp, or use the mmproj file that belongs to the model",
            "升级 llama.cpp，或使用与该模型对应的 mmproj 文件",
        ),
        (
            Line(
                b"clip_init: failed to load model",
                rb"(?:\w+ +)?clip_init: failed to load model '[^']{0,400}': (?:[\w()]+: )*(?P<why>\S.{0,150})",
            ),
        ),
    ),
    Cause(
        "tokenizer_broken",
        Text(
            "this llama.cpp does not know the model's pre-tokenizer {name}",
            "当前 llama.cpp 不认识模型的 pre-tokenizer {name}",
        ),
        Text(
            "update llama.cpp, or convert the model to GGUF again with its version",
            "升级 llama.cpp，或用该版本重新转换 GGUF 模型",
        ),
        (
            Line(
                b"unknown pre-tokenizer type",
                _FROM + rb"(?:error loading model vocabulary: )?unknown pre-tokenizer type: '(?P<name>[^']*)'",
            ),
        ),
    ),
    Cause(
        "out_of_memory",
        Text("the machine's memory is full (tried to allocate {size} bytes)", "内存已满（尝试分配 {size} 字节）"),
        Text("lower --ctx-size, or use a smaller quantization", "减小 --ctx-size，或使用更小的量化版本"),
        (
            Line(
                b"ggml_backend_cpu_buffer_type_alloc_buffer",
                rb"ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size (?P<size>\d+)",
            ),
        ),
    ),
    Cause(
        "socket_not_made",
        Text("the server cannot make its socket {path}", "服务无法创建 socket 文件 {path}"),
        Text(
            "its directory must exist and be writable; remove a socket that an earlier server left there",
            "其目录必须存在且可写；删除之前的服务留下的 socket 文件",
        ),
        (
            Line(
                b"couldn't bind",
                rb"(?:\w+ +)*(?:[\w:]+(?:\(\))?: +)*couldn't bind HTTP server socket, hostname: (?P<path>/\S+)$",
            ),
        ),
    ),
    Cause(
        "port_in_use",
        Text(
            "the server cannot listen[ on port {address}]: the port is in use",
            "服务无法监听[端口 {address}]：端口已被占用",
        ),
        Text("stop the process that holds it, or choose another port", "停止占用它的进程，或换一个端口"),
        (
            Line(
                b"couldn't bind",
                rb"(?:\w+ +)*(?:[\w:]+(?:\(\))?: +)*couldn't bind (?:to server socket|HTTP server socket).{0,80}?(?:port[=: ]+(?P<address>\d+))?",
            ),
        ),
        about_port=True,
    ),
    Cause(
        "gpu_out_of_memory",
        Text("the device's memory is full[ (tried to allocate {size} MiB)]", "设备显存已满[（尝试分配 {size} MiB）]"),
        Text("lower --n-gpu-layers or --ctx-size", "减小 --n-gpu-layers 或 --ctx-size"),
        (
            Line(
                b"out of memory",
                rb"[^'\"]{0,80}allocating (?P<size>[\d.]+) MiB on device \d+: cudaMalloc failed: out of memory",
            ),
            Line(
                b"ggml_vulkan: Device memory allocation", rb"ggml_vulkan: Device memory allocation of size \d+ failed"
            ),
            Line(b"unable to allocate", _FROM + rb"unable to allocate \w+ buffer"),
        ),
    ),
    Cause(
        "engine_failed",
        Text("Ollama's runner ended", "Ollama 的 runner 已退出"),
        ABOVE,
        (Line(b"llama runner terminated", rb'source=\S+ msg="llama runner terminated" error="exit status \d+'),),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_failed",
        Text("the model was not loaded", "模型加载失败"),
        ABOVE,
        (
            Line(b"failed to load model", _FROM + rb"[^'\"]{0,60}failed to load model"),
            Line(b"Failed to load CLIP model", _FROM + rb"error: Failed to load CLIP model"),
            Line(b"failed to load multimodal model", _FROM + rb"failed to load multimodal model"),
            Line(b"exiting due to model loading error", rb"[^'\"]{0,60}exiting due to model loading error"),
        ),
        Rank.CONSEQUENCE,
    ),
)

HINTS = {
    "gpu_out_of_memory": Text("lower --n-gpu-layers or --ctx-size", "减小 --n-gpu-layers 或 --ctx-size"),
    "out_of_memory": Text("lower --ctx-size, or use a smaller quantization", "减小 --ctx-size，或使用更小的量化版本"),
}
