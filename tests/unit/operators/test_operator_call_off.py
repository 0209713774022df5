"""What the teardown of a guarded schedule says of what it cannot delete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_braze.api.errors import BrazeWorkspaceError
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.schedule_group import CallOff, guarded_schedule


@pytest.fixture
def call_off(campaign):
    """Run the teardown after a guard that failed, with what the scheduling task left."""

    def run(workspace=None, **left):
        states = {"schedule": "success", "look": "failed", "approved": "upstream_failed"}
        instance = SimpleNamespace(
            dag_id="d",
            run_id="r",
            map_index=-1,
            max_tries=0,
            xcom_pull=lambda *, task_ids, key: {"program": {"campaign_id": campaign}, **left}.get(key),
            get_task_states=lambda **_: {"r": states},
        )
        made = CallOff(
            task_id="call_off",
            endpoint="campaigns_trigger_schedule_delete",
            schedule_task_id="schedule",
            guard_task_ids=["look"],
            last_task_ids=["look"],
            approved_task_id="approved",
            workspace=workspace,
        )
        return made.execute({"ti": instance})

    return run


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3600, "their time has come, and they may have been sent"), (3600, "they may go out"), (None, "they may go out")],
)
def test_what_cannot_be_deleted_may_go_out_or_has_gone_out(braze_emulator, call_off, seconds, said):
    due = None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    with pytest.raises(AirflowFailException, match=f"1 of 1 schedules could NOT be deleted: {said}"):
        call_off(schedule_ids=["5b1e2f60-0000-4000-8000-000000000000"], due_from=due)


@pytest.fixture
def scheduled(braze_emulator, campaign):
    """What a task left that scheduled for two people."""
    later = {"schedule": "2099-04-07T09:00:00Z", "recipients": ["u-1", "u-2"]}
    made = BrazeScheduleCampaignOperator(task_id="schedule", campaign_id=campaign, **later).execute({})
    assert [one["state"] for one in braze_emulator.schedules()] == ["waiting"]
    return {name: made[name] for name in ("schedule_ids", "due_from")}


def test_a_workspace_that_cannot_be_told_keeps_nobody_from_calling_off(
    braze_emulator, call_off, scheduled, connection, campaign
):
    connection(extra={"workspace": "staging", "workspace_campaign_id": campaign})
    braze_emulator.inject("server_error", path="/campaigns/details", times=None, status=503)
    assert call_off(workspace="staging", **scheduled) == {"deleted": 1, "kept": 0}


def test_what_is_in_another_workspace_is_not_called_off(braze_emulator, call_off, scheduled, connection):
    connection(extra={"workspace": "production"})
    with pytest.raises(BrazeWorkspaceError, match="This task is for workspace 'staging'"):
        call_off(workspace="staging", **scheduled)
    assert [one["state"] for one in braze_emulator.schedules()] == ["waiting"]


def test_the_guarded_group_hands_its_workspace_on(campaign):
    with (
        DAG("guarded", schedule=None),
        guarded_schedule(
            "launch", BrazeScheduleCampaignOperator, campaign_id=campaign, schedule="{{ ts }}", workspace="{{ var }}"
        ) as launch,
    ):
        EmptyOperator(task_id="look")
    assert launch.children["launch.call_off"].workspace == "{{ var }}"
    assert "workspace" in CallOff.template_fields
