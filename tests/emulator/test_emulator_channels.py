"""What is sent: each rule of the channel objects broken once, and how the messages read."""

import pytest
from emulator_support import ARCHIVED, EVERYONE, PAUSED, PUSH, RECEIPT, VARIATION, WEEKLY

from airflow_provider_braze.emulator.channel_rules import FIELD_RULES
from airflow_provider_braze.emulator.rulebook import NOT_JUDGED_HERE
from airflow_provider_braze.emulator.specification import load_contract

APPLE = {"alert": "Hello"}
EMAIL = {"app_id": "a", "from": "Shop <hello@mail.example.com>", "subject": "Hi", "body": "<p>Hi</p>"}
CARD = {"type": "CLASSIC", "title": "", "description": "d", "time_to_live": 60}
BANNER = {"type": "BANNER", "image_url": "https://example.com/i.png", "time_to_live": 60}
WEB = {"alert": "a", "title": "t"}
SMS = {"subscription_group_id": "s", "body": "b", "app_id": "a"}
HOOK = {"url": "https://hooks.example.com/x", "request_method": "POST"}
WHATS = {"app_id": "a", "subscription_group_id": "s"}
TEMPLATE = {**WHATS, "message_type": "template_message"}
NAMED = {"template_name": "t", "template_language_code": "en"}
QUICK = {**WHATS, "message_type": "quick_reply_response_message"}
ROWS = {**WHATS, "message_type": "list_response_message"}
BUTTON = {"list_button_text": "b"}
SECTION = {"section_title": "s", "list_rows": [{"row_title": "r"}] * 11}
FLOW = {**WHATS, "message_type": "flow_response_message"}
TALK = {"shortcut_id": "s", "reply_person_id": "p", "persons": [{"id": "p", "name": "P"}]}
LONG, BAD, EXTRA = "x" * 4000, "Bad Request", "Invalid Extra Push Payload"

