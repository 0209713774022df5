"""What prepares a send gives its first result again after a clear, so that it fits the send, which goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from task_states import TaskState

from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.operators.send import BrazeCreateSendIdOperator, BrazeSendCampaignOperator

WEEKLY = CANVAS = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
OTHER = "5d1e0f3a-0000-4000-8000-000000000001"
KINDS = [
    (BrazeCampaignBaselineOperator, {"campaign_id": WEEKLY}),
    (BrazeCanvasBaselineOperator, {"canvas_id": CANVAS}),
    (BrazeCreateSendIdOperator, {"campaign_id": WEEKLY}),
]


def context(store, max_tries=0, try_number=1, clear_number=0, began=None):
    given = {
        "ti": SimpleNamespace(max_tries=max_tries, try_number=try_number, map_index=-1, xcom_push=lambda **_: None),
        "dag_run": SimpleNamespace(clear_number=clear_number, start_date=began or datetime(2026, 11, 26, tzinfo=UTC)),
    }
    return given if store is None else {**given, "task_state_store": store}


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_cleared_it_gives_its_first_result(braze_emulator, kind, parameters):
    store = TaskState()
    first = kind(task_id="before", **parameters).execute(context(store))
    again = kind(task_id="before", **parameters).execute(context(store, max_tries=1, try_number=2))
    assert again == first
    assert braze_emulator.summary()["requests"] == 1


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_cleared_to_send_anew_it_makes_a_new_one_and_a_retry_of_that_keeps_it(braze_emulator, kind, parameters):
    store = TaskState()
    task = kind(task_id="before", on_clear="resend", **parameters)
    task.execute(context(store))
    second = task.execute(context(store, max_tries=1, try_number=2))
    assert braze_emulator.summary()["requests"] == 2
    assert task.execute(context(store, max_tries=1, try_number=3)) == second
    assert braze_emulator.summary()["requests"] == 2


def test_a_clear_that_leaves_airflows_count_is_seen_by_the_runs_new_beginning(braze_emulator):
    store = TaskState()
    task = BrazeCreateSendIdOperator(task_id="before", campaign_id=WEEKLY, on_clear="resend")
    first = task.execute(context(store, max_tries=1))
    # Another task of the run was cleared: this is a retry.
    assert task.execute(context(store, max_tries=1, try_number=2, clear_number=1)) == first
    began = datetime(2026, 11, 27, tzinfo=UTC)
    assert task.execute(context(store, max_tries=1, try_number=3, clear_number=2, began=began)) != first
    assert braze_emulator.summary()["requests"] == 2


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_without_a_store_each_try_makes_its_own(braze_emulator, kind, parameters):
    for tries in (1, 2):
        kind(task_id="before", **parameters).execute(context(None, try_number=tries))
    assert braze_emulator.summary()["requests"] == 2


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_another_word_is_refused(kind, parameters):
    with pytest.raises(ValueError, match="on_clear must be one of 'resume', 'resend'"):
        kind(task_id="before", on_clear="again", **parameters)


@pytest.mark.parametrize(("kind", "parameters"), KINDS)
def test_of_something_else_it_makes_a_new_one(braze_emulator, kind, parameters):
    store = TaskState()
    kind(task_id="before", **parameters).execute(context(store))
    braze_emulator.add_campaign(OTHER, name="Other", state="active")
    braze_emulator.add_canvas(OTHER, name="Other", state="active")
    parameters = dict.fromkeys(parameters, OTHER)
    second = kind(task_id="before", **parameters).execute(context(store, max_tries=1, try_number=2))
    assert braze_emulator.summary()["requests"] == 2
    assert kind(task_id="before", **parameters).execute(context(store, max_tries=2, try_number=3)) == second


def test_a_report_tells_when_its_delivery_began_also_after_a_clear(braze_emulator):
    store = TaskState()
    send = {"task_id": "send", "campaign_id": WEEKLY, "recipients": ["kim"], "send_id": "week-47"}
    before = datetime.now(UTC).replace(microsecond=0)
    first = BrazeSendCampaignOperator(**send).execute(context(store))
    began = datetime.fromisoformat(first["began"])
    assert began.utcoffset() == timedelta()
    [request] = braze_emulator.requests()
    assert before <= began <= datetime.fromisoformat(request["at"])
    again = BrazeSendCampaignOperator(**send).execute(context(store, max_tries=1, try_number=2))
    assert (again["accepted"], again["accepted_before"], again["began"]) == (1, 1, first["began"])
    assert again["send_id"] == "week-47"


def test_a_report_of_nothing_tells_no_beginning(braze_emulator):
    report = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=["kim"], dry_run=True).execute({})
    assert report["began"] is None
    assert braze_emulator.deliveries() == {}
