"""What an answer means: the statuses, the envelopes, the headers."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api import errors
from airflow_provider_braze.api.answers import read_answer
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.quota import LONGEST_WAIT, RateLimit, read_rate_limit, retry_after
from airflow_provider_braze.api.wire import Answer

SEND, LIST = ENDPOINTS["campaigns_trigger_send"], ENDPOINTS["campaigns_list"]
SETTINGS = settings(max_examples=300, derandomize=True, deadline=None, database=None)


def read(status, body, endpoint=SEND, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(endpoint, Answer(status, headers, content))


STATUSES = {
    301: errors.BrazeBadRequestError,
    400: errors.BrazeBadRequestError,
    401: errors.BrazeUnauthorizedError,
    403: errors.BrazeForbiddenError,
    404: errors.BrazeNotFoundError,
    413: errors.BrazeBadRequestError,
    415: errors.BrazeBadRequestError,
    422: errors.BrazeBadRequestError,
    429: errors.BrazeRateLimitError,
    500: errors.BrazeServerError,
    502: errors.BrazeServerError,
    503: errors.BrazeServerError,
    504: errors.BrazeUnknownOutcomeError,
    520: errors.BrazeUnknownOutcomeError,
    599: errors.BrazeUnknownOutcomeError,
}
BODIES = {
    "message": {"message": "Told Reason"},
    "error": {"error": "Told Reason"},
    "errors of texts": {"message": "no", "errors": ["Told Reason"]},
    "errors of objects": {"message": "no", "errors": [{"type": "Told Reason"}]},
    "errors a text": {"message": "no", "errors": "Told Reason"},
    "plain text": b"Told Reason",
    "array": ["Told Reason"],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_each_status_has_its_error_and_says_what_braze_said(status, kind, body):
    with pytest.raises(errors.BrazeError) as raised:
        read(status, body)
    assert type(raised.value) is kind
    for word in ("campaigns_trigger_send", str(status), "Told Reason"):
        assert word in str(raised.value)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html><body>Secret page</body></html>", b"\x00\xff{", b"[]", b"null", b"{}"])
def test_a_refusal_without_words_is_still_a_refusal(status, body):
    with pytest.raises(STATUSES[status]) as raised:
        read(status, body)
    assert "Secret page" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (302, b"", "Check the connection's host"),
        (405, b'{"detail": "Method Not Allowed"}', "Check the connection's host"),
        (400, b"<html>Sign in</html>", "Check the connection's host"),
        (404, b'{"message": "Not found"}', "Check the connection's host"),
        (400, b'{"message": "Invalid Campaign ID"}', "Check the id: it must be the API identifier of a campaign"),
        (400, b'{"message": "invalid canvas_id"}', "Check the id: it must be the API identifier of a campaign"),
        (400, b'{"message": "recipients is empty"}', ""),
        (502, b"<html>Bad gateway</html>", ""),
    ],
)
def test_a_refusal_says_where_to_look(status, body, advice):
    with pytest.raises(errors.BrazeResponseError) as caught:
        read(status, body)
    said = f"Braze answered {status}: {caught.value.message}."
    assert str(caught.value).partition(said)[2].strip().startswith(advice)
    assert ("Check" in str(caught.value)) is bool(advice)


def test_an_error_carries_what_a_program_needs():
    with pytest.raises(errors.BrazeRateLimitError) as raised:
        read(429, {"message": "Rate Limited"}, **{"retry-after": "3"})
    error = raised.value
    assert (error.endpoint, error.status, error.retry_after) == (SEND.name, 429, 3.0)
    assert error.message.startswith("Rate Limited")
    assert "250,000 a clock hour" in error.message


AGREED = [
    {"message": "success"},
    {"message": "Success", "dispatch_id": "d"},
    {"message": "queued"},
    {"dispatch_id": "d"},
    {"message": "success", "errors": []},
    {"message": "success", "errors": ["one of them"]},
    {"message": "success", "errors": [{"type": "x", "index": 0}], "later": None},
    {"message": "success", "notice": None, "error": None},
]


@pytest.mark.parametrize("status", [200, 201, 202, 299])
@pytest.mark.parametrize("body", AGREED, ids=json.dumps)
def test_a_success_is_given_as_it_came(status, body):
    assert read(status, body) == body


NOTHING_GOES_OUT = [
    ({"message": "success", "notice": "The campaign is paused"}, "paused"),
    ({"dispatch_id": "d", "message": "success", "notice": "archived"}, "archived"),
]
NOT_UNDERSTOOD = [
    ({"message": "Invalid Campaign ID"}, "Invalid Campaign ID"),
    ({"message": "Invalid Campaign ID", "errors": ["look here"]}, "look here"),
    ({"error": "it is broken"}, "it is broken"),
    ({"message": "success", "dispatch_id": "d", "notice": "something new"}, "something new"),
]


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(("body", "words"), NOTHING_GOES_OUT)
def test_a_2xx_that_says_nothing_goes_out_is_no_success(status, body, words):
    with pytest.raises(errors.BrazePausedError, match=words):
        read(status, body)


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(("body", "words"), NOT_UNDERSTOOD)
def test_a_2xx_that_is_not_understood_leaves_a_send_in_doubt(status, body, words):
    with pytest.raises(errors.BrazeUnknownOutcomeError, match=words):
        read(status, body)


UNREADABLE = [b"", b"   ", b"<html>login</html>", b"\x00\xff{not json", b"[]", b'"success"', b"null", b"7", b"{}"]
UNREADABLE += [b'{"message": "succ', b'{"message": null}', b'{"message": {}}', b'{"message": false}', b'{"errors": []}']


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", UNREADABLE)
def test_a_2xx_that_does_not_say_success_leaves_a_send_in_doubt(status, body):
    with pytest.raises(errors.BrazeUnknownOutcomeError):
        read(status, body)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_success_in_another_encoding_than_that_of_json_leaves_a_send_in_doubt(encoding):
    with pytest.raises(errors.BrazeUnknownOutcomeError, match="no JSON object"):
        read(201, '{"message":"success","dispatch_id":"\ud83d\ude00"}'.encode(encoding, "surrogatepass"))


def test_a_success_with_bytes_that_are_no_text_is_one():
    body = read(201, b'\xef\xbb\xbf{"message":"success","dispatch_id":"\xed\xa0\x80"}')
    assert body == {"message": "success", "dispatch_id": "\ufffd" * 3}


def test_a_listing_need_not_say_success():
    assert read(200, {"campaigns": []}, LIST) == {"campaigns": []}


@pytest.mark.parametrize("status", [200, 201, 400, 504])
@pytest.mark.parametrize("field", ["message", "error", "errors"])
def test_an_answer_nested_without_end_raises_a_brazeerror(status, field):
    for depth in [*range(900, 1001), 5000]:
        body = b'{"%s":' % field.encode() + b"[" * depth + b"]" * depth + b"}"
        try:
            read(status, body)
        except errors.BrazeError:
            continue


@SETTINGS
@given(status=st.integers(100, 599), content=st.binary(max_size=300), endpoint=st.sampled_from([SEND, LIST]))
@example(status=201, content=b"\xef\xbb\xbf{}", endpoint=SEND)
@example(status=400, content=b'{"message":"\\ud800@x.de"}', endpoint=SEND)
@example(status=201, content=b'{"message":' + b"9" * 5000 + b"}", endpoint=SEND)
@example(status=201, content=b'{"message":NaN}', endpoint=SEND)
@example(status=201, content=b'{"message":"success","dispatch_id":"\xed\xa0\x80"}', endpoint=SEND)
@example(status=201, content=b'{"message":"success","errors":["\xed\xbf\xbf"]}', endpoint=SEND)
@example(status=201, content='{"message":"success","dispatch_id":"\\ud800"}'.encode("utf-16-le"), endpoint=SEND)
@example(status=201, content='{"message":"success","dispatch_id":"a\\u0000"}'.encode("utf-32-be"), endpoint=SEND)
def test_any_bytes_at_all_give_a_dict_or_a_brazeerror(status, content, endpoint):
    try:
        body = read_answer(endpoint, Answer(status, {}, content))
    except errors.BrazeError as error:
        assert str(error).encode()
        assert "\0" not in str(error)
    else:
        assert isinstance(body, dict)
        assert 200 <= status < 300
        # What a log and a database can hold.
        assert b"\0" not in str(body).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENVELOPE = st.dictionaries(
    st.sampled_from(["message", "error", "errors", "notice", "dispatch_id", "send_id"]),
    JSON | st.sampled_from(["success", "queued", "", "Rate Limited"]),
    max_size=5,
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-ratelimit-retry-after", "x-ratelimit-reset", "x-ratelimit-limit"]),
    st.text(max_size=12) | st.integers().map(str) | st.floats().map(str),
)


@SETTINGS
@given(status=st.sampled_from([200, 201, 202, *STATUSES]), body=ENVELOPE, headers=HEADERS)
def test_any_envelope_gives_a_dict_or_a_brazeerror(status, body, headers):
    try:
        assert read_answer(SEND, Answer(status, headers, json.dumps(body).encode())) is not None
    except errors.BrazeResponseError as error:
        assert error.status == status
        assert error.retry_after is None or 0 <= error.retry_after <= LONGEST_WAIT
    except errors.BrazeError as error:
        assert str(error)
    else:
        assert status < 300
        said = body.get("message")
        assert said is None or (isinstance(said, str) and said.casefold() in ("success", "queued"))


NOW = 1_900_000_000.0
WAITS = [
    ({}, None),
    ({"retry-after": "5"}, 5.0),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"x-ratelimit-retry-after": "7", "retry-after": "5"}, 7.0),
    ({"x-ratelimit-retry-after": "", "retry-after": "5"}, 5.0),
    ({"x-ratelimit-retry-after": "7", "x-ratelimit-reset": "3"}, 7.0),
    ({"x-ratelimit-reset": "30"}, 30.0),
    ({"x-ratelimit-reset": str(int(NOW) + 30)}, 30.0),
    ({"x-ratelimit-reset": str(int(NOW) - 30)}, 0.0),
    ({"x-ratelimit-reset": "0"}, 0.0),
    ({"x-ratelimit-reset": ""}, None),
    ({"x-ratelimit-reset": "soon"}, None),
    ({"x-ratelimit-reset": "-1"}, None),
    ({"x-ratelimit-reset": "nan"}, None),
    ({"x-ratelimit-reset": "inf"}, None),
    ({"x-ratelimit-reset": "86400"}, LONGEST_WAIT),
    ({"x-ratelimit-reset": str(int(NOW) + 86_400)}, LONGEST_WAIT),
    ({"x-ratelimit-reset": "9" * 400}, None),
    ({"retry-after": "99999999"}, LONGEST_WAIT),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "Wed, 21 Oct 2031 07:28:00 GMT"}, None),
    ({"retry-after": "", "x-ratelimit-reset": "12"}, 12.0),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS, ids=str)
def test_how_long_a_429_asks_to_wait(headers, seconds):
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("texts", "limit"),
    [
        (("250000", "249999", str(int(NOW) + 60)), RateLimit(250_000, 249_999, 60.0)),
        (("250000", "0", "60"), RateLimit(250_000, 0, 60.0)),
        (("", "", ""), RateLimit()),
        (("many", "-1", "later"), RateLimit()),
        (("inf", "nan", "-inf"), RateLimit()),
        (("1e3", "1.0", "0.5"), RateLimit(1000, 1, 0.5)),
    ],
)
def test_what_the_three_headers_say(texts, limit):
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    assert read_rate_limit(dict(zip(names, texts, strict=True)), NOW) == limit


def test_no_headers_say_nothing():
    assert read_rate_limit({}) == RateLimit(None, None, None)


def test_an_epoch_is_measured_against_the_clock_of_this_moment():
    import time

    before = time.time()
    reset = math.ceil(before) + 100
    waiting = retry_after({"x-ratelimit-reset": str(reset)})
    assert reset - time.time() - 0.05 <= waiting <= reset - before + 0.05


@SETTINGS
@given(headers=HEADERS)
def test_no_header_makes_a_wait_that_is_negative_endless_or_an_exception(headers):
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT
    limit = read_rate_limit(headers).limit
    assert limit is None or limit >= 0
