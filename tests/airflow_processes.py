"""Airflow as it runs in earnest: each of its parts a process, on loopback ports, in a home that vanishes with them.

Every process gets a session of its own. Airflow gives its tasks process groups of their own, but never a session: so
a part is killed with all that it started by its session, and nothing is left behind.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from servers import free_port

Found = TypeVar("Found")
READY_WITHIN = 300.0


class Process:
    """A program in the background, in a session of its own; its output goes to a file.

    :param command: the program and its arguments.
    :param log: the file.
    """

    def __init__(self, command: list[str], log: Path, **options: Any) -> None:
        self.log = log
        with log.open("ab") as output:
            # Should this process be killed, the program is told to end.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig=TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **options,
            )
        self.pid = self._process.pid

    def text(self) -> str:
        """Give all that it has printed."""
        return self.log.read_text(errors="replace")

    def usage(self) -> tuple[float, float]:
        """Give the CPU seconds that it and all that it started have taken, and their resident memory in MB."""
        ticks = pages = 0
        for pid in _session(self.pid):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                # User and system time, its own and that of its children that have ended; resident pages.
                ticks += sum(map(int, fields[11:15]))
                pages += int(fields[21])
        return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def check(self) -> None:
        """Raise where it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.log.name} ended with {self._process.returncode}:\n{self.text()[-5000:]}")

    def kill(self) -> list[int]:
        """SIGKILL it and all that it started; gives their ids."""
        killed: list[int] = []
        # Whoever dies last could have started another one meanwhile.
        while pids := _session(self.pid):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            self._process.poll()
            time.sleep(0.01)
        self._process.wait()
        return sorted(set(killed))


def _session(leader: int) -> list[int]:
    """Give the processes of a session that are alive, its leader first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                found.append(int(path.parent.name))
    return sorted(found, key=lambda pid: (pid != leader, pid))


def wait_for(what: str, look: Callable[[], Found | None], within: float, every: float = 0.5) -> Found:
    """Look again and again until there is something, and give it."""
    end = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within:.0f} s: {what}")
        time.sleep(every)
    return found


def fetch(
    url: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None, verb: str | None = None
) -> Any:
    """GET a URL's JSON, or POST to it where there is a body; with another verb do that."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"content-type": "application/json", **(headers or {})}, method=verb)
    try:
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")
    except HTTPError as error:
        raise RuntimeError(f"{url}: {error.code} {error.read().decode(errors='replace')}") from None


