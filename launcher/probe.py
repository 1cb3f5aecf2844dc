"""Probes a server: a listening port, an HTTP status, the model in its list, a first token.

Has an HTTP client of its own, because the keeper has to stay small: one request per connection, a bounded response.
`ssl`, `re2` and `socket` are imported only where they are needed, for the same reason.
"""

import contextlib
import functools
import json
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher.plan import Smoke

if TYPE_CHECKING:
    import socket
    import ssl

TIMEOUT_SECONDS = 5.0
GENERATE_TIMEOUT_SECONDS = 120.0
RESPONSE_MAX_BYTES = 1024 * 1024
WARMUP_PROMPT = "Hello"


_CLIENT_HELLO = bytes.fromhex("160301002d 01000029 0303" + "00" * 32 + "00 0002c02f 0100")
"""The smallest TLS 1.2 ClientHello (RFC 5246, 7.4.1.2): any TLS server answers it, be it with an alert."""
_TLS_RECORDS = (b"\x16\x03", b"\x15\x03")
"""How an answer to it begins: a handshake or an alert."""


class ProbeError(Exception):
    """A probe failed; the message says what the server did instead, `chinese` the same."""

    def __init__(self, message: str, chinese: str) -> None:
        super().__init__(message)
        self.chinese = chinese


class NotHttpError(ProbeError):
    """The port accepts connections, but what answers is not HTTP: nothing, or another protocol."""


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    body: bytes


class Target(NamedTuple):
    """The server that is probed."""

    host: str
    port: int
    api_key: str = ""
    tls: bool = False
    own_key_file: str = ""
    """The file of the key, if it is sent only to who may read it (plan.own_key_file)."""


def connect_host(host: str) -> str:
    """Return the address under which a server bound to host is reached from this machine."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def url(host: str, port: int, *, tls: bool = False) -> str:
    """Return the base URL of a server bound to host, as seen from this machine."""
    shown = connect_host(host)
    scheme = "https" if tls else "http"
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"


def speaks_tls(target: Target) -> bool:
    """Return whether what listens at the port answers the beginning of a TLS handshake."""
    with contextlib.suppress(OSError), _connect(target, TIMEOUT_SECONDS) as one:
        one.sendall(_CLIENT_HELLO)
        return one.recv(2) in _TLS_RECORDS
    return False


def check_port(target: Target) -> None:
    """Raise ProbeError unless a process listens at the port."""
    try:
        _connect(target, TIMEOUT_SECONDS).close()
    except OSError as error:
        reason, reason_zh = _reason(error)
        raise ProbeError(f"port {target.port}: {reason}", f"端口 {target.port}：{reason_zh}") from error


def check_ready_path(target: Target, path: str) -> None:
    """Raise ProbeError unless the path returns status 200."""
    response = request(target, "GET", path)
    if response.status != 200:
        raise ProbeError(f"{path} answers {response.status}", f"{path} 返回 {response.status}")


def check_model(target: Target, path: str, served_name: str) -> None:
    """Raise ProbeError unless the list of models contains the served name, or needs an API key we do not have."""
    response = request(target, "GET", path)
    if response.status in (401, 403):  # we have no API key for it; but it is up
        return
    try:
        names = [str(model["id"]) for model in json.loads(response.body)["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ProbeError(
            f"{path} answers {response.status} and no list of models",
            f"{path} 返回 {response.status}，但没有模型列表",
        ) from error
    if served_name not in names:
        served = ", ".join(names)
        raise ProbeError(
            f"it serves {served or 'no model'}, not {served_name}",
            f"它提供的模型是 {served}，而不是 {served_name}" if served else f"它没有提供模型 {served_name}",
        )


def generate(
    target: Target,
    path: str,
    model: str,
    prompt: str,
    max_tokens: int,
    *,
    timeout: float = GENERATE_TIMEOUT_SECONDS,
) -> str:
    """Return the text that the model generates for a prompt. Raises ProbeError."""
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0}
    response = request(target, "POST", path, body, timeout=timeout)
    if response.status == 404 and path.endswith("/completions"):
        chat = {k: v for k, v in body.items() if k != "prompt"} | {"messages": [{"role": "user", "content": prompt}]}
        path = path.removesuffix("/completions") + "/chat/completions"
        response = request(target, "POST", path, chat, timeout=timeout)
    if response.status != 200:
        said = response.body[:200].decode(errors="replace")
        raise ProbeError(f"{path} answers {response.status}: {said}", f"{path} 返回 {response.status}：{said}")
    try:
        choice = json.loads(response.body)["choices"][0]
        return str(choice["text"] if "text" in choice else choice["message"]["content"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ProbeError(f"{path} answers without choices", f"{path} 的回答中没有 choices") from error


def warm_up(target: Target, path: str, model: str, *, timeout: float = GENERATE_TIMEOUT_SECONDS) -> None:
    """Have the model generate one token. Raises ProbeError."""
    generate(target, path, model, WARMUP_PROMPT, 1, timeout=timeout)


def smoke_test(target: Target, path: str, model: str, smoke: Smoke) -> str:
    """Return the text that the model generates for the prompt. Raises ProbeError if it does not match the pattern."""
    import re2  # noqa: PLC0415

    answer = generate(target, path, model, smoke["prompt"], smoke["maxTokens"])
    if not re2.search(smoke["pattern"], answer):
        said, pattern = answer[:200], smoke["pattern"]
        raise ProbeError(f"the answer {said!r} does not match {pattern!r}", f"回答 {said!r} 与 {pattern!r} 不匹配")
    return answer


def request(
    target: Target, method: str, path: str, body: Any = None, *, timeout: float = TIMEOUT_SECONDS
) -> Response:
    """Send one request and return the response. Raises ProbeError if there is none."""
    data = b"" if body is None else json.dumps(body).encode()
    host = f"[{target.host}]" if ":" in target.host else target.host
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}:{target.port}", "Connection: close", "Accept: */*"]
    if target.api_key:
        head.append(f"Authorization: Bearer {target.api_key}")
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    try:
        with _connect(target, timeout) as plain:
            if target.api_key and target.own_key_file:
                _refuse_stranger(plain, target.own_key_file)
            connection = _tls_context().wrap_socket(plain) if target.tls else plain
            connection.sendall("\r\n".join([*head, "", ""]).encode() + data)
            received = _receive(connection, time.monotonic() + timeout)
    except ConnectionResetError as error:
        reason, reason_zh = _reason(error)
        raise NotHttpError(f"{path}: {reason}", f"{path}：{reason_zh}") from error
    except TimeoutError as error:
        raise ProbeError(f"{path}: no answer within {timeout:g} s", f"{path}：{timeout:g} 秒内没有应答") from error
    except OSError as error:
        reason, reason_zh = _reason(error)
        raise ProbeError(f"{path}: {reason}", f"{path}：{reason_zh}") from error
    return _parse(received)


def _reason(error: OSError) -> tuple[str, str]:
    """Return the system's reason, and the same in Chinese."""
    reason = str(error.strerror or error)
    return reason, in_chinese(reason)


