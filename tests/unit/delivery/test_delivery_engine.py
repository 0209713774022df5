"""The engine against a local Braze: nobody twice, nobody forgotten, and every count adds up."""

import asyncio
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.sender import MOST_TRIES
from airflow_provider_braze.emulator import BrazeEmulator
from airflow_provider_braze.emulator.faults import HEADER_STYLES

SEND = "campaigns_trigger_send"
PAYLOAD = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}


@pytest.fixture
def wire(request, monkeypatch):
    if request.param == "httpx":
        # As where it is not installed; sys.modules belongs to the slow ones, too, which import it at the same time.
        monkeypatch.setattr("airflow_provider_braze.api.wire.find_spec", lambda _: None)
    return request.param


WIRES = pytest.mark.parametrize("wire", ["aiohttp", "httpx"], indirect=True)
WIRED = pytest.mark.usefixtures("wire")


def names(count):
    return [f"zebra-{number:05}" for number in range(count)]


def send(url, entries, *, key="local-emulator-key", lanes=4, timeout=60.0, max_invalid=0, payload=PAYLOAD, **options):
    """Deliver, and give the report, the text of the error, and the error itself, with what must always hold."""
    audience = None if entries is None else ListAudience(entries)
    with Plan(SEND, payload, audience, max_invalid=max_invalid) as plan:
        client = AsyncBrazeClient(url, key, lanes=lanes, timeout=timeout, **options)
        try:
            report, error = deliver(Delivery(plan, client)), None
        except BrazeDeliveryError as raised:
            report, error = raised.report, raised
    counts = ("duplicates", "invalid", "skipped", "accepted", "failed", "unknown")
    assert report["recipients"] == sum(report[name] for name in counts), report
    for text in (json.dumps(report), str(error)):
        assert "zebra" not in text
        assert key not in text
        assert "@" not in text
    assert (error is None) is not bool(report["skipped"] or report["failed"] or report["unknown"] or report["errors"])
    return report, error


def picked(report, *fields):
    return {field: report[field] for field in fields}


@WIRES
@WIRED
def test_everybody_gets_one_message(braze_emulator):
    entries = [*names(260), *names(30), {"external_user_id": ""}, 7, "7"]
    report, _ = send(braze_emulator.url, entries, max_invalid=1)
    assert picked(report, "recipients", "requests", "accepted", "duplicates", "invalid") == {
        "recipients": 293,
        "requests": 6,
        "accepted": 261,
        "duplicates": 31,
        "invalid": 1,
    }
    assert set(braze_emulator.deliveries().values()) == {1}
    assert len(braze_emulator.deliveries()) == 261
    assert len(set(report["dispatch_ids"])) == 6


@WIRES
@WIRED
def test_a_wrong_key_costs_one_request(braze_emulator):
    report, error = send(braze_emulator.url, names(500), key="another-key", lanes=16)
    assert len(braze_emulator.requests()) == 1
    assert picked(report, "requests", "failed", "skipped", "accepted") == {
        "requests": 1,
        "failed": 50,
        "skipped": 450,
        "accepted": 0,
    }
    assert "REST API key" in str(error)


# What ends a delivery: the fault, what its 50 people are counted as, how many of them get the message.
FINAL = {
    "dropped before": ("drop_before_acceptance", {}, "unknown", 0),
    "dropped after": ("drop_after_acceptance", {}, "unknown", 50),
    "garbage": ("garbage_201", {}, "unknown", 50),
    "empty": ("empty_201", {}, "unknown", 50),
    "504": ("server_error", {"status": 504}, "unknown", 0),
    "504 page": ("html_error_page", {"status": 504}, "unknown", 0),
    "page instead of success": ("html_error_page", {"status": 200}, "unknown", 0),
    "400 page": ("html_error_page", {"status": 400}, "failed", 0),
    "key echoed": ("echo_key_401", {}, "failed", 0),
    "paused": ("notice_in_201", {}, "failed", 0),
}


