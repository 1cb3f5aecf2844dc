"""Known causes: weights that do not fit the model, the devices or the engine, as vLLM, its plugins and SGLang print them."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Text

_NOT_ALIGNED = Text(
    "lower the tensor parallel size, or use a checkpoint with smaller quantization blocks",
    "减小张量并行（tensor parallel）规模，或使用量化块更小的检查点",
)

CAUSES = (
    Cause(
        "quantized_weights_indivisible",
        Text(
            "the quantized weights cannot be split over so many devices: {why}", "量化权重无法分配到这么多设备：{why}"
        ),
        _NOT_ALIGNED,
        (
            Line(
                b"is not divisible by weight quantization block_",
                rb"(?P<why>[A-Z][\w ']{1,60} = \d+ is not divisible by weight quantization block_\w = \d+)",
            ),
            Line(
                b"size is not aligned with the quantized weight shape",
                rb"(?P<why>The (?:input|output) size is not aligned with the quantized weight shape)",
            ),
        ),
    ),
    Cause(
        "weights_mismatch",
        Text(
            "the checkpoint has the weights {name}, which this engine's model has not",
            "检查点中的权重 {name} 在引擎的模型中不存在",
        ),
        Text(
            "check that config.json (architectures, quantization_config) belongs to these weights, or update the engine",
            "检查 config.json（architectures、quantization_config）是否属于这些权重，或升级引擎",
        ),
        (
            Line(
                b"layers.",
                rb"(?<=KeyError: )['\"](?P<name>(?:\w+\.){0,6}layers\.\d+\.[\w.]+)['\"]$",
            ),
            Line(
                b"There is no module or parameter named",
                rb"There is no module or parameter named '(?P<name>[^']*)' in \w+",
            ),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("GGUF files of the architecture {names} are not supported", "不支持架构 {names} 的 GGUF 文件"),
        Text(
            "use the model in safetensors format, or an engine that reads this GGUF (llama.cpp); a newer version may too",
            "使用 safetensors 格式的模型，或支持该 GGUF 的引擎（llama.cpp）；新版本也可能支持",
        ),
        (Line(b"GGUF model with architecture", rb"GGUF model with architecture (?P<names>\S+) is not supported"),),
    ),
)

_TENSOR_PARALLEL = Text(
    "lower {option}, or use a checkpoint with smaller quantization blocks", "减小 {option}，或使用量化块更小的检查点"
)


def hints(option: str) -> dict[str, Text]:
    """Return the hints for an engine. option: that of its tensor parallel size."""
    return {
        "quantized_weights_indivisible": Text(
            _TENSOR_PARALLEL.en.replace("{option}", option), _TENSOR_PARALLEL.zh.replace("{option}", option)
        )
    }
