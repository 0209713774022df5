"""Every operator against the emulator: what arrives, whom it reaches, and what it refuses."""

from __future__ import annotations

import importlib
import inspect
import json
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowException, BaseOperator
from airflow.sdk import DAG
from airflow.sdk import timezone as airflow_timezone

from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeForbiddenError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeValidationError,
)
from airflow_provider_braze.delivery import sender
from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeDeliveryError
from airflow_provider_braze.get_provider_info import get_provider_info
from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.operators.live_activity import (
    BrazeStartLiveActivityOperator,
    BrazeUpdateLiveActivityOperator,
)
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeDeleteScheduledCanvasOperator,
    BrazeDeleteScheduledMessagesOperator,
    BrazeListScheduledBroadcastsOperator,
    BrazeScheduleCampaignOperator,
    BrazeScheduleCanvasOperator,
    BrazeScheduleMessagesOperator,
    BrazeUpdateScheduledCampaignOperator,
    BrazeUpdateScheduledCanvasOperator,
    BrazeUpdateScheduledMessagesOperator,
)
from airflow_provider_braze.operators.send import (
    BrazeCreateSendIdOperator,
    BrazeSendCampaignOperator,
    BrazeSendCanvasOperator,
    BrazeSendMessagesOperator,
    BrazeSendTransactionalEmailOperator,
)

WEEKLY = CANVAS = GOLD = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
APP = "a1b2c3d4-0000-4000-8000-00000000000a"
VARIATION = "c0ffee00-0000-4000-8000-000000000001"
ALIAS = {"alias_name": "crm-1001", "alias_label": "crm_id"}
GOLD_MEMBERS = {"external_user_id:u-1": 1, "external_user_id:u-3": 1, "user_alias:crm_id:crm-1001": 1}
TIER = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
PUSH = {"android_push": {"alert": "Doors open at 9", "title": "Today"}}
EMAIL = {"email": {"app_id": APP, "from": "Shop <hello@mail.example.com>", "subject": "Picks", "body": "<p>Hi</p>"}}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
LATER = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=40)
PEOPLE = [f"p{number}" for number in range(120)]
LIVE = {"app_id": APP, "activity_id": "match-77", "content_state": {"home": 0}}
START = {
    **LIVE,
    "activity_attributes_type": "MatchActivity",
    "activity_attributes": {"home": "Reds"},
    "notification": {"alert": {"title": "Kick-off", "body": "Reds v Blues"}},
}

# Each operator with the least that it takes; the last of it is what tasks are mapped over.
LEAST = {
    BrazeSendMessagesOperator: {"messages": PUSH, "external_user_ids": ["u-1"]},
    BrazeSendCampaignOperator: {"campaign_id": WEEKLY, "recipients": ["u-1"]},
    BrazeSendCanvasOperator: {"canvas_id": CANVAS, "recipients": ["u-1"]},
    BrazeCreateSendIdOperator: {"campaign_id": WEEKLY},
    BrazeSendTransactionalEmailOperator: {"campaign_id": RECEIPT, "recipient": {"external_user_id": "u-1"}},
    BrazeScheduleMessagesOperator: {"messages": PUSH, "schedule": LATER, "external_user_ids": ["u-1"]},
    BrazeScheduleCampaignOperator: {"campaign_id": WEEKLY, "schedule": LATER, "recipients": ["u-1"]},
    BrazeScheduleCanvasOperator: {"canvas_id": CANVAS, "schedule": LATER, "recipients": ["u-1"]},
    BrazeUpdateScheduledMessagesOperator: {"schedule": LATER, "schedule_id": UNKNOWN},
    BrazeUpdateScheduledCampaignOperator: {"campaign_id": WEEKLY, "schedule": LATER, "schedule_id": UNKNOWN},
    BrazeUpdateScheduledCanvasOperator: {"canvas_id": CANVAS, "schedule": LATER, "schedule_id": UNKNOWN},
    BrazeDeleteScheduledMessagesOperator: {"schedule_id": UNKNOWN},
    BrazeDeleteScheduledCampaignOperator: {"campaign_id": WEEKLY, "schedule_id": UNKNOWN},
    BrazeDeleteScheduledCanvasOperator: {"canvas_id": CANVAS, "schedule_id": UNKNOWN},
    BrazeListScheduledBroadcastsOperator: {"end_time": "2031-04-30T00:00:00Z"},
    BrazeUpdateLiveActivityOperator: LIVE,
    BrazeStartLiveActivityOperator: {**START, "external_user_ids": ["u-1"]},
    BrazeCampaignBaselineOperator: {"campaign_id": WEEKLY},
    BrazeCanvasBaselineOperator: {"canvas_id": CANVAS},
}
# A key that may do nothing of all this.
SEGMENTS_ONLY = {"api_keys": [{"name": "Segments", "key": "segments-only", "permissions": ["segments.list"]}]}
SCHEDULES = {
    "messages": (
        BrazeScheduleMessagesOperator,
        BrazeUpdateScheduledMessagesOperator,
        BrazeDeleteScheduledMessagesOperator,
        {},
    ),
    "campaign": (
        BrazeScheduleCampaignOperator,
        BrazeUpdateScheduledCampaignOperator,
        BrazeDeleteScheduledCampaignOperator,
        {"campaign_id": WEEKLY},
    ),
    "canvas": (
        BrazeScheduleCanvasOperator,
        BrazeUpdateScheduledCanvasOperator,
        BrazeDeleteScheduledCanvasOperator,
        {"canvas_id": CANVAS},
    ),
}
KINDS = pytest.mark.parametrize("kind", SCHEDULES)
OPERATORS = pytest.mark.parametrize("operator", LEAST)


def undated(given):
    """An id without the hour, which may end while the workers of a test run collect: they must name the tests alike."""
    return type(given).__name__


