"""The connections to a part on this machine that gets a secret: none to a stranger who listens in its place."""

import weakref
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.connector import Connection

from tracetail.contract.http_headers import AUTHORIZATION
from tracetail.contract.port_owner import StrangerError, check_connection

if TYPE_CHECKING:
    from aiohttp import ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace


class LocalConnector(aiohttp.TCPConnector):
    """Sends a secret only through connections whose other end may have it."""

    def __init__(self, secret: str, *, limit: int, sends_without: bool = False) -> None:
        """Begin without connections.

        secret: path of its file. limit: how many connections there may be at a time. sends_without: a stranger gets
        requests without the secret, instead of none.
        """
        super().__init__(limit=limit)
        self._secret = secret
        self._sends_without = sends_without
        self._strangers: weakref.WeakKeyDictionary[ResponseHandler, ConnectionError | None] = (
            weakref.WeakKeyDictionary()
        )
        """By connection, each looked at once: the table of the kernel is long on a large machine."""

    async def connect(
        self,
        req: "ClientRequest",
        traces: list["Trace"],
        timeout: "ClientTimeout",  # noqa: ASYNC109  (aiohttp's)
    ) -> Connection:
        """Return a connection for a request. Raises aiohttp.ClientConnectorError, also for a stranger."""
        connection = await super().connect(req, traces, timeout)
        if AUTHORIZATION in req.headers and (stranger := self._stranger(connection)) is not None:
            if not self._sends_without:
                connection.close()
                raise aiohttp.ClientConnectorError(req.connection_key, stranger) from stranger
            del req.headers[AUTHORIZATION]
        return connection

    def _stranger(self, connection: Connection) -> ConnectionError | None:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            return ConnectionResetError("it has ended")
        if protocol not in self._strangers:
            local, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
            try:
                check_connection(local[:2], peer[:2], self._secret)
            except StrangerError as error:
                self._strangers[protocol] = error
            else:
                self._strangers[protocol] = None
        return self._strangers[protocol]
