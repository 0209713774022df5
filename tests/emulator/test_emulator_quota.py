"""The pools of Braze's quota, with a clock that moves."""

import pytest
from emulator_support import LIST


def left(answer):
    return int(answer.headers["x-ratelimit-remaining"])


def to_next(braze, seconds):
    """Into the beginning of the next window, so that no window ends inside a test."""
    braze.clock.advance(seconds - braze.clock.now() % seconds + 0.5)


def test_sends_and_reads_share_the_hourly_pool(braze, caller):
    to_next(braze, 3600)
    first = caller.to("1")
    assert (first.headers["x-ratelimit-limit"], left(first)) == ("250000", 249_999)
    assert left(caller.http.get(LIST)) == 249_998
    assert left(caller.send()) == 249_997
    reset = int(first.headers["x-ratelimit-reset"])
    assert reset % 3600 == 0
    assert 3590 < reset - braze.clock.now() <= 3600


def test_an_exhausted_hour(braze, caller):
    braze.reset({"rate_limits": {"default_hourly": 2}})
    to_next(braze, 3600)
    assert [caller.to("1").status_code for _ in range(3)] == [201, 201, 429]
    refused = caller.to("2")
    assert refused.json()["message"] == "Rate Limited"
    assert left(refused) == 0
    assert braze.deliveries() == {"external_user_id:1": 2}
    braze.clock.advance(3600)
    assert left(caller.to("3")) == 1


def test_unknown_callers_draw_nothing(braze, caller):
    to_next(braze, 3600)
    caller.http.get(LIST, headers={"Authorization": "Bearer wrong"})
    caller.http.get("/nope")
    assert left(caller.http.get(LIST)) == 249_999


def test_ten_broadcasts_a_minute_to_one_audience(braze, caller):
    to_next(braze, 3600)
    answers = [caller.send(broadcast=True) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [201] * 10 + [429]
    assert left(answers[0]) == 9
    assert 0 < int(answers[0].headers["x-ratelimit-reset"]) - braze.clock.now() <= 60
    tier = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
    assert caller.send(audience=tier).status_code == 201
    assert left(caller.to("1", audience=tier)) == 249_999
    braze.clock.advance(60)
    assert caller.send(broadcast=True).status_code == 201


def test_250_broadcasts_a_minute_in_all(braze, caller):
    braze.reset({"users": [], "campaigns": [{"id": f"c-{n}"} for n in range(26)]})
    to_next(braze, 3600)
    codes = [caller.send(campaign_id=f"c-{n % 26}", broadcast=True).status_code for n in range(251)]
    assert codes == [201] * 250 + [429]
    assert caller.to("1", campaign_id="c-1").status_code == 201


def test_an_unknown_pool_in_the_seed_is_refused(braze):
    with pytest.raises(ValueError, match="hourly"):
        braze.reset({"rate_limits": {"hourly": 1}})
