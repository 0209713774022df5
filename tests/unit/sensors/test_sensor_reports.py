"""What a sensor makes of the report of the task that sent: when it began, under which send id, and of older ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)

MODES = ["poke", "reschedule", "deferrable"]
SERIES = "/sends/data_series"


def ago(**span):
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


@pytest.fixture
def of_a_month_ago(other_braze):
    """A campaign that was last sent a month ago, as far as Braze tells, and a send of it that two people have."""
    last, today = ago(days=30), datetime.now(UTC).date().isoformat()
    details = {
        "message": "success", "name": "Monthly", "archived": False, "draft": False, "enabled": True,
        "schedule_type": "api_triggered_delivery", "channels": ["email"], "first_sent": last, "last_sent": last,
    }  # fmt: skip
    row = {"time": today, "messages": {"email": [{"sent": 2}]}}
    other_braze({"/campaigns/details": (200, details), SERIES: (200, {"message": "success", "data": [row]})})


@pytest.fixture
def send_wait(wait, campaign):
    def run(**parameters):
        given = {"campaign_id": campaign, "send_id": "mine", "timeout": 0.05, "at_least_share": 1.0, **parameters}
        return wait(BrazeSendMetricSensor, **given)

    return run


@pytest.mark.parametrize("how", MODES)
def test_a_send_that_began_just_now(how, send_wait, of_a_month_ago):
    """Braze is late to tell that it was sent; the report is not."""
    report = {"accepted": 2, "began": ago(seconds=5), "send_id": "mine"}
    assert send_wait(how=how, accepted=report)["value"] == 2


@pytest.mark.parametrize(
    "accepted", [2, {"accepted": 2}, {"accepted": 2, "began": None}], ids=["number", "old", "none"]
)
def test_without_a_beginning_what_braze_tells_counts(accepted, send_wait, of_a_month_ago):
    with pytest.raises(BrazeWaitRefusedError, match=r"14 days.*sent_at"):
        send_wait(accepted=accepted)
    assert send_wait(accepted=accepted, sent_at=ago(minutes=1))["value"] == 2


def test_what_the_author_says_counts_before_the_report(send_wait, of_a_month_ago):
    report = {"accepted": 2, "began": ago(days=20), "send_id": "mine"}
    with pytest.raises(BrazeWaitRefusedError, match="14 days"):
        send_wait(accepted=report)
    assert send_wait(accepted=report, sent_at=ago(minutes=1))["value"] == 2


def test_a_beginning_that_is_no_time(send_wait, of_a_month_ago):
    with pytest.raises(BrazeWaitRefusedError, match="began"):
        send_wait(accepted={"accepted": 2, "began": "lately"})


@pytest.mark.parametrize("how", MODES)
def test_a_send_id_that_was_made_anew(how, send_wait, braze_emulator):
    with pytest.raises(BrazeWaitRefusedError, match=r"mine.*theirs") as caught:
        send_wait(how=how, accepted={"accepted": 2, "began": ago(seconds=5), "send_id": "theirs"}, soft_fail=True)
    assert isinstance(caught.value, AirflowException)
    assert braze_emulator.summary()["requests"] == 0


@pytest.mark.parametrize("report", [{}, {"send_id": None}, {"send_id": "mine"}], ids=["old", "none", "same"])
def test_a_send_id_that_is_the_same_or_not_told(report, send_wait, send, campaign, braze_emulator):
    braze_emulator._state.send_ids.create("mine", campaign, braze_emulator.clock.now())
    send("a", "b", send_id="mine")
    assert send_wait(accepted={"accepted": 2, **report})["value"] == 2


KINDS = [
    (BrazeCampaignBaselineOperator, BrazeCampaignMetricSensor, "campaign_id"),
    (BrazeCanvasBaselineOperator, BrazeCanvasMetricSensor, "canvas_id"),
]


@pytest.fixture(params=KINDS, ids=["campaign", "canvas"])
def since_baseline(request, wait, send, campaign, braze_emulator):
    """Send to two people and wait for them, from a baseline of before or after."""
    operator, sensor, name = request.param
    own = {name: campaign}

    def run(late=False, began=None, **parameters):
        take = operator(task_id="before", **own)
        before = None if late else take.execute({})
        report = {key: value for key, value in send("a", "b", **own).items() if key != "began"}
        report |= {} if began is None else {"began": began}
        return wait(
            sensor, baseline=before or take.execute({}), accepted=report, at_least_share=1.0, **own, **parameters
        )

    return run


@pytest.mark.parametrize("how", MODES)
def test_a_baseline_that_was_taken_after_the_send_began(how, since_baseline):
    """As after a clear: what the first try sent would never count."""
    with pytest.raises(BrazeWaitRefusedError, match=r"baseline.*after the delivery began"):
        since_baseline(how=how, late=True, began=ago(seconds=30), soft_fail=True)


@pytest.mark.parametrize("began", [None, ago(hours=-10)], ids=["old", "later"])
def test_a_baseline_that_was_taken_before_the_send_began(began, since_baseline):
    assert since_baseline(began=began)["value"] == 2
