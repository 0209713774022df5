"""Figures: from when they count, of which channel, against which number, and what must not happen meanwhile."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
ARCHIVED = "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
ARCHIVED_CANVAS = "3c5f2d87-a232-4d88-8d88-50bd7292e443"
DAY = 86400
MODES = ["poke", "deferrable"]
# As soon as it can be known: when the DAG is parsed, or on the first poke.
REFUSED = (ValueError, BrazeWaitRefusedError)


def day(back=0):
    return (datetime.now(UTC) - timedelta(days=back)).date().isoformat()


@pytest.fixture
def campaign_wait(wait):
    """Wait for the weekly campaign, whole days from yesterday on unless something else is said: a day may end here."""

    def run(**parameters):
        start = {} if "baseline" in parameters or "since" in parameters else {"since": day(1)}
        return wait(
            BrazeCampaignMetricSensor,
            **{"campaign_id": WEEKLY, "timeout": 0.05, "poke_interval": 0.05, **start, **parameters},
        )

    return run


@pytest.fixture
def baseline(braze_emulator):
    def take(campaign_id=WEEKLY, canvas_id=None):
        if canvas_id is not None:
            taken = BrazeCanvasBaselineOperator(task_id="before", canvas_id=canvas_id).execute({})
        else:
            taken = BrazeCampaignBaselineOperator(task_id="before", campaign_id=campaign_id).execute({})
        assert json.loads(json.dumps(taken)) == taken
        return taken

    return take


# From when on figures count


@pytest.mark.parametrize("how", MODES)
def test_what_was_sent_before_the_baseline_does_not_count(how, campaign_wait, baseline, send, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=500, day=-1)
    send("a", "b", "c")
    before = baseline()
    with pytest.raises(AirflowSensorTimeout):
        campaign_wait(how=how, baseline=before, at_least=1)
    send("d", "e")
    result = campaign_wait(how=how, baseline=before, at_least=2)
    assert (result["value"], result["needed"]) == (2, 2)
    assert result["figures"]["sent"] == 2


def test_a_figure_of_yesterday_that_comes_late_counts(campaign_wait, baseline, send, braze_emulator):
    """Taken before midnight, sent before midnight: the day's figure goes on growing afterwards."""
    braze_emulator.add_figures(campaign_id=WEEKLY, opens=5, day=-1)
    before = baseline()
    braze_emulator.add_figures(campaign_id=WEEKLY, opens=2, day=-1)
    braze_emulator.add_figures(campaign_id=WEEKLY, opens=1)
    assert campaign_wait(baseline=before, metric="opens", at_least=3)["value"] == 3


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_over_midnight(how, zone, campaign_wait, *, baseline, send, braze_emulator):
    """The emulator's day changes between the baseline and the send, and again before the look."""
    braze_emulator.reset({"time_zone": zone})
    send("a", "b", "c")
    before = baseline()
    send("d")
    braze_emulator.clock.advance(DAY)
    send("e")
    assert campaign_wait(how=how, baseline=before, at_least=2)["value"] == 2


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_canvas_in_other_time_zones(zone, wait, baseline, send, braze_emulator):
    """Braze wants to be told until when, and the company's day may be another one than ours."""
    braze_emulator.reset({"time_zone": zone})
    send("a", "b", canvas_id=WEEKLY)
    before = baseline(canvas_id=WEEKLY)
    send("c", canvas_id=WEEKLY)
    result = wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, baseline=before, at_least=1, timeout=0.2)
    assert result["value"] == 1


@pytest.mark.usefixtures("early_in_the_hour")
def test_a_canvas_over_midnight(wait, baseline, send, braze_emulator):
    """The baseline was taken yesterday, by our clock and by Braze's."""
    braze_emulator.add_figures(canvas_id=WEEKLY, entries=7, day=-1)
    before = baseline(canvas_id=WEEKLY)
    text = (datetime.fromisoformat(before["taken_at"]) - timedelta(days=1)).isoformat()
    before = {**before, "taken_at": text, "days": {at: row for at, row in before["days"].items() if at < day()}}
    braze_emulator.add_figures(canvas_id=WEEKLY, entries=1, day=-1)
    send("a", "b", canvas_id=WEEKLY)
    result = wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, baseline=before, at_least=3, timeout=0.2)
    assert result["value"] == 3


