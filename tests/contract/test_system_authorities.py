import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tracetail.contract import system_authorities

COUNT = """
import gc, os, ssl
from tracetail.contract import system_authorities
with system_authorities.left_unread():
    import aiohttp
print(sum(one.cert_store_stats()["x509"] for one in gc.get_objects() if isinstance(one, ssl.SSLContext)))
print(os.environ.get("SSL_CERT_FILE"))
print(system_authorities.ssl_for("https://a").cert_store_stats()["x509"])
"""


@pytest.fixture
def authorities(tmp_path):
    """Return a file of two authorities."""
    paths = ssl.get_default_verify_paths()
    if not paths.cafile:
        pytest.skip("this machine has no authorities")
    certificates = Path(paths.cafile).read_text().split("-----END CERTIFICATE-----\n")
    path = tmp_path / "two.pem"
    path.write_text("".join(f"{one}-----END CERTIFICATE-----\n" for one in certificates[:2]))
    return path


def test_aiohttp_is_imported_without_reading_an_authority_and_a_request_that_needs_them_has_them(authorities):
    environ = os.environ | {"SSL_CERT_FILE": str(authorities), "SSL_CERT_DIR": str(authorities.parent)}
    done = subprocess.run([sys.executable, "-c", COUNT], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", str(authorities), "2"]


def test_the_environment_is_as_before(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with system_authorities.left_unread():
        assert os.environ["SSL_CERT_FILE"] == os.devnull
    assert "SSL_CERT_FILE" not in os.environ


@pytest.mark.parametrize("urls", [("https://a",), ("HTTPS://a",), ("http://a", "https://proxy"), ("https://a", "")])
def test_a_request_by_tls_trusts_the_systems_authorities_and_checks_the_name(urls):
    context = system_authorities.ssl_for(*urls)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_request_in_plain_text_needs_no_authorities():
    assert system_authorities.ssl_for("http://a", "") is True
    assert system_authorities.ssl_for("http://a", "http://proxy") is True
