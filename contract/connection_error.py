"""Explains why an HTTP request got no answer, and names the setting to check."""

import os
import ssl
from collections.abc import Iterator

from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.port_owner import StrangerError

_NAME_MISMATCHES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (OpenSSL, x509_vfy.h)."""
_NOT_HTTP = ("BadStatusLine", "BadHttpMessage")
"""aiohttp's exceptions for bytes that are no answer; their texts hold the bytes."""


def why(error: BaseException, url_setting: str, url: str, timeout_seconds: float) -> str:
    """Return the reason in one line, with the setting to check where the error allows to name one.

    Args:
        error: what aiohttp, asyncio or ssl raised.
        url_setting: the name of the setting with the address, as `loki.url`; the others are in the same table.
        url: the address.
        timeout_seconds: how long the request was allowed to take.

    """
    table = url_setting.partition(".")[0]
    reason = str(error) or type(error).__name__
    for cause in _causes(error):
        if isinstance(cause, HttpSettingsError):
            return reason
        if isinstance(cause, StrangerError):
            return str(cause)
        if "Proxy" in type(cause).__name__:
            status = getattr(cause, "status", None)
            reason = f"the proxy answers {status}" if status else f"the proxy cannot be reached ({reason})"
            return f"{reason}; look at {table}.proxy"
        # aiohttp's own exceptions derive from ssl's too, but lack their attributes.
        if isinstance(cause, ssl.SSLCertVerificationError) and hasattr(cause, "verify_code"):
            setting = url_setting if cause.verify_code in _NAME_MISMATCHES else f"{table}.ca_file"
            return f"its certificate is not accepted: {cause.verify_message.rstrip('.')}; look at {setting}"
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):
            tls_reason = cause.reason.replace("_", " ").lower()
            if "alert" in tls_reason:
                return f"it does not accept the client certificate ({tls_reason}); look at {table}.cert_file"
            return f"there is no TLS with it ({tls_reason}); look at {url_setting}"
        if type(cause).__name__ in _NOT_HTTP:
            return f"it does not answer in HTTP/1.1, as a port of gRPC; look at {url_setting}"
        if isinstance(cause, TimeoutError) and not cause.errno:
            return f"no answer within {timeout_seconds:g} s"
        if isinstance(cause, OSError) and cause.errno:
            reason = (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror) or reason
        hung_up = isinstance(cause, ConnectionResetError) or type(cause).__name__ == "ServerDisconnectedError"
        if hung_up and url.startswith("https:"):
            # In TLS 1.3 the server asks for a client certificate after the client considers itself connected.
            return f"{reason}; if it wants a client certificate, or another one, look at {table}.cert_file"
    return reason


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it; aiohttp keeps the system's error in an attribute."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        inner = (getattr(cause, name, None) for name in ("certificate_error", "os_error"))
        waiting += [one for one in inner if isinstance(one, BaseException)]
        waiting += [cause.__cause__, cause.__context__]