@pytest.fixture
def run(braze_emulator):
    """Run an operator with a plain context; what it returns fits into XCom."""

    def execute(operator, task_context=None, /, **parameters):
        result = operator(**{"task_id": "t", **LEAST[operator], **parameters}).execute(task_context or {})
        assert type(result) is dict
        assert json.loads(json.dumps(result)) == result
        return result

    assert braze_emulator.requests() == []
    return execute


@pytest.fixture
def stopped(braze_emulator, run):
    """Run an operator that must refuse: nothing leaves, and the error is Airflow's and has these words."""

    def execute(error, *words, operator, task_context=None, **parameters):
        before = len(braze_emulator.requests())
        with pytest.raises(error) as caught:
            run(operator, task_context, **parameters)
        assert isinstance(caught.value, AirflowException)
        assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
        assert len(braze_emulator.requests()) == before
        return caught.value

    return execute


@pytest.fixture
def posted(braze_emulator):
    """Bodies of the requests, oldest first."""
    return lambda: [request["body"] for request in braze_emulator.requests()]


@pytest.fixture
def made(braze_emulator):
    """The emulator's schedules by state."""

    def of(state="waiting"):
        return [one["schedule_id"] for one in braze_emulator.schedules() if one["state"] == state]

    return of


class Instance(SimpleNamespace):
    """What operators ask of a task instance."""

    def xcom_push(self, key, value):
        self.pushed[key] = value


def attempt(number=1, run_id="scheduled__1", task_id="t", map_index=-1):
    names = {"dag_id": "d", "run_id": run_id, "task_id": task_id, "map_index": map_index}
    return {"ti": Instance(try_number=number, pushed={}, **names)}


# Messages


def test_messages_to_ids_and_aliases_are_split_together(run, posted, braze_emulator):
    aliases = [{"alias_name": f"a{number}", "alias_label": "crm_id"} for number in range(50)]
    report = run(BrazeSendMessagesOperator, external_user_ids=PEOPLE[:70], user_aliases=aliases)
    assert (report["recipients"], report["accepted"], report["requests"]) == (120, 120, 3)
    assert len(set(report["dispatch_ids"])) == 3
    sizes = [len(body.get("external_user_ids", [])) + len(body.get("user_aliases", [])) for body in posted()]
    assert sorted(sizes) == [20, 50, 50]
    assert [body["messages"] for body in posted()] == [PUSH] * 3
    assert len(braze_emulator.deliveries()) == 120
    assert set(braze_emulator.deliveries().values()) == {1}


def test_messages_to_recipients_of_either_kind(run, posted):
    run(
        BrazeSendMessagesOperator,
        recipients=["u-1", 7, {"user_alias": ALIAS}, {"external_user_id": "u-2"}],
        external_user_ids=["u-1", "u-3"],
    )
    [body] = posted()
    assert body["external_user_ids"] == ["u-1", 7, "u-2", "u-3"]
    assert body["user_aliases"] == [ALIAS]


def test_messages_to_a_segment(run, posted, braze_emulator):
    operator = BrazeSendMessagesOperator(task_id="t", messages=PUSH, segment_id=GOLD, broadcast=True)
    assert operator.execute({})["accepted"] == 0, "how many a broadcast reaches is not known"
    assert posted() == [{"messages": PUSH, "segment_id": GOLD, "broadcast": True}]
    assert braze_emulator.deliveries() == GOLD_MEMBERS


def test_messages_to_those_of_the_users_who_are_in_a_segment(run, posted, braze_emulator):
    run(BrazeSendMessagesOperator, external_user_ids=["u-1", "u-2"], segment_id=GOLD)
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}
    assert "broadcast" not in posted()[0]


def test_messages_with_all_the_fields(run, posted):
    content = {"email": {**EMAIL["email"], "message_variation_id": VARIATION}}
    fields = {
        "campaign_id": WEEKLY,
        "send_id": "weekly",
        "recipient_subscription_state": "all",
        "override_frequency_capping": False,
        "audience": TIER,
    }
    run(BrazeSendMessagesOperator, messages=content, **fields)
    assert posted() == [{"external_user_ids": ["u-1"], "messages": content, **fields}]


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"recipients": [{"external_user_id": "u-1", "trigger_properties": {"a": 1}}]}, BrazeAudienceError, ["same"]),
        (
            {"recipients": [{"email": "kim@example.com", "prioritization": ["identified"]}]},
            BrazeAudienceError,
            ["same"],
        ),
        ({"external_user_ids": None, "segment_id": GOLD, "broadcast": True}, BrazeAudienceError, ["missing"]),
        ({"external_user_ids": [], "segment_id": GOLD, "broadcast": True}, BrazeAudienceError, ["empty"]),
        ({"external_user_ids": [], "user_aliases": None, "segment_id": GOLD}, BrazeAudienceError, ["user_aliases"]),
        ({"broadcast": True}, BrazeValidationError, ["broadcast", "external_user_ids"]),
        ({"messages": {}}, BrazeValidationError, ["messages", "channel"]),
        ({"send_id": "x"}, BrazeValidationError, ["send_id", "campaign_id"]),
        ({"campaign_id": WEEKLY}, BrazeValidationError, ["message_variation_id"]),
    ],
)
def test_messages_that_are_refused(stopped, parameters, error, words):
    stopped(error, *words, operator=BrazeSendMessagesOperator, **parameters)


def test_messages_to_a_segment_need_the_word_broadcast(braze_emulator):
    for parameters in ({}, {"broadcast": False}, {"broadcast": None}, {"user_aliases": None, "broadcast": True}):
        operator = BrazeSendMessagesOperator(task_id="t", messages=PUSH, segment_id=GOLD, **parameters)
        with pytest.raises(BrazeAudienceError, match="nothing was sent"):
            operator.execute({})
    assert braze_emulator.requests() == []


