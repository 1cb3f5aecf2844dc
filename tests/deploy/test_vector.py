"""deploy/vector/: the remap program, run by Vector's own language runtime."""

import re
from pathlib import Path

import pytest
import yaml
from support.vrl import MASKING_BEGIN, MASKING_END, PROGRAM, Remap, masking_statements, transform

from tracetail.contract.labels import LAUNCH_LABELS, METADATA_NAMES, METADATA_ORIGINAL_TIME
from tracetail.contract.logline import render_line
from tracetail.contract.redaction import Redactor

VECTOR = PROGRAM.parent
CONFIG = yaml.safe_load((VECTOR / "tracetail.yaml").read_text(encoding="utf-8"))
KAFKA = yaml.safe_load((VECTOR / "tracetail-kafka.yaml").read_text(encoding="utf-8"))
SEGMENT = Path("/var/lib/tracetail/logs/test/vllm/qwen-7b-2026-11-22_211209-a1b2c3.log")
NOW = 1_795_353_130_123_456_789


@pytest.fixture(scope="module")
def remap():
    return Remap()


@pytest.mark.parametrize("test", CONFIG["tests"], ids=lambda test: test["name"])
def test_vectors_own_unit_tests_hold(test):
    (inserted,) = test["inputs"]
    (output,) = test["outputs"]
    assert inserted["insert_at"] == output["extract_from"] == "entries"
    fields = inserted["log_fields"]

    for condition in output["conditions"]:
        # Vector compiles a condition by itself and so cannot know that .timestamp is one; here it is known.
        source = condition["source"].replace("timestamp!(.timestamp)", ".timestamp")
        Remap(then=source)(fields["message"], fields["file"], fields["host"])


def test_a_wrong_unit_test_would_fail():
    with pytest.raises(ValueError, match="assertion failed"):
        Remap(then='assert_eq!(.message, "x")')("y", SEGMENT)


def test_the_program_compiles_whether_or_not_the_types_of_the_fields_are_known():
    program = PROGRAM.read_text(encoding="utf-8")
    known = """.message = "a"\n.file = "/f"\n.host = "h"\n.timestamp = now()\n"""

    for before in ("", known):
        event = transform(f"{before}{program}\n.").remap({"message": "a", "file": "/f", "host": "h"})
        assert (event["message"], event["labels"]["host"]) == ("a", "h")


def test_the_program_masks_by_the_patterns_of_the_agent():
    found = PROGRAM.read_text("utf-8").partition(MASKING_BEGIN)[2].partition(MASKING_END)[0]

    assert found == masking_statements(), "run: PYTHONPATH=tests python -m support.vrl"


@pytest.mark.parametrize(
    "text",
    [
        "non-default args: {'api_key': 'sk-1', 'port': 8000}",
        'api_key = "x y"',
        "API-KEY: abc,def",
        "password= hunter2 and passwd=hunter3)",
        "--api-key sk-0123456789abcdef0 --hf-token=x --port 1",
        "Authorization: Bearer abcdefgh12345678",
        "sk-proj-0123456789abcdef0123 and hf_0123456789abcdefABCD",
        "AKIAABCDEFGHIJKLMNOP aws_secret_access_key=0123456789abcdef0123",
        "postgres://user:p%40ss@db:5432/x http://h:80/path@y",
        "no secret: key-value token 密码 password",
        "password=密码 x",
    ],
)
def test_secrets_are_masked_as_the_agent_masks_them(text, remap):
    masked, _ = Redactor().redact(text.encode())

    assert remap(render_line(NOW, "t1", "i1", text.encode())[:-1].decode(), SEGMENT)["message"] == masked.decode()


def test_the_sink_names_every_label_and_takes_every_metadata(remap):
    sink = CONFIG["sinks"]["loki"]

    assert sink["labels"] == {name: f"{{{{ labels.{name} }}}}" for name in LAUNCH_LABELS}
    assert sink["structured_metadata"] == {"*": "{{ metadata }}"}
    # Vector makes the names that "*" stands for lower case.
    assert all(name == name.lower() for name in METADATA_NAMES)
    assigned = set(re.findall(r"\bmetadata\.(\w+) = ", PROGRAM.read_text("utf-8")))
    assert assigned == set(METADATA_NAMES) - {METADATA_ORIGINAL_TIME}


@pytest.mark.parametrize("config", [CONFIG, KAFKA], ids=["loki", "kafka"])
def test_nothing_is_discarded_by_configuration(config):
    (source,) = config["sources"].values()
    (sink,) = config["sinks"].values()
    (transform,) = config["transforms"].values()

    longest = render_line(NOW, "t" * 128, "i" * 128, b"x" * 262_144, "redraw")
    assert source["max_line_bytes"] > len(longest)
    assert source["read_from"] == "beginning"
    assert sink["acknowledgements"] == {"enabled": True}
    assert sink["buffer"]["when_full"] == "block"
    assert transform["drop_on_error"] is False
    assert transform["drop_on_abort"] is False


def test_the_kafka_variant_differs_in_its_sink_alone():
    same = ("data_dir", "sources", "transforms")

    assert {key: KAFKA[key] for key in same} == {key: CONFIG[key] for key in same}
    assert KAFKA["sinks"]["kafka"]["topic"] == "llm-task-log"
