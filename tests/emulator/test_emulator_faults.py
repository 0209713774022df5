"""Every fault as its victim sees it: the answer (or none), and whether anybody was messaged."""

import time

import httpx
import pytest
from emulator_support import CANVAS, LIST, PUSH, RECEIPT, SEND, WEEKLY, later, until_requests

from airflow_provider_braze.emulator.faults import KINDS

DELIVERED = {"external_user_id:1": 1}


@pytest.mark.parametrize(
    ("style", "headers"),
    [
        ("seconds", {"x-ratelimit-limit": "250000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}),
        ("absent", {}),
        ("empty", {"x-ratelimit-limit": "", "x-ratelimit-remaining": "", "x-ratelimit-reset": ""}),
        ("retry_after", {"x-ratelimit-retry-after": "7"}),
        ("standard_retry_after", {"retry-after": "7"}),
    ],
)
def test_rate_limited(braze, caller, style, headers):
    braze.inject("rate_limited", retry_after=7, header_style=style)
    answer = caller.to("1")
    seen = {name: value for name, value in answer.headers.items() if "ratelimit" in name or name == "retry-after"}
    assert (answer.status_code, answer.json()["message"], seen) == (429, "Rate Limited", headers)
    assert braze.deliveries() == {}
    assert caller.to("1").status_code == 201


def test_rate_limited_until_an_epoch(braze, caller):
    braze.inject("rate_limited", retry_after=7)
    braze.clock.advance(1000)
    before = braze.clock.now()
    reset = int(caller.to("1").headers["x-ratelimit-reset"])
    assert before + 7 <= reset <= braze.clock.now() + 8


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_error(braze, caller, status):
    braze.inject("server_error", status=status)
    answer = caller.to("1")
    assert answer.status_code == status
    assert answer.json()["message"]
    assert braze.deliveries() == {}


@pytest.mark.parametrize("status", [502, 200])
def test_html_error_page(braze, caller, status):
    braze.inject("html_error_page", status=status)
    answer = caller.to("1")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert answer.text.startswith("<html>")
    assert braze.deliveries() == {}


@pytest.mark.parametrize(("kind", "delivered"), [("drop_before_acceptance", {}), ("drop_after_acceptance", DELIVERED)])
def test_a_broken_connection(braze, caller, kind, delivered):
    caller.http.get(LIST)
    braze.inject(kind)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        caller.to("1")
    assert braze.deliveries() == delivered
    assert (braze.requests()[-1]["status"], braze.requests()[-1]["fault"]) == (None, kind)
    assert caller.http.get(LIST).status_code == 200


def test_slow(braze, caller):
    braze.inject("slow", seconds=0.3)
    before = time.monotonic()
    assert caller.to("1").status_code == 201
    assert time.monotonic() - before >= 0.3


def test_slower_than_the_caller_waits(braze, caller):
    caller.http.timeout = httpx.Timeout(60, read=0.2)
    braze.inject("slow", seconds=600, times=2)
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post(SEND, json={"campaign_id": "x"})
    with pytest.raises(httpx.ReadTimeout):
        caller.to("1")
    until_requests(braze, 2)
    assert braze.deliveries() == DELIVERED


def test_errors_as_strings(braze, caller):
    braze.inject("errors_in_201", indexes=[1])
    answer = caller.to("1", "2")
    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert answer.json()["errors"] == ["recipients[1]: the recipient could not be messaged"]
    assert braze.deliveries() == DELIVERED


def test_errors_as_objects(braze, caller):
    braze.inject("errors_in_201", style="objects", text="bad", indexes=[0, 2])
    answer = caller.to("2", "1", "3")
    assert answer.json()["errors"] == [
        {"type": "bad", "input_array": "recipients", "index": 0},
        {"type": "bad", "input_array": "recipients", "index": 2},
    ]
    assert braze.deliveries() == DELIVERED


def test_notice(braze, caller):
    braze.inject("notice_in_201", text="Archived.")
    answer = caller.to("1")
    assert (answer.status_code, answer.json()["message"], answer.json()["notice"]) == (201, "success", "Archived.")
    assert braze.deliveries() == {}


def test_queued(braze, caller):
    braze.inject("queued_202")
    answer = caller.to("1")
    assert (answer.status_code, answer.json()) == (202, {"message": "queued"})
    assert braze.deliveries() == DELIVERED


def test_a_401_that_echoes_the_key(braze, caller):
    braze.inject("echo_key_401")
    answer = caller.to("1")
    assert (answer.status_code, braze.api_key in answer.text) == (401, True)
    assert braze.api_key not in caller.http.get("/__emulator__/requests").text
    assert braze.deliveries() == {}


def test_garbage(braze, caller):
    braze.inject("garbage_201")
    answer = caller.to("1")
    assert answer.status_code == 201
    with pytest.raises(ValueError, match=r".*"):
        answer.json()
    assert braze.deliveries() == DELIVERED


def test_an_empty_answer(braze, caller):
    braze.inject("empty_201")
    answer = caller.to("1")
    assert (answer.status_code, answer.content) == (201, b"")
    assert braze.deliveries() == DELIVERED


SWALLOWING = {
    "campaigns_trigger_send": {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "u-1"}]},
    "canvas_trigger_send": {"canvas_id": CANVAS, "recipients": [{"external_user_id": "u-1"}]},
    "messages_send": {"external_user_ids": ["u-1"], "messages": PUSH},
    "messages_schedule_create": {"external_user_ids": ["u-1"], "messages": PUSH},
    "campaigns_trigger_schedule_create": {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "u-1"}]},
    "canvas_trigger_schedule_create": {"canvas_id": CANVAS, "recipients": [{"external_user_id": "u-1"}]},
    "transactional_send": {"recipient": {"external_user_id": "u-1"}},
}