@WIRES
@WIRED
@pytest.mark.parametrize("fault", FINAL)
def test_a_fault_on_the_first_request_stops_before_the_second(braze_emulator, fault):
    kind, options, count, delivered = FINAL[fault]
    braze_emulator.inject(kind, **options)
    report, error = send(braze_emulator.url, names(150))
    assert picked(report, "requests", count, "skipped", "accepted") == {
        "requests": 1,
        count: 50,
        "skipped": 100,
        "accepted": 0,
    }
    assert len(braze_emulator.requests()) == 1
    assert len(braze_emulator.deliveries()) == delivered
    assert set(braze_emulator.deliveries().values()) <= {1}
    assert ("in doubt" in str(error)) is (count == "unknown")


@pytest.mark.parametrize("fault", FINAL)
@pytest.mark.parametrize("lanes", [1, 4])
def test_after_a_fault_nothing_else_is_begun(braze_emulator, fault, lanes):
    kind, options, count, delivered = FINAL[fault]
    braze_emulator.inject(kind, skip=1, **options)
    report, _ = send(braze_emulator.url, names(2000), lanes=lanes)
    made = len(braze_emulator.requests())
    assert report[count] == 50
    assert report["requests"] == made
    assert report["accepted"] == 50 * (made - 1)
    assert report["skipped"] == 2000 - 50 * made
    if lanes == 1:
        assert made == 2
    else:
        assert made <= 1 + 2 * lanes
    assert len(braze_emulator.deliveries()) == 50 * (made - 1) + delivered
    assert set(braze_emulator.deliveries().values()) == {1}


@WIRES
@WIRED
def test_queued_is_accepted(braze_emulator):
    braze_emulator.inject("queued_202", times=None)
    report, _ = send(braze_emulator.url, names(120))
    assert picked(report, "accepted", "requests") == {"accepted": 120, "requests": 3}


@pytest.mark.parametrize("state", ["paused", "archived", "stopped"])
def test_a_campaign_that_is_not_active_messages_nobody_and_says_so(braze_emulator, state):
    braze_emulator.add_campaign("c", name="c", state=state)
    report, error = send(braze_emulator.url, names(100), payload={"campaign_id": "c"})
    assert picked(report, "failed", "skipped", "requests") == {"failed": 50, "skipped": 50, "requests": 1}
    assert state in str(error)


def test_a_broadcast_is_one_request(braze_emulator):
    braze_emulator.add_users([{"external_id": "a"}, {"external_id": "b"}])
    report, _ = send(braze_emulator.url, None, payload={**PAYLOAD, "broadcast": True})
    assert picked(report, "requests", "recipients", "accepted") == {"requests": 1, "recipients": 0, "accepted": 0}
    assert report["send_id"]
    assert len(report["dispatch_ids"]) == 1
    assert braze_emulator.deliveries() == {"external_user_id:a": 1, "external_user_id:b": 1}


PEOPLE = [
    "zebra-1",
    {"email": "zebra@example.com", "prioritization": ["identified"]},
    {"user_alias": {"alias_name": "zebra-alias", "alias_label": "crm"}},
    {"braze_id": "zebra-braze"},
    "zebra-5",
]
NAMES = ["zebra-1", "zebra@example.com", "zebra-alias", "zebra-braze", "zebra-5"]


@pytest.mark.parametrize("style", ["strings", "objects"])
def test_errors_inside_a_success_count_as_failed_by_whom_they_name(braze_emulator, style):
    braze_emulator.inject("errors_in_201", indexes=[1, 2, 3], style=style, text=f"cannot reach {', '.join(NAMES)}")
    report, error = send(braze_emulator.url, PEOPLE)
    assert picked(report, "accepted", "failed", "requests") == {"accepted": 2, "failed": 3, "requests": 1}
    assert len(report["errors"]) == 3
    assert error is not None
    for name in NAMES:
        assert identity_hash(name) in report["errors"][0]
    if style == "objects":
        for text, name in zip(report["errors"], NAMES[1:4], strict=True):
            assert text.index(identity_hash(name)) == min(text.index(identity_hash(one)) for one in NAMES)


