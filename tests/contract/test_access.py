"""A server without a secret is for this machine's own programs only."""

import pytest

from tracetail.contract import access

LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST."]
BEYOND = ["0.0.0.0", "::", "10.0.0.1", "gpu-07", "127.0.0.1.evil.example"]


def refusal_to_bind(host, *, has_secret):
    """Return the message of the refusal, or None if the server may listen there."""
    try:
        access.check_bind("store", host, has_secret=has_secret, secret_setting="store.secret_file")
    except access.UnsafeBindError as error:
        return str(error)
    return None


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_needs_no_secret(host):
    assert refusal_to_bind(host, has_secret=False) is None


@pytest.mark.parametrize("host", BEYOND)
def test_binding_beyond_loopback_without_a_secret_is_refused_with_the_setting(host):
    assert "store.secret_file" in refusal_to_bind(host, has_secret=False)
    assert refusal_to_bind(host, has_secret=True) is None


@pytest.mark.parametrize(
    ("host", "names", "passes"),
    [
        ("127.0.0.1:8900", [], True),
        ("localhost", ["Accept"], True),
        ("[::1]:8900", [], True),
        ("evil.example:8900", [], False),
        ("localhost.evil.example", [], False),
        (None, [], False),
        ("localhost", ["X-Forwarded-For"], False),
        ("localhost", ["Forwarded"], False),
    ],
)
def test_requests_without_a_secret(host, names, passes):
    assert (access.refusal(host, names) is None) == passes


@pytest.mark.parametrize("listen", ["", "3100", "localhost:", ":3100", "127.0.0.1:99999", "127.0.0.1:x"])
def test_a_bad_address_is_refused_by_key(listen):
    with pytest.raises(ValueError, match=r"store\.listen .* expected host:port"):
        access.parse_listen("store.listen", listen)


def test_addresses_are_split():
    assert access.parse_listen("store.listen", "127.0.0.1:3100") == ("127.0.0.1", 3100)
    assert access.parse_listen("store.listen", "[::1]:0") == ("::1", 0)


@pytest.mark.parametrize(
    ("origin", "fetch_site", "passes"),
    [
        (None, None, True),
        (None, "none", True),
        ("http://localhost:8900", "same-origin", True),
        ("http://127.0.0.1:3000", None, True),
        ("http://[::1]:3000", None, True),
        ("http://evil.example", None, False),
        ("http://localhost.evil.example", None, False),
        ("https://evil.example", "cross-site", False),
        (None, "cross-site", False),
        ("null", None, False),
        ("http://[", None, False),
    ],
)
def test_pages_of_other_sites_are_refused(origin, fetch_site, passes):
    assert (access.foreign_page(origin, fetch_site) is None) == passes


@pytest.mark.parametrize(
    ("url", "allowed", "accepted"),
    [
        ("http://anything", [], True),
        ("https://platform.example/cb", ["platform.example"], True),
        ("https://PLATFORM.example:8443/cb", ["platform.EXAMPLE"], True),
        ("https://a.platform.example/cb", ["platform.example"], False),
        ("https://a.platform.example/cb", ["*.platform.example"], True),
        ("https://evilplatform.example/cb", ["*.platform.example"], False),
        ("https://platform.example@evil.example/cb", ["platform.example"], False),
        ("http://169.254.169.254/latest", ["10.0.0.1"], False),
        ("http://[::1]:80/", ["::1"], True),
        ("http://[bad", ["platform.example"], False),
    ],
)
def test_hosts_of_urls_may_be_limited(url, allowed, accepted):
    refused = access.host_refusal("launcher.allowed_hosts", url, allowed)
    assert (refused is None) == accepted
    if refused:
        assert "launcher.allowed_hosts" in refused
