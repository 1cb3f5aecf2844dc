"""What to do about an exception that no table knows: its own advice, or what its place suggests. Pure."""

import re
from collections.abc import Sequence

from tracetail.contract.masking import mask_text
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper import error_families

_ADVICE = re.compile(
    r"(?:^|[.;:,] )((?:Please (?!(?:open|file|create|submit|raise) an? |report"
    r"|(?:check|see|refer to) (?:the )?(?:stack|logs?\b|error))"
    r"|Try|Consider|Use (?!\.)|Set|Increase|Reduce|Decrease|Lower"
    r"|Make sure|Ensure|Install|Upgrade|Update|Downgrade|Rebuild|Reinstall|Pass|Specify|Provide|Enable|Disable|Remove"
    r"|Switch to|Adjust|Change|Choose|Select|You (?:need to|can|should|must|may))\b[^\n]{8,200}?)(?=[.;](?:\s|$)|$)",
    re.IGNORECASE,
)
"""The sentence of an error message that says what to do."""
_FAULT = re.compile(
    r"(?:[A-Za-z_][\w.]*\.)?(?:(?:Attribute|Type|Name|UnboundLocal|Index|Key|ZeroDivision|Recursion)Error\b"
    r"|AssertionError$|ValueError: (?:(?:too many|not enough) values to unpack|input tensor must be the same size"
    r"|could not broadcast |operands could not be broadcast )"
    r"|RuntimeError: (?:The size of tensor a|mat1 and mat2|shape '\[|view size is not compatible|split_with_sizes "
    r"|Sizes of tensors must match|The expanded size of the tensor|Tensors must have same number of dimensions"
    r"|expected scalar type|expected mat1 and mat2|Expected all tensors to be on the same device|shape mismatch: "
    r"|start \(\d+\) \+ length|\S+ expected at most \d+ argument))"
)
"""What Python and PyTorch raise where code is wrong, or calls another version of something: no message to a user."""
_FOR_USERS = re.compile(r"\s--[a-z]|\bnot (?:yet )?supported\b|\bnot support\b.* yet\b")
"""The message is for users: it names an option, or what is not supported."""
_NOT_SUPPORTED = re.compile(
    r"NotImplementedError: |(?<!peration )\bnot (?:yet |currently )?(?:be )?supported\b"
    r"|\b(?:does|do) not (?:yet )?support\b|\bonly supports?\b|\b(?:is|are) only supported\b|\bunsupported\b",
    re.IGNORECASE,
)
_ASSERTED_QUANTIZATION = re.compile(r"assert .*quant")
_NOT_IMPORTED = re.compile(r"NameError: name '(?P<name>[a-z]\w+)' is not defined")
"""Of a name behind which a dot comes: the module was to be imported only where it is installed."""
_MISMATCHED_CALL = re.compile(r"\bincompatible (?:function|constructor) arguments\b")
"""pybind11 says so where Python code calls another version of a compiled module than it was made for."""
_INDIVISIBLE = re.compile(r"\b(?:not |be |must )(?:evenly )?(?:divisible by|a multiple of)\b")
_COMPILED = re.compile(r"torch\._(?:dynamo|inductor)\.exc\.|\b(?:BackendCompilerFailed|InductorError)\b")
"""Exceptions of torch.compile."""
_LORA = r"/lora/"
_STRUCTURED_OUTPUTS = r"/structured_output/|/xgrammar/|/llguidance/|/outlines|/constrained/"
"""Where these optional features have their code: paths of frames."""