def test_errors_inside_a_success_do_not_stop_the_others(braze_emulator):
    braze_emulator.inject("errors_in_201", indexes=[0, 49], style="objects", times=2)
    report, _ = send(braze_emulator.url, names(160))
    assert picked(report, "accepted", "failed", "skipped", "requests") == {
        "accepted": 156,
        "failed": 4,
        "skipped": 0,
        "requests": 4,
    }
    assert len(braze_emulator.deliveries()) == 156


def answering(answers, log=None):
    """A transport that gives one answer after another, each a Response, an exception or (seconds, one of these)."""
    answers = iter(answers)

    async def handle(request):
        answer = next(answers, OK)
        if log is not None:
            log.append((time.monotonic(), json.loads(request.content)["recipients"]))
        if isinstance(answer, tuple):
            await asyncio.sleep(answer[0])
            answer = answer[1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer[0] if isinstance(answer, list) else 201, json=OK_BODY, headers=_headers(answer))

    return httpx.MockTransport(handle)


def _headers(answer):
    return answer[1] if isinstance(answer, list) and len(answer) > 1 else {}


OK, OK_BODY = [201], {"message": "success", "dispatch_id": "d"}
RING = [
    {"index": 0},
    {"index": 0, "again": True},
    {"index": -1},
    {"index": 99},
    {"index": True},
    {"index": "0"},
    None,
    7,
    ["x"],
    "zebra-00001 is unknown",
]


@pytest.mark.parametrize("errors", [RING, RING[:2], "zebra-00001 is unknown", {"index": 1}, [None], [[]], {}, "", None])
def test_errors_of_any_shape_are_counted_and_kept(errors):
    body = {"message": "success", "errors": errors}
    transport = httpx.MockTransport(lambda _: httpx.Response(201, json=body))
    report, _ = send("rest.example.com", names(5), transport=transport)
    assert report["accepted"] + report["failed"] == 5
    assert bool(report["failed"]) is bool(errors)
    if errors == RING[:2]:
        assert report["failed"] == 1


