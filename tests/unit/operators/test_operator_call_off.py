"""What the teardown of a guarded schedule says of what it cannot delete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_braze.operators.schedule_group import CallOff


@pytest.fixture
def call_off(campaign):
    """Run the teardown after a guard that failed, with what the scheduling task left."""

    def run(**left):
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
