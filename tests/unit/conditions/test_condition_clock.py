"""Conditions by the clock: days that pass, windows that end, people who may still be created; no Airflow, no Braze."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_braze.api.errors import BrazeError
from airflow_provider_braze.conditions.base import moment_of
from airflow_provider_braze.conditions.broadcasts import Broadcasts, span_of
from airflow_provider_braze.conditions.errors import (
    BrazeWaitFailedError,
    BrazeWaitRefusedError,
    error_as_dict,
    error_from_dict,
)
from airflow_provider_braze.conditions.figures import Figures
from airflow_provider_braze.conditions.kinds import condition_from_dict
from airflow_provider_braze.conditions.received import Received
from airflow_provider_braze.conditions.status import Active

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)
CONDITIONS = [
    Figures(of="campaign", program_id=CAMPAIGN, metric="sent", needed=3, from_day="2026-11-30", at_most={"bounces": 2}),
    Figures(of="canvas", program_id=CAMPAIGN, metric="entries", needed=3, from_day="2026-11-30", minus={"entries": 4}),
    Figures(of="send", program_id=CAMPAIGN, metric="delivered", needed=3, send_id="mine", accepted=5),
    Broadcasts(expect="nothing", before="2026-12-01T06:00:00+00:00"),
    Broadcasts(expect="scheduled", before="2026-12-01T06:00:00+00:00", of="canvas", program_id=CAMPAIGN),
    Received("campaign_id", CAMPAIGN, [{"external_user_id": "a"}], MIDNIGHT.timestamp(), 1.0, 0, MIDNIGHT.timestamp()),
    Active(of="campaign", program_id=CAMPAIGN),
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: type(one).__name__)
def test_a_condition_is_plain_json(condition):
    stored = json.loads(json.dumps(condition.as_dict()))
    again = condition_from_dict(stored)
    assert type(again) is type(condition)
    assert again.as_dict() == condition.as_dict()
    assert again.questions(MIDNIGHT) == condition.questions(MIDNIGHT)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda one: type(one).__name__)
def test_equal_waits_ask_equal_questions(condition):
    again = condition_from_dict(condition.as_dict())
    assert {*again.questions(MIDNIGHT)} == {*condition.questions(MIDNIGHT)}
    later = condition.questions(MIDNIGHT + timedelta(seconds=30))
    assert {*later} == {*condition.questions(MIDNIGHT)}, "half a minute later the question is still the same one"


@pytest.mark.parametrize("of", ["campaign", "canvas"])
def test_days_before_and_after_midnight(of):
    """What was sent before midnight and after it is one sum."""
    metric = "sent" if of == "campaign" else "entries"
    condition = Figures(of=of, program_id=CAMPAIGN, metric=metric, needed=5, from_day="2026-11-30", minus={metric: 10})

    def answer(*days):
        if of == "campaign":
            return {"data": [{"time": day, "messages": {"email": [{"sent": count}]}} for day, count in days]}
        return {"data": {"stats": [{"time": day, "total_stats": {"entries": count}} for day, count in days]}}

    before = answer(("2026-11-29", 100), ("2026-11-30", 13))
    after = answer(("2026-11-29", 100), ("2026-11-30", 13), ("2026-12-01", 2))
    for given, now, state, value in (
        (before, MIDNIGHT - timedelta(minutes=1), "waiting", 3),
        (before, MIDNIGHT + timedelta(minutes=1), "waiting", 3),
        (after, MIDNIGHT + timedelta(minutes=1), "met", 5),
        (after, MIDNIGHT - timedelta(minutes=1), "met", 5),
    ):
        assert len(condition.questions(now)) == 1
        verdict = condition.judge([given], now)
        assert (verdict.state, verdict.result["value"]) == (state, value)


@pytest.mark.parametrize("days", range(14))
def test_enough_days_are_asked_for(days):
    """Ours may be a day behind the company's, or ahead of it."""
    condition = Figures(of="campaign", program_id=CAMPAIGN, metric="sent", needed=5, from_day="2026-12-01")
    [question] = condition.questions(MIDNIGHT + timedelta(days=days, hours=12))
    assert int(json.loads(question.query)["length"]) >= days + 2


def length_of(condition, now):
    [question] = condition.questions(now)
    return json.loads(question.query)["length"]


@pytest.mark.parametrize(("of", "most"), [("campaign", 100), ("canvas", 14)])
def test_all_days_that_braze_gives(of, most):
    """The day more, for zones that are ahead, is no reason to refuse; in the middle of a wait it is a failure."""
    first = (MIDNIGHT - timedelta(days=most - 1)).date().isoformat()
    condition = Figures(of=of, program_id=CAMPAIGN, metric="revenue", needed=5, from_day=first)
    condition.admit([], MIDNIGHT)
    assert length_of(condition, MIDNIGHT) == most
    tomorrow = MIDNIGHT + timedelta(days=1)
    with pytest.raises(BrazeWaitRefusedError, match=f"{most} days"):
        condition.admit([], tomorrow)
    with pytest.raises(BrazeWaitFailedError, match=f"{most} days"):
        condition.questions(tomorrow)