def test_aliases_as_json_text(run, posted):
    """A template renders to text; ids and recipients may be JSON then, so may aliases."""
    run(BrazeSendMessagesOperator, external_user_ids='["u-1"]', user_aliases=json.dumps([ALIAS]))
    assert posted()[0]["user_aliases"] == [ALIAS]


@pytest.mark.parametrize("aliases", [7, ALIAS, "crm-1001", [7]])
def test_what_are_no_aliases(stopped, aliases):
    stopped(BrazeAudienceError, "alias", operator=BrazeSendMessagesOperator, user_aliases=aliases)


@pytest.mark.parametrize("operator", [BrazeSendMessagesOperator, BrazeScheduleMessagesOperator])
@pytest.mark.parametrize("missing", ["recipients", "user_aliases"])
def test_people_who_turn_out_missing_are_not_forgotten_beside_others(stopped, operator, missing):
    """None is what an upstream task without a result gives; alone it is refused, so it is beside other people."""
    stopped(BrazeAudienceError, missing, operator=operator, external_user_ids=["u-1"], **{missing: None})


# Campaigns and Canvases


def test_a_campaign_to_120_people(run, braze_emulator):
    report = run(BrazeSendCampaignOperator, recipients=PEOPLE)
    assert (report["accepted"], report["requests"]) == (120, 3)
    assert braze_emulator.summary()["max"] == 1


def test_a_canvas_with_values_for_each_and_for_all(run, posted, braze_emulator):
    people = ["u-1", {"external_user_id": "u-2", "context": {"cup": "nine"}}]
    report = run(BrazeSendCanvasOperator, recipients=people, context={"cup": "three"})
    assert (report["accepted"], report["errors"]) == (2, [])
    assert posted() == [
        {
            "canvas_id": CANVAS,
            "context": {"cup": "three"},
            "recipients": [{"external_user_id": "u-1"}, {"external_user_id": "u-2", "context": {"cup": "nine"}}],
        }
    ]
    bodies = sorted(message["body"] for message in braze_emulator.messages())
    assert bodies == ["Cup nine of ten is waiting for you.", "Cup three of ten is waiting for you."]


def test_columns_of_a_query_land_in_the_context(run, posted, warehouse):
    warehouse(
        "CREATE TABLE guests (id TEXT, cup INTEGER, drink TEXT, city TEXT)",
        "INSERT INTO guests VALUES ('u-1', 4, NULL, 'Faro'), ('u-2', 5, 'tea', NULL)",
    )
    query = 'SELECT id AS external_user_id, cup, drink AS "context.drink", city AS "attributes.city" FROM guests'
    run(BrazeSendCanvasOperator, recipients=SqlAudience("warehouse", query))
    assert posted()[0]["recipients"] == [
        {"external_user_id": "u-1", "context": {"cup": 4}, "attributes": {"city": "Faro"}},
        {"external_user_id": "u-2", "context": {"cup": 5, "drink": "tea"}},
    ]


def test_a_canvas_as_a_broadcast(posted):
    BrazeSendCanvasOperator(task_id="t", canvas_id=CANVAS, broadcast=True, audience=TIER).execute({})
    assert posted() == [{"canvas_id": CANVAS, "broadcast": True, "audience": TIER}]


@pytest.mark.parametrize(
    ("parameters", "error", "word"),
    [
        ({"recipients": None, "broadcast": True}, BrazeAudienceError, "nothing"),
        ({"context": {"a": "x" * 50_000}}, BrazeValidationError, "50 KB"),
        ({"recipients": [{"external_user_id": "u-1", "context": {"a": "x" * 50_000}}]}, BrazeAudienceError, "50 KB"),
        ({"canvas_id": ""}, BrazeValidationError, "canvas_id"),
    ],
)
def test_a_canvas_that_is_refused(stopped, parameters, error, word):
    stopped(error, word, operator=BrazeSendCanvasOperator, **parameters)


# Send ids


def test_a_send_id_of_64_characters(run, braze_emulator):
    assert run(BrazeCreateSendIdOperator, send_id="s" * 64)["send_id"] == "s" * 64
    made = run(BrazeCreateSendIdOperator)["send_id"]
    assert {row["send_id"] for row in braze_emulator.send_ids()} == {"s" * 64, made}


@pytest.mark.parametrize("send_id", ["s" * 65, "", "wöchentlich", 7])
def test_a_send_id_that_is_none(stopped, send_id):
    stopped(BrazeValidationError, "send_id", operator=BrazeCreateSendIdOperator, send_id=send_id)


@pytest.mark.usefixtures("early_in_the_hour")
def test_the_101st_send_id_of_a_day_says_so(run, braze_emulator):
    for number in range(100):
        run(BrazeCreateSendIdOperator, send_id=f"weekly-{number}")
    with pytest.raises(BrazeRateLimitError) as caught:
        run(BrazeCreateSendIdOperator, send_id="weekly-100")
    assert isinstance(caught.value, AirflowException)
    text = str(caught.value)
    assert "429" in text
    assert "100 a day" in text or "quota" in text.lower(), text
    assert len(braze_emulator.send_ids()) == 100


# Transactional e-mail


def test_a_second_try_delivers_nothing_more(run, posted, braze_emulator):
    first = run(BrazeSendTransactionalEmailOperator, attempt(), trigger_properties={"order": {"number": 9}})
    again = run(BrazeSendTransactionalEmailOperator, attempt(number=2), trigger_properties={"order": {"number": 9}})
    assert (first["status"], again) == ("sent", first)
    assert len(posted()) == 2
    assert len({body["external_send_id"] for body in posted()}) == 1
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize("other", [{"run_id": "scheduled__2"}, {"task_id": "other"}, {"map_index": 3}])
def test_another_run_or_task_delivers_again(run, posted, braze_emulator, other):
    run(BrazeSendTransactionalEmailOperator, attempt())
    run(BrazeSendTransactionalEmailOperator, attempt(**other))
    assert len({body["external_send_id"] for body in posted()}) == 2
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 2}


