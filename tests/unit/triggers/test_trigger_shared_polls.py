"""Triggers in one event loop: what they cost, who gets which answer, and what is left when they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_braze.sensors.metrics import BrazeCampaignMetricSensor, BrazeCanvasMetricSensor
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor
from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
TODAY = datetime.now(UTC).date().isoformat()
# What is waited for comes at once: only a wait that hangs gets there.
PATIENCE = 60


def deferred(sensor_class, **parameters):
    """The trigger that a sensor waits in, as Airflow stores it: plain JSON."""
    sensor = sensor_class(task_id="wait", deferrable=True, **{"poke_interval": 0.2, "timeout": 60, **parameters})
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({"ti": None, "dag_run": SimpleNamespace(run_after=datetime.now(UTC), run_id="r")})
    path, kwargs = caught.value.trigger.serialize()
    assert json.loads(json.dumps(kwargs)) == kwargs
    return path, json.loads(json.dumps(kwargs))


def again(stored):
    path, kwargs = stored
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**kwargs)


async def event_of(trigger):
    async with contextlib.aclosing(trigger.run()) as events:
        return (await anext(events)).payload


def others():
    """The tasks of this loop beside the current one."""
    return [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]


async def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it does not come about"
        await asyncio.sleep(0.01)


async def settled():
    """Whatever polls there are have had the time to end."""
    await until(lambda: not others())


@pytest.fixture
def asked(braze_emulator):
    return lambda path: sum(count for name, count in braze_emulator.request_counts().items() if path in name)


@pytest.fixture
def paused():
    """A trigger that waits for the paused campaign."""
    return lambda **parameters: deferred(BrazeCampaignActiveSensor, campaign_id=PAUSED, **parameters)


def sockets():
    """How many sockets this process has open."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


def test_it_is_stored_as_plain_json(braze_emulator, paused):
    path, kwargs = paused(poke_interval=7)
    assert path == "airflow_provider_braze.triggers.conditions.BrazeConditionTrigger"
    assert kwargs.keys() >= {"braze_conn_id", "condition", "poll_interval"}
    assert (kwargs["braze_conn_id"], kwargs["poll_interval"]) == ("braze_default", 7)
    assert again((path, kwargs)).serialize() == (path, kwargs)
    assert braze_emulator.api_key not in json.dumps(kwargs)


@pytest.mark.parametrize(
    "stored",
    [
        (BrazeCampaignMetricSensor, {"campaign_id": WEEKLY, "at_least_share": 0.5, "accepted": 10,
        "since": TODAY, "at_most_share": {"bounces": 0.1}}),
        (BrazeCanvasMetricSensor, {"canvas_id": WEEKLY, "at_least": 3, "since": TODAY}),
        (BrazeRecipientsReceivedSensor, {"campaign_id": WEEKLY, "recipients": ["a", {"email": "b@example.com",
        "prioritization": ["identified"]}]}),
    ],
    ids=lambda one: one[0].__name__,
)  # fmt: skip
def test_every_kind_round_trips(braze_emulator, stored):
    path, kwargs = deferred(stored[0], **stored[1])
    assert again((path, kwargs)).serialize() == (path, kwargs)


def test_a_thousand_waits_for_one_thing_cost_one_request_per_interval(braze_emulator, asked, paused):
    stored = paused(poke_interval=0.5)
    before = asked("/campaigns/details")

    async def wait():
        tasks = [asyncio.create_task(event_of(again(stored))) for _ in range(1000)]
        begun = time.monotonic()
        await until(lambda: asked("/campaigns/details") - before >= 3)
        braze_emulator.change_program(campaign_id=PAUSED, state="active")
        events = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        intervals = (time.monotonic() - begun) / 0.5
        requests = asked("/campaigns/details") - before
        await settled()
        return events, requests, intervals

    events, requests, intervals = asyncio.run(wait())
    assert {event["state"] for event in events} == {"met"}
    assert {event["result"]["name"] for event in events} == {"Spring newsletter"}
    assert requests <= intervals + 2


def test_two_questions_cost_two_requests(braze_emulator, asked):
    """Thresholds are no part of the question, another campaign is."""
    waits = [
        *(deferred(BrazeCampaignMetricSensor, campaign_id=WEEKLY, at_least=n, since=TODAY) for n in range(1, 21)),
        *(deferred(BrazeCampaignMetricSensor, campaign_id=WIN_BACK, at_least=n, since=TODAY) for n in range(1, 21)),
    ]
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=20)
    braze_emulator.add_figures(campaign_id=WIN_BACK, sent=20)
    before = asked("/campaigns/data_series")

    async def wait():
        events = await asyncio.wait_for(asyncio.gather(*(event_of(again(one)) for one in waits)), PATIENCE)
        await settled()
        return events

    events = asyncio.run(wait())
    assert [event["result"]["needed"] for event in events] == [*range(1, 21)] * 2
    assert asked("/campaigns/data_series") - before == 2


