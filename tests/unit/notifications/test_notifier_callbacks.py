"""Notifiers where authors put them: on tasks and DAGs that Airflow runs."""

from types import SimpleNamespace

import airflow
import pytest
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.notifications.braze import BrazeNotifier

START = timezone.datetime(2026, 11, 1)
DUE = timezone.datetime(2026, 11, 20, 6)
KIM = "external_user_id:on-call-kim"
# ``dag.test()`` of Airflow 3.1 does not put the exception into the context, its workers do.
TELLS_ERROR = not airflow.__version__.startswith("3.1.")


@pytest.fixture
def load():
    """A DAG with a task ``load`` that fails, or not, twice at most."""

    def make(dag_id, fails=True, retries=0, dag_options=None, **callbacks):
        with DAG(dag_id, schedule=None, start_date=START, **(dag_options or {})) as dag:

            @task(task_id="load", retries=retries, retry_delay=0, **callbacks)
            def run():
                if fails:
                    raise ValueError("no such table: orders")

            run()
        return dag

    return make


def values(sent):
    return [body["trigger_properties"] for body in sent()]


def test_a_failed_task_notifies(load, notifier, run_dag, sent, braze_emulator):
    run = run_dag(load("notify_failed", on_failure_callback=notifier()), logical_date=DUE)
    assert str(run.state) == "failed"
    assert braze_emulator.deliveries() == {KIM: 1}
    [known] = values(sent)
    assert known.pop("error", None) == ("ValueError: no such table: orders" if TELLS_ERROR else None)
    assert known.pop("log_url").partition("/dags/notify_failed/runs/")[1]
    assert {name: value for name, value in known.items() if name != "run_after"} == {
        "dag_id": "notify_failed",
        "task_id": "load",
        "run_id": run.run_id,
        "try_number": 1,
        "logical_date": "2026-11-20T06:00:00+00:00",
    }
    assert known["run_after"] == run.run_after.isoformat()


def test_a_retry_does_not_notify_unless_asked(load, notifier, run_dag, sent):
    retry = notifier(trigger_properties={"kind": "retry"})
    run_dag(load("notify_retry", retries=1, on_failure_callback=notifier(), on_retry_callback=retry))
    assert [(known.get("kind"), known["try_number"]) for known in values(sent)] == [("retry", 1), (None, 2)]


def test_a_success_notifies_where_asked(load, notifier, run_dag, sent):
    done = notifier(trigger_properties={"title": "{{ ti.task_id }} is done"})
    run = run_dag(load("notify_success", fails=False, on_success_callback=done, on_failure_callback=notifier()))
    assert str(run.state) == "success"
    [known] = values(sent)
    assert known["title"] == "load is done"
    assert not {"error", "reason"} & set(known)


def test_mapped_tasks_notify_one_by_one(notifier, run_dag, sent):
    with DAG("notify_mapped", schedule=None, start_date=START) as dag:

        @task(on_failure_callback=notifier(trigger_properties={"title": "part {{ ti.map_index }}"}))
        def load(part):
            raise ValueError(part)

        load.expand(part=["a", "b"])
    run_dag(dag)
    found = sorted((known["map_index"], known["title"]) for known in values(sent))
    assert found == [(0, "part 0"), (1, "part 1")]


WORDS = {"echo_key_401": "401", "drop_after_acceptance": "not sent again", "notice_in_201": "paused"}


@pytest.fixture
def said(capfd, caplog):
    """What the logs have said: Airflow's own, and those of the standard library."""
    return lambda: "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("fault", WORDS)
def test_a_failed_notification_hides_nothing(request, load, notifier, said, fault):
    braze_emulator, run_dag = map(request.getfixturevalue, ("braze_emulator", "run_dag"))
    braze_emulator.inject(fault)
    run = run_dag(load(f"notify_{fault}", on_failure_callback=[notifier(), notifier(recipients=["on-call-noor"])]))
    [instance] = run.get_task_instances()
    assert str(instance.state) == "failed"
    log = said()
    assert "no such table: orders" in log
    assert WORDS[fault] in log
    assert braze_emulator.api_key not in log
    assert braze_emulator.deliveries()["external_user_id:on-call-noor"] == 1


def test_a_failed_notification_takes_no_success_away(load, notifier, run_dag, braze_emulator):
    braze_emulator.inject("echo_key_401")
    run = run_dag(load("notify_no_harm", fails=False, on_success_callback=notifier()))
    assert str(run.state) == "success"


def test_default_args_notify_for_every_task(notifier, run_dag, sent):
    options = {"default_args": {"on_failure_callback": notifier(recipients=["{{ 'on-call-' ~ params.who }}"])}}
    with DAG("notify_all", schedule=None, start_date=START, params={"who": "kim"}, **options) as dag:

        @task
        def fail(part):
            raise ValueError(part)

        fail.override(task_id="one")("a")
        fail.override(task_id="two")("b")
    run_dag(dag)
    assert sorted(known["task_id"] for known in values(sent)) == ["one", "two"]
    assert [body["recipients"] for body in sent()] == 2 * [[{"external_user_id": "on-call-kim"}]]


def test_native_rendering_gives_lists(load, notifier, run_dag, sent):
    options = {"render_template_as_native_obj": True, "params": {"people": ["on-call-kim", "on-call-noor"]}}
    run_dag(load("notify_native", dag_options=options, on_failure_callback=notifier(recipients="{{ params.people }}")))
    assert [one["external_user_id"] for one in sent()[0]["recipients"]] == ["on-call-kim", "on-call-noor"]


@pytest.fixture
def as_the_dag_processor(register):
    """Run a DAG's failure callback by what the DAG processor makes of it."""

    def call(dag, reason):
        import structlog
        from airflow.callbacks.callback_requests import DagCallbackRequest
        from airflow.dag_processing import processor

        request = DagCallbackRequest(
            filepath="x.py",
            bundle_name="dags-folder",
            bundle_version=None,
            dag_id=dag.dag_id,
            run_id="manual__1",
            is_failure_callback=True,
            msg=reason,
        )
        processor._execute_dag_callbacks(SimpleNamespace(dags={dag.dag_id: dag}), request, structlog.get_logger())

    return call


def test_a_failed_run_notifies_once(load, notifier, sent, as_the_dag_processor):
    dag = load("notify_run", dag_options={"on_failure_callback": notifier()})
    as_the_dag_processor(dag, "task_failure")
    assert values(sent) == [{"dag_id": "notify_run", "run_id": "manual__1", "reason": "task_failure"}]


def test_it_is_a_notifier_to_airflow(notifier):
    from airflow.sdk import BaseNotifier

    assert isinstance(notifier(), BaseNotifier)
    assert issubclass(BrazeNotifier, BaseNotifier)
