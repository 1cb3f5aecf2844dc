"""The page on troubleshooting is found by what people type: its headings are texts that are really printed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("agent", "cli", "contract", "launcher", "loki", "panel", "store")
OF_OTHERS = {
    "ERROR: No matching distribution found for tracetail",  # pip
    "error: externally-managed-environment",  # pip, PEP 668
    "tracetail: command not found",  # bash
    "429",
    "rate limit exceeded",  # Loki, pkg/validation: "... rate limit exceeded for user"
    "entry too far behind",  # Loki, pkg/chunkenc
    "timestamp too old",  # Loki, pkg/validation
    "ResourceExhausted",  # gRPC
    "larger than max",  # gRPC: "received message larger than max"
    "Permission denied",  # strerror
    "CUDA out of memory",  # PyTorch
    "Per stream rate limit exceeded",  # Loki, pkg/validation
}
"""Texts of other programs."""
VALUE = re.compile(r"\{.*\}|…|\b\d+(?:\.\d+){3}:\d+|\b\d+\b|\bvllm\b|\b7d\b|\(SIGKILL\)")
"""What stands in a heading for a value of the message."""


def quoted(page):
    for heading in re.findall(r"^### (.*)$", (ROOT / page).read_text("utf-8"), re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", heading)


@pytest.fixture(scope="module")
def sources():
    paths = [path for part in PARTS for end in ("py", "js") for path in (ROOT / part).rglob(f"*.{end}")]
    texts = (path.read_text("utf-8") for path in paths if "chinese" not in path.parts and "vendor" not in path.parts)
    # A text may be put together from literals, with values between them.
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))


def test_every_message_that_is_a_heading_is_printed(sources):
    names = {"gap", "info", "ready"}
    unknown = []
    for text in set(quoted("docs/troubleshooting.md")) - OF_OTHERS - names:
        pieces = [piece.strip(" {}=") for piece in VALUE.split(text)]
        unknown += [(text, piece) for piece in pieces if len(piece) > 2 and piece not in sources]
    assert unknown == []


def test_both_pages_have_the_same_messages_as_headings():
    assert list(quoted("docs/troubleshooting.md")) == list(quoted("docs/zh/troubleshooting.md"))
