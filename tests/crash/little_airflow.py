"""A little Airflow for all crash tests of one pytest run, shared by its xdist workers.

PostgreSQL holds the metadata and the SQL ledger, the execution API listens on a loopback port, and for each test a
process is forked that does what the scheduler, the triggerer and a person at the UI do, with Airflow's own functions.
Each try of a task has a supervisor and a task process of its own, as the LocalExecutor makes them.

Run as a program it serves until no pytest process holds its lock any more.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
READY_WITHIN = 300.0
# PostgreSQL lets go of what a hanging worker has locked after a minute.
ENDS_WITHIN = 150.0


class Station:
    """One test's line to the little Airflow: its methods are those of :class:`_Desk`, on the other side."""

    def __init__(self, folder: Path) -> None:
        self._line = Client(str(folder / "line"), "AF_UNIX")

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._line.send((name, args, kwargs))
            known, answer = self._line.recv()
            if not known:
                raise AssertionError(answer)
            return answer

        return call

    def close(self) -> None:
        """Hang up; what its tries left running is killed."""
        self._line.close()


def join(folder: Path) -> Any:
    """Start the little Airflow of a folder, or join the one that another worker started; gives what to hold on to."""
    folder.mkdir(exist_ok=True, parents=True)
    users = (folder / "users").open("a")
    with (folder / "start").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        if not (folder / "line").exists():
            with (folder / "output").open("ab") as output:
                started = subprocess.Popen(
                    [sys.executable, __file__, str(folder)], stdout=output, stderr=output, start_new_session=True
                )
            end = time.monotonic() + READY_WITHIN
            while not (folder / "line").exists():
                if started.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"no little Airflow:\n{(folder / 'output').read_text()[-5000:]}")
                time.sleep(0.05)
    return users


