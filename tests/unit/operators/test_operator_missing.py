"""Parameters that were given, and hold nothing when the task runs: nobody is messaged in their absence."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.api.errors import BrazeValidationError
from airflow_provider_braze.operators.live_activity import BrazeStartLiveActivityOperator
from airflow_provider_braze.operators.schedule import BrazeUpdateScheduledMessagesOperator
from airflow_provider_braze.operators.send import (
    BrazeSendCampaignOperator,
    BrazeSendCanvasOperator,
    BrazeSendMessagesOperator,
)

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PUSH = {"android_push": {"alert": "Doors open at 9", "title": "Today"}}
GOLD = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
ACTIVITY = {
    "app_id": "a1b2c3d4-0000-4000-8000-00000000000a",
    "activity_id": "delivery-7",
    "activity_attributes_type": "Delivery",
    "activity_attributes": {"order": 7},
    "content_state": {"step": 1},
    "notification": {"alert": {"title": "On its way", "body": "Soon"}},
}
NOTHING = "{{ nothing }}"
CONTEXT = {"nothing": None, "blank": "", "ds": "2026-11-22"}


def dag(name, **options):
    return DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), **options)


@pytest.fixture
def run(braze_emulator):
    """Render an operator as Airflow does before it runs, and run it."""

    def execute(kind, native=True, **parameters):
        with dag("missing", render_template_as_native_obj=native):
            operator = kind(task_id="t", **parameters)
        operator.render_template_fields(dict(CONTEXT))
        return operator.execute({})

    return execute


@pytest.mark.parametrize(
    ("kind", "field", "parameters"),
    [
        (BrazeSendCampaignOperator, "audience", {"campaign_id": WEEKLY, "broadcast": True}),
        (BrazeSendCampaignOperator, "audience", {"campaign_id": WEEKLY, "recipients": ["u-1"]}),
        (BrazeSendCampaignOperator, "trigger_properties", {"campaign_id": WEEKLY, "recipients": ["u-1"]}),
        (BrazeSendCampaignOperator, "attachments", {"campaign_id": WEEKLY, "recipients": ["u-1"]}),
        (BrazeSendCanvasOperator, "context", {"canvas_id": WEEKLY, "recipients": ["u-1"]}),
        (BrazeSendMessagesOperator, "segment_id", {"messages": PUSH, "external_user_ids": ["u-1"]}),
        (BrazeSendMessagesOperator, "segment_id", {"messages": PUSH, "broadcast": True}),
        (BrazeStartLiveActivityOperator, "segment_id", {**ACTIVITY, "external_user_ids": ["u-1"]}),
        (BrazeStartLiveActivityOperator, "custom_audience", {**ACTIVITY, "external_user_ids": ["u-1"]}),
        (BrazeUpdateScheduledMessagesOperator, "schedule", {"schedule_id": "s", "messages": PUSH}),
    ],
)
def test_a_template_that_gives_nothing(run, braze_emulator, kind, field, parameters):
    for template, native in (
        (NOTHING, True),
        (NOTHING, False),
        ("{{ blank }}", False),
        ("{{ nothing | tojson }}", False),
    ):
        with pytest.raises(BrazeValidationError, match=rf"nothing was sent:\n  - {field}: ") as caught:
            run(kind, native=native, **parameters, **{field: template})
        assert isinstance(caught.value, AirflowException)
    assert braze_emulator.requests() == []


def test_a_workspace_that_gives_nothing_is_not_any(run, braze_emulator):
    with pytest.raises(BrazeValidationError, match="workspace: was given"):
        run(BrazeSendCampaignOperator, campaign_id=WEEKLY, recipients=["u-1"], workspace=NOTHING)
    assert braze_emulator.requests() == []


def test_a_key_that_gives_nothing_is_not_none(run, braze_emulator, airflow_db, monkeypatch):
    """Without its key the delivery would be another one in every run."""
    from airflow_provider_braze.delivery.sql_ledger import SqlLedger

    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f"sqlite:///{airflow_db.parent / 'missing.db'}")
    more = {"campaign_id": WEEKLY, "recipients": ["u-1"], "ledger": SqlLedger("ledger")}
    with pytest.raises(BrazeValidationError, match="delivery_key: was given"):
        run(BrazeSendCampaignOperator, **more, delivery_key=NOTHING)
    assert braze_emulator.requests() == []


def test_all_that_is_missing_is_named(run):
    with pytest.raises(BrazeValidationError) as caught:
        run(BrazeSendCampaignOperator, campaign_id=WEEKLY, broadcast=True, audience=NOTHING, send_id=NOTHING)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["audience", "send_id"]


def test_what_was_never_given_is_not_missed(run, braze_emulator):
    """Helpers hand on their own parameters, which may be None."""
    unset = {"audience": None, "trigger_properties": None, "send_id": None, "workspace": None}
    run(BrazeSendCampaignOperator, campaign_id=WEEKLY, recipients=["u-1"], **unset)
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


def test_empty_values_are_values(run, braze_emulator):
    run(BrazeSendCampaignOperator, campaign_id=WEEKLY, recipients=["u-1"], trigger_properties="{{ {} }}")
    assert braze_emulator.requests()[0]["body"]["trigger_properties"] == {}


@pytest.mark.parametrize(
    ("kind", "field", "parameters"),
    [
        (BrazeSendCampaignOperator, "audience", {"campaign_id": WEEKLY, "broadcast": True}),
        (BrazeSendMessagesOperator, "segment_id", {"messages": PUSH, "external_user_ids": ["u-1"]}),
    ],
)
def test_an_upstream_task_that_gives_no_filter(run_dag, braze_emulator, kind, field, parameters):
    with dag(f"no_filter_{field}") as made:

        @task
        def upstream():
            return None

        kind(task_id="send", **parameters, **{field: upstream()})
    assert str(run_dag(made).state) == "failed"
    assert braze_emulator.requests() == []


def test_a_mapped_task_without_its_filter(run_dag, braze_emulator):
    with dag("mapped_filters") as made:

        @task
        def filters():
            return [GOLD, None]

        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY, broadcast=True).expand(audience=filters())
    states = {one.map_index: str(one.state) for one in run_dag(made).get_task_instances() if one.task_id == "send"}
    assert states == {0: "success", 1: "failed"}
    assert [request["body"]["audience"] for request in braze_emulator.requests()] == [GOLD]


def test_a_filter_that_all_mapped_tasks_miss(run_dag, braze_emulator):
    with dag("mapped_people") as made:

        @task
        def nothing():
            return None

        BrazeSendMessagesOperator.partial(task_id="send", messages=PUSH, segment_id=nothing()).expand(
            external_user_ids=[["u-1"], ["u-2"]]
        )
    assert str(run_dag(made).state) == "failed"
    assert braze_emulator.requests() == []


def test_a_mapped_task_that_was_given_no_filter(run_dag, braze_emulator):
    with dag("mapped_plain") as made:
        BrazeSendMessagesOperator.partial(task_id="send", messages=PUSH).expand(external_user_ids=[["u-1"], ["u-2"]])
    assert str(run_dag(made).state) == "success"
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1, "external_user_id:u-2": 1}


def test_a_cap_that_a_mapping_lacks(run_dag, braze_emulator):
    with dag("mapped_caps") as made:
        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand_kwargs(
            [{"recipients": ["u-1"], "max_recipients": 1}, {"recipients": ["u-2", "u-3"], "max_recipients": None}]
        )
    assert str(run_dag(made).state) == "failed"
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


def test_a_state_of_subscription_that_a_mapping_lacks(run_dag, braze_emulator):
    """Braze's default would reach people whom 'opted_in' does not."""
    with dag("mapped_states") as made:
        BrazeSendMessagesOperator.partial(task_id="send", messages=PUSH, external_user_ids=["u-1"]).expand(
            recipient_subscription_state=[None]
        )
    assert str(run_dag(made).state) == "failed"
    assert braze_emulator.requests() == []
