# ruff: noqa: INP001, T201  (a script)
"""Writes the list of known causes, from their tables: `python docs/causes.py [zh] > docs[/zh]/causes.md`."""

import re
import sys

from tracetail.launcher.engines import signals
from tracetail.launcher.engines.causes import tables
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.engines.causes.own import OWN

_HEAD = Text(
    """\
# Causes of failures

Why a start failed, or a server ended, has a stable code: `causeCode` in the result line, the record (`exit`), the
events `failed`, `exited` and `refused`, the callback and the panel, `cause_code` in the metric
`tracetail_server_exit_info`. Count and route by it; the texts may change. `cause` and `hint` are in English,
`causeZh` and `hintZh`.

Where no known cause matches, `causeKind` is `unrecognised` and `cause` is the error that began the failure. A
`custom` command is read with the tables of every engine. How to add a cause: CONTRIBUTING.md.

This page is generated: `python docs/causes.py > docs/causes.md`.
""",
    """\
# 失败原因

启动失败或服务退出的原因有稳定的代码：结果行、记录（`exit`）、事件 `failed`、`exited` 和 `refused`、回调以及面板中的
`causeCode`，指标 `tracetail_server_exit_info` 中的 `cause_code`。请按代码统计和分派，文本可能变化。`cause` 和 `hint`
是英文，`causeZh` 和 `hintZh` 是中文。

没有已知原因匹配时，`causeKind` 为 `unrecognised`，`cause` 是导致失败的第一个错误。`custom` 命令使用所有引擎的表。

本页由 `python docs/causes.py zh > docs/zh/causes.md` 生成。
""",
)
_COLUMNS = Text("| code | cause | hint |", "| 代码 | 原因 | 提示 |")
_TITLES = {
    "vllm": Text("vLLM", "vLLM"),
    "sglang": Text("SGLang", "SGLang"),
    "mindie": Text("MindIE", "MindIE"),
    "llama_cpp": Text("llama.cpp", "llama.cpp"),
    "tgi": Text("Text Generation Inference", "Text Generation Inference"),
    "lmdeploy": Text("LMDeploy", "LMDeploy"),
    "tensorrt": Text("TensorRT-LLM, Triton", "TensorRT-LLM、Triton"),
    "ray": Text("Ray", "Ray"),
    "ascend": Text("Ascend (CANN)", "昇腾（CANN）"),
    "slurm": Text("Slurm", "Slurm"),
    "container": Text("Containers", "容器"),
    "network": Text("Ports and network", "端口和网络"),
    "program": Text("Programs and libraries", "程序和库"),
    "memory": Text("Memory", "内存和显存"),
    "checkpoint": Text("Weights", "权重"),
    "huggingface": Text("Models and tokenizers", "模型和分词器"),
    "torch": Text("PyTorch, CUDA, NCCL", "PyTorch、CUDA、NCCL"),
}


def render(language: str) -> str:
    """Return the page in a language, en or zh."""

    def of(text: Text) -> str:
        return str(getattr(text, language))

    def section(title: Text, rows: list[tuple[str, Text, Text]]) -> list[str]:
        head = [f"\n## {of(title)}\n\n", of(_COLUMNS) + "\n|---|---|---|\n"]
        lines = [f"| `{code}` | {_cell(of(text))} | {_cell(of(hint))} |\n" for code, text, hint in rows]
        return head + list(dict.fromkeys(lines))

    lines = [of(_HEAD)]
    for name, table in tables.all_tables().items():
        rows = [(cause.code, cause.text, cause.hint) for cause in table if not cause.died]
        lines += section(_TITLES[name], rows)
    rows = [
        (death.code, Text(f"killed by {name}", f"被 {name} 终止"), death.hint)
        for name, death in signals.all_deaths().items()
    ]
    lines += section(Text("Signals", "信号"), rows)
    own = [(code, text, Text("", "")) for code, text in OWN.items()]
    lines += section(Text("Found by tracetail itself", "由 tracetail 自身发现"), own)
    return "".join(lines)


def _cell(text: str) -> str:
    """Return a text for a cell: optional parts without brackets, groups as an ellipsis, options as code."""
    text = re.sub(r"\{\w+\}", "…", re.sub(r"\[([^\[\]]*\{\w+\}[^\[\]]*)\]", r"\1", text))
    return re.sub(r"(?<![\w`-])(--[\w-]+|[A-Z]+_[A-Z0-9_]+(?:=\w+)?)", r"`\1`", text).replace("|", "\\|")


if __name__ == "__main__":
    print(render(sys.argv[1] if len(sys.argv) > 1 else "en"), end="")