_WITHOUT = (
    (
        r"/spec_decode/|/speculative/|_speculative\.py|/eagle|\bdraft(?:er\b|_)|Eagle\w*Proposer|/\w+_mtp\.py",
        Text(
            "check that a draft model is given that belongs to this model, or start without speculative decoding",
            "检查是否指定了与该模型匹配的草稿模型，或不使用投机解码（speculative decoding）启动",
        ),
    ),
    (_LORA, Text("or start without LoRA", "或不使用 LoRA 启动")),
    (
        r"/aiter/|aiter_ops|_aiter\b",
        Text(
            "or start without AITER (VLLM_ROCM_USE_AITER=0, SGLANG_USE_AITER=0 in `environ`)",
            "或不使用 AITER 启动（`environ` 中的 VLLM_ROCM_USE_AITER=0、SGLANG_USE_AITER=0）",
        ),
    ),
    (
        r"/flashinfer/|/deep_gemm|/deep_ep|/flash_mla|/triton_kernels/",
        Text(
            "or choose another backend (attention, MoE, quantization) in `args`",
            "或在 `args` 中选择其他后端（注意力、MoE、量化）",
        ),
    ),
    (
        _STRUCTURED_OUTPUTS,
        Text(
            "or choose another backend for structured outputs in `args`",
            "或在 `args` 中选择其他结构化输出（structured outputs）后端",
        ),
    ),
    (
        r"/kv_transfer/|/kv_connector|/lmcache|/nixl|/mooncake|hicache|/hiradix|/kv_offload",
        Text(
            "or start without the transfer or offloading of the KV cache",
            "或不使用 KV cache 的传输或卸载功能启动",
        ),
    ),
)
"""By the frame of a fault: the optional feature in whose code it is."""
_AITER = Text(
    "AITER, the library of kernels for AMD GPUs, refuses: install the version that the engine asks for, or start "
    "without it (VLLM_ROCM_USE_AITER=0, SGLANG_USE_AITER=0 in `environ`)",
    "AMD GPU 的内核库 AITER 拒绝执行：安装引擎要求的版本，或不使用它启动"
    "（`environ` 中的 VLLM_ROCM_USE_AITER=0、SGLANG_USE_AITER=0）",
)
_FRAME = re.compile(r'File "(?:[^"]*/(?:site|dist)-packages/)?(?P<file>[^"]+)", line (?P<line>\d+)')
_WEIGHTS = Text(
    "the checkpoint does not fit the engine's model: check that every file of it is complete, that config.json "
    "(architectures, quantization_config) belongs to these weights, or try another version of the engine",
    "检查点与引擎的模型不匹配：检查文件是否完整、config.json（architectures、quantization_config）是否属于这些权重，"
    "或换一个引擎版本",
)
_COPIES_WEIGHTS = re.compile(r", in (?:\w*weight_loader\w*|_load_w\d+|_?load_\w*weight\w*_scale|_?load_\w+_weight)$")
_WEIGHT_SIZES = Text(
    "the checkpoint's weights have other sizes than the engine's model: check config.json and that every file is "
    "complete; quantized weights may not be split over so many GPUs: choose a smaller tensor parallel size; or try "
    "another version of the engine",
    "检查点权重的尺寸与引擎的模型不同：检查 config.json 以及文件是否完整；量化权重可能无法切分到这么多 GPU："
    "选择更小的张量并行（tensor parallel）规模；或换一个引擎版本",
)
_QUANTIZATION = Text(
    "this quantization cannot be used here: use another quantization of the model, another backend for it, a smaller "
    "tensor parallel size, or another version of the engine",
    "此处无法使用该量化方式：使用其他量化版本的模型、其他后端、"
    "更小的张量并行（tensor parallel）规模，或换一个引擎版本",
)
_ROPE = re.compile(r"\brope_|_ROPE_|\bROPE_|'original_max_position_embeddings'")
_ROPE_VERSIONS = Text(
    "the rope settings of the model's config.json are read by another version than they are written for "
    "(Transformers 5 has them in rope_parameters): install the Transformers that model and engine ask for, or update "
    "the engine",
    "模型 config.json 中的 rope 设置与读取它的版本不匹配（Transformers 5 将其放在 rope_parameters 中）："
    "安装模型和引擎要求的 Transformers，或升级引擎",
)
_COMPILE = Text(
    "torch.compile failed: start without it (vLLM: `--enforce-eager`; SGLang: without `--enable-torch-compile`), or "
    "install the PyTorch and Triton that the engine asks for",
    "torch.compile 失败：不使用它启动（vLLM：`--enforce-eager`；SGLang：去掉 `--enable-torch-compile`），"
    "或安装引擎要求的 PyTorch 和 Triton",
)
_SIZES = Text(
    "choose parallel sizes (tensor, pipeline, expert, data) that divide the number in the line",
    "选择能整除该行数值的并行规模（张量、流水线、专家、数据并行）",
)
_PLACES = (
    (r"/aiter/", _AITER),
    (
        r'/model_loader/|weight_utils\.py"|, in (?:\w*load_weights?\w*|\w*weight_loader\w*|_load_w\d+)$',
        _WEIGHTS,
    ),
    (
        _STRUCTURED_OUTPUTS,
        Text(
            "the backend of structured outputs cannot do what a request or an option asks for: choose another one in "
            "`args` (vLLM: --structured-outputs-config; SGLang: --grammar-backend), or try a newer engine",
            "结构化输出（structured outputs）后端无法处理请求或参数的要求：在 `args` 中选择其他后端"
            "（vLLM：--structured-outputs-config；SGLang：--grammar-backend），或换用更新的引擎版本",
        ),
    ),
    (
        _LORA,
        Text(
            "check the LoRA adapter (its rank, its modules, the model it was made for) and the options for LoRA",
            "检查 LoRA 适配器（rank、模块、所属模型）以及 LoRA 相关参数",
        ),
    ),
    (
        r"/spec_decode/|/speculative/|/eagle",
        Text(
            "check the options for speculative decoding: the method, and a draft model that belongs to this model",
            "检查投机解码（speculative decoding）的参数：方法，以及与该模型对应的草稿模型",
        ),
    ),
    (r"/quantization/", _QUANTIZATION),
    (
        r"/attention/|flash_attn|/xformers/",
        Text(
            "choose another attention backend, or another data type of the KV cache, in `args`",
            "在 `args` 中选择其他注意力后端，或其他 KV cache 数据类型",
        ),
    ),
    (
        r"cuda_graph_runner\.py|cuda_graph\.py|, in capture_model$",
        Text(
            "start without CUDA graphs (vLLM: `--enforce-eager`; SGLang: `--disable-cuda-graph`): if it fails as "
            "well, the line that is printed then says more",
            "不使用 CUDA graph 启动（vLLM：`--enforce-eager`；SGLang：`--disable-cuda-graph`）："
            "如果仍然失败，其报错更具体",
        ),
    ),
    (
        r"/multimodal/|/processing_\w+\.py|/image_processing_\w+\.py|/mm_utils\.py",
        Text(
            "the model's processor of images, video or audio does not fit: install the Transformers that engine and "
            "model ask for, check preprocessor_config.json, or try another version of the engine",
            "模型的图像、视频或音频处理器不匹配：安装引擎和模型要求的 Transformers，"
            "检查 preprocessor_config.json，或换一个引擎版本",
        ),
    ),
    (
        r"(?<!vllm)/transformers/|^transformers/|/tokenization_\w+\.py|/tokenizers?/|mistral_common/",
        Text(
            "the model's files do not fit the installed Transformers: check them (config.json, tokenizer), and "
            "install the version that the model and the engine ask for",
            "模型文件与已安装的 Transformers 不匹配：检查模型文件（config.json、tokenizer），"
            "并安装模型和引擎要求的版本",
        ),
    ),
    (
        (
            r"vllm/config(?:/|\.py)|/arg_utils\.py|vllm/entrypoints/|vllm/platforms/"
            r"|/server_args\.py|sglang/srt/configs/"
        ),
        Text(
            "the engine refuses this combination of options, model and device: change what the line names in `args`",
            "引擎不接受参数、模型与设备的这种组合：在 `args` 中修改该行提到的内容",
        ),
    ),
    (
        r", in <module>$",
        Text(
            "it was raised while a package was imported: install the build of it that fits this machine (CUDA, ROCm "
            "or CPU) and the other packages",
            "导入某个安装包时出错：安装适用于本机（CUDA、ROCm 或 CPU）并与其他包匹配的版本",
        ),
    ),
)
"""By the frame that raised an exception: what to look at."""


