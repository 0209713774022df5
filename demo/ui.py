"""`make ui`: Airflow's own UI with the example DAGs and a local Braze, to click through.

It runs in the foreground until Ctrl+C. Everything it makes lies in `.demo-ui/`, and is gone when it stops. Nothing
leaves this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
from local import HERE, airflow_settings, build_warehouse, connections, free_port, get, post, start_emulator
from rich.console import Console

WORK = HERE.parent / ".demo-ui"
READY_WITHIN = 300.0
STEPS = """
[bold]Airflow[/], no password:     [bold]{airflow}/[/]
[bold]The inbox[/] of the local Braze: [bold]{braze}/[/]

  1. Admin > Connections: test [bold]braze_default[/] with the button in its row, and open it to see the form.
  2. Dags > [bold]braze_sql_audience_to_campaign[/] > Trigger: the weekly offer goes to 988 customers.
  3. Open the run's task [bold]send_weekly_offer[/]: its log counts everybody, Storage > XCom has the report, and under
     Details is the link "Braze dashboard". Here it leads to the inbox, where every message can be read.

No DAG runs before you trigger it, and nothing leaves this machine. Stop with Ctrl+C.
"""


class LocalUi:
    """`airflow standalone` with the example DAGs, their connections and a local Braze, all on loopback ports.

    :param folder: where all its files go; must not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "airflow.log"
        self.warehouse = folder / "warehouse.db"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.braze = ""
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything, and come back when it can be used."""
        self.folder.mkdir(parents=True)
        build_warehouse(self.warehouse)
        self.braze, emulator = start_emulator(self.folder / "emulator.log")
        self._processes.append(emulator)
        with self.log.open("wb") as log:
            airflow = subprocess.Popen(
                [sys.executable, "-m", "airflow", "standalone"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its parts have groups of their own, but all are of this session: so they can be found to be ended.
                start_new_session=True,
            )
        self._processes.append(airflow)
        self._wait_for("Airflow's API", self._headers)
        # In Airflow's database and not in its environment, so that the form can open them.
        dashboard = f"{self.braze}/?campaign={{campaign_id}}"
        for name, connection in connections(self.braze, self.warehouse, dashboard_url=dashboard).items():
            extra = {"extra": json.dumps(connection["extra"])} if "extra" in connection else {}
            self.post("connections", connection_id=name, **{**connection, **extra})
        self._wait_for("the example DAGs", self._has_all_dags)

    def _environment(self) -> dict[str, str]:
        known = {
            "core.executor": "LocalExecutor",
            "core.parallelism": 4,
            "core.execution_api_server_url": f"{self.url}/execution/",
            "core.simple_auth_manager_all_admins": True,
            "core.test_connection": "Enabled",
            "core.dags_are_paused_at_creation": False,
            # Otherwise Airflow makes up for this morning's runs at once, and everybody has got the offer already.
            "scheduler.use_job_schedule": False,
            "scheduler.scheduler_idle_sleep_time": 0.5,
            "dag_processor.parsing_processes": 1,
            "api.host": "127.0.0.1",
            "api.port": self.url.rpartition(":")[2],
            "api.base_url": self.url,
            "api.workers": 1,
            "logging.worker_log_server_port": free_port(),
            "logging.trigger_log_server_port": free_port(),
        }
        # The parts are started as `airflow`.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "COV_"))},
            **airflow_settings(self.folder / "airflow"),
            **{f"AIRFLOW__{name.replace('.', '__').upper()}": str(value) for name, value in known.items()},
            "PATH": path,
            "PYTHONUNBUFFERED": "1",
        }

    def _wait_for(self, what: str, look: Any) -> None:
        end = time.monotonic() + READY_WITHIN
        while True:
            with suppress(OSError):
                if look():
                    return
            if self._processes[-1].poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{what} did not get ready:\n{self.log.read_text(errors='replace')[-5000:]}")
            time.sleep(0.5)

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {get(f'{self.url}/auth/token')['access_token']}"}

    def _has_all_dags(self) -> bool:
        if errors := self.get("importErrors")["import_errors"]:
            raise SystemExit(errors[0]["stack_trace"])
        known = {dag["relative_fileloc"] for dag in self.get("dags")["dags"]}
        return known >= {path.name for path in (HERE.parent / "dags_examples").glob("*.py")}

    def get(self, path: str) -> Any:
        """GET from Airflow's public API."""
        return get(f"{self.url}/api/v2/{path}", **self._headers())

    def post(self, path: str, **body: Any) -> None:
        """POST to Airflow's public API."""
        post(f"{self.url}/api/v2/{path}", body, **self._headers())

    def wait(self) -> None:
        """Wait until Airflow ends, which it does not by itself."""
        self._processes[-1].wait()
        raise SystemExit(f"Airflow has ended:\n{self.log.read_text(errors='replace')[-5000:]}")

    def stop(self) -> None:
        """End all of it, and delete its files; does nothing where that is done."""
        for process in self._processes:
            # Whoever dies last could have started another one meanwhile.
            while alive := [pid for pid in psutil.pids() if _is_of(process.pid, pid)]:
                for pid in alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.poll()
                time.sleep(0.01)
            process.wait()
        self._processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_of(session: int, pid: int) -> bool:
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.Error):
        return False


def main() -> None:
    console = Console(highlight=False, soft_wrap=True)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: sys.exit(0))
    waiting = console.status("Airflow starts ... (half a minute; Ctrl+C stops it)")
    with suppress(KeyboardInterrupt), waiting, LocalUi(WORK / str(os.getpid())) as ui:
        waiting.stop()
        console.print(STEPS.format(airflow=ui.url, braze=ui.braze))
        ui.wait()
    console.print("Stopped.")


if __name__ == "__main__":
    main()
