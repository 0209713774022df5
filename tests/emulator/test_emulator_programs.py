"""Campaigns and Canvases that somebody in the dashboard changes while they are in use."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from emulator_support import ARCHIVED, CANVAS, PAUSED_CANVAS, VARIATION, WEEKLY, later

PROGRAMS = "/__emulator__/programs"


def details(caller):
    found = caller.call("campaigns_details", {"campaign_id": WEEKLY}).json()
    return [found[name] for name in ("enabled", "archived", "draft")]


def sent(caller):
    [day] = caller.call("campaigns_data_series", {"campaign_id": WEEKLY, "length": 1}).json()["data"]
    return [(row["variation_api_id"], row["sent"]) for rows in day["messages"].values() for row in rows]


def broadcasts(braze, caller):
    rows = caller.call("messages_scheduled_broadcasts", {"end_time": later(braze, 7 * 86400)}).json()
    return [(row["id"], row["type"], row["schedule_type"]) for row in rows["scheduled_broadcasts"]]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("paused", [False, False, False]),
        ("stopped", [False, False, False]),
        ("archived", [False, True, False]),
        ("draft", [False, False, True]),
    ],
)
def test_a_campaign_is_put_to_rest_and_back(braze, caller, state, told):
    caller.to("1", "2")
    braze.change_program(campaign_id=WEEKLY, state=state)
    assert details(caller) == told
    assert state in caller.to("3").json()["notice"]
    braze.change_program(campaign_id=WEEKLY, state="active")
    assert details(caller) == [True, False, False]
    caller.to("3")
    assert sent(caller) == [(VARIATION, 3)]
    assert "Your weekly offer" in {message["campaign"] for message in braze.messages()}
    assert braze.messages()[0]["subject"], "the template stayed"


def test_a_canvas_that_was_paused_is_entered(braze, caller):
    body = {"canvas_id": PAUSED_CANVAS, "recipients": [{"external_user_id": "1"}]}
    assert "paused" in caller.call("canvas_trigger_send", body).json()["notice"]
    answer = caller.http.post(PROGRAMS, json={"canvas_id": PAUSED_CANVAS, "state": "active"})
    assert (answer.status_code, answer.json()["state"], answer.json()["kind"]) == (200, "active", "canvas")
    assert "notice" not in caller.call("canvas_trigger_send", body).json()
    assert braze.deliveries() == {"external_user_id:1": 1}
    other = [row for row in caller.http.get(PROGRAMS).json()["programs"] if row["id"] == CANVAS]
    assert [(row["kind"], row["state"]) for row in other] == [("campaign", "active"), ("canvas", "active")]


def test_a_campaign_is_scheduled_in_the_dashboard_and_not_any_more(braze, caller):
    assert broadcasts(braze, caller) == []
    at = braze.clock.datetime() + timedelta(hours=2)
    braze.change_program(campaign_id=WEEKLY, next_send_time=at)
    assert broadcasts(braze, caller) == [(WEEKLY, "Campaign", "UTC")]
    braze.change_program(campaign_id=WEEKLY, schedule_type="local_time_zones")
    assert broadcasts(braze, caller) == [(WEEKLY, "Campaign", "local_time_zones")]
    braze.change_program(campaign_id=WEEKLY, state="paused")
    assert broadcasts(braze, caller) == []
    braze.change_program(campaign_id=WEEKLY, state="active", schedule_type=None)
    caller.http.post(PROGRAMS, json={"canvas_id": CANVAS, "next_send_time": later(braze, 3600)})
    assert broadcasts(braze, caller) == [(CANVAS, "Canvas", "UTC"), (WEEKLY, "Campaign", "UTC")]
    braze.clock.advance(3601)
    assert broadcasts(braze, caller) == [(WEEKLY, "Campaign", "UTC")]
    braze.change_program(campaign_id=WEEKLY, next_send_time=None)
    assert broadcasts(braze, caller) == []


def test_a_campaign_paused_before_its_schedule_reaches_nobody(braze, caller):
    caller.schedule("campaigns", schedule={"time": later(braze, 60)})
    braze.change_program(campaign_id=WEEKLY, state="paused")
    braze.clock.advance(61)
    assert braze.deliveries() == {}


@pytest.mark.parametrize(
    "again",
    [{"state": "archived"}, {"channel": "sms"}, {"variations": {"new": "email"}}],
    ids=lambda one: next(iter(one)),
)
def test_a_campaign_that_is_replaced_keeps_what_was_delivered(braze, caller, again):
    caller.to("1", "2")
    braze.add_figures(campaign_id=WEEKLY, bounces=1)
    braze.add_figures(campaign_id=WEEKLY, bounces=4, day=-1)
    first = caller.call("campaigns_details", {"campaign_id": WEEKLY}).json()["first_sent"]
    braze.add_campaign(WEEKLY, **again)
    before, day = caller.call("campaigns_data_series", {"campaign_id": WEEKLY, "length": 2}).json()["data"]
    assert sum(row["bounces"] for row in before["messages"]["email"]) == 4
    [old] = [row for row in day["messages"]["email"] if row["sent"]]
    assert (day["unique_recipients"], old["sent"], old["bounces"]) == (2, 2, 1)
    assert caller.call("campaigns_details", {"campaign_id": WEEKLY}).json()["first_sent"] == first
    [received] = caller.call("users_export_ids", {"external_ids": ["1"]}).json()["users"]
    assert received["campaigns_received"][0]["api_campaign_id"] == WEEKLY


def test_the_inbox_shows_the_new_state(braze, caller):
    at = datetime(2090, 1, 2, 9, tzinfo=UTC)
    before = caller.http.get("/__emulator__/version").json()
    braze.change_program(campaign_id=WEEKLY, state="draft", next_send_time=at)
    assert caller.http.get("/__emulator__/version").json() != before
    page = caller.http.get("/").text
    assert re.search(r'Your weekly offer</bdi> <span class="badge draft">draft', page)
    assert "in the dashboard for 2090-01-02 09:00" in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"campaign_id": WEEKLY, "state": "asleep"}, "state must be one of active, paused"),
        ({"campaign_id": WEEKLY, "state": None}, "state must be one of"),
        ({"campaign_id": WEEKLY, "schedule_type": "daily"}, "schedule_type must be one of"),
        ({"campaign_id": WEEKLY, "next_send_time": "soon"}, "next_send_time must be a time as in ISO 8601, not 'soon'"),
        ({"campaign_id": WEEKLY, "next_send_time": 7}, "next_send_time must be a time"),
        ({"campaign_id": WEEKLY, "name": "x"}, "state, next_send_time, schedule_type can be changed, not name"),
        ({"campaign_id": WEEKLY}, "can be changed, not nothing"),
        ({"campaign_id": PAUSED_CANVAS, "state": "active"}, "no campaign has the id"),
        ({"state": "active"}, "name a campaign_id or a canvas_id"),
    ],
)
def test_changes_that_make_no_sense(braze, caller, given, message):
    before = caller.http.get(PROGRAMS).json()
    with pytest.raises(ValueError, match=message):
        braze.change_program(**given)
    answer = caller.http.post(PROGRAMS, json=given)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert caller.http.get(PROGRAMS).json() == before


def test_a_reset_takes_the_changes_back(braze, caller):
    braze.change_program(campaign_id=ARCHIVED, state="active")
    assert "notice" not in caller.to("1", campaign_id=ARCHIVED).json()
    braze.reset()
    assert "archived" in caller.to("1", campaign_id=ARCHIVED).json()["notice"]


def test_times_of_a_seed_that_are_none(braze):
    with pytest.raises(ValueError, match="last_edited"):
        braze.add_campaign("c", last_edited="lately")
