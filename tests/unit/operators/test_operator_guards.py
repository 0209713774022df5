"""What a task looks at before anything is sent: its run, the workspace, the size of the audience, a dry run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk import DAG, timezone

from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeError
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeDeliveryError, BrazeNobodyMessagedError
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.delivery.task_state import TaskStateLedger
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
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
PAUSED, ARCHIVED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c", "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
PAUSED_CANVAS = "2b4e1c76-9121-4c77-9c77-4fac6181d332"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
PUSH = {"android_push": {"alert": "Doors open at 9", "title": "Today"}}
LATER = "2099-04-07T09:00:00Z"
LIVE = {"app_id": "a1b2c3d4-0000-4000-8000-00000000000a", "activity_id": "match-77", "content_state": {"home": 0}}
START = {
    **LIVE,
    "activity_attributes_type": "MatchActivity",
    "activity_attributes": {"home": "Reds"},
    "notification": {"alert": {"title": "Kick-off", "body": "Reds v Blues"}},
}
SENDING = {
    BrazeSendMessagesOperator: {"messages": PUSH, "external_user_ids": ["u-1"]},
    BrazeSendCampaignOperator: {"campaign_id": WEEKLY, "recipients": ["u-1"]},
    BrazeSendCanvasOperator: {"canvas_id": CANVAS, "recipients": ["u-1"]},
    BrazeSendTransactionalEmailOperator: {"campaign_id": RECEIPT, "recipient": {"external_user_id": "u-1"}},
    BrazeScheduleMessagesOperator: {"messages": PUSH, "schedule": LATER, "external_user_ids": ["u-1"]},
    BrazeScheduleCampaignOperator: {"campaign_id": WEEKLY, "schedule": LATER, "recipients": ["u-1"]},
    BrazeScheduleCanvasOperator: {"canvas_id": CANVAS, "schedule": LATER, "recipients": ["u-1"]},
    BrazeStartLiveActivityOperator: {**START, "external_user_ids": ["u-1"]},
}
CHANGING = {
    BrazeUpdateScheduledMessagesOperator: {"schedule_id": "messages", "schedule": LATER},
    BrazeUpdateScheduledCampaignOperator: {"schedule_id": "campaign", "campaign_id": WEEKLY, "schedule": LATER},
    BrazeUpdateScheduledCanvasOperator: {"schedule_id": "canvas", "canvas_id": CANVAS, "schedule": LATER},
    BrazeUpdateLiveActivityOperator: {**LIVE, "activity_id": "order-1042"},
}
HARMLESS = {
    BrazeDeleteScheduledMessagesOperator: {"schedule_id": []},
    BrazeDeleteScheduledCampaignOperator: {"schedule_id": [], "campaign_id": WEEKLY},
    BrazeDeleteScheduledCanvasOperator: {"schedule_id": [], "canvas_id": CANVAS},
    BrazeListScheduledBroadcastsOperator: {"end_time": LATER},
    BrazeCreateSendIdOperator: {"campaign_id": WEEKLY},
}
GUARDED = SENDING | CHANGING
DELIVERING = {kind: given for kind, given in SENDING.items() if kind is not BrazeSendTransactionalEmailOperator}
EACH = pytest.mark.parametrize("kind", GUARDED, ids=lambda kind: kind.__name__)


@pytest.fixture
def make(braze_emulator):
    """Make an operator of a kind, with the least that it takes; schedules to update are there."""

    def made(kind, **parameters):
        given = {**GUARDED.get(kind, {}), **HARMLESS.get(kind, {}), **parameters}
        creators = {
            "messages": BrazeScheduleMessagesOperator,
            "campaign": BrazeScheduleCampaignOperator,
            "canvas": BrazeScheduleCanvasOperator,
        }
        if creator := creators.get(str(given.get("schedule_id"))):
            given["schedule_id"] = creator(task_id="c", **SENDING[creator]).execute({})["schedule_ids"]
        return kind(**{"task_id": "t", **given})

    return made


def age(**of):
    return datetime.now(UTC) - timedelta(**of)


class Store(dict):
    """What a task may keep between tries."""

    def set(self, key, value, *, retention=None):
        self[key] = value

    def __bool__(self):
        return True


def context(*, run_type="scheduled", run_after=None, try_number=1, **more):
    """What Airflow tells a task of its run."""
    run = SimpleNamespace(
        run_id=f"{run_type}__1", run_type=run_type, run_after=run_after or datetime.now(UTC), clear_number=0
    )
    task = SimpleNamespace(
        try_number=try_number,
        dag_id="d",
        run_id="r",
        task_id="t",
        map_index=-1,
        max_tries=1,
        xcom_push=lambda key, value: None,
    )
    return {"dag_run": run, "ti": task, **more}


def kind_of_run(name, source):
    if source == "text":
        return name
    if source == "sdk":
        from airflow.sdk.api.datamodels._generated import DagRunType
    else:
        from airflow.utils.types import DagRunType
    return DagRunType(name)


def calls(emulator):
    """What was posted, without the schedules that the tests made themselves."""
    return [one["path"] for one in emulator.requests() if one["method"] == "POST"]


# Backfills.


@EACH
def test_a_backfill_messages_nobody(make, braze_emulator, kind, caplog):
    operator = make(kind)
    before = calls(braze_emulator)
    with pytest.raises(AirflowSkipException, match="belongs to a backfill: nobody is messaged"):
        operator.execute(context(run_type="backfill"))
    assert calls(braze_emulator) == before
    assert "on_backfill='send'" in caplog.text


@EACH
def test_a_backfill_may_be_an_error(make, braze_emulator, kind):
    operator = make(kind, on_backfill="fail")
    before = calls(braze_emulator)
    with pytest.raises(BrazeDeliveryError, match="belongs to a backfill") as caught:
        operator.execute(context(run_type="backfill"))
    assert isinstance(caught.value, AirflowFailException)
    assert calls(braze_emulator) == before


@EACH
def test_a_backfill_may_message_people(make, braze_emulator, kind):
    operator = make(kind, on_backfill="send")
    before = len(calls(braze_emulator))
    operator.execute(context(run_type="backfill"))
    assert len(calls(braze_emulator)) == before + 1


@pytest.mark.parametrize("source", ["text", "sdk", "core"])
def test_a_backfill_is_known_by_any_of_airflows_types(make, source):
    """The members of Airflow's two enumerations have different names."""
    with pytest.raises(AirflowSkipException):
        make(BrazeSendCampaignOperator).execute(context(run_type=kind_of_run("backfill", source)))


