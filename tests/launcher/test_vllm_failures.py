"""Starts of a real vLLM that fail: each is made for real, and the launcher names its cause, evidence and hint."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from support import real_vllm

from tracetail.launcher.engines import vllm
from tracetail.launcher.machine import ports

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 988097824\n"


def lfs_pointer(model: Path) -> None:
    (model / "model.safetensors").write_bytes(POINTER)


def without_tokenizer(model: Path) -> None:
    for path in model.glob("token*"):
        path.unlink()


def without_config(model: Path) -> None:
    (model / "config.json").unlink()


def edit_config(**changes) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        path = model / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


class Failing(NamedTuple):
    """A start that fails."""

    name: str
    code: str
    """Of the cause."""
    cause: str
    """What the cause contains."""
    evidence: str
    """What the evidence contains."""
    hint: str = ""
    """What the hint contains."""
    args: tuple[str, ...] = ()
    model: Callable[[Path], None] | None = None
    """Damages the copy of the model."""
    weights: bool = False
    """Load weights instead of inventing them."""
    ended: int = 1
    """The exit status of the server."""


FAILING = [
    Failing(
        "max-model-len",
        "max_model_len",
        "--max-model-len 99999 is more than the model's 2048",
        "User-specified max_model_len (99999) is greater than the derived max_model_len",
        "lower --max-model-len",
        args=("--max-model-len", "99999"),
    ),
    Failing(
        "unknown-argument",
        "bad_arguments",
        "unrecognized arguments: --no-such-flag",
        "error: unrecognized arguments: --no-such-flag",
        "--help",
        args=("--no-such-flag",),
        ended=2,
    ),
    Failing(
        "dtype",
        "bad_arguments",
        "argument --dtype: invalid choice: 'float9'",
        "error: argument --dtype",
        "--help",
        args=("--dtype", "float9"),
        ended=2,
    ),
    Failing(
        "quantization",
        "quantization_unknown",
        "Cannot find the config file for awq",
        "Cannot find the config file for awq",
        "remove --quantization",
        args=("--quantization", "awq"),
    ),
    Failing(
        "batched-tokens",
        "max_num_batched_tokens",
        "max_num_batched_tokens (8) is smaller than max_num_seqs (16)",
        "max_num_batched_tokens (8) must be greater than or equal to max_num_seqs (16)",
        "raise --max-num-batched-tokens",
        args=("--max-num-batched-tokens", "8", "--max-num-seqs", "16"),
    ),
    Failing(
        "tensor-parallel",
        "parallel_size",
        "4 attention heads cannot be split over 3",
        "must be divisible by tensor parallel size (3)",
        "divides 4",
        args=("--tensor-parallel-size", "3"),
    ),
    Failing(
        "tool-parser",
        "tool_parser_unknown",
        "there is no such tool call parser: nope",
        "invalid tool call parser: nope",
        "--tool-call-parser",
        args=("--enable-auto-tool-choice", "--tool-call-parser", "nope"),
    ),
    Failing(
        "config-file",
        "config_file_missing",
        "/nowhere.yaml",
        "Unable to read the config file at /nowhere.yaml",
        "check the path",
        args=("--config", "/nowhere.yaml"),
    ),
    Failing(
        "chat-template",
        "chat_template_invalid",
        "/nowhere/template.jinja",
        "appears path-like, but doesn't exist",
        "--chat-template",
        args=("--chat-template", "/nowhere/template.jinja"),
    ),
    Failing(
        "hub-offline",
        "hub_unreachable",
        "the model is not on this machine, and the hub cannot be reached",
        "outgoing traffic has been disabled",
        "HF_HUB_OFFLINE",
        args=("--tokenizer", "nobody/nothing"),
    ),
    Failing(
        "architecture",
        "architecture_not_supported",
        "NoSuchForCausalLM",
        "are not supported for now",
        "update vLLM",
        model=edit_config(architectures=["NoSuchForCausalLM"]),
    ),
    Failing(
        "remote-code",
        "remote_code_not_trusted",
        "code of its own",
        "trust_remote_code=True",
        "--trust-remote-code",
        model=edit_config(auto_map={"AutoConfig": "configuration_x.XConfig"}, model_type="x"),
    ),
    Failing(
        "no-config",
        "model_not_found",
        "neither a directory with a config.json nor a repository",
        "Invalid repository ID or local directory specified",
        "config.json",
        model=without_config,
    ),
    Failing(
        "no-tokenizer",
        "tokenizer_broken",
        "the tokenizer cannot be loaded",
        "Couldn't instantiate the backend tokenizer",
        "tokenizer.json",
        model=without_tokenizer,
    ),
    Failing(
        "lfs-pointer",
        "weights_corrupt",
        "no safetensors file: header too large",
        "Error while deserializing header: header too large",
        "Git LFS pointer",
        model=lfs_pointer,
        weights=True,
    ),
]


@pytest.fixture
def start(world, free_port, tmp_path):
    """Return a function that starts a tiny model with changes, and returns what the command answered."""

    def run(case, engine):
        python, tiny = real_vllm.environment()
        model = shutil.copytree(tiny, tmp_path / "model")
        if case.model is not None:
            case.model(model)
        args = [*(real_vllm.ARGUMENTS[2:] if case.weights else real_vllm.ARGUMENTS), *case.args]
        params = {"modelName": "tiny-llama", "port": free_port(), "environ": real_vllm.ENVIRON}
        if engine == "custom":
            command = [str(python), "-m", vllm.MODULE, "--model", str(model), "--port", "{port}", *args]
            params |= {"command": command, "readyWhen": "http"}
        else:
            # A preStart may fetch the model: so its files are left to vLLM.
            params |= {"modelPath": str(model), "pythonBin": str(python), "preStart": ["true"], "args": args}
        return world.run("start", "--params", json.dumps(params), timeout=600)

    return run


def assert_explained(world, started, case):
    print(started.stdout)
    found = started.result
    launch = world.launch(found)
    record = world.ended(launch)
    assert started.status == 10
    assert found["causeCode"] == case.code
    assert case.cause in found["cause"]
    assert any(case.evidence in line for line in found["evidence"])
    assert case.hint in found["hint"]
    assert found["causeZh"]
    assert found["hintZh"]
    assert (record["exit"]["code"], record["exit"]["signal"]) == (case.ended, None)
    assert not world.members(launch)
    assert ports.holder(record["port"]) is None


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_a_real_failure_is_explained(world, start, case):
    assert_explained(world, start(case, "vllm"), case)


@pytest.mark.parametrize("case", FAILING[:1], ids=lambda case: case.name)
def test_a_real_failure_of_a_custom_command_is_explained(world, start, case):
    assert_explained(world, start(case, "custom"), case)