@pytest.mark.parametrize("endpoint_id", SWALLOWING)
def test_swallowed_wherever_something_is_sent(braze, caller, endpoint_id):
    body = SWALLOWING[endpoint_id]
    if "schedule" in endpoint_id:
        body = {**body, "schedule": {"time": later(braze, 60)}}
    braze.inject("swallowed", recipients=["u-1"])
    for expected in ({}, {"external_user_id:u-1": 1}):
        answer = caller.call(endpoint_id, body, campaign_id=RECEIPT)
        assert (answer.status_code, answer.json().keys() & {"errors", "notice"}) == (201, set())
        braze.clock.advance(61)
        assert braze.deliveries() == expected
        body = {**body, "schedule": {"time": later(braze, 60)}} if "schedule" in body else body


def test_swallowed_by_any_name(braze, caller):
    people = [
        {"external_user_id": "7"},
        {"external_user_id": "8"},
        {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}},
        *({"email": f"{name}@example.com", "prioritization": ["identified"]} for name in ("kim", "new")),
    ]
    braze.inject("swallowed", recipients=["7", "crm-1001", "kim@example.com", "new@example.com"], times=None)
    for _ in range(2):
        assert caller.to(*people).json().keys() == {"dispatch_id", "message"}
    caller.send(broadcast=True)
    assert braze.deliveries() == {"external_user_id:8": 2, "external_user_id:u-2": 1, "external_user_id:u-3": 1}
    answer = caller.call("users_export_ids", {"external_ids": ["7", "8", "u-1"]}).json()
    assert answer["invalid_user_ids"] == ["7"], "nobody knows who was never messaged"
    assert [("campaigns_received" in one) for one in answer["users"]] == [True, False]


def test_a_live_activity_may_be_swallowed(braze, caller):
    body = {**caller.valid("live_activity_start"), "recipients": [{"external_user_id": "u-1"}]}
    braze.inject("swallowed", recipients=["u-1"])
    for expected in ({}, {"external_user_id:u-1": 1}):
        assert caller.call("live_activity_start", body).status_code == 201
        assert braze.deliveries() == expected


def received(caller, *ids):
    users = caller.call("users_export_ids", {"external_ids": list(ids)}).json()["users"]
    return [one["campaigns_received"][0]["last_received"] if "campaigns_received" in one else None for one in users]


def test_receipts_that_come_late(braze, caller):
    braze.inject("late_receipts", seconds=60, times=None)
    caller.to("u-1")
    first_sent = braze.clock.now()
    assert received(caller, "u-1", "u-2") == [None, None]
    braze.clock.advance(61)
    [first] = received(caller, "u-1")
    assert first
    caller.to("u-1")
    assert received(caller, "u-1") == [first], "the earlier one shows until then"
    braze.clock.advance(61)
    assert received(caller, "u-1") > [first]
    assert braze.clock.now() - first_sent > 120


