"""HTTP headers that several parts write or read: Authorization and Retry-After.

Sources: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 9110, 10.2.3 (Retry-After).
"""

import base64
import hmac
import time

from tracetail.contract.secret_file import read_secret

AUTHORIZATION = "Authorization"
RETRY_AFTER_MAX_SECONDS = 3600.0
"""A wrong header must not stop delivery for days."""


def bearer(token: str) -> dict[str, str]:
    """Return the Authorization header with a bearer token."""
    return {AUTHORIZATION: f"Bearer {token}"}


def basic(username: str, password: str) -> dict[str, str]:
    """Return the Authorization header of HTTP basic auth, in UTF-8."""
    return {AUTHORIZATION: "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def authorization(
    prefix: str, *, username: str = "", password_file: str = "", bearer_token_file: str = ""
) -> dict[str, str]:
    """Return the Authorization header that a group of settings asks for; empty if none of them is set.

    The files are read at each call, so that a rotated secret is used. Raises SecretFileError.

    prefix: what the names of the settings begin with, for messages, as `loki.`.
    """
    if bearer_token_file:
        return bearer(read_secret(f"{prefix}bearer_token_file", bearer_token_file))
    if username:
        return basic(username, read_secret(f"{prefix}password_file", password_file) if password_file else "")
    return {}


def has_bearer(header: str | None, secret: str | bytes) -> bool:
    """Return whether an Authorization header carries this secret as bearer token; in constant time."""
    expected = secret.encode() if isinstance(secret, str) else secret
    return hmac.compare_digest((header or "").encode(errors="surrogateescape"), b"Bearer " + expected)


def retry_after_seconds(header: str | None) -> float:
    """Return the seconds to wait that a Retry-After header asks for, as a number or a date; 0 without a valid one.

    At most RETRY_AFTER_MAX_SECONDS.
    """
    import email.utils  # noqa: PLC0415  (every command imports this module by its settings)

    text = (header or "").strip()
    try:
        if text.isascii() and text.isdigit():
            seconds = float(text)
        else:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS)