@pytest.mark.parametrize("source", ["text", "sdk", "core"])
@pytest.mark.parametrize("name", ["manual", "scheduled", "asset_triggered"])
def test_other_runs_are_no_backfill(make, braze_emulator, name, source):
    make(BrazeSendCampaignOperator, on_backfill="fail").execute(context(run_type=kind_of_run(name, source)))
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


# Old runs.


@EACH
@pytest.mark.parametrize("run_type", ["scheduled", "manual", "asset_triggered"])
def test_a_run_that_is_a_day_late_messages_nobody(make, braze_emulator, kind, run_type):
    operator = make(kind)
    before = calls(braze_emulator)
    with pytest.raises(AirflowSkipException, match=r"was due 25\.0 hours ago .* nobody is messaged"):
        operator.execute(context(run_type=run_type, run_after=age(hours=25)))
    assert calls(braze_emulator) == before


@EACH
def test_a_late_run_that_may_have_messaged_some_is_an_error(make, braze_emulator, kind):
    """Skipping would forget those who were not messaged."""
    operator = make(kind)
    before = calls(braze_emulator)
    with pytest.raises(BrazeDeliveryError, match="An earlier try may have messaged some") as caught:
        operator.execute(context(run_after=age(days=3), try_number=2))
    assert isinstance(caught.value, AirflowFailException)
    assert calls(braze_emulator) == before


@EACH
@pytest.mark.parametrize(("allowed", "late"), [(None, 4000), (timedelta(days=7), 6), (timedelta(days=1), 0.99)])
def test_a_late_run_may_message_people_where_the_author_says_so(make, braze_emulator, kind, allowed, late):
    operator = make(kind, max_staleness=allowed)
    before = len(calls(braze_emulator))
    operator.execute(context(run_after=age(days=late)))
    assert len(calls(braze_emulator)) == before + 1