@pytest.mark.parametrize("metric", ["entries", "sent", "delivered", "conversions", "opens"])
def test_a_canvas_counts_since_its_baseline(metric, wait, baseline, send, braze_emulator):
    given = {metric: 3}
    braze_emulator.add_figures(canvas_id=WEEKLY, **{metric: 50})
    send("a", canvas_id=WEEKLY)
    before = baseline(canvas_id=WEEKLY)
    braze_emulator.add_figures(canvas_id=WEEKLY, **given)
    result = wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, baseline=before, metric=metric, at_least=3, timeout=0.2)
    assert (result["metric"], result["value"], result["figures"][metric]) == (metric, 3, 3)


@pytest.mark.parametrize(
    "since",
    [str, date.fromisoformat, lambda day: datetime.fromisoformat(f"{day}T15:30:00+00:00"), "{}T00:00:00Z".format],
    ids=["text", "day", "time", "time-as-text"],
)
@pytest.mark.usefixtures("early_in_the_hour")
def test_since_counts_whole_days(since, campaign_wait, send, braze_emulator):
    since = since(day(2))
    for back, count in ((3, 100), (2, 10), (1, 5), (0, 2)):
        braze_emulator.add_figures(campaign_id=WEEKLY, sent=count, day=-back)
    assert campaign_wait(since=since, at_least=17)["value"] == 17
    with pytest.raises(AirflowSensorTimeout):
        campaign_wait(since=since, at_least=18)


@pytest.mark.parametrize("since", ["last monday", "", "2026-13-45", 7, True, {"day": 1}])
def test_since_that_is_no_day(since, campaign_wait):
    with pytest.raises(REFUSED, match="since"):
        campaign_wait(since=since, at_least=1)


def test_since_a_hundred_days_is_all_that_braze_gives(campaign_wait, wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=4, day=-90)
    assert campaign_wait(since=day(91), at_least=4)["value"] == 4
    with pytest.raises(REFUSED, match="days"):
        campaign_wait(since=day(150), at_least=4)
    with pytest.raises(REFUSED, match="14 days"):
        wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, since=day(20), at_least=4)


def test_since_the_future(campaign_wait, send, braze_emulator):
    """Days that come count when they come: nothing of today."""
    send("a")
    with pytest.raises((AirflowSensorTimeout, BrazeWaitRefusedError)):
        campaign_wait(since=day(-2), at_least=1)


def old(baseline, days):
    before = dict(baseline)
    taken = datetime.fromisoformat(before["taken_at"]) - timedelta(days=days)
    return {**before, "taken_at": taken.isoformat(), "days": {taken.date().isoformat(): {"entries": 1}}}


def test_a_canvas_baseline_older_than_braze_gives(wait, baseline):
    before = old(baseline(canvas_id=WEEKLY), 20)
    with pytest.raises(REFUSED, match="14 days"):
        wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, baseline=before, at_least=1)


def test_a_baseline_of_something_else(campaign_wait, wait, baseline):
    other, canvas = baseline(campaign_id=WIN_BACK), baseline(canvas_id=WEEKLY)
    for wrong in (other, canvas):
        with pytest.raises(REFUSED, match="baseline"):
            campaign_wait(baseline=wrong, at_least=1)
    with pytest.raises(REFUSED, match="baseline"):
        wait(BrazeCanvasMetricSensor, canvas_id=WEEKLY, baseline=baseline(), at_least=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, [], "text", 7, {"of": "campaign", "id": WEEKLY}, {"of": "campaign", "id": WEEKLY, "taken_at": 7,
        "days": {}},
        {"of": "campaign", "id": WEEKLY, "taken_at": day(), "days": []},
        {"of": "campaign", "id": WEEKLY, "taken_at": day(), "days": {day(): {"sent": "many"}}},
        {"of": "campaign", "id": WEEKLY, "taken_at": day(), "days": {day(): 5}},
    ],
    ids=["empty", "list", "text", "number", "no-days", "no-time", "days-list", "day-of-text", "day-of-number"],
)  # fmt: skip
def test_a_baseline_that_is_none(wrong, campaign_wait):
    with pytest.raises(REFUSED, match="baseline"):
        campaign_wait(baseline=wrong, at_least=1)


