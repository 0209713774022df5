"""What the exports say: lists, details, analytics, people."""

from datetime import timedelta

import pytest
from emulator_support import ARCHIVED_CANVAS, CANVAS, GOLD, PAUSED, PAUSED_CANVAS, PUSH, VARIATION, WEEKLY, later


def enter(caller, *people, **fields):
    recipients = [{"external_user_id": one} for one in people]
    return caller.call("canvas_trigger_send", {"canvas_id": CANVAS, "recipients": recipients, **fields})


def series(caller, endpoint_id, **query):
    return caller.call(endpoint_id, {"length": 3, **query}).json()["data"]


def test_a_canvas_has_context(strict, caller):
    people = [
        {"external_user_id": "u-1", "context": {"cup": "two"}},
        {"external_user_id": "u-2", "canvas_entry_properties": {"cup": "three"}},
        {"external_user_id": "u-3", "canvas_entry_properties": {"cup": "old"}, "context": {"cup": "new"}},
    ]
    caller.call("canvas_trigger_send", {"canvas_id": CANVAS, "recipients": people})
    enter(caller, "u-1", canvas_entry_properties={"cup": "nine"})
    cups = [message["body"].split()[1] for message in strict.messages()]
    assert cups == ["two", "three", "new", "nine"]
    assert strict.messages()[0]["canvas_id"] == CANVAS
    too_large = enter(caller, "u-1", canvas_entry_properties={"a": "x" * 50_000})
    assert "canvas_entry_properties is" in too_large.json()["errors"][0]


@pytest.mark.parametrize(("canvas", "state"), [(PAUSED_CANVAS, "paused"), (ARCHIVED_CANVAS, "archived")])
def test_a_canvas_at_rest(braze, caller, canvas, state):
    answer = enter(caller, "1", canvas_id=canvas)
    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert state in answer.json()["notice"]
    assert len(answer.json()["dispatch_id"]) == 32
    assert braze.deliveries() == {}


def test_listings(caller):
    names = [row["name"] for row in caller.call("canvas_list").json()["canvases"]]
    assert names == ["Iced season", "Birthday week", "Sunday roast letter", "First ten cups"]
    everything = caller.call("canvas_list", {"include_archived": "true"}).json()["canvases"]
    assert len(everything) == len(names) + 1
    segments = caller.call("segments_list", {"sort_direction": "desc"}).json()["segments"]
    assert [row["name"] for row in segments] == ["Gold members", "Everyone"]
    assert caller.call("segments_list", {"page": 1}).json()["segments"] == []


@pytest.mark.parametrize(
    ("endpoint_id", "query", "expected"),
    [
        ("campaigns_details", {"campaign_id": PAUSED}, (False, False)),
        ("campaigns_details", {"campaign_id": WEEKLY}, (True, False)),
        ("canvas_details", {"canvas_id": PAUSED_CANVAS}, (False, False)),
        ("canvas_details", {"canvas_id": ARCHIVED_CANVAS}, (False, True)),
    ],
)
def test_details_say_whether_it_may_be_sent(caller, endpoint_id, query, expected):
    details = caller.call(endpoint_id, query).json()
    assert (details["enabled"], details["archived"]) == expected


def test_details_say_when_it_last_went_out(braze, caller):
    def campaign():
        return caller.call("campaigns_details", {"campaign_id": WEEKLY}).json()

    def canvas():
        return caller.call("canvas_details", {"canvas_id": CANVAS}).json()

    assert (campaign()["last_sent"], canvas()["last_entry"]) == (None, None)
    assert campaign()["messages"] == {VARIATION: {"channel": "email", "name": "Variant 1"}}
    caller.to("1")
    enter(caller, "1")
    first = campaign()["first_sent"]
    assert first == campaign()["last_sent"] == canvas()["last_entry"]
    assert first.endswith(":00:00.000+00:00"), "to the hour"
    braze.clock.advance(7200)
    caller.to("1")
    assert campaign()["first_sent"] == first < campaign()["last_sent"]


