"""Runs whose time is over, and runs that a backfill causes: who is not messaged, and what may still be finished."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from task_states import TaskState, instance

from airflow_provider_braze import guards
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeLedgerError
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator

HOUR = timedelta(hours=1)
PEOPLE = [f"p{number}" for number in range(150)]
LATER = "2099-04-07T09:00:00Z"


@pytest.fixture(params=["task state", "sql", "sql with a key"])
def remembered(request, tmp_path, monkeypatch):
    """What of Airflow's context and of the operator's parameters remembers a delivery."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    if request.param == "task state":
        return {"task_state_store": TaskState()}, {}
    key = {"delivery_key": "sale"} if "key" in request.param else {}
    return {}, {"ledger": SqlLedger("ledger"), **key}


@pytest.fixture
def later(monkeypatch):
    """Let time pass for the guards."""

    def pass_by(span):
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(tz) + span

        monkeypatch.setattr(guards, "datetime", Later)

    return pass_by


def begin(task, emulator, told, parameters, **of_run):
    """Run a first try, which messages 100 of 150 people."""
    emulator.inject("echo_key_401", skip=2)
    with pytest.raises(BrazeDeliveryError):
        task(recipients=PEOPLE, **parameters).execute(context(**of_run, **told))
    assert len(emulator.deliveries()) == 100
    emulator.clear_faults()


def context(try_number=1, *, ago=timedelta(), clear_number=0, run_type="scheduled", events=(), run_id="r", **more):
    """What Airflow tells a try of a run that was due some time ago."""
    run = SimpleNamespace(
        run_id=run_id,
        run_type=run_type,
        run_after=datetime.now(UTC) - ago,
        clear_number=clear_number,
        consumed_asset_events=list(events),
    )
    known = instance(try_number=try_number, max_tries=clear_number, run_id=run_id)
    return {"ti": known, "dag_run": run, **more}


def asset_event(run_id, dag_id="points"):
    return SimpleNamespace(source_run_id=run_id, source_dag_id=dag_id)


BACKFILLED = asset_event("backfill__2026-10-05T00:00:00+00:00")


# Backfills of what comes before.


def test_a_backfill_of_the_dag_that_updates_an_asset_messages_nobody(task, people, caplog):
    events = [BACKFILLED, asset_event("backfill__2026-10-06T00:00:00+00:00")]
    with pytest.raises(AirflowSkipException, match="was caused by a backfill of points alone: nobody is messaged"):
        task(recipients=PEOPLE).execute(context(run_type="asset_triggered", events=events))
    assert people() == {}
    assert "on_backfill='send'" in caplog.text


def test_it_may_be_an_error_or_send(task, people):
    caused = context(run_type="asset_triggered", events=[BACKFILLED])
    with pytest.raises(BrazeDeliveryError, match="was caused by a backfill"):
        task(recipients=PEOPLE, on_backfill="fail").execute(caused)
    assert people() == {}
    task(recipients=PEOPLE, on_backfill="send").execute(caused)
    assert len(people()) == 150


@pytest.mark.parametrize(
    "events",
    [
        [],
        [BACKFILLED, asset_event("scheduled__2026-11-06T00:00:00+00:00")],
        # Of an event that a person or another system told Airflow of.
        [BACKFILLED, asset_event(None, None)],
        [asset_event(None, None)],
    ],
)
def test_an_update_that_no_backfill_made_is_a_reason_to_send(task, people, events):
    task(recipients=PEOPLE).execute(context(run_type="asset_triggered", events=events))
    assert len(people()) == 150


# Old runs that are cleared.


def test_a_run_that_was_skipped_as_too_old_is_skipped_again_when_cleared(task, people, remembered):
    """Whoever clears thirty old days wants no thirty failures."""
    told, parameters = remembered
    for try_number in (1, 2):
        with pytest.raises(AirflowSkipException, match=r"was due 3\.0 days ago .* nobody is messaged"):
            task(recipients=PEOPLE, **parameters).execute(
                context(try_number, ago=timedelta(days=3), clear_number=try_number - 1, **told)
            )
    assert people() == {}


def test_an_old_run_that_has_messaged_some_fails_and_says_how_many(task, people, remembered, braze_emulator, later):
    told, parameters = remembered
    begin(task, braze_emulator, told, parameters)
    later(timedelta(days=2))
    with pytest.raises(AirflowFailException) as caught:
        task(recipients=PEOPLE, **parameters).execute(context(2, ago=timedelta(hours=1), clear_number=1, **told))
    assert "nobody else is messaged" in str(caught.value)
    assert "2 requests, 0 are in doubt" in str(caught.value)
    assert len(people()) == 100


def test_what_is_in_doubt_alone_is_no_reason_to_skip(task, remembered, braze_emulator, later):
    told, parameters = remembered
    braze_emulator.inject("drop_after_acceptance")
    with pytest.raises(BrazeDeliveryError):
        task(recipients=PEOPLE, **parameters).execute(context(**told))
    later(timedelta(days=2))
    with pytest.raises(BrazeDeliveryError, match="nobody else is messaged"):
        task(recipients=PEOPLE, **parameters).execute(context(2, ago=timedelta(hours=1), clear_number=1, **told))


