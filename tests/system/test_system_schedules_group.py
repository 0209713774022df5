"""The group of schedule, guard and teardown, as DAGs run it: nobody is messaged unless the guard says so."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task, task_group, timezone

from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
    BrazeScheduleCanvasOperator,
    BrazeScheduleMessagesOperator,
)
from airflow_provider_braze.operators.schedule_group import guarded_schedule
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

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

    def run(name, guard, operator=BrazeScheduleCampaignOperator, default_args=None, **parameters):
        given = {"schedule": APRIL, "recipients": PEOPLE, "campaign_id": WEEKLY, **parameters}
        with DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), default_args=default_args or {}) as dag:
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


def with_setup_and_teardown(look):
    made, gone = task(lambda: True, task_id="connect")(), task(lambda: True, task_id="disconnect")()
    made >> look() >> gone.as_teardown(setups=made)


def with_teardown(look):
    look() >> task(lambda: True, task_id="cleanup")().as_teardown()


def with_report(look):
    look() >> task(lambda: True, task_id="report", trigger_rule="all_done")()


AROUND = [with_setup_and_teardown, with_teardown, with_report]


@pytest.mark.parametrize("around", AROUND)
def test_what_runs_after_a_guard_in_any_case_says_nothing_for_it(group, around):
    _, states, schedules = group(f"failing_{around.__name__}", lambda: around(looks(fails)))
    assert (states["look"], states["call_off"], schedules) == ("failed", "success", ["deleted"] * 3)


@pytest.mark.parametrize("around", AROUND)
def test_what_runs_after_a_guard_in_any_case_says_nothing_against_it(group, around):
    run, _, schedules = group(f"well_{around.__name__}", lambda: around(looks(lambda: True)))
    assert (run, schedules) == ("success", ["waiting"] * 3)


def test_a_teardown_that_fails_is_no_guard_that_does(group):
    def guard():
        looks(lambda: True)() >> task(fails, task_id="cleanup")().as_teardown()

    run, states, schedules = group("bad_cleanup", guard)
    assert (run, states["cleanup"], schedules) == ("success", "failed", ["waiting"] * 3)


def test_a_branch_inside_of_the_guard_that_is_not_taken_is_fine(group):
    def guard():
        chosen = task.branch(lambda: "launch.look_1", task_id="choose")()
        ways = [EmptyOperator(task_id="look_1"), EmptyOperator(task_id="look_2")]
        chosen >> ways >> EmptyOperator(task_id="joined", trigger_rule="none_failed_min_one_success")
        # Were it mapped, its parts would have such names.
        looks(lambda: True)()

    run, states, schedules = group("branched", guard)
    assert (run, states["look_2"], schedules) == ("success", "skipped", ["waiting"] * 3)


@pytest.mark.parametrize("broken", [False, True])
def test_in_a_mapped_group_each_has_a_guard_of_its_own(run_dag, braze_emulator, connection, broken):
    connection(extra={"lanes": 1})

    def look(person):
        return fails() if broken and person == ["b"] else None

    with DAG(f"in_mapped_{broken}", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:

        @task_group
        def each(person):
            with guarded_schedule(
                "launch", BrazeScheduleCampaignOperator, campaign_id=WEEKLY, schedule=APRIL, recipients=person
            ):
                task(look, task_id="look")(person)

        each.expand(person=[["a"], ["b"], ["c"]])

    run = run_dag(dag)
    states = {one.map_index: str(one.state) for one in run.get_task_instances() if one.task_id.endswith("call_off")}
    found = {one["body"]["recipients"][0]["external_user_id"]: one["state"] for one in braze_emulator.schedules()}
    assert states == dict.fromkeys(range(3), "success")
    assert str(run.state) == ("failed" if broken else "success")
    assert found == {"a": "waiting", "b": "deleted" if broken else "waiting", "c": "waiting"}


def test_scheduling_that_fails_halfway_is_taken_back(group, braze_emulator):
    braze_emulator.inject("echo_key_401", skip=2)
    run, states, schedules = group("halfway", looks(lambda: True))
    assert (run, schedules) == ("failed", ["deleted"] * 2)
    assert (states["schedule"], states["look"], states["call_off"]) == ("failed", "upstream_failed", "success")


def test_scheduling_that_fails_at_once_leaves_nothing_to_delete(group):
    run, states, schedules = group("at_once", looks(lambda: True), recipients=[None])
    assert (run, states["call_off"], schedules) == ("failed", "success", [])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("template", {"schedule": "{{ dag_run.conf['when'] }}"}), ("workspace", {"workspace": "prod"})],
)
def test_scheduling_that_never_began_alarms_nobody(group, name, parameters):
    run, states, schedules = group(f"never_began_{name}", looks(lambda: True), **parameters)
    assert (run, states["schedule"], states["call_off"], schedules) == ("failed", "failed", "success", [])


def test_a_template_that_breaks_on_a_retry_leaves_the_ids(group, braze_emulator, tmp_path, monkeypatch):
    """The ledger knows them, and of what they are."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    monkeypatch.setenv("AIRFLOW_VAR_LAUNCH", WEEKLY)

    class Breaks(BrazeScheduleCampaignOperator):
        def execute(self, context):
            os.environ.pop("AIRFLOW_VAR_LAUNCH")
            return super().execute(context)

    braze_emulator.inject("echo_key_401", skip=2)
    run, states, schedules = group(
        "breaks",
        looks(lambda: True),
        Breaks,
        campaign_id="{{ var.value.launch }}",
        ledger=SqlLedger("ledger"),
        default_args={"retries": 1, "retry_delay": 0},
    )
    assert (run, states["schedule"], states["call_off"], schedules) == ("failed", "failed", "success", ["deleted"] * 2)


