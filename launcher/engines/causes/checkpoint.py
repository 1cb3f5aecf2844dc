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
            Line(
                b"is not divisible by min_thread_",
                rb"(?P<why>Weight \w+_size_per_partition = \d+ is not divisible by +min_thread_\w = \d+)",
            ),
        ),
    ),
    Cause(
        "weights_mismatch",
        Text(
            "the checkpoint and this engine's model have not the same weights: {name}",
            "检查点（checkpoint）与引擎的模型的权重（weights）不一致：{name}",
        ),
        Text(
            "check that config.json (architectures, quantization_config; on Ascend quant_model_description.json) belongs to "
            "these weights, that a draft model is one for this method, or update the engine",
            "检查 config.json（architectures、quantization_config；Ascend 上还有 quant_model_description.json）是否属于这些权重、"
            "草稿模型是否适用于所选方法，或升级引擎",
        ),
        (
            Line(
                b"KeyError: ",
                rb"(?<=KeyError: )['\"](?P<name>[A-Za-z_]\w*(?:\.\w+){0,6}\.\d+\.(?:\w+\.){0,6}[A-Za-z_]\w*)['\"]$",
            ),
            Line(
                b"KeyError: ",
                rb"(?<=KeyError: )['\"](?P<name>[A-Za-z_][\w.]{0,100}\.(?:weight|bias|qweight|qzeros|scales|weight_scale))['\"]$",
            ),
            Line(
                b"There is no module or parameter named",
                rb"There is no module or parameter named '(?P<name>[^']*)' in \w+",
            ),
        ),
    ),
    Cause(
        "weights_shape",
        Text(
            "a weight of the checkpoint has not the shape that the engine's model has[: {why}]",
            "检查点中某个权重的形状与引擎的模型不同[：{why}]",
        ),
        Text(
            "check that config.json (sizes, quantization_config) belongs to these weights; for bitsandbytes and GGUF try "
            "one device without tensor parallelism, or update the engine",
            "检查 config.json（各尺寸、quantization_config）是否属于这些权重；bitsandbytes 和 GGUF 可尝试单设备（不使用张量并行），"
            "或升级引擎",
        ),
        (
            Line(
                b"Attempted to load weight (",
                rb"(?P<why>Attempted to load weight \(.{1,80}?\) into parameter \(torch\.Size\(\[[^\]]{0,60}\]\)\))",
            ),
            Line(
                b"to load weights of size",
                rb"(?P<why>Tried to load weights of size .{1,80}? ?to a parameter of size torch\.Size\(\[[^\]]{1,80}\]\))",
            ),
            Line(b"assert param", rb"assert param\w*\.(?:shape|size\(\)) == loaded_weight\.(?:shape|size\(\))"),
            Line(b"assert loaded_weight", rb"(?P<why>assert loaded_weight\.(?:shape|size\()[^=]{0,40}== .{1,80})"),
        ),
    ),
    Cause(
        "architecture_not_supported",
        Text("the engine does not know the model type {names}", "该引擎不支持模型类型 {names}"),
        Text(
            "update the engine, or use another one; a model of text alone may need another command of it",
            "升级该引擎或换用其他引擎；纯文本模型可能需要使用它的另一个命令",
        ),
        (Line(b"Model type ", rb"Model type (?P<names>[\w.-]{1,80}) not supported"),),
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
    Cause(
        "weights_mismatch",
        Text(
            "the GGUF file has tensors that the engine's model has not: {why}",
            "GGUF 文件含有引擎的模型中没有的张量：{why}",
        ),
        Text(
            "use the model in safetensors format, or an engine that reads this GGUF (llama.cpp); a newer version may read it, too",
            "使用 safetensors 格式的模型，或支持该 GGUF 的引擎（llama.cpp）；新版本也可能支持",
        ),
        (Line(b"map GGUF parameters", rb"(?P<why>[Ff]ailed to map GGUF parameters.{0,150})"),),
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
