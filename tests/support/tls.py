"""Certificates made by the openssl program, a TLS front, and an HTTP proxy, for tests of how Loki is reached."""

import asyncio
import base64
import contextlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Authority:
    """A certificate authority in a directory, and what it signs."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN=CA of {self.directory.name}"),
            *("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    @property
    def certificate(self) -> Path:
        return self.directory / "ca.pem"

    def sign(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[Path, Path]:
        """Return certificate and key for these names."""
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
        )
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def server_context(self, name: str = "server", names: str = "IP:127.0.0.1,DNS:localhost") -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.sign(name, names))
        return context

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)


class Relay:
    """Listens on loopback and passes bytes on; what a TLS front and a proxy have in common."""

    def __init__(self) -> None:
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def _start(self, context: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def _pass_on(
        self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b""
    ) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
        upstream_writer.write(first)
        try:
            ways = [
                asyncio.ensure_future(_copy(reader, upstream_writer)),
                asyncio.ensure_future(_copy(upstream_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            upstream_writer.close()
            with contextlib.suppress(OSError):
                await upstream_writer.wait_closed()


class TlsFront(Relay):
    """Takes TLS and speaks plain HTTP to what is behind it."""

    def __init__(self, context: ssl.SSLContext, behind: str) -> None:
        super().__init__()
        self._context = context
        self._behind = urlsplit(behind)
        self.clients: list[str] = []
        """The common name of each connection's client certificate."""

    async def start(self) -> "TlsFront":
        await self._start(self._context)
        self.url = f"https://127.0.0.1:{self.port}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("peercert")
        if shown:
            self.clients += [value for ((key, value),) in shown["subject"] if key == "commonName"]
        assert self._behind.hostname is not None
        assert self._behind.port is not None
        await self._pass_on(self._behind.hostname, self._behind.port, reader, writer)


class Proxy(Relay):
    """An HTTP proxy: CONNECT for https, absolute targets for http (RFC 9110, 7.3.2 and 9.3.6)."""

    def __init__(self, user: str = "") -> None:
        """user: `name:password` that it asks for; empty for none."""
        super().__init__()
        self._wanted = "Basic " + base64.b64encode(user.encode()).decode() if user else ""
        self.targets: list[str] = []
        """What was asked for, as `METHOD target`."""

    async def start(self) -> "Proxy":
        await self._start()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request, *headers = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = request.split(" ")
        given = next(
            (h.partition(":")[2].strip() for h in headers if h.lower().startswith("proxy-authorization")), ""
        )
        if self._wanted and given != self._wanted:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        self.targets.append(f"{method} {target}")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self._pass_on(host, int(port), reader, writer)
            return
        parts = urlsplit(target)
        assert parts.hostname is not None
        path = parts.path + ("?" + parts.query if parts.query else "")
        # One request a connection: the next one may be for another host.
        kept = [h for h in headers if not h.lower().startswith(("proxy-", "connection"))]
        first = "\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode("latin-1")
        await self._pass_on(parts.hostname, parts.port or 80, reader, writer, first)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