@pytest.mark.parametrize("start", [{}, {"baseline": {"of": "campaign"}, "since": day()}], ids=["none", "both"])
@pytest.mark.parametrize("kind", [BrazeCampaignMetricSensor, BrazeCanvasMetricSensor])
def test_exactly_one_of_baseline_and_since(kind, start):
    own = {"campaign_id": WEEKLY} if kind is BrazeCampaignMetricSensor else {"canvas_id": WEEKLY}
    with pytest.raises(ValueError, match=r"baseline.*since"):
        kind(task_id="wait", at_least=1, **own, **start)


# What counts


def test_all_variations_of_all_channels(campaign_wait, baseline, braze_emulator):
    braze_emulator.add_campaign("ab", variations={"a": "email", "b": "email", "p": "push"}, channels=["email", "push"])
    before = baseline(campaign_id="ab")
    for variation, count in (("a", 2), ("b", 3), ("p", 4)):
        braze_emulator.add_figures(campaign_id="ab", variation=variation, sent=count)
    assert campaign_wait(campaign_id="ab", baseline=before, at_least=9)["value"] == 9
    assert campaign_wait(campaign_id="ab", baseline=before, at_least=5, channel="email")["value"] == 5
    assert campaign_wait(campaign_id="ab", baseline=before, at_least=4, channel="ios_push")["value"] == 4
    with pytest.raises(AirflowSensorTimeout):
        campaign_wait(campaign_id="ab", baseline=before, at_least=5, channel="ios_push")


def test_unique_recipients_are_not_counted_by_channel(campaign_wait, send):
    send("a", "b")
    assert campaign_wait(metric="unique_recipients", at_least=2)["value"] == 2
    with pytest.raises(REFUSED):
        campaign_wait(metric="unique_recipients", at_least=2, channel="email")


def test_money_counts(campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, revenue=99.5)
    assert campaign_wait(metric="revenue", at_least=99.5)["value"] == 99.5
    with pytest.raises(AirflowSensorTimeout, match=r"99\.5"):
        campaign_wait(metric="revenue", at_least=100)


@pytest.mark.parametrize("kind", [BrazeCampaignMetricSensor, BrazeCanvasMetricSensor, BrazeSendMetricSensor])
@pytest.mark.parametrize("where", ["metric", "at_most", "at_most_share"])
def test_a_metric_that_does_not_exist(kind, where):
    own = {"canvas_id": WEEKLY} if kind is BrazeCanvasMetricSensor else {"campaign_id": WEEKLY}
    own |= {"send_id": "mine"} if kind is BrazeSendMetricSensor else {"since": day()}
    wrong = "openings" if where == "metric" else {"openings": 0.5}
    with pytest.raises(ValueError, match="openings") as caught:
        kind(task_id="wait", at_least=1, accepted=10, **own, **{where: wrong})
    assert "bounces" in str(caught.value)
    assert "delivered" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "metric"), [(BrazeCampaignMetricSensor, "entries"), (BrazeCanvasMetricSensor, "conversions1_by_send_time")]
)
def test_a_metric_of_something_else(kind, metric):
    own = {"canvas_id": WEEKLY} if kind is BrazeCanvasMetricSensor else {"campaign_id": WEEKLY}
    with pytest.raises(ValueError, match=metric):
        kind(task_id="wait", at_least=1, metric=metric, since=day(), **own)


