"""The group of schedule, guard and teardown, as DAGs run it: nobody is messaged unless the guard says so."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.operators.schedule import (
    BrazeScheduleCampaignOperator,
    BrazeScheduleCanvasOperator,
    BrazeScheduleMessagesOperator,
)
from airflow_provider_braze.operators.schedule_group import guarded_schedule

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
APRIL = "2099-04-07T09:00:00Z"
PEOPLE = [f"p{number}" for number in range(120)]


def fails():
    raise AirflowException("a price is missing")


def skips():
    raise AirflowSkipException("not today")


@pytest.fixture
def group(run_dag, braze_emulator, connection):
    """Run a DAG of a group and a task after it; gives how the run ended, each task, and the schedules' states."""
    connection(extra={"lanes": 1})

    def run(name, guard, operator=BrazeScheduleCampaignOperator, **parameters):
        given = {"schedule": APRIL, "recipients": PEOPLE, "campaign_id": WEEKLY, **parameters}
        with DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            with guarded_schedule("launch", operator, **{key: one for key, one in given.items() if one}) as launch:
                guard()
            launch >> EmptyOperator(task_id="next")
        made = run_dag(dag)
        states = {one.task_id.removeprefix("launch."): str(one.state) for one in made.get_task_instances()}
        return str(made.state), states, [one["state"] for one in braze_emulator.schedules()]

    return run


def looks(python_callable):
    return task(python_callable, task_id="look")


def test_what_the_guard_lets_pass_is_kept(group):
    run, states, schedules = group("kept", looks(lambda: True))
    assert (run, schedules) == ("success", ["waiting"] * 3)
    assert set(states.values()) == {"success"}


def test_a_guard_that_fails_fails_the_run_and_deletes(group):
    run, states, schedules = group("failing", looks(fails))
    assert (run, schedules) == ("failed", ["deleted"] * 3)
    assert (states["call_off"], states["approved"], states["next"]) == ("success", "upstream_failed", "upstream_failed")


@pytest.mark.parametrize(
    "guard",
    [looks(skips), task.short_circuit(lambda: False, task_id="look")],
    ids=["skipped", "short circuit"],
)
def test_a_guard_that_says_no_is_no_failure(group, guard, request):
    run, states, schedules = group(f"no_{abs(hash(request.node.name))}", guard)
    assert (run, schedules) == ("success", ["deleted"] * 3)
    assert (states["call_off"], states["approved"], states["next"]) == ("success", "skipped", "skipped")


def test_a_guard_that_never_ran(group):
    def guard():
        task(fails, task_id="first")() >> task(lambda: True, task_id="second")()

    run, states, schedules = group("never_ran", guard)
    assert (run, states["second"], schedules) == ("failed", "upstream_failed", ["deleted"] * 3)


@pytest.mark.parametrize("broken", [False, True])
def test_several_guards_beside_each_other(group, broken):
    def guard():
        task(lambda: True, task_id="first")()
        task(lambda x: None if x < 2 or not broken else fails(), task_id="mapped").expand(x=[1, 2])

    run, _, schedules = group(f"several_{broken}", guard)
    assert (run, schedules) == (("failed", ["deleted"] * 3) if broken else ("success", ["waiting"] * 3))


def test_scheduling_that_fails_halfway_is_taken_back(group, braze_emulator):
    braze_emulator.inject("echo_key_401", skip=2)
    run, states, schedules = group("halfway", looks(lambda: True))
    assert (run, schedules) == ("failed", ["deleted"] * 2)
    assert (states["schedule"], states["look"], states["call_off"]) == ("failed", "upstream_failed", "success")


def test_scheduling_that_fails_at_once_leaves_nothing_to_delete(group):
    run, states, schedules = group("at_once", looks(lambda: True), recipients=[None])
    assert (run, states["call_off"], schedules) == ("failed", "success", [])


def test_schedules_that_cannot_be_deleted_fail_the_run(group, braze_emulator):
    """A short circuit alone would leave a run that looks well, and messages that go out all the same."""
    braze_emulator.inject("echo_key_401", path="/campaigns/trigger/schedule/delete", times=None)
    run, states, schedules = group("stuck", task.short_circuit(lambda: False, task_id="look"))
    assert (run, states["call_off"], schedules) == ("failed", "failed", ["waiting"] * 3)


@pytest.mark.parametrize(
    ("operator", "parameters"),
    [
        (BrazeScheduleCanvasOperator, {"canvas_id": WEEKLY, "campaign_id": None}),
        (
            BrazeScheduleMessagesOperator,
            {
                "messages": {"apple_push": {"alert": "Beans!"}},
                "campaign_id": None,
                "external_user_ids": PEOPLE,
                "recipients": None,
            },
        ),
    ],
)
def test_whatever_is_scheduled(group, operator, parameters):
    run, _, schedules = group(f"of_{operator.__name__}", looks(fails), operator, **parameters)
    assert (run, schedules) == ("failed", ["deleted"] * 3)


def test_a_group_needs_a_guard():
    with (
        pytest.raises(ValueError, match="has no guard"),
        DAG("no_guard", schedule=None),
        guarded_schedule("launch", BrazeScheduleCampaignOperator, campaign_id=WEEKLY, schedule=APRIL, recipients=["p"]),
    ):
        pass


def test_a_guard_after_the_messages_is_none():
    with pytest.raises(ValueError, match="after the messages"):
        guarded_schedule("launch", BrazeScheduleCampaignOperator, wait_until_sent=True)


def test_clearing_the_guard_clears_the_scheduling_and_what_follows_does_not():
    """So that a guard that is cleared does not approve of schedules that were deleted."""
    with DAG("cleared", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
        with guarded_schedule(
            "launch", BrazeScheduleCampaignOperator, campaign_id=WEEKLY, schedule=APRIL, recipients=["p"]
        ) as launch:
            EmptyOperator(task_id="look")
        launch >> EmptyOperator(task_id="next")
    subset = set(dag.partial_subset("launch.look", include_downstream=True, include_upstream=False).task_ids)
    assert subset >= {"launch.schedule", "launch.look", "launch.approved", "launch.call_off", "next"}
    assert set(dag.partial_subset("next", include_downstream=True, include_upstream=False).task_ids) == {"next"}