REFUSED = {
    "messages#0": ({}, "No message to send", "at least one channel"),
    "null channel": ({"email": None}, "No message to send", "at least one channel"),
    "unknown channel": ({"fax": {}}, BAD, "messages.fax is not a channel of this endpoint"),
    "placeholder": ({"email": "text"}, BAD, "messages.email must be an object"),
    "alert": ({"apple_push": {}}, BAD, "apple_push.alert is required"),
    "alert a number": ({"apple_push": {"alert": 7}}, BAD, "apple_push.alert"),
    "apple_push.alert_body": ({"apple_push": {"alert": {"title": "t"}}}, BAD, "apple_push.alert.body is required"),
    "apple_push#0": ({"apple_push": {"alert": "x" * 1912}}, "Apple Push Length Exceeded", "bytes as JSON"),
    "apple extra": ({"apple_push": {**APPLE, "extra": "text"}}, EXTRA, "extra must be an object"),
    "reserved extra": ({"apple_push": {**APPLE, "extra": {"aps": 1}}}, EXTRA, "must not have the keys ab and aps"),
    "relevance": ({"apple_push": {**APPLE, "relevance_score": 1.5}}, BAD, "between 0.0 and 1.0"),
    "priority": ({"apple_push": {**APPLE, "apns_priority": 11}}, BAD, "between 1 and 10"),
    "interruption": ({"apple_push": {**APPLE, "interruption_level": "loud"}}, BAD, "must be one of passive"),
    "asset type": ({"apple_push": {**APPLE, "asset_url": "https://e.com/a"}}, BAD, "asset_file_type is required"),
    "category": ({"apple_push": {**APPLE, "buttons": [{"action_id": "a"}]}}, BAD, "category is required"),
    "action": ({"apple_push": {**APPLE, "category": "c", "buttons": [{}]}}, BAD, "buttons[0].action_id is required"),
    "android_push#1": ({"android_push": {"title": "t"}}, BAD, "android_push.alert is required"),
    "android sync": ({"android_push": {"send_to_sync": True, "title": "t"}}, BAD, "so title may not be given"),
    "android_push#0": (
        {"android_push": {"alert": LONG, "title": "t", "extra": {"a": 1}}},
        "Android Push Length Exceeded",
        "too many for a push",
    ),
    "time to live": ({"android_push": {**WEB, "time_to_live": 2419201}}, BAD, "2419200 or less"),
    "conversation": ({"android_push": {**WEB, "conversation_data": {}}}, BAD, "shortcut_id is required"),
    "person": (
        {"android_push": {**WEB, "conversation_data": {**TALK, "messages": [{"text": "t", "timestamp": 1}]}}},
        BAD,
        "messages[0].person_id is required",
    ),
    "flow caption": (
        {"whats_app": {**FLOW, "message": {"body": "b", "flow_button": {"caption": "c" * 21, "flow_id": "f"}}}},
        BAD,
        "flow_button.caption must be at most 20 characters",
    ),
    "button text": ({"whats_app": {**QUICK, "message": {"body": "b", "buttons": [{}]}}}, BAD, "text is required"),
    "row": (
        {
            "whats_app": {
                **ROWS,
                "message": {"body": "b", "list": BUTTON | {"list_sections": [{**SECTION, "list_rows": [{}]}]}},
            }
        },
        BAD,
        "list_sections[0].list_rows[0].row_title is required",
    ),
    "odd index": ({"whats_app": {**TEMPLATE, "message": {**NAMED, "body_variables": {"²": "b"}}}}, BAD, "indexes"),
    "web uri": ({"web_push": {**WEB, "buttons": [{"text": "x", "uri": 5}]}}, BAD, "buttons[0].uri must be a string"),
    "kindle": ({"kindle_push": {"alert": "a"}}, BAD, "kindle_push.title is required"),
    "web button": ({"web_push": {**WEB, "buttons": [{"action": "URI"}]}}, BAD, "buttons[0].text is required"),
    "web action": ({"web_push": {**WEB, "buttons": [{"text": "x", "action": "RUN"}]}}, BAD, "action must be one of"),
    "email from": ({"email": {**EMAIL, "from": "hello@example.com"}}, BAD, "written Display Name <address>"),
    "email app": ({"email": {**EMAIL, "app_id": None}}, BAD, "email.app_id is required"),
    "email body": ({"email": {**EMAIL, "body": None}}, BAD, "email.body is required"),
    "attachment": ({"email": {**EMAIL, "attachments": [{"file_name": "f"}]}}, BAD, "attachments[0].url is required"),
    "content_card#0": ({"content_card": {**CARD, "time_to_live": None}}, BAD, "exactly one of time_to_live, expire_at"),
    "content_card#1": ({"content_card": {**CARD, "time_to_live": 2592001}}, BAD, "within 30 days"),
    "card date": (
        {"content_card": {**CARD, "time_to_live": None, "expire_at": "2099-01-01T00:00:00Z"}},
        BAD,
        "within 30 days",
    ),
    "card title": ({"content_card": {**CARD, "title": None}}, BAD, "content_card.title is required"),
    "card image": ({"content_card": {**CARD, "type": "CAPTIONED_IMAGE"}}, BAD, "content_card.image_url is required"),
    "card type": ({"content_card": {**CARD, "type": "classic"}}, BAD, "must be one of CLASSIC"),
    "sms body": ({"sms": {**SMS, "body": None}}, BAD, "sms.body is required"),
    "sms.click_tracking": (
        {"sms": {**SMS, "user_click_tracking_enabled": True}},
        BAD,
        "needs link_shortening_enabled",
    ),
    "webhook": ({"webhook": {**HOOK, "request_method": "PATCH"}}, BAD, "request_method must be one of"),
    "webhook body": ({"webhook": {**HOOK, "body": {"k": 1}}}, BAD, "webhook.body must be a string"),
    "whats type": ({"whats_app": {**WHATS, "message_type": "poem", "message": {}}}, BAD, "message_type must be one of"),
    "template": ({"whats_app": {**TEMPLATE, "message": {}}}, BAD, "message.template_name is required"),
    "two headers": (
        {"whats_app": {**TEMPLATE, "message": {**NAMED, "header_variables": {"0": "a", "1": "b"}}}},
        BAD,
        "at most one entry",
    ),
    "index": ({"whats_app": {**TEMPLATE, "message": {**NAMED, "body_variables": {"a": "b"}}}}, BAD, "indexes from 0"),
    "button": ({"whats_app": {**TEMPLATE, "message": {**NAMED, "button_variables": {}}}}, BAD, "exactly one entry"),
    "whats_app.message": (
        {
            "whats_app": {
                **QUICK,
                "message": {"body": "b", "buttons": [{"text": "t"}], "header_text": "h", "header_image_uri": "u"},
            }
        },
        BAD,
        "only one of header_text, header_image_uri",
    ),
    "no section": (
        {"whats_app": {**ROWS, "message": {"body": "b", "list": BUTTON | {"list_sections": []}}}},
        BAD,
        "must have a section",
    ),
    "rows": (
        {"whats_app": {**ROWS, "message": {"body": "b", "list": BUTTON | {"list_sections": [SECTION]}}}},
        BAD,
        "at most 10 rows",
    ),
}
ACCEPTED = {
    "silent apple": {"apple_push": {"content-available": True, "alert": {"title": "t"}}},
    "alert with loc": {"apple_push": {"alert": {"body": "b", "loc_args": ["a"]}, "relevance_score": 0.5}},
    "silent android": {"android_push": {"send_to_sync": True}},
    "as long as it may be": {"android_push": {"alert": LONG, "title": "t", "extra": {}}},
    "odd priority": {"kindle_push": {**WEB, "priority": 9}},
    "template": {"email": {"app_id": "a", "from": "A <a@b.c>", "email_template_id": "t"}},
    "from in Liquid": {"email": {**EMAIL, "from": "{{content_blocks.${sender}}}"}},
    "banner": {"content_card": BANNER},
    "flow": {"whats_app": {**WHATS, "message_type": "text_response_message", "message": {"body": "b"}}},
    "buttons": {"web_push": {**WEB, "buttons": [{"text": "x"}, {"text": "y", "action": "URI", "uri": "u"}]}},
    "talk": {"android_push": {**WEB, "conversation_data": {**TALK, "messages": []}}},
    "all": {"email": EMAIL, "sms": SMS, "webhook": HOOK, "web_push": WEB, "content_card": CARD},
}


