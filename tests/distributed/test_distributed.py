"""200,000 people, eight mapped tasks on two Celery workers, one ledger, one quota; one worker is killed midway."""

from __future__ import annotations

import re
import threading
import time
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from distributed_support import CUSTOMERS, KEY, RESERVE, WORKERS

PARTS = 8
SENT = "POST /campaigns/trigger/send 201"
# It takes two to three minutes, most of it waiting for the quota.
ENDS_WITHIN = 900
# Each of its hours lets a good quarter go out, within seconds: where one is missed, there is the next.
KILL_FROM, KILL_UNTIL = 0.3, 0.8
STREAMING = 10
NEIGHBOUR_SECONDS = 2.0


class Neighbour:
    """Somebody else in the workspace, for whom the reserve of the quota is kept: asks Braze every other second."""

    def __init__(self, url: str) -> None:
        self._request = Request(f"{url}/campaigns/list", headers={"authorization": f"Bearer {KEY}"})
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.statuses: list[int] = []
        self.remaining: list[int] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _ask(self):
        while not self._done.wait(NEIGHBOUR_SECONDS):
            try:
                with urlopen(self._request, timeout=60) as answer:
                    self._note(answer.status, answer.headers)
            except HTTPError as error:
                self._note(error.code, error.headers)

    def _note(self, status, headers):
        self.statuses.append(status)
        self.remaining.append(int(headers["x-ratelimit-remaining"]))


class Sale(NamedTuple):
    state: str
    instances: list
    reports: list
    summary: dict
    answers: dict
    neighbour: Neighbour


def run(airflow, run_id, watch=lambda: None):
    """Run the DAG to its end; gives the state of the run, its task instances, and what they returned."""
    airflow.post("dags/spring_sale/dagRuns", dag_run_id=run_id, logical_date=None)
    watch()

    def ended():
        state = airflow.get(f"dags/spring_sale/dagRuns/{run_id}")["state"]
        return state if state in ("success", "failed") else None

    state = airflow.wait_for(f"the end of run {run_id}", ended, ENDS_WITHIN, every=2.0)
    instances = sorted(airflow.task_instances("spring_sale", run_id), key=lambda instance: instance["map_index"])
    logs = "\n".join(airflow.task_log(instance, instance["try_number"])[-3000:] for instance in instances)
    assert state == "success", logs
    return state, instances, [airflow.result(instance) for instance in instances]


@pytest.fixture(scope="module")
def sale(airflow, braze, postgres):
    """The first run, in which the second worker is killed while its requests are under way."""

    def is_streaming():
        before = braze.summary()
        if before["total"] < KILL_FROM * CUSTOMERS:
            return False
        time.sleep(0.25)
        return braze.summary()["requests"] >= before["requests"] + STREAMING and all_have_begun()

    def all_have_begun():
        """Of a task that has only just started, the ledger would know nothing yet."""
        tasks = "SELECT DISTINCT task FROM braze_ledger_requests WHERE state = 'accepted'"
        begun = {int(task.rpartition("/")[2]) for (task,) in postgres.execute(tasks, database="ledger")}
        known = airflow.task_instances("spring_sale", "first")
        return {one["map_index"] for one in known if one["state"] == "running"} <= begun

    def kill():
        airflow.wait_for("messages that go out", is_streaming, ENDS_WITHIN, every=0.25)
        assert airflow.processes.pop(WORKERS[1]).kill()
        assert braze.summary()["total"] < KILL_UNTIL * CUSTOMERS

    with Neighbour(braze.url) as neighbour:
        ended = run(airflow, "first", kill)
    return Sale(*ended, braze.summary(), braze.answers(), neighbour)


def test_everybody_got_one_message(sale):
    counts = {name: sale.summary[name] for name in ("recipients", "min", "max", "total")}
    assert counts == {"recipients": CUSTOMERS, "min": 1, "max": 1, "total": CUSTOMERS}
    assert len(sale.reports) == PARTS
    assert sum(report["accepted"] for report in sale.reports) == CUSTOMERS
    assert {(report["unknown"], report["failed"], report["skipped"]) for report in sale.reports} == {(0, 0, 0)}


def test_the_killed_tasks_went_on_and_asked_braze_about_those_in_doubt(sale, airflow):
    again = [instance for instance in sale.instances if instance["try_number"] > 1]
    assert again
    logs = "".join(airflow.task_log(instance, instance["try_number"]) for instance in again)
    assert all("The ledger knows this delivery since" in airflow.task_log(one, one["try_number"]) for one in again)
    got = [int(places) for places in re.findall(r"Request \d+: (\d+) of \d+ recipients got it", logs)]
    # Some answers died with the worker.
    assert sum(got) > 0
    assert sale.answers["POST /users/export/ids 201"] >= len(got)


def test_the_quota_was_kept(sale):
    refused = {answer: times for answer, times in sale.answers.items() if answer.endswith(" 429")}
    # The pool did run so low that requests are spread over its time.
    assert min(sale.neighbour.remaining) < 350
    assert sum(refused.values()) <= PARTS
    assert set(sale.neighbour.statuses) == {200}
    # What is missing of the reserve, the neighbour took.
    assert min(sale.neighbour.remaining) >= RESERVE - 30


def test_the_ledger_names_nobody(sale, postgres):
    tables = postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database="ledger")
    assert len(tables) == 4
    for (table,) in tables:
        named = postgres.execute(
            f"SELECT count(*) FROM {table} AS line WHERE line::text LIKE '%%customer%%'", database="ledger"
        )
        assert named == [(0,)]
    assert postgres.execute("SELECT count(*) FROM braze_ledger_recipients", database="ledger") == [(CUSTOMERS,)]
    states = "SELECT state, sum(recipients) FROM braze_ledger_requests GROUP BY state"
    assert postgres.execute(states, database="ledger") == [("accepted", CUSTOMERS)]


def test_another_run_with_the_same_key_sends_nothing(sale, airflow, braze):
    _, instances, reports = run(airflow, "second")
    assert [instance["try_number"] for instance in instances] == [1] * PARTS
    assert sum(report["accepted_before"] for report in reports) == CUSTOMERS
    assert [report["requests"] for report in reports] == [0] * PARTS
    assert braze.answers()[SENT] == sale.answers[SENT]
    assert braze.summary()["total"] == CUSTOMERS
