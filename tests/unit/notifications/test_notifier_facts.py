"""What the campaign is told of the failure, from whole contexts and from poor ones."""

from __future__ import annotations

from airflow.sdk.log import mask_secret

from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.notifications.facts import facts_of


def test_a_failed_task(failed):
    assert facts_of(failed) == {
        "dag_id": "nightly_load",
        "task_id": "load",
        "run_id": "scheduled__2026-11-20",
        "try_number": 3,
        "logical_date": "2026-11-20T06:00:00+00:00",
        "run_after": "2026-11-20T06:00:00+00:00",
        "log_url": failed["ti"].log_url,
        "error": "ValueError: no such table: orders",
    }


def test_a_mapped_task_and_a_run_without_a_logical_date(failed):
    failed["ti"].map_index = 4
    failed["dag_run"].logical_date = failed["logical_date"] = None
    facts = facts_of(failed)
    assert facts["map_index"] == 4
    assert "logical_date" not in facts
    assert facts["run_after"] == "2026-11-20T06:00:00+00:00"


def test_a_missed_deadline(deadline):
    facts = {
        "dag_id": "nightly_load",
        "run_id": "manual__1",
        "run_after": "2026-11-20T06:00:00Z",
        "deadline": "2026-11-20T06:00:00+00:00",
    }
    assert facts_of(deadline) == facts
    deadline["deadline"]["deadline_time"] = "2026-11-20T06:00:00+00:00"
    assert facts_of(deadline) == facts


def test_a_callback_of_a_dag_without_a_task_instance(failed):
    context = {"dag": failed["dag_run"], "run_id": "manual__1", "reason": "timed_out"}
    assert facts_of(context) == {"dag_id": "nightly_load", "run_id": "manual__1", "reason": "timed_out"}


def test_no_context_at_all():
    assert facts_of({}) == {}


def test_a_context_that_raises(failed):
    class Instance:
        task_id = "load"

        @property
        def log_url(self):
            raise RuntimeError("no base_url")

    class UnprintableError(Exception):
        def __str__(self):
            raise RuntimeError("unprintable")

    assert facts_of({"ti": Instance(), "exception": UnprintableError()}) == {"task_id": "load"}


def test_errors_hold_no_secrets_no_addresses_and_no_second_line(failed):
    mask_secret("hunter2-of-the-warehouse")
    failed["exception"] = OSError("login hunter2-of-the-warehouse refused\nfor kim@example.com" + " x" * 1000)
    error = facts_of(failed)["error"]
    assert error.startswith(f"OSError: login *** refused for <email {identity_hash('kim@example.com')}> x x")
    assert len(error) <= 504


def test_an_error_that_is_a_text(failed):
    failed["exception"] = "Timed out"
    assert facts_of(failed)["error"] == "Timed out"


def test_the_authors_own_values_come_first(notifier, failed, sent):
    notifier(trigger_properties={"error": "See the runbook", "team": "data", "log_url": None})(failed)
    assert sent()[0]["trigger_properties"] == {
        **{name: value for name, value in facts_of(failed).items() if name != "log_url"},
        "error": "See the runbook",
        "team": "data",
    }


def test_the_message_shows_what_happened(notifier, failed, braze_emulator):
    show = ".".join(f"{{{{api_trigger_properties.${{{name}}}}}}}" for name in ("dag_id", "task_id", "error"))
    braze_emulator.add_campaign("incidents", name="Incidents", channel="email", message={"subject": "!", "body": show})
    notifier(campaign_id="incidents")(failed)
    [message] = braze_emulator.messages()
    assert message["body"] == "nightly_load.load.ValueError: no such table: orders"