def test_an_old_run_that_began_without_its_key_or_ledger_is_not_skipped_in_silence(task, braze_emulator, ledger, later):
    store = TaskState()
    begin(task, braze_emulator, {"task_state_store": store}, {})
    late = {"ago": timedelta(days=3), "clear_number": 1, "task_state_store": store}
    with pytest.raises(BrazeLedgerError, match="remembered in Airflow's task state"):
        task(recipients=PEOPLE, ledger=ledger).execute(context(2, **late))
    begin(task, braze_emulator, {}, {"ledger": ledger})
    later(timedelta(days=2))
    with pytest.raises(BrazeDeliveryError, match="nobody else is messaged"):
        task(recipients=PEOPLE, ledger=ledger, delivery_key="sale").execute(
            context(2, ago=timedelta(hours=1), clear_number=1)
        )


def test_an_old_schedule_that_is_cleared_keeps_what_it_made(braze_emulator, ledger, later):
    given = {"task_id": "send", "campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "schedule": LATER}
    kept = {}
    BrazeScheduleCampaignOperator(**given, recipients=PEOPLE, ledger=ledger).execute(context())
    late = context(2, ago=timedelta(hours=1), clear_number=1)
    late["ti"].xcom_push = lambda key, value: kept.update({key: value})
    later(timedelta(days=2))
    with pytest.raises(BrazeDeliveryError, match="nobody else is messaged"):
        BrazeScheduleCampaignOperator(**given, recipients=PEOPLE, ledger=ledger).execute(late)
    assert len(kept["schedule_ids"]) == 3


# What began in time.


def test_a_delivery_that_began_in_time_is_finished_by_a_retry(task, people, remembered, braze_emulator, later):
    told, parameters = remembered
    parameters = {**parameters, "max_staleness": HOUR}
    begin(task, braze_emulator, told, parameters, ago=timedelta(minutes=59))
    later(timedelta(minutes=11))
    report = task(recipients=PEOPLE, **parameters).execute(context(2, ago=timedelta(minutes=59), **told))
    assert report["accepted"] == 150
    assert people() == dict.fromkeys(PEOPLE, 1)


def test_one_that_was_not_finished_for_long_is_not_gone_on_with(task, people, remembered, braze_emulator, later):
    told, parameters = remembered
    parameters = {**parameters, "max_staleness": HOUR}
    begin(task, braze_emulator, told, parameters)
    later(timedelta(minutes=61))
    with pytest.raises(BrazeDeliveryError, match="nobody else"):
        task(recipients=PEOPLE, **parameters).execute(context(2, ago=timedelta(minutes=1), **told))
    assert len(people()) == 100


def test_a_clear_that_sends_to_everybody_again_does_not_begin_in_time(task, people, remembered, braze_emulator, later):
    told, parameters = remembered
    parameters = {**parameters, "max_staleness": HOUR, "on_clear": "resend"}
    begin(task, braze_emulator, told, parameters, ago=timedelta(minutes=59))
    later(timedelta(minutes=11))
    with pytest.raises(BrazeDeliveryError, match="nobody else is messaged"):
        task(recipients=PEOPLE, **parameters).execute(context(2, ago=timedelta(minutes=59), clear_number=1, **told))
    assert set(people().values()) == {1}


def test_another_run_with_the_key_does_not_make_an_old_run_young(task, people, ledger):
    keyed = {"recipients": PEOPLE[:50], "ledger": ledger, "delivery_key": "sale"}
    task(**keyed).execute(context(run_id="today"))
    with pytest.raises(AirflowSkipException, match="nobody is messaged"):
        task(**{**keyed, "recipients": PEOPLE}).execute(context(2, ago=timedelta(days=3), clear_number=1))
    assert len(people()) == 50


def test_a_pause_is_late_only_beyond_its_planned_end(task, people, remembered, braze_emulator, connection):
    """An audience of more than an hour's quota takes longer than an hour."""
    told, parameters = remembered
    more = {"recipients": PEOPLE, "max_quota_wait": timedelta(seconds=1), "max_staleness": HOUR, **parameters}
    connection(extra={"lanes": 1})
    braze_emulator.inject("rate_limited", retry_after=1800.0, header_style="retry_after", skip=2, times=1)
    with pytest.raises(TaskDeferred) as deferred:
        task(**more).execute(context(ago=timedelta(minutes=50), **told))
    planned = datetime.fromisoformat(deferred.value.kwargs["planned"])
    assert timedelta(minutes=29) < planned - datetime.now(UTC) < timedelta(minutes=31)
    assert task(**more).resume(context(ago=5 * HOUR, **told), **deferred.value.kwargs)["accepted"] == 150
    assert people() == dict.fromkeys(PEOPLE, 1)


def test_a_pause_before_anybody_was_messaged_that_is_too_long_skips(task, people, remembered, braze_emulator):
    told, parameters = remembered
    more = {"recipients": PEOPLE, "max_quota_wait": timedelta(seconds=1), "max_staleness": HOUR, **parameters}
    braze_emulator.inject("rate_limited", retry_after=1800.0, header_style="retry_after", times=1)
    with pytest.raises(TaskDeferred):
        task(**more).execute(context(**told))
    planned = (datetime.now(UTC) - timedelta(minutes=61)).isoformat()
    with pytest.raises(AirflowSkipException, match=r"was to go on 61\.0 minutes ago .* nobody is messaged"):
        task(**more).resume(context(**told), planned=planned)
    assert people() == {}