def test_a_metric_of_another_channel_named(braze_emulator):
    with pytest.raises(ValueError, match="sent_to_carrier"):
        BrazeCampaignMetricSensor(
            task_id="w", campaign_id=WEEKLY, metric="sent_to_carrier", channel="email", at_least=1, since=day()
        )


def test_a_channel_that_does_not_exist():
    with pytest.raises(ValueError, match=r"channel.*pigeon|pigeon.*channel"):
        BrazeCampaignMetricSensor(task_id="w", campaign_id=WEEKLY, channel="pigeon", at_least=1, since=day())


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    "given", [{"metric": "sent_to_carrier"}, {"channel": "sms"}, {"at_most": {"opt_out": 3}}], ids=str
)
def test_a_figure_that_this_campaign_never_has(how, soft_fail, given, campaign_wait):
    with pytest.raises(BrazeWaitRefusedError, match="email") as caught:
        campaign_wait(how=how, soft_fail=soft_fail, at_least=1, **given)
    assert isinstance(caught.value, AirflowException)


def test_push_as_the_dashboard_calls_it(campaign_wait, braze_emulator, baseline):
    """A push campaign's details may name the channel otherwise than its figures do."""
    braze_emulator.add_campaign("pushed", channel="push")
    braze_emulator.add_figures(campaign_id="pushed", sent=3, direct_opens=1)
    assert campaign_wait(campaign_id="pushed", metric="direct_opens", at_least=1)["value"] == 1
    assert campaign_wait(campaign_id="pushed", channel="ios_push", at_least=3)["value"] == 3


# How much is enough


@pytest.mark.parametrize(
    ("share", "accepted", "needed"),
    [
        (0.95, 1000, 950), (0.95, 10, 10), (0.95, 20, 19), (0.9, 10, 9), (0.07, 100, 7), (1, 3, 3), (1.0, 3,
        3), (0.001, 10, 1),
        (0.29, 100, 29), (0.57, 100, 57), (0.1, 30, 3), (1 / 3, 9, 3),
    ],
)  # fmt: skip
def test_a_share_is_rounded_up(share, accepted, needed, campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=needed)
    result = campaign_wait(at_least_share=share, accepted=accepted)
    assert (result["needed"], result["value"], result["accepted"]) == (needed, needed, accepted)
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=-1)
    with pytest.raises(AirflowSensorTimeout):
        campaign_wait(at_least_share=share, accepted=accepted)


def test_accepted_is_a_report(campaign_wait, baseline, send):
    before = baseline()
    report = send(*[f"p-{n}" for n in range(10)])
    result = campaign_wait(baseline=before, at_least_share=0.95, accepted=report)
    assert (result["needed"], result["accepted"], result["value"]) == (10, 10, 10)


@pytest.mark.parametrize("accepted", ["12", " 12 ", 12, 12.0])
def test_accepted_is_a_text(accepted, campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=12)
    result = campaign_wait(at_least_share=1, accepted=accepted)
    assert result["accepted"] == 12
    assert isinstance(result["accepted"], int)


@pytest.mark.parametrize(
    "accepted", ["many", "", -1, 1.5, True, math.nan, math.inf, [], {}, {"recipients": 3}, {"accepted": "x"},
    {"accepted": None}, "12.5"],
    ids=str,
)  # fmt: skip
def test_accepted_is_no_number(accepted, campaign_wait):
    with pytest.raises(REFUSED, match="accepted"):
        campaign_wait(at_least_share=1, accepted=accepted)


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("accepted", [0, {"accepted": 0, "recipients": 0}])
def test_nobody_was_accepted(how, accepted, campaign_wait):
    """Of nobody, a share can never be reached, or is already; it must say so and not wait for ever."""
    try:
        result = campaign_wait(how=how, at_least_share=0.9, accepted=accepted)
    except AirflowSensorTimeout:
        raise
    except (ValueError, AirflowException) as error:
        assert "accepted" in str(error)
    else:
        assert (result["needed"], result["accepted"], result["value"]) == (0, 0, 0)


