"""What a task says where a request without a list of recipients, or one that Braze cannot be asked about, is in doubt.

A Braze that gives scripted answers: the emulator does not refuse what it has already queued.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from task_states import NEVER_EXPIRE, TaskState

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.errors import BrazeBadRequestError, identity_hash
from airflow_provider_braze.delivery.task_state import HEAD
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.operators.live_activity import BrazeStartLiveActivityOperator
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.send import (
    BrazeSendCampaignOperator,
    BrazeSendMessagesOperator,
    BrazeSendTransactionalEmailOperator,
)

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
LATER = "2099-04-07T09:00:00Z"


def context(try_number=1, store=None, clear_number=0):
    """What Airflow tells a try of one task."""
    task = SimpleNamespace(try_number=try_number, max_tries=1, dag_id="d", run_id="r", task_id="t", map_index=-1)
    task.xcom_push = lambda key, value: None
    run = SimpleNamespace(
        clear_number=clear_number, run_id="r", run_type="scheduled", run_after=datetime.now(UTC), start_date=None
    )
    return {"ti": task, "dag_run": run} | ({} if store is None else {"task_state_store": store})


def mail(given=None, **parameters):
    known = {"campaign_id": RECEIPT, "recipient": {"external_user_id": "u-1"}, **parameters}
    return BrazeSendTransactionalEmailOperator(task_id="t", **known).execute(given or context())


def sender(**parameters):
    return BrazeSendCampaignOperator(task_id="t", campaign_id=WEEKLY, **parameters)


QUEUED = httpx.Response(400, json={"message": "This external reference has already been queued for send"})
TAKEN = httpx.Response(201, json={"dispatch_id": "d", "status": "sent"})


@pytest.fixture
def braze_says(monkeypatch, connection):
    """A Braze that gives these answers in turn, None for one that is lost; gives how many requests it got."""

    connection(host="rest.example.com", password="key")

    def say(*answers):
        left = list(answers)

        def handle(_request):
            if (answer := left.pop(0)) is None:
                raise httpx.ReadError("reset")
            return answer

        monkeypatch.setattr("airflow_provider_braze.delivery.sender.LONGEST_BACKOFF", 0.01)
        monkeypatch.setattr(
            BrazeHook,
            "get_async_conn",
            lambda _: AsyncBrazeClient("rest.example.com", "key", transport=httpx.MockTransport(handle)),
        )
        return lambda: len(answers) - len(left)

    return say


@pytest.mark.parametrize("given", [{}, {"external_send_id": "order-1"}], ids=["derived id", "own id"])
def test_an_e_mail_in_doubt_that_braze_refuses_as_queued_is_there(braze_says, given):
    sent = braze_says(None, QUEUED)
    assert mail(context(store=TaskState()), **given)["status"] == "already sent"
    assert sent() == 2


def test_an_e_mail_that_an_earlier_try_left_in_doubt_is_there_where_braze_refuses_it_as_queued(braze_says, monkeypatch):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    store = TaskState()
    braze_says(None, None, QUEUED)
    with pytest.raises(AirflowException) as caught:
        mail(context(1, store), external_send_id="order-1")
    assert not isinstance(caught.value, AirflowFailException), "another try resolves it"
    assert mail(context(2, store), external_send_id="order-1")["status"] == "already sent"
    assert mail(context(3, store), external_send_id="order-1")["status"] == "already sent"


def test_an_id_of_the_authors_that_somebody_else_used_is_not_taken_for_this_e_mail(braze_says):
    store = TaskState()
    for try_number in (1, 2):
        braze_says(QUEUED)
        with pytest.raises(BrazeBadRequestError, match="already been queued"):
            mail(context(try_number, store), external_send_id="order-1")


@pytest.mark.parametrize("store", [None, TaskState()], ids=["no ledger", "ledger"])
def test_an_id_that_another_run_may_have_used_is_this_e_mail(braze_says, store):
    """So runs may look back over the same orders, as the example does."""
    braze_says(QUEUED)
    known = mail(context(store=store), external_send_id="order-1", allow_repeated=True)
    assert known["status"] == "already sent"


def test_an_e_mail_that_was_refused_for_another_reason_after_a_doubt_is_not_taken_for_sent(braze_says):
    braze_says(None, httpx.Response(400, json={"message": "Campaign is archived"}))
    with pytest.raises(AirflowException, match="in doubt"):
        mail(context(store=TaskState()), external_send_id="order-1")


def test_a_clear_cannot_send_an_id_of_the_authors_again():
    """Braze would drop it and the task succeed, though nobody gets the second one."""
    with pytest.raises(ValueError, match=r"on_clear='resend' .* Leave external_send_id out"):
        mail(external_send_id="order-1", on_clear="resend")


def test_an_e_mail_in_doubt_is_called_one_and_may_be_tried_again(braze_says, monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 1)
    braze_says(None)
    with pytest.raises(AirflowException) as caught:
        mail(context(store=TaskState()))
    text = str(caught.value)
    assert "The e-mail is in doubt (1 request)" in text
    assert "Let the task try again" in text
    assert [word for word in ("broadcast", "on_unknown", "reconcile", "u-1") if word in text + caplog.text] == []
    assert f"it went to: {identity_hash('u-1')}" in caplog.text


def test_an_old_e_mail_in_doubt_is_for_a_person_to_decide(braze_says, monkeypatch):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 1)
    store = TaskState()
    braze_says(None)
    with pytest.raises(AirflowException):
        mail(context(store=store))
    began = datetime.now(UTC) - timedelta(hours=25)
    store.set(HEAD, {**store.get(HEAD), "began": began.isoformat(timespec="seconds")}, retention=NEVER_EXPIRE)
    with pytest.raises(AirflowFailException) as caught:
        mail(context(2, store))
    assert "The e-mail is in doubt" in str(caught.value)
    assert "'skip' (leave it at that) or 'resend' (send it again)" in str(caught.value)
    assert "reconcile" not in str(caught.value)


def test_the_recipient_of_an_e_mail_is_not_named_in_its_refusal(braze_says, caplog):
    braze_says(httpx.Response(400, json={"message": "The user zebra-7 has no address"}))
    with pytest.raises(AirflowException) as caught:
        mail(context(store=TaskState()), recipient={"external_user_id": "zebra-7"})
    assert identity_hash("zebra-7") in str(caught.value)
    assert "zebra" not in str(caught.value) + caplog.text


# What is in doubt, and that nothing is left, in words that fit.


def doubts():
    """Give tasks without a note in the profiles, and what is in doubt of each."""
    segment = {"segment_id": "c1d2e3f4-5a6b-4c7d-8e9f-0a1b2c3d4e5f"}
    yield "broadcast", "The broadcast is in doubt", sender(broadcast=True)
    yield (
        "schedule",
        "1 recipients are in doubt",
        BrazeScheduleCampaignOperator(task_id="t", campaign_id=WEEKLY, schedule=LATER, recipients=["u-1"]),
    )
    yield (
        "messages",
        "1 recipients are in doubt",
        BrazeSendMessagesOperator(task_id="t", external_user_ids=["u-1"], messages=PUSH),
    )
    yield (
        "live activity",
        "The live activity is in doubt",
        BrazeStartLiveActivityOperator(task_id="t", **ACTIVITY, **segment),
    )


PUSH = {"apple_push": {"alert": "Hi"}}
COUNTED = {"apple_push": {"alert": "Hi", "message_variation_id": "c0ffee00-0000-4000-8000-000000000001"}}
ACTIVITY = {
    "app_id": "a1b2c3d4-0000-4000-8000-00000000000a",
    "activity_id": "match-1",
    "activity_attributes_type": "Match",
    "activity_attributes": {},
    "content_state": {},
    "notification": {"alert": {"title": "Hi", "body": "Hi"}},
}


@pytest.mark.parametrize(("words", "task"), [pytest.param(*rest, id=name) for name, *rest in doubts()])
def test_nobody_is_told_to_reconcile_what_leaves_no_note(braze_says, words, task):
    """It is refused when the DAG is parsed."""
    braze_says(None)
    with pytest.raises(AirflowException, match="set on_unknown to 'skip'") as caught:
        task.execute(context(store=TaskState()))
    assert words in str(caught.value)
    assert "reconcile" not in str(caught.value)


@pytest.mark.parametrize(
    "task",
    [
        sender(recipients=["u-1"]),
        BrazeSendMessagesOperator(task_id="t", external_user_ids=["u-1"], messages=COUNTED, campaign_id=WEEKLY),
    ],
    ids=["campaign", "messages"],
)
def test_reconcile_is_named_where_braze_can_be_asked(braze_says, task):
    braze_says(None)
    with pytest.raises(AirflowException, match=r"'reconcile' \(ask Braze who got it\)"):
        task.execute(context(store=TaskState()))


@pytest.fixture
def told(monkeypatch):
    """What operators tell in their log."""
    texts = []
    log = SimpleNamespace(info=lambda text, *_: texts.append(text), warning=lambda *_: None)
    monkeypatch.setattr(BrazeSendCampaignOperator, "log", log)
    return texts


def test_a_broadcast_that_went_out_says_that_nothing_is_left(braze_says, told):
    store = TaskState()
    braze_says(httpx.Response(201, json={"message": "success", "dispatch_id": "d"}))
    sender(broadcast=True).execute(context(store=store))
    assert told[-1] == "Done: 1 requests."
    sender(broadcast=True).execute(context(2, store))
    assert told[-1] == "Nothing was left to send: Braze took on the broadcast before."


def test_a_broadcast_that_is_left_in_doubt_says_so(braze_says, told):
    braze_says(None)
    sender(broadcast=True, on_unknown="skip").execute(context(store=TaskState()))
    assert told[-1] == "Done: the broadcast stays in doubt."