def test_the_first_request_goes_alone_then_as_many_as_there_are_lanes():
    under_way, most, order = 0, 0, []

    async def handle(_):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        order.append(under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        order.append(-1)
        return httpx.Response(201, json=OK_BODY)

    send("rest.example.com", names(650), lanes=3, transport=httpx.MockTransport(handle))
    assert order[:2] == [1, -1]
    assert most == 3


def test_a_first_request_that_fails_is_not_followed_by_a_second_at_the_same_time():
    log = []
    send("rest.example.com", names(200), transport=answering([(0.1, [400])], log))
    assert len(log) == 1


def test_a_429_holds_all_lanes_back_for_as_long_as_it_says():
    log = []
    transport = answering([OK, [429, {"retry-after": "0.7"}]], log)
    report, _ = send("rest.example.com", names(600), lanes=2, transport=transport)
    assert picked(report, "accepted", "requests") == {"accepted": 600, "requests": 12}
    refused, *later = [moment for moment, _ in log][1:]
    assert sum(moment < refused + 0.69 for moment in later) <= 1, "but for the one in the other lane"


@pytest.mark.parametrize("waiting", [[429, {"retry-after": "60"}], [503]], ids=["429", "503"])
def test_while_one_lane_waits_a_failure_in_another_means_that_nothing_more_is_sent(waiting):
    numbers, both, waits = itertools.count(), asyncio.Event(), asyncio.Event()

    async def handle(_):
        number = next(numbers)
        if number == 1:
            await both.wait()
            waits.set()
            return httpx.Response(waiting[0], json={}, headers=_headers(waiting))
        if number == 2:
            both.set()
            await waits.wait()
            # Turns of the event loop, not seconds: a pause of the machine must not end the waiting of the other.
            for _ in range(200):
                await asyncio.sleep(0)
            return httpx.Response(400, json={})
        return httpx.Response(201, json=OK_BODY)

    report, _ = send("rest.example.com", names(500), lanes=2, transport=httpx.MockTransport(handle))
    assert next(numbers) == 3
    assert picked(report, "accepted", "failed") == {"accepted": 50, "failed": 50}


def test_the_same_body_goes_out_again_after_a_refusal_that_sent_nothing():
    log = []
    report, _ = send(
        "rest.example.com", names(3), transport=answering([httpx.ConnectError("no"), [429, {"retry-after": "0"}]], log)
    )
    assert picked(report, "accepted", "requests") == {"accepted": 3, "requests": 1}
    assert len(log) == 3
    assert log[0][1] == log[1][1] == log[2][1]


@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("x"),
        httpx.WriteError("x"),
        httpx.RemoteProtocolError("x"),
        OSError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_breaks_after_the_body_may_have_left_is_never_repeated(error):
    log = []
    report, _ = send("rest.example.com", names(60), transport=answering([error], log))
    assert (len(log), report["unknown"], report["skipped"]) == (1, 50, 10)


# The slow ones, each with a Braze of its own, all at once while the others run.


def _styles(style):
    with BrazeEmulator() as emulator:
        emulator.inject("rate_limited", header_style=style, retry_after=1.0, skip=1, times=2)
        began = time.monotonic()
        report, error = send(emulator.url, names(200), lanes=2)
        return report, error, time.monotonic() - began, emulator.summary(), len(emulator.requests())


def _recovers(kind, status):
    with BrazeEmulator() as emulator:
        emulator.inject(kind, status=status, skip=1, times=2)
        report, error = send(emulator.url, names(150), lanes=1)
        return report, error, emulator.summary(), [one["status"] for one in emulator.requests()]


def _too_late(skip, lanes, transport=None):
    """Answers after the first ones come later than the client waits, which is longer than machines pause."""
    with BrazeEmulator() as emulator:
        emulator.inject("slow", seconds=60.0, skip=skip, times=None)
        report, error = send(emulator.url, names(2000), lanes=lanes, timeout=5.0, transport=transport and transport())
        return report, error, len(emulator.requests()), emulator.deliveries()


def _exhausts(answer):
    log = []
    report, error = send("rest.example.com", names(120), transport=answering([answer] * 9, log))
    return report, error, len(log)


def _patience():
    log = []
    report, _ = send("rest.example.com", ["a"], transport=answering([[429]] * 3, log))
    moments = [moment for moment, _ in log]
    return report, [later - earlier for earlier, later in itertools.pairwise(moments)]


RECOVERS = [("server_error", 500), ("server_error", 502), ("server_error", 503), ("html_error_page", 502)]
TOO_LATE = {
    "the first, aiohttp": (0, 4),
    "the first, httpx": (0, 4, httpx.AsyncHTTPTransport),
    "the second": (1, 1),
    "all after the first": (1, 4),
}
EXHAUSTS = {"500": [500], "502": [502], "503": [503], "unreachable": httpx.ConnectError("refused")}


@pytest.fixture(scope="module", autouse=True)
def slow():
    with ThreadPoolExecutor(20) as pool:
        yield {
            **{style: pool.submit(_styles, style) for style in HEADER_STYLES},
            **{case: pool.submit(_recovers, *case) for case in RECOVERS},
            **{name: pool.submit(_too_late, *case) for name, case in TOO_LATE.items()},
            "patience": pool.submit(_patience),
            **{name: pool.submit(_exhausts, answer) for name, answer in EXHAUSTS.items()},
        }


FAULTS = st.sampled_from(
    [
        ("drop_before_acceptance", {}),
        ("drop_after_acceptance", {}),
        ("garbage_201", {}),
        ("empty_201", {}),
        ("queued_202", {}),
        ("notice_in_201", {}),
        ("echo_key_401", {}),
        ("errors_in_201", {"indexes": [0, 7], "style": "objects"}),
        ("errors_in_201", {"indexes": [3], "style": "strings"}),
        ("rate_limited", {"retry_after": 0.0, "header_style": "seconds"}),
        ("server_error", {"status": 504}),
    ]
)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    faults=st.lists(st.tuples(FAULTS, st.integers(0, 4), st.integers(1, 2)), max_size=3),
    count=st.integers(1, 420),
    lanes=st.integers(1, 5),
    odd=st.integers(0, 3),
)
def test_whatever_happens_nobody_is_messaged_twice_and_every_count_is_true(braze_emulator, faults, count, lanes, odd):
    braze_emulator.reset()
    for (kind, options), skip, times in faults:
        braze_emulator.inject(kind, skip=skip, times=times, **options)
    entries = [*names(count), *names(odd), *([None] * odd)]
    report, _ = send(braze_emulator.url, entries, lanes=lanes, max_invalid=odd)
    delivered = braze_emulator.deliveries()
    assert set(delivered.values()) <= {1}
    assert picked(report, "recipients", "duplicates", "invalid") == {
        "recipients": len(entries),
        "duplicates": min(odd, count),
        "invalid": odd,
    }
    assert report["accepted"] <= len(delivered) <= report["accepted"] + report["unknown"]
    bodies = [json.dumps(one["body"]) for one in braze_emulator.requests() if one["status"] not in (429,)]
    assert len(bodies) == len(set(bodies)) == report["requests"]


