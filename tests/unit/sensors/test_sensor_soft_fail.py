"""What soft_fail hides of a deferred wait, and what it does not: an error that comes while the task waits."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from airflow_provider_braze.api.errors import BrazeError, BrazeForbiddenError
from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError, error_as_dict
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor

PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
FORBIDDEN = BrazeForbiddenError("campaigns_details", 403, "Forbidden")


@pytest.fixture
def resumed(braze_emulator):
    """Resume a deferred sensor with what its trigger said."""

    def resume(event, **wishes):
        sensor = BrazeCampaignActiveSensor(task_id="wait", campaign_id=PAUSED, deferrable=True, **wishes)
        return sensor.resume_execution("resume", {"event": event}, {})

    return resume


@pytest.mark.parametrize("error", [FORBIDDEN, BrazeWaitRefusedError("never")])
@pytest.mark.parametrize("wishes", [{}, {"soft_fail": True}])
def test_an_error_stays_one(resumed, error, wishes):
    with pytest.raises(type(error)) as caught:
        resumed({"error": error_as_dict(error)}, **wishes)
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowSkipException)
    assert str(caught.value) == str(error)


def test_never_fail_skips_it(resumed):
    with pytest.raises(AirflowSkipException):
        resumed({"error": error_as_dict(FORBIDDEN)}, never_fail=True)


def test_a_wait_that_failed_is_skipped(resumed):
    event = {"state": "failed", "text": "It is archived.", "result": {}}
    with pytest.raises(AirflowSkipException):
        resumed(event, soft_fail=True)
    with pytest.raises(BrazeWaitFailedError, match="archived"):
        resumed(event)


def test_an_error_of_a_kind_that_is_not_known_is_still_one_of_ours(resumed):
    with pytest.raises(BrazeError, match="of another version"):
        resumed({"error": {"error": "BrazeNewError", "args": ["of another version"], "fields": {}}})


@pytest.mark.parametrize("wishes", [{}, {"soft_fail": True}])
def test_before_a_timeout_counts_it_looks_once_more(braze_emulator, wishes):
    sensor = BrazeCampaignActiveSensor(task_id="wait", campaign_id=PAUSED, deferrable=True, **wishes)
    timeout = ("__fail__", {"error": "Trigger timeout"}, {})
    with pytest.raises(AirflowSkipException if wishes else AirflowException):
        sensor.resume_execution(*timeout)
    braze_emulator.change_program(campaign_id=PAUSED, state="active")
    assert sensor.resume_execution(*timeout)["enabled"] is True
