"""What the dashboard has scheduled: times on many clocks, and windows in which nothing may be sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
PATH = "/messages/scheduled_broadcasts"
DETAILS = (200, {"message": "success", "name": "Offer", "draft": False, "schedule_type": "time_based"})
REFUSED = (ValueError, BrazeWaitRefusedError)
MODES = ["poke", "deferrable"]


def at(**span):
    """A time from now, to the minute."""
    return (datetime.now(UTC) + timedelta(**span)).replace(second=0, microsecond=0)


def noon():
    """A noon by UTC, one or two days ahead: no zone below shows it twice when summer time ends."""
    return at(hours=36).replace(hour=12, minute=0)


@pytest.fixture
def look(wait):
    """One look, more or less: whether it is met."""

    def run(expect, **parameters):
        try:
            result = wait(BrazeScheduledBroadcastSensor, expect=expect, timeout=0.02, poke_interval=0.05, **parameters)
        except AirflowSensorTimeout:
            return False
        assert result.keys() == {"broadcasts"}
        assert bool(result["broadcasts"]) is (expect == "scheduled")
        return True

    return run


@pytest.fixture
def scheduled(other_braze):
    """What Braze says is scheduled: rows of (next_send_time, schedule_type)."""

    def answer(*rows):
        found = [
            {"name": f"Offer {n}", "id": f"id-{n}", "type": "Campaign", "tags": [], "next_send_time": text,
            "schedule_type": kind}
            for n, (text, kind) in enumerate(rows)
        ]  # fmt: skip
        return other_braze({PATH: (200, {"scheduled_broadcasts": found}), "/campaigns/details": DETAILS})

    return answer


@pytest.mark.parametrize("how", MODES)
def test_a_campaign_is_scheduled_before(how, look, braze_emulator):
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=3))
    braze_emulator.change_program(campaign_id=WIN_BACK, next_send_time=at(hours=5))
    assert look("scheduled", how=how, campaign_id=WEEKLY, before=at(hours=4))
    assert not look("scheduled", how=how, campaign_id=WEEKLY, before=at(hours=2))
    assert not look("scheduled", how=how, campaign_id=WIN_BACK, before=at(hours=4))


@pytest.mark.parametrize("how", MODES)
def test_campaigns_and_canvases_of_one_id_are_told_apart(how, look, braze_emulator):
    braze_emulator.change_program(canvas_id=WEEKLY, next_send_time=at(hours=1))
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=100))
    end = at(hours=3)
    assert not look("scheduled", how=how, campaign_id=WEEKLY, before=end)
    assert look("scheduled", how=how, canvas_id=WEEKLY, before=end)
    assert look("nothing", how=how, campaign_id=WEEKLY, before=end)
    assert not look("nothing", how=how, canvas_id=WEEKLY, before=end)
    assert not look("nothing", how=how, before=end)


def test_it_goes_on_until_before_itself(look, braze_emulator):
    """Exactly at the end is not before it."""
    moment = at(hours=2)
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=moment)
    assert not look("scheduled", campaign_id=WEEKLY, before=moment)
    assert look("scheduled", campaign_id=WEEKLY, before=moment + timedelta(seconds=1))
    assert look("nothing", before=moment)
    assert not look("nothing", before=moment + timedelta(seconds=1))
    assert not look("nothing", since=moment, before=moment + timedelta(hours=1))
    assert look("nothing", since=moment + timedelta(seconds=1), before=moment + timedelta(hours=1))


@pytest.mark.parametrize("hours", [1, 20, 30, 200])
def test_nothing_in_a_window(hours, look, braze_emulator):
    """Braze cuts the end to midnight: the window must hold all the same."""
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=hours))
    assert look("nothing", since=at(hours=hours + 1), before=at(hours=hours + 2))
    assert look("nothing", since=at(hours=hours - 0.5), before=at(hours=hours - 0.1))
    assert not look("nothing", since=at(hours=hours - 1), before=at(hours=hours + 1))
    assert not look("nothing", before=at(hours=hours, minutes=1))


# Times on the users' own clocks: they begin 14 hours before the same hour in UTC, and end 12 hours after it.
@pytest.mark.parametrize("kind", ["local_time_zones"])
@pytest.mark.parametrize(
    ("since", "before", "certain", "nothing"),
    [
        (None, 60 + 12.5, True, False),
        (None, 60 + 11.5, False, False),
        (60 - 13.5, 60 - 13, False, False),
        (60 - 20, 60 - 14.5, False, True),
        (60 + 12.5, 60 + 20, None, True),
        (60 + 11, 60 + 11.5, None, False),
        (60 - 1, 60 + 1, None, False),
    ],
)
def test_local_times_are_a_span(kind, since, before, *, certain, nothing, look, braze_emulator):
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=60), schedule_type=kind)
    start = {} if since is None else {"since": at(hours=since)}
    assert look("nothing", before=at(hours=before), **start) is nothing
    if certain is not None:
        assert look("scheduled", campaign_id=WEEKLY, before=at(hours=before)) is certain


def test_local_times_that_began_already(look, scheduled):
    """It is past in some zones and yet to come in others."""
    scheduled((at(hours=-3).strftime("%Y-%m-%d %H:%M:%S"), "local_time_zones"))
    assert not look("nothing", before=at(hours=2))


def test_intelligent_delivery_promises_no_hour(look, braze_emulator):
    """Braze picks a time for each person, on the day that is given."""
    moment = at(hours=60)
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=moment, schedule_type="intelligent_delivery")
    assert not look("nothing", since=moment + timedelta(hours=3), before=moment + timedelta(hours=4))
    assert not look("scheduled", campaign_id=WEEKLY, before=moment + timedelta(hours=1))
    assert look("nothing", before=at(hours=6))


@pytest.mark.parametrize(
    ("zone", "offset"), [("America/New_York", -5), ("Asia/Tokyo", 9), ("Asia/Kolkata", 5.5), ("UTC", 0), ("Etc/UTC", 0)]
)
@pytest.mark.parametrize("shape", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"])
def test_the_companys_clock(zone, offset, shape, look, scheduled):
    """The schedule type is the company's zone; a time without an offset is meant there."""
    moment = noon()
    scheduled((moment.astimezone(ZoneInfo(zone)).strftime(shape), zone))
    assert not look("nothing", since=moment - timedelta(minutes=1), before=moment + timedelta(minutes=1))
    assert look("nothing", since=moment + timedelta(minutes=2), before=moment + timedelta(hours=1))
    assert look("nothing", since=moment - timedelta(hours=1), before=moment - timedelta(minutes=1))


