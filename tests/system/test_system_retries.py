"""What Airflow does with a task that failed or is run again, and that nobody gets two messages for it."""

from __future__ import annotations

import json
from datetime import timedelta

import airflow
import pytest
from airflow.sdk import timezone

PEOPLE = [f"p{number}" for number in range(150)]
HAS_STORE = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)


@pytest.fixture
def trial(run_dag, sending, braze_emulator, connection, said):
    """Run the sending DAG; gives state and number of the last try, deliveries per person, and the log."""
    connection(extra={"lanes": 1})

    def run(dag_id, **parameters):
        made = run_dag(sending(dag_id, **parameters))
        [instance] = made.get_task_instances()
        log = said()
        return str(instance.state), instance.try_number, list(braze_emulator.deliveries().values()), log

    return run


@pytest.mark.parametrize("fault", ["drop_after_acceptance", "drop_before_acceptance", "garbage_201"])
def test_a_delivery_in_doubt_is_not_tried_again(trial, braze_emulator, fault):
    braze_emulator.inject(fault, skip=1)
    state, tries, deliveries, log = trial(f"in_doubt_{fault}", recipients=PEOPLE)
    assert (state, tries) == ("failed", 1)
    assert set(deliveries) == {1}
    assert len(deliveries) == (50 if fault == "drop_before_acceptance" else 100)
    assert "50 recipients are in doubt" in log
    assert len(braze_emulator.requests()) == 2


def test_a_refused_delivery_is_tried_again_where_airflow_knows_that_it_reached_nobody(trial, braze_emulator):
    braze_emulator.inject("echo_key_401")
    state, tries, deliveries, log = trial("refused", recipients=PEOPLE)
    assert tries == 2
    assert "Nobody was messaged" in log
    if HAS_STORE:
        assert (state, deliveries, len(braze_emulator.requests())) == ("success", [1] * 150, 4)
    else:
        assert (state, deliveries, len(braze_emulator.requests())) == ("failed", [], 1)
        assert "it is not known, nothing was sent now" in log


def test_a_task_that_dies_after_sending_sends_nothing_again(trial):
    """Such as a worker that is lost before it can say that it was done."""

    def die(context, _):
        if context["ti"].try_number == 1:
            raise RuntimeError("the worker is gone")

    state, tries, deliveries, log = trial("dies_late", recipients=PEOPLE, post_execute=die)
    assert tries == 2
    assert deliveries == [1] * 150
    if HAS_STORE:
        assert state == "success"
        assert "150 recipients in 3 requests are done, 0 in doubt" in log
    else:
        assert state == "failed"
        assert "nothing was sent now" in log


@pytest.mark.parametrize("on_unknown", ["skip", "resend", "reconcile"])
def test_a_delivery_that_stopped_goes_on_where_the_ledger_says(trial, braze_emulator, on_unknown):
    """The third request is refused; the second answer is lost before."""
    braze_emulator.inject("drop_after_acceptance", path="/campaigns/trigger/send", skip=1)
    braze_emulator.inject("echo_key_401", path="/campaigns/trigger/send", skip=1)
    state, tries, deliveries, log = trial(
        f"goes_on_{on_unknown}", recipients=PEOPLE, on_unknown=on_unknown, settling_time=timedelta(0)
    )
    if HAS_STORE:
        assert (state, tries) == ("success", 2), log
        assert len(deliveries) == 150
        assert set(deliveries) == ({1, 2} if on_unknown == "resend" else {1})
    else:
        assert (state, tries) == ("failed", 1), "nobody knows who got it: no try must follow"
        assert set(deliveries) <= {1, 2}


def test_a_task_that_failed_before_sending(trial, monkeypatch, braze_emulator):
    """With Airflow's task state a retry is safe and sends; without it nobody knows, and it refuses."""
    monkeypatch.delenv("AIRFLOW_CONN_BRAZE_DEFAULT")
    connection = json.loads(braze_emulator.connection_json())

    def repair(context):
        if context["ti"].try_number == 2:
            monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))

    state, tries, deliveries, log = trial("fails_early", recipients=PEOPLE, pre_execute=repair)
    assert "There is no connection 'braze_default'" in log
    assert tries == 2
    if HAS_STORE:
        assert (state, deliveries) == ("success", [1] * 150)
    else:
        assert (state, deliveries) == ("failed", [])
        assert "it is not known, nothing was sent now" in log


