"""Every sensor, in every way to wait: met at once, met later, timed out, skipped."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.sensors import base
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor, BrazeCanvasActiveSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
ARCHIVED = "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
PAUSED_CANVAS = "2b4e1c76-9121-4c77-9c77-4fac6181d332"
ARCHIVED_CANVAS = "3c5f2d87-a232-4d88-8d88-50bd7292e443"
MODES = ["poke", "reschedule", "deferrable"]


def ahead(**span):
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def yesterday():
    """Since when figures count: today may end between a send and the look."""
    return (datetime.now(UTC) - timedelta(days=1)).date().isoformat()


class Story:
    """A sensor, the path that it asks, and what makes Braze's answer the one that it waits for."""

    path = ""
    sensor = None
    waiting = "0"

    def parameters(self):
        raise NotImplementedError

    def before(self, emulator, send):
        pass

    def happens(self, emulator, send):
        raise NotImplementedError

    def check(self, result):
        raise NotImplementedError


class CampaignStory(Story):
    path, sensor = "/campaigns/data_series", BrazeCampaignMetricSensor

    def parameters(self):
        return {"campaign_id": WEEKLY, "at_least": 3, "since": yesterday()}

    def before(self, emulator, send):
        send("p-1")

    def happens(self, emulator, send):
        send("p-2", "p-3")

    def check(self, result):
        assert (result["metric"], result["value"], result["needed"], result["accepted"]) == ("sent", 3, 3, None)
        assert result["figures"]["sent"] == 3


class CanvasStory(CampaignStory):
    path, sensor = "/canvas/data_series", BrazeCanvasMetricSensor

    def parameters(self):
        return {"canvas_id": WEEKLY, "at_least_share": 1, "accepted": 3, "since": yesterday()}

    def before(self, emulator, send):
        send("p-1", canvas_id=WEEKLY)

    def happens(self, emulator, send):
        send("p-2", "p-3", canvas_id=WEEKLY)

    def check(self, result):
        assert (result["metric"], result["value"], result["needed"], result["accepted"]) == ("entries", 3, 3, 3)
        assert result["figures"]["entries"] == 3


class SendStory(CampaignStory):
    path, sensor = "/sends/data_series", BrazeSendMetricSensor

    def parameters(self):
        return {"campaign_id": WEEKLY, "send_id": "mine", "metric": "delivered", "at_least": 3}

    def before(self, emulator, send):
        emulator._state.send_ids.create("mine", WEEKLY, emulator.clock.now())
        send("p-1", send_id="mine")

    def happens(self, emulator, send):
        send("p-2", "p-3", send_id="mine")

    def check(self, result):
        assert (result["metric"], result["value"], result["needed"]) == ("delivered", 3, 3)


class ScheduledStory(Story):
    path, sensor = "/messages/scheduled_broadcasts", BrazeScheduledBroadcastSensor

    def parameters(self):
        return {"expect": "scheduled", "campaign_id": WEEKLY, "before": ahead(hours=5)}

    def before(self, emulator, send):
        emulator.change_program(campaign_id=WEEKLY, next_send_time=ahead(days=9))

    def happens(self, emulator, send):
        emulator.change_program(campaign_id=WEEKLY, next_send_time=ahead(hours=2))

    def check(self, result):
        [row] = result["broadcasts"]
        assert (row["id"], row["type"], row["name"]) == (WEEKLY, "Campaign", "Your weekly offer")


class NothingStory(ScheduledStory):
    def parameters(self):
        return {"expect": "nothing", "before": ahead(hours=5)}

    def before(self, emulator, send):
        emulator.change_program(campaign_id=WEEKLY, next_send_time=ahead(hours=2))

    def happens(self, emulator, send):
        emulator.change_program(campaign_id=WEEKLY, next_send_time=None)

    def check(self, result):
        assert result == {"broadcasts": []}