def test_the_same_question_over_two_connections(braze_emulator, asked, paused, monkeypatch):
    """Another connection may be another workspace."""
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_OTHER", braze_emulator.connection_json())
    waits = [paused(), paused(braze_conn_id="braze_other")]
    braze_emulator.change_program(campaign_id=PAUSED, state="active")
    before = asked("/campaigns/details")

    async def wait():
        await asyncio.wait_for(asyncio.gather(*(event_of(again(one)) for one in waits)), PATIENCE)
        await settled()

    asyncio.run(wait())
    assert asked("/campaigns/details") - before == 2


def test_the_shortest_interval_counts_while_somebody_has_it(braze_emulator, asked, paused):
    stored, hasty = paused(poke_interval=3600), paused(poke_interval=0.1)

    async def wait():
        slow = asyncio.create_task(event_of(again(stored)))
        await asyncio.sleep(0.3)
        before = asked("/campaigns/details")
        await asyncio.sleep(0.3)
        assert asked("/campaigns/details") == before, "nobody asks more often than once an hour"
        quick = asyncio.create_task(event_of(again(hasty)))
        await until(lambda: asked("/campaigns/details") >= before + 3)
        braze_emulator.change_program(campaign_id=PAUSED, state="active")
        assert (await asyncio.wait_for(quick, PATIENCE))["state"] == "met"
        assert (await asyncio.wait_for(slow, PATIENCE))["state"] == "met", (
            "the answer is for everybody who waits for it"
        )

    asyncio.run(wait())


def test_triggers_that_come_and_go(braze_emulator, asked, paused):
    """A triggerer starts and cancels them all the time; those who stay get their answers."""
    stored = paused(poke_interval=0.2)

    async def wait():
        staying = asyncio.create_task(event_of(again(stored)))
        begun, before = time.monotonic(), asked("/campaigns/details")
        for _ in range(20):
            passing = [asyncio.create_task(event_of(again(stored))) for _ in range(5)]
            await asyncio.sleep(0.03)
            for one in passing:
                one.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
        requests, intervals = asked("/campaigns/details") - before, (time.monotonic() - begun) / 0.2
        assert requests <= intervals + 2, "newcomers do not make it ask more often"
        braze_emulator.change_program(campaign_id=PAUSED, state="active")
        assert (await asyncio.wait_for(staying, PATIENCE))["state"] == "met"
        await settled()

    asyncio.run(wait())


@pytest.mark.parametrize("soon", [False, True], ids=["after-an-answer", "at-once"])
def test_cancelled_triggers_leave_nothing(braze_emulator, asked, paused, soon):
    stored = paused(poke_interval=0.2)

    async def wait():
        open_before = sockets()
        tasks = [asyncio.create_task(event_of(again(stored))) for _ in range(50)]
        if soon:
            await asyncio.sleep(0)
        else:
            before = asked("/campaigns/details")
            await until(lambda: asked("/campaigns/details") > before + 1)
        for one in tasks:
            one.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(one) for one in ended} == {asyncio.CancelledError}
        await settled()
        still = asked("/campaigns/details")
        await asyncio.sleep(0.5)
        assert asked("/campaigns/details") == still, "nobody asks for nobody"
        await until(lambda: sockets() <= open_before + 1)

    asyncio.run(wait())


def test_after_a_met_wait_nothing_is_left(braze_emulator, paused):
    stored = paused(poke_interval=0.2)
    braze_emulator.change_program(campaign_id=PAUSED, state="active")

    async def wait():
        await event_of(again(stored))
        await settled()

    asyncio.run(wait())


def test_a_new_loop_starts_anew(braze_emulator, paused):
    """Nothing of a loop that is closed is used by the next one."""
    stored = paused(poke_interval=0.2)

    async def begin():
        task = asyncio.create_task(event_of(again(stored)))
        await asyncio.sleep(0.3)
        return task.cancel()

    for _ in range(3):
        asyncio.run(begin())
    braze_emulator.change_program(campaign_id=PAUSED, state="active")
    assert asyncio.run(asyncio.wait_for(event_of(again(stored)), PATIENCE))["state"] == "met"


def test_a_key_that_was_changed_is_picked_up(braze_emulator, connection, asked, paused):
    """As when somebody rotates the key of the connection while tasks wait."""
    stored = paused(poke_interval=0.2)
    connection(password="key-of-yesterday")

    async def wait():
        return await asyncio.wait_for(event_of(again(stored)), PATIENCE)

    refused = asyncio.run(wait())
    assert "401" in str(refused.get("error")) + str(refused.get("text"))
    assert "key-of-yesterday" not in json.dumps(refused)

    async def rotated():
        connection(password=braze_emulator.api_key)
        before = asked("/campaigns/details")
        task = asyncio.create_task(event_of(again(stored)))
        await until(lambda: asked("/campaigns/details") > before)
        braze_emulator._state.workspace.keys[0] = type(braze_emulator._state.workspace.keys[0])(
            "new", "key-of-today", frozenset(["*"])
        )
        connection(password="key-of-today")
        braze_emulator.change_program(campaign_id=PAUSED, state="active")
        event = await asyncio.wait_for(task, PATIENCE)
        await settled()
        return event

    assert asyncio.run(rotated())["state"] == "met"


