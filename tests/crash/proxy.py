"""A loopback TCP proxy before the emulator, which breaks off one request at a chosen byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

_NO_LINGER = struct.pack("ii", 1, 0)


class Proxy:
    """Passes requests on; the one with a given number, among those to a path, meets its fate.

    :param upstream: port of the emulator.
    :param path: which requests count.
    :param number: which of them, from 1; 0 for none.
    :param where: ``half_sent``: half of its body is passed on; ``unanswered``: all of it is, its answer is not.
    :param then: called at that moment, for example to kill the task; the connection is reset after it.
    """

    def __init__(
        self, upstream: int, path: str, number: int, where: str, then: Callable[[], None] = lambda: None
    ) -> None:
        self._upstream, self._path, self._number, self._where, self._then = upstream, path, number, where, then
        self._seen, self._lock = 0, threading.Lock()
        self.struck = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._talks: list[threading.Thread] = []
        self._door = threading.Thread(target=self._accept, daemon=True)
        self._door.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def finish(self) -> None:
        """Let nobody in any more, and wait until all that was asked is passed on; who asked has gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._door.join(60)
        for talk in self._talks:
            talk.join(60)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._upstream))
                self._sockets += [near, far]
                self._talks.append(threading.Thread(target=self._talk, args=(near, far), daemon=True))
                self._talks[-1].start()

    def _talk(self, near: socket.socket, far: socket.socket) -> None:
        """One request and its answer after the other."""
        asking, answering = near.makefile("rb"), far.makefile("rb")
        with contextlib.suppress(OSError, ValueError):
            while (message := _read(asking)) is not None:
                head, body = message
                fate = self._fate(head)
                if fate == "half_sent":
                    far.sendall(head + body[: len(body) // 2])
                    break
                far.sendall(head + body)
                answer = _read(answering)
                if answer is None or fate == "unanswered":
                    break
                near.sendall(b"".join(answer))
            else:
                fate = None
            if fate:
                self._then()
                self.struck.set()
        for one in (near, far):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            # Files of a socket keep it open.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        asking.close()
        answering.close()

    def _fate(self, head: bytes) -> str | None:
        if head.split(b" ", 2)[1].decode() != self._path:
            return None
        with self._lock:
            self._seen += 1
            return self._where if self._seen == self._number else None


def _read(stream) -> tuple[bytes, bytes] | None:
    """Read a message: all up to the empty line, and the body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
        if line.startswith(b"transfer-encoding:"):
            raise ValueError("the proxy knows no chunks")
    body = stream.read(length)
    return (head, body) if len(body) == length else None