@pytest.mark.parametrize(
    ("sent_at", "now", "least"),
    [
        ("2026-12-02T01:00:00+09:00", "2026-12-03T23:00:00+00:00", 4),
        ("2026-11-30T23:30:00-10:00", "2026-12-03T23:00:00+00:00", 4),
        ("2026-12-01T00:30:00+00:00", "2026-12-03T23:00:00+00:00", 4),
    ],
)
def test_the_day_of_a_send_is_not_missed(sent_at, now, least):
    """The author's clock, ours and the company's may each have another date."""
    condition = Figures(of="send", program_id=CAMPAIGN, metric="sent", needed=5, send_id="mine", sent_at=sent_at)
    assert length_of(condition, moment_of(now)) >= least


def test_a_send_on_a_clock_far_behind_is_asked_for_14_days():
    sent_at = "2026-11-01T23:30:00-10:00"
    condition = Figures(of="send", program_id=CAMPAIGN, metric="sent", needed=5, send_id="mine", sent_at=sent_at)
    within, after = (moment_of(sent_at) + timedelta(days=14, minutes=minutes) for minutes in (-1, 1))
    condition.admit([], within)
    assert length_of(condition, within) >= 16
    with pytest.raises(BrazeWaitRefusedError, match="14 days"):
        condition.admit([], after)


def test_a_number_that_goes_down_again():
    """Braze corrects its figures now and then; below the baseline is nothing, not less than nothing."""
    condition = Figures(
        of="campaign", program_id=CAMPAIGN, metric="sent", needed=5, from_day="2026-11-30", minus={"sent": 50}
    )
    row = {"time": "2026-11-30", "messages": {"email": [{"sent": 48}]}}
    verdict = condition.judge([{"data": [row]}], MIDNIGHT)
    assert verdict.state == "waiting"
    assert verdict.result["value"] <= 0


def test_nothing_scheduled_until_the_window_is_over():
    condition = Broadcasts(expect="nothing", before=(MIDNIGHT + timedelta(hours=6)).isoformat())
    row = {
        "name": "Offer", "id": "x", "type": "Campaign", "tags": [], "schedule_type": "UTC",
        "next_send_time": "2026-12-01 05:00:00"
    }  # fmt: skip
    answer = {"scheduled_broadcasts": [row]}
    assert condition.judge([answer], MIDNIGHT).state == "waiting"
    assert condition.judge([answer], MIDNIGHT + timedelta(hours=5, minutes=1)).state == "met", "it went out"
    assert condition.judge([{"scheduled_broadcasts": []}], MIDNIGHT).state == "met"


def test_unknown_people_until_the_settling_time():
    settled = MIDNIGHT + timedelta(minutes=5)
    condition = Received(
        "campaign_id", CAMPAIGN, [{"external_user_id": "a"}], MIDNIGHT.timestamp(), 1.0, 0, settled.timestamp()
    )
    answer = {"users": [], "invalid_user_ids": ["a"]}
    for now, state in ((settled - timedelta(seconds=1), "waiting"), (settled + timedelta(seconds=1), "failed")):
        condition.questions(now)
        assert condition.judge([answer], now).state == state


@pytest.mark.parametrize(
    ("kind", "earliest", "latest"),
    [("UTC", 0, 0), ("Asia/Tokyo", -9, -9), ("America/New_York", 5, 5), ("local_time_zones", -14, 12)],
)
def test_when_a_broadcast_goes_out(kind, earliest, latest):
    row = {"next_send_time": "2026-12-01 00:00:00", "schedule_type": kind}
    first, last = span_of(row)
    assert (first - MIDNIGHT, last - MIDNIGHT) == (timedelta(hours=earliest), timedelta(hours=latest))


def test_a_broadcast_whose_time_cannot_be_told():
    first, last = span_of({"next_send_time": "soon", "schedule_type": "UTC"})
    assert first < MIDNIGHT - timedelta(days=3650)
    assert last > MIDNIGHT + timedelta(days=3650)


@pytest.mark.parametrize(
    "text", ["2026-12-01T00:00:00Z", "2026-12-01 00:00:00", "2026-12-01", "2026-12-01T01:00:00+01:00", MIDNIGHT]
)
def test_moments(text):
    assert moment_of(text) == MIDNIGHT


def test_an_error_travels_as_json():
    error = BrazeWaitRefusedError("the metric does not exist")
    again = error_from_dict(json.loads(json.dumps(error_as_dict(error))))
    assert (type(again), str(again)) == (BrazeWaitRefusedError, str(error))


def test_an_error_of_another_version_is_still_one():
    stored = error_as_dict(BrazeWaitRefusedError("the metric does not exist"))
    assert "BrazeWaitRefusedError" in stored.values()
    strange = {
        name: "BrazeOfTomorrowError" if text == "BrazeWaitRefusedError" else text for name, text in stored.items()
    }
    assert type(error_from_dict(strange)) is BrazeError
    assert "the metric does not exist" in str(error_from_dict(strange))