@pytest.mark.parametrize("style", HEADER_STYLES)
def test_after_a_429_of_any_style_everybody_gets_one_message(slow, style):
    report, error, seconds, summary, requests = slow[style].result()
    assert error is None
    assert picked(report, "accepted", "requests") == {"accepted": 200, "requests": 4}
    assert (summary["recipients"], summary["max"], requests) == (200, 1, 6)
    if style in ("seconds", "retry_after", "standard_retry_after"):
        assert seconds >= 1.0


@pytest.mark.parametrize("case", RECOVERS, ids=str)
def test_a_server_error_is_tried_again(slow, case):
    report, error, summary, statuses = slow[case].result()
    assert error is None
    assert picked(report, "accepted", "requests") == {"accepted": 150, "requests": 3}
    assert (summary["recipients"], summary["max"]) == (150, 1)
    assert statuses == [201, case[1], case[1], 201, 201]


@pytest.mark.parametrize("name", TOO_LATE)
def test_after_an_answer_that_comes_too_late_nothing_else_is_begun(slow, name):
    report, error, made, delivered = slow[name].result()
    skip, lanes = TOO_LATE[name][:2]
    assert skip < made <= skip + (lanes if skip else 1)
    assert picked(report, "requests", "accepted", "unknown", "skipped") == {
        "requests": made,
        "accepted": 50 * skip,
        "unknown": 50 * (made - skip),
        "skipped": 2000 - 50 * made,
    }
    assert len(delivered) == 50 * made
    assert set(delivered.values()) == {1}
    assert "in doubt" in str(error)


@pytest.mark.parametrize("name", EXHAUSTS)
def test_tries_come_to_an_end_and_nobody_was_messaged(slow, name):
    report, error, tries = slow[name].result()
    assert tries == MOST_TRIES
    assert picked(report, "skipped", "accepted", "requests") == {"skipped": 120, "accepted": 0, "requests": 0}
    assert error is not None


def test_a_429_that_does_not_say_how_long_is_waited_for_longer_each_time(slow):
    report, pauses = slow["patience"].result()
    assert (report["accepted"], len(pauses)) == (1, 3)
    assert all(pause >= least for pause, least in zip(pauses, (0.5, 1, 3), strict=True)), pauses
