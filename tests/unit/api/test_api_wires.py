"""The two ways to Braze: what each says of a request that went wrong, over real sockets."""

import asyncio
import gzip
import json
import os
import sys
import time

import pytest
from api_loopback import OK, Loopback

from airflow_provider_braze.api.errors import BrazeConnectError, BrazeError, BrazeUnknownOutcomeError
from airflow_provider_braze.api.wire import Answer, HttpxWire, Request, open_wire

WIRES = ["httpx", "aiohttp"]
BODY = json.dumps(
    {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "recipients": [{"external_user_id": "u-1"}]}
).encode()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(params=WIRES)
def over(request, monkeypatch):
    """Send requests one after another over one wire; give the answer or the error of each."""
    if request.param == "httpx":
        monkeypatch.setitem(sys.modules, "aiohttp", None)  # as where it is not installed
    return lambda url, **options: exchange(request.param, url, **options)


def exchange(name, url, *, times=1, timeout=60.0, before=None, key="key", method="POST"):
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = Request(method, url + "/campaigns/trigger/send", headers, BODY)
    whole = _exchange_async(name, url, request, times=times, timeout=timeout, before=before)
    return asyncio.run(asyncio.wait_for(whole, 120))  # A wire that is held fails instead of hanging.


async def _exchange_async(name, url, request, /, *, times, timeout, before):
    """``before``: waited for before each request, with its number."""
    outcomes, wire = [], open_wire(url, 1, timeout)
    assert isinstance(wire, HttpxWire) is (name == "httpx")
    for number in range(times):
        if before:
            await before(number)
        try:
            outcomes.append(await wire.exchange(request))
        except BrazeError as error:
            outcomes.append(error)
    await wire.aclose()
    return outcomes


def kinds(outcomes):
    return [outcome.status if isinstance(outcome, Answer) else type(outcome) for outcome in outcomes]


def until_it_arrives(attempt, arrived):
    """Give the outcomes of the first attempt that reached the server.

    A machine that pauses may use up a short timeout before the request has left.
    """
    for _ in range(5):
        outcomes, end = attempt(), time.monotonic() + 10
        while not arrived() and time.monotonic() < end:
            time.sleep(0.01)
        if arrived():
            return outcomes
    raise AssertionError(f"nothing arrives: {outcomes}")


def test_a_request_arrives_whole_and_its_answer_comes_back(over):
    with Loopback() as server:
        [answer] = over(server.url)
    assert (answer.status, answer.content) == (201, b'{"message":"success"}')
    [(method, target, headers, body)] = server.requests
    assert (method, target, body) == ("POST", "/campaigns/trigger/send", BODY)
    assert headers["authorization"] == "Bearer key"
    assert headers["content-type"] == "application/json"


def test_header_names_come_in_lower_case(over):
    def script(wire, _):
        wire.sendall(OK.replace(b"Content-Length", b"X-RateLimit-Remaining: 5\r\nRETRY-AFTER: 3\r\nContent-Length"))

    with Loopback(script) as server:
        [answer] = over(server.url)
    assert answer.headers["x-ratelimit-remaining"] == "5"
    assert answer.headers.get("retry-after") == "3"
    assert [name for name in dict(answer.headers) if name != name.lower()] == []


def test_requests_share_a_connection(over):
    with Loopback() as server:
        outcomes = over(server.url, times=3)
    assert (kinds(outcomes), server.connections) == ([201] * 3, 1)


def test_a_connection_that_the_server_closed_in_between_is_opened_anew(over):
    async def closed(number):
        async with asyncio.timeout(60):
            while server.closed < number:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    with Loopback(lambda wire, _: wire.sendall(OK)) as server:
        outcomes = over(server.url, times=3, before=closed)
    assert (kinds(outcomes), len(server.requests), server.connections) == ([201] * 3, 3, 3)


