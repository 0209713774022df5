import tempfile
from pathlib import Path

import pytest
from ledger_support import CONN_ID, PostgresDatabase, SqliteDatabase
from servers import Postgres


@pytest.fixture
def braze_emulator_seed():
    return {"users": []}


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server for the session; the machine it runs on does not crash in these tests."""
    with Postgres(fsync="off") as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_database(postgres):
    return PostgresDatabase(postgres, "ledger")


@pytest.fixture
def postgres_ledger(_postgres_database, monkeypatch):
    """An empty PostgreSQL database behind the connection of the ledger."""
    _postgres_database.empty()
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", _postgres_database.connection_json())
    return _postgres_database


@pytest.fixture
def sqlite_ledger(monkeypatch):
    """An empty SQLite file behind the connection of the ledger; in memory, where a busy disk keeps nobody waiting."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        database = SqliteDatabase(Path(folder) / "ledger.db")
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", database.connection_json())
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    """An empty database behind the connection of the ledger, of either kind."""
    return request.getfixturevalue(f"{request.param}_ledger")