@pytest.mark.parametrize(
    "fault",
    [("server_error", {"status": 500}), ("server_error", {"status": 504}), ("html_error_page", {}),
    ("drop_before_acceptance", {}), ("drop_after_acceptance", {})],
    ids=str,
)  # fmt: skip
def test_later_is_no_event(braze_emulator, asked, paused, fault):
    stored = paused(poke_interval=0.1)
    kind, options = fault
    braze_emulator.inject(kind, times=3, **options)
    braze_emulator.change_program(campaign_id=PAUSED, state="active")
    assert asyncio.run(asyncio.wait_for(event_of(again(stored)), PATIENCE))["state"] == "met"


@pytest.mark.parametrize("style", ["retry_after", "standard_retry_after", "epoch", "absent"])
def test_429_holds(braze_emulator, asked, paused, style):
    """Until Braze's time nobody asks again, however short the interval and however many wait."""
    stored = paused(poke_interval=0.1)
    braze_emulator.inject("rate_limited", times=None, retry_after=30.0, header_style=style)
    before = asked("/campaigns/details")

    async def wait():
        tasks = [asyncio.create_task(event_of(again(stored))) for _ in range(20)]
        await asyncio.sleep(1.2)
        assert not any(one.done() for one in tasks)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(wait())
    assert asked("/campaigns/details") - before <= 2


def test_429_of_one_holds_others_of_the_same_quota(braze_emulator, asked, paused):
    """What draws on the same quota waits, too; the figures of campaigns have a quota of their own."""
    waits = [paused(poke_interval=0.1), deferred(BrazeCampaignActiveSensor, campaign_id=PAUSED, poke_interval=0.1)]
    waits += [
        deferred(BrazeCanvasMetricSensor, canvas_id=WEEKLY, at_least=1, since=TODAY, poke_interval=0.1)
        for _ in range(5)
    ]
    braze_emulator.inject("rate_limited", times=None, retry_after=30.0, header_style="retry_after")
    before = braze_emulator.summary()["requests"]

    async def wait():
        tasks = [asyncio.create_task(event_of(again(one))) for one in waits]
        await asyncio.sleep(1.0)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(wait())
    assert braze_emulator.summary()["requests"] - before <= 4


@pytest.mark.parametrize("condition", [{}, {"kind": "no such kind"}, {"kind": 7}, {"kind": None}], ids=str)
def test_a_condition_of_another_version(braze_emulator, condition):
    """A triggerer may be older than the worker: an error that the task can show, not a wait for ever."""

    async def wait():
        trigger = BrazeConditionTrigger(braze_conn_id="braze_default", condition=condition, poll_interval=0.1)
        return await asyncio.wait_for(event_of(trigger), PATIENCE)

    try:
        event = asyncio.run(wait())
    except TimeoutError:
        raise
    except Exception as error:
        assert str(error)
    else:
        assert event["error"]


def test_one_condition_that_is_wrong_does_not_disturb_the_others(braze_emulator, asked):
    """An answer that one of them cannot use is still an answer for the rest."""
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=5, bounces=4)
    good = deferred(BrazeCampaignMetricSensor, campaign_id=WEEKLY, at_least=6, since=TODAY)
    strict = deferred(BrazeCampaignMetricSensor, campaign_id=WEEKLY, at_least=6, since=TODAY, at_most={"bounces": 4})

    async def wait():
        tasks = [asyncio.create_task(event_of(again(one))) for one in (good, strict)]
        braze_emulator.add_figures(campaign_id=WEEKLY, bounces=1)
        failed = await asyncio.wait_for(tasks[1], PATIENCE)
        braze_emulator.add_figures(campaign_id=WEEKLY, sent=1)
        met = await asyncio.wait_for(tasks[0], PATIENCE)
        return failed, met

    failed, met = asyncio.run(wait())
    assert (failed["state"], met["state"]) == ("failed", "met")
    assert "bounces" in failed["text"]


def test_events_name_nobody(braze_emulator):
    braze_emulator.reset({"everyone_is_known": False})
    people = ["secret-1", {"email": "secret@example.com", "prioritization": ["identified"]}]
    stored = deferred(BrazeRecipientsReceivedSensor, campaign_id=WEEKLY, recipients=people, poke_interval=0.1)
    braze_emulator.inject("echo_key_401", times=None)
    event = asyncio.run(asyncio.wait_for(event_of(again(stored)), PATIENCE))
    assert "secret" not in json.dumps(event)
    assert braze_emulator.api_key not in json.dumps(event)
