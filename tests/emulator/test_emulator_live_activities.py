"""Live activities, and the transactional email with its key."""

import httpx
import pytest
from emulator_support import APP, EVERYONE, EXAMPLES, PAUSED, RECEIPT, TIER, WEEKLY, later

START, UPDATE = "live_activity_start", "live_activity_update"


def start(caller, **fields):
    return caller.call(START, {**EXAMPLES[START]["valid"][0], **fields})


def update(caller, **fields):
    return caller.call(UPDATE, {"app_id": APP, "activity_id": "match-77", "content_state": {"home": 1}, **fields})


def match(braze):
    return next(one for one in braze.live_activities() if one["activity_id"] == "match-77")


def test_from_kick_off_to_the_end(braze, caller):
    assert start(caller).json() == {"message": "success"}
    assert match(braze)["content_state"] == {"home": 0, "away": 0}
    assert match(braze)["recipients"] == ["external_user_id:u-1"]
    assert braze.messages()[-1]["subject"] == "Kick-off"
    update(caller, stale_date=later(braze, 60))
    assert (match(braze)["state"], match(braze)["content_state"], match(braze)["updates"]) == ("active", {"home": 1}, 1)
    braze.clock.advance(61)
    assert match(braze)["state"] == "stale"
    update(caller, content_state={"home": 2}, end_activity=True, dismissal_date=later(braze, 600))
    assert (match(braze)["state"], match(braze)["content_state"]) == ("ended", {"home": 2})
    braze.clock.advance(601)
    assert match(braze)["state"] == "dismissed"
    assert braze.summary()["total"] == 1, "updates are no messages"


def test_after_the_end_nothing_moves(braze, caller):
    start(caller)
    update(caller, end_activity=True, content_state={"home": 3})
    again = update(caller, end_activity=True, content_state={"home": 4})
    assert (again.status_code, again.json()) == (201, {"message": "success"})
    assert (match(braze)["content_state"], match(braze)["ignored_updates"]) == ({"home": 3}, 1)


def test_a_dismissal_in_the_past_needs_the_end(braze, caller):
    start(caller)
    update(caller, dismissal_date="2020-01-01T00:00:00Z")
    assert match(braze)["state"] == "active"
    update(caller, dismissal_date="2020-01-01T00:00:00Z", end_activity=True)
    assert match(braze)["state"] == "dismissed"


def test_two_starts_alert_twice(braze, caller):
    start(caller)
    start(caller, external_user_ids=["u-1", "u-2"])
    assert braze.deliveries() == {"external_user_id:u-1": 2, "external_user_id:u-2": 1}
    assert match(braze)["recipients"] == ["external_user_id:u-1", "external_user_id:u-2"]
    assert "more than once" in caller.http.get("/").text


@pytest.mark.parametrize(("target", "reached"), [({"segment_id": EVERYONE}, 5), ({"custom_audience": TIER}, 3)])
def test_targets(strict, caller, target, reached):
    start(caller, external_user_ids=None, **target)
    assert len(match(strict)["recipients"]) == reached


def test_an_unknown_activity_may_have_been_started_in_the_app(braze, caller):
    assert update(caller).status_code == 201
    assert (match(braze)["recipients"], match(braze)["updates"]) == ([], 1)
    braze.reset({"everyone_is_known": False})
    assert update(caller).status_code == 201
    assert [one["activity_id"] for one in braze.live_activities()] == ["order-1042"]


def transact(caller, reference=None, person="u-1", campaign_id=RECEIPT, **recipient):
    body = {"recipient": {"external_user_id": person, **recipient}, "trigger_properties": {"order": {"number": 441}}}
    return caller.call("transactional_send", body | ({"external_send_id": reference} if reference else {}), campaign_id)


def test_a_transactional_email(strict, caller):
    answer = transact(caller, "b3JkZXItNDQx").json()
    assert (answer["status"], answer["metadata"]["campaign_api_id"]) == ("sent", RECEIPT)
    assert answer["metadata"]["external_send_id"] == "b3JkZXItNDQx"
    [message] = strict.messages()
    assert message["body"].startswith("Order 441 waits")
    assert message["dispatch_id"] == answer["dispatch_id"]


def test_the_same_key_within_a_day_sends_once(braze, caller):
    first, again = transact(caller, "key"), transact(caller, "key")
    assert (again.status_code, again.json()) == (201, first.json())
    braze.clock.advance(86399 - 60)
    transact(caller, "key")
    assert braze.summary()["total"] == 1
    braze.clock.advance(120)
    assert transact(caller, "key").json()["dispatch_id"] != first.json()["dispatch_id"]
    assert braze.summary()["total"] == 2


def test_a_lost_answer_can_be_asked_for_again(braze, caller):
    braze.inject("drop_after_acceptance")
    with pytest.raises(httpx.HTTPError):
        transact(caller, "key")
    assert transact(caller, "key").status_code == 201
    assert braze.deliveries() == {"external_user_id:u-1": 1}


def test_without_a_key_every_call_sends(braze, caller):
    transact(caller)
    transact(caller)
    assert braze.summary()["total"] == 2


def test_a_key_of_another_campaign(braze, caller):
    braze.add_campaign("t", is_transactional=True)
    transact(caller, "key")
    answer = transact(caller, "key", campaign_id="t")
    assert answer.status_code == 400
    assert "already queued" in answer.json()["errors"][0]


@pytest.mark.parametrize("key", ["", "ä", "a b", "a.b"])
def test_keys_that_are_refused(caller, key):
    body = {"recipient": {"external_user_id": "u-1"}, "external_send_id": key}
    assert "must match" in caller.call("transactional_send", body).json()["errors"][0]


@pytest.mark.parametrize("state", ["paused", "archived", "stopped", "draft"])
def test_a_transactional_campaign_at_rest_is_an_error(braze, caller, state):
    braze.add_campaign("t", is_transactional=True, state=state)
    answer = transact(caller, "key", campaign_id="t")
    assert (answer.status_code, answer.json()["message"]) == (400, f"Campaign is {state}")
    braze.add_campaign("t", is_transactional=True)
    assert transact(caller, "key", campaign_id="t").status_code == 201


@pytest.mark.parametrize("campaign_id", [WEEKLY, PAUSED])
def test_a_campaign_that_is_not_transactional(caller, campaign_id):
    assert transact(caller, campaign_id=campaign_id).json()["message"] == "Campaign is not transactional"


def test_people_of_a_transactional_email(strict, caller):
    transact(caller, person="nobody")
    assert strict.deliveries() == {}
    transact(caller, person="new", attributes={"email": "new@example.com"})
    transact(caller, person="u-4")
    assert strict.deliveries() == {"external_user_id:new": 1, "external_user_id:u-4": 1}, "also the unsubscribed"
    alias = {"alias_label": "crm_id", "alias_name": "crm-1001"}
    caller.call("transactional_send", {"recipient": {"user_alias": alias}})
    assert strict.summary()["total"] == 3
