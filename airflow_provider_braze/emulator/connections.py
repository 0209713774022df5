"""Real disconnects: the HTTP protocol remembers its transports, so that a fault can break one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

from starlette.types import Receive, Scope
from uvicorn.protocols.http.auto import AutoHTTPProtocol

_TRANSPORTS: dict[tuple[Any, ...], asyncio.Transport] = {}
_NO_LINGER = struct.pack("ii", 1, 0)


class RememberingProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's own protocol, plus a note of who is connected."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Remember the transport under the address of its two ends."""
        self._ends = _ends(transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
        _TRANSPORTS[self._ends] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        _TRANSPORTS.pop(self._ends, None)
        super().connection_lost(exc)


async def drop_connection(scope: Scope, receive: Receive) -> None:
    """Break the connection of this request: the caller sees a reset, not an answer."""
    transport = _TRANSPORTS.get(_ends(scope["server"], scope["client"]))
    if transport is None:
        raise RuntimeError("no transport to break; run the app through serving.server()")
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _ends(server: Any, client: Any) -> tuple[Any, ...]:
    return (*tuple(server)[:2], *tuple(client)[:2])
