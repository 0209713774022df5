"""What Braze may answer instead: later, or an error that says what to do; never a crash, never a wait for nothing."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor, BrazeCanvasActiveSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
MODES = ["poke", "reschedule", "deferrable"]
TODAY = datetime.now(UTC).date().isoformat()


def as_id(data):
    """The same at any time, so that all workers of a test run name the tests alike."""
    return json.dumps(data).replace(TODAY, "today")


SENSORS = {
    "campaign": (BrazeCampaignMetricSensor, {"campaign_id": WEEKLY, "at_least": 2, "since": TODAY}),
    "canvas": (BrazeCanvasMetricSensor, {"canvas_id": WEEKLY, "at_least": 2, "since": TODAY}),
    "send": (BrazeSendMetricSensor, {"campaign_id": WEEKLY, "send_id": "mine", "at_least": 2}),
    "broadcast": (
        BrazeScheduledBroadcastSensor,
        {"expect": "scheduled", "campaign_id": WEEKLY, "before": datetime.now(UTC) + timedelta(days=2)},
    ),
    "recipients": (
        BrazeRecipientsReceivedSensor,
        {"campaign_id": WEEKLY, "recipients": ["u-1", "u-2"], "since": datetime.now(UTC) - timedelta(minutes=1)},
    ),
    "active": (BrazeCampaignActiveSensor, {"campaign_id": WEEKLY}),
    "canvas_active": (BrazeCanvasActiveSensor, {"canvas_id": WEEKLY}),
}
PATHS = {
    "campaign": "/campaigns/data_series",
    "canvas": "/canvas/data_series",
    "send": "/sends/data_series",
    "broadcast": "/messages/scheduled_broadcasts",
    "recipients": "/users/export/ids",
    "active": "/campaigns/details",
    "canvas_active": "/canvas/details",
}


@pytest.fixture(params=SENSORS)
def name(request):
    return request.param


@pytest.fixture(params=MODES)
def how(request):
    return request.param


@pytest.fixture
def ready(braze_emulator, send):
    """Everything is as it is waited for; only the way to Braze is bad."""

    def prepare():
        braze_emulator._state.send_ids.create("mine", WEEKLY, braze_emulator.clock.now())
        soon = (datetime.now(UTC) + timedelta(hours=20)).isoformat()
        send("u-1", "u-2", send_id="mine")
        send("u-1", "u-2", canvas_id=WEEKLY)
        return soon

    return prepare


def get_ready(name, braze_emulator, ready):
    soon = ready()
    if name == "broadcast":
        braze_emulator.change_program(campaign_id=WEEKLY, next_send_time=soon)


LATER = [
    *(
        ("rate_limited", 1, {"retry_after": 0.2, "header_style": style})
        for style in ("epoch", "retry_after", "absent", "empty")
    ),
    *(("server_error", 3, {"status": status}) for status in (500, 502, 503, 504)),
    *(("html_error_page", 3, {"status": status}) for status in (502, 503)),
    ("drop_before_acceptance", 3, {}),
    ("drop_after_acceptance", 3, {}),
]


@pytest.mark.parametrize("fault", LATER, ids=str)
@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_later_is_no_error(how, fault, wait, ready, braze_emulator):
    """The first look suffers, with what is asked before it, and so do those after it."""
    kind, times, options = fault
    get_ready("campaign", braze_emulator, ready)
    braze_emulator.inject(kind, times=times, **options)
    sensor, parameters = SENSORS["campaign"]
    assert wait(sensor, how=how, **parameters)["value"] == 2


@pytest.mark.parametrize("how", ["poke", "deferrable"])
@pytest.mark.parametrize("fault", [LATER[4], LATER[-1]], ids=str)
def test_later_is_no_error_for_any_sensor(name, how, fault, *, wait, ready, braze_emulator):
    kind, _, options = fault
    get_ready(name, braze_emulator, ready)
    sensor, parameters = SENSORS[name]
    braze_emulator.inject(kind, path=PATHS[name], times=2, **options)
    wait(sensor, how=how, **parameters)


@pytest.mark.parametrize("how", ["poke", "reschedule"])
def test_429_is_no_error_for_any_sensor(name, how, wait, ready, braze_emulator):
    get_ready(name, braze_emulator, ready)
    sensor, parameters = SENSORS[name]
    braze_emulator.inject("rate_limited", path=PATHS[name], times=2, header_style="absent")
    wait(sensor, how=how, **parameters)


@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_nobody_listens(how, wait, connection, braze_emulator):
    """Braze cannot be reached at all: a timeout that says why, not an error at once."""
    connection(host="http://127.0.0.1:9")
    sensor, parameters = SENSORS["active"]
    with pytest.raises(AirflowSensorTimeout) as caught:
        wait(sensor, how=how, timeout=0.4, **parameters)
    assert "Braze" in str(caught.value)


@pytest.mark.parametrize("how", ["poke", "deferrable"])
@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "drop_before_acceptance"])
def test_for_ever_later_times_out(how, kind, wait, braze_emulator):
    options = {"retry_after": 600.0} if kind == "rate_limited" else {}
    braze_emulator.inject(kind, times=None, **options)
    sensor, parameters = SENSORS["active"]
    begun = time.monotonic()
    with pytest.raises(AirflowSensorTimeout) as caught:
        wait(sensor, how=how, timeout=0.5, **parameters)
    assert time.monotonic() - begun < 60, "the task's timeout counts, not Braze's reset"
    assert {"rate_limited": "429", "server_error": "500"}.get(kind, "Braze") in str(caught.value)


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_key_without_the_permission(name, how, soft_fail, *, wait, connection, braze_emulator):
    braze_emulator.reset({"api_keys": [{"name": "none", "key": "powerless-key", "permissions": []}]})
    connection(password="powerless-key")
    sensor, parameters = SENSORS[name]
    with pytest.raises(AirflowException) as caught:
        wait(sensor, how=how, soft_fail=soft_fail, **parameters)
    text = str(caught.value)
    assert not isinstance(caught.value, AirflowSkipException | AirflowSensorTimeout)
    assert "permission" in text
    assert "powerless-key" not in text


def test_only_the_details_may_not_be_asked(wait, connection, ready, braze_emulator):
    """The details only help to refuse early; the docstring names their permission, yet the figures are what counts."""
    keys = [{"name": "figures", "key": "k-1", "permissions": ["campaigns.data_series", "campaigns.trigger.send"]}]
    braze_emulator.reset({"api_keys": keys})
    connection(password="k-1")
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=2)
    sensor, parameters = SENSORS["campaign"]
    assert wait(sensor, **parameters)["value"] == 2


@pytest.mark.parametrize("how", ["poke", "deferrable"])
@pytest.mark.parametrize(
    ("status", "content"),
    [(404, b"<html>not here</html>"), (400, {"message": "no such campaign"}), (404, {"message": "x"})],
    ids=str,
)
def test_an_answer_that_stays_is_an_error_at_once(how, status, content, wait, other_braze):
    calls = other_braze({"/campaigns/details": (status, content)})
    sensor, parameters = SENSORS["active"]
    with pytest.raises(AirflowException, match=str(status)) as caught:
        wait(sensor, how=how, **parameters)
    assert not isinstance(caught.value, AirflowSensorTimeout)
    assert len(calls) <= 2


@pytest.mark.parametrize("soft_fail", [False, True])
def test_no_connection(how, soft_fail, wait, monkeypatch):
    sensor, parameters = SENSORS["active"]
    with pytest.raises(Exception, match="nowhere") as caught:
        wait(sensor, how=how, braze_conn_id="nowhere", soft_fail=soft_fail, **parameters)
    assert not isinstance(caught.value, AirflowSkipException | AirflowSensorTimeout)


# Answers in a shape that they never should have


DETAILS = {
    "message": "success", "name": "Offer", "archived": False, "draft": False, "enabled": True, "channels": ["email"],
    "schedule_type": "api_triggered_delivery", "first_sent": None, "last_sent": None, "messages": {},
}  # fmt: skip
SCHEDULED = {**DETAILS, "schedule_type": "time_based"}
JUNK = [None, [], {}, "text", 7, [None], [[]], [{}], {"a": 1}, {"stats": None}, {"stats": [7]}]
ROWS = [
    {"time": TODAY}, {"time": None, "messages": {}}, {"time": 7, "messages": {}}, {"time": TODAY, "messages": None},
    {"time": TODAY, "messages": []}, {"time": TODAY, "messages": {"email": None}}, {"time": TODAY,
    "messages": {"email": {}}},
    {"time": TODAY, "messages": {"email": [None]}}, {"time": TODAY, "messages": {"email": [{"sent": "5"}]}},
    {"time": TODAY, "messages": {"email": [{"sent": None}]}}, {"time": TODAY, "messages": {"email": [{"sent": [5]}]}},
    {"time": TODAY, "messages": {"email": [{"sent": True}]}}, {"messages": {"email": [{"sent": 5}]}},
    {"time": "the other day", "messages": {"email": [{"sent": 0}]}},
]  # fmt: skip
STATS = [
    {"time": TODAY}, {"time": TODAY, "total_stats": None}, {"time": TODAY, "total_stats": []},
    {"time": TODAY, "total_stats": {"entries": "5"}}, {"time": TODAY, "total_stats": {"entries": None}},
    {"time": None, "total_stats": {"entries": 1}}, {"total_stats": {"entries": 1}},
]  # fmt: skip


def ends_with_a_reason(wait, name, how):
    """It may wait on until the timeout, or fail; both with a sentence of ours, and never be met or crash."""
    sensor, parameters = SENSORS[name]
    with pytest.raises((AirflowSensorTimeout, AirflowException)) as caught:
        wait(sensor, how=how, timeout=0.01, poke_interval=0.02, **parameters)
    assert "Traceback" not in str(caught.value)
    assert not any(word in str(caught.value) for word in ("NoneType", "object has no attribute", "not subscriptable"))


@pytest.mark.parametrize("data", [*JUNK, *([row] for row in ROWS)], ids=as_id)
@pytest.mark.parametrize("name", ["campaign", "send"])
def test_figures_in_a_shape_of_their_own(name, data, wait, other_braze):
    other_braze({"/campaigns/details": (200, DETAILS), PATHS[name]: (200, {"message": "success", "data": data})})
    ends_with_a_reason(wait, name, "poke")


@pytest.mark.parametrize("data", [*JUNK, *({"name": "x", "stats": [row]} for row in STATS)], ids=as_id)
def test_figures_of_a_canvas_in_a_shape_of_their_own(data, wait, other_braze):
    other_braze({"/canvas/details": (200, DETAILS), PATHS["canvas"]: (200, {"message": "success", "data": data})})
    ends_with_a_reason(wait, "canvas", "poke")


@pytest.mark.parametrize("name", ["campaign", "canvas", "send", "recipients", "broadcast"])
@pytest.mark.parametrize("body", [{"message": "success"}, [], None, 7], ids=as_id)
def test_answers_without_what_was_asked_for(name, body, wait, other_braze):
    details = (200, SCHEDULED if name == "broadcast" else DETAILS)
    other_braze({"/campaigns/details": details, "/canvas/details": details, PATHS[name]: (200, body)})
    ends_with_a_reason(wait, name, "poke")


@pytest.mark.parametrize("rows", [None, {}, "text", 7, [None], [7], ["text"], [[]]], ids=as_id)
@pytest.mark.parametrize("name", ["broadcast", "recipients"])
def test_rows_in_a_shape_of_their_own(name, rows, wait, other_braze):
    field = "users" if name == "recipients" else "scheduled_broadcasts"
    other_braze({"/campaigns/details": (200, SCHEDULED), PATHS[name]: (200, {"message": "success", field: rows})})
    ends_with_a_reason(wait, name, "poke")


@pytest.mark.parametrize("rows", [None, {}, "text", 7, [None], [7], ["text"], [[]]], ids=as_id)
def test_a_quiet_window_is_not_read_off_nonsense(rows, wait, other_braze):
    other_braze({PATHS["broadcast"]: (200, {"scheduled_broadcasts": rows})})
    with pytest.raises(AirflowException):
        wait(
            BrazeScheduledBroadcastSensor,
            expect="nothing",
            before=datetime.now(UTC) + timedelta(hours=2),
            timeout=0.01,
            poke_interval=0.02,
        )


RECEIPTS = [
    None, {}, "text", 7, [None], [7], ["text"], [{}], [{"api_campaign_id": WEEKLY}],
    [{"api_campaign_id": WEEKLY, "last_received": None}], [{"api_campaign_id": WEEKLY, "last_received": 7}],
    [{"api_campaign_id": WEEKLY, "last_received": "lately"}], [{"api_campaign_id": None,
    "last_received": "2090-01-01T00:00:00Z"}],
]  # fmt: skip


@pytest.mark.parametrize("receipts", RECEIPTS, ids=as_id)
def test_receipts_in_a_shape_of_their_own(receipts, wait, other_braze):
    users = [{"external_id": name, "campaigns_received": receipts} for name in ("u-1", "u-2")]
    answer = (200, {"message": "success", "users": users})
    other_braze({"/campaigns/details": (200, DETAILS), PATHS["recipients"]: answer})
    ends_with_a_reason(wait, "recipients", "poke")


@pytest.mark.parametrize("field", ["enabled", "archived", "draft", "name"])
@pytest.mark.parametrize("value", ["missing", None, "yes", 7, [], {}], ids=str)
def test_a_state_in_a_shape_of_its_own(field, value, wait, other_braze):
    """Nothing but a plain yes is active."""
    details = {**DETAILS, "enabled": field == "name", field: value}
    if value == "missing":
        del details[field]
    other_braze({"/campaigns/details": (200, details)})
    sensor, parameters = SENSORS["active"]
    if field == "name":
        assert wait(sensor, **parameters)["enabled"] is True
        return
    ends_with_a_reason(wait, "active", "poke")


@pytest.mark.parametrize("field", ["channels", "schedule_type", "last_sent", "archived"])
@pytest.mark.parametrize("value", ["missing", None, "lately", 7, [7]], ids=str)
@pytest.mark.parametrize("name", ["campaign", "send"])
def test_details_in_a_shape_of_their_own(name, field, value, wait, other_braze):
    """They may be read as nothing known, or be refused; the figures are good."""
    details = {**DETAILS, field: value}
    if value == "missing":
        del details[field]
    row = {"time": TODAY, "messages": {"email": [{"sent": 5}]}}
    answer = (200, {"message": "success", "data": [row]})
    other_braze({"/campaigns/details": (200, details), PATHS[name]: answer})
    sensor, parameters = SENSORS[name]
    try:
        assert wait(sensor, timeout=0.01, poke_interval=0.02, **parameters)["value"] == 5
    except BrazeWaitRefusedError as error:
        assert "object has no attribute" not in str(error)


@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_bytes_that_are_no_json(how, wait, ready, braze_emulator):
    """As from a proxy that knows better: once it is later, for ever it is a timeout that says why."""
    get_ready("campaign", braze_emulator, ready)
    sensor, parameters = SENSORS["campaign"]
    braze_emulator.inject("garbage_201", times=2, path=PATHS["campaign"])
    try:
        assert wait(sensor, how=how, **parameters)["value"] == 2
    except AirflowException as error:
        assert "JSON" in str(error) or "readable" in str(error)


@pytest.mark.parametrize("how", ["poke", "deferrable"])
def test_an_answer_that_is_slow(how, wait, ready, connection, braze_emulator):
    """Slower than the connection's timeout: later."""
    get_ready("active", braze_emulator, ready)
    connection(extra={"timeout": 1})
    braze_emulator.inject("slow", seconds=1.6, times=1)
    sensor, parameters = SENSORS["active"]
    assert wait(sensor, how=how, **parameters)["enabled"] is True
