"""Authorization and Retry-After: what is written, and what is read of what others write."""

import email.utils
import time

import pytest

from tracetail.contract.http_headers import RETRY_AFTER_MAX_SECONDS, authorization, has_bearer, retry_after_seconds
from tracetail.contract.secret_file import SecretFileError


def test_the_settings_decide_on_the_header_and_name_what_is_wrong(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(" s3cret\n")
    assert authorization("x.") == {}
    assert authorization("x.", bearer_token_file=str(secret)) == {"Authorization": "Bearer s3cret"}
    assert authorization("x.", username="anna") == {"Authorization": "Basic YW5uYTo="}
    assert authorization("x.", username="anna", password_file=str(secret)) == {
        "Authorization": "Basic YW5uYTpzM2NyZXQ="
    }
    with pytest.raises(SecretFileError, match=r"^x\.password_file cannot be read"):
        authorization("x.", username="anna", password_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("Bearer s3cret", True), ("Bearer S3cret", False), ("s3cret", False), ("Bearer \udcff", False), (None, False)],
)
def test_a_bearer_token_is_compared(header, accepted):
    assert has_bearer(header, "s3cret") is accepted
    assert has_bearer(header, b"s3cret") is accepted


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("17", 17),
        (" 17 ", 17),
        ("0", 0),
        ("-3", 0),
        ("soon", 0),
        ("²", 0),
        ("9" * 400, RETRY_AFTER_MAX_SECONDS),
        ("Sun, 22 Nov 2020 13:12:10 GMT", 0),
        ("Sun, 22 Nov 9999 13:12:10 GMT", RETRY_AFTER_MAX_SECONDS),
        ("Sun, 99 Nov 2020 13:12:10 GMT", 0),
    ],
)
def test_retry_after_is_a_bounded_number_of_seconds(header, seconds):
    assert retry_after_seconds(header) == seconds


def test_retry_after_may_be_a_date():
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < retry_after_seconds(date) <= 100