def test_a_dry_run_whose_guard_fails_deletes_nothing_and_says_so(group, said):
    _, states, schedules = group("dry", looks(fails), dry_run=True)
    assert (states["schedule"], states["call_off"], schedules) == ("success", "success", [])
    assert "Nothing is scheduled, so nothing is deleted" in said()


def test_schedules_that_cannot_be_deleted_fail_the_run(group, braze_emulator):
    """A short circuit alone would leave a run that looks well, and messages that go out all the same."""
    braze_emulator.inject("echo_key_401", path="/campaigns/trigger/schedule/delete", times=None)
    run, states, schedules = group("stuck", task.short_circuit(lambda: False, task_id="look"))
    assert (run, states["call_off"], schedules) == ("failed", "failed", ["waiting"] * 3)


def test_what_braze_refuses_to_delete_may_go_out(group, braze_emulator, said):
    """Somebody deleted one of them, which Braze tells by a refusal: it could as well be of one that waits."""

    def guard():
        @task(task_id="look")
        def look(ti=None):
            ids = ti.xcom_pull(task_ids="launch.schedule", key="schedule_ids")
            BrazeDeleteScheduledCampaignOperator(task_id="delete", campaign_id=WEEKLY, schedule_id=ids[1:2]).execute({})
            fails()

        look()

    run, states, schedules = group("refused", guard, default_args={"retries": 2, "retry_delay": 0})
    assert (run, states["call_off"], schedules) == ("failed", "failed", ["deleted"] * 3)
    text = said()
    assert "1 of 3 schedules could NOT be deleted" in text
    assert "was deleted already" in text
    assert sum(one["path"].endswith("/delete") for one in braze_emulator.requests()) == 6


@pytest.mark.parametrize("fault", ["echo_key_401", "drop_after_acceptance"])
def test_another_try_knows_what_the_one_before_has_deleted(group, braze_emulator, fault):
    braze_emulator.inject(fault, path="/campaigns/trigger/schedule/delete", skip=1, times=5 if "drop" in fault else 1)
    run, states, schedules = group(
        f"again_{fault}",
        task.short_circuit(lambda: False, task_id="look"),
        default_args={"retries": 1, "retry_delay": 0},
    )
    assert (run, states["call_off"], schedules) == ("success", "success", ["deleted"] * 3)


def test_the_program_is_what_was_scheduled_not_what_a_template_says_later(group, monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_LAUNCH", WEEKLY)

    def look():
        monkeypatch.setenv("AIRFLOW_VAR_LAUNCH", "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e")
        fails()

    _, states, schedules = group("moved_on", looks(look), campaign_id="{{ var.value.launch }}")
    assert (states["call_off"], schedules) == ("success", ["deleted"] * 3)


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


def test_a_teardown_alone_is_no_guard():
    with (
        pytest.raises(ValueError, match="Teardowns are none"),
        DAG("no_guard", schedule=None),
        guarded_schedule("launch", BrazeScheduleCampaignOperator, campaign_id=WEEKLY, schedule=APRIL, recipients=["p"]),
    ):
        EmptyOperator(task_id="cleanup").as_teardown()


@pytest.mark.parametrize("operator", [BrazeSendCampaignOperator, EmptyOperator])
def test_what_schedules_nothing_needs_no_guard(operator):
    with pytest.raises(ValueError, match=f"{operator.__name__} schedules nothing that could be taken back"):
        guarded_schedule("launch", operator, campaign_id=WEEKLY, recipients=["p"])


def unguarded(**of_dag):
    """Make a DAG whose guard could not hold the messages back; gives it, which must be as if there were no group."""
    given = {"campaign_id": WEEKLY, "schedule": APRIL, "recipients": ["p"]}
    waits = of_dag.pop("wait_until_sent", None)
    with DAG("unguarded", schedule=None, **of_dag) as dag:
        with (
            pytest.raises(ValueError) as caught,
            guarded_schedule(
                "launch", BrazeScheduleCampaignOperator, **given | ({"wait_until_sent": True} if waits else {})
            ),
        ):
            EmptyOperator(task_id="look")
        assert EmptyOperator(task_id="next").task_group is dag.task_group
    return str(caught.value)


@pytest.mark.parametrize("of_dag", [{"wait_until_sent": True}, {"default_args": {"wait_until_sent": True}}])
def test_a_guard_after_the_messages_is_none(of_dag):
    assert "after the messages" in unguarded(**of_dag)


def test_a_guard_whose_teardown_may_be_skipped_is_none():
    """Airflow skips all that has not ended, teardowns too, where the time of the run is over."""
    text = unguarded(dagrun_timeout=timedelta(hours=6))
    assert "dagrun_timeout" in text
    assert "execution_timeout instead" in text


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
