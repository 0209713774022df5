"""Whatever bytes the server returns, a delivery ends in success, failure or named doubt, and in time.

A raw server on the loopback interface stands in for Braze: it reads as much of a request as it likes, says what it is
told to, and closes, resets or hangs.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
import threading
import time
import zlib
from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.ledger import TaskTry
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.task_state import TaskStateLedger

SEND, PAYLOAD = "campaigns_trigger_send", {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}
KEY = "secret-key-of-the-workspace"
# Seconds that a server is waited for which hangs, that any other is, that a delivery ends within, and that it hangs.
TIMEOUT, PATIENCE, BOUND, HANGS = 1.0, 60.0, 30.0, 120.0
COUNTS = ("duplicates", "invalid", "skipped", "accepted", "failed", "unknown")
OK = b'{"message":"success","dispatch_id":"d"}'


class Script(NamedTuple):
    """What the server does with each connection.

    :param reads: how much of the request it reads first: ``nothing``, ``head`` or ``all``.
    :param parts: what it says, each part in a packet of its own.
    :param end: ``close``, ``reset`` or ``hang``.
    """

    reads: str
    parts: tuple[bytes, ...]
    end: str


class Server:
    """Follows a script; on a thread of its own."""

    def __init__(self):
        self.script = Script("all", (), "close")
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))

    async def _serve(self, reader, writer):
        self.connections += 1
        script = self.script
        try:
            await self._read(reader, script.reads)
            for part in script.parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            if script.end == "hang":
                await asyncio.sleep(HANGS)
            if script.end == "reset":
                writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _read(self, reader, how_much):
        if how_much == "nothing":
            return
        head = await reader.readuntil(b"\r\n\r\n")
        if how_much == "all":
            lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(lengths[0].partition(b":")[2]))


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture(params=["aiohttp", "httpx"])
def wire(request, monkeypatch):
    """Either library; and no patience with what is to be tried again."""
    if request.param == "httpx":
        monkeypatch.setitem(sys.modules, "aiohttp", None)  # as where it is not installed
    for name, value in (("MOST_TRIES", 2), ("LONGEST_BACKOFF", 0.05), ("LONGEST_QUOTA_WAIT", 1.0)):
        monkeypatch.setattr(f"airflow_provider_braze.delivery.sender.{name}", value)
    import airflow.sdk

    if not hasattr(airflow.sdk, "NEVER_EXPIRE"):
        monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", timedelta.max, raising=False)
    # What a server says must not get into the way of the test's own report.
    logging.disable(logging.CRITICAL)
    yield request.param
    logging.disable(logging.NOTSET)


class Store(dict):
    """What Airflow keeps of a task: JSON by key."""

    def set(self, key, value, *, retention=None):
        self[key] = json.loads(json.dumps(value))


def ends(server, script, *, on_unknown="fail"):
    """Deliver to a server of that script, and hold the end against what must always be."""
    server.script, store, began = script, Store(), time.monotonic()
    timeout = TIMEOUT if script.end == "hang" else PATIENCE
    with Plan(SEND, PAYLOAD, ListAudience([f"zebra-{number:03}" for number in range(60)])) as plan:
        client = AsyncBrazeClient(f"http://127.0.0.1:{server.port}", KEY, lanes=1, timeout=timeout)
        ledger = TaskStateLedger().open(TaskTry(dag_id="d", run_id="r", task_id="t", store=store), plan)
        policy = Policy(on_unknown=on_unknown, longest_wait=0.2, settling_time=0.0)
        try:
            report, error = deliver(Delivery(plan, client, ledger=ledger, policy=policy)), None
        except BrazeDeliveryError as raised:
            report, error = raised.report, raised
    seconds, letters = time.monotonic() - began, (store.get("braze/delivery/0/0") or {"s": "."})["s"]
    assert seconds < BOUND, "it must not hang past its timeouts"
    assert report["recipients"] == sum(report[name] for name in COUNTS) == 60
    assert "?" not in letters, "every request that left has an outcome"
    sizes = (50, 10)
    for letter, count in (("a", report["accepted"] + report["failed"]), ("u", report["unknown"])):
        known = sum(size for size, state in zip(sizes, letters, strict=False) if state == letter)
        assert known <= count, (letters, report)
    text = json.dumps(report, ensure_ascii=False) + str(error)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        # Neither Airflow's logs nor its database can hold it, nor can the channel to its supervisor.
        pytest.fail(f"no UTF-8: {ascii(text)[:1000]}")
    assert KEY not in text
    assert "zebra" not in text
    if report["unknown"] and on_unknown == "fail":
        assert "in doubt" in str(error)
    return report, error, letters


def http(status=b"201 Created", body=OK, headers=(), *, length=None, version=b"HTTP/1.1"):
    size = len(body) if length is None else length
    lines = [version + b" " + status, *headers, *([b"content-length: %d" % size] if size != b"" else [])]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks, end=b"0\r\n\r\n"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end
    return http(body=body, headers=[b"transfer-encoding: chunked"], length=b"")


JSON = b"content-type: application/json"
GZIP, DEFLATE = b"content-encoding: gzip", b"content-encoding: deflate"
# What it says, how it ends, and what must be said of the first 50 people: accepted, failed, unknown or skipped.
ANSWERS = {
    "a success": (http(), "close", "accepted"),
    "a success without a length": (http(length=b""), "close", "accepted"),
    "a success in chunks": (chunked(OK[:10], OK[10:]), "close", "accepted"),
    "a success of HTTP/1.0": (http(version=b"HTTP/1.0"), "close", "accepted"),
    "a gzipped success": (http(body=gzip.compress(OK), headers=[GZIP]), "close", "accepted"),
    "a deflated success": (http(body=zlib.compress(OK), headers=[DEFLATE]), "close", "accepted"),
    "a success, then a reset": (http(), "reset", None),
    "a success with garbage behind it": (http() + b"\x00\xff garbage", "close", None),
    "nothing at all": (b"", "close", "unknown"),
    "nothing, then a reset": (b"", "reset", "unknown"),
    "silence": (b"", "hang", "unknown"),
    "half a status line": (b"HTTP/1.1 20", "close", "unknown"),
    "half a status line, then silence": (b"HTTP/1.1 20", "hang", "unknown"),
    "half a head": (b"HTTP/1.1 201 Created\r\ncontent-le", "close", "unknown"),
    "half a head, then silence": (b"HTTP/1.1 201 Created\r\ncontent-le", "hang", "unknown"),
    "half a body": (http(length=500), "close", "unknown"),
    "half a body, then silence": (http(length=500), "hang", "unknown"),
    "half a body, then a reset": (http(length=500), "reset", "unknown"),
    "a body cut short by its length": (http(length=10), "close", "unknown"),
    "no body": (http(body=b""), "close", "unknown"),
    "a 204": (http(b"204 No Content", b"", length=b""), "close", "unknown"),
    "a 205": (http(b"205 Reset Content", b""), "close", "unknown"),
    "a length that is a word": (http(headers=[b"content-length: many"], length=b""), "close", None),
    "a length below zero": (http(headers=[b"content-length: -1"], length=b""), "close", None),
    "two lengths": (http(headers=[b"content-length: 3"]), "close", None),
    "a length beyond all bounds": (http(length=10**30), "close", "unknown"),
    "chunks without an end": (chunked(OK, end=b""), "close", "unknown"),
    "chunks without an end, then silence": (chunked(OK, end=b""), "hang", "unknown"),
    "chunks of no size": (
        http(body=b"zz\r\n", headers=[b"transfer-encoding: chunked"], length=b""),
        "close",
        "unknown",
    ),
    "a chunk size beyond all bounds": (
        http(body=b"f" * 40 + b"\r\n", headers=[b"transfer-encoding: chunked"], length=b""),
        "close",
        "unknown",
    ),
    "chunks and a length": (http(headers=[b"transfer-encoding: chunked"]), "close", None),
    "gzip that is none": (http(body=OK, headers=[GZIP]), "close", "unknown"),
    "gzip cut short": (http(body=gzip.compress(OK)[:-12], headers=[GZIP]), "close", None),
    "gzip with a wrong checksum": (http(body=gzip.compress(OK)[:-8] + b"\0" * 8, headers=[GZIP]), "close", None),
    "deflate that is none": (http(body=OK, headers=[DEFLATE]), "close", "unknown"),
    "brotli that is none": (http(body=OK, headers=[b"content-encoding: br"]), "close", None),
    "an encoding nobody knows": (http(body=OK, headers=[b"content-encoding: snappy"]), "close", None),
    "two encodings": (http(body=OK, headers=[b"content-encoding: gzip, gzip"]), "close", None),
    "a 100, then a success": (b"HTTP/1.1 100 Continue\r\n\r\n" + http(), "close", "accepted"),
    "many 100s, then a success": (b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + http(), "close", None),
    "a 100, then silence": (b"HTTP/1.1 100 Continue\r\n\r\n", "hang", "unknown"),
    "a 100, then the end": (b"HTTP/1.1 100 Continue\r\n\r\n", "close", "unknown"),
    "a 102": (b"HTTP/1.1 102 Processing\r\n\r\n", "close", "unknown"),
    "a 103, then a success": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + http(), "close", "accepted"),
    "a 101": (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "close", None),
    "a status of four digits": (http(b"2010 Created"), "close", "unknown"),
    "a status of letters": (http(b"abc Created"), "close", "unknown"),
    "a status below zero": (http(b"-201 Created"), "close", "unknown"),
    "status 0": (http(b"000 Nothing"), "close", None),
    "status 999": (http(b"999 Beyond"), "close", None),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "close", "unknown"),
    "HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18, "close", "unknown"),
    "HTTP/3.7": (http(version=b"HTTP/3.7"), "close", None),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", "close", "unknown"),
    "a redirect": (http(b"302 Found", b"", [b"location: http://127.0.0.1:9/"]), "close", "failed"),
    "a redirect that keeps the method": (http(b"307 Temporary", b"", [b"location: /again"]), "close", "failed"),
    "a redirect to nowhere": (http(b"308 Permanent", b"", [b"location: http://[/"]), "close", "failed"),
    "a redirect without a place": (http(b"301 Moved", b""), "close", "failed"),
    "a 304": (http(b"304 Not Modified", b"", length=b""), "close", "failed"),
    "a huge header": (http(headers=[b"x-a: " + b"a" * 200_000]), "close", None),
    "a huge header without an end": (b"HTTP/1.1 201 Created\r\nx-a: " + b"a" * 500_000, "close", "unknown"),
    "a huge status line": (b"HTTP/1.1 201 " + b"a" * 500_000, "close", "unknown"),
    "many headers": (http(headers=[b"x-%d: a" % number for number in range(5000)]), "close", None),
    "a header without a colon": (http(headers=[b"hello"]), "close", None),
    "a header with a null": (http(headers=[b"x-a: a\x00b"]), "close", None),
    "a header of other letters": (http(headers=["x-a: größe €".encode(), b"x-b: \xff\xfe"]), "close", None),
    "line feeds alone": (http().replace(b"\r\n", b"\n"), "close", None),
    "a huge body": (http(body=b'{"message":"success","x":"' + b"x" * 3_000_000 + b'"}'), "close", "accepted"),
    "a body nested deeply": (http(body=b'{"message":"success","x":' + b"[" * 100_000), "close", "unknown"),
    "errors nested deeply": (
        http(body=b'{"message":"success","errors":' + b"[" * 400 + b"]" * 400 + b"}"),
        "close",
        None,
    ),
    "a message nested deeply": (http(body=b'{"message":' + b"[" * 900 + b"]" * 900 + b"}"), "close", "unknown"),
    "a lone surrogate in a refusal": (http(b"400 Bad", b'{"message":"no \\ud800 such"}'), "close", "failed"),
    "a lone surrogate in a success": (http(body=b'{"message":"no \\ud800 such"}'), "close", "unknown"),
    "a lone surrogate in an error": (http(body=b'{"message":"success","errors":["\\udfff"]}'), "close", None),
    "a lone surrogate in a dispatch id": (http(body=b'{"message":"success","dispatch_id":"\\udfff"}'), "close", None),
    "a dispatch id that is an object": (http(body=b'{"message":"success","dispatch_id":{"a":[1]}}'), "close", None),
    "a dispatch id of a megabyte": (
        http(body=b'{"message":"success","dispatch_id":"' + b"x" * 1_000_000 + b'"}'),
        "close",
        None,
    ),
    "a number of 10,000 digits": (http(body=b'{"message":"success","x":' + b"9" * 10_000 + b"}"), "close", "unknown"),
    "infinity": (http(body=b'{"message":"success","errors":[Infinity, NaN]}'), "close", None),
    "half a pair in UTF-8 in a dispatch id": (
        http(body=b'{"message":"success","dispatch_id":"\xed\xa0\x80"}'),
        "close",
        "accepted",
    ),
    "half a pair in UTF-8 in an error": (http(body=b'{"message":"success","errors":["\xed\xa0\x80"]}'), "close", None),
    "half a pair in UTF-8 in a refusal": (http(b"400 Bad", b'{"message":"\xed\xa0\x80"}'), "close", "failed"),
    "UTF-16": (http(body='{"message":"success"}'.encode("utf-16")), "close", "unknown"),
    "UTF-16 with a 0": (
        http(body='{"message":"success","dispatch_id":"a\\u0000b"}'.encode("utf-16-le")),
        "close",
        "unknown",
    ),
    "a byte order mark": (http(body=b"\xef\xbb\xbf" + OK), "close", None),
    "a list": (http(body=b"[1]"), "close", "unknown"),
    "a quota of words": (http(headers=[b"x-ratelimit-limit: a", b"x-ratelimit-remaining: b"]), "close", "accepted"),
    "a quota beyond all bounds": (
        http(headers=[b"x-ratelimit-limit: 1e308", b"x-ratelimit-remaining: 1e308", b"x-ratelimit-reset: 1e308"]),
        "close",
        "accepted",
    ),
    "a quota that is used up for ever": (
        http(headers=[b"x-ratelimit-limit: 5", b"x-ratelimit-remaining: 0", b"x-ratelimit-reset: 99999999999999"]),
        "close",
        "accepted",
    ),
    "a quota of odd numbers": (
        http(headers=[b"x-ratelimit-limit: 0", b"x-ratelimit-remaining: 0.5", b"x-ratelimit-reset: nan"]),
        "close",
        "accepted",
    ),
    "a 429 for ever": (http(b"429 No", headers=[b"retry-after: 1e308"]), "close", "skipped"),
    "a 429 in words": (http(b"429 No", headers=[b"retry-after: Sat, 22 Nov 2026 07:28:00 GMT"]), "close", "skipped"),
    "a 503": (http(b"503 No", b"{}"), "close", "skipped"),
    "a 504": (http(b"504 No", b"{}"), "close", "unknown"),
    "the key in a status line": (b"HTTP/1.1 x" + KEY.encode() + b" Created\r\n\r\n", "close", "unknown"),
    "the key instead of a status line": (KEY.encode() + b"\r\n\r\n", "close", "unknown"),
    "the key in a header": (http(headers=[b"x y " + KEY.encode() + b": " + KEY.encode()]), "close", None),
    "the key in a length": (http(headers=[b"content-length: " + KEY.encode()], length=b""), "close", None),
    "the key in a chunk size": (
        http(body=KEY.encode() + b"\r\n", headers=[b"transfer-encoding: chunked"], length=b""),
        "close",
        "unknown",
    ),
    "the key in an encoding": (http(headers=[b"content-encoding: " + KEY.encode()]), "close", None),
    "the key in a refusal": (http(b"401 No", b'{"message":"' + KEY.encode() + b'"}'), "close", "failed"),
    "a recipient in a status line": (b"HTTP/1.1 zebra-001 Created\r\n\r\n", "close", "unknown"),
    "a recipient in a refusal": (http(b"400 No", b'{"message":"zebra-001 is unknown"}'), "close", "failed"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_that_somebody_thought_of(server, wire, case):
    said, end, count = ANSWERS[case]
    report, _, letters = ends(server, Script("all", (said,), end))
    if count == "accepted":
        assert report["accepted"] >= 50, report
    elif count:
        assert report[count] >= 50, report
        assert report["accepted"] == 0
    assert letters[0] == {"accepted": "a", "unknown": "u"}.get(count, letters[0])


@pytest.mark.parametrize("reads", ["nothing", "head"])
@pytest.mark.parametrize("end", ["close", "reset", "hang"])
@pytest.mark.parametrize("said", [b"", http(), http(b"400 Bad", b'{"message":"no"}')], ids=["", "success", "refusal"])
def test_a_server_that_does_not_read_to_the_end(server, wire, reads, end, said):
    report, _, _ = ends(server, Script(reads, (said,) if said else (), end))
    if not said:
        assert report["unknown"] == 50


LINES = st.one_of(
    st.sampled_from([b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2 ", b"HTTP/1.1", b"http/1.1 ", b"ICY ", b"\r\n\r\nHTTP/1.1 "]),
    st.binary(max_size=12),
)
STATUSES = st.one_of(
    st.integers(0, 1100).map(lambda number: b"%d" % number),
    st.sampled_from([b"201 Created", b"200", b"202 Accepted", b"", b"2\x001", b"+201", b"0201"]),
)
NAMES = st.sampled_from(
    [
        *(b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"location", b"retry-after"),
        *(b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset", b"content-type", b"upgrade", b"", b" "),
        *(b"set-cookie", b"trailer", b"x-\xff"),
    ]
)
VALUES = st.one_of(
    st.integers(-5, 10**6).map(lambda number: b"%d" % number),
    st.sampled_from(
        [b"chunked", b"gzip", b"deflate", b"identity, chunked", b"close", b"keep-alive", b"gzip, br", b"1e9", b"", b"/"]
    ),
    st.binary(max_size=30),
)
BODIES = st.one_of(
    st.sampled_from([OK, b"", b"{}", b"[]", b'{"message":"queued"}', gzip.compress(OK), b"<html>", b'{"message":']),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["message", "error", "errors", "notice", "dispatch_id", "send_id"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["error", "errors", "notice", "dispatch_id", "schedule_id", "send_id", "status"]),
        st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=2) | st.dictionaries(st.text(), st.integers()),
    ).map(lambda value: json.dumps({"message": "success"} | value).encode()),
    st.binary(max_size=200),
)


@st.composite
def answers(draw):
    head = draw(LINES) + draw(STATUSES) + b"\r\n"
    for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=4)):
        head += name + b": " + value + b"\r\n"
    body = draw(BODIES)
    if draw(st.booleans()):
        head += b"content-length: %d\r\n" % max(0, len(body) + draw(st.sampled_from([0, 0, 0, -1, 1, 1000])))
    said = head + draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"", b"\n"])) + body
    return said[: draw(st.sampled_from([None, None, None, len(said) // 2, len(said) - 1]))]


SCRIPTS = st.builds(
    Script,
    st.sampled_from(["all", "all", "all", "head", "nothing"]),
    st.lists(st.one_of(answers(), st.binary(max_size=40)), max_size=3).map(tuple),
    st.sampled_from(["close", "close", "close", "close", "close", "close", "reset"]),
)


@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=SCRIPTS, on_unknown=st.sampled_from(["fail", "skip"]))
@example(Script("all", (http(),), "close"), "fail")
def test_answers_that_nobody_thought_of(server, wire, script, on_unknown):
    report, error, _ = ends(server, script, on_unknown=on_unknown)
    said = b"".join(script.parts)
    if not any(word in said for word in (b"success", b"queued", b"dispatch_id", b"\x1f\x8b", b"\\u")):
        assert report["accepted"] == 0, "nothing that it said was a success"
    assert error is not None or report["accepted"] or report["unknown"] or report["notices"]