def test_an_id_of_ones_own_counts_over_runs(run, posted, braze_emulator):
    for number in (1, 2):
        run(BrazeSendTransactionalEmailOperator, attempt(run_id=f"r{number}"), external_send_id="receipt-9_/+=")
    assert [body["external_send_id"] for body in posted()] == ["receipt-9_/+="] * 2
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


def test_an_id_that_stands_for_another_campaigns_email_is_no_success(run, braze_emulator):
    """Confirmation and dispatch note of the same order: of the second one nothing goes out."""
    braze_emulator.add_campaign("dispatched", name="Dispatched", is_transactional=True, channel="email")
    run(BrazeSendTransactionalEmailOperator, attempt(), external_send_id="order-9")
    with pytest.raises(AirflowException, match="already"):
        run(BrazeSendTransactionalEmailOperator, attempt(), campaign_id="dispatched", external_send_id="order-9")
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize("kind", ["drop_after_acceptance", "garbage_201"])
def test_a_lost_answer_is_asked_for_again_since_braze_knows_the_id(run, braze_emulator, kind):
    braze_emulator.inject(kind)
    assert run(BrazeSendTransactionalEmailOperator, attempt())["status"] == "sent"
    assert len(braze_emulator.requests()) == 2
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"recipient": {"email": "kim@example.com"}}, "recipient"),
        ({"recipient": {"external_user_id": "u-1", "user_alias": ALIAS}}, "recipient"),
        ({"recipient": None}, "recipient"),
        ({"external_send_id": "receipt 9"}, "external_send_id"),
        ({"external_send_id": ""}, "external_send_id"),
        ({"campaign_id": ""}, "campaign_id"),
        ({"campaign_id": None}, "campaign_id"),
        ({"trigger_properties": {"a": "x" * 50_000}}, "50 KB"),
    ],
)
def test_a_transactional_email_that_is_refused(stopped, parameters, word):
    stopped(
        BrazeValidationError, word, operator=BrazeSendTransactionalEmailOperator, task_context=attempt(), **parameters
    )


def test_a_campaign_that_is_not_transactional(run, braze_emulator):
    with pytest.raises(BrazeBadRequestError, match="not transactional"):
        run(BrazeSendTransactionalEmailOperator, attempt(), campaign_id=WEEKLY)
    assert braze_emulator.deliveries() == {}


# Schedules


@KINDS
def test_a_schedule_for_120_people(run, made, braze_emulator, kind):
    operator = SCHEDULES[kind][0]
    people = "external_user_ids" if kind == "messages" else "recipients"
    report = run(operator, **{people: PEOPLE})
    assert (report["recipients"], report["accepted"], report["requests"]) == (120, 120, 3)
    assert sorted(report["schedule_ids"]) == sorted(made())
    assert len(set(report["schedule_ids"])) == 3
    assert {one["kind"] for one in braze_emulator.schedules()} == {kind}
    assert braze_emulator.deliveries() == {}
    braze_emulator.clock.advance(41 * 86_400)
    assert len(braze_emulator.deliveries()) == 120
    assert set(braze_emulator.deliveries().values()) == {1}


@KINDS
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (LATER, LATER.isoformat()),
        (LATER.astimezone(timezone(timedelta(hours=5, minutes=30))), None),
        (pendulum.instance(LATER).in_timezone("Europe/Lisbon"), None),
        (LATER.isoformat(), LATER.isoformat()),
        (LATER.strftime("%Y-%m-%dT%H:%M:%SZ"), None),
        (str(LATER), LATER.isoformat()),
        ({"time": LATER}, LATER.isoformat()),
        ({"time": str(LATER), "in_local_time": False}, LATER.isoformat()),
    ],
    ids=["datetime", "other zone", "pendulum", "ISO text", "Z", "space for T", "object", "object with text"],
)
def test_an_instant(run, braze_emulator, kind, given, sent):
    run(SCHEDULES[kind][0], schedule=given)
    time = braze_emulator.requests()[0]["body"]["schedule"]["time"]
    assert "T" in time
    assert datetime.fromisoformat(time) == LATER
    assert sent is None or time == sent
    [schedule] = braze_emulator.schedules()
    assert datetime.fromisoformat(schedule["due_at"]) == LATER


@KINDS
@pytest.mark.parametrize("flag", ["in_local_time", "at_optimal_time"])
@pytest.mark.parametrize("time", [LATER.replace(tzinfo=None), LATER.strftime("%Y-%m-%d %H:%M:%S")], ids=undated)
def test_a_local_time(run, posted, kind, flag, time):
    run(SCHEDULES[kind][0], schedule={"time": time, flag: True})
    assert posted()[0]["schedule"] == {"time": LATER.strftime("%Y-%m-%dT%H:%M:%S"), flag: True}