def test_a_campaigns_series_grows(braze, caller):
    caller.to("1", "2")
    caller.to("2")
    braze.clock.advance(86400)
    caller.to("1")
    days = series(caller, "campaigns_data_series", campaign_id=WEEKLY)
    today = braze.clock.datetime().date()
    assert [day["time"] for day in days] == [str(today - timedelta(days=back)) for back in (2, 1, 0)]
    assert [day["unique_recipients"] for day in days] == [0, 2, 1]
    [email] = days[1]["messages"]["email"]
    assert (email["variation_api_id"], email["sent"], email["delivered"], email["bounces"]) == (VARIATION, 3, 3, 0)
    until = series(
        caller, "campaigns_data_series", campaign_id=WEEKLY, ending_at=f"{today - timedelta(days=1)}T23:00:00Z"
    )
    assert [day["unique_recipients"] for day in until] == [0, 0, 2]


@pytest.mark.parametrize("length", [0, 101, "x"])
def test_lengths_that_are_refused(caller, length):
    for endpoint_id in ("campaigns_data_series", "segments_data_series", "sends_data_series"):
        query = {"campaign_id": WEEKLY, "segment_id": GOLD, "send_id": "s", "length": length}
        assert caller.call(endpoint_id, query).status_code == 400


def test_days_are_those_of_the_company(braze, caller):
    braze.reset({"time_zone": "Asia/Tokyo"})
    braze.clock.advance(86400 - braze.clock.now() % 86400 + 16 * 3600)
    caller.to("1")
    tomorrow = braze.clock.datetime().date() + timedelta(days=1)
    [day] = series(caller, "campaigns_data_series", campaign_id=WEEKLY, length=1)
    assert (day["time"], day["unique_recipients"]) == (str(tomorrow), 1)


def test_a_send_id_counts_its_own_sends(braze, caller):
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": "mine"})
    caller.to("1", "2", send_id="mine")
    caller.to("3")
    caller.to("4", send_id="stray")
    mine = series(caller, "sends_data_series", campaign_id=WEEKLY, send_id="mine")
    assert [day["unique_recipients"] for day in mine] == [0, 0, 2]
    [email] = mine[2]["messages"]["email"]
    assert (email["variation_name"], email["sent"], email["delivered"]) == ("Variant 1", 2, 2)
    stray = series(caller, "sends_data_series", campaign_id=WEEKLY, send_id="stray")
    assert sum(day["unique_recipients"] for day in stray) == 0, "nobody made it"
    assert braze.send_ids()[0]["sent"] == 2


def test_a_scheduled_send_counts_on_its_day(braze, caller):
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": "mine"})
    caller.schedule("campaigns", send_id="mine", schedule={"time": later(braze, 86400)})
    braze.clock.advance(3 * 86400)
    days = series(caller, "sends_data_series", campaign_id=WEEKLY, send_id="mine", length=4)
    assert [day["unique_recipients"] for day in days] == [0, 1, 0, 0]


def test_entries_of_a_canvas(braze, caller):
    enter(caller, "1", "2")
    braze.clock.advance(86400)
    enter(caller, "1")
    now = braze.clock.datetime().isoformat()
    query = {"canvas_id": CANVAS, "ending_at": now, "length": "2"}
    data = caller.call("canvas_data_series", query).json()["data"]
    assert data["name"] == "First ten cups"
    assert [day["total_stats"]["entries"] for day in data["stats"]] == [2, 1]
    assert set(data["stats"][0]) == {"time", "total_stats"}
    more = {"include_variant_breakdown": "true", "include_step_breakdown": "true"}
    summary = caller.call("canvas_data_summary", {**query, **more}).json()["data"]
    assert summary["total_stats"]["entries"] == 3
    [step] = summary["step_stats"].values()
    assert step["messages"]["email"][0]["sent"] == 3
    [variant] = summary["variant_stats"].values()
    assert variant["entries"] == 3
    start = (braze.clock.datetime() - timedelta(days=1)).isoformat()
    since = {"canvas_id": CANVAS, "ending_at": now, "starting_at": start}
    assert len(caller.call("canvas_data_series", since).json()["data"]["stats"]) == 2