@pytest.mark.parametrize(
    "text",
    [
        "{:%Y-%m-%dT%H:%M:%S}+00:00", "{:%Y-%m-%dT%H:%M:%S}Z", "{:%Y-%m-%dT%H:%M:%S.000}Z", "{:%Y-%m-%d %H:%M:%S} UTC",
        "{:%Y-%m-%d %H:%M:%S} +0000",
    ],
)  # fmt: skip
def test_times_with_an_offset(text, look, scheduled):
    """An offset says which time is meant, whatever the company's zone."""
    moment = at(hours=30)
    scheduled((text.format(moment), "America/Los_Angeles"))
    assert not look("nothing", since=moment - timedelta(minutes=1), before=moment + timedelta(minutes=1))
    assert look("nothing", since=moment + timedelta(minutes=2), before=moment + timedelta(hours=1))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "UTC"])
def test_the_emulators_own_format(zone, look, braze_emulator):
    braze_emulator.reset({"time_zone": zone})
    moment = noon()
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=moment)
    assert not look("nothing", since=moment - timedelta(minutes=1), before=moment + timedelta(minutes=1))
    assert look("nothing", since=moment + timedelta(minutes=2), before=moment + timedelta(hours=20))
    assert look("nothing", since=moment - timedelta(hours=20), before=moment - timedelta(minutes=2))
    assert look("scheduled", campaign_id=WEEKLY, before=moment + timedelta(minutes=1))
    assert not look("scheduled", campaign_id=WEEKLY, before=moment - timedelta(minutes=1))


@pytest.mark.parametrize("ending", ["JST", "Asia/Tokyo", "+0900", "+09:00"])
def test_the_companys_zone_in_the_time(ending, look, scheduled):
    moment = at(hours=30)
    scheduled((f"{moment.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%d %H:%M:%S} {ending}", "Asia/Tokyo"))
    assert not look("nothing", since=moment - timedelta(minutes=1), before=moment + timedelta(minutes=1))
    assert look("nothing", since=moment + timedelta(minutes=2), before=moment + timedelta(hours=1))


@pytest.mark.parametrize("zone", ["Eastern Time (US & Canada)", "Larkspur/Nowhere", "", None])
def test_zones_that_nobody_knows(zone, look, scheduled):
    """Somewhere on earth it is that time: nothing is promised, and no error stops the wait."""
    moment = at(hours=30)
    scheduled((f"{moment:%Y-%m-%d %H:%M:%S}", zone))
    assert not look("nothing", before=moment + timedelta(hours=1))
    assert not look("scheduled", campaign_id="id-0", before=moment + timedelta(minutes=10))
    assert look("nothing", before=at(hours=5))


