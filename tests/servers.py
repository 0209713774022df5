"""Real servers for tests and benchmarks, from Debian's packages: each on a free port of the loopback interface.

Each has a directory of its own that vanishes with it, and ends with this process at the latest.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

READY_WITHIN = 120.0


def find_program(name: str, package: str) -> Path:
    """Find a server's program on the PATH or among PostgreSQL's versions, the newest first."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    for folder in sorted(versions, key=lambda path: int(path.parent.name), reverse=True):
        if (folder / name).exists():
            return folder / name
    if found := shutil.which(name):
        return Path(found)
    raise RuntimeError(f"{name} is missing: apt-get update && apt-get install -y {package}")


_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """Give a port for a server that is to come; until this process ends, nobody gets it who asks for any."""
    place = socket.socket()
    # With it, and since nobody listens here, a server that has it too may have the same port.
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    _RESERVED.append(place)
    return int(place.getsockname()[1])


class _Server:
    """A process in a directory of its own."""

    stop_signal = signal.SIGTERM

    def __init__(self, name: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"braze-provider-{name}-"))
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    def _start(self, *command: str | Path) -> None:
        # Should this process be killed, so is the server.
        command = ("setpriv", f"--pdeathsig={self.stop_signal.name[3:]}", *command)
        with (self.directory / "log").open("ab") as log:
            # A session of its own, so that Ctrl-C reaches the tests and not the servers below them.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + READY_WITHIN
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                log_end = (self.directory / "log").read_text()[-2000:]
                self.stop()
                raise RuntimeError(f"{command[2:]} does not start:\n{log_end}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it and delete all it has; does nothing where it is stopped already."""
        atexit.unregister(self.stop)
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Postgres(_Server):
    """A PostgreSQL server with a superuser ``braze``, password ``braze-secret``.

    :param settings: of ``postgresql.conf``, for example ``fsync="off"``; what is written must survive by default.
    """

    # At once: neither its clients nor its files matter any longer.
    stop_signal = signal.SIGQUIT
    user = "braze"
    password = "braze-secret"

    def __init__(self, **settings: str) -> None:
        super().__init__("postgres")
        self._initdb = find_program("initdb", "postgresql")
        self._postgres = find_program("postgres", "postgresql")
        self.port = free_port()
        data = self.directory / "data"
        (self.directory / "password").write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.directory, self.directory / "password"):
                shutil.chown(path, "postgres", "postgres")
        made = subprocess.run(
            [
                *self._as_user(),
                *(self._initdb, "-D", data, "-U", self.user, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync"),
                *("--locale=C", "--pwfile", self.directory / "password"),
            ],
            capture_output=True,
            cwd=self.directory,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stderr.decode()}")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            "max_connections": "100",
            "shared_buffers": "64MB",
        } | settings
        self._command = [
            *self._as_user()[1:],
            *(self._postgres, "-D", data),
            *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
        ]
        self.start_again()

    def shut_down(self) -> None:
        """End it in the middle of whatever it does, as an upgrade would; its files stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def start_again(self) -> None:
        """Start it on the files it has."""
        self._start(*self._command)

    @staticmethod
    def _as_user() -> list[str]:
        """PostgreSQL refuses to run as root."""
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []

    def is_ready(self) -> bool:
        import psycopg2

        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> Any:
        """Open a psycopg2 connection that commits each statement."""
        import psycopg2

        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        return connection

    def execute(self, statement: str, *parameters: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement and give its rows."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_database(self, name: str) -> str:
        """Make an empty database and give its name."""
        self.execute(f'CREATE DATABASE "{name}"')
        return name

    def url(self, database: str = "postgres") -> str:
        """Give the URL, as libpq and SQLAlchemy take it."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def connection_json(self, database: str = "postgres", **extra: Any) -> str:
        """Give an Airflow connection, as an AIRFLOW_CONN_... variable takes it."""
        return json.dumps(
            {
                "conn_type": "postgres",
                "host": "127.0.0.1",
                "port": self.port,
                "login": self.user,
                "password": self.password,
                "schema": database,
                "extra": extra,
            }
        )


class Redis(_Server):
    """A Redis server that keeps nothing."""

    def __init__(self) -> None:
        super().__init__("redis")
        self.port = free_port()
        program = find_program("redis-server", "redis-server")
        self._start(
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "no"),
        )

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 60) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    def url(self, database: int = 0) -> str:
        """Give the URL."""
        return f"redis://127.0.0.1:{self.port}/{database}"