def test_a_run_of_the_future_messages_people(make, braze_emulator):
    """A manual run may be due later than it was started, by the clocks of two machines."""
    make(BrazeSendCampaignOperator).execute(context(run_after=age(hours=-2)))
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@EACH
@pytest.mark.parametrize(
    "known",
    [{}, {"dag_run": None}, {"dag_run": SimpleNamespace()}, {"dag_run": SimpleNamespace(run_after=None, run_id="x")}],
    ids=["no run", "None", "an empty run", "a run without a date"],
)
def test_without_knowledge_of_a_run_it_messages_people(make, braze_emulator, kind, known):
    operator = make(kind)
    before = len(calls(braze_emulator))
    operator.execute(known)
    assert len(calls(braze_emulator)) == before + 1


@pytest.mark.parametrize("kind", HARMLESS, ids=lambda kind: kind.__name__)
def test_what_messages_nobody_runs_in_any_run(make, kind):
    operator = make(kind)
    operator.execute(context(run_type="backfill", run_after=age(days=900), try_number=5))
    with pytest.raises((TypeError, AirflowException), match="on_backfill"):
        make(kind, on_backfill="send")


# The workspace.


@EACH
@pytest.mark.parametrize("said", [None, "production"])
def test_another_workspace_stops(make, braze_emulator, connection, kind, said):
    operator = make(kind, workspace="staging")
    connection(extra={"workspace": said} if said else {})
    before = calls(braze_emulator)
    with pytest.raises(BrazeConfigurationError, match="This task is for workspace 'staging'") as caught:
        operator.execute(context())
    assert isinstance(caught.value, AirflowException)
    assert calls(braze_emulator) == before


@EACH
def test_the_same_workspace_goes_on(make, braze_emulator, connection, kind):
    operator = make(kind, workspace="staging")
    connection(extra={"workspace": "staging", "workspace_campaign_id": WEEKLY})
    before = len(calls(braze_emulator))
    operator.execute(context())
    assert len(calls(braze_emulator)) == before + 1


@EACH
def test_a_key_of_another_workspace_stops(make, braze_emulator, connection, kind):
    operator = make(kind)
    connection(extra={"workspace": "staging", "workspace_campaign_id": UNKNOWN})
    before = calls(braze_emulator)
    with pytest.raises(BrazeConfigurationError, match="is not of workspace 'staging'"):
        operator.execute(context())
    assert calls(braze_emulator) == before


def test_the_workspace_is_templated(make, connection):
    connection(extra={"workspace": "staging"})
    with DAG("d", schedule=None, start_date=timezone.datetime(2026, 1, 1)):
        operator = make(BrazeSendCampaignOperator, workspace="{{ place }}")
    operator.render_template_fields({"place": "production"})
    with pytest.raises(BrazeConfigurationError, match="production"):
        operator.execute(context())


# The size of an audience.

CAPPED = [kind for kind in DELIVERING if kind is not BrazeStartLiveActivityOperator]


@pytest.mark.parametrize("kind", DELIVERING, ids=lambda kind: kind.__name__)
def test_of_too_many_nobody_is_messaged(make, braze_emulator, kind):
    people = "recipients" if "recipients" in SENDING[kind] else "external_user_ids"
    many = [f"p{number}" for number in range(120)]
    operator = make(kind, max_recipients=119, **{people: many})
    with pytest.raises(BrazeAudienceError, match="more than the 119 recipients"):
        operator.execute(context())
    assert calls(braze_emulator) == []
    operator = make(kind, max_recipients=120, **{people: [*many, *many[:30]]})
    assert operator.execute(context())["accepted"] == 120, "those who are merged do not count"


@pytest.mark.parametrize("most", [0, 1])
def test_a_cap_below_the_audience(make, braze_emulator, most):
    with pytest.raises(BrazeAudienceError, match=f"more than the {most} recipients"):
        make(BrazeSendCampaignOperator, recipients=["a", "b"], max_recipients=most).execute(context())
    assert calls(braze_emulator) == []


@pytest.mark.parametrize("kind", [BrazeSendCampaignOperator, BrazeSendCanvasOperator, BrazeScheduleCampaignOperator])
def test_a_cap_on_a_broadcast_is_refused_when_the_dag_is_parsed(make, kind):
    given = {name: value for name, value in SENDING[kind].items() if name != "recipients"}
    with pytest.raises(ValueError, match="max_recipients cannot be held against a broadcast"):
        kind(task_id="t", broadcast=True, max_recipients=10, **given)


