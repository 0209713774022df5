"""A thousand deferred tasks that wait for one thing cost one request per interval, before and after a restart."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from deferred_waits import defer_all
from waiting_ids import CROWD, CROWD_SIZE, FEW, FEW_SIZE, POLL_SECONDS

from airflow_provider_braze.conditions.figures import Figures
from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

INTERVALS = 6
STANDING = "sent: 0 of 100 needed."


def waits_for(campaign_id):
    condition = Figures("campaign", campaign_id, "sent", 100, from_day=datetime.now(UTC).date().isoformat())
    return BrazeConditionTrigger(
        braze_conn_id="braze_default", condition=condition.as_dict(), poll_interval=POLL_SECONDS
    )


def times_asked(braze, campaign_id):
    return [
        datetime.fromisoformat(one["at"]).timestamp()
        for one in braze.exchanges()
        if one["path"] == "/campaigns/data_series" and campaign_id in one["query"]
    ]


class Crowd(NamedTuple):
    run_id: str
    began: float
    restarted: float
    before: tuple[int, float]
    after: tuple[int, float]
    killed: list[int]


@pytest.fixture(scope="module")
def crowd(airflow, braze):
    """They wait, and go on to wait while their triggerer is killed and another one takes over."""

    def logs(run_id):
        folder = airflow.logs / "dag_id=crowd" / f"run_id={run_id}" / "task_id=sent"
        return set(folder.glob("map_index=*/attempt=1.log.trigger.*.log"))

    def all_wait(run_id, known):
        new = [path for path in logs(run_id) - known if STANDING in path.read_text()]
        return len(new) == CROWD_SIZE + FEW_SIZE

    def asked_now():
        """How often Braze is asked, and within how many intervals: a slow machine asks later, not more."""
        begin = time.time()

        def asked():
            times = [at for at in times_asked(braze, CROWD) if at >= begin]
            return times if len(times) >= INTERVALS else None

        times = airflow.wait_for("the triggerer to ask", asked, every=0.25)
        return len(times), (times[-1] - begin) / POLL_SECONDS

    began = time.time()
    waits = [waits_for(CROWD)] * CROWD_SIZE + [waits_for(FEW)] * FEW_SIZE
    [run_id] = defer_all(airflow, "crowd", waits)
    airflow.wait_for("the triggerer to take them all", lambda: all_wait(run_id, set()))
    before = asked_now()
    known = logs(run_id)
    killed, restarted = airflow.processes.pop("triggerer").kill(), time.time()
    airflow.begin("triggerer", "triggerer")
    airflow.wait_for("another triggerer to take them all", lambda: all_wait(run_id, known))
    return Crowd(run_id, began, restarted, before, asked_now(), killed)


def test_a_thousand_cost_one_request_per_interval(crowd):
    asked, intervals = crowd.before
    assert asked <= intervals + 2


def test_they_survive_a_restart_at_the_same_cost(crowd, airflow):
    assert len(crowd.killed) > 1
    asked, intervals = crowd.after
    assert asked <= intervals + 2
    states = {instance["state"] for instance in airflow.task_instances("crowd", crowd.run_id)}
    assert states == {"deferred"}


def test_neither_the_start_nor_the_restart_asks_for_each(crowd, braze):
    at = times_asked(braze, CROWD)
    for begin, end in ((crowd.began, crowd.restarted), (crowd.restarted, time.time())):
        assert sum(begin <= one < end for one in at) <= (end - begin) / POLL_SECONDS + 2


def test_after_a_restart_a_wait_ends_well(crowd, airflow, braze):
    braze.tell("figures", campaign_id=FEW, sent=100)
    airflow.pause("crowd", paused=False)

    def done():
        instances = airflow.task_instances("crowd", crowd.run_id)
        return [one for one in instances if one["state"] == "success"][FEW_SIZE - 1 :] and instances

    instances = airflow.wait_for("the few to end", done)
    ended = [one for one in instances if one["state"] != "deferred"]
    assert {one["map_index"] for one in ended} == set(range(CROWD_SIZE, CROWD_SIZE + FEW_SIZE))
    assert [airflow.result(one)["value"] for one in ended] == [100] * FEW_SIZE
    log = airflow.shown_log(ended[0])
    assert log.count(STANDING) == 2
    assert "sent: 100 of 100 needed." in log
