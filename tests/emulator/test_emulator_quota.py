"""The pools of Braze's quota, with a clock that moves."""

import pytest
from emulator_support import CANVAS, EVERYONE, LIST, PAUSED, PUSH, WEEKLY

from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.specification import load_contract

ENDPOINTS = load_contract().endpoints


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
    assert 3500 < reset - braze.clock.now() <= 3600


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


def test_an_hour_that_a_seed_shortens(braze, caller):
    braze.reset({"rate_limits": {"default_hourly": {"limit": 2, "seconds": 30}}})
    to_next(braze, 30)
    first = caller.to("1")
    assert (first.headers["x-ratelimit-limit"], left(first)) == ("2", 1)
    reset = int(first.headers["x-ratelimit-reset"])
    assert reset % 30 == 0
    assert 0 < reset - braze.clock.now() <= 30
    assert [caller.to("1").status_code for _ in range(2)] == [201, 429]
    braze.clock.advance(30)
    assert left(caller.to("1")) == 1


def test_a_window_without_another_limit(braze, caller):
    braze.reset({"rate_limits": {"users_export_ids": {"seconds": 5}}})
    to_next(braze, 60)
    asked = {"external_ids": ["u-1"]}
    answer = caller.call("users_export_ids", asked)
    assert answer.headers["x-ratelimit-limit"] == "250"
    assert int(answer.headers["x-ratelimit-reset"]) - braze.clock.now() <= 5
    fast = caller.call("users_export_ids", {**asked, "fields_to_export": ["email"]})
    assert fast.headers["x-ratelimit-limit"] == "40", "the plan's limit is not raised"


@pytest.mark.parametrize("wanted", [{"seconds": 0}, {"minutes": 1}, {}, "many", {"seconds": 0.5}])
def test_windows_that_make_no_sense(braze, wanted):
    with pytest.raises(ValueError, match=r"rate_limits|many"):
        braze.reset({"rate_limits": {"default_hourly": wanted}})


def test_a_hundred_send_ids_a_day(braze, caller):
    to_next(braze, 86400)

    def make(send_id, campaign_id=WEEKLY):
        return caller.call("sends_id_create", {"campaign_id": campaign_id, "send_id": send_id})

    first = make("0")
    assert (first.headers["x-ratelimit-limit"], left(first)) == ("100", 99)
    assert left(make("0")) == 99, "a repeat makes nothing"
    assert left(make("0", "nope")) == 99, "nor does a refusal"
    assert left(make("0", PAUSED)) == 98, "another campaign makes another pair"
    assert [make(str(n)).status_code for n in range(1, 100)] == [201] * 98 + [429]
    assert left(caller.http.get(LIST)) == 249_999
    braze.clock.advance(86400)
    assert make("99").status_code == 201


def test_broadcasts_are_counted_over_all_five_endpoints(braze, caller):
    braze.reset({"rate_limits": {"broadcast_per_minute": 5}})
    to_next(braze, 3600)
    schedule = {"time": "2090-01-01T00:00:00Z"}
    calls = [
        ("messages_send", {"segment_id": EVERYONE, "messages": PUSH}),
        ("campaigns_trigger_send", {"campaign_id": WEEKLY}),
        ("canvas_trigger_send", {"canvas_id": CANVAS}),
        ("campaigns_trigger_schedule_create", {"campaign_id": WEEKLY, "schedule": schedule}),
        ("canvas_trigger_schedule_create", {"canvas_id": CANVAS, "schedule": schedule}),
    ]
    answers = [caller.call(name, {"broadcast": True, **body}) for name, body in calls]
    assert [(answer.status_code, left(answer)) for answer in answers] == [(201, n) for n in (4, 3, 2, 1, 0)]
    for name, body in calls:
        assert caller.call(name, {"broadcast": True, **body}).status_code == 429
    scheduled = {"broadcast": True, "segment_id": EVERYONE, "messages": PUSH, "schedule": schedule}
    answer = caller.call("messages_schedule_create", scheduled)
    assert (answer.status_code, left(answer)) == (201, 249_999), "this one has no broadcast limit"


def test_ten_a_minute_to_each_segment(braze, caller):
    to_next(braze, 3600)

    def broadcast(segment_id):
        body = {"broadcast": True, "segment_id": segment_id, "messages": PUSH}
        return caller.call("messages_send", body).status_code

    assert [broadcast(EVERYONE) for _ in range(11)] == [201] * 10 + [429]
    assert broadcast(WEEKLY) == 201


@pytest.mark.parametrize(
    ("endpoint_id", "limit", "seconds"),
    [("campaigns_data_series", "50000", 60), ("users_export_ids", "250", 60), ("transactional_send", "250000", 3600)],
)
def test_pools_of_their_own(braze, caller, endpoint_id, limit, seconds):
    to_next(braze, 3600)
    answer = caller.call(endpoint_id, caller.valid(endpoint_id))
    assert answer.headers["x-ratelimit-limit"] == limit
    assert left(answer) == int(limit) - 1
    assert int(answer.headers["x-ratelimit-reset"]) % seconds == 0
    assert left(caller.http.get(LIST)) == (249_998 if limit == "250000" else 249_999)


def test_the_fast_export(braze, caller):
    to_next(braze, 3600)

    def export(*fields):
        return caller.call("users_export_ids", {"external_ids": ["u-1"], "fields_to_export": list(fields)})

    before, fast = braze.clock.now(), export("email").headers
    assert fast["x-ratelimit-limit"] == "40"
    assert before < int(fast["x-ratelimit-reset"]) <= braze.clock.now() + 1, "of a second"
    assert export("email", "campaigns_received").headers["x-ratelimit-limit"] == "250"
    assert export().headers["x-ratelimit-limit"] == "250"
    braze.reset({"rate_limits": {"users_export_ids": 2500}})
    assert export("email").headers["x-ratelimit-limit"] == "2500"
    braze.reset({"rate_limits": {"users_export_ids_fast": {"limit": 1, "seconds": 3600}}})
    to_next(braze, 3600)
    assert [export("email").status_code for _ in range(2)] == [201, 429]
    braze.clock.advance(3600)
    assert export("email").status_code == 201


@pytest.mark.parametrize("endpoint_id", [name for name in HANDLERS if "default_hourly" in ENDPOINTS[name].buckets])
def test_the_shared_hour(braze, caller, endpoint_id):
    given = caller.valid(endpoint_id)
    to_next(braze, 3600)
    assert left(caller.call(endpoint_id, given)) == 249_999
    assert left(caller.http.get(LIST)) == 249_998