def _serve(folder: Path) -> None:
    # Airflow's own processes have the DAGs' folder there too.
    sys.path[:0] = [str(FOLDER.parent), str(FOLDER / "dags")]
    from servers import Postgres

    settings = {"max_connections": "300", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    # It listens from the start: until the API begins, its port might go to somebody else.
    listener = socket.create_server(("127.0.0.1", 0))
    with Postgres(**settings) as postgres:
        metadata, ledger = postgres.create_database("airflow"), postgres.create_database("ledger")
        port = listener.getsockname()[1]
        os.environ |= {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url(metadata).replace("://", "+psycopg2://"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            # A supervisor may see a killed task only at its next heartbeat.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # A call that is made again, since its answer came late, may be refused: the task runs already.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the crash tests, as long as it has to be: 0123456789abcdef",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "AIRFLOW_CONN_LEDGER": postgres.connection_json(ledger),
            "LEDGER_URL": postgres.url(ledger),
        }
        _preload()
        _in_child(_set_up)
        children = {_fork(lambda: _execution_api(listener))}
        listener.close()
        _wait_for(port)
        _warm_up()
        _answer_calls(folder, children)


def _preload() -> None:
    """Import what the forked processes need, which starts no thread and opens no connection."""
    import airflow.executors.local_executor
    import airflow.jobs.scheduler_job_runner
    import airflow.models
    import airflow.sdk.execution_time.supervisor
    import airflow.sdk.execution_time.task_runner
    import airflow.serialization.serialized_objects
    from airflow.providers_manager import ProvidersManager

    with contextlib.suppress(ImportError):
        import airflow.sdk.providers_manager_runtime
    import airflow.providers.common.compat.sdk
    import airflow.providers.postgres.hooks.postgres
    import airflow.providers.standard.triggers.temporal  # noqa: F401

    import airflow_provider_braze
    from airflow_provider_braze.api.endpoints import ENDPOINTS

    for part in ("api", "delivery", "hooks", "operators"):
        folder = [str(Path(airflow_provider_braze.__path__[0]) / part)]
        for module in pkgutil.iter_modules(folder, f"airflow_provider_braze.{part}."):
            importlib.import_module(module.name)
    for endpoint in ENDPOINTS.values():
        endpoint.request.model_rebuild()
    ProvidersManager().initialize_providers_hooks()


def _set_up() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils import db

    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:
        from airflow.models.dagbag import DagBag, sync_bag_to_db

    db.initdb()
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(FOLDER / "dags", bundle_path=FOLDER / "dags")
    if bag.import_errors or not bag.dags:
        raise RuntimeError(f"the DAGs cannot be read: {bag.import_errors}")
    sync_bag_to_db(bag, "dags-folder", None)


def _execution_api(listener: socket.socket) -> None:
    import uvicorn
    from airflow.api_fastapi.app import create_app

    uvicorn.Server(uvicorn.Config(create_app(apps="execution"), log_level="warning")).run(sockets=[listener])


def _warm_up() -> None:
    """Do once what each test would pay for, without a thread or a connection that is left over."""
    from airflow import settings

    for dag_id in ("crash_campaign", "crash_schedule", "crash_mapped"):
        desk = _Desk(None)
        desk.begin(dag_id, "warm_up")
        desk.schedule()
    # Processes must not share connections.
    settings.engine.dispose()
    gc.collect()
    gc.freeze()


@functools.cache
def _dags() -> Any:
    from airflow.models.dagbag import DBDagBag

    return DBDagBag()


def _wait_for(port: int) -> None:
    """Wait for the first answer, which takes the API seconds, longer than a supervisor has patience for."""
    end = time.monotonic() + READY_WITHIN
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/execution/health", timeout=READY_WITHIN).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _fork(work: Any) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _in_child(work: Any) -> None:
    _, status = os.waitpid(_fork(work), 0)
    if status:
        raise RuntimeError(f"{work} failed, see above")


def _answer_calls(folder: Path, children: set[int]) -> None:
    with socket.socket(socket.AF_UNIX) as line, (folder / "users").open("a") as users:
        line.settimeout(0.5)
        line.bind(str(folder / "making"))
        line.listen(64)
        (folder / "making").rename(folder / "line")
        try:
            while not _nobody_uses(users):
                for pid in list(children):
                    if os.waitpid(pid, os.WNOHANG)[0]:
                        children.discard(pid)
                with contextlib.suppress(TimeoutError):
                    call, _ = line.accept()
                    call.setblocking(True)
                    children.add(_fork(lambda call=call: _Desk(Connection(call.detach())).work()))
                    call.close()
        finally:
            # Who comes now starts another one.
            (folder / "line").unlink(missing_ok=True)
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _nobody_uses(users: Any) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Desk:
    """Does for one test what the scheduler, the triggerer, an executor and a person at the UI do."""

    def __init__(self, line: Any) -> None:
        from airflow.executors.local_executor import LocalExecutor

        self._line = line
        self._executor = LocalExecutor(parallelism=1)
        self._keys: dict[int, Any] = {}
        self._workers: dict[int, int | None] = {}
        self._dag_id = self._run_id = ""

    def work(self) -> None:
        """Answer until the test hangs up."""
        try:
            while True:
                name, args, kwargs = self._line.recv()
                try:
                    answer = (True, getattr(self, name)(*args, **kwargs))
                except Exception:
                    answer = (False, traceback.format_exc())
                self._line.send(answer)
        except EOFError:
            pass
        finally:
            for pid, code in self._workers.items():
                if code is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)

    def begin(self, dag_id: str, run_id: str) -> None:
        """Trigger a DAG run, and set it running."""
        from airflow.api.common.trigger_dag import trigger_dag
        from airflow.utils.types import DagRunTriggeredByType

        self._dag_id, self._run_id = dag_id, run_id
        trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.TEST, run_id=run_id)
        self._set_running()

    def _set_running(self) -> None:
        from airflow.utils.session import create_session
        from airflow.utils.state import DagRunState

        with create_session() as session:
            run = self._run(session)
            if run.state == DagRunState.QUEUED:
                run.set_state(DagRunState.RUNNING)
                session.merge(run)

    def _run(self, session: Any) -> Any:
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        run = session.scalars(select(DagRun).filter_by(dag_id=self._dag_id, run_id=self._run_id)).one()
        run.dag = _dags().get_dag_for_run(run, session)
        return run

    def _instances(self, session: Any) -> list[Any]:
        from airflow.models.taskinstance import TaskInstance
        from sqlalchemy import select

        query = select(TaskInstance).filter_by(dag_id=self._dag_id, run_id=self._run_id)
        return list(session.scalars(query.order_by(TaskInstance.map_index)))

    def schedule(self) -> list[int]:
        """Queue what is to run, as the scheduler's loop does; gives the map indexes."""
        from airflow.sdk import timezone
        from airflow.utils.session import create_session
        from airflow.utils.state import TaskInstanceState

        end = time.monotonic() + 60
        while time.monotonic() < end:
            with create_session() as session:
                run = self._run(session)
                ready, _ = run.update_state(session=session, execute_callbacks=False)
                run.schedule_tis(ready, session=session)
            with create_session() as session:
                found = [one for one in self._instances(session) if one.state == TaskInstanceState.SCHEDULED]
                for one in found:
                    one.state, one.queued_dttm = TaskInstanceState.QUEUED, timezone.utcnow()
                if found:
                    return [one.map_index for one in found]
            time.sleep(0.02)
        raise AssertionError(f"nothing to run: {self.states()}")

    def start(self, map_index: int, environment: dict[str, str]) -> int:
        """Hand a queued task to a worker, and give the worker's pid."""
        from airflow.executors import workloads
        from airflow.utils.session import create_session

        with create_session() as session:
            [one] = [one for one in self._instances(session) if one.map_index == map_index]
            workload = workloads.ExecuteTask.make(one, generator=self._executor.jwt_generator)

        def run() -> None:
            os.setpgid(0, 0)
            os.environ.update(environment)
            self._line.close()
            _run_workload(workload)

        pid = _fork(run)
        self._workers[pid] = None
        self._keys[pid] = workload.ti.key
        return pid

    def wait(self, pid: int, seconds: float = ENDS_WITHIN) -> int | None:
        """Wait for a worker's end; gives its exit code, None where it goes on."""
        from airflow.utils.state import TaskInstanceState

        end = time.monotonic() + seconds
        while self._workers[pid] is None:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._workers[pid] = os.waitstatus_to_exitcode(status)
                lost = self._workers[pid] != 0
                self._tell_scheduler(pid, TaskInstanceState.FAILED if lost else TaskInstanceState.SUCCESS)
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(0.01)
        return self._workers[pid]

    def _tell_scheduler(self, pid: int, state: str) -> None:
        """Pass on how a worker ended; where the database does not know, the scheduler takes its task for failed."""
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
        from airflow.utils.session import create_session

        self._executor.change_state(self._keys[pid], state)
        with create_session() as session:
            SchedulerJobRunner.process_executor_events(self._executor, None, _dags(), session)

    def states(self) -> list[dict[str, Any]]:
        """What the database says of the tasks."""
        from airflow.utils.session import create_session

        names = ("map_index", "try_number", "max_tries", "pid", "next_method", "trigger_id")
        with create_session() as session:
            return [
                {"id": str(one.id), "state": str(one.state), **{name: getattr(one, name) for name in names}}
                for one in self._instances(session)
            ]

    def clear(self) -> None:
        """Clear all tasks, as a person does."""
        from airflow.models.taskinstance import clear_task_instances
        from airflow.utils.session import create_session

        with create_session() as session:
            clear_task_instances(self._instances(session), session)
        self._set_running()

    def resume(self, failed: bool = False) -> None:
        """Fire the trigger of a deferred task, as the triggerer does."""
        from airflow.models.trigger import Trigger
        from airflow.sdk import timezone
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session

        with create_session() as session:
            for one in self._instances(session):
                if one.trigger_id is not None and failed:
                    Trigger.submit_failure(one.trigger_id, session=session)
                elif one.trigger_id is not None:
                    Trigger.submit_event(one.trigger_id, TriggerEvent(timezone.utcnow()), session=session)

    def give_up(self) -> None:
        """Take the task that was started last for lost, as the scheduler does where its heartbeats have ended."""
        from airflow.utils.state import TaskInstanceState

        self._tell_scheduler(list(self._keys)[-1], TaskInstanceState.FAILED)

    def log(self) -> str:
        """All task logs of the run, one message a line."""
        folder = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]) / f"dag_id={self._dag_id}"
        lines = []
        for path in sorted((folder / f"run_id={self._run_id}").rglob("*.log")):
            for line in path.read_text().splitlines():
                try:
                    said = json.loads(line)
                except ValueError:
                    said = {"event": line}
                errors = (f"{one.get('exc_type')}: {one.get('exc_value')}" for one in said.get("error_detail") or [])
                lines += [str(said.get("event")), *errors]
        return "\n".join(lines)

    def query(self, statement: str, database: str = "airflow", **parameters: Any) -> list[tuple[Any, ...]]:
        """Look into the database."""
        import psycopg2

        url = os.environ["LEDGER_URL"]
        connection = psycopg2.connect(url if database == "ledger" else url.replace("/ledger", "/airflow"))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.errors.UndefinedTable:
            return []
        finally:
            connection.close()

    def pushed(self, key: str) -> Any:
        """An XCom of the only task; None where there is none."""
        rows = self.query(
            "SELECT value FROM xcom WHERE dag_id = %(dag)s AND run_id = %(run)s AND key = %(key)s",
            dag=self._dag_id,
            run=self._run_id,
            key=key,
        )
        return rows[0][0] if rows else None


def _run_workload(workload: Any) -> None:
    """Do what a worker of the LocalExecutor does."""
    from airflow.executors.base_executor import BaseExecutor

    if hasattr(BaseExecutor, "run_workload"):
        BaseExecutor.run_workload(workload)
        return
    import structlog
    from airflow.executors.local_executor import _execute_work

    _execute_work(structlog.get_logger("worker"), workload)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