class ReceivedStory(Story):
    path, sensor = "/users/export/ids", BrazeRecipientsReceivedSensor

    def parameters(self):
        since = datetime.now(UTC) - timedelta(minutes=1)
        return {"campaign_id": WEEKLY, "recipients": ["u-1", "u-2"], "since": since}

    def before(self, emulator, send):
        send("u-1")

    def happens(self, emulator, send):
        send("u-2")

    def check(self, result):
        assert result == {"asked": 2, "received": 2, "missing": 0, "unknown": 0}


class ActiveStory(Story):
    path, sensor = "/campaigns/details", BrazeCampaignActiveSensor

    def parameters(self):
        return {"campaign_id": PAUSED}

    def happens(self, emulator, send):
        emulator.change_program(campaign_id=PAUSED, state="active")

    def check(self, result):
        assert result == {"name": "Spring newsletter", "enabled": True, "archived": False, "draft": False}


class CanvasActiveStory(Story):
    path, sensor = "/canvas/details", BrazeCanvasActiveSensor

    def parameters(self):
        return {"canvas_id": PAUSED_CANVAS}

    def before(self, emulator, send):
        emulator.change_program(canvas_id=PAUSED_CANVAS, state="draft")

    def happens(self, emulator, send):
        emulator.change_program(canvas_id=PAUSED_CANVAS, state="active")

    def check(self, result):
        assert result == {"name": "Iced season", "enabled": True, "archived": False, "draft": False}


STORIES = [
    *(CampaignStory(), CanvasStory(), SendStory(), ScheduledStory(), NothingStory(), ReceivedStory()),
    *(ActiveStory(), CanvasActiveStory()),
]


@pytest.fixture(params=STORIES, ids=lambda story: type(story).__name__.removesuffix("Story").lower())
def story(request):
    return request.param


@pytest.fixture(params=MODES)
def how(request):
    return request.param


@pytest.fixture
def counted(braze_emulator):
    """Forget the requests of the preparation."""

    def forget():
        with braze_emulator._state.lock:
            braze_emulator._state.journal.per_endpoint.clear()

    return forget


def test_met_at_once(story, how, wait, *, send, asked, counted, braze_emulator):
    story.before(braze_emulator, send)
    story.happens(braze_emulator, send)
    counted()
    story.check(wait(story.sensor, how=how, **story.parameters()))
    assert asked(story.path) == 1, "one look is enough, wherever it waits"


def test_met_later(story, how, wait, *, send, after_looks, counted, braze_emulator):
    story.before(braze_emulator, send)
    counted()
    after_looks(story.path, 2, lambda: story.happens(braze_emulator, send))
    story.check(wait(story.sensor, how=how, **story.parameters()))


def test_timed_out(story, how, wait, *, send, asked, counted, braze_emulator, caplog):
    story.before(braze_emulator, send)
    # On a machine that stands still meanwhile, the first look alone may take longer than the shortest of them.
    for timeout in (0.15, 5, 30):
        counted()
        with pytest.raises(AirflowSensorTimeout) as caught:
            wait(story.sensor, how=how, timeout=timeout, **story.parameters())
        if asked(story.path) >= 2:
            break
    text = str(caught.value)
    assert asked(story.path) >= 2
    assert "local-emulator-key" not in text
    assert any(word in text for word in STANDINGS[type(story)]), text


STANDINGS = {
    CampaignStory: ["1 of 3"],
    CanvasStory: ["1 of 3"],
    SendStory: ["1 of 3"],
    ScheduledStory: ["not scheduled", "is not among", "nothing"],
    NothingStory: ["Your weekly offer", "scheduled"],
    ReceivedStory: ["1 of 2"],
    ActiveStory: ["paused", "not active", "not enabled"],
    CanvasActiveStory: ["draft"],
}


def test_soft_fail_skips_what_timed_out(story, how, wait, send, braze_emulator):
    story.before(braze_emulator, send)
    with pytest.raises(AirflowSkipException):
        wait(story.sensor, how=how, timeout=0.05, soft_fail=True, **story.parameters())