@pytest.mark.parametrize("whom", ["segment_id", "custom_audience"])
def test_a_cap_on_a_live_activity_for_a_segment_is_not_ignored(braze_emulator, whom):
    """Nobody can say whom a segment reaches: the cap must be refused, as it is for a broadcast."""
    audience = {
        "segment_id": GOLD,
        "custom_audience": {"AND": [{"push_subscription_status": {"comparison": "is", "value": "opted_in"}}]},
    }
    with pytest.raises((ValueError, AirflowException), match="max_recipients"):
        BrazeStartLiveActivityOperator(task_id="t", max_recipients=1, **{whom: audience[whom]}, **START).execute(
            context()
        )
    assert braze_emulator.deliveries() == {}


# Dry runs.

PEOPLE = [f"p{number}" for number in range(120)]


@pytest.mark.parametrize("flag", [True, "True", "true", " yes ", "1", "on"])
def test_a_dry_run_sends_nothing_and_says_what_it_would(make, braze_emulator, flag):
    report = make(BrazeSendCampaignOperator, recipients=[*PEOPLE, "p1"], dry_run=flag).execute(context())
    assert report["dry_run"] is True
    assert json.loads(json.dumps(report)) == report
    assert {name: report[name] for name in ("recipients", "duplicates", "skipped", "accepted", "requests")} == {
        "recipients": 121,
        "duplicates": 1,
        "skipped": 120,
        "accepted": 0,
        "requests": 0,
    }
    text = " ".join(report["notices"])
    assert "3 requests to 120 recipients would go out" in text
    assert "'Your weekly offer' is active" in text
    assert "The key has the permission campaigns.trigger.send" in text
    assert braze_emulator.deliveries() == {}


@pytest.mark.parametrize("flag", [False, "False", "false", "0", "no", "off"])
def test_what_is_no_dry_run_sends(make, braze_emulator, flag):
    report = make(BrazeSendCampaignOperator, dry_run=flag).execute(context())
    assert report["accepted"] == 1
    assert "dry_run" not in report


@pytest.mark.parametrize("flag", ["maybe", "", "None", None, 2, "{{ dry }}x"])
def test_a_flag_that_is_none_sends_nothing(make, braze_emulator, flag):
    with pytest.raises(BrazeConfigurationError, match="dry_run must be true or false"):
        make(BrazeSendCampaignOperator, dry_run=flag).execute({**context(), "dry": "maybe"})
    assert calls(braze_emulator) == []


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("dry", [True, False])
def test_the_flag_is_a_template_that_is_read_when_the_task_runs(make, braze_emulator, dry, native):
    with DAG("d", schedule=None, start_date=timezone.datetime(2026, 1, 1), render_template_as_native_obj=native):
        operator = make(BrazeSendCampaignOperator, dry_run="{{ params.dry_run }}")
    operator.execute({**context(), "params": {"dry_run": dry}})
    assert bool(braze_emulator.deliveries()) is not dry


@pytest.mark.parametrize("kind", SENDING, ids=lambda kind: kind.__name__)
def test_every_sending_operator_has_a_dry_run(make, braze_emulator, kind):
    result = make(kind, dry_run=True).execute(context())
    assert result["dry_run"] is True
    assert braze_emulator.deliveries() == {}
    assert braze_emulator.schedules() == []
    assert [one["activity_id"] for one in braze_emulator.live_activities()] == ["order-1042"]
    assert [one["status"] for one in braze_emulator.requests() if one["method"] == "POST"] == [400]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"campaign_id": PAUSED}, "'Spring newsletter' is paused"),
        ({"campaign_id": ARCHIVED}, "is archived"),
        ({"campaign_id": UNKNOWN}, "cannot be read"),
        ({"canvas_id": PAUSED_CANVAS}, "'Iced season' is paused"),
        ({"canvas_id": UNKNOWN}, "cannot be read"),
    ],
)
def test_a_dry_run_finds_what_the_real_run_would_fail_for(make, braze_emulator, parameters, words):
    kind = BrazeSendCanvasOperator if "canvas_id" in parameters else BrazeSendCampaignOperator
    with pytest.raises(BrazeNobodyMessagedError, match=f"The real run would fail.*{words}") as caught:
        make(kind, dry_run=True, **parameters).execute(context())
    assert not isinstance(caught.value, AirflowFailException)
    assert caught.value.report["accepted"] == 0
    assert braze_emulator.deliveries() == {}