def send(caller, messages, **fields):
    return caller.call("messages_send", {"external_user_ids": ["u-1"], "messages": messages, **fields})


@pytest.mark.parametrize("case", REFUSED)
def test_refused(braze, caller, case):
    messages, message, detail = REFUSED[case]
    answer = send(caller, messages)
    assert (answer.status_code, answer.json()["message"]) == (400, message), answer.text
    assert any(detail in error for error in answer.json()["errors"]), answer.json()
    assert braze.deliveries() == {}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(caller, case):
    assert send(caller, ACCEPTED[case]).status_code == 201


def test_every_rule_of_a_channel_is_broken_above():
    objects = load_contract().objects
    channels = ["messages", *(field.name for field in objects["messages"].fields)]
    rules = {rule for name in channels for rule in objects[name].rule_ids}
    rules |= {rule for name in channels for rule in FIELD_RULES.get(name, ())}
    assert rules - set(NOT_JUDGED_HERE) <= set(REFUSED)


def test_a_channel_that_cannot_be_scheduled(caller):
    whats = {**WHATS, "message_type": "text_response_message", "message": {"body": "b"}}
    body = {**caller.valid("messages_schedule_create"), "messages": {"whats_app": whats}}
    assert "messages.whats_app is not a channel" in caller.call("messages_schedule_create", body).text


@pytest.mark.parametrize(
    ("variation", "message"), [("nope", "Invalid Message Variant"), (VARIATION, "Mismatched Message Type")]
)
def test_variations(braze, caller, variation, message):
    push = {"android_push": {**PUSH["android_push"], "message_variation_id": variation}}
    assert send(caller, push, campaign_id=WEEKLY).json()["message"] == message
    assert braze.deliveries() == {}


def test_a_variation_for_any_push(braze, caller):
    braze.add_campaign("p", channel="push", variations={"v": "push"})
    push = {"apple_push": {**APPLE, "message_variation_id": "v"}}
    assert send(caller, push, campaign_id="p").status_code == 201
    days = caller.call("campaigns_data_series", {"campaign_id": "p", "length": 1}).json()["data"]
    assert days[0]["messages"]["ios_push"][0]["sent"] == 1


def test_messages_read_as_their_people_would(strict, caller):
    email = {
        **EMAIL,
        "subject": "For {{${first_name}}}",
        "body": "<style>p{}</style><p>Hi {{${first_name}}}</p><p>Bye</p>",
    }
    send(caller, {"email": email, "sms": {**SMS, "body": "Hi {{${first_name}}}"}})
    [message] = strict.messages()
    assert (message["subject"], message["body"], message["channel"]) == ("For Kim", "Hi Kim\nBye", "email, sms")
    assert [part["body"] for part in message["parts"]] == ["Hi Kim\nBye", "Hi Kim"]
    assert (message["kind"], message["campaign_id"]) == ("messages", None)


