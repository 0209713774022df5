"""Figures that no delivery gives: opens, clicks, bounces, conversions; and how long those of a send are kept."""

from datetime import date, timedelta

import pytest
from emulator_support import CANVAS, EVERYONE, PUSH, VARIATION, WEEKLY

from airflow_provider_braze.emulator import BrazeEmulator

FIGURES = "/__emulator__/figures"
TWO_CHANNELS = {"channels": ["email", "push"]}


def series(caller, endpoint_id="campaigns_data_series", length=1, **query):
    return caller.call(endpoint_id, {"campaign_id": WEEKLY, "length": length, **query}).json()["data"]


def canvas_summary(braze, caller, **query):
    asked = {"canvas_id": CANVAS, "ending_at": braze.clock.datetime().isoformat(), "length": "2", **query}
    return caller.call("canvas_data_summary", asked).json()["data"]


def numbers(row, *names):
    return [row[name] for name in names]


def test_figures_come_on_top_of_deliveries(braze, caller):
    caller.to("1", "2", "3")
    braze.add_figures(campaign_id=WEEKLY, delivered=-2, bounces=2, opens=1, conversions=1, revenue=9.5)
    braze.add_figures(campaign_id=WEEKLY, opens=1)
    caller.to("4")
    [day] = series(caller)
    [email] = day["messages"]["email"]
    assert numbers(email, "sent", "delivered", "bounces", "opens", "clicks") == [4, 2, 2, 2, 0]
    assert numbers(day, "unique_recipients", "conversions", "revenue") == [4, 1, 9.5]
    assert "revenue" not in email


def test_figures_over_http(braze, caller):
    given = {"campaign_id": WEEKLY, "clicks": 3, "unique_recipients": 2, "day": "2031-04-07"}
    answer = caller.http.post(FIGURES, json=given)
    assert answer.status_code == 201
    added = {"clicks": 3, "unique_recipients": 2}
    assert answer.json() == {
        "id": WEEKLY,
        "kind": "campaign",
        "send_id": None,
        "channel": "email",
        "variation": VARIATION,
        "day": "2031-04-07",
        "added": added,
    }
    [day] = series(caller, ending_at="2031-04-07T12:00:00Z")
    assert (day["unique_recipients"], day["messages"]["email"][0]["clicks"]) == (2, 3)
    assert braze.deliveries() == {}, "nobody was messaged"


def test_figures_move_the_inbox(braze, caller):
    before = caller.http.get("/__emulator__/version").json()
    braze.add_figures(campaign_id=WEEKLY, opens=1)
    assert caller.http.get("/__emulator__/version").json() != before


@pytest.mark.parametrize(("day", "back"), [(None, 0), (0, 0), (-2, 2), ("text", 1), ("date", 1)])
def test_figures_of_a_day_of_the_company(braze, caller, day, back):
    braze.reset({"time_zone": "Asia/Tokyo"})
    braze.clock.advance(86400 - braze.clock.now() % 86400 + 16 * 3600)
    today = braze.clock.datetime().date() + timedelta(days=1)
    yesterday = today - timedelta(days=1)
    braze.add_figures(campaign_id=WEEKLY, sent=7, day={"text": str(yesterday), "date": yesterday}.get(day, day))
    sent = {row["time"]: row["messages"]["email"][0]["sent"] for row in series(caller, length=3)}
    assert sent == {str(today - timedelta(days=n)): 7 if n == back else 0 for n in range(3)}


def test_nothing_counts_below_zero(braze, caller):
    caller.to("1")
    braze.add_figures(campaign_id=WEEKLY, delivered=-5, conversions=-1, revenue=-1)
    [day] = series(caller)
    assert numbers(day, "conversions", "revenue") == [0, 0]
    assert numbers(day["messages"]["email"][0], "sent", "delivered") == [1, 0]


def test_several_channels(braze, caller):
    braze.add_campaign("two", **TWO_CHANNELS)
    braze.add_figures(campaign_id="two", unsubscribes=1)
    braze.add_figures(campaign_id="two", channel="push", sent=2)
    braze.add_figures(campaign_id="two", channel="ios_push", bounces=1)
    braze.add_figures(campaign_id="two", conversions=5)
    [day] = series(caller, campaign_id="two")
    [email], [push] = day["messages"]["email"], day["messages"]["ios_push"]
    assert numbers(email, "sent", "unsubscribes", "bounces") == [0, 1, 0]
    assert numbers(push, "sent", "bounces", "direct_opens") == [2, 1, 0]
    assert day["conversions"] == 5
    with pytest.raises(ValueError, match=r"say which channel.*email.*ios_push"):
        braze.add_figures(campaign_id="two", sent=1)


