"""Dry runs: what they say of those whom the ledger knows, and what they cannot know."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from task_states import TaskState, instance

from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError, BrazeResumableError
from airflow_provider_braze.operators.send import BrazeSendTransactionalEmailOperator

PEOPLE = [f"p{number}" for number in range(120)]
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
UNKNOWN = "00000000-0000-4000-8000-000000000000"

pytestmark = pytest.mark.usefixtures("braze_emulator")


@pytest.fixture(params=["task state", "sql", "sql with a key"])
def remembered(request, ledger):
    """What of Airflow's context and of the operator's parameters remembers a delivery."""
    if request.param == "task state":
        return {"task_state_store": TaskState()}, {}
    return {}, {"ledger": ledger, **({"delivery_key": "sale"} if "key" in request.param else {})}


def context(try_number=1, *, clears=0, run_id="r", **more):
    known = instance(try_number=try_number, max_tries=clears, run_id=run_id)
    return {"ti": known, "dag_run": SimpleNamespace(run_id=run_id, clear_number=clears), **more}


@pytest.fixture
def said(task):
    """Run a task dry, and give the first notice."""

    def run(told, **parameters):
        return task(dry_run=True, **parameters).execute(told)["notices"][0]

    return run


def test_those_whom_the_ledger_knows_are_told(task, said, people, remembered, braze_emulator):
    told, parameters = remembered
    everybody = "3 requests to 120 recipients would go out"
    assert said(context(**told), recipients=PEOPLE, **parameters).endswith(f"{everybody}.")
    braze_emulator.inject("echo_key_401", skip=2)
    with pytest.raises(BrazeResumableError):
        task(recipients=PEOPLE, **parameters).execute(context(**told))
    done = len(people())
    again = {"recipients": PEOPLE, **parameters}
    assert f"{everybody}, but the ledger knows {done} recipients from before" in said(context(2, **told), **again)
    cleared = context(2, clears=1, **told)
    assert said(cleared, on_clear="resend", **again).endswith(f"{everybody}."), "a clear begins anew"
    assert f"the ledger knows {done} recipients" in said(cleared, **again)
    assert task(recipients=PEOPLE, **parameters).execute(context(2, **told))["accepted_before"] == done


def test_those_in_doubt_are_among_them(task, said, remembered, braze_emulator):
    told, parameters = remembered
    braze_emulator.inject("drop_after_acceptance")
    with pytest.raises(BrazeDeliveryError):
        task(recipients=PEOPLE, **parameters).execute(context(**told))
    assert "the ledger knows 50 recipients" in said(context(2, **told), recipients=PEOPLE, **parameters)


def test_other_runs_with_the_key_are_told_and_without_are_not(task, said, ledger):
    task(recipients=PEOPLE[:70], ledger=ledger, delivery_key="sale").execute(context())
    other = {"recipients": PEOPLE, "ledger": ledger}
    assert "knows 70 recipients" in said(context(run_id="other"), **other, delivery_key="sale")
    assert "the ledger knows" not in said(context(run_id="other"), **other)


def test_a_broadcast_that_went_out(task, said, remembered):
    told, parameters = remembered
    task(broadcast=True, **parameters).execute(context(**told))
    notice = said(context(2, **told), broadcast=True, **parameters)
    assert "1 requests to a target audience would go out, but the ledger knows this from before" in notice


def test_an_empty_audience_is_no_broadcast(said):
    assert said({}, recipients=[], allow_empty=True) == (
        "Dry run, nothing was sent: 0 requests to 0 recipients would go out."
    )


def test_one_email_is_no_broadcast():
    recipient = {"external_user_id": "u-1"}
    operator = BrazeSendTransactionalEmailOperator(
        task_id="send", campaign_id=RECEIPT, recipient=recipient, dry_run=True
    )
    assert "one request to one recipient would go out" in operator.execute(context())["notices"][0]


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        ("rate_limited", {"retry_after": 0.1}),
        ("server_error", {"status": 503}),
        ("server_error", {"status": 504}),
    ],
)
def test_what_a_passing_trouble_keeps_from_being_asked_is_no_failure(task, braze_emulator, fault, more):
    """The real run never makes these calls."""
    path = "/campaigns/details"
    braze_emulator.inject(fault, path=path, **more)
    text = " ".join(task(recipients=PEOPLE, dry_run=True).execute({})["notices"])
    assert "Whether the campaign is active could not be checked" in text
    assert "The key has the permission" in text


def test_a_429_says_nothing_of_the_permission(task, braze_emulator):
    braze_emulator.inject("rate_limited", retry_after=0.1, path="/campaigns/trigger/send")
    text = " ".join(task(recipients=PEOPLE, dry_run=True).execute({})["notices"])
    assert "Whether the key has the permission campaigns.trigger.send could not be checked" in text
    assert "The key has the permission" not in text


def test_a_campaign_that_is_not_there_still_is_one(task):
    with pytest.raises(BrazeNobodyMessagedError, match="cannot be read"):
        task(campaign_id=UNKNOWN, recipients=PEOPLE, dry_run=True).execute({})
