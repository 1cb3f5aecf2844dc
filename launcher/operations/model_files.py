"""Checks a model's directory before the start: for files without which no engine can load it.

Only what cannot possibly work is a problem. What may work is left to the engine: a hub's name, a directory with
nothing but a configuration, weights in formats that are not looked into.

safetensors: https://github.com/huggingface/safetensors#format. Git LFS pointers:
https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import json
import os
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tracetail.contract.safe_open import open_file, read_file
from tracetail.launcher.engines import flag_given, flag_value
from tracetail.launcher.engines.causes.cause import Text

_LFS_MARK = b"version https://git-lfs.github.com/spec/"
_LFS_MAX_BYTES = 1024
_JSON_MAX_BYTES = 64 * 1024 * 1024
_HEADER_MAX_BYTES = 100_000_000
"""The longest header that safetensors reads."""
_HEADER_CHECKED_BYTES = 8 * 1024 * 1024
"""Longer headers are not parsed: the check has to take less than a second."""
_LENGTH_BYTES = 8
_CHECKED_FORMATS = (None, "auto", "safetensors")
_CONFIGS = ("config.json", "params.json", "model_index.json", "adapter_config.json")
_TOKENIZER = re.compile(r"token|vocab|merges|spiece|sentencepiece|tekken", re.IGNORECASE)
_GENERATES = re.compile(r"ForCausalLM|ForConditionalGeneration")
_INDEX = "model.safetensors.index.json"
_AGAIN = Text("download or copy the model again", "重新下载或复制模型")


class Problem(NamedTuple):
    """Why a model cannot be loaded."""

    code: str
    text: Text
    hint: Text


def find_problem(model_path: str, args: Sequence[str]) -> Problem | None:
    """Return why the model at this path cannot be loaded; None if it may be, or if it is not a path of this machine.

    args: of the engine, vLLM or SGLang; some make files unnecessary.
    """
    if flag_given(args, "--model", "--model-path"):
        return None
    path = Path(model_path).expanduser()
    try:
        if path.is_dir():
            return next(_problems(path, args), None)
        return _pointer(path) if path.is_file() else None
    except OSError:
        return None  # the engine reports what it cannot read


def _problems(model: Path, args: Sequence[str]) -> Iterator[Problem]:
    names = sorted(path.name for path in model.iterdir())
    if not names:
        text = Text(f"the model's directory {model} is empty", f"模型目录 {model} 是空的")
        yield Problem("model_directory_empty", text, Text("is its volume mounted?", "它的卷挂载了吗？"))
        return
    config = yield from _configuration(model, names, args)
    for name in names:
        if _TOKENIZER.search(name) and (found := _pointer(model / name)):
            yield found
    weights = [name for name in names if name.endswith((".safetensors", ".bin", ".pt", ".gguf"))]
    needs_tokenizer = _GENERATES.search(str(config.get("architectures")))
    given = flag_given(args, "--tokenizer", "--tokenizer-path", "--skip-tokenizer-init", "--config-format")
    if weights and needs_tokenizer and not given and not any(map(_TOKENIZER.search, names)):
        yield Problem(
            "tokenizer_missing", Text(f"there is no tokenizer in {model}", f"{model} 中没有 tokenizer"), _AGAIN
        )
    if flag_value(args, "--load-format") in _CHECKED_FORMATS:
        yield from _weights(model, names, weights)


def _configuration(
    model: Path, names: Sequence[str], args: Sequence[str]
) -> Generator[Problem, None, dict[str, Any]]:
    """Yield what is wrong with config.json; return its content."""
    if "config.json" in names:
        if found := _pointer(model / "config.json"):
            yield found
        try:
            config = json.loads(read_file(model / "config.json", _JSON_MAX_BYTES))
        except ValueError as error:
            text = Text(
                f"{model}/config.json is not valid JSON: {error}", f"{model}/config.json 不是合法的 JSON：{error}"
            )
            yield Problem("config_not_json", text, _AGAIN)
            return {}
        return config if isinstance(config, dict) else {}
    is_model = any(name.endswith(".safetensors") or name.startswith("tokenizer") for name in names)
    other = any(name in _CONFIGS or name.endswith(".gguf") for name in names)
    if is_model and not other and not flag_given(args, "--hf-config-path", "--config-format"):
        yield Problem(
            "config_missing", Text(f"there is no config.json in {model}", f"{model} 中没有 config.json"), _AGAIN
        )
    return {}


def _weights(model: Path, names: Sequence[str], weights: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the files of the weights."""
    own = [name for name in weights if name.endswith(".safetensors") and not name.startswith("consolidated")]
    consolidated = [name for name in weights if name.startswith("consolidated")]
    shards = _shards(model) if _INDEX in names else own
    missing = [name for name in shards if not (model / name).is_file()]
    if missing and not consolidated and (own or not weights):
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        yield Problem(
            "shards_missing",
            Text(
                f"{len(missing)} of {len(shards)} files of the weights are missing in {model}: {some}",
                f"{model} 缺少 {len(shards)} 个权重文件中的 {len(missing)} 个：{some}",
            ),
            _AGAIN,
        )
    for name in shards if not missing else ():
        if found := _pointer(model / name) or _safetensors(model / name):
            yield found
    if not shards:
        yield from (found for name in weights if (found := _pointer(model / name)))


def _shards(model: Path) -> list[str]:
    """Return the files that the index of the weights names."""
    try:
        files = json.loads(read_file(model / _INDEX, _JSON_MAX_BYTES))["weight_map"].values()
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted({name for name in files if isinstance(name, str) and "/" not in name})


def _pointer(path: Path) -> Problem | None:
    """Return the problem that a file is a Git LFS pointer, in place of what it points to."""
    if not path.is_file() or not 0 < path.stat().st_size <= _LFS_MAX_BYTES:
        return None
    if not read_file(path, len(_LFS_MARK)).startswith(_LFS_MARK):
        return None
    text = Text(
        f"{path} is a Git LFS pointer: its content was not downloaded", f"{path} 是 Git LFS 指针：内容没有下载"
    )
    return Problem(
        "lfs_pointers",
        text,
        Text("run git lfs pull there, or copy the files", "在该目录执行 git lfs pull，或复制文件"),
    )


def _safetensors(path: Path) -> Problem | None:
    """Return what is wrong with a safetensors file: its length, and a header that says how long it is."""
    size = path.stat().st_size
    with os.fdopen(open_file(path), "rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > min(_HEADER_MAX_BYTES, size - _LENGTH_BYTES):
            return _corrupt(
                path, f"a header of {length} bytes in {size} bytes", f"{size} 字节的文件中文件头长 {length} 字节"
            )
        if length > _HEADER_CHECKED_BYTES:
            return None
        header = file.read(length)
    try:
        tensors: dict[str, Any] = json.loads(header)
        end = max((each["data_offsets"][1] for name, each in tensors.items() if name != "__metadata__"), default=0)
        wanted = _LENGTH_BYTES + length + end
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return _corrupt(path, "its header is not valid", "文件头无效")
    if wanted == size:
        return None
    return _corrupt(
        path, f"it has {size} bytes, its header says {wanted}", f"文件长 {size} 字节，文件头要求 {wanted} 字节"
    )


def _corrupt(path: Path, why: str, why_zh: str) -> Problem:
    text = Text(f"{path} is no whole safetensors file: {why}", f"{path} 不是完整的 safetensors 文件：{why_zh}")
    return Problem("weights_corrupt", text, _AGAIN)
