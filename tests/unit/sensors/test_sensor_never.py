"""Waits for what can never come are refused on the first look, or when the DAG is parsed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor, BrazeCanvasActiveSensor

MODES = ["poke", "reschedule", "deferrable"]
TODAY = datetime.now(UTC).date().isoformat()
UNKNOWN = "00000000-0000-4000-8000-000000000000"
EXPORT = "/users/export/ids"


def from_now(**span):
    return datetime.now(UTC) + timedelta(**span)


# Ids that came to nothing

LATER = from_now(days=3)
FIGURES = {"at_least": 1, "since": TODAY}
SENSORS = {
    "campaign": (BrazeCampaignMetricSensor, "campaign_id", FIGURES),
    "canvas": (BrazeCanvasMetricSensor, "canvas_id", FIGURES),
    "send": (BrazeSendMetricSensor, "campaign_id", {"at_least": 1, "send_id": "mine"}),
    "send_id": (BrazeSendMetricSensor, "send_id", {"at_least": 1, "campaign_id": "x"}),
    "active": (BrazeCampaignActiveSensor, "campaign_id", {}),
    "canvas_active": (BrazeCanvasActiveSensor, "canvas_id", {}),
    "scheduled": (
        BrazeScheduledBroadcastSensor,
        "campaign_id",
        {"expect": "scheduled", "before": LATER},
    ),
    "nothing": (
        BrazeScheduledBroadcastSensor,
        "canvas_id",
        {"expect": "nothing", "before": LATER},
    ),
    "received": (BrazeRecipientsReceivedSensor, "campaign_id", {"recipients": ["a"]}),
    "canvas_received": (BrazeRecipientsReceivedSensor, "canvas_id", {"recipients": ["a"]}),
}


@pytest.mark.parametrize("rendered", ["", " ", "None", None], ids=repr)
@pytest.mark.parametrize("name", SENSORS)
def test_an_id_that_came_to_nothing(name, rendered, wait, braze_emulator, campaign):
    """Whatever else is scheduled, or whatever the other kind of id would mean."""
    braze_emulator.change_program(campaign_id=campaign, next_send_time=from_now(hours=1))
    kind, parameter, others = SENSORS[name]

    def as_airflow_renders(**given):
        sensor = kind(**given)
        setattr(sensor, parameter, rendered)
        return sensor

    with pytest.raises(BrazeWaitRefusedError, match=parameter):
        wait(as_airflow_renders, **{parameter: "{{ params.found }}"}, **others)
    assert braze_emulator.summary()["requests"] == 0


# Campaigns and Canvases that do not exist, or are not the dashboard's


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("parameter", ["campaign_id", "canvas_id"])
@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (BrazeRecipientsReceivedSensor, {"recipients": ["a"], "since": TODAY}),
        (BrazeScheduledBroadcastSensor, {"expect": "scheduled", "before": from_now(days=3)}),
        (BrazeScheduledBroadcastSensor, {"expect": "nothing", "before": from_now(days=3)}),
    ],
    ids=["received", "scheduled", "nothing"],
)
def test_one_that_does_not_exist(kind, others, parameter, *, how, wait, braze_emulator):
    with pytest.raises(AirflowException, match="400") as caught:
        wait(kind, how=how, soft_fail=True, **{parameter: UNKNOWN}, **others)
    assert not isinstance(caught.value, AirflowSkipException | AirflowSensorTimeout)
    assert braze_emulator.summary()["requests"] == 1


def test_a_key_that_may_not_read_the_details(wait, send, connection, campaign, braze_emulator):
    braze_emulator.reset({"api_keys": [{"name": "one", "key": "k-1", "permissions": ["users.export.ids"]}]})
    connection(password="k-1")
    with pytest.raises(AirflowSensorTimeout, match="0 of 1 have"):
        wait(BrazeRecipientsReceivedSensor, campaign_id=campaign, recipients=["a"], since=from_now(), timeout=0.05)


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("parameter", ["campaign_id", "canvas_id"])
def test_what_the_api_sends_is_never_listed(how, parameter, wait, braze_emulator, campaign):
    with pytest.raises(BrazeWaitRefusedError, match="API"):
        wait(
            BrazeScheduledBroadcastSensor,
            how=how,
            expect="scheduled",
            before=from_now(days=3),
            soft_fail=True,
            **{parameter: campaign},
        )


def test_a_draft_may_still_be_scheduled(wait, after_looks, braze_emulator, campaign):
    braze_emulator.change_program(campaign_id=campaign, state="draft")
    after_looks(
        "/messages/scheduled_broadcasts",
        1,
        lambda: braze_emulator.change_program(campaign_id=campaign, state="active", next_send_time=from_now(hours=1)),
    )
    parameters = {"expect": "scheduled", "campaign_id": campaign, "before": from_now(days=3)}
    assert wait(BrazeScheduledBroadcastSensor, **parameters)["broadcasts"]


# Times that lie ahead, bounds that exclude each other


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (BrazeCampaignMetricSensor, {"at_least": 1}),
        (BrazeRecipientsReceivedSensor, {"recipients": ["a"]}),
    ],
    ids=["metric", "received"],
)
def test_since_lies_ahead(how, kind, others, wait, campaign):
    parameters = {"campaign_id": campaign, "since": from_now(days=3), "soft_fail": True, **others}
    with pytest.raises(BrazeWaitRefusedError, match="ahead"):
        wait(kind, how=how, **parameters)


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (BrazeCampaignMetricSensor, {"at_least": 1}),
        (BrazeRecipientsReceivedSensor, {"recipients": ["a"]}),
    ],
    ids=["metric", "received"],
)
def test_since_a_day_that_has_begun_somewhere(kind, others, wait, campaign):
    """And a wait may begin before its send is due."""
    with pytest.raises(AirflowSensorTimeout):
        wait(kind, campaign_id=campaign, since=from_now(hours=23), timeout=0.05, **others)


def test_more_than_is_allowed_of_the_same_figure(wait, campaign):
    with pytest.raises(ValueError, match=r"at_least.*at_most"):
        BrazeCampaignMetricSensor(task_id="w", campaign_id=campaign, at_least=100, at_most={"sent": 50}, since=TODAY)
    BrazeCampaignMetricSensor(task_id="w", campaign_id=campaign, at_least=50, at_most={"sent": 50}, since=TODAY)
    shares = {"at_least_share": 0.9, "at_most_share": {"sent": 0.5}, "accepted": {"accepted": 10}}
    with pytest.raises(BrazeWaitRefusedError, match=r"sent is to reach 9.*more than 5"):
        wait(BrazeCampaignMetricSensor, campaign_id=campaign, since=TODAY, **shares)


# More people than Braze can be asked for


def addresses(count):
    return [{"email": f"p-{n}@example.com", "prioritization": ["identified"]} for n in range(count)]


def ids(count):
    return [{"braze_id": f"b-{n}"} for n in range(count)]


@pytest.mark.parametrize("people", [addresses(101), ids(101), addresses(60) + ids(60)], ids=["email", "id", "both"])
def test_too_many_who_take_a_request_each(people, wait, campaign, braze_emulator):
    """In a list when the DAG is parsed, in what a task gives on the first look."""
    parameters = {"campaign_id": campaign, "since": TODAY}
    with pytest.raises(ValueError, match=r"10[1-9]|120"):
        BrazeRecipientsReceivedSensor(task_id="w", recipients=people, **parameters)
    for how in MODES:
        with pytest.raises(BrazeWaitRefusedError, match="sample") as caught:
            wait(
                BrazeRecipientsReceivedSensor, how=how, recipients=from_elsewhere(people), soft_fail=True, **parameters
            )
        assert f"{len(people)}" in str(caught.value)
        assert "example.com" not in str(caught.value)
    assert braze_emulator.request_counts().get(f"POST {EXPORT}", 0) == 0


@pytest.fixture
def roomy(braze_emulator):
    """A quota of which many requests are no large part."""
    braze_emulator.reset({"rate_limits": {"users_export_ids": {"limit": 5000, "seconds": 60}}})


def from_elsewhere(people):
    """An audience that nobody looks into when the DAG is parsed."""
    from airflow_provider_braze.delivery.audience import ListAudience

    return ListAudience(people)


@pytest.mark.parametrize(("sample", "refused"), [(100, False), (101, True)])
def test_the_sample_counts(sample, refused, *, roomy, wait, send, campaign, asked):
    people = addresses(300)
    parameters = {"campaign_id": campaign, "since": TODAY, "sample": sample}
    if refused:
        with pytest.raises(ValueError, match="101"):
            BrazeRecipientsReceivedSensor(task_id="w", recipients=people, **parameters)
        with pytest.raises(BrazeWaitRefusedError, match="101"):
            wait(BrazeRecipientsReceivedSensor, recipients=from_elsewhere(people), **parameters)
        return
    send(*people)
    assert wait(BrazeRecipientsReceivedSensor, recipients=people, **parameters)["received"] == sample
    assert asked(EXPORT) == sample


def test_the_same_address_again_is_one(roomy, wait, send, campaign):
    people = addresses(100)
    send(*people)
    again = [{**one, "email": one["email"].upper()} for one in people[:20]]
    result = wait(BrazeRecipientsReceivedSensor, campaign_id=campaign, recipients=people + again, since=TODAY)
    assert result["asked"] == 100


def test_a_sample_of_mostly_ids(wait, campaign):
    """How many of the sample have an address is known on the first look only."""
    people = [f"u-{n}" for n in range(500)] + addresses(110)
    BrazeRecipientsReceivedSensor(task_id="w", campaign_id=campaign, recipients=people, sample=550, since=TODAY)
    with pytest.raises(AirflowSensorTimeout):
        wait(
            BrazeRecipientsReceivedSensor,
            campaign_id=campaign,
            recipients=people,
            sample=200,
            since=from_now(),
            timeout=0.05,
        )
