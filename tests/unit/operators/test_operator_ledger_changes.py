"""What a run changes after it began to send: its ledger, its key, its lists, its number of parts, its filter."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from task_states import TaskState, instance

from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeDeliveryError, BrazeLedgerError
from airflow_provider_braze.operators.live_activity import BrazeStartLiveActivityOperator
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
OTHER = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
APP = "a1b2c3d4-0000-4000-8000-00000000000a"
SEGMENTS = ["7b1d4c3e-1111-4a4a-8b8b-222233334444", "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"]
MANY = [f"p{number}" for number in range(150)]


def run(recipients=None, *, index=-1, cleared=0, retried=0, store=None, **parameters):
    """Run a try of a mapped task, after so many clears and retries."""
    task = instance(try_number=1 + cleared + retried, max_tries=cleared, map_index=index)
    began = datetime.now(UTC)
    dag_run = SimpleNamespace(clear_number=cleared, run_id="r", run_type="scheduled", run_after=began)
    given = {"ti": task, "dag_run": dag_run} | ({} if store is None else {"task_state_store": store})
    more = {} if recipients is None else {"recipients": recipients}
    return BrazeSendCampaignOperator(task_id="t", **{"campaign_id": WEEKLY, **more, **parameters}).execute(given)


@pytest.mark.parametrize("cleared", [0, 1])
@pytest.mark.parametrize("doubt", [False, True])
def test_a_ledger_of_ones_own_that_comes_later_is_refused(ledger, people, braze_emulator, cleared, doubt):
    """It knows nobody whom the earlier tries messaged."""
    store, then = TaskState(), {"cleared": cleared, "retried": 1 - cleared}
    if doubt:
        braze_emulator.inject("drop_after_acceptance")
        with pytest.raises(BrazeDeliveryError):
            run(MANY, store=store)
    else:
        run(MANY, store=store)
    with pytest.raises(BrazeLedgerError, match="Take the ledger away again to finish this run"):
        run(MANY, store=store, ledger=ledger, on_unknown="resend", on_clear="resend", **then)
    report = run(MANY, store=store, on_unknown="skip", **then)
    assert report["accepted"] + report["unknown"] == 150
    assert max(people().values()) == 1


def test_a_ledger_may_come_before_anything_was_sent(ledger, people):
    store = TaskState()
    with pytest.raises(BrazeAudienceError):
        run([], store=store)
    run(MANY, store=store, ledger=ledger, retried=1)
    assert people() == dict.fromkeys(sorted(MANY), 1)


@pytest.mark.parametrize("cleared", [0, 1])
def test_a_key_that_comes_later_is_refused(ledger, people, cleared):
    then = {"cleared": cleared, "retried": 1 - cleared, "ledger": ledger}
    run(MANY[:100], ledger=ledger)
    with pytest.raises(BrazeLedgerError, match="Take the key away again to finish this run"):
        run(MANY, delivery_key="week 47", **then)
    assert run(MANY, **then)["accepted_before"] == 100
    assert people() == dict.fromkeys(sorted(MANY), 1)


LISTS = [MANY[:75], MANY[75:]]


def test_mapped_lists_in_another_order_after_a_clear_are_refused(ledger, people):
    """As an upstream query without ORDER BY gives them when it is run again."""
    for index, recipients in enumerate(LISTS):
        run(recipients, index=index, ledger=ledger)
    for index, recipients in enumerate(reversed(LISTS)):
        with pytest.raises(BrazeAudienceError, match=f"map index {index}.*in another order"):
            run(recipients, index=index, cleared=1, ledger=ledger)
    for index, recipients in enumerate(LISTS):
        report = run([*recipients[::-1], f"new-{index}"], index=index, cleared=1, retried=1, ledger=ledger)
        assert (report["accepted"], report["accepted_before"]) == (76, 75)
    assert set(people().values()) == {1}


def test_a_key_knows_mapped_lists_in_any_order(ledger, people):
    for round_, lists in enumerate((LISTS, LISTS[::-1])):
        for index, recipients in enumerate(lists):
            run(recipients, index=index, cleared=round_, ledger=ledger, delivery_key="d/r/t")
    assert people() == dict.fromkeys(sorted(MANY), 1)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (1, 4)])
def test_another_number_of_parts_messages_nobody_twice(ledger, people, before, after):
    for round_, count in enumerate((before, after)):
        for index, part in enumerate(ListAudience(MANY).partitions(count)):
            run(part, index=index, cleared=round_, ledger=ledger)
    assert people() == dict.fromkeys(sorted(MANY), 1)


def test_parts_of_a_cleared_run_that_are_to_be_sent_again_are_sent_once_more(ledger, people):
    for round_, count in enumerate((2, 3)):
        for index, part in enumerate(ListAudience(MANY).partitions(count)):
            run(part, index=index, cleared=round_, ledger=ledger, on_clear="resend")
    assert people() == dict.fromkeys(sorted(MANY), 2)


@pytest.mark.parametrize("parts_first", [False, True])
def test_parts_that_are_crossed_with_campaigns_go_to_everybody_for_each(ledger, people, braze_emulator, parts_first):
    braze_emulator.add_campaign(OTHER, name="Other", state="active")
    parts = ListAudience(MANY).partitions(2)
    pairs = [(part, campaign) for campaign in (WEEKLY, OTHER) for part in parts]
    for index, (part, campaign) in enumerate(sorted(pairs, key=lambda pair: pair[0].index) if parts_first else pairs):
        run(part, index=index, campaign_id=campaign, ledger=ledger)
    assert people() == dict.fromkeys(sorted(MANY), 2)


def country(code):
    return {"custom_attribute": {"custom_attribute_name": "country", "comparison": "equals", "value": code}}


def broadcast(code, **given):
    return run(broadcast=True, audience=country(code), **given)


@pytest.mark.parametrize("same_task", [False, True])
def test_a_second_broadcast_under_a_key_to_others_is_no_success(ledger, braze_emulator, same_task):
    """The key knows no more of its people than that it went out, so that others would be left out in silence."""
    keyed = {"ledger": ledger, "delivery_key": "week 47"}
    broadcast("DE", index=0, **keyed)
    with pytest.raises(AirflowException, match="Give each audience a key of its own"):
        broadcast("FR", **({"index": 0, "cleared": 1} if same_task else {"index": 1}), **keyed)
    assert len([one for one in braze_emulator.requests() if one["status"] == 201]) == 1
    assert broadcast("DE", index=2, **keyed)["requests"] == 0


def test_a_live_activity_for_another_segment_under_a_key_is_no_success(ledger, braze_emulator):
    given = {"task_id": "t", "app_id": APP, "activity_id": "match-7", "activity_attributes_type": "Match"}
    given |= {"activity_attributes": {"home": "A"}, "content_state": {"score": 0}}
    given |= {"notification": {"alert": {"title": "Kick-off", "body": "Now"}}}
    given |= {"ledger": ledger, "delivery_key": "kick-off"}
    BrazeStartLiveActivityOperator(segment_id=SEGMENTS[0], **given).execute({})
    made = len(braze_emulator.requests())
    with pytest.raises(AirflowException, match="Give each audience a key of its own"):
        BrazeStartLiveActivityOperator(segment_id=SEGMENTS[1], **{**given, "task_id": "u"}).execute({})
    assert len(braze_emulator.requests()) == made
