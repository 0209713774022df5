"""The JSON endpoints and the inbox page."""

import html
import re

import pytest
from emulator_support import EXAMPLES, SEND, WEEKLY, later

from airflow_provider_braze.emulator.admin import admin_routes
from airflow_provider_braze.emulator.state import State

NASTY = "<script>alert('x')</script>"
EMAIL = {"app_id": "a", "from": "A <a@b.c>", "subject": NASTY, "body": "b"}


def test_the_overview_names_what_there_is(caller):
    overview = caller.http.get("/__emulator__/").json()
    for line in overview["see"]:
        method, path = line.split()
        if method == "GET":
            assert caller.http.get(path).status_code == 200
        else:
            assert caller.http.request(method, path, json={}).status_code in (200, 400)
    taken = {
        f"{method} {route.path}"
        for route in admin_routes(State())
        for method in route.methods - {"HEAD"}
        if "{" not in route.path and route.path.strip("/").count("/") > 0
    }
    assert taken == set(overview["see"])


def test_deliveries(braze, caller):
    caller.to("1", "2")
    caller.to("2")
    full = caller.http.get("/__emulator__/deliveries").json()
    assert full == {
        "requests": 2,
        "recipients": 2,
        "total": 3,
        "min": 1,
        "max": 2,
        "per_recipient": {"external_user_id:1": 1, "external_user_id:2": 2},
    }
    summary = caller.http.get("/__emulator__/deliveries", params={"summary": 1}).json()
    assert summary == braze.summary() == {name: full[name] for name in summary}
    assert "per_recipient" not in summary


def test_requests_are_remembered_without_the_key(braze, caller):
    caller.to("1")
    caller.http.post(SEND, content=b"{no json")
    answer = caller.http.get("/__emulator__/requests")
    newest, first = answer.json()["requests"]
    assert (first["method"], first["path"], first["status"], first["key"]) == ("POST", SEND, 201, "Airflow")
    assert first["body"] == {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "1"}]}
    assert first["answer"]["message"] == "success"
    assert (newest["status"], newest["body"]) == (415, "{no json")
    assert braze.api_key not in answer.text
    assert [one["number"] for one in braze.requests()] == [1, 2]
    assert len(caller.http.get("/__emulator__/requests", params={"limit": 1}).json()["requests"]) == 1


def test_requests_are_counted_by_endpoint(braze, caller):
    def counted():
        over_http = caller.http.get("/__emulator__/requests", params={"summary": 1}).json()
        assert over_http == braze.request_counts()
        return over_http

    assert counted() == {}
    for _ in range(1100):
        caller.http.get("/campaigns/data_series", params={"campaign_id": WEEKLY, "length": 1})
    caller.to("1")
    braze.inject("server_error")
    caller.to("1")
    for campaign_id in ("a", "b"):
        caller.call("transactional_send", {"recipient": {"external_user_id": "1"}}, campaign_id=campaign_id)
    for path in ("/nope", "/favicon.ico"):
        caller.http.get(path)
    assert counted() == {
        "GET /campaigns/data_series": 1100,
        "POST /campaigns/trigger/send": 2,
        "POST /transactional/v1/campaigns/{campaign_id}/send": 2,
        "no endpoint": 2,
    }
    assert sum(counted().values()) == braze.summary()["requests"]
    braze.reset()
    assert counted() == {}


def test_logs_are_bounded_and_counters_are_not(braze, caller):
    for start in range(0, 2100, 50):
        caller.to(*range(start, start + 50))
    assert len(braze.messages()) == 2000
    assert braze.summary()["recipients"] == 2100
    assert len(caller.http.get("/__emulator__/messages", params={"limit": 3}).json()["messages"]) == 3


def test_reset(braze, caller):
    braze.add_campaign("mine")
    braze.inject("server_error", times=None)
    braze.clock.advance(5000)
    caller.to("1")
    assert caller.http.post("/__emulator__/reset").json() == {"reset": True}
    assert braze.summary()["requests"] == 0
    assert caller.to("1", campaign_id="mine").json()["message"] == "Invalid Campaign ID"


def test_clock(caller):
    before = caller.http.get("/__emulator__/clock").json()["epoch"]
    after = caller.http.post("/__emulator__/clock", json={"advance": 3600}).json()["epoch"]
    assert 3599 < after - before < 3700
    assert caller.http.post("/__emulator__/clock", json={"advance": -1}).status_code == 400
    assert caller.http.post("/__emulator__/clock", content=b"[").status_code == 400


@pytest.mark.parametrize("body", [b"[]", b"{", b"7"])
def test_bad_admin_bodies(caller, body):
    assert caller.http.post("/__emulator__/faults", content=body).status_code == 400


def test_other_sites_may_not_steer(braze, caller):
    answer = caller.http.post("/__emulator__/reset", headers={"Origin": "https://example.com"})
    assert answer.status_code == 403
    assert caller.http.post("/__emulator__/reset", headers={"Origin": braze.url}).status_code == 200


def test_the_inbox_shows_messages_escaped(braze, caller):
    braze.add_campaign(
        "c", name=NASTY, message={"subject": "S {{${first_name}}}", "body": "B {{api_trigger_properties.${x}}}"}
    )
    person = {
        "external_user_id": NASTY,
        "attributes": {"first_name": NASTY},
        "trigger_properties": {"x": NASTY, NASTY: NASTY},
    }
    caller.to(person, campaign_id="c")
    caller.to(person, campaign_id="c")
    braze.inject("notice_in_201", text=NASTY)
    for query in ({}, {"q": NASTY}):
        page = caller.http.get("/", params=query)
        assert page.status_code == 200
        assert NASTY not in page.text
        assert NASTY in html.unescape(page.text)
        assert "'x'" not in page.text
        assert re.findall(r"<script[^>]*>", page.text) == ['<script src="/__emulator__/inbox.js" defer>']
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_the_inbox_names_people_and_keys_but_no_secret(braze, caller):
    braze.add_users([{"external_id": "u-4", "email_subscribe": "opted_in"}])
    caller.to("u-2", "u-4", {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}})
    page = caller.http.get("/").text
    for text in ("Aoife O&#39;Brien", "陽翔", "نور", "Your weekly offer", "Airflow", "Read only", "203.0.113.0/24"):
        assert text in page
    assert "local-emulator" not in page


