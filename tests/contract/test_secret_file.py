"""Secret files: what is usable, and what happens while one is rotated."""

import logging

import pytest

from tracetail.contract.secret_file import SecretFile, SecretFileError, read_secret


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "x.file cannot be read: .*: No such file"),
        (b" \n", "x.file is empty"),
        (b"one\ntwo", "x.file holds more than one line"),
        (b"\xff\xfe", "x.file cannot be read: .*: it is not text"),
    ],
)
def test_a_file_without_a_usable_secret_is_an_error_with_its_setting(tmp_path, content, reason):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretFileError, match=reason):
        read_secret("x.file", str(path))


def test_a_secret_is_read_at_each_use(tmp_path):
    path = tmp_path / "secret"
    path.write_text("one\n")
    secret = SecretFile("x.file", str(path))
    assert (secret.value, read_secret("x.file", str(path))) == (b"one", "one")
    # As long as before and within the same tick of the clock: neither size nor time of the file shows it.
    path.write_text("two\n")
    assert (secret.value, read_secret("x.file", str(path))) == (b"two", "two")


def test_while_a_file_cannot_be_used_the_previous_secret_stays_in_use(tmp_path, caplog):
    path = tmp_path / "secret"
    path.write_text("long enough\n")
    secret = SecretFile("x.file", str(path), min_bytes=8)
    with caplog.at_level(logging.ERROR):
        for content in ("short", "short", ""):
            path.write_text(content)
            assert secret.value == b"long enough"
    assert [record.getMessage() for record in caplog.records] == [
        f"x.file: {path} holds 5 bytes, 8 are needed; the previous secret stays in use",
        f"x.file is empty: {path}; the previous secret stays in use",
    ]
    path.write_text("another one\n")
    assert secret.value == b"another one"


def test_a_file_that_cannot_be_used_at_the_start_is_an_error_and_no_file_is_no_secret(tmp_path):
    with pytest.raises(SecretFileError, match="cannot be read"):
        SecretFile("x.file", str(tmp_path / "none"))
    assert SecretFile("x.file", "").value == b""
