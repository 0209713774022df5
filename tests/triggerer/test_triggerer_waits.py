"""Sensors that defer from workers, wait in a real triggerer, and go on when Braze says something else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from airflow_processes import fetch
from waiting_ids import BOUNCING, KEY, LETTER, NEWS, PAUSED, SALE, WRONG_KEY

TASKS = 8
NOTHING_YET = "sent: 0 of 100 needed."
DONE = ("success", "failed", "skipped", "upstream_failed")


def by_task(airflow, run_id):
    return {instance["task_id"]: instance for instance in airflow.task_instances("waits", run_id)}


@pytest.fixture(scope="module")
def ended(airflow, braze):
    """The task instances of a run that met all that a wait can meet."""
    run_id = airflow.post("dags/waits/dagRuns", logical_date=None)["dag_run_id"]

    def all_wait():
        # Airflow may fail a task whose wait ends before its scheduler has heard that the worker is done with it.
        log = airflow.processes["scheduler"].text()
        return len(set(re.findall(r"TaskInstance Finished: dag_id=waits, task_id=(\w+)", log))) == TASKS

    airflow.wait_for("all tasks to wait", all_wait)
    sent = by_task(airflow, run_id)["sent"]
    airflow.wait_for("a look of the triggerer", lambda: airflow.shown_log(sent).count(NOTHING_YET) == 2)
    braze.tell("figures", campaign_id=SALE, sent=40)
    airflow.wait_for("another look", lambda: "sent: 40 of 100 needed." in airflow.shown_log(sent))
    assert sent["state"] == "deferred"

    braze.tell("figures", campaign_id=SALE, sent=60)
    braze.tell("programs", campaign_id=PAUSED, state="active")
    people = [{"external_user_id": name} for name in ("kim", "robin")]
    key = {"authorization": f"Bearer {KEY}"}
    fetch(f"{braze.url}/campaigns/trigger/send", {"campaign_id": NEWS, "recipients": people}, key)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    launched = {"state": "active", "next_send_time": tomorrow.isoformat(timespec="seconds")}
    braze.tell("programs", canvas_id=LETTER, **launched)
    braze.tell("figures", campaign_id=BOUNCING, sent=50, bounces=6)
    braze.inject("echo_key_401", path="/canvas/data_series", times=None)

    def over():
        instances = by_task(airflow, run_id)
        return instances if all(instance["state"] in DONE for instance in instances.values()) else None

    return airflow.wait_for("all waits to end", over)


@pytest.mark.parametrize(
    ("task_id", "result"),
    [
        ("sent", {"metric": "sent", "value": 100, "needed": 100, "accepted": None, "figures": {"sent": 100}}),
        ("active", {"name": "Newsletter", "enabled": True, "archived": False, "draft": False}),
        ("received", {"asked": 2, "received": 2, "missing": 0, "unknown": 0}),
    ],
)
def test_a_wait_ends_with_what_braze_says(ended, airflow, task_id, result):
    assert ended[task_id]["state"] == "success"
    assert airflow.result(ended[task_id]) == result


def test_a_wait_for_a_broadcast_ends_with_it(ended, airflow):
    assert ended["scheduled"]["state"] == "success"
    [broadcast] = airflow.result(ended["scheduled"])["broadcasts"]
    assert broadcast["id"] == LETTER


def test_the_log_tells_how_things_stand_once_for_each_change(ended, airflow):
    log = airflow.shown_log(ended["sent"])
    told = [line for line in log if line.startswith("sent: ")]
    # The worker before it defers, the triggerer, the worker that goes on.
    assert told == [f"sent: {sent} of 100 needed." for sent in (0, 0, 40, 100)]


def test_too_many_bounces_fail_the_task_early(ended, airflow):
    assert ended["bounced"]["state"] == "failed"
    text = "Too many bounces: sent: 50 of 100 needed, bounces: 6, at most 5."
    assert f"Task failed with exception BrazeWaitFailedError: {text}" in airflow.shown_log(ended["bounced"])


def test_a_time_that_is_over_skips_a_soft_failing_task(ended, airflow):
    assert ended["late"]["state"] == "skipped"
    # The workers' looks: before the task defers, and before the timeout counts.
    assert airflow.task_log(ended["late"], 1).count(NOTHING_YET) == 2
    assert "Skipping task." in airflow.shown_log(ended["late"])


@pytest.mark.parametrize("task_id", ["wrong_key", "revoked_key"])
def test_a_key_that_is_not_accepted_fails_the_task_and_is_not_told(ended, airflow, task_id):
    assert ended[task_id]["state"] == "failed"
    log = "\n".join(airflow.shown_log(ended[task_id]))
    assert "Check the connection's password (the REST API key) and that its host is the REST endpoint" in log
    assert KEY not in log
    assert WRONG_KEY not in log
