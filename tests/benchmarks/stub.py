"""A server that takes any POST and answers like Braze, as fast as asyncio can, or after a fixed latency."""

from __future__ import annotations

import asyncio
import sys

BODY = b'{"dispatch_id":"7f3c1b9a2d5e4c0f8a6b1e2d3c4f5a60","message":"success"}'
ANSWER = (
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nx-ratelimit-limit: 250000\r\n"
    b"x-ratelimit-remaining: 249000\r\nx-ratelimit-reset: 4102444800\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


class Stub(asyncio.Protocol):
    """Reads whole requests by their content-length and writes one canned answer each."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._end_of_request()) is not None:
            del self._received[:end]
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, ANSWER)
            else:
                self._transport.write(ANSWER)

    def _end_of_request(self) -> int | None:
        head, separator, _ = bytes(self._received[:4096]).lower().partition(b"\r\n\r\n")
        if not separator:
            return None
        _, _, length = head.partition(b"content-length:")
        end = len(head) + 4 + int(length.split(b"\r\n")[0] or 0)
        return end if len(self._received) >= end else None


async def main(port: int, latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Stub(latency), "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