def test_a_share_without_accepted():
    with pytest.raises(ValueError, match="accepted"):
        BrazeCampaignMetricSensor(task_id="w", campaign_id=WEEKLY, at_least_share=0.5, since=day())
    with pytest.raises(ValueError, match="accepted"):
        BrazeCampaignMetricSensor(
            task_id="w", campaign_id=WEEKLY, at_least=1, at_most_share={"bounces": 0.1}, since=day()
        )


@pytest.mark.parametrize("given", [{}, {"at_least": 1, "at_least_share": 0.5}], ids=["none", "both"])
def test_exactly_one_of_a_number_and_a_share(given):
    with pytest.raises(ValueError, match=r"at_least.*at_least_share"):
        BrazeCampaignMetricSensor(task_id="w", campaign_id=WEEKLY, accepted=5, since=day(), **given)


@pytest.mark.parametrize("at_least", [0, -1, math.nan, math.inf, True, [5], "five", "-3", "nan", ""], ids=str)
def test_a_number_that_makes_no_sense(at_least, campaign_wait):
    with pytest.raises(REFUSED, match="at_least"):
        campaign_wait(at_least=at_least)


@pytest.mark.parametrize("share", [0, -0.5, 1.01, 95, math.nan, math.inf, True, "0.9", None], ids=str)
def test_a_share_that_makes_no_sense(share):
    with pytest.raises(ValueError, match="at_least"):
        BrazeCampaignMetricSensor(task_id="w", campaign_id=WEEKLY, at_least_share=share, accepted=5, since=day())


@pytest.mark.parametrize(
    "bounds",
    [{"bounces": -1}, {"bounces": math.nan}, {"bounces": "few"}, {"bounces": None}, ["bounces"], "bounces"],
    ids=str,
)
@pytest.mark.parametrize("where", ["at_most", "at_most_share"])
def test_bounds_that_make_no_sense(where, bounds, campaign_wait):
    with pytest.raises(REFUSED, match=where):
        campaign_wait(at_least=1, accepted=5, **{where: bounds})


def test_a_share_bound_of_more_than_all():
    with pytest.raises(ValueError, match="at_most_share"):
        BrazeCampaignMetricSensor(
            task_id="w", campaign_id=WEEKLY, at_least=1, accepted=5, at_most_share={"bounces": 2}, since=day()
        )


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("metric", ["sent", "delivered", "unique_recipients", "unique_opens"])
def test_more_than_was_accepted_is_refused(how, metric, campaign_wait):
    with pytest.raises(REFUSED, match=r"11.*10|10.*11"):
        campaign_wait(how=how, metric=metric, at_least=11, accepted=10, soft_fail=True)


def test_more_opens_than_were_accepted_are_possible(campaign_wait, braze_emulator):
    """Total opens may be more than there are people."""
    braze_emulator.add_figures(campaign_id=WEEKLY, opens=25)
    assert campaign_wait(metric="opens", at_least=20, accepted=10)["value"] == 25


def test_more_revenue_than_people(campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, revenue=2500.0)
    assert campaign_wait(metric="revenue", at_least=2000, accepted=10)["value"] == 2500


# What must not happen meanwhile


@pytest.mark.parametrize("how", ["poke", "reschedule", "deferrable"])
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_bound_that_is_passed_fails_early(how, soft_fail, campaign_wait, *, after_looks, send, braze_emulator):
    send("a")
    after_looks("/campaigns/data_series", 2, lambda: braze_emulator.add_figures(campaign_id=WEEKLY, bounces=3))
    with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError) as caught:
        campaign_wait(how=how, at_least=100, at_most={"bounces": 2}, soft_fail=soft_fail, timeout=60)
    assert isinstance(caught.value, AirflowException)
    if not soft_fail:
        assert all(word in str(caught.value) for word in ("bounces", "3", "2"))


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize(
    ("bound", "fails"),
    [
        ({"at_most": {"bounces": 3}}, False),
        ({"at_most": {"bounces": 2}}, True),
        ({"at_most": {"bounces": 0}}, True),
        ({"at_most": {"unsubscribes": 0}}, False),
        ({"at_most": {"unsubscribes": 0, "bounces": 2}}, True),
        ({"at_most_share": {"bounces": 0.03}}, False),
        ({"at_most_share": {"bounces": 0.02}}, True),
        ({"at_most_share": {"bounces": 0.029}}, True),
        ({"at_most_share": {"bounces": 0}}, True),
        ({"at_most": {"bounces": 3}, "at_most_share": {"unsubscribes": 0.01}}, False),
    ],
    ids=str,
)
def test_a_bound_counts_before_the_number(how, bound, fails, campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=100, bounces=3)
    if not fails:
        result = campaign_wait(how=how, at_least=100, accepted=100, **bound)
        assert result["value"] == 100
        assert result["figures"]["sent"] == 100
        return
    with pytest.raises(BrazeWaitFailedError, match="bounces"):
        campaign_wait(how=how, at_least=100, accepted=100, **bound)