@KINDS
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (LATER.replace(tzinfo=None), ["schedule.time", "no time zone"]),
        (LATER.strftime("%Y-%m-%dT%H:%M:%S"), ["schedule.time", "no time zone"]),
        (LATER.strftime("%Y-%m-%d %H:%M:%S"), ["schedule.time", "no time zone"]),
        ({"time": LATER.strftime("%Y-%m-%dT%H:%M:%S"), "in_local_time": False}, ["no time zone"]),
        (LATER.strftime("%Y-%m-%d"), ["schedule.time"]),
        (LATER.date(), ["schedule.time"]),
        ({"time": LATER.strftime("%Y-%m-%d"), "in_local_time": True}, ["schedule", "time of day"]),
        ({"time": LATER, "in_local_time": True}, ["schedule", "in_local_time", "offset"]),
        ({"time": LATER.isoformat(), "at_optimal_time": True}, ["schedule", "at_optimal_time", "offset"]),
        (LATER - timedelta(days=41), ["schedule", "past"]),
        (str(LATER - timedelta(days=41)), ["schedule", "past"]),
        ({"time": (LATER - timedelta(days=43)).replace(tzinfo=None), "in_local_time": True}, ["schedule", "past"]),
        ("soon", ["schedule.time", "ISO 8601"]),
        ("", ["schedule.time", "ISO 8601"]),
        ({}, ["schedule.time"]),
        ({"time": None}, ["schedule.time"]),
        (1_900_000_000, ["schedule.time"]),
        ({"time": "9999-12-31T23:59:59", "in_local_time": True}, ["schedule"]),
    ],
    ids=undated,
)
def test_a_time_that_is_refused(stopped, made, kind, given, words):
    create, update, _, _ = SCHEDULES[kind]
    stopped(BrazeValidationError, *words, operator=create, schedule=given)
    stopped(BrazeValidationError, *words, operator=update, schedule=given)
    assert made() == []


@KINDS
def test_no_time_at_all(stopped, kind):
    create, update, _, _ = SCHEDULES[kind]
    stopped(BrazeValidationError, "schedule", operator=create, schedule=None)
    if kind != "messages":
        stopped(BrazeValidationError, "schedule", operator=update, schedule=None)


@KINDS
def test_a_time_is_asked_for_when_the_dag_is_parsed(kind):
    create, update, _, _ = SCHEDULES[kind]
    for operator in (create, update):
        timeless = {name: value for name, value in LEAST[operator].items() if name != "schedule"}
        with pytest.raises((TypeError, ValueError), match="schedule"):
            operator(task_id="t", **timeless)


def test_a_templated_time(posted, braze_emulator):
    with DAG("templated_time", schedule=None, start_date=airflow_timezone.datetime(2026, 1, 1)):
        at, local = (
            BrazeScheduleCampaignOperator(task_id=f"t{number}", campaign_id=WEEKLY, recipients=["u-1"], schedule=when)
            for number, when in enumerate(
                [
                    "{{ data_interval_end + macros.timedelta(days=1) }}",
                    {"time": "{{ day }} 09:00", "in_local_time": True},
                ]
            )
        )
    context = {"data_interval_end": LATER, "macros": SimpleNamespace(timedelta=timedelta), "day": LATER.date()}
    for operator in (at, local):
        operator.render_template_fields(dict(context))
        operator.execute({})
    assert [body["schedule"] for body in posted()] == [
        {"time": (LATER + timedelta(days=1)).isoformat()},
        {"time": f"{LATER:%Y-%m-%d}T09:00:00", "in_local_time": True},
    ]


@KINDS
def test_a_broadcast_is_scheduled_only_by_its_word(braze_emulator, made, kind):
    operator, _, _, ids = SCHEDULES[kind]
    more = {"messages": PUSH, "segment_id": GOLD} if kind == "messages" else {}
    for parameters in ({}, {"broadcast": False}, {"recipients": None, "broadcast": True}):
        with pytest.raises(BrazeAudienceError, match="nothing was sent"):
            operator(task_id="t", schedule=LATER, **ids, **more, **parameters).execute({})
    assert braze_emulator.requests() == []
    report = operator(task_id="t", schedule=LATER, broadcast=True, **ids, **more).execute({})
    assert report["schedule_ids"] == made()


def test_the_fields_of_scheduled_messages(run, posted):
    fields = {"override_messaging_limits": True, "recipient_subscription_state": "opted_in", "audience": TIER}
    run(BrazeScheduleMessagesOperator, user_aliases=[ALIAS], **fields)
    [body] = posted()
    time = {"time": LATER.isoformat()}
    assert body == {"external_user_ids": ["u-1"], "user_aliases": [ALIAS], "messages": PUSH, "schedule": time, **fields}


@pytest.fixture
def create(run):
    """Schedule something for some people; gives the ids."""

    def make(kind, count=120):
        operator = SCHEDULES[kind][0]
        people = "external_user_ids" if kind == "messages" else "recipients"
        return run(operator, **{people: PEOPLE[:count]})["schedule_ids"]

    return make


@KINDS
@pytest.mark.parametrize("many", [False, True])
def test_update_and_delete(run, create, braze_emulator, kind, many):
    _, update, delete, _ = SCHEDULES[kind]
    ids = create(kind) if many else create(kind, 1)
    given = ids if many else ids[0]
    local = {"time": (LATER + timedelta(days=2)).replace(tzinfo=None), "in_local_time": True}
    assert run(update, schedule_id=given, schedule=local) == {"schedule_ids": ids, "requests": len(ids)}
    assert {one["updates"] for one in braze_emulator.schedules()} == {1}
    assert {one["in_local_time"] for one in braze_emulator.schedules()} == {True}
    assert run(delete, schedule_id=given) == {"schedule_ids": ids, "requests": len(ids)}
    assert {one["state"] for one in braze_emulator.schedules()} == {"deleted"}
    braze_emulator.clock.advance(50 * 86_400)
    assert braze_emulator.deliveries() == {}


def test_new_content_for_scheduled_messages(run, create, posted, braze_emulator):
    [schedule_id] = create("messages", 1)
    run(BrazeUpdateScheduledMessagesOperator, schedule_id=schedule_id, schedule=None, messages=EMAIL)
    assert posted()[-1] == {"schedule_id": schedule_id, "messages": EMAIL}
    assert braze_emulator.schedules()[0]["body"]["messages"] == EMAIL