def test_the_inbox_warns_of_the_same_campaign_twice(caller):
    caller.to("1")
    caller.to("2")
    assert "more than once" not in caller.http.get("/").text
    caller.to("2")
    page = caller.http.get("/").text
    assert "The same campaign more than once" in page
    assert "<bdi>external_user_id:2</bdi></a> <b>\u00d72</b>" in page
    assert page.count("message twice") == 2
    assert "<b>1</b><span>Got a campaign twice</span>" in page
    assert caller.http.get("/__emulator__").json() == caller.http.get("/__emulator__/").json()


def test_two_campaigns_to_one_person_are_no_alarm(braze, caller):
    braze.add_campaign("other")
    caller.to("1")
    caller.to("1", campaign_id="other")
    page = caller.http.get("/").text
    assert "<b>0</b><span>Got a campaign twice</span>" in page
    assert "message twice" not in page


def test_the_page_shows_schedules(braze, caller):
    waiting = caller.schedule("campaigns", schedule={"time": later(braze, 9000)})
    gone = caller.schedule(schedule={"time": later(braze, 60)}, messages={"email": EMAIL})
    caller.call("messages_schedule_delete", {"schedule_id": gone})
    page = caller.http.get("/", params={"view": "schedules"}).text
    assert page.index(waiting) < page.index(gone)
    for text in ("in 2 h", "Your weekly offer", "u-1", "Move the clock there"):
        assert text in page
    assert NASTY not in page
    assert NASTY in html.unescape(page)
    for state in ("waiting", "deleted"):
        assert f'<span class="badge {state}">' in page
    assert "Schedules <b>1</b>" in page
    braze.clock.advance(9001)
    page = caller.http.get("/", params={"view": "schedules"}).text
    assert '<span class="badge fired">' in page
    assert "1 reached" in page
    assert f"scheduled as <code>{waiting}</code>" in caller.http.get("/").text


def test_the_page_shows_live_activities(caller):
    body = {**EXAMPLES["live_activity_start"]["valid"][0], "content_state": {NASTY: [NASTY], "home": 3}}
    caller.call("live_activity_start", body)
    page = caller.http.get("/", params={"view": "live"}).text
    for text in ("match-77", "order-1042", "Larkspur for iPhone", "1 person", "home"):
        assert text in page
    assert NASTY not in page
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/__emulator__/inbox.js" defer>']


def test_the_page_shows_send_ids_canvases_and_segments(caller):
    assert "No send ids" in caller.http.get("/", params={"view": "sends"}).text
    caller.call("sends_id_create", {"campaign_id": WEEKLY, "send_id": NASTY})
    caller.to("1", "2", send_id=NASTY)
    page = caller.http.get("/", params={"view": "sends"}).text
    assert NASTY in html.unescape(page)
    assert NASTY not in page
    for text in ("2 sent", "First ten cups", "Gold members", "Send ids, per day"):
        assert text in page
    assert "No messages yet" not in caller.http.get("/", params={"view": "nonsense"}).text


def test_the_form_of_a_fault_takes_names_and_numbers(caller):
    page = caller.http.get("/").text
    assert '<input name="recipients" data-type="names" value="u-1">' in page
    assert '<input name="indexes" data-type="list" value="0">' in page
    assert '<input name="seconds" data-type="number" value="60.0">' in page


def test_a_message_of_two_channels_shows_both(caller):
    messages = {"email": {**EMAIL, "body": "By mail"}, "android_push": {"title": "t", "alert": "By push"}}
    caller.call("messages_send", {"external_user_ids": ["u-1"], "messages": messages})
    page = caller.http.get("/").text
    assert "By mail" in page
    assert "By push" in page


def test_searching_the_inbox(caller):
    caller.to("u-1", "u-2", "u-3")
    assert caller.http.get("/", params={"q": "o'brien"}).text.count("data-key") == 1
    assert caller.http.get("/", params={"q": "ŻOFIA"}).text.count("data-key") == 1
    assert caller.http.get("/", params={"q": "u-"}).text.count("data-key") == 3
    assert "No message for this recipient" in caller.http.get("/", params={"q": "nobody"}).text


def test_the_inbox_has_pages(caller):
    for start in range(0, 120, 40):
        caller.to(*range(start, start + 40))
    sizes = [
        caller.http.get("/", params={"page": page}).text.count("data-key") for page in ("1", "2", "3", "4", "x", "²")
    ]
    assert sizes == [50, 50, 20, 0, 50, 50]


def test_the_inbox_needs_nothing_from_elsewhere(caller):
    page = caller.http.get("/").text
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(link.startswith(("/", "#", "data:")) for link in linked)
    for name in ("inbox.css", "inbox.js"):
        asset = caller.http.get(f"/__emulator__/{name}")
        assert asset.status_code == 200
        assert "http" not in asset.text


def test_the_version_moves_with_every_change(braze, caller):
    versions = [caller.http.get("/__emulator__/version").json()["version"]]
    for change in (lambda: caller.to("1"), lambda: braze.inject("slow"), braze.clear_faults, braze.reset):
        change()
        versions.append(caller.http.get("/__emulator__/version").json()["version"])
    assert versions == sorted(set(versions))
