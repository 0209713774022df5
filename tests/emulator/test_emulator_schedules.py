"""Schedules: when they fire, whom they reach, how they change, and what becomes of their ids."""

import pytest
from emulator_support import CANVAS, EVERYONE, GOLD_ONLY, PAUSED, PUSH, WEEKLY, later

KINDS = ("messages", "campaigns", "canvas")
OF_KIND = {"messages": {}, "campaigns": {"campaign_id": WEEKLY}, "canvas": {"canvas_id": CANVAS}}


def of_kind(kind, verb):
    return f"{kind}_schedule_{verb}" if kind == "messages" else f"{kind}_trigger_schedule_{verb}"


def change(caller, kind, schedule_id, verb="update", **fields):
    return caller.call(of_kind(kind, verb), {"schedule_id": schedule_id, **OF_KIND[kind], **fields})


@pytest.mark.parametrize("kind", KINDS)
def test_it_fires_at_its_time_and_once(braze, caller, kind):
    schedule_id = caller.schedule(kind, schedule={"time": later(braze, 3600)})
    braze.clock.advance(3000)
    assert braze.deliveries() == {}
    assert braze.schedules()[0]["state"] == "waiting"
    braze.clock.advance(4000)
    assert braze.deliveries() == {"external_user_id:u-1": 1}
    [message] = braze.messages()
    [schedule] = braze.schedules()
    assert message["at"] == schedule["due_at"] == schedule["ended_at"]
    assert (message["schedule_id"], message["dispatch_id"]) == (schedule_id, schedule["dispatch_id"])
    assert (schedule["state"], schedule["reached"]) == ("fired", 1)
    braze.clock.advance(86400)
    assert braze.summary()["total"] == 1


def test_nobody_has_to_ask_the_api_for_it_to_fire(braze, caller):
    caller.schedule(schedule={"time": later(braze, 60)})
    caller.http.post("/__emulator__/clock", json={"advance": 61})
    assert caller.http.get("/__emulator__/deliveries").json()["total"] == 1
    version = caller.http.get("/__emulator__/version").json()["version"]
    caller.schedule(schedule={"time": later(braze, 60)})
    braze.clock.advance(61)
    assert caller.http.get("/__emulator__/version").json()["version"] > version + 1
    assert caller.http.get("/__emulator__/schedules").json()["schedules"][0]["state"] == "fired"


def test_several_fire_in_their_order(braze, caller):
    for seconds in (300, 100, 200):
        caller.schedule(schedule={"time": later(braze, seconds)}, external_user_ids=[str(seconds)])
    braze.clock.advance(1000)
    assert [message["recipient"][-3:] for message in braze.messages()] == ["100", "200", "300"]


def test_an_offset_is_honoured(braze, caller):
    from datetime import datetime, timedelta, timezone

    moment = datetime.fromtimestamp(braze.clock.now() + 600, timezone(timedelta(hours=-5)))
    caller.schedule(schedule={"time": moment.isoformat()})
    braze.clock.advance(300)
    assert braze.deliveries() == {}
    braze.clock.advance(310)
    assert braze.summary()["total"] == 1


