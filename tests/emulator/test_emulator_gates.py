"""Keys, permissions, networks, content types, sizes, URLs; and the headers on every answer."""

import json

import pytest
from emulator_support import LIST, SEND, WEEKLY

BODY = {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "u-1"}]}
HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer wrong", "Basic local-emulator-key", "local-emulator-key", "Bearer ü"]
)
def test_a_missing_or_unknown_key(braze, caller, sent):
    answer = caller.http.post(SEND, json=BODY, headers={"Authorization": sent.encode()})
    assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")
    assert "wrong" not in answer.text
    assert braze.requests()[-1]["key"] == "unknown key"


def test_a_key_without_the_permission(braze, caller):
    reader = {"Authorization": "Bearer local-emulator-read-only-key"}
    answer = caller.http.post(SEND, json=BODY, headers=reader)
    assert (answer.status_code, answer.json()["message"]) == (403, "Access Denied")
    assert "campaigns.trigger.send" in answer.json()["errors"][0]
    assert caller.http.get(LIST, headers=reader).status_code == 200
    assert braze.deliveries() == {}


def test_a_key_from_another_network(caller):
    answer = caller.http.post(SEND, json=BODY, headers={"Authorization": "Bearer local-emulator-office-key"})
    assert (answer.status_code, answer.json()["message"]) == (403, "Invalid whitelisted IPs")


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8"])
def test_a_key_from_its_own_network(braze, caller, entry):
    braze.reset({"api_keys": [{"name": "here", "key": "k", "permissions": "*", "ip_allowlist": [entry]}]})
    assert caller.http.post(SEND, json=BODY, headers={"Authorization": "Bearer k"}).status_code == 201


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_content_type(caller, kind):
    headers = {"Content-Type": kind} if kind else {}
    answer = caller.http.post(SEND, content=json.dumps(BODY).encode(), headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (415, "Unsupported Media Type")


def test_content_type_with_a_charset(caller):
    headers = {"Content-Type": "application/JSON; charset=utf-8"}
    assert caller.http.post(SEND, content=json.dumps(BODY).encode(), headers=headers).status_code == 201


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a': 1}", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\uD800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json(caller, text):
    answer = caller.http.post(SEND, content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Bad Request")
    assert "check its syntax" in answer.json()["errors"][0]


@pytest.mark.parametrize("text", [b"[]", b"null", b'"x"', b"7"])
def test_a_body_that_is_no_object(caller, text):
    answer = caller.http.post(SEND, content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"]) == (400, ["the body must be a JSON object"])


def test_a_body_above_four_megabytes(braze, caller):
    large = {**BODY, "padding": "x" * 4_000_000}
    assert caller.http.post(SEND, json=large).status_code == 413
    assert braze.deliveries() == {}
    assert caller.http.post(SEND, json={**BODY, "padding": "x" * 3_900_000}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", SEND + "/"), ("GET", LIST + "/"), ("GET", SEND), ("POST", LIST), ("GET", "/nope"), ("PUT", SEND)],
)
def test_unknown_urls(caller, method, path):
    answer = caller.http.request(method, path, json=BODY)
    assert (answer.status_code, answer.json()["message"]) == (404, "Not Found")


def test_the_quota_is_on_every_answer(caller):
    answers = [
        caller.to("u-1"),
        caller.http.get(LIST),
        caller.send(),
        caller.http.get("/nope"),
        caller.http.get(LIST, headers={"Authorization": "Bearer wrong"}),
        caller.http.post(SEND, content=b"{"),
    ]
    for answer in answers:
        raw = {name.decode() for name, _ in answer.headers.raw}
        assert raw >= set(HEADERS), answer.status_code
        assert all(answer.headers[name].isdigit() for name in HEADERS)


def test_the_listing(caller):
    body = caller.http.get(LIST).json()
    assert body["message"] == "success"
    assert body["campaigns"][0]["name"] == "Spring newsletter"
    assert set(body["campaigns"][0]) == {"id", "last_edited", "name", "is_api_campaign", "tags"}
    down = caller.http.get(LIST, params={"sort_direction": "desc"}).json()["campaigns"]
    assert down == body["campaigns"][::-1]
    everything = caller.http.get(LIST, params={"include_archived": "true"}).json()["campaigns"]
    assert len(everything) == len(down) + 1
    late = caller.http.get(LIST, params={"last_edit.time[gt]": "2031-04-01T00:00:00"}).json()["campaigns"]
    assert {campaign["name"] for campaign in late} == {"Order ready", "Gold members' evening"}


def test_the_listing_has_pages_of_a_hundred(braze, caller):
    braze.reset({"campaigns": [{"id": f"c-{n}", "name": f"Campaign {n}"} for n in range(205)]})
    sizes = [len(caller.http.get(LIST, params={"page": page}).json()["campaigns"]) for page in range(4)]
    assert sizes == [100, 100, 5, 0]