def test_both_bounds_on_one_figure_hold(campaign_wait, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=100, bounces=3)
    for number, share in ((2, 0.5), (50, 0.01)):
        with pytest.raises((BrazeWaitFailedError, ValueError), match="bounces"):
            campaign_wait(at_least=100, accepted=100, at_most={"bounces": number}, at_most_share={"bounces": share})


def test_bounces_before_the_baseline_do_not_count(campaign_wait, baseline, send, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, bounces=30)
    before = baseline()
    send("a", "b")
    braze_emulator.add_figures(campaign_id=WEEKLY, bounces=1)
    result = campaign_wait(baseline=before, at_least=2, at_most={"bounces": 1})
    assert result["figures"] == {"sent": 2, "bounces": 1}


# Programs that are not as they should be


@pytest.mark.parametrize("how", MODES)
def test_an_archived_campaign_that_has_reached_it(how, campaign_wait, wait, braze_emulator):
    """Archived or not, the figures are there: either they count, or the reason is said; it never waits on."""
    for kind, own in (
        (BrazeCampaignMetricSensor, {"campaign_id": ARCHIVED}),
        (BrazeCanvasMetricSensor, {"canvas_id": ARCHIVED_CANVAS, "metric": "sent"}),
    ):
        with pytest.raises((BrazeWaitFailedError, BrazeWaitRefusedError), match="archived"):
            wait(kind, how=how, at_least=5, since=day(), **own)


@pytest.mark.parametrize("how", MODES)
def test_a_draft_never_sent_anything(how, campaign_wait, braze_emulator):
    braze_emulator.change_program(campaign_id=WEEKLY, state="draft")
    with pytest.raises((BrazeWaitRefusedError, AirflowSensorTimeout)):
        campaign_wait(how=how, at_least=1)


def test_a_paused_campaign_goes_on_counting(campaign_wait, send, braze_emulator):
    send("a")
    braze_emulator.change_program(campaign_id=WEEKLY, state="paused")
    assert campaign_wait(at_least=1)["value"] == 1


# Sends


@pytest.fixture
def send_id(braze_emulator):
    braze_emulator._state.send_ids.create("mine", WEEKLY, braze_emulator.clock.now())
    return "mine"


@pytest.fixture
def send_wait(wait, send_id):
    def run(**parameters):
        given = {"campaign_id": WEEKLY, "send_id": send_id, "timeout": 0.05, "poke_interval": 0.05, **parameters}
        return wait(BrazeSendMetricSensor, **given)

    return run