PAST = ({"time": "2020-01-01T00:00:00Z"}, "has passed")
BAD_TIMES = {
    "past": PAST,
    "past local": ({"time": "2020-01-01T00:00:00", "in_local_time": True}, "has passed"),
    "past optimal": ({"time": "2020-01-01T00:00:00", "at_optimal_time": True}, "has passed"),
    "Z with local": ({"time": "2090-01-01T00:00:00Z", "in_local_time": True}, "must not name a zone"),
    "offset with optimal": ({"time": "2090-01-01T00:00:00+02:00", "at_optimal_time": True}, "must not name a zone"),
    "both": ({"time": "2090-01-01T00:00:00", "in_local_time": True, "at_optimal_time": True}, "only one of"),
    "empty": ({"time": ""}, "schedule.time is required"),
    "a date": ({"time": "2090-01-01"}, "must be an ISO 8601 date and time"),
    "none": ({"in_local_time": True}, "schedule.time is required"),
    "beyond": ({"time": "9999-12-31T23:59:59-12:00"}, "outside"),
    "flag a string": ({"time": "2090-01-01T00:00:00", "in_local_time": "true"}, "must be true or false"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BAD_TIMES)
def test_times_that_are_refused(braze, caller, kind, case):
    schedule, detail = BAD_TIMES[case]
    body = {**caller.valid(of_kind(kind, "create")), "schedule": schedule}
    created = caller.call(of_kind(kind, "create"), body)
    assert (created.status_code, created.json()["message"]) == (400, "Bad Request")
    assert detail in created.json()["errors"][0]
    assert braze.schedules() == []
    schedule_id = caller.schedule(kind)
    before = braze.schedules()
    assert detail in change(caller, kind, schedule_id, schedule=schedule).json()["errors"][0]
    assert braze.schedules() == before


def test_local_times(braze, caller):
    users = [
        {"external_id": "tokyo", "time_zone": "Asia/Tokyo"},
        {"external_id": "lima", "time_zone": "America/Lima"},
        {"external_id": "nowhere", "time_zone": "Middle/Earth"},
        {"external_id": "silent"},
    ]
    braze.reset({"users": users, "time_zone": "Europe/Warsaw"})
    braze.clock.advance(86400 - braze.clock.now() % 86400 + 1)
    day = braze.clock.datetime().date()
    people = ["tokyo", "lima", "nowhere", "silent"]
    from datetime import timedelta

    time = f"{day + timedelta(days=1)}T12:00:00"
    caller.schedule(external_user_ids=people, schedule={"time": time, "in_local_time": True})
    reached = []
    for _ in range(48):
        braze.clock.advance(3600)
        reached.append({key.partition(":")[2] for key in braze.deliveries()})
    hours = {name: next(n for n, seen in enumerate(reached, 1) if name in seen) for name in people}
    assert hours["tokyo"] == 24 + 12 - 9
    assert hours["lima"] == 24 + 12 + 5
    assert hours["nowhere"] == hours["silent"] in (24 + 12 - 1, 24 + 12 - 2)
    assert set(braze.deliveries().values()) == {1}
    assert braze.schedules()[0]["state"] == "fired"


def test_a_local_broadcast_ends_with_the_last_zone(braze, caller):
    braze.reset({"users": [{"external_id": "t", "time_zone": "Asia/Tokyo"}, {"external_id": "u"}]})
    schedule = {"time": later(braze, 11 * 3600, zone=False), "in_local_time": True}
    body = {"broadcast": True, "segment_id": EVERYONE, "schedule": schedule, "messages": PUSH}
    schedule_id = caller.call("messages_schedule_create", body).json()["schedule_id"]
    braze.clock.advance(4 * 3600)
    assert braze.deliveries() == {"external_user_id:t": 1}
    assert braze.schedules()[0]["state"] == "sending"
    change(caller, "messages", schedule_id, schedule={"time": later(braze, 30 * 3600)})
    assert braze.schedules()[0]["ignored_updates"] == 1, "the time has passed somewhere"
    braze.clock.advance(8 * 3600)
    assert braze.deliveries() == {"external_user_id:t": 1, "external_user_id:u": 1}
    braze.clock.advance(12 * 3600)
    assert (braze.schedules()[0]["state"], braze.summary()["total"]) == ("fired", 2)


def test_a_local_time_that_had_passed_for_somebody_passes_them_by(braze, caller):
    braze.reset({"users": [{"external_id": "t", "time_zone": "Asia/Tokyo"}, {"external_id": "u"}]})
    schedule = {"time": later(braze, 3600, zone=False), "in_local_time": True}
    caller.schedule(external_user_ids=["t", "u"], schedule=schedule)
    braze.clock.advance(86400)
    assert braze.deliveries() == {"external_user_id:u": 1}


def test_the_optimal_time_is_noon(braze, caller):
    braze.clock.advance(86400 - braze.clock.now() % 86400 + 1)
    day = braze.clock.datetime().date()
    caller.schedule(schedule={"time": f"{day}T23:00:00", "at_optimal_time": True})
    assert braze.schedules()[0]["due_at"] == f"{day}T12:00:00.000+00:00"
    braze.clock.advance(13 * 3600)
    assert braze.summary()["total"] == 1
    caller.schedule(schedule={"time": f"{day}T23:00:00", "at_optimal_time": True})
    assert braze.schedules()[1]["due_at"] == f"{day}T23:00:00.000+00:00"
    caller.schedule(schedule={"time": f"{day}T00:00:00", "at_optimal_time": True})
    assert braze.schedules()[2]["due_at"] == f"{day}T23:59:59.000+00:00"


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_replaces_the_whole_schedule(braze, caller, kind):
    local = {"time": later(braze, 40 * 3600, zone=False), "in_local_time": True}
    schedule_id = caller.schedule(kind, schedule=local)
    assert change(caller, kind, schedule_id, schedule={"time": later(braze, 60)}).json() == {"message": "success"}
    [schedule] = braze.schedules()
    assert (schedule["in_local_time"], schedule["updates"]) == (False, 1)
    braze.clock.advance(61)
    assert braze.deliveries() == {"external_user_id:u-1": 1}


def test_an_update_of_the_messages(braze, caller):
    schedule_id = caller.schedule(schedule={"time": later(braze, 60)})
    text = {"sms": {"subscription_group_id": "s", "body": "New words", "app_id": "a"}}
    assert change(caller, "messages", schedule_id, messages=text).status_code == 201
    braze.clock.advance(61)
    [message] = braze.messages()
    assert (message["body"], message["channel"]) == ("New words", "sms")


def test_an_update_of_a_campaigns_messages_needs_its_variations(caller):
    push = {
        "android_push": {"alert": "a", "title": "t", "message_variation_id": "c0ffee00-0000-4000-8000-000000000001"}
    }
    email = {
        "app_id": "a",
        "from": "A <a@b.c>",
        "body": "b",
        "message_variation_id": push["android_push"]["message_variation_id"],
    }
    schedule_id = caller.schedule(campaign_id=WEEKLY, messages={"email": email})
    wrong = change(caller, "messages", schedule_id, messages=PUSH)
    assert wrong.json()["message"] == "Message Variant Unspecified"
    assert change(caller, "messages", schedule_id, messages=push).json()["message"] == "Mismatched Message Type"


@pytest.mark.parametrize("kind", KINDS)
def test_what_becomes_of_an_id(braze, caller, kind):
    waiting = {"time": later(braze, 60)}
    unknown = change(caller, kind, "nope", "delete").json()["errors"][0]
    deleted_id = caller.schedule(kind, schedule=waiting)
    assert change(caller, kind, deleted_id, "delete").json() == {"message": "success"}
    deleted = change(caller, kind, deleted_id, "delete").json()["errors"][0]
    fired_id = caller.schedule(kind, schedule=waiting)
    braze.clock.advance(61)
    answers = [
        change(caller, kind, fired_id, "delete"),
        change(caller, kind, fired_id, schedule={"time": later(braze, 60)}),
    ]
    assert [answer.status_code for answer in answers] == [400, 400]
    fired = answers[0].json()["errors"][0]
    assert "no schedule" in unknown
    assert "was deleted" in deleted
    assert "was sent" in fired
    assert braze.deliveries() == {"external_user_id:u-1": 1}


def test_an_id_of_another_kind_or_owner(braze, caller):
    messages, campaign = caller.schedule(), caller.schedule("campaigns")
    assert "no schedule of this endpoint" in change(caller, "canvas", messages, "delete").text
    braze.add_campaign("other")
    wrong = caller.call(of_kind("campaigns", "delete"), {"campaign_id": "other", "schedule_id": campaign})
    assert "another campaign_id" in wrong.text
    assert {one["state"] for one in braze.schedules()} == {"waiting"}


@pytest.mark.parametrize("kind", ["campaigns", "canvas"])
def test_a_paused_one_may_be_scheduled_and_reaches_nobody_unless_active_when_due(braze, caller, kind):
    add = braze.add_campaign if kind == "campaigns" else braze.add_canvas
    owner = "campaign_id" if kind == "campaigns" else "canvas_id"
    add("p", state="paused")
    body = {owner: "p", "recipients": [{"external_user_id": "1"}], "schedule": {"time": later(braze, 60)}}
    answer = caller.call(of_kind(kind, "create"), body).json()
    assert "paused" in answer["notice"]
    assert answer["schedule_id"]
    caller.call(of_kind(kind, "create"), {**body, "schedule": {"time": later(braze, 600)}})
    braze.clock.advance(61)
    assert braze.deliveries() == {}
    add("p", state="active")
    braze.clock.advance(600)
    assert braze.deliveries() == {"external_user_id:1": 1}
    assert "notice" in caller.to("1", campaign_id=PAUSED).json()


def test_people_and_audiences_count_as_they_are_when_due(strict, caller):
    body = {"campaign_id": GOLD_ONLY, "broadcast": True, "schedule": {"time": later(strict, 60)}}
    caller.call("campaigns_trigger_schedule_create", body)
    strict.add_users([{"external_id": "u-1", "tier": "silver"}, {"external_id": "u-2", "tier": "gold"}])
    strict.clock.advance(61)
    assert set(strict.deliveries()) == {"external_user_id:u-2", "external_user_id:u-3", "user_alias:crm_id:crm-1001"}


def test_attributes_are_written_once_and_when_sent(strict, caller):
    person = {"external_user_id": "new", "send_to_existing_only": False}
    person["attributes"] = {"visits": {"inc": 1}, "time_zone": "America/Lima"}
    schedule = {"time": later(strict, 3600, zone=False), "in_local_time": True}
    caller.schedule("campaigns", recipients=[person], schedule=schedule)
    for _ in range(4):
        strict.clock.advance(1800)
        assert strict.deliveries() == {}
    strict.clock.advance(5 * 3600)
    assert strict.deliveries() == {"external_user_id:new": 1}
    users = caller.call("users_export_ids", {"external_ids": ["new"]}).json()["users"]
    assert users[0]["custom_attributes"] == {"visits": 1}


def test_errors_of_a_fault_stay_unsent(braze, caller):
    braze.inject("errors_in_201", indexes=[1])
    people = [{"external_user_id": "1"}, {"external_user_id": "2"}]
    caller.schedule("canvas", recipients=people, schedule={"time": later(braze, 60)})
    braze.clock.advance(61)
    assert braze.deliveries() == {"external_user_id:1": 1}


def test_a_lost_answer_leaves_a_schedule(braze, caller):
    import httpx

    braze.inject("drop_after_acceptance")
    with pytest.raises(httpx.HTTPError):
        caller.schedule(schedule={"time": later(braze, 60)})
    braze.clock.advance(61)
    assert braze.summary()["total"] == 1


def test_the_dashboards_own_broadcasts(braze, caller):
    caller.schedule()
    listed = caller.call("messages_scheduled_broadcasts", {"end_time": "2031-04-30T00:00:00Z"}).json()
    [row] = listed["scheduled_broadcasts"]
    assert (row["type"], row["next_send_time"], row["schedule_type"]) == (
        "Canvas",
        "2031-04-06 09:00:00",
        "local_time_zones",
    )
    braze.add_campaign("c", next_send_time="2031-04-05T10:00:00", tags=["t"])
    rows = caller.call("messages_scheduled_broadcasts", {"end_time": "2031-04-06T23:00:00Z"}).json()[
        "scheduled_broadcasts"
    ]
    assert rows == [
        {
            "name": "c",
            "id": "c",
            "type": "Campaign",
            "tags": ["t"],
            "next_send_time": "2031-04-05 10:00:00 UTC",
            "schedule_type": "UTC",
        }
    ], "end_time is midnight UTC of its day"


def test_people_whose_hour_passed_while_it_was_paused_are_passed_by(braze, caller):
    zones = {"t": "Asia/Tokyo", "u": "UTC", "l": "America/Lima"}
    braze.reset({"users": [{"external_id": name, "time_zone": zone} for name, zone in zones.items()]})
    braze.add_campaign("c")
    schedule = {"time": later(braze, 12 * 3600, zone=False), "in_local_time": True}
    people = [{"external_user_id": name} for name in zones]
    caller.schedule("campaigns", campaign_id="c", recipients=people, schedule=schedule)
    braze.clock.advance(4 * 3600)
    assert braze.deliveries() == {"external_user_id:t": 1}
    braze.add_users([{"external_id": "t", "time_zone": "America/Lima"}])
    braze.add_campaign("c", state="paused")
    braze.clock.advance(9 * 3600)
    assert braze.summary()["total"] == 1
    braze.add_campaign("c", state="active")
    braze.clock.advance(12 * 3600)
    assert braze.deliveries() == {"external_user_id:t": 1, "external_user_id:l": 1}
    assert braze.schedules()[0]["state"] == "fired"


def test_a_local_time_on_its_way_does_not_stir_the_page(braze, caller):
    braze.reset({"users": [{"external_id": "t", "time_zone": "Asia/Tokyo"}, {"external_id": "u"}]})
    schedule = {"time": later(braze, 12 * 3600, zone=False), "in_local_time": True}
    caller.schedule(external_user_ids=["t", "u"], schedule=schedule)
    braze.clock.advance(4 * 3600)
    versions = {caller.http.get("/__emulator__/version").json()["version"] for _ in range(3)}
    assert len(versions) == 1


def test_the_page_names_the_person_with_the_id_0(braze, caller):
    caller.schedule("campaigns", recipients=[{"external_user_id": 0}], schedule={"time": later(braze, 60)})
    page = caller.http.get("/?view=schedules").text
    assert "None" not in page.partition("<main")[2].partition("</main")[0]
