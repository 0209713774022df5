"""One Airflow for the whole session, in a home of its own; set up before anything imports Airflow."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent


def _isolate() -> Path:
    """Give this process (each xdist worker is one) an empty Airflow home, and take its user's settings away."""
    if "airflow" in sys.modules:
        raise RuntimeError("Airflow was imported before tests/conftest.py could give it a home of its own")
    home = Path(tempfile.mkdtemp(prefix="braze-provider-tests-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in list(os.environ):
        if name.startswith("AIRFLOW_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags_examples"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        # Two tests may use one DAG id within half a minute: Airflow would go on with the first one's.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    return home


HOME = _isolate()


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def airflow_home() -> Path:
    return HOME


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """Airflow's database, migrated."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    return HOME / "airflow.db"


@pytest.fixture
def connection(monkeypatch):
    """Write ``braze_default`` (or another one) as JSON, over what the emulator's own says of it."""

    def write(conn_id="braze_default", **fields):
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        known = json.loads(os.environ.get(name, '{"conn_type": "braze"}'))
        monkeypatch.setenv(name, json.dumps({**known, **fields}))

    return write


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.fixture
def served():
    """Start an HTTP server: what it is called with gives status, content and headers for path and body; gives its URL.

    Content that is no bytes goes out as JSON.
    """
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, content, headers = answer(self.path.partition("?")[0], body)
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def early_in_the_hour():
    """Waits where the hour is about to end: the emulator's quota begins anew with it, and nothing would be scarce."""
    left = 3600 - time.time() % 3600
    if left < 60:
        time.sleep(left + 1)


@pytest.fixture
def warehouse(monkeypatch, tmp_path):
    """A SQLite database behind the connection ``warehouse``; call it with statements."""
    import sqlite3

    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))

    def execute(*statements):
        with sqlite3.connect(path) as database:
            for statement in statements:
                database.execute(*([statement] if isinstance(statement, str) else statement))

    return execute


@pytest.fixture
def register(airflow_db, tmp_path):
    """Make a DAG known to Airflow's database, as the DAG processor would."""

    assert airflow_db.exists()

    def sync(dag):
        try:
            from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
        except ImportError:
            from airflow.models.dagbag import DagBag, sync_bag_to_db
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        DagBundlesManager().sync_bundles_to_db()
        bag = DagBag(tmp_path / "no_dags_here", collect_dags=False)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
        return dag

    return sync


@pytest.fixture(scope="session")
def _one_execution_api():
    """Let the tasks of Airflow 3.1 share the API that newer ones share by themselves; making it takes a second each."""
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture
def run_dag(register, request):
    """Run a DAG to its end with ``dag.test()``, retries included; gives the DAG run."""

    request.getfixturevalue("_one_execution_api")

    def run(dag, **options):
        return register(dag).test(**options)

    return run


@pytest.fixture
def rendered_fields():
    """What Airflow keeps of a run for its page "Rendered Templates", by task and map index."""

    def read(run):
        from airflow.models.renderedtifields import RenderedTaskInstanceFields

        get = RenderedTaskInstanceFields.get_templated_fields
        return {(one.task_id, one.map_index): get(one) for one in run.get_task_instances()}

    return read
