"""What can still be reached: by the steps of a Canvas, beside what others send, and by a broadcast of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_braze.conditions.broadcasts import Broadcasts
from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.conditions.figures import Figures

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TODAY = "2026-12-01"
DETAILS = {"name": "x", "archived": False, "schedule_type": "api_triggered_delivery", "channels": ["email"]}


def figures(of, metric, needed, **more):
    more = {"send_id": "mine"} | more if of == "send" else {"from_day": TODAY} | more
    return Figures(of=of, program_id="x", metric=metric, needed=needed, accepted=100, **more)


def test_the_steps_of_a_canvas_may_reach_everybody_several_times():
    figures("canvas", "sent", 200).admit([DETAILS], NOW)
    figures("canvas", "delivered", 200, channel="email").admit([DETAILS], NOW)
    with pytest.raises(BrazeWaitRefusedError, match="only 100"):
        figures("canvas", "entries", 101).admit([DETAILS], NOW)
    with pytest.raises(BrazeWaitRefusedError, match="only 100"):
        figures("campaign", "sent", 101).admit([DETAILS], NOW)


def test_what_one_step_of_a_canvas_loses_another_may_deliver():
    steps = {
        "one": {"messages": {"email": [{"sent": 100, "delivered": 60, "bounces": 6}]}},
        "two": {"messages": {"email": [{"sent": 20, "delivered": 19, "bounces": 6}]}},
    }
    stats = [{"time": TODAY, "total_stats": {"entries": 100}, "step_stats": steps}]
    assert figures("canvas", "delivered", 90).judge([{"data": {"stats": stats}}], NOW).state == "waiting"


@pytest.mark.parametrize(("of", "state"), [("campaign", "waiting"), ("send", "failed")])
def test_only_a_send_knows_what_is_lost_of_it(of, state):
    """A campaign's day holds what others sent, too."""
    row = {"time": TODAY, "messages": {"email": [{"sent": 100, "delivered": 0, "bounces": 100}]}}
    assert figures(of, "delivered", 45).judge([{"data": [row]}], NOW).state == state


@pytest.mark.parametrize(("needed", "most", "ends"), [(50, 50, True), (51, 50, False), (0.5, 0.25, False)])
def test_a_figure_that_is_to_reach_more_than_it_may(needed, most, ends):
    condition = figures("campaign", "sent", needed, at_most={"sent": most})
    if ends:
        condition.admit([DETAILS], NOW)
        return
    with pytest.raises(BrazeWaitRefusedError, match="sent"):
        condition.admit([DETAILS], NOW)


@pytest.mark.parametrize(("days", "ends"), [(0, True), (1, True), (2, False), (30, False)])
def test_days_that_lie_ahead(days, ends):
    """Tomorrow by UTC may have begun somewhere."""
    first = (NOW + timedelta(days=days)).date().isoformat()
    condition = figures("campaign", "sent", 5, from_day=first)
    if ends:
        condition.admit([DETAILS], NOW)
        return
    with pytest.raises(BrazeWaitRefusedError, match="ahead"):
        condition.admit([DETAILS], NOW)


@pytest.mark.parametrize(
    ("next_send_time", "schedule_type", "state"),
    [
        ("2026-11-20 09:00:00", "UTC", "waiting"),
        ("2026-12-01 11:59:59", "UTC", "waiting"),
        ("2026-12-01 12:00:01", "UTC", "met"),
        ("2026-11-30 23:00:00", "local_time_zones", "waiting"),
        ("2026-12-01 11:00:00", "local_time_zones", "met"),
    ],
)
def test_what_went_out_is_not_scheduled(next_send_time, schedule_type, state):
    """On the users' clocks an hour is over only when it is over everywhere."""
    row = {
        "id": "x", "type": "Campaign", "name": "n", "next_send_time": next_send_time, "schedule_type": schedule_type
    }  # fmt: skip
    condition = Broadcasts(expect="scheduled", before="2026-12-03T00:00:00Z", of="campaign", program_id="x")
    assert condition.judge([{"scheduled_broadcasts": [row]}], NOW).state == state
