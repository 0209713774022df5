"""The example DAG: whom it tells what, and when."""

import asyncio
import importlib.util

import pytest
from airflow.sdk.module_loading import import_string

TOLD = {"external_user_id:on-call-first": 1, "external_user_id:on-call-second": 1}


@pytest.fixture
def example(repo, warehouse):
    """The example, with an empty table of orders and no minutes between its tries."""
    warehouse("CREATE TABLE orders (number TEXT)")
    spec = importlib.util.spec_from_file_location("notify_on_failure", repo / "dags_examples" / "notify_on_failure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag


# ``dag.test()`` breaks on deadlines: of 3.1 on those that count from the queue, which its runs never saw, of 3.3 after
# a success (https://github.com/apache/airflow/issues/73428). test_system_notifier.py has one that is missed for real.
@pytest.fixture
def without_deadline(example):
    example.deadline = None
    return example


def test_one_notification_after_the_last_try(without_deadline, run_dag, braze_emulator):
    without_deadline.get_task("load_orders").retry_delay = 0
    assert str(run_dag(without_deadline).state) == "failed"
    assert braze_emulator.deliveries() == TOLD
    [request] = braze_emulator.requests()
    known = request["body"]["trigger_properties"]
    assert (known["task_id"], known["try_number"]) == ("load_orders", 3)
    assert known["runbook"] == "https://wiki.example.com/orders"


def test_nobody_is_told_of_a_success(without_deadline, run_dag, braze_emulator, warehouse):
    warehouse("INSERT INTO orders VALUES ('1')")
    assert str(run_dag(without_deadline).state) == "success"
    assert braze_emulator.requests() == []


def test_its_deadline_tells_the_same_people(example, braze_emulator, deadline):
    [alert] = example.deadline if isinstance(example.deadline, list) else [example.deadline]

    async def as_the_triggerer():
        await import_string(alert.callback.path)(**alert.callback.kwargs, context=deadline)

    asyncio.run(as_the_triggerer())
    assert braze_emulator.deliveries() == TOLD
    [request] = braze_emulator.requests()
    assert request["body"]["trigger_properties"]["deadline"] == "2026-11-20T06:00:00+00:00"