@pytest.mark.parametrize("days", [-1, 15, 400])
def test_ranges_that_are_refused(braze, caller, days):
    now = braze.clock.datetime()
    query = {"canvas_id": CANVAS, "ending_at": now.isoformat(), "starting_at": (now - timedelta(days=days)).isoformat()}
    assert "at most 14 days" in caller.call("canvas_data_summary", query).json()["errors"][0]
    assert caller.call("canvas_data_series", {**query, "starting_at": None, "length": "15"}).status_code == 400


def test_segments(strict, caller):
    details = caller.call("segments_details", {"segment_id": GOLD}).json()
    assert (details["name"], details["description"]) == ("Gold members", "tier equals gold")
    assert [day["size"] for day in series(caller, "segments_data_series", segment_id=GOLD)] == [3, 3, 3]
    strict.add_segment("all", name="All of them")
    assert series(caller, "segments_data_series", segment_id="all", length=1)[0]["size"] == 5


def export(caller, *ids, **fields):
    return caller.call("users_export_ids", {"external_ids": list(ids), **fields}).json()


def test_people_and_what_they_received(strict, caller):
    caller.to("u-1")
    enter(caller, "u-1")
    answer = export(caller, "u-1", "u-2", "u-404")
    assert answer["invalid_user_ids"] == ["u-404"]
    kim, aoife = answer["users"]
    assert (kim["email"], kim["first_name"], kim["custom_attributes"]["tier"]) == ("kim@example.com", "Kim", "gold")
    [campaign] = kim["campaigns_received"]
    assert (campaign["api_campaign_id"], campaign["last_received"][-1]) == (WEEKLY, "Z")
    assert kim["canvases_received"][0]["api_canvas_id"] == CANVAS
    assert "campaigns_received" not in aoife
    strict.clock.advance(3600)
    caller.to("u-1")
    assert export(caller, "u-1")["users"][0]["campaigns_received"][0]["last_received"] > campaign["last_received"]


def test_fields_to_export(caller):
    caller.to("u-1")
    fields = ["external_id", "campaigns_received"]
    assert set(export(caller, "u-1", fields_to_export=fields)["users"][0]) == set(fields)


def test_where_everyone_is_known_those_who_were_messaged_are(caller):
    assert export(caller, "x")["invalid_user_ids"] == ["x"]
    caller.to("x")
    answer = export(caller, "x", "y")
    assert answer["invalid_user_ids"] == ["y"]
    assert answer["users"][0]["campaigns_received"][0]["api_campaign_id"] == WEEKLY
    assert "invalid_user_ids" not in export(caller, "x")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"user_aliases": [{"alias_label": "crm_id", "alias_name": "crm-1001"}]}, 1),
        ({"user_aliases": [{"alias_label": "crm_id", "alias_name": "nope"}]}, 0),
        ({"email_address": "KIM@example.com"}, 1),
        ({"braze_id": "b-1"}, 1),
        ({"phone": "+15550100"}, 1),
        ({"external_ids": ["u-1"], "email_address": "kim@example.com"}, 1),
    ],
)
def test_other_ways_to_name_people(strict, caller, body, found):
    strict.add_users([{"external_id": "u-9", "braze_id": "b-1", "phone": "+15550100"}])
    assert len(caller.call("users_export_ids", body).json()["users"]) == found


def test_an_export_of_nobody_is_refused(caller):
    for nobody in ({}, {"device_id": ""}, {"phone": ""}, {"external_ids": []}):
        assert caller.call("users_export_ids", {"fields_to_export": ["email"], **nobody}).status_code == 400
    assert caller.call("users_export_ids", {"external_ids": [str(n) for n in range(51)]}).status_code == 400


def test_a_message_without_a_campaign_is_in_nobodys_export(caller):
    caller.call("messages_send", {"external_user_ids": ["u-1"], "messages": PUSH})
    assert "campaigns_received" not in export(caller, "u-1")["users"][0]
