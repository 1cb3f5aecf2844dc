"""The table [loki]: what cannot work is refused, with the name of the setting."""

from pathlib import Path

import pytest

from tracetail.contract.http_settings import HttpSettingsError
from tracetail.loki.settings import LokiSettings


@pytest.mark.parametrize(
    ("fields", "content", "said"),
    [
        ({"bearer_token_file": "FILE"}, None, "loki.bearer_token_file cannot be read: .*: No such file"),
        ({"bearer_token_file": "FILE"}, b" \n", "loki.bearer_token_file is empty"),
        ({"bearer_token_file": "FILE"}, b"one\ntwo", "loki.bearer_token_file holds more than one line"),
        ({"bearer_token_file": "FILE"}, b"\xff\xfe", "loki.bearer_token_file cannot be read: .*: it is not text"),
        ({"username": "anna", "password_file": "FILE"}, None, "loki.password_file cannot be read"),
        ({"password_file": "FILE"}, b"x", "loki.username is not"),
        ({"bearer_token_file": "FILE", "username": "anna"}, b"x", "keep one of them"),
        ({"ca_file": "FILE"}, None, "loki.ca_file cannot be used: .*: No such file"),
        ({"ca_file": "FILE"}, b"no certificate", "loki.ca_file cannot be used"),
        ({"cert_file": "FILE"}, b"no certificate", "loki.cert_file .* cannot be used"),
        ({"key_file": "FILE"}, b"x", "loki.cert_file is not"),
        ({"proxy": "socks5://127.0.0.1:1"}, None, "loki.proxy is not usable"),
        ({"proxy": "127.0.0.1:3128"}, None, "loki.proxy is not usable"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_their_names(
    tmp_path: Path, fields: dict[str, str], content: bytes | None, said: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    settings = LokiSettings(**{name: str(path) if value == "FILE" else value for name, value in fields.items()})
    with pytest.raises(HttpSettingsError, match=said):
        settings.check()