def test_a_send_counts_alone(send_wait, send, send_id, braze_emulator):
    send("a", "b", "c")
    report = send("d", "e", send_id=send_id)
    result = send_wait(at_least_share=1, accepted=report, at_most={"bounces": 0})
    assert result["value"] == 2
    assert result["figures"] == {"sent": 2, "bounces": 0}
    with pytest.raises(AirflowSensorTimeout, match="2 of 3"):
        send_wait(at_least=3)


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_delivered_that_cannot_be_reached_any_more(how, soft_fail, send_wait, *, send, send_id, braze_emulator):
    """Of 10 that were accepted 3 bounced: 8 will never be delivered."""
    send(*[f"p-{n}" for n in range(10)], send_id=send_id)
    braze_emulator.add_figures(campaign_id=WEEKLY, send_id=send_id, delivered=-3, bounces=3)
    with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError) as caught:
        send_wait(how=how, metric="delivered", at_least=8, accepted=10, soft_fail=soft_fail, timeout=2)
    assert soft_fail or "3 of 10 are lost" in str(caught.value)


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize(
    "sent_at",
    [
        datetime.now(UTC) - timedelta(days=14, minutes=5),
        (datetime.now(UTC) - timedelta(days=30)).isoformat(),
        (datetime.now(UTC) - timedelta(days=15)).date().isoformat(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_send_older_than_14_days(how, sent_at, send_wait):
    with pytest.raises(REFUSED, match="14 days"):
        send_wait(how=how, at_least=1, sent_at=sent_at, soft_fail=True)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=13)])
def test_a_send_that_braze_keeps(age, send_wait, send, send_id):
    send("a", send_id=send_id)
    assert send_wait(at_least=1, sent_at=datetime.now(UTC) - age)["value"] == 1


def test_sent_at_that_is_no_time(send_wait):
    with pytest.raises(REFUSED, match="sent_at"):
        send_wait(at_least=1, sent_at="lately")


@pytest.mark.parametrize("how", MODES)
def test_a_campaign_that_was_last_sent_long_ago(how, send_wait, other_braze):
    """Whatever this send was, Braze has forgotten it."""
    last = (datetime.now(UTC) - timedelta(days=16)).isoformat()
    details = {
        "message": "success", "name": "Old", "archived": False, "draft": False, "enabled": True,
        "schedule_type": "api_triggered_delivery", "channels": ["email"], "first_sent": last,
        "last_sent": last, "messages": {},
    }  # fmt: skip
    other_braze({"/campaigns/details": (200, details), "/sends/data_series": (200, {"message": "success", "data": []})})
    with pytest.raises(BrazeWaitRefusedError, match="14 days"):
        send_wait(how=how, at_least=1)


@pytest.mark.parametrize("how", MODES)
def test_a_campaign_that_the_dashboard_schedules(how, send_wait, braze_emulator):
    braze_emulator.change_program(
        campaign_id=WEEKLY, next_send_time=(datetime.now(UTC) + timedelta(hours=1)).isoformat()
    )
    with pytest.raises(BrazeWaitRefusedError, match="dashboard"):
        send_wait(how=how, at_least=1, soft_fail=True)


@pytest.mark.parametrize("wrong", ["", None, "x" * 65, 7], ids=["empty", "none", "long", "number"])
def test_send_ids_that_are_none(wrong, send_wait, braze_emulator):
    with pytest.raises(REFUSED, match="send_id"):
        send_wait(at_least=1, send_id=wrong)


def test_a_send_id_that_nobody_made(send_wait, send):
    """Braze answers no rows at all: it never tracked it, or keeps it no longer. The timeout says how things stood."""
    send("a", send_id="stray")
    with pytest.raises((AirflowSensorTimeout, BrazeWaitRefusedError), match="0 of 1"):
        send_wait(at_least=1, send_id="stray")


# Parameters of the baseline


def test_the_baseline_needs_a_campaign_that_exists(braze_emulator):
    for make in (
        lambda: BrazeCampaignBaselineOperator(task_id="b", campaign_id="nope"),
        lambda: BrazeCanvasBaselineOperator(task_id="b", canvas_id="nope"),
    ):
        with pytest.raises(AirflowException, match="400"):
            make().execute({})


def test_the_baseline_of_a_campaign_never_sent(campaign_wait, baseline, send):
    before = baseline(campaign_id=WIN_BACK)
    assert (before["of"], before["id"]) == ("campaign", WIN_BACK)
    send("a", campaign_id=WIN_BACK)
    assert campaign_wait(campaign_id=WIN_BACK, baseline=before, at_least=1)["value"] == 1
