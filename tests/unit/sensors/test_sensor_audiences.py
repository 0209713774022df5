"""Whom a wait asks for: from the same sources as a send, and with errors that claim nothing about what was sent."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout
from airflow.sdk import DAG, timezone

import airflow_provider_braze.delivery
from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.delivery.audience import Audience, SqlAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.files import FileAudience
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor, _about_a_wait

MODES = ["poke", "reschedule", "deferrable"]
WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
EXPORT = "/users/export/ids"


@pytest.fixture
def received(wait):
    def run(recipients, **parameters):
        return wait(BrazeRecipientsReceivedSensor, campaign_id=WEEKLY, recipients=recipients, **parameters)

    return run


def test_a_query_in_a_file(run_dag, warehouse, tmp_path, braze_emulator):
    """The send takes it, so the wait does."""
    warehouse("CREATE TABLE people (id TEXT)", "INSERT INTO people VALUES ('u-1'), ('u-2')")
    (tmp_path / "people.sql").write_text("SELECT id AS external_user_id FROM people /* {{ run_id }} */")
    people = {"campaign_id": WEEKLY, "recipients": SqlAudience("warehouse", "people.sql")}
    start = timezone.datetime(2026, 1, 1)
    with DAG("query_in_a_file", schedule=None, start_date=start, template_searchpath=[str(tmp_path)]) as made:
        send = BrazeSendCampaignOperator(task_id="send", **people)
        send >> BrazeRecipientsReceivedSensor(task_id="wait", poke_interval=0.1, timeout=60, **people)
    assert str(run_dag(made).state) == "success"


# What cannot be read


class Closed(Audience):
    """It cannot be read, the first times."""

    def __init__(self, times=99):
        self.times = times

    def recipients(self, values_field=None):
        self.times -= 1
        if self.times >= 0:
            raise BrazeAudienceError("The warehouse is closed, nothing was sent: come again.")
        yield "u-1"


UNREADABLE = {
    "connection": lambda: SqlAudience("nowhere", "SELECT 1"),
    "query": lambda: SqlAudience("warehouse", "SELECT nothing FROM nowhere"),
    "column": lambda: SqlAudience("warehouse", "SELECT 1 AS pears"),
    "file": lambda: FileAudience("/nowhere/people.csv"),
    "text": lambda: "u-1, u-2",
    "number": lambda: 7,
    "own": Closed,
}


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("source", UNREADABLE)
def test_an_audience_that_cannot_be_read(how, source, received, warehouse, braze_emulator):
    """Whoever reads that nothing was sent sends again, to people who have it."""
    warehouse("CREATE TABLE people (id TEXT)")
    with pytest.raises(BrazeAudienceError, match="nobody was asked for") as caught:
        received(UNREADABLE[source](), how=how, soft_fail=False)
    assert isinstance(caught.value, AirflowException)
    assert "sent" not in str(caught.value)
    assert braze_emulator.summary()["requests"] == 0


def literals():
    """All texts in which the delivery's modules say that nothing was sent."""
    for path in Path(airflow_provider_braze.delivery.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and "BrazeAudienceError" in ast.unparse(node):
                yield from (
                    one.value
                    for one in ast.walk(node)
                    if isinstance(one, ast.Constant) and "was sent" in str(one.value)
                )


def test_no_words_of_an_audience_claim_it():
    found = list(literals())
    assert len(found) > 15
    assert not [text for text in found if "was sent" in str(_about_a_wait(BrazeAudienceError(text)))]


def test_silence_means_later_for_a_source_that_cannot_be_read(received, send):
    send("u-1")
    assert received(Closed(times=2), silent_fail=True)["received"] == 1


# Who is in it


class Source(Audience):
    def __init__(self, *people):
        self.people, self.times_read = people, 0

    def recipients(self, values_field=None):
        self.times_read += 1
        yield from self.people


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("wishes", [{}, {"silent_fail": True}, {"soft_fail": True}], ids=str)
@pytest.mark.parametrize(
    ("people", "words"),
    [((), "empty"), (range(1001), "1,000"), ([{}], "no identifier"), ([{"pear": 1}], "identifier|pear")],
    ids=["empty", "many", "nobody", "other"],
)
def test_people_who_cannot_be_asked_for(how, wishes, people, words, *, received, braze_emulator):
    source = Source(*people)
    with pytest.raises(BrazeWaitRefusedError, match=words) as caught:
        received(source, how=how, **wishes)
    assert isinstance(caught.value, AirflowException)
    assert "sent" not in str(caught.value)
    assert source.times_read == 1
    assert braze_emulator.summary()["requests"] == 0


# From when on


def ago(**span):
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


def held_back(**span):
    """The context of a run that was due long ago."""
    due = datetime.now(UTC) - timedelta(**span)
    return {"dag_run": type("Run", (), {"run_after": due, "run_id": "r"})()}


@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_a_send_that_was_held_back_has_its_grace(how, received, braze_emulator, after_looks):
    """Those whom the send creates are there minutes after it, not minutes after the run was due."""
    braze_emulator.reset({"everyone_is_known": False})
    with pytest.raises(BrazeWaitFailedError, match="unknown"):
        received(["new-1"], how=how, context=held_back(hours=1))

    def create():
        braze_emulator.add_users([{"external_id": "new-1"}])
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=["new-1"]).execute({})

    after_looks(EXPORT, 4, create)
    report = {"accepted": 1, "began": ago(seconds=2)}
    assert received(["new-1"], how=how, context=held_back(hours=1), accepted=report)["received"] == 1


def test_receipts_of_before_the_delivery_do_not_count(received, send):
    send("u-1")
    later = {"accepted": 1, "began": (datetime.now(UTC) + timedelta(minutes=2)).isoformat()}
    with pytest.raises(AirflowSensorTimeout):
        received(["u-1"], accepted=later, timeout=0.05)
    assert received(["u-1"], accepted=[later, {"accepted": 1, "began": ago(minutes=1)}])["received"] == 1
    assert received(["u-1"], accepted=later, since=ago(minutes=1))["received"] == 1, "what the author says comes first"
    for untold in ({"accepted": 0, "began": None}, {}):
        assert received(["u-1"], accepted=untold)["received"] == 1, "then it is the run that counts"


@pytest.mark.parametrize("accepted", [7, "{'accepted': 1}", [7], [{"began": ago()}, None]], ids=str)
def test_what_is_no_report(accepted, received):
    with pytest.raises(BrazeWaitRefusedError, match="report"):
        received(["u-1"], accepted=accepted)