def test_a_wait_that_ends_well_is_not_skipped(story, how, wait, *, send, after_looks, counted, braze_emulator):
    option = {"poke": "never_fail", "reschedule": "silent_fail", "deferrable": "soft_fail"}[how]
    story.before(braze_emulator, send)
    counted()
    after_looks(story.path, 2, lambda: story.happens(braze_emulator, send))
    story.check(wait(story.sensor, how=how, **{option: True}, **story.parameters()))


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_wrong_key_is_an_error_at_once(story, how, soft_fail, *, wait, connection, braze_emulator):
    connection(password="not-the-key")
    with pytest.raises(AirflowException) as caught:
        wait(story.sensor, how=how, soft_fail=soft_fail, **story.parameters())
    assert not isinstance(caught.value, AirflowSkipException | AirflowSensorTimeout)
    assert "401" in str(caught.value)
    assert "not-the-key" not in str(caught.value)
    assert braze_emulator.summary()["requests"] <= 2


@pytest.mark.parametrize("option", ["never_fail", "soft_fail", "silent_fail", None])
def test_never_fail_skips_everything_and_soft_fail_does_not(how, option, wait, connection):
    connection(password="not-the-key")
    given = {option: True} if option else {}
    kind = {"never_fail": AirflowSkipException, "silent_fail": AirflowSensorTimeout}.get(option, AirflowException)
    with pytest.raises(kind) as caught:
        wait(BrazeCampaignActiveSensor, how=how, timeout=0.05, campaign_id=PAUSED, **given)
    skipped = isinstance(caught.value, AirflowSkipException)
    assert skipped is (option == "never_fail")


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_an_archived_program_fails_the_wait(how, soft_fail, later, *, wait, after_looks, braze_emulator):
    for kind, own in (
        (BrazeCampaignActiveSensor, {"campaign_id": PAUSED}),
        (BrazeCanvasActiveSensor, {"canvas_id": PAUSED_CANVAS}),
    ):
        braze_emulator.reset()
        if later:
            after_looks("/details", 2, lambda own=own: braze_emulator.change_program(**own, state="archived"))
        else:
            braze_emulator.change_program(**own, state="archived")
        with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError) as caught:
            wait(kind, how=how, soft_fail=soft_fail, **own)
        assert isinstance(caught.value, AirflowException)
        assert soft_fail or "archived" in str(caught.value)


UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("sensor", "own"),
    [
        (BrazeCampaignMetricSensor, {"campaign_id": UNKNOWN, "at_least": 1, "since": yesterday()}),
        (BrazeCanvasMetricSensor, {"canvas_id": UNKNOWN, "at_least": 1, "since": yesterday()}),
        (BrazeSendMetricSensor, {"campaign_id": UNKNOWN, "send_id": "mine", "at_least": 1}),
        (BrazeCampaignActiveSensor, {"campaign_id": UNKNOWN}),
        (BrazeCanvasActiveSensor, {"canvas_id": UNKNOWN}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_an_unknown_program_is_an_error_at_once(how, soft_fail, sensor, *, own, wait, braze_emulator):
    with pytest.raises(AirflowException) as caught:
        wait(sensor, how=how, soft_fail=soft_fail, **own)
    assert not isinstance(caught.value, AirflowSkipException | AirflowSensorTimeout)
    assert "400" in str(caught.value) or isinstance(caught.value, BrazeWaitRefusedError)
    assert "campaign" in str(caught.value) or "Canvas" in str(caught.value)
    assert braze_emulator.summary()["requests"] <= 2


def test_nothing_happens_at_parse_time(story, braze_emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", "no connection at all")
    made = story.sensor(task_id="wait", **story.parameters())
    assert made.poke_interval == 60
    assert made.deferrable is False
    assert "braze_conn_id" in made.template_fields
    assert braze_emulator.summary()["requests"] == 0


@pytest.mark.parametrize("setting", ["True", "False"])
def test_deferrable_by_default_where_airflow_says_so(monkeypatch, setting):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    found = importlib.util.spec_from_file_location("sensors_as_if_just_imported", base.__file__)
    again = importlib.util.module_from_spec(found)
    found.loader.exec_module(again)
    assert again.BrazeSensor(task_id="wait").deferrable is (setting == "True")
    assert again.BrazeSensor(task_id="other", deferrable=False).deferrable is False
