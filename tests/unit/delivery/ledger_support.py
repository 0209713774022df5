"""What the tests of ledgers share: requests to named people, and databases to keep them in."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from contextlib import closing

from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.ledger import Intent, Settlement, TaskTry
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.sql_ledger import SqlLedger

CAMPAIGN = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}
CONN_ID = "ledger"
TABLES = ("deliveries", "tries", "requests", "recipients")


def requests_to(people):
    """Make requests of 50 people each."""
    with Plan("campaigns_trigger_send", CAMPAIGN, ListAudience(people)) as plan:
        return list(plan)


def request_to(people):
    (request,) = requests_to(people)
    return request


def broadcast():
    with Plan("campaigns_trigger_send", {**CAMPAIGN, "broadcast": True}, None) as plan:
        (request,) = plan
        return request


def open_ledger(ledger=None, **task):
    """Open a ledger as a new try of a task."""
    given = {"dag_id": "winback", "run_id": "run_1", "task_id": "send", **task}
    with Plan("campaigns_trigger_send", CAMPAIGN, ListAudience(["anybody"])) as plan:
        return (ledger or SqlLedger(CONN_ID)).open(TaskTry(**given), plan)


def claim(ledger, people, *, take_doubt=False):
    (answer,) = ledger.write([Intent(request_to(people), take_doubt)], [])
    return answer


def settle(ledger, claimed, outcome=Outcome.ACCEPTED, **result):
    assert ledger.write([], [Settlement(claimed.ticket, outcome, **result)]) == []


def places(answer):
    """Give free, accepted, refused, doubt and held as plain values."""
    return {
        "free": list(answer.free),
        "accepted": answer.accepted,
        "refused": answer.refused,
        "doubt": list(answer.doubt),
        "held": list(answer.held),
    }


def said(**kinds):
    """What :func:`places` gives where all else is empty."""
    return {"free": [], "accepted": 0, "refused": 0, "doubt": [], "held": [], **kinds}


class SqliteDatabase:
    """A SQLite file."""

    def __init__(self, path):
        self._path = path

    def connection_json(self):
        return json.dumps({"conn_type": "sqlite", "host": str(self._path)})

    def execute(self, statement):
        with closing(sqlite3.connect(self._path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    def count_deadlocks(self):
        return 0


class PostgresDatabase:
    """A database of a server."""

    def __init__(self, server, name):
        self.server, self.name = server, server.create_database(name)

    def empty(self):
        """Make it as new; creating and deleting one for each test would take seconds."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        self.execute("DROP SCHEMA public CASCADE")
        self.execute("CREATE SCHEMA public")
        self.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        self.execute(f"ALTER DATABASE {self.name} RESET ALL")

    def connection_json(self):
        return self.server.connection_json(self.name)

    def execute(self, statement):
        return self.server.execute(statement, database=self.name)

    def count_deadlocks(self):
        (row,) = self.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return row[0]


class LossyProxy:
    """Stands before a server; once told so, it drops the connection after a COMMIT, instead of the server's answer."""

    def __init__(self, port):
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lose_commits = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            pair = {"lost": False}
            threading.Thread(target=self._upstream, args=(client, server, pair), daemon=True).start()
            threading.Thread(target=self._downstream, args=(client, server, pair), daemon=True).start()

    def _upstream(self, client, server, pair):
        try:
            while data := client.recv(65536):
                if self.lose_commits and b"COMMIT\0" in data:
                    self.lose_commits -= 1
                    pair["lost"] = True
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def _downstream(self, client, server, pair):
        try:
            while (data := server.recv(65536)) and not pair["lost"]:
                client.sendall(data)
        except OSError:
            pass
        finally:
            client.shutdown(socket.SHUT_RDWR)
            client.close()