def test_receipts_that_the_first_looks_do_not_see(braze, caller):
    braze.inject("late_receipts", seconds=3600, times=2)
    caller.to("u-1")
    caller.call("canvas_trigger_send", {"canvas_id": CANVAS, "recipients": [{"external_user_id": "u-1"}]})
    assert caller.http.get(LIST).status_code == 200
    looks = [caller.call("users_export_ids", {"external_ids": ["u-1"]}).json()["users"][0] for _ in range(3)]
    told = {"campaigns_received", "canvases_received"}
    assert [look.keys() & told for look in looks] == [set(), set(), told]


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if KINDS[kind].phase == "after" and kind != "drop_after_acceptance"]
)
def test_a_refusal_stays_a_refusal(braze, caller, kind):
    braze.inject(kind, **({"seconds": 0} if kind == "slow" else {}))
    assert caller.send().status_code == 400


def test_times_skip_and_path(braze, caller):
    braze.inject("server_error", times=2, skip=1, path=SEND)
    assert [caller.http.get(LIST).status_code for _ in range(2)] == [200, 200]
    assert [caller.to("1").status_code for _ in range(4)] == [201, 500, 500, 201]


@pytest.mark.parametrize("path", [None, f"/transactional/v1/campaigns/{RECEIPT}/send"])
def test_a_fault_of_sends_waits_for_one(braze, caller, path):
    braze.inject("swallowed", recipients=["u-1"], path=path)
    caller.http.get(LIST)
    caller.call("users_export_ids", {"external_ids": ["u-1"]})
    caller.call("transactional_send", {"recipient": {"external_user_id": "u-1"}})
    assert braze.deliveries() == {}
    assert caller.http.get("/__emulator__/faults").json()["faults"] == []


def test_a_browser_does_not_use_up_a_fault(braze, caller):
    braze.inject("server_error")
    assert caller.http.get("/favicon.ico").status_code == 404
    assert caller.to("1").status_code == 500


def test_until_removed(braze, caller):
    braze.inject("server_error", times=None)
    assert [caller.to("1").status_code for _ in range(5)] == [500] * 5
    braze.clear_faults()
    assert caller.to("1").status_code == 201


def test_two_faults_one_after_the_other(braze, caller):
    braze.inject("server_error", status=503)
    braze.inject("rate_limited")
    assert [caller.to("1").status_code for _ in range(3)] == [503, 429, 201]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("nonsense", {}, "unknown kind"),
        ("slow", {"status": 500}, "slow takes no 'status'"),
        ("server_error", {"status": 418}, "must be one of 500"),
        ("slow", {"seconds": -1}, "does not take -1"),
        ("slow", {"times": "2"}, "times does not take"),
        ("slow", {"times": 0}, "times"),
        ("errors_in_201", {"indexes": 0}, "indexes does not take"),
        ("swallowed", {"recipients": "u-1"}, "recipients does not take"),
        ("swallowed", {"recipients": [1]}, "recipients does not take"),
        ("swallowed", {"path": LIST}, "swallowed does not happen on /campaigns/list, only on /messages/send"),
        ("late_receipts", {"path": SEND}, "late_receipts does not happen on"),
    ],
)
def test_faults_that_make_no_sense(braze, caller, kind, options, message):
    with pytest.raises(ValueError, match=message):
        braze.inject(kind, **options)
    answer = caller.http.post("/__emulator__/faults", json={"kind": kind, **options})
    assert answer.status_code == 400
    assert message.split()[0] in answer.json()["error"]


def test_faults_over_http(caller):
    admin = "/__emulator__/faults"
    made = caller.http.post(admin, json={"kind": "rate_limited", "times": None, "retry_after": 3})
    assert made.status_code == 201
    [listed] = caller.http.get(admin).json()["faults"]
    assert (listed["kind"], listed["left"], listed["retry_after"], listed["header_style"]) == (
        "rate_limited",
        None,
        3,
        "epoch",
    )
    assert set(caller.http.get(admin).json()["kinds"]) == set(KINDS)
    assert caller.to("1").status_code == 429
    assert caller.http.delete(f"{admin}/{listed['id']}").status_code == 200
    assert caller.http.delete(f"{admin}/{listed['id']}").status_code == 404
    caller.http.post(admin, json={"kind": "server_error"})
    caller.http.delete(admin)
    assert caller.to("1").status_code == 201