@KINDS
@pytest.mark.parametrize("nothing", [[], (), "[]"])
def test_an_empty_list_is_nothing_to_do(run, braze_emulator, kind, nothing):
    """As a create gives it with ``allow_empty``, and a dry run."""
    for operator in SCHEDULES[kind][1:3]:
        assert run(operator, schedule_id=nothing) == {"schedule_ids": [], "requests": 0}
    assert braze_emulator.requests() == []


@KINDS
def test_ids_that_nobody_left_are_an_error(stopped, kind):
    """What is None was never told: there may be schedules that go out."""
    for operator in SCHEDULES[kind][1:3]:
        stopped(BrazeValidationError, "schedule_id", operator=operator, schedule_id=None)


@KINDS
@pytest.mark.parametrize("nonsense", ["", [""], [None], [7]])
def test_what_is_no_schedule_id(stopped, kind, nonsense):
    for operator in SCHEDULES[kind][1:3]:
        stopped(BrazeValidationError, "schedule_id", operator=operator, schedule_id=nonsense)


@KINDS
def test_an_unknown_schedule_among_others(run, create, made, kind):
    _, update, delete, _ = SCHEDULES[kind]
    ids = create(kind)
    for operator in (update, delete):
        with pytest.raises(BrazeBadRequestError, match=UNKNOWN) as caught:
            run(operator, schedule_id=[ids[0], UNKNOWN, *ids[1:]])
        assert isinstance(caught.value, AirflowException)
    assert sorted(made("deleted")) == sorted(ids)


@pytest.fixture
def one_at_a_time(braze_emulator, connection, monkeypatch):
    """So that a fault strikes all tries of one call, and soon."""
    monkeypatch.setattr(sender, "LONGEST_BACKOFF", 0.01)
    connection(extra={"lanes": 1})


@KINDS
def test_deleted_twice(run, create, made, kind):
    delete = SCHEDULES[kind][2]
    ids = create(kind)
    run(delete, schedule_id=ids[:2])
    with pytest.raises(BrazeBadRequestError) as caught:
        run(delete, schedule_id=ids)
    assert ids[0] in str(caught.value)
    assert sorted(made("deleted")) == sorted(ids), "those that were left are deleted all the same"


@KINDS
@pytest.mark.usefixtures("one_at_a_time")
def test_an_error_names_its_schedule_also_where_braze_does_not(run, create, made, braze_emulator, kind):
    delete = SCHEDULES[kind][2]
    ids = create(kind)
    braze_emulator.inject("server_error", status=503, skip=1, times=sender.MOST_TRIES)
    with pytest.raises(BrazeServerError) as caught:
        run(delete, schedule_id=ids)
    assert sorted(made("deleted")) == sorted([ids[0], ids[2]])
    assert ids[1] in str(caught.value)
    assert ids[0] not in str(caught.value)


def test_every_schedule_that_failed_is_named(run, create):
    [schedule_id] = create("campaign", 1)
    other = UNKNOWN.replace("4000", "4001")
    with pytest.raises(BrazeBadRequestError) as caught:
        run(BrazeDeleteScheduledCampaignOperator, schedule_id=[UNKNOWN, schedule_id, other])
    assert [one for one in (UNKNOWN, other) if one not in str(caught.value)] == []


def test_the_schedule_of_another_campaign_stays(run, create, made):
    [schedule_id] = create("campaign", 1)
    for operator in (BrazeDeleteScheduledCampaignOperator, BrazeUpdateScheduledCampaignOperator):
        with pytest.raises(BrazeBadRequestError):
            run(operator, campaign_id=WIN_BACK, schedule_id=schedule_id)
    assert made() == [schedule_id]


@KINDS
def test_a_delete_is_a_teardown(kind):
    create, _, delete, ids = SCHEDULES[kind]
    with DAG("teardown", schedule=None, start_date=airflow_timezone.datetime(2026, 1, 1)) as dag:
        made = create(**{"task_id": "create", **LEAST[create]})
        gone = delete(task_id="delete", schedule_id=made.output["schedule_ids"], **ids).as_teardown(setups=made)
    assert (made.is_setup, gone.is_teardown) == (True, True)
    assert dag.get_task("delete").upstream_task_ids == {"create"}


def with_dag(name):
    return DAG(name, schedule=None, start_date=airflow_timezone.datetime(2026, 1, 1))


def test_a_teardown_deletes_what_was_made(run_dag, made):
    with with_dag("schedules_and_deletes") as dag:
        create = BrazeScheduleCampaignOperator(task_id="create", campaign_id=WEEKLY, schedule=LATER, recipients=PEOPLE)
        BrazeDeleteScheduledCampaignOperator(
            task_id="delete", campaign_id=WEEKLY, schedule_id=create.output["schedule_ids"]
        ).as_teardown(setups=create)
    assert str(run_dag(dag).state) == "success"
    assert (made(), len(made("deleted"))) == ([], 3)


def test_what_mapped_tasks_made_is_deleted(run_dag, made):
    with with_dag("schedules_mapped") as dag:
        create = BrazeScheduleCampaignOperator.partial(task_id="create", campaign_id=WEEKLY, schedule=LATER).expand(
            recipients=[PEOPLE[:60], PEOPLE[60:]]
        )
        BrazeDeleteScheduledCampaignOperator(
            task_id="delete", campaign_id=WEEKLY, schedule_id=create.output["schedule_ids"]
        )
    state = str(run_dag(dag).state)
    assert len(made()) + len(made("deleted")) == 4
    assert (state == "success") is (made() == []), "success means that all are deleted"
    assert state == "success", "the ids of mapped tasks come as one list per task"


