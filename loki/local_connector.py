"""The connections to a part on this machine that gets a secret: none to a stranger who listens in its place."""

import weakref
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.connector import Connection

from tracetail.contract.http_headers import AUTHORIZATION
from tracetail.contract.port_owner import check_connection

if TYPE_CHECKING:
    from aiohttp import ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace


class LocalConnector(aiohttp.TCPConnector):
    """Sends a request with a secret only through connections whose other end may have it."""

    def __init__(self, secret: str, *, limit: int) -> None:
        """secret: path of its file; limit: how many connections there may be at a time."""
        super().__init__(limit=limit)
        self._secret = secret
        self._checked: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self,
        req: "ClientRequest",
        traces: list["Trace"],
        timeout: "ClientTimeout",  # noqa: ASYNC109  (aiohttp's)
    ) -> Connection:
        """Return a connection for a request. Raises aiohttp.ClientConnectorError, also for a stranger."""
        connection = await super().connect(req, traces, timeout)
        if AUTHORIZATION in req.headers and connection.protocol not in self._checked:
            try:
                self._check(connection)
            except ConnectionError as error:
                connection.close()
                raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return connection

    def _check(self, connection: Connection) -> None:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise ConnectionResetError("it has ended")
        local, peer = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        check_connection(local[:2], peer[:2], self._secret)
        self._checked.add(protocol)