def test_the_same_text_again_is_a_repeat(strict, caller):
    send(caller, PUSH)
    send(caller, {"sms": SMS})
    assert "more than once" not in caller.http.get("/").text
    send(caller, PUSH)
    assert "more than once" in caller.http.get("/").text
    assert strict.deliveries() == {"external_user_id:u-1": 3}


def test_ids_aliases_and_a_segment_intersect(strict, caller):
    alias = {"alias_label": "crm_id", "alias_name": "crm-1001"}
    people = {"external_user_ids": ["u-1", "u-2", "unknown"], "user_aliases": [alias]}
    assert send(caller, PUSH, **people).status_code == 201
    assert strict.summary()["total"] == 3
    send(caller, PUSH, **people, segment_id=WEEKLY)
    assert strict.deliveries() == {
        "external_user_id:u-1": 2,
        "external_user_id:u-2": 1,
        "user_alias:crm_id:crm-1001": 2,
    }


def test_a_broadcast_to_a_segment(strict, caller):
    body = {"broadcast": True, "messages": PUSH}
    caller.call("messages_send", {**body, "segment_id": WEEKLY})
    assert len(strict.deliveries()) == 3
    caller.call("messages_send", {**body, "segment_id": EVERYONE})
    assert strict.summary()["total"] == 3 + 5


@pytest.mark.parametrize(("state", "reached"), [("subscribed", 1), ("opted_in", 0), ("all", 2)])
def test_subscriptions(strict, caller, state, reached):
    people = {"external_user_ids": ["u-1", "u-4"], "recipient_subscription_state": state}
    caller.call("messages_send", {"messages": {"email": EMAIL}, **people})
    assert strict.summary()["total"] == reached


@pytest.mark.parametrize("campaign", [PAUSED, ARCHIVED])
def test_a_campaign_at_rest_sends_nothing(braze, caller, campaign):
    braze.add_campaign("rest", state="paused", variations={"v": "email"})
    answer = send(caller, {"email": {**EMAIL, "message_variation_id": "v"}}, campaign_id="rest")
    assert "paused" in answer.json()["notice"]
    assert "notice" in caller.to("u-1", campaign_id=campaign).json()
    assert braze.deliveries() == {}


def test_send_ids(braze, caller):
    made = caller.call("sends_id_create", {"campaign_id": WEEKLY}).json()["send_id"]
    assert 0 < len(made) <= 64
    assert caller.to("u-1", send_id=made).json()["send_id"] == made
    assert caller.to("u-1", send_id="never made").status_code == 201
    wrong = caller.to("u-1", send_id=made, campaign_id=RECEIPT)
    assert "belongs to another campaign" in wrong.json()["errors"][0]
    [row] = braze.send_ids()
    assert (row["send_id"], row["campaign_id"], row["sent"]) == (made, WEEKLY, 1)


@pytest.mark.parametrize(
    ("people", "detail"),
    [([""], "must be filled"), (["x" * 988], "at most 987 bytes"), ([True], "a string or an integer")],
)
def test_ids_that_are_none(braze, caller, people, detail):
    answer = send(caller, PUSH, external_user_ids=people)
    assert answer.json()["errors"][0].startswith("external_user_ids[0] must be")
    assert detail in answer.json()["errors"][0]
    assert braze.deliveries() == {}
    assert send(caller, PUSH, external_user_ids=[7, "7"]).status_code == 201
    assert braze.deliveries() == {"external_user_id:7": 1}


@pytest.mark.parametrize("lists", [{"external_user_ids": []}, {"user_aliases": []}])
def test_an_empty_list_is_nobody_also_next_to_a_segment(braze, caller, lists):
    for extra in ({}, {"segment_id": EVERYONE}, {"segment_id": EVERYONE, "broadcast": True}):
        answer = caller.call("messages_send", {"messages": PUSH, **lists, **extra})
        assert answer.status_code == 400
        assert any("is empty" in error for error in answer.json()["errors"])
    assert braze.deliveries() == {}


@pytest.mark.parametrize(("ids", "aliases"), [(0, 51), (1, 50), (50, 1), (51, 0), (51, 51)])
def test_fifty_people_in_all(caller, ids, aliases):
    people = {
        "external_user_ids": [str(n) for n in range(ids)],
        "user_aliases": [{"alias_label": "l", "alias_name": str(n)} for n in range(aliases)],
    }
    answer = caller.call("messages_send", {"messages": PUSH, **{name: who for name, who in people.items() if who}})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The max number of")