def is_fault(message: str) -> bool:
    """Return whether an exception is raised where code is wrong, and says nothing to a user."""
    return _FAULT.match(message) is not None and _FOR_USERS.search(message) is None


def hint(messages: Sequence[str], raised: str = "", code: str = "") -> Text:
    """Return what to do about an exception that no table knows.

    Args:
        messages: the lines of its message, without headers.
        raised: the frame that raised it; empty if the log does not have it.
        code: the line of code of this frame; empty if the log does not have it.

    """
    first = messages[0]
    place = next((text for pattern, text in _PLACES if re.search(pattern, raised)), None)
    if _COMPILED.search(first):
        return _COMPILE
    if len(messages) > 1 and _ASSERTED_QUANTIZATION.match(messages[1]):
        return _QUANTIZATION
    if is_fault(first) and _ROPE.search(f"{first} {code}"):
        return _ROPE_VERSIONS
    missing = _NOT_IMPORTED.match(first)
    if missing and f"{missing['name']}." in code:
        name = missing["name"]
        return Text(
            f"{name} was not imported: it is not installed, or fails to load: python -c 'import {name}' says why; "
            "install the version that the engine asks for",
            f"{name} 没有被导入：未安装或加载失败：运行 python -c 'import {name}' 查看原因；安装引擎要求的版本",
        )
    if is_fault(first) or _MISMATCHED_CALL.search(first):
        kind = first.partition(":")[0]
        if place is _WEIGHTS and kind == "KeyError":
            return _WEIGHTS
        if kind in ("RuntimeError", "ValueError", "AssertionError") and _COPIES_WEIGHTS.search(raised):
            return _WEIGHT_SIZES
        return place if place is _QUANTIZATION and first == "AssertionError" else _fault(raised, first)
    if advice := _ADVICE.search(" ".join(messages)):
        advised = mask_text(advice[1].strip())
        return Text(f"the engine advises: {advised}", f"引擎的建议：{advised}")
    if family := error_families.hint(first):
        return family
    if _NOT_SUPPORTED.search(first) and place is not _AITER:
        return Text(
            "this version of the engine cannot do that with this model or device: change `args`, or try a newer one",
            "该版本的引擎在此模型或设备上不支持：修改 `args`，或换用更新的版本",
        )
    if _INDIVISIBLE.search(first):
        return _SIZES
    if place is None and raised:
        return Text(
            "search the engine's issues for this line; the lines around it in the log say more",
            "在引擎的 issue 中搜索该行；日志中该行前后的内容有更多信息",
        )
    return place or Text("the lines around it in the log say more", "日志中该行前后的内容有更多信息")


def _fault(raised: str, first: str) -> Text:
    """Return what to do about a fault of the program. raised: the frame in which it is; first: the exception."""
    frame = _FRAME.search(raised)
    at = mask_text(f"{frame['file']}:{frame['line']}") if frame else ""
    found = next((text for pattern, text in _WITHOUT if re.search(pattern, f"{raised} {first}", re.IGNORECASE)), None)
    without, without_zh = (f"; {found.en}", f"；{found.zh}") if found else ("", "")
    return Text(
        f"a fault of the program{at and f' at {at}'}, or versions that do not fit together: install those that the "
        "engine asks for, search its issues for this line, or try another version of it" + without,
        f"程序有错误{at and f'（位于 {at}）'}，或版本不匹配："
        "安装引擎要求的版本，在它的 issue 中搜索该行，或换一个引擎版本" + without_zh,
    )
