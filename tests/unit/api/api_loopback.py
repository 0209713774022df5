"""A bare HTTP server on loopback that does what a test scripts, byte by byte."""

import contextlib
import socket
import threading

OK = b'HTTP/1.1 201 Created\r\nContent-Length: 21\r\n\r\n{"message":"success"}'


class Loopback:
    """Reads whole requests and hands the socket to ``script(socket, number)``; a false result closes it."""

    def __init__(self, script=lambda wire, _: wire.sendall(OK) or True, reads=True):
        self.requests = []
        self.connections = 0
        self.closed = 0
        self._script, self._reads = script, reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire):
        with contextlib.suppress(OSError), contextlib.closing(wire), wire.makefile("rb") as stream:
            while not self._reads or self._read(stream):
                if not self._script(wire, len(self.requests)):
                    break
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            self.closed += 1

    def _read(self, stream):
        first = stream.readline()
        if not first:
            return False
        headers = {}
        while (line := stream.readline().strip()) and b":" in line:
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        body = stream.read(int(headers.get("content-length", 0)))
        method, target, _ = first.decode().split(" ", 2)
        self.requests.append((method, target, headers, body))
        return True
