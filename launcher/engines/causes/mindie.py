"""Known causes: MindIE."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "port_in_use",
        Text(
            "MindIE cannot listen on {address}: the port is in use, or the address is not one of this machine",
            "MindIE 无法监听 {address}：端口被占用，或地址不属于本机",
        ),
        Text("choose another port, or change `host`", "换一个端口，或修改 `host`"),
        (Line(b"Failed to listen", rb"Failed to listen (?P<address>\S+?),"),),
        about_port=True,
    ),
    Cause(
        "npu_out_of_memory",
        Text(
            "the NPU's memory is full: the warm-up failed with maxInputTokenLen {length}",
            "NPU 显存已满：maxInputTokenLen 为 {length} 时预热失败",
        ),
        Text(
            "lower maxPrefillTokens or maxInputTokenLen in `args`, or use more devices",
            "在 `args` 中减小 maxPrefillTokens 或 maxInputTokenLen，或使用更多设备",
        ),
        (
            Line(
                b"Warmup failed",
                rb"Warmup failed, because of .{0,60}out of memory when `maxInputTokenLen` set to (?P<length>\d+)",
            ),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("this MindIE does not know the model type {names}", "当前 MindIE 不支持模型类型 {names}"),
        Text(
            "use a newer MindIE, or vLLM with vllm-ascend; the supported models are listed in MindIE's documentation",
            "使用更新的 MindIE，或使用 vLLM（vllm-ascend）；支持的模型见 MindIE 文档",
        ),
        (
            Line(
                b"unsupported model type: ",
                rb"(?:Failed to get vocab size from tokenizer wrapper with exception: NotImplementedError: )?"
                rb"unsupported model type: (?P<names>[A-Za-z_]\w*)",
            ),
        ),
    ),
    Cause(
        "process_group",
        Text("MindIE cannot make a process group of its own ({why})", "MindIE 无法创建自己的进程组（{why}）"),
        Text(
            "it must not be the first process of its container: use an init (docker run --init; compose: init: true), or start it "
            "from a script",
            "它不能是容器的第一个进程：使用 init（docker run --init；compose：init: true），或用脚本启动 MindIE",
        ),
        (Line(b"Failed to set process group", rb"(?:\[\w+\] )?Failed to set process group\. (?P<why>errno is \d+)"),),
        Rank.GENERAL,
    ),
    Cause(
        "engine_failed",
        Text("MindIE's engine did not start", "MindIE 引擎启动失败"),
        Text("its log is in MINDIE_LOG_PATH (~/mindie/log)", "日志在 MINDIE_LOG_PATH（~/mindie/log）"),
        (
            Line(b"Failed to init engine"),
            Line(b"Failed to start http wrapper"),
            Line(b"LLMInferEngine failed to init"),
            Line(b"Failed to init endpoint!", rb"(?:ERR: )?Failed to init endpoint!"),
            Line(b"Executor failed to init model", rb".{0,150}Executor failed to init model$"),
            Line(
                b"LLMPythonModel initializes fail",
                rb"(?:\d{1,8} error [\w.]+:\d+\] )?LLMPythonModel initializes fail",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
)

HINTS = {
    "npu_out_of_memory": Text(
        "lower npuMemSize, maxSeqLen, maxPrefillTokens or maxInputTokenLen in `args`, or use more devices (npu-smi info)",
        "在 `args` 中减小 npuMemSize、maxSeqLen、maxPrefillTokens 或 maxInputTokenLen，或使用更多设备（npu-smi info）",
    ),
}