def test_a_request_lost_on_a_connection_in_use_is_not_sent_again(over):
    def script(wire, number):
        if number == 1:
            wire.sendall(OK)
        return number == 1

    with Loopback(script) as server:
        outcomes = over(server.url, times=2)
    assert (kinds(outcomes), len(server.requests)) == ([201, BrazeUnknownOutcomeError], 2)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(over, status):
    def script(wire, _):
        wire.sendall(b"HTTP/1.1 %d Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status)

    with Loopback(script) as server:
        assert kinds(over(server.url)) == [status]
    assert [target for _, target, _, _ in server.requests] == ["/campaigns/trigger/send"]


def test_a_cookie_is_not_kept(over):
    def script(wire, _):
        wire.sendall(OK.replace(b"Content-Length", b"Set-Cookie: a=b\r\nContent-Length"))
        return True

    with Loopback(script) as server:
        assert kinds(over(server.url, times=2)) == [201, 201]
    assert [headers for _, _, headers, _ in server.requests if "cookie" in headers] == []


def test_nobody_listening_means_nothing_was_sent(over, free_port):
    assert kinds(over(f"http://127.0.0.1:{free_port}")) == [BrazeConnectError]


@pytest.mark.parametrize("speech", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["no TLS", "closed"])
def test_a_handshake_that_fails_means_nothing_was_sent(over, speech):
    with Loopback(lambda wire, _: wire.recv(4096) and wire.sendall(speech), reads=False) as server:
        assert kinds(over(server.url.replace("http", "https"))) == [BrazeConnectError]


BROKEN_ANSWERS = {
    "none": b"",
    "half a status line": b"HTTP/1.1 2",
    "half the headers": b"HTTP/1.1 201 Created\r\nContent-Le",
    "half the body": OK[:-5],
    "a chunk that ends": b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "no HTTP": b"\x00\x01\x02\x03 hello\r\n\r\n",
    "a status of letters": b"HTTP/1.1 two Created\r\n\r\n",
    "a bad compression": b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "two lengths": b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_a_broken_answer_leaves_the_outcome_unknown(over, answer):
    with Loopback(lambda wire, _: wire.sendall(answer)) as server:
        assert kinds(over(server.url)) == [BrazeUnknownOutcomeError]
    assert len(server.requests) == 1


def test_a_compressed_answer_is_read(over):
    packed = gzip.compress(b'{"message":"success"}')
    head = b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with Loopback(lambda wire, _: wire.sendall(head + packed)) as server:
        [answer] = over(server.url)
    assert answer.content == b'{"message":"success"}'


def test_silence_ends_with_the_timeout(over):
    with Loopback(lambda wire, _: wire.recv(1)) as server:
        outcomes = until_it_arrives(lambda: over(server.url, timeout=0.3), lambda: server.requests)
    assert kinds(outcomes) == [BrazeUnknownOutcomeError]


@pytest.mark.parametrize(
    ("kind", "delivered"), [("drop_before_acceptance", 0), ("drop_after_acceptance", 1), ("slow", 1)]
)
def test_a_request_whose_answer_is_lost_has_an_unknown_outcome(over, braze_emulator, key, kind, delivered):
    options, timeout = ({"seconds": 600}, 0.3) if kind == "slow" else ({}, 60)
    braze_emulator.inject(kind, **options)
    outcomes = until_it_arrives(lambda: over(braze_emulator.url, timeout=timeout, key=key), braze_emulator.requests)
    assert kinds(outcomes) == [BrazeUnknownOutcomeError]
    assert sum(braze_emulator.deliveries().values()) == delivered
    assert len(braze_emulator.requests()) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""], ids=["with scheme", "bare"])
