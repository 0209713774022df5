"""Parameters that were given, and hold nothing when the task runs: no wait becomes an easier one in their absence."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
DAY = "2026-11-20"
BASELINE = {"of": "campaign", "id": WEEKLY, "days": {}, "taken_at": "2026-11-20T08:00:00Z"}
FIGURE = {"campaign_id": WEEKLY, "since": DAY, "at_least": 1}
CASES = [
    (BrazeCampaignMetricSensor, "at_most", FIGURE),
    (BrazeCampaignMetricSensor, "channel", FIGURE),
    (BrazeCampaignMetricSensor, "metric", FIGURE),
    (BrazeCampaignMetricSensor, "accepted", {"campaign_id": WEEKLY, "since": DAY, "at_least_share": 0.95}),
    (BrazeCampaignMetricSensor, "since", {"campaign_id": WEEKLY, "at_least": 1}),
    (BrazeCanvasMetricSensor, "baseline", {"canvas_id": WEEKLY, "at_least": 1}),
    (BrazeSendMetricSensor, "sent_at", {"campaign_id": WEEKLY, "send_id": "s", "at_least": 1}),
    (BrazeScheduledBroadcastSensor, "since", {"expect": "nothing", "before": "2099-01-01"}),
    (BrazeScheduledBroadcastSensor, "campaign_id", {"expect": "nothing", "before": "2099-01-01"}),
    (BrazeRecipientsReceivedSensor, "since", {"campaign_id": WEEKLY, "recipients": ["u-1"]}),
    (BrazeRecipientsReceivedSensor, "accepted", {"campaign_id": WEEKLY, "recipients": ["u-1"]}),
    (BrazeCampaignActiveSensor, "campaign_id", {}),
]  # fmt: skip


def dag(name, **options):
    return DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), **options)


@pytest.fixture
def look(braze_emulator):
    """Render a sensor as Airflow does before it runs, and let it look."""

    def run(kind, native=True, **parameters):
        with dag("given", render_template_as_native_obj=native):
            sensor = kind(task_id="w", poke_interval=0.05, timeout=0.05, **parameters)
        sensor.render_template_fields({"nothing": None, "blank": " "})
        return sensor.execute({})

    return run


@pytest.mark.parametrize(("kind", "field", "parameters"), CASES)
def test_a_template_that_gives_nothing(look, braze_emulator, kind, field, parameters):
    for template, native in (("{{ nothing }}", True), ("{{ nothing }}", False), ("{{ blank }}", False)):
        for wishes in ({}, {"silent_fail": True}, {"soft_fail": True}, {"deferrable": True}):
            with pytest.raises(BrazeWaitRefusedError, match=f"^{field}: was given, and holds nothing") as caught:
                look(kind, native, **parameters, **wishes, **{field: template})
            assert isinstance(caught.value, AirflowException)
            assert "leave the parameter out" in str(caught.value)
    assert braze_emulator.summary()["requests"] == 0


def test_what_was_never_given_is_not_missed(look, braze_emulator):
    """Helpers hand on their own parameters, which may be None."""
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=1)
    unset = {"at_most": None, "channel": None, "accepted": None, "baseline": None}
    assert look(BrazeCampaignMetricSensor, **(FIGURE | unset))["value"] == 1


def test_no_bounds_are_a_value(look, braze_emulator):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=1)
    assert look(BrazeCampaignMetricSensor, **FIGURE, at_most="{{ {} }}")["value"] == 1


def test_an_upstream_task_that_gives_nothing(run_dag, braze_emulator):
    """As a send that failed, beside a wait for all who are done."""
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=10, bounces=900)
    way = {"poke_interval": 0.1, "timeout": 60, "campaign_id": WEEKLY, "since": DAY}
    with dag("gives_nothing") as made:

        @task
        def nothing():
            return None

        given = nothing()
        BrazeCampaignMetricSensor(task_id="bound", at_least=1, at_most=given, **way)
        BrazeCampaignMetricSensor(task_id="share", at_least_share=0.95, accepted=given, **way)
        BrazeCampaignMetricSensor.partial(task_id="mapped", at_least=1, **way).expand(at_most=[None, {"bounces": 1000}])
    states = {(one.task_id, one.map_index): str(one.state) for one in run_dag(made).get_task_instances()}
    del states["nothing", -1]
    assert states == {
        ("bound", -1): "failed",
        ("share", -1): "failed",
        ("mapped", 0): "failed",
        ("mapped", 1): "success",
    }