@pytest.mark.parametrize("teardown", [True, False])
def test_a_create_that_failed_leaves_nothing_to_delete(run_dag, braze_emulator, teardown):
    """As a teardown the delete does not even run: its setup failed."""
    with with_dag("fails_and_deletes") as dag:
        create = BrazeScheduleCampaignOperator(task_id="create", campaign_id=WEEKLY, schedule=LATER, recipients=[])
        delete = BrazeDeleteScheduledCampaignOperator(
            task_id="delete",
            campaign_id=WEEKLY,
            schedule_id=create.output["schedule_ids"],
            trigger_rule="all_success" if teardown else "all_done",
        )
        if teardown:
            delete.as_teardown(setups=create)
    states = {one.task_id: str(one.state) for one in run_dag(dag).get_task_instances()}
    assert states == {"create": "failed", "delete": "upstream_failed" if teardown else "success"}
    assert braze_emulator.requests() == []


@pytest.fixture
def halfway(connection, braze_emulator):
    """The second of three requests is refused."""
    connection(extra={"lanes": 1})
    braze_emulator.inject("html_error_page", status=403, skip=1)


@KINDS
@pytest.mark.usefixtures("halfway")
def test_a_create_that_failed_halfway_tells_the_ids(run, made, kind):
    people = "external_user_ids" if kind == "messages" else "recipients"
    context = attempt()
    with pytest.raises(BrazeDeliveryError) as caught:
        run(SCHEDULES[kind][0], context, **{people: PEOPLE})
    assert caught.value.report["schedule_ids"] == made() == context["ti"].pushed["schedule_ids"]
    assert len(made()) == 1


@KINDS
@pytest.mark.usefixtures("halfway")
def test_a_delivery_error_is_not_lost_where_nothing_can_be_kept(run, kind):
    """As where the API server is away when the ids are to be pushed; here there is no task instance at all."""
    people = "external_user_ids" if kind == "messages" else "recipients"
    with pytest.raises(BrazeDeliveryError, match="Not everybody got through"):
        run(SCHEDULES[kind][0], **{people: PEOPLE})


@pytest.mark.usefixtures("halfway")
def test_what_was_made_before_a_failure_is_deleted(run_dag, made):
    with with_dag("fails_halfway") as dag:
        create = BrazeScheduleCampaignOperator(task_id="create", campaign_id=WEEKLY, schedule=LATER, recipients=PEOPLE)
        BrazeDeleteScheduledCampaignOperator(
            task_id="delete",
            campaign_id=WEEKLY,
            schedule_id=create.output["schedule_ids"],
            trigger_rule="one_failed",
        ).set_upstream(create)
    states = {one.task_id: str(one.state) for one in run_dag(dag).get_task_instances()}
    assert states == {"create": "failed", "delete": "success"}
    assert (made(), len(made("deleted"))) == ([], 1)


# What the dashboard has scheduled


@pytest.mark.parametrize(
    "end_time",
    [
        "2031-04-30T00:00:00Z",
        "2031-04-30T00:00:00+02:00",
        datetime(2031, 4, 30, tzinfo=UTC),
        pendulum.datetime(2031, 4, 30),
    ],
)
def test_scheduled_broadcasts(run, create, end_time):
    create("campaign", 1)
    rows = run(BrazeListScheduledBroadcastsOperator, end_time=end_time)["scheduled_broadcasts"]
    assert [row["name"] for row in rows] == ["Sunday roast letter"], "not what the API scheduled"
    assert run(BrazeListScheduledBroadcastsOperator, end_time="2031-01-01T00:00:00Z")["scheduled_broadcasts"] == []


@pytest.mark.parametrize("end_time", [None, "", "tomorrow", 7])
def test_scheduled_broadcasts_until_no_time(stopped, end_time):
    stopped(BrazeValidationError, "end_time", operator=BrazeListScheduledBroadcastsOperator, end_time=end_time)


# Live activities


def activity(braze):
    [found] = [one for one in braze.live_activities() if one["activity_id"] == "match-77"]
    return found


def test_a_live_activity_for_60_users(run, posted, braze_emulator):
    report = run(BrazeStartLiveActivityOperator, external_user_ids=PEOPLE[:60])
    assert (report["accepted"], report["requests"]) == (60, 2)
    assert sorted(len(body["external_user_ids"]) for body in posted()) == [10, 50]
    assert {key: value for key, value in posted()[0].items() if key != "external_user_ids"} == START
    assert len(activity(braze_emulator)["recipients"]) == 60
    assert set(braze_emulator.deliveries().values()) == {1}


@pytest.mark.parametrize("target", [{"segment_id": GOLD}, {"custom_audience": TIER}])
def test_a_live_activity_for_a_segment_or_an_audience(posted, braze_emulator, target):
    BrazeStartLiveActivityOperator(task_id="t", **START, **target).execute({})
    assert posted() == [{**START, **target}]
    assert len(activity(braze_emulator)["recipients"]) == 3


@pytest.mark.parametrize("users", ["external_user_ids", "recipients"])
@pytest.mark.parametrize("nobody", [None, []])
@pytest.mark.parametrize("target", [{"segment_id": GOLD}, {"custom_audience": TIER}])
def test_users_that_turn_out_missing_never_mean_a_segment(braze_emulator, users, nobody, target):
    operator = BrazeStartLiveActivityOperator(task_id="t", **START, **target, **{users: nobody})
    with pytest.raises((BrazeAudienceError, BrazeValidationError)):
        operator.execute({})
    assert braze_emulator.requests() == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"external_user_ids": ["u-1"], "segment_id": GOLD},
        {"external_user_ids": ["u-1"], "custom_audience": TIER},
        {"segment_id": GOLD, "custom_audience": TIER},
        {"recipients": [{"user_alias": ALIAS}]},
        {"recipients": [{"external_user_id": "u-1", "trigger_properties": {"a": 1}}]},
        {"external_user_ids": ["u-1"], "notification": {}},
        {"external_user_ids": ["u-1"], "notification": None},
        {"external_user_ids": ["u-1"], "stale_date": "tonight"},
        {},
        {"segment_id": ""},
        {"custom_audience": {}},
    ],
)
def test_a_live_activity_that_is_refused(braze_emulator, parameters):
    with pytest.raises((BrazeAudienceError, BrazeValidationError)) as caught:
        BrazeStartLiveActivityOperator(task_id="t", **{**START, **parameters}).execute({})
    assert isinstance(caught.value, AirflowException)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("more", [{"audience": TIER}, {"broadcast": False}, {"broadcast": True}])
