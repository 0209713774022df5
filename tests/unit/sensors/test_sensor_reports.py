"""What a sensor makes of the report of the task that sent: when it began, under which send id, and of older ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG, timezone

from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.operators.send import BrazeCreateSendIdOperator, BrazeSendCampaignOperator
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor

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
        report = [{**report, "accepted": 1, "began": one} for one in began] if isinstance(began, list) else report
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


# A mapped task gives a report for each of its parts


class Lazily(Sequence):
    """As Airflow gives the outputs of a mapped task: of a length that is not known, and fetched one by one."""

    def __init__(self, *reports):
        self._reports, self.fetched = reports, 0

    def __len__(self):
        return len(self._reports)

    def __getitem__(self, place):
        self.fetched += 1
        return self._reports[place]

    def __repr__(self):
        return "Lazily(<unevaluated length>)"


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("kind", [list, tuple, lambda reports: Lazily(*reports)], ids=["list", "tuple", "lazily"])
def test_reports_of_mapped_tasks_add_up(how, kind, send_wait, of_a_month_ago):
    """That it was sent a month ago, as Braze tells, the first of them knows better."""
    began = [None, ago(seconds=5), ago(days=20), ago(seconds=9)]
    reports = [{"accepted": 1, "began": one, "send_id": "mine"} for one in began]
    with pytest.raises(BrazeWaitRefusedError, match="14 days"):
        send_wait(how=how, accepted=kind(reports))
    del reports[2]
    with pytest.raises(BrazeWaitRefusedError, match=r"sent.*3"):
        send_wait(how=how, accepted=kind(reports), at_least_share=None, at_least=4)
    result = send_wait(how=how, accepted=kind(reports), at_least_share=0.5)
    assert (result["needed"], result["accepted"]) == (2, 3)


def test_each_report_is_fetched_once(send_wait, of_a_month_ago):
    given = Lazily(*({"accepted": 1, "began": ago(seconds=5), "send_id": "mine"} for _ in range(2)))
    assert send_wait(accepted=given)["value"] == 2
    assert given.fetched <= len(given) + 1, "one more tells that there are no more"


def test_numbers_of_mapped_tasks_add_up(send_wait, of_a_month_ago):
    assert send_wait(accepted=[1, "1", 0], sent_at=ago(minutes=1))["accepted"] == 2


def test_one_of_several_send_ids_was_made_anew(send_wait, braze_emulator):
    reports = [{"accepted": 1, "send_id": used} for used in (None, "mine", "theirs")]
    with pytest.raises(BrazeWaitRefusedError, match=r"mine.*theirs"):
        send_wait(accepted=reports)
    assert braze_emulator.summary()["requests"] == 0


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([], "empty"),
        ([{"accepted": 1}, None], r"accepted\[1\] is None"),
        ([{"accepted": 1}, {"failed": 1}], r"accepted\[1\] is None"),
        ([[{"accepted": 1, "notices": ["n" * 5000]}]] * 2, r"accepted\[0\]"),
    ],
    ids=["empty", "none", "other", "nested"],
)
def test_reports_that_do_not_tell(reports, words, send_wait, braze_emulator):
    with pytest.raises(BrazeWaitRefusedError, match=words) as caught:
        send_wait(accepted=reports)
    assert len(str(caught.value)) < 300
    assert braze_emulator.summary()["requests"] == 0


def test_a_baseline_that_was_taken_after_the_first_part_began(since_baseline):
    """Though the others began later."""
    with pytest.raises(BrazeWaitRefusedError, match=r"baseline.*after the delivery began"):
        since_baseline(late=True, began=[ago(hours=-1), ago(seconds=30)])


@pytest.mark.parametrize("way", [{"mode": "poke"}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_a_wait_after_a_mapped_send(way, run_dag, braze_emulator, campaign):
    """As the documentation scales out."""
    start = timezone.datetime(2026, 1, 1)
    with DAG(f"mapped_{'_'.join(way)}", schedule=None, start_date=start) as made:
        send_id = BrazeCreateSendIdOperator(task_id="send_id", campaign_id=campaign).output["send_id"]
        send = BrazeSendCampaignOperator.partial(task_id="send", campaign_id=campaign, send_id=send_id).expand(
            recipients=ListAudience([f"p-{n}" for n in range(20)]).partitions(3)
        )
        what = {"campaign_id": campaign, "accepted": send.output, "poke_interval": 0.1, "timeout": 60, **way}
        figures = BrazeSendMetricSensor(task_id="figures", send_id=send_id, at_least_share=1.0, **what)
        people = BrazeRecipientsReceivedSensor(task_id="people", recipients=[f"p-{n}" for n in range(20)], **what)
        send >> [figures, people]
    run = run_dag(made)
    assert str(run.state) == "success"
    [wait] = [one for one in run.get_task_instances() if one.task_id == "figures"]
    assert wait.xcom_pull(task_ids="figures")["accepted"] == 20