def test_the_proxy_of_the_environment_is_used(over, monkeypatch, name, scheme):
    if name == "HTTP_PROXY":
        monkeypatch.delenv("REQUEST_METHOD", raising=False)
    with Loopback() as server, Loopback() as proxy:
        monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
        assert kinds(over(server.url)) == [201]
    assert [target for _, target, _, _ in proxy.requests] == [server.url + "/campaigns/trigger/send"]
    assert server.requests == []


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_no_proxy_is_respected(over, monkeypatch, exempt):
    with Loopback() as server, Loopback() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exempt)
        assert kinds(over(server.url)) == [201]
    assert (len(server.requests), proxy.requests) == (1, [])


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_opens_no_tunnel_means_nothing_was_sent(over, monkeypatch, status):
    with Loopback(lambda wire, _: wire.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert kinds(over("https://rest.example.com")) == [BrazeConnectError]
    assert [(method, target) for method, target, _, _ in proxy.requests] == [("CONNECT", "rest.example.com:443")]


def test_a_proxy_that_is_down_is_told_without_its_password(over, monkeypatch, free_port):
    monkeypatch.setenv("HTTP_PROXY", f"http://kim:s3cret-word@127.0.0.1:{free_port}")
    [error] = over("http://127.0.0.1:9")
    assert type(error) is BrazeConnectError
    assert "s3cret-word" not in str(error)


HEAD = b"HTTP/1.1 201 Created\r\n"
DRIPS = {
    "in the headers": HEAD + b"X-Long: ",
    "in the body": HEAD + b"Content-Length: 1000000\r\n\r\n",
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
}


def _drip(start):
    """Feed a byte now and then, for as long as the wire takes it."""

    def script(wire, _):
        wire.sendall(start)
        while True:
            wire.sendall(b"1\r\nx\r\n" if b"chunked" in start else b"x")
            time.sleep(0.05)

    return script


@pytest.mark.parametrize("start", DRIPS.values(), ids=DRIPS)
def test_a_server_that_drips_bytes_for_ever_cannot_hold_a_wire(over, start):
    with Loopback(_drip(start)) as server:
        outcomes = until_it_arrives(lambda: over(server.url, timeout=0.4), lambda: server.requests)
    assert kinds(outcomes) == [BrazeUnknownOutcomeError]


def _flood(head, part):
    """Send without end, as far as the wire takes it."""

    def script(wire, _):
        wire.sendall(head)
        while True:
            wire.sendall(part)

    return script


BLANKS = b" " * 65536
# Not as small as a bomb that a library defuses itself.
PACKED = gzip.compress(b"".join(os.urandom(1000) + bytes(9000) for _ in range(7000)), 1)
FLOODS = {
    "by no length": (HEAD + b"\r\n", BLANKS),
    "by a length": (HEAD + b"Content-Length: 9000000000\r\n\r\n", BLANKS),
    "in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + BLANKS + b"\r\n"),
    "compressed": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED), PACKED),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_an_answer_without_end_does_not_fill_the_memory(over, flood):
    """And it ends by its size, long before the timeout."""
    with Loopback(_flood(*flood)) as server:
        [error] = over(server.url)
    assert type(error) is BrazeUnknownOutcomeError
    assert "larger than 64 MB" in str(error)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(("more", "kind"), [(0, 201), (1, BrazeUnknownOutcomeError)], ids=["at the bound", "above it"])
def test_a_large_answer_is_read_whole_up_to_the_bound(over, monkeypatch, packed, more, kind):
    monkeypatch.setattr("airflow_provider_braze.api.wire.MOST_BYTES", 3 << 20)
    whole = os.urandom(1 << 20) * 3 + b"x" * more
    body = gzip.compress(whole) if packed else whole
    head = HEAD + b"Content-Encoding: gzip\r\n" * packed + b"Content-Length: %d\r\n\r\n" % len(body)
    with Loopback(lambda wire, _: wire.sendall(head + body) or True) as server:
        outcomes = over(server.url, times=2)
    assert kinds(outcomes) == [kind, kind]
    assert [one.content == whole for one in outcomes if isinstance(one, Answer)] == [True, True][: 2 * (1 - more)]
    if not more:
        assert server.connections == 1