def test_several_variations(braze, caller):
    braze.add_campaign("ab", variations={"a": "email", "b": "email"})
    with pytest.raises(ValueError, match="say which channel, or which variation"):
        braze.add_figures(campaign_id="ab", opens=1)
    braze.add_figures(campaign_id="ab", variation="b", opens=1)
    rows = series(caller, campaign_id="ab")[0]["messages"]["email"]
    assert [(row["variation_api_id"], row["opens"]) for row in rows] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"campaign_id": WEEKLY, "openings": 1},
            r"no channel counts openings: email counts sent, .*opens.*; a day counts",
        ),
        ({"campaign_id": WEEKLY, "sent_to_carrier": 1}, "no channel counts sent_to_carrier"),
        ({"campaign_id": WEEKLY, "entries": 1}, "no channel counts entries"),
        ({"canvas_id": CANVAS, "unique_recipients": 1}, "a day counts revenue, conversions"),
        ({"campaign_id": WEEKLY}, "say what to add"),
        ({"campaign_id": WEEKLY, "opens": 1.5}, "opens must be a whole number"),
        ({"campaign_id": WEEKLY, "opens": "1"}, "opens must be a whole number"),
        ({"campaign_id": WEEKLY, "opens": True}, "opens must be a whole number"),
        ({"campaign_id": WEEKLY, "revenue": "much"}, "revenue must be a number"),
        ({"campaign_id": WEEKLY, "opens": 1, "channel": "sms"}, "no such channel or variation; it has email"),
        ({"campaign_id": WEEKLY, "opens": 1, "variation": "x"}, "no such channel or variation"),
        ({"campaign_id": WEEKLY, "opens": 1, "day": "monday"}, "monday"),
        ({"campaign_id": WEEKLY, "opens": 1, "day": 10**9}, "calendar"),
        ({"campaign_id": WEEKLY, "sent": 1, "send_id": "stray"}, "nobody made the send_id"),
        ({"canvas_id": CANVAS, "sent": 1, "send_id": "mine"}, "nobody made the send_id"),
        ({"campaign_id": WEEKLY, "opens": 1, "send_id": "mine"}, "email counts sent, delivered, undelivered"),
        ({"campaign_id": "nope", "opens": 1}, "no campaign has the id 'nope'"),
        ({"canvas_id": "nope", "entries": 1}, "no Canvas has the id 'nope'"),
        ({"opens": 1}, "name a campaign_id or a canvas_id"),
        ({"campaign_id": WEEKLY, "canvas_id": CANVAS, "opens": 1}, "one of the two"),
    ],
)
def test_figures_that_make_no_sense(braze, caller, given, message):
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": "mine"})
    before = series(caller)
    with pytest.raises(ValueError, match=message):
        braze.add_figures(**given)
    answer = caller.http.post(FIGURES, json=given)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert series(caller) == before


def test_figures_of_a_canvas(braze, caller):
    braze.add_figures(canvas_id=CANVAS, entries=4, conversions=1, conversions_by_entry_time=1, revenue=2.5, day=-1)
    braze.add_figures(canvas_id=CANVAS, entries=1, opens=3)
    data = canvas_summary(braze, caller, include_step_breakdown="true", include_variant_breakdown="true")
    totals = {"revenue": 2.5, "conversions": 1, "conversions_by_entry_time": 1, "entries": 5}
    assert data["total_stats"] == totals
    assert [{**totals, "name": "Variant 1"}] == list(data["variant_stats"].values())
    [step] = data["step_stats"].values()
    assert numbers(step["messages"]["email"][0], "opens", "sent") == [3, 0]
    days = {"canvas_id": CANVAS, "ending_at": braze.clock.datetime().isoformat(), "length": "2"}
    stats = caller.call("canvas_data_series", days).json()["data"]["stats"]
    assert [day["total_stats"]["entries"] for day in stats] == [4, 1]