def test_a_dry_run_of_a_draft(make, braze_emulator):
    braze_emulator.add_campaign("draft-1", name="Summer", state="draft")
    with pytest.raises(BrazeNobodyMessagedError, match="'Summer' is draft"):
        make(BrazeSendCampaignOperator, campaign_id="draft-1", dry_run=True).execute(context())


def test_a_dry_run_where_a_paused_campaign_is_fine(make):
    operator = make(BrazeSendCampaignOperator, campaign_id=PAUSED, dry_run=True, allow_paused=True)
    assert any("is paused" in notice for notice in operator.execute(context())["notices"])


def test_a_dry_run_with_a_key_that_may_not_send(make, braze_emulator, connection):
    connection(password="local-emulator-read-only-key")
    with pytest.raises(BrazeNobodyMessagedError, match="it needs the permission") as caught:
        make(BrazeSendCampaignOperator, dry_run=True).execute(context())
    assert "local-emulator-read-only-key" not in str(caught.value)
    assert braze_emulator.deliveries() == {}


def test_a_dry_run_with_a_key_that_may_not_look(make, braze_emulator, connection):
    key = {"name": "Send only", "key": "send-only", "permissions": ["campaigns.trigger.send"]}
    braze_emulator.reset({"api_keys": [key]})
    connection(password="send-only")
    report = make(BrazeSendCampaignOperator, dry_run=True).execute(context())
    text = " ".join(report["notices"])
    assert "Whether the campaign is active could not be checked" in text
    assert "The key has the permission campaigns.trigger.send" in text


@pytest.mark.parametrize("others", ["refuse", "rewrite"])
def test_a_dry_run_over_a_connection_with_test_recipients_posts_nothing_and_says_so(
    make, connection, braze_emulator, others
):
    """Its empty body names nobody, which such a connection lets nobody post."""
    connection(extra={"test_recipients": ["u-1"], "test_recipients_others": others})
    report = make(BrazeSendCampaignOperator, dry_run=True).execute(context())
    assert any("is active" in notice for notice in report["notices"])
    assert any("Whether the key may send is not asked" in notice for notice in report["notices"])
    assert calls(braze_emulator) == []


def test_a_dry_run_of_a_broadcast(braze_emulator):
    operator = BrazeSendCampaignOperator(task_id="t", campaign_id=WEEKLY, broadcast=True, dry_run=True)
    report = operator.execute(context())
    assert "1 requests to a target audience would go out" in " ".join(report["notices"])
    assert braze_emulator.deliveries() == {}


def test_a_dry_run_validates_the_audience(make, braze_emulator):
    with pytest.raises(BrazeAudienceError):
        make(BrazeSendCampaignOperator, recipients=["a", ""], dry_run=True).execute(context())
    with pytest.raises(BrazeError, match="send_id"):
        make(BrazeSendCampaignOperator, send_id="x" * 65, dry_run=True).execute(context())
    assert calls(braze_emulator) == []


def test_a_dry_run_is_guarded_like_the_real_one(make):
    with pytest.raises(AirflowSkipException):
        make(BrazeSendCampaignOperator, dry_run=True).execute(context(run_type="backfill"))


def test_a_dry_run_begins_no_delivery_in_the_ledger(make, braze_emulator):
    store = Store()
    make(BrazeSendCampaignOperator, dry_run=True).execute(context(task_state_store=store))
    assert set(store) == {"braze/delivery"}
    assert braze_emulator.deliveries() == {}


def test_a_dry_run_on_a_second_try_needs_no_ledger(make):
    assert make(BrazeSendCampaignOperator, dry_run=True).execute(context(try_number=2))["dry_run"]


def test_a_dry_run_where_braze_has_trouble_says_that_it_could_not_look(make, braze_emulator):
    braze_emulator.inject("server_error", status=503, path="/campaigns/trigger/send")
    report = make(BrazeSendCampaignOperator, dry_run=True).execute(context())
    assert any("could not be checked" in notice for notice in report["notices"])


# What is refused when the DAG is parsed.


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (BrazeSendMessagesOperator, {}),
        (BrazeScheduleMessagesOperator, {}),
        (BrazeScheduleMessagesOperator, {"campaign_id": WEEKLY}),
        (BrazeScheduleCampaignOperator, {}),
        (BrazeScheduleCanvasOperator, {}),
        (BrazeStartLiveActivityOperator, {}),
        (BrazeSendTransactionalEmailOperator, {}),
    ],
)
def test_reconcile_is_refused_where_braze_cannot_be_asked(make, kind, parameters):
    with pytest.raises(ValueError, match="on_unknown='reconcile' is not"):
        make(kind, on_unknown="reconcile", **parameters)