@pytest.mark.parametrize(
    "text", ["soon", "", None, 7, "2026-02-31 09:00:00", "0000-00-00 00:00:00", {"at": 1}, ["x"]], ids=str
)
@pytest.mark.parametrize("zone", ["UTC", "local_time_zones", "intelligent_delivery"])
def test_times_that_cannot_be_read(text, zone, look, scheduled):
    scheduled((text, zone))
    assert not look("nothing", before=at(hours=2))
    assert not look("scheduled", campaign_id="id-0", before=at(days=300))


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("expect", "window"),
    [
        ("nothing", {"since": timedelta(hours=3), "before": timedelta(hours=2)}),
        ("nothing", {"since": timedelta(hours=2), "before": timedelta(hours=2)}),
        ("nothing", {"before": timedelta(hours=-1)}),
        ("scheduled", {"before": timedelta(hours=-1)}),
    ],
    ids=str,
)
def test_windows_that_are_over_or_empty(how, soft_fail, expect, window, wait):
    now = datetime.now(UTC)
    moments = {name: now + span for name, span in window.items()}
    own = {"campaign_id": WEEKLY} if expect == "scheduled" else {}
    with pytest.raises(REFUSED, match="before"):
        wait(BrazeScheduledBroadcastSensor, how=how, expect=expect, soft_fail=soft_fail, **own, **moments)


@pytest.mark.parametrize("how", MODES)
def test_a_window_that_ends_while_it_is_waited_for(how, wait, braze_emulator, after_looks, hours_pass):
    """It does not wait on for what cannot come any more; a skip will do where that is what the author wants."""
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=5))
    after_looks(PATH, 2, lambda: hours_pass(4))
    with pytest.raises(BrazeWaitFailedError, match="over"):
        wait(BrazeScheduledBroadcastSensor, how=how, expect="scheduled", campaign_id=WEEKLY, before=at(hours=3))


def test_a_window_that_has_begun(look, braze_emulator):
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=1))
    assert not look("nothing", since=at(hours=-5), before=at(hours=2))
    assert look("nothing", since=at(hours=-5), before=at(minutes=30))


@pytest.mark.parametrize("wrong", ["never", "", "2026-13-01T00:00:00Z", 7, None], ids=str)
@pytest.mark.parametrize("where", ["before", "since"])
def test_times_of_the_task_that_are_none(wrong, where, wait):
    if where == "since" and wrong is None:
        return
    moments = {"before": at(hours=2), where: wrong}
    with pytest.raises(REFUSED, match=where):
        wait(BrazeScheduledBroadcastSensor, expect="nothing", **moments)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"expect": "everything"}, "expect"),
        ({"expect": "scheduled"}, "campaign_id"),
        ({"expect": "scheduled", "campaign_id": WEEKLY, "canvas_id": WEEKLY}, "canvas_id"),
        ({"expect": "nothing", "campaign_id": WEEKLY, "canvas_id": WEEKLY}, "canvas_id"),
        ({"expect": "scheduled", "campaign_id": WEEKLY, "since": "2026-12-01T00:00:00Z"}, "since"),
    ],
    ids=str,
)
def test_parameters_that_make_no_sense(given, words):
    with pytest.raises(ValueError, match=words):
        BrazeScheduledBroadcastSensor(task_id="wait", before=at(hours=2), **given)


def test_times_without_a_zone_are_utc(look, braze_emulator):
    moment = at(hours=3)
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=moment)
    naive = moment.replace(tzinfo=None)
    for before in (naive + timedelta(minutes=1), (naive + timedelta(minutes=1)).isoformat()):
        assert look("scheduled", campaign_id=WEEKLY, before=before)
    assert look("nothing", since=naive + timedelta(minutes=1), before=naive + timedelta(minutes=2))


def test_a_paused_campaign_is_not_scheduled(look, braze_emulator):
    braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=at(hours=1), state="paused")
    assert look("nothing", before=at(hours=2))
    assert not look("scheduled", campaign_id=WEEKLY, before=at(hours=2))


@pytest.mark.parametrize("missing", ["name", "tags", "schedule_type", "next_send_time", "type", "id"])
def test_rows_with_something_missing(missing, look, other_braze):
    """Whatever is missing, a message in the window is not overlooked."""
    moment = at(hours=1)
    row = {
        "name": "Offer", "id": "id-0", "type": "Campaign", "tags": [],
        "next_send_time": f"{moment:%Y-%m-%d %H:%M:%S}", "schedule_type": "UTC",
    }  # fmt: skip
    del row[missing]
    other_braze({PATH: (200, {"scheduled_broadcasts": [row]})})
    try:
        assert not look("nothing", before=at(hours=2))
    except BrazeWaitRefusedError as error:
        assert "scheduled_broadcasts" in str(error)


@pytest.mark.parametrize("kind", ["Campaign", "campaign", "CAMPAIGN"])
def test_the_type_in_any_case(kind, look, other_braze):
    row = {
        "name": "Offer", "id": "id-0", "type": kind, "tags": [],
        "next_send_time": f"{at(hours=1):%Y-%m-%d %H:%M:%S}", "schedule_type": "UTC",
    }  # fmt: skip
    found = (200, {"scheduled_broadcasts": [row]})
    other_braze({PATH: found, "/campaigns/details": DETAILS, "/canvas/details": DETAILS})
    assert look("scheduled", campaign_id="id-0", before=at(hours=2))
    assert not look("nothing", campaign_id="id-0", before=at(hours=2))
    assert not look("scheduled", canvas_id="id-0", before=at(hours=2))