def test_figures_of_a_send_are_its_campaigns_too(braze, caller):
    for name in ("mine", "other"):
        caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": name})
    caller.to("1", "2", send_id="mine")
    braze.add_figures(campaign_id=WEEKLY, send_id="mine", delivered=-1, bounces=1, direct_opens=1, conversions=1)
    [day] = series(caller, "sends_data_series", send_id="mine")
    [email] = day["messages"]["email"]
    assert numbers(email, "sent", "delivered", "bounces", "direct_opens", "conversions") == [2, 1, 1, 1, 1]
    assert (day["conversions"], day["revenue"]) == (1, 0)
    [whole] = series(caller)
    assert numbers(whole["messages"]["email"][0], "sent", "delivered", "bounces") == [2, 1, 1]
    assert "direct_opens" not in whole["messages"]["email"][0]
    assert whole["conversions"] == 1
    [day] = series(caller, "sends_data_series", send_id="other")
    assert numbers(day["messages"]["email"][0], "sent", "delivered", "bounces") == [0, 0, 0]


def test_a_send_is_kept_for_14_days(braze, caller):
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": "mine"})
    caller.to("1", send_id="mine")

    def kept():
        return series(caller, "sends_data_series", send_id="mine", length=30)

    assert len(kept()) == 30
    braze.clock.advance(13 * 86400)
    caller.to("2", send_id="mine")
    braze.clock.advance(2 * 86400)
    assert sum(day["unique_recipients"] for day in kept()) == 2, "kept since it was used again"
    braze.clock.advance(12 * 86400)
    braze.add_figures(campaign_id=WEEKLY, send_id="mine", direct_opens=1)
    assert kept() == []
    assert sum(day["unique_recipients"] for day in series(caller, length=30)) == 2, "the campaign keeps its own"


def test_a_send_that_never_was(braze, caller):
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": "mine"})
    caller.to("1", send_id="stray")
    assert series(caller, "sends_data_series", send_id="stray") == []
    braze.add_campaign("other")
    assert series(caller, "sends_data_series", campaign_id="other", send_id="mine") == []
    [unsent] = series(caller, "sends_data_series", send_id="mine")
    assert unsent["unique_recipients"] == 0


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_broadcast_gets_a_send_id_that_counts(braze, caller, scheduled):
    body = {"campaign_id": WEEKLY, "broadcast": True}
    if scheduled:
        at = {"time": (braze.clock.datetime() + timedelta(seconds=30)).isoformat()}
        caller.call("campaigns_trigger_schedule_create", {**body, "schedule": at})
        braze.clock.advance(60)
        send_id = braze.messages()[0]["send_id"]
    else:
        send_id = caller.send(**body).json()["send_id"]
    [day] = series(caller, "sends_data_series", send_id=send_id)
    assert day["unique_recipients"] == len(braze.deliveries()) > 0
    assert [row["send_id"] for row in braze.send_ids()] == [send_id]
    assert caller.call("sends_id_create", {"campaign_id": WEEKLY}).headers["x-ratelimit-remaining"] == "99"


def test_a_refused_broadcast_makes_no_send_id(braze, caller):
    messages = {"android_push": {**PUSH["android_push"], "message_variation_id": "p"}}
    braze.add_campaign("pushed", channel="push", variations={"p": "push"})
    body = {"campaign_id": "pushed", "messages": messages, "broadcast": True}
    assert caller.call("messages_send", {**body, "segment_id": "nope"}).status_code == 400
    assert braze.send_ids() == []
    assert caller.call("messages_send", {**body, "segment_id": EVERYONE}).status_code == 201
    assert len(braze.send_ids()) == 1


def test_figures_of_a_seed(caller):
    seed = {
        "figures": [
            {"campaign_id": WEEKLY, "day": -3, "sent": 4810, "bounces": 15},
            {"campaign_id": WEEKLY, "day": date(2031, 4, 7), "sent": 12},
            {"canvas_id": CANVAS, "entries": 96},
        ]
    }
    with BrazeEmulator(seed=seed) as emulator:
        caller.http.base_url = emulator.url
        for _ in range(2):
            first, *_ = series(caller, length=4)
            assert numbers(first["messages"]["email"][0], "sent", "bounces", "delivered") == [4810, 15, 0]
            assert canvas_summary(emulator, caller)["total_stats"]["entries"] == 96
            caller.to("1")
            emulator.add_figures(campaign_id=WEEKLY, sent=3, day=-3)
            emulator.reset()
        [day] = series(caller, ending_at="2031-04-07T12:00:00Z")
        assert day["messages"]["email"][0]["sent"] == 12
        assert emulator.deliveries() == {}


@pytest.mark.parametrize("row", [{"campaign_id": "nope", "sent": 1}, {"campaign_id": WEEKLY, "colour": 1}])
def test_figures_of_a_seed_that_make_no_sense(row):
    with pytest.raises(ValueError, match=r"nope|colour"):
        BrazeEmulator(seed={"figures": [row]})
