"""The trigger of held schedules: when it ends, and what it does where its task is ended."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
)
from airflow_provider_braze.triggers import schedules
from airflow_provider_braze.triggers.schedules import BrazeScheduleTrigger

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PEOPLE = [f"p{number}" for number in range(600)]
DELETE = "/campaigns/trigger/schedule/delete"


@pytest.fixture
def made(braze_emulator):
    """Twelve schedules, and the trigger that holds them."""
    report = BrazeScheduleCampaignOperator(
        task_id="t", campaign_id=WEEKLY, recipients=PEOPLE, schedule="2099-04-07T09:00:00Z"
    ).execute({})
    return trigger(schedule_ids=report["schedule_ids"])


def trigger(**given):
    known = {
        "braze_conn_id": "braze_default",
        "endpoint": "campaigns_trigger_schedule_delete",
        "fields": {"campaign_id": WEEKLY},
        "schedule_ids": [],
        "moment": "2099-04-07T09:00:00+00:00",
    }
    made = BrazeScheduleTrigger(**{**known, **given})
    # What the triggerer gives a trigger.
    made.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    return made


@pytest.fixture
def state(monkeypatch):
    """Let Airflow say this of the task; without a triggerer there is nobody to ask."""

    def say(state, key="t"):
        def states(**asked):
            assert (asked["dag_id"], asked["task_ids"], asked["run_ids"]) == ("d", ["t"], ["r"])
            if isinstance(state, Exception):
                raise state
            return {} if state is NotImplemented else {"r": {key: state}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(states))

    return say


@pytest.fixture
def left(braze_emulator):
    return lambda: sum(one["state"] == "waiting" for one in braze_emulator.schedules())


def run(trigger):
    async def events():
        return [event async for event in trigger.run()]

    return asyncio.run(events())


def end(trigger, monkeypatch, *, has_on_kill=True):
    """End it as a person does, on a newer or an older Airflow."""
    monkeypatch.setattr(schedules, "_HAS_ON_KILL", has_on_kill)

    async def kill():
        if has_on_kill:
            await trigger.on_kill()
        await trigger.cleanup()

    asyncio.run(kill())


def test_it_ends_at_the_moment():
    began = time.monotonic()
    moment = datetime.now(UTC) + timedelta(seconds=0.5)
    [event] = run(trigger(moment=moment.isoformat()))
    assert event.payload == {"moment": moment.isoformat(), "report": None}
    assert datetime.now(UTC) >= moment
    assert time.monotonic() - began < schedules.LOOK_EVERY / 2


def test_it_is_made_anew_of_plain_json():
    path, given = trigger(schedule_ids=["a"]).serialize()
    assert path == f"{BrazeScheduleTrigger.__module__}.BrazeScheduleTrigger"
    assert BrazeScheduleTrigger(**json.loads(json.dumps(given))).serialize() == (path, given)


@pytest.mark.parametrize("has_on_kill", [True, False], ids=["3.3", "3.1"])
@pytest.mark.parametrize("said", ["failed", None, "scheduled", "queued", "running", "skipped", NotImplemented])
def test_given_up_all_is_deleted(made, state, left, monkeypatch, said, has_on_kill):  # noqa: PLR0917
    state(said)
    end(made, monkeypatch, has_on_kill=has_on_kill)
    assert left() == 0


@pytest.mark.parametrize("has_on_kill", [True, False], ids=["3.3", "3.1"])
@pytest.mark.parametrize("said", ["success", "deferred"])
def test_otherwise_all_stays(made, state, left, monkeypatch, said, has_on_kill):  # noqa: PLR0917
    state(said)
    end(made, monkeypatch, has_on_kill=has_on_kill)
    assert left() == 12


def test_a_part_of_a_mapped_task_has_a_state_of_its_own(made, state, left, monkeypatch):
    made.task_instance.map_index = 3
    state("success", "t_3")
    end(made, monkeypatch)
    assert left() == 12


@pytest.mark.parametrize(("has_on_kill", "stay"), [(True, 0), (False, 12)])
def test_where_nobody_can_be_asked(made, state, left, monkeypatch, has_on_kill, stay):  # noqa: PLR0917
    """A person certainly ended it on 3.3; before that, the triggerer may as well be about to stop."""
    state(RuntimeError("the API server is away"))
    end(made, monkeypatch, has_on_kill=has_on_kill)
    assert left() == stay


def test_after_its_moment_there_is_nothing_to_delete(made, state, left, monkeypatch):
    state("failed")
    made.moment = datetime.now(UTC).isoformat()
    assert len(run(made)) == 1
    end(made, monkeypatch)
    assert left() == 12


@pytest.mark.parametrize("fault", ["server_error", "drop_before_acceptance", "drop_after_acceptance", "rate_limited"])
def test_trouble_is_asked_for_again(made, state, left, monkeypatch, braze_emulator, fault):  # noqa: PLR0917
    state("failed")
    braze_emulator.inject(fault, path=DELETE, times=2)
    end(made, monkeypatch)
    assert left() == 0


@pytest.mark.parametrize(
    ("tries", "patience", "deleted"), [(1, 60.0, 3), (1_000_000, 0.5, 0)], ids=["after-its-tries", "after-its-time"]
)
def test_what_could_not_be_deleted_is_named(  # noqa: PLR0917
    made, state, left, monkeypatch, braze_emulator, capfd, tries, patience, deleted
):
    """Where its time ends, none is: on a slow machine that could be before the answer to a deletion."""
    monkeypatch.setattr(schedules, "_TRIES", tries)
    monkeypatch.setattr(schedules, "PATIENCE", patience)
    monkeypatch.setattr(schedules, "PATIENCE_PER_SCHEDULE", 0.0)
    state("failed")
    braze_emulator.inject("echo_key_401", path=DELETE, times=None, skip=deleted)
    end(made, monkeypatch)
    assert left() == 12 - deleted
    waiting = {one["schedule_id"] for one in braze_emulator.schedules() if one["state"] == "waiting"}
    said = "".join(capfd.readouterr())
    named = said.partition("could NOT be deleted, delete them in Braze: ")[2].partition(" [")[0]
    assert set(named.replace("\x1b[0m", "").split(", ")) == waiting
    assert f"{12 - deleted} of 12 schedules could NOT be deleted" in said
    assert braze_emulator.api_key not in said


def test_what_braze_refuses_to_delete_is_named_too(made, state, left, monkeypatch, braze_emulator, capfd):  # noqa: PLR0917
    """Here somebody deleted it; in another case it could wait still."""
    gone = made.schedule_ids[3]
    BrazeDeleteScheduledCampaignOperator(task_id="t", campaign_id=WEEKLY, schedule_id=gone).execute({})
    state("failed")
    end(made, monkeypatch)
    assert left() == 0
    said = "".join(capfd.readouterr()).replace("\x1b[0m", "")
    assert said.partition("could NOT be deleted, delete them in Braze: ")[2].partition(" [")[0] == gone
    assert "was deleted already" in said
    assert sum(one["path"] == DELETE for one in braze_emulator.requests()) == 13, "asked once, by each"


def test_many_get_more_time(made, state, left, monkeypatch):
    monkeypatch.setattr(schedules, "PATIENCE", 0.0)
    monkeypatch.setattr(schedules, "PATIENCE_PER_SCHEDULE", 10.0)
    state("failed")
    end(made, monkeypatch)
    assert left() == 0


def test_airflow_cancels_it_again_and_again(made, state, left, monkeypatch, braze_emulator):
    """Airflow 3.3 does so at each turn of its loop, until the trigger has ended."""
    state("failed")
    braze_emulator.inject("slow", path=DELETE, times=None, seconds=0.5)

    async def kill():
        task = asyncio.create_task(asyncio.wait_for(made.on_kill(), 30))
        while not task.done():
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.gather(task, *schedules._UNDER_WAY, return_exceptions=True)

    asyncio.run(kill())
    assert left() == 0
