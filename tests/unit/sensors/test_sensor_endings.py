"""Waits that cannot end well: they end, whatever the author wants to be silent about, and never hold up others."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from airflow_provider_braze.conditions.broadcasts import Broadcasts
from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.conditions.figures import Figures
from airflow_provider_braze.conditions.received import Received
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor
from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

MODES = ["poke", "reschedule", "deferrable"]
PAST = datetime(2026, 1, 1, tzinfo=UTC)


def from_now(**span):
    return datetime.now(UTC) + timedelta(**span)


@pytest.fixture
def in_a_triggerer(braze_emulator):
    """Run a trigger in a loop of its own to its event, or until others got enough turns: the event, and the turns."""

    def run(condition, enough=math.inf, **parameters):
        found = {"turns": 0}
        given = {"braze_conn_id": "braze_default", "poll_interval": 0.2, "silent_fail": True, **parameters}
        trigger = BrazeConditionTrigger(condition=condition.as_dict(), **given)

        async def others():
            while found["turns"] < enough:
                found["turns"] += 1
                await asyncio.sleep(0.02)

        async def wait():
            async with contextlib.aclosing(trigger.run()) as events:
                found["event"] = (await anext(events)).payload

        async def both():
            tasks = [asyncio.create_task(one) for one in (others(), wait())]
            await asyncio.wait(tasks, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        thread = threading.Thread(target=lambda: asyncio.run(both()), daemon=True)
        thread.start()
        thread.join(90)
        assert not thread.is_alive(), "nobody else gets a turn"
        return found

    return run


@pytest.mark.parametrize(
    ("condition", "admitted", "error"),
    [
        (Broadcasts(expect="nothing", before=PAST.isoformat()), False, "BrazeWaitRefusedError"),
        (Figures(of="canvas", program_id="x", metric="entries", needed=5, from_day="2026-01-01"), True,
         "BrazeWaitFailedError"),
    ],
    ids=["refused", "outgrown"],
)  # fmt: skip
def test_silence_does_not_stop_the_triggerer(condition, admitted, error, in_a_triggerer):
    found = in_a_triggerer(condition, admitted=admitted)
    assert found["event"]["error"]["error"] == error


def test_a_wait_that_asks_nothing_takes_its_time(in_a_triggerer):
    nobody = Received("campaign_id", "x", [], PAST.timestamp(), 1.0, 0, from_now(days=1).timestamp())
    found = in_a_triggerer(nobody, enough=40)
    assert "event" not in found
    assert found["turns"] == 40


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_refusal_is_never_later(how, soft_fail, wait):
    with pytest.raises(BrazeWaitRefusedError, match="past") as caught:
        wait(
            BrazeScheduledBroadcastSensor,
            how=how,
            expect="nothing",
            before=from_now(hours=-1),
            silent_fail=True,
            soft_fail=soft_fail,
        )
    assert isinstance(caught.value, AirflowException)


@pytest.mark.parametrize("how", MODES)
def test_a_wait_that_failed_is_never_later(how, wait, braze_emulator):
    braze_emulator.change_program(campaign_id="b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c", state="archived")
    with pytest.raises(BrazeWaitFailedError, match="archived"):
        wait(BrazeCampaignActiveSensor, how=how, campaign_id="b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c", silent_fail=True)


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_window_that_ends_meanwhile_fails_however_it_waits(  # noqa: PLR0917
    how, soft_fail, wait, braze_emulator, campaign, after_looks, hours_pass
):
    """A rescheduled task is a new object each time; that it once could end is not forgotten."""
    braze_emulator.change_program(campaign_id=campaign, next_send_time=from_now(days=1))
    after_looks("/messages/scheduled_broadcasts", 2, lambda: hours_pass(2))
    with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError):
        wait(
            BrazeScheduledBroadcastSensor,
            how=how,
            expect="scheduled",
            campaign_id=campaign,
            before=from_now(hours=1),
            soft_fail=soft_fail,
        )


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_look_after_a_deferral_is_not_the_first(soft_fail, braze_emulator, campaign):
    sensor = BrazeScheduledBroadcastSensor(
        task_id="wait",
        expect="scheduled",
        campaign_id=campaign,
        before=from_now(seconds=-1),
        deferrable=True,
        soft_fail=soft_fail,
    )
    with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, {})