@pytest.mark.parametrize("kind", [BrazeSendCampaignOperator, BrazeSendCanvasOperator])
def test_reconcile_is_refused_for_a_broadcast(kind):
    given = {name: value for name, value in SENDING[kind].items() if name != "recipients"}
    with pytest.raises(ValueError, match="on_unknown='reconcile' is not possible"):
        kind(task_id="t", broadcast=True, on_unknown="reconcile", **given)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (BrazeSendCampaignOperator, {}),
        (BrazeSendCanvasOperator, {}),
        (BrazeSendMessagesOperator, {"campaign_id": WEEKLY}),
        (BrazeSendMessagesOperator, {"campaign_id": "{{ params.campaign }}"}),
    ],
)
def test_reconcile_is_taken_where_braze_can_be_asked(make, kind, parameters):
    assert make(kind, on_unknown="reconcile", **parameters).on_unknown == "reconcile"


def test_reconcile_with_a_campaign_that_turns_out_to_be_missing_sends_nothing_or_names_the_doubt(make, braze_emulator):
    """A template may render to None; without a campaign the profiles say nothing of the message."""
    operator = make(
        BrazeSendMessagesOperator, campaign_id="{{ x }}", on_unknown="reconcile", settling_time=timedelta(0)
    )
    operator.campaign_id = None  # as rendered
    braze_emulator.inject("drop_after_acceptance")
    with pytest.raises(BrazeError):
        operator.execute(context())


@pytest.mark.parametrize("kind", SENDING, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("parameter", "value"),
    [("on_unknown", "retry"), ("on_clear", "again"), ("on_backfill", "maybe"), ("on_unknown", None), ("on_clear", "")],
)
def test_other_words_are_refused(make, kind, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter} must be one of"):
        make(kind, **{parameter: value})


@pytest.mark.parametrize("kind", CHANGING, ids=lambda kind: kind.__name__)
def test_other_words_are_refused_for_changes_too(make, kind):
    with pytest.raises(ValueError, match="on_backfill must be one of"):
        make(kind, on_backfill="maybe")


@EACH
@pytest.mark.parametrize("wrong", [3600, "1 day", True, timedelta(seconds=-1)])
def test_a_staleness_that_is_no_time_is_refused(make, kind, wrong):
    with pytest.raises(ValueError, match="max_staleness must be a timedelta"):
        make(kind, max_staleness=wrong)


@pytest.mark.parametrize("kind", SENDING, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["max_quota_wait", "settling_time"])
@pytest.mark.parametrize("wrong", [300, None, "5 minutes", timedelta(seconds=-1)])
def test_waits_that_are_no_time_are_refused(make, kind, name, wrong):
    with pytest.raises(ValueError, match=f"{name} must be a timedelta"):
        make(kind, **{name: wrong})


@pytest.mark.parametrize("kind", DELIVERING, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("max_recipients", wrong) for wrong in ("2", True, 2.5, -1)),
        *(("max_invalid", wrong) for wrong in ("3", None)),
    ],
)
def test_counts_that_are_none_are_refused(make, kind, name, wrong):
    """Read as 1, or compared with the audience once it is read, they would say no, or nothing, too late."""
    with pytest.raises(ValueError, match=f"{name} must be a whole number"):
        make(kind, **{name: wrong})


@pytest.mark.parametrize("ledger", [None, TaskStateLedger()], ids=["none", "task state"])
@pytest.mark.parametrize("kind", SENDING, ids=lambda kind: kind.__name__)
def test_a_delivery_key_needs_a_ledger_that_others_see(make, kind, ledger):
    with pytest.raises(ValueError, match="delivery_key needs a ledger"):
        make(kind, delivery_key="weekly", ledger=ledger)
    assert make(kind, delivery_key="weekly", ledger=SqlLedger("ledger")).delivery_key == "weekly"


@pytest.mark.parametrize("kind", SENDING, ids=lambda kind: kind.__name__)
def test_the_delivery_key_is_templated(make, kind):
    assert "delivery_key" in kind.template_fields
    assert "workspace" in kind.template_fields