def test_a_live_activity_reaches_nobody_whom_its_author_left_out(braze_emulator, more):
    """The endpoint has neither audience nor broadcast: dropping what was written would widen the call."""
    everyone = "7b1d4c3e-1111-4a4a-8b8b-222233334444"
    with pytest.raises((AirflowException, TypeError)):
        BrazeStartLiveActivityOperator(task_id="t", **START, segment_id=everyone, **more).execute({})
    assert braze_emulator.requests() == []


def test_a_live_activity_goes_on_and_ends(run, posted, braze_emulator):
    run(BrazeStartLiveActivityOperator)
    run(BrazeUpdateLiveActivityOperator, content_state={"home": 1}, stale_date=LATER)
    assert activity(braze_emulator)["content_state"] == {"home": 1}
    assert activity(braze_emulator)["state"] == "active"
    end = {"content_state": {"home": 2}, "end_activity": True, "dismissal_date": LATER.isoformat()}
    for _ in range(2):
        run(BrazeUpdateLiveActivityOperator, **end, notification={"alert": {"title": "Over", "body": "2:0"}})
    ended = activity(braze_emulator)
    assert (ended["state"], ended["content_state"]) == ("ended", {"home": 2})
    assert datetime.fromisoformat(ended["dismissal_date"]) == LATER
    assert datetime.fromisoformat(posted()[1]["stale_date"]) == LATER


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"content_state": None}, "content_state"),
        ({"activity_id": ""}, "activity_id"),
        ({"dismissal_date": "tonight"}, "dismissal_date"),
        ({"notification": {"extra": {"aps": 1}, "alert": "x"}}, "aps"),
        ({"end_activity": "yes"}, "end_activity"),
    ],
)
def test_a_live_activity_update_that_is_refused(stopped, parameters, word):
    stopped(BrazeValidationError, word, operator=BrazeUpdateLiveActivityOperator, **parameters)


# All of them


def test_the_table_above_has_every_operator():
    modules = [
        importlib.import_module(name) for row in get_provider_info()["operators"] for name in row["python-modules"]
    ]
    public = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseOperator) and value.__module__ == module.__name__
    }
    assert {operator for operator in public if operator.__name__.startswith("Braze")} == set(LEAST)


@OPERATORS
def test_a_key_without_the_permission(run, connection, operator, braze_emulator):
    braze_emulator.reset(SEGMENTS_ONLY)
    connection(password="segments-only")
    with pytest.raises(AirflowException, match="permission"):
        run(operator, attempt())


@OPERATORS
def test_a_key_without_the_permission_is_a_braze_error(run, connection, operator, braze_emulator):
    braze_emulator.reset(SEGMENTS_ONLY)
    connection(password="segments-only")
    with pytest.raises(Exception, match="403") as caught:
        run(operator, attempt())
    assert isinstance(caught.value, BrazeForbiddenError) or hasattr(caught.value, "report")


@OPERATORS
def test_every_template_field_is_an_attribute(operator):
    made = operator(task_id="t", **LEAST[operator])
    assert [name for name in operator.template_fields if not hasattr(made, name)] == []
    assert len(set(operator.template_fields)) == len(operator.template_fields)
    assert [name for name in operator.payload_fields if not hasattr(made, name)] == []


@OPERATORS
def test_every_operator_has_the_link_to_the_dashboard(operator):
    made = operator(task_id="t", **LEAST[operator])
    assert [link.name for link in made.operator_extra_links] == ["Braze dashboard"]


@OPERATORS
def test_every_parameter_is_documented_somewhere_above(operator):
    texts = [kind.__doc__ or "" for kind in operator.__mro__ if kind.__module__.startswith("airflow_provider_braze")]
    names = {
        name
        for kind in operator.__mro__
        if kind.__module__.startswith("airflow_provider_braze") and "__init__" in vars(kind)
        for name, one in inspect.signature(kind.__init__).parameters.items()
        if name != "self" and one.kind is not one.VAR_KEYWORD
    }
    assert {name for name in names if not any(f":param {name}:" in text for text in texts)} == set()


@OPERATORS
def test_every_operator_can_be_mapped_over_each_of_its_parameters(operator):
    for name in LEAST[operator]:
        fixed = {key: value for key, value in LEAST[operator].items() if key != name}
        with DAG("mapped", schedule=None, start_date=airflow_timezone.datetime(2026, 1, 1)) as dag:
            operator.partial(task_id="t", **fixed).expand(**{name: [LEAST[operator][name]] * 2})
            operator.partial(task_id="kwargs", **fixed).expand_kwargs([{name: LEAST[operator][name]}])
        assert set(dag.task_ids) == {"t", "kwargs"}


@OPERATORS
def test_no_operator_calls_anything_while_a_dag_is_parsed(braze_emulator, operator):
    with DAG("parsed", schedule=None, start_date=airflow_timezone.datetime(2026, 1, 1)):
        operator(task_id="t", **LEAST[operator])
    assert braze_emulator.requests() == []