class Airflow:
    """One Airflow with a home of its own; use it as a context manager.

    :param dags: the folder of the DAGs.
    :param database: SQLAlchemy URL of an empty database for the metadata.
    :param executor: as in airflow.cfg.
    :param connections: what AIRFLOW_CONN_... variables say, by connection id.
    :param settings: of airflow.cfg, such as ``{"core.parallelism": 4}``; None is Airflow's default.
    """

    def __init__(
        self,
        dags: Path,
        *,
        database: str,
        executor: str,
        connections: Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="braze-provider-airflow-"))
        self.logs = self.home / "logs"
        self._url = f"http://127.0.0.1:{free_port()}"
        self._port = self._url.rpartition(":")[2]
        self._headers: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        known = {
            "core.executor": executor,
            "core.dags_folder": dags,
            "core.load_examples": False,
            "core.dags_are_paused_at_creation": False,
            "core.dagbag_import_timeout": READY_WITHIN,
            "core.execution_api_server_url": f"{self._url}/execution/",
            "core.fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "core.simple_auth_manager_all_admins": True,
            "database.sql_alchemy_conn": database,
            "api.secret_key": secrets.token_hex(32),
            "api.maximum_page_limit": 10_000,
            "api_auth.jwt_secret": secrets.token_hex(32),
            "logging.base_log_folder": self.logs,
            "logging.colored_console_log": False,
            "scheduler.enable_health_check": False,
            "scheduler.scheduler_idle_sleep_time": 0.5,
            "dag_processor.parsing_processes": 1,
            "dag_processor.min_file_process_interval": 3600,
            "dag_processor.dag_file_processor_timeout": int(READY_WITHIN),
            # A call that is made again, since its answer came late, may be refused: the task runs already.
            "workers.execution_api_timeout": 60,
            "usage_data_collection.enabled": False,
            **(settings or {}),
        }
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "COV_"))},
            "AIRFLOW_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            **{
                f"AIRFLOW__{name.replace('.', '__').upper()}": str(value)
                for name, value in known.items()
                if value is not None
            },
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()},
        }
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill all of it, and delete its home; does nothing where that is done."""
        atexit.unregister(self.stop)
        for process in self.processes.values():
            process.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def command(self, *arguments: str) -> str:
        """Run one of Airflow's commands to its end, and give what it printed."""
        return self.python("-m", "airflow", *arguments)

    def python(self, *arguments: str, stdin: str = "") -> str:
        """Run Python with this Airflow's settings to its end, and give what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self._environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=READY_WITHIN,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout[-5000:]}")
        return done.stdout

    def start(self, *parts: str, **commands: list[str]) -> None:
        """Start parts such as ``"scheduler"``, or any other commands under names of their own, and the API server."""
        commands = {part: [part] for part in parts} | commands
        commands["api-server"] = ["api-server", "--host", "127.0.0.1", "--port", self._port]
        for name, arguments in commands.items():
            self.begin(name, *arguments)

    def begin(self, name: str, *arguments: str) -> Process:
        """Start one of Airflow's commands in the background, under a name."""
        command = [sys.executable, "-m", "airflow", *arguments]
        self.processes[name] = Process(command, self.home / f"{name}.log", env=self._environment)
        return self.processes[name]

    def wait_until_ready(self, *dag_ids: str) -> None:
        """Wait until the API answers, the scheduler runs, and the DAGs are known."""
        self.wait_for("the API server", self._log_in)
        self.wait_for("the scheduler", lambda: self.is_well("scheduler"))
        for dag_id in dag_ids:
            self.wait_for(dag_id, lambda dag_id=dag_id: self._has(dag_id))

    def _log_in(self) -> bool:
        try:
            token = fetch(f"{self._url}/auth/token")["access_token"]
        except OSError:
            return False
        self._headers = {"authorization": f"Bearer {token}"}
        return True

    def is_well(self, part: str) -> bool:
        return self.get("monitor/health")[part]["status"] == "healthy"

    def _has(self, dag_id: str) -> bool:
        if errors := self.get("importErrors")["import_errors"]:
            raise AssertionError(errors[0]["stack_trace"])
        return any(dag["dag_id"] == dag_id for dag in self.get("dags")["dags"])

    def wait_for(
        self, what: str, look: Callable[[], Found | None], within: float = READY_WITHIN, every: float = 1.0
    ) -> Found:
        """Wait for something as long as all parts live."""

        def checked() -> Found | None:
            for process in self.processes.values():
                process.check()
            return look()

        try:
            return wait_for(what, checked, within, every)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tails()}") from None

    def tails(self, characters: int = 3000) -> str:
        """Give the end of what each process printed."""
        return "\n".join(f"--- {name}\n{process.text()[-characters:]}" for name, process in self.processes.items())

    def get(self, path: str, **query: Any) -> Any:
        """GET from Airflow's public API."""
        return fetch(f"{self._url}/api/v2/{path}?{urlencode({'limit': 10_000, **query})}", headers=self._headers)

    def post(self, path: str, **body: Any) -> Any:
        """POST to Airflow's public API."""
        return fetch(f"{self._url}/api/v2/{path}", body, self._headers)

    def pause(self, dag_id: str, paused: bool = True) -> None:
        """Pause a DAG, or un-pause it."""
        fetch(f"{self._url}/api/v2/dags/{dag_id}", {"is_paused": paused}, self._headers, "PATCH")

    def delete(self, path: str) -> None:
        """DELETE through Airflow's public API."""
        fetch(f"{self._url}/api/v2/{path}", None, self._headers, "DELETE")

    def task_instances(self, dag_id: str, run_id: str = "~") -> list[dict[str, Any]]:
        """Give the task instances of a DAG run, or of all."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]

    def result(self, instance: Mapping[str, Any]) -> Any:
        """Give what a task returned."""
        path = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/xcomEntries/return_value".format(**instance)
        return self.get(path, map_index=instance["map_index"], deserialize=True)["value"]

    def task_log(self, instance: Mapping[str, Any], attempt: int) -> str:
        """Give the log file of one try of a task, empty where there is none."""
        parts = [f"dag_id={instance['dag_id']}", f"run_id={instance['dag_run_id']}", f"task_id={instance['task_id']}"]
        if instance["map_index"] >= 0:
            parts.append(f"map_index={instance['map_index']}")
        path = self.logs.joinpath(*parts, f"attempt={attempt}.log")
        return path.read_text(errors="replace") if path.exists() else ""

    def shown_log(self, instance: Mapping[str, Any]) -> list[str]:
        """Give what the UI shows of a task's latest try, a line for each: the workers' and the triggerers', by time."""
        path = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}".format(**instance)
        lines = self.get(path, map_index=instance["map_index"], full_content=True)["content"]
        return [
            " ".join(
                [line["event"], *(f"{one['exc_type']}: {one['exc_value']}" for one in line.get("error_detail") or ())]
            )
            for line in lines
        ]


class Emulator:
    """A local Braze as a process of its own, that prints a line per request.

    :param program: what to start, the package's own emulator or something around it.
    :param seed: a seed file.
    """

    def __init__(self, program: list[str], seed: Path, folder: Path) -> None:
        command = [sys.executable, *program, "--port", "0", "--seed", str(seed), "--access-log"]
        self._process = Process(command, folder / "emulator.log")
        atexit.register(self.stop)
        self.url = wait_for("the emulator", self._url, READY_WITHIN, every=0.1)

    def _url(self) -> str | None:
        self._process.check()
        found = re.search(r"answers at (http://\S+?)\.\s", self._process.text())
        return found and found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        atexit.unregister(self.stop)
        self._process.kill()

    def summary(self) -> dict[str, int]:
        """Give the counts of requests, and of messages per person."""
        return fetch(f"{self.url}/__emulator__/deliveries?summary=1")

    def inject(self, kind: str, **options: Any) -> None:
        """Put a fault in force."""
        self.tell("faults", kind=kind, **options)

    def tell(self, what: str, **body: Any) -> Any:
        """POST to the emulator's own interface, such as ``"figures"`` or ``"programs"``."""
        return fetch(f"{self.url}/__emulator__/{what}", body)

    def exchanges(self) -> list[dict[str, Any]]:
        """Give the latest 1,000 requests and what they were answered, oldest first."""
        return fetch(f"{self.url}/__emulator__/requests?limit=1000")["requests"][::-1]

    def answers(self) -> Counter[str]:
        """Count the answers that Braze gave, such as ``"POST /campaigns/trigger/send 201"``."""
        found = re.findall(r'"([A-Z]+ /[^_?]\S*) HTTP/1.1" (\d+)', self._process.text())
        return Counter(f"{line} {status}" for line, status in found)