@pytest.fixture
def clear_and_run():
    """Clear a task as the UI does, and run it in the place of the scheduler."""

    def run(dag_run, task):
        from airflow.models.taskinstance import TaskInstance, clear_task_instances
        from airflow.sdk.definitions.dag import _run_task
        from airflow.utils.session import create_session

        with create_session() as session:
            query = session.query(TaskInstance).filter_by(dag_id=dag_run.dag_id, run_id=dag_run.run_id)
            clear_task_instances(query.all(), session)
            session.flush()
            [instance] = query.all()
            # Airflow counts by the retries that the task has now.
            instance.max_tries = instance.try_number + task.retries
            instance.dag_run.state, instance.dag_run.start_date = "running", timezone.utcnow()
            instance.try_number += 1
            instance.state = "scheduled"
        _run_task(ti=instance, task=task)
        with create_session() as session:
            [instance] = session.query(TaskInstance).filter_by(dag_id=dag_run.dag_id, run_id=dag_run.run_id)
            return str(instance.state), instance.try_number

    return run


def test_a_cleared_task_sends_nothing_again(run_dag, sending, clear_and_run, braze_emulator, said):
    dag = sending("cleared", recipients=PEOPLE, retries=0)
    run = run_dag(dag)
    assert str(run.state) == "success"
    said()
    assert clear_and_run(run, dag.task_dict["send"]) == ("success" if HAS_STORE else "failed", 2)
    log = said()
    if HAS_STORE:
        assert "It was cleared: only what is left is sent" in log
        assert "Nothing was left to send: " in log
        assert "on_clear='resend'" in log
    else:
        assert "nothing was sent now" in log
        assert "A new run of the DAG sends again" in log
    assert list(braze_emulator.deliveries().values()) == [1] * 150


def test_a_cleared_task_sends_what_is_left(run_dag, sending, clear_and_run, connection, braze_emulator):
    connection(extra={"lanes": 1})
    braze_emulator.inject("echo_key_401", skip=1)
    dag = sending("cleared_halfway", recipients=PEOPLE, retries=0)
    run = run_dag(dag)
    assert str(run.state) == "failed"
    assert list(braze_emulator.deliveries().values()) == [1] * 50
    assert clear_and_run(run, dag.task_dict["send"]) == ("success" if HAS_STORE else "failed", 2)
    assert list(braze_emulator.deliveries().values()) == [1] * (150 if HAS_STORE else 50)


def test_a_cleared_task_may_send_to_everybody_again(run_dag, sending, clear_and_run, braze_emulator):
    dag = sending("cleared_again", recipients=PEOPLE, retries=0, on_clear="resend")
    run = run_dag(dag)
    assert clear_and_run(run, dag.task_dict["send"]) == ("success" if HAS_STORE else "failed", 2)
    assert list(braze_emulator.deliveries().values()) == [2 if HAS_STORE else 1] * 150


def test_a_clear_is_seen_also_where_the_retries_were_lowered_by_as_many_as_there_were_tries(
    run_dag, sending, clear_and_run, braze_emulator
):
    """Airflow's count of the tries that are allowed is the same before and after it."""
    dag = sending("cleared_lowered", recipients=PEOPLE, retries=1, on_clear="resend")
    run = run_dag(dag)
    dag.task_dict["send"].retries = 0
    assert clear_and_run(run, dag.task_dict["send"]) == ("success" if HAS_STORE else "failed", 2)
    assert list(braze_emulator.deliveries().values()) == [2 if HAS_STORE else 1] * 150


def test_a_new_run_sends_again(run_dag, sending, braze_emulator):
    dag = sending("again", recipients=["u-1"])
    assert [str(run_dag(dag).state), str(run_dag(dag).state)] == ["success", "success"]
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 2}
