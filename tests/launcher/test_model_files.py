"""A model that cannot be loaded is refused before the start; one that may be is left to the engine."""

import json
import struct

import pytest

from tracetail.launcher.operations.model_files import find_problem

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 4976698672\n"
)
"""The example of git-lfs's docs/spec.md."""


def safetensors(data=b"\0" * 16, *, offsets=None, extra=b""):
    """Return a file of one tensor, as https://github.com/huggingface/safetensors#format describes it."""
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "w": {"dtype": "F32", "shape": [4], "data_offsets": offsets or [0, len(data)]},
        }
    ).encode()
    return struct.pack("<Q", len(header)) + header + data + extra


WHOLE = {
    "config.json": json.dumps({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}),
    "tokenizer.json": "{}",
    "model-00001-of-00002.safetensors": safetensors(),
    "model-00002-of-00002.safetensors": safetensors(),
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ),
}


@pytest.fixture
def model(tmp_path):
    def make(changes):
        for name, content in {**WHOLE, **changes}.items():
            if content is not None:
                (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"model-00002-of-00002.safetensors": POINTER},
            "lfs_pointers",
            "model-00002-of-00002.safetensors is a Git LFS",
        ),
        ({"tokenizer.json": POINTER}, "lfs_pointers", "tokenizer.json is a Git LFS pointer"),
        ({"config.json": POINTER}, "lfs_pointers", "config.json is a Git LFS pointer"),
        ({"model-00001-of-00002.safetensors": None}, "shards_missing", "1 of 2 files of the weights are missing"),
        ({"model-00001-of-00002.safetensors": safetensors()[:-1]}, "weights_corrupt", "its header says"),
        ({"model-00001-of-00002.safetensors": safetensors(extra=b"x")}, "weights_corrupt", "its header says"),
        ({"model-00001-of-00002.safetensors": b"<html>404</html>"}, "weights_corrupt", "a header of"),
        ({"model-00001-of-00002.safetensors": b""}, "weights_corrupt", "0 bytes"),
        ({"config.json": "{"}, "config_not_json", "config.json is not valid JSON"),
        ({"config.json": None}, "config_missing", "there is no config.json"),
        ({"tokenizer.json": None}, "tokenizer_missing", "there is no tokenizer"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_a_problem(model, changes, code, words):
    found = find_problem(model(changes), [])
    assert found is not None
    assert found.code == code
    assert words in found.text.en
    assert found.text.zh
    assert found.hint.zh


@pytest.mark.parametrize(
    ("changes", "args"),
    [
        ({}, []),
        ({name: None for name in WHOLE if name != "config.json"}, []),
        ({"model-00001-of-00002.safetensors": POINTER}, ["--load-format", "dummy"]),
        ({"model-00001-of-00002.safetensors": None}, ["--load-format=dummy"]),
        ({"model-00001-of-00002.safetensors": None}, ["--load-format", "runai_streamer"]),
        ({"model-00001-of-00002.safetensors": None}, ["--model", "org/name"]),
        ({"tokenizer.json": None}, ["--tokenizer", "/data/other"]),
        ({"tokenizer.json": None, "config.json": '{"architectures": ["PrithviGeoSpatialMAE"]}'}, []),
        ({"config.json": None, "params.json": "{}"}, []),
        ({"model-00001-of-00002.safetensors": None, "consolidated.safetensors": safetensors()}, []),
        (
            {
                "model-00001-of-00002.safetensors": None,
                "model-00002-of-00002.safetensors": None,
                "pytorch_model.bin": b"PK",
            },
            [],
        ),
    ],
)
def test_a_model_that_an_engine_may_load_is_left_to_it(model, changes, args):
    assert find_problem(model(changes), args) is None


def test_an_empty_directory_is_a_problem_and_a_name_at_a_hub_is_none(tmp_path):
    found = find_problem(str(tmp_path), [])
    assert found is not None
    assert found.code == "model_directory_empty"
    assert find_problem("Qwen/Qwen2-7B", []) is None
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"GGUF")
    assert find_problem(str(gguf), []) is None
    gguf.write_text(POINTER)
    pointer = find_problem(str(gguf), [])
    assert pointer is not None
    assert pointer.code == "lfs_pointers"


def test_a_start_with_such_a_model_is_refused_with_its_code(world, tmp_path):
    (tmp_path / "config.json").write_text("{")
    given = {"modelName": "m", "modelPath": str(tmp_path), "pythonBin": "/bin/true", "traceId": "t-1"}
    refused = world.run("start", "--params", json.dumps(given))
    assert refused.status == 15
    assert refused.result["causeCode"] == "config_not_json"
    assert "不是合法的 JSON" in refused.result["causeZh"]