def _connect(target: Target, timeout: float) -> "socket.socket":
    """Return a connection to the target. timeout: seconds, of each of its steps. Raises OSError."""
    import socket  # noqa: PLC0415  (before there is a server, a keeper does not wait for this import)

    return socket.create_connection((target.host, target.port), timeout)


def _refuse_stranger(connection: "socket.socket", key_file: str) -> None:
    """Raise StrangerError if another user listens: engines bind their port minutes after they were started."""
    from tracetail.contract.port_owner import check_connection  # noqa: PLC0415  (only with a key)

    check_connection(connection.getsockname()[:2], connection.getpeername()[:2], key_file)


@functools.cache
def _tls_context() -> "ssl.SSLContext":
    """Return a context that verifies nothing: the port identifies the server, and its certificate names a host."""
    import ssl  # noqa: PLC0415  (7 MB)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _receive(connection: "socket.socket", until: float) -> bytes:
    """Return the response. Raises TimeoutError if it is not complete in time: not at each byte anew."""
    received = bytearray()
    while len(received) < RESPONSE_MAX_BYTES:
        connection.settimeout(max(0.001, until - time.monotonic()))
        data = connection.recv(65536)
        if not data:
            break
        received += data
        if _is_whole(received):
            break
    return bytes(received)


def _is_whole(received: bytearray) -> bool:
    """Return whether a response is complete by its own length, for servers that do not close the connection."""
    head, separator, body = bytes(received).partition(b"\r\n\r\n")
    if not separator:
        return False
    match = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
    return len(body) >= int(match[1]) if match else body.endswith(b"\r\n0\r\n\r\n")


def _parse(received: bytes) -> Response:
    head, _, body = received.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if match is None:
        raise NotHttpError("the port answers, but not in HTTP", "端口有应答，但不是 HTTP")
    if re.search(rb"(?i)\r\ntransfer-encoding:\s*chunked", head):
        body = _unchunk(body)
    return Response(int(match[1]), body)


def _unchunk(body: bytes) -> bytes:
    parts = []
    while body:
        size_text, _, rest = body.partition(b"\r\n")
        try:
            size = int(size_text.split(b";")[0], 16)
        except ValueError:
            break
        if size == 0:
            break
        parts.append(rest[:size])
        body = rest[size + 2 :]
    return b"".join(parts)
