"""Models and emulator each read the contract for themselves; here both judge the same bodies of every endpoint.

``FORBIDDEN``, ``PERMITTED`` and ``OPEN`` are the classes of disagreement that were found once, each with what the
contract says. The search below them excludes nothing. Then every rule of the contract is broken once.
"""

import json
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from contract_bodies import (
    ALIAS,
    APP,
    BY_ID,
    CAMPAIGN,
    CHANNELS,
    GROUP,
    LIVE,
    OF_CAMPAIGN,
    OF_CANVAS,
    PUSH,
    RECIPIENTS,
    SCHEDULES,
    SEGMENT,
    START,
    TIER,
    VARIATION,
    at,
    bodies_of,
    emulator_problems,
    judgements,
    leaves,
    nearly_valid,
    payload_of,
    vocabulary,
)
from contract_broken import (
    BROKEN,
    CANNOT_BE_BROKEN,
    NOT_SENT_BY_THIS_PACKAGE,
    changed,
    person,
    say,
    whats_app,
    when,
)
from contract_data import contract, endpoint
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import BrazeValidationError
from airflow_provider_braze.hooks.braze import BrazeHook

EXAMPLES = {"POST": 40, "GET": 12}
TALK = CHANNELS["android_push"][2]
LONG_ID = "x" * 988


def talk(**parts):
    return say(android_push={**TALK, "conversation_data": {**TALK["conversation_data"], **parts}})


def card(**fields):
    return say(content_card={"type": "BANNER", "image_url": "https://example.com/a.png", **fields})


def receipt(**recipient):
    return ("transactional_send", {"recipient": recipient})


def triggered(**fields):
    return ("canvas_trigger_send", {**OF_CANVAS, **fields})


FORBIDDEN = {
    "broadcast beside recipients on messages_send (broadcast_excludes_recipients names recipients)": (
        "messages_send",
        {"broadcast": True, "segment_id": SEGMENT, "recipients": [{"external_user_id": "u-1"}], "messages": PUSH},
    ),
    "the same on messages_schedule_create": (
        "messages_schedule_create",
        {
            "broadcast": True,
            "segment_id": SEGMENT,
            "recipients": [{"external_user_id": "u-1"}],
            "messages": PUSH,
            "schedule": SCHEDULES[0],
        },
    ),
    "broadcast beside an empty external_user_ids (an explicit list, of nobody)": triggered(
        broadcast=True, external_user_ids=[]
    ),
    "broadcast beside an empty user_aliases": triggered(broadcast=True, user_aliases=[]),
    "51 user_aliases alone (they count towards the 50)": (
        "messages_send",
        {"user_aliases": [{**ALIAS, "alias_name": str(number)} for number in range(51)], "messages": PUSH},
    ),
    "51 user_aliases beside one id": (
        "messages_send",
        {
            "external_user_ids": ["u-1"],
            "user_aliases": [{**ALIAS, "alias_name": str(number)} for number in range(51)],
            "messages": PUSH,
        },
    ),
    "external_user_ids of 988 bytes on messages_send (identifiers: external_id max_bytes 987)": (
        "messages_send",
        {"external_user_ids": [LONG_ID], "messages": PUSH},
    ),
    "external_user_ids of 988 bytes on live_activity_start": (
        "live_activity_start",
        {**START, "external_user_ids": [LONG_ID]},
    ),
    "external_user_id of 988 bytes on transactional_send": receipt(external_user_id=LONG_ID),
    "email beside external_user_id on transactional_send (no email here)": receipt(
        external_user_id="u-1", email="kim@example.com"
    ),
    "braze_id beside external_user_id on transactional_send": receipt(external_user_id="u-1", braze_id="b-1"),
    "whats_app on messages_schedule_create (not among its keys)": (
        "messages_schedule_create",
        {
            "external_user_ids": ["u-1"],
            "messages": {"whats_app": CHANNELS["whats_app"][1]},
            "schedule": SCHEDULES[0],
        },
    ),
    "whats_app of no shape on messages_schedule_update (object:messages, which has the channel)": (
        "messages_schedule_update",
        {**BY_ID, "messages": {"whats_app": {"message_type": "text_response_message"}}},
    ),
    "no channel but a misspelt one (at least one channel)": say(emial=CHANNELS["email"][0]),
    "the same in messages_schedule_update": (
        "messages_schedule_update",
        {**BY_ID, "messages": {"emial": {"body": "Hi"}}},
    ),
    "email.from without an address (Display Name <address>)": changed("email", **{"from": "Shop"}),
    "email.from without a name (Display Name <address>)": changed("email", **{"from": "hello@mail.example.com"}),
    "button_variables without an entry (one entry)": whats_app(0, button_variables={}),
    "body_variables under no index (zero-based index keys)": whats_app(0, body_variables={"²": "a"}),
    "a conversation's message without person_id (array<{text,timestamp,person_id}>)": talk(
        messages=[{"text": "Hello", "timestamp": 1900000000}]
    ),
    "a conversation's person without a name (array<{id,name}>)": talk(persons=[{"id": "p"}]),
    "a web button's uri no text (uri:string)": changed("web_push", buttons=[{"text": "Go", "uri": 5}]),
    "a quick reply without text (array<{text:string}>)": whats_app(3, buttons=[{}]),
    "a list without its button text (list_button_text:string)": whats_app(
        4, list={"list_sections": [{"section_title": "a", "list_rows": [{"row_title": "b"}]}]}
    ),
    "a list row without a title (row_title)": whats_app(
        4, list={"list_button_text": "a", "list_sections": [{"section_title": "a", "list_rows": [{}]}]}
    ),
    "a flow button of 21 characters (string<=20 chars)": whats_app(
        5, flow_button={"caption": "x" * 21, "flow_id": "f"}
    ),
    "a flow button without flow_id": whats_app(5, flow_button={"caption": "Start"}),
    "a subscription group without a state (subscription_state: subscribed|unsubscribed)": person(
        attributes={"subscription_groups": [{"subscription_group_id": GROUP}]}
    ),
    "a subscription group in no such state": person(
        attributes={"subscription_groups": [{"subscription_group_id": GROUP, "subscription_state": "opted_in"}]}
    ),
}
PERMITTED = {
    "nulls beside an apple_push of 1912 bytes (a null is not sent)": say(
        apple_push={"alert": "x" * 1900, "sound": None, "badge": None}
    ),
    "a page without an upper limit (>=0)": ("campaigns_list", {"page": 10**20}),
}
OPEN = {
    "in_local_time two hours ago (past in all zones, or in the company's: the pages differ)": when(
        time=at(hours=-2), in_local_time=True
    ),
    "both flags of a schedule (an example has both, their meaning is not documented)": when(
        time=at(days=3), in_local_time=True, at_optimal_time=True
    ),
    "the last second that a calendar has": when(time="9999-12-31T23:59:59Z"),
    "the same in local time": when(time="9999-12-31T23:59:59", in_local_time=True),
    "a date without a time of day as schedule.time (a datetime in ISO 8601)": when(time="2031-04-07"),
    "a date without a time of day as end_time (taken as midnight anyway)": (
        "messages_scheduled_broadcasts",
        {"end_time": "2031-04-07"},
    ),
    "a date without a time of day as ending_at": (
        "campaigns_data_series",
        {**OF_CAMPAIGN, "length": 7, "ending_at": "2031-04-07"},
    ),
    "time_to_live beside expire_at (one of them is needed)": card(time_to_live=60, expire_at=at(days=2) + "Z"),
    "an unknown channel beside a known one (newer than the contract, or misspelt)": say(**PUSH, emial={"body": "Hi"}),
    "an unknown channel beside campaign_id, without a variation": (
        "messages_send",
        {
            **OF_CAMPAIGN,
            "external_user_ids": ["u-1"],
            "messages": {
                "android_push": {**PUSH["android_push"], "message_variation_id": VARIATION},
                "fax": {"body": "Hi"},
            },
        },
    ),
    "email.from in Liquid (whether it becomes Display Name <address> is not known here)": changed(
        "email", **{"from": "{{custom_attribute.${sender}}}"}
    ),
    "a null as a web button's action (as if left out?)": changed("web_push", buttons=[{"text": "Go", "action": None}]),
    "an empty header_text beside header_image_uri": whats_app(
        3, header_text="", header_image_uri="https://example.com/a"
    ),
    "an empty user_aliases beside ids (an empty list is nobody)": (
        "messages_send",
        {"external_user_ids": ["u-1"], "user_aliases": [], "messages": PUSH},
    ),
    "an empty user_aliases beside an audience on a trigger call": triggered(audience=TIER, user_aliases=[]),
    "external_user_ids beside an audience on a trigger call (no field of it: it restricts nothing)": triggered(
        audience=TIER, external_user_ids=["u-1"]
    ),
    "external_user_ids beside recipients on a trigger call": triggered(
        recipients=RECIPIENTS[:1], external_user_ids=["u-2"]
    ),
    "an empty app_id (required, no lower limit)": ("live_activity_update", {**LIVE, "app_id": ""}),
    "an empty activity_id": ("live_activity_update", {**LIVE, "activity_id": ""}),
    "an empty activity_attributes_type": (
        "live_activity_start",
        {**START, "segment_id": SEGMENT, "activity_attributes_type": ""},
    ),
    "an empty app_id of an e-mail": changed("email", app_id=""),
    "an empty text of a button": say(android_push={"alert": "a", "title": "b", "buttons": [{"text": ""}]}),
    "an empty alert of a push (required; only a card's title may be empty, says the contract)": say(
        android_push={"alert": "", "title": "a"}
    ),
    "an empty title of a web push": changed("web_push", title=""),
    "an empty alert of an apple_push": say(apple_push={"alert": ""}),
    "an empty body of an SMS": changed("sms", body=""),
    "an empty body of an e-mail": changed("email", body=""),
    "an empty url of a webhook": changed("webhook", url=""),
    "an empty text in a conversation": talk(messages=[{"text": "", "timestamp": 1900000000, "person_id": "p"}]),
    "an empty body of a WhatsApp text": whats_app(1, body=""),
    "an empty body of an update's live notification": (
        "live_activity_update",
        {**LIVE, "notification": {"alert": {"title": "", "body": ""}}},
    ),
    "no buttons in a quick reply": whats_app(3, buttons=[]),
    "a list without a row": whats_app(
        4, list={"list_button_text": "a", "list_sections": [{"section_title": "a", "list_rows": []}]}
    ),
    "a number as subscription_group_id (untyped in array<{subscription_group_id, ...}>)": person(
        attributes={"subscription_groups": [{"subscription_group_id": 7, "subscription_state": "subscribed"}]}
    ),
    "empty recipients beside ids on messages_send (no field of it)": (
        "messages_send",
        {"external_user_ids": ["u-1"], "recipients": [], "messages": PUSH},
    ),
    "a number among the ids to export (array<string>; numeric ids are let through elsewhere)": (
        "users_export_ids",
        {"external_ids": [7]},
    ),
    "an id of 988 bytes to export": ("users_export_ids", {"external_ids": [LONG_ID]}),
    "an empty device_id, which names nobody": ("users_export_ids", {"device_id": ""}),
    "an empty phone": ("users_export_ids", {"phone": ""}),
    "an empty field to export": ("users_export_ids", {"external_ids": ["u-1"], "fields_to_export": [""]}),
    "an external id of one space to export": ("users_export_ids", {"external_ids": [" "]}),
    "an empty send_id in a query": ("sends_data_series", {**OF_CAMPAIGN, "send_id": "", "length": 7}),
    "an email of 988 bytes": (
        "campaigns_trigger_send",
        {**OF_CAMPAIGN, "recipients": [{"email": "x" * 976 + "@example.com", "prioritization": ["identified"]}]},
    ),
}
IDS = {CAMPAIGN, SEGMENT, APP, GROUP, VARIATION, *BY_ID.values()}


def told(name, body, ours, theirs):
    return f"{name}\nmodels: {ours}\nemulator: {theirs}\nbody: {json.dumps(body, default=str)[:1500]}"


@pytest.mark.parametrize("case", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_the_contract_forbids_is_refused_by_both(judges, case):
    ours, theirs = judgements(judges, *case)
    assert ours is not None, told(*case, ours, theirs)
    assert theirs is not None, told(*case, ours, theirs)


@pytest.mark.parametrize("case", PERMITTED.values(), ids=PERMITTED)
def test_what_the_contract_permits_is_accepted_by_both(judges, case):
    ours, theirs = judgements(judges, *case)
    assert (ours, theirs) == (None, None)


@pytest.mark.usefixtures("early_in_the_hour")
def test_at_optimal_time_today_is_accepted_by_both(judges):
    """The clock part is ignored."""
    today = datetime.now(UTC).strftime("%Y-%m-%dT00:00:00")
    assert judgements(judges, *when(time=today, at_optimal_time=True)) == (None, None)


@pytest.mark.parametrize("case", OPEN.values(), ids=OPEN)
def test_what_the_contract_leaves_open_is_judged_alike(judges, case):
    ours, theirs = judgements(judges, *case)
    assert (ours is None) is (theirs is None), told(*case, ours, theirs)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_valid_body_is_accepted_by_both_and_goes_out_as_it_came(judges, name):
    for body in bodies_of(name):
        ours, theirs = judgements(judges, name, body)
        assert (ours, theirs) == (None, None), told(name, body, ours, theirs)
        model = ENDPOINTS[name].request.model_validate(body)
        sent = json.loads(json.dumps(model.model_dump(mode="json", exclude_none=True)))
        assert sent == without_nulls(body)


def without_nulls(body):
    """What the model leaves out: nulls among the fields it knows, never among values of the caller's own."""
    kept = {"attributes", "trigger_properties", "context", "canvas_entry_properties"}
    if isinstance(body, dict):
        return {k: v if k in kept else without_nulls(v) for k, v in body.items() if v is not None}
    return [without_nulls(item) for item in body] if isinstance(body, list) else body


@pytest.mark.parametrize("name", ENDPOINTS)
def test_models_and_emulator_accept_and_refuse_the_same_bodies(judges, name):
    @settings(
        max_examples=EXAMPLES[endpoint(name)["method"]],
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def search(data):
        body = data.draw(nearly_valid(name))
        ours, theirs = judgements(judges, name, body)
        event("accepted" if theirs is None else "refused")
        assert (ours is None) is (theirs is None), told(name, body, ours, theirs)
        if ours is None and endpoint(name)["method"] == "POST":
            content = judges._client.build(ENDPOINTS[name], payload_of(name, body)).content
            assert emulator_problems(name, json.loads(content)) is None

    search()


def rules_of_the_contract():
    """Every entry of ``constraints``: of endpoints and objects, of their fields, of the shapes of messages."""
    for row in contract("endpoints")["endpoints"]:
        if row["id"] in ENDPOINTS:
            fields = [*(row["request"].get("body") or ()), *(row["request"].get("query") or ())]
            yield from _rules(row["id"], row["constraints"], fields)
    for name, row in contract("objects")["objects"].items():
        if name not in NOT_SENT_BY_THIS_PACKAGE:
            yield from _rules(name, row.get("constraints"), row.get("fields"))
            for kind, fields in (row.get("message_shapes") or {}).items():
                yield from _rules(f"{name}.{kind}", (), fields)


def _rules(owner, rules, fields):
    for place, rule in enumerate(rules or ()):
        yield f"{owner}.{rule.get('id', f'#{place}')}"
    for field in fields or ():
        if "constraints" in field:
            yield f"{owner}.{field['name']}"
        yield from _rules(f"{owner}.{field['name']}", (), field.get("fields"))


def test_every_rule_of_the_contract_is_broken_here_or_cannot_be():
    rules = set(rules_of_the_contract())
    assert rules - set(BROKEN) - set(CANNOT_BE_BROKEN) == set()
    assert set(CANNOT_BE_BROKEN) <= rules
    assert set(BROKEN) & set(CANNOT_BE_BROKEN) == set()


@pytest.mark.parametrize(("case", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_told_and_nothing_leaves(braze_emulator, case, words):
    name, body = case
    with pytest.raises(BrazeValidationError) as caught:
        BrazeHook().call(name, payload_of(name, body))
    assert braze_emulator.requests() == []
    assert isinstance(caught.value, AirflowException)
    text = str(caught.value)
    assert text.startswith(f"{name}: the request breaks Braze's rules, nothing was sent:")
    assert [word for word in words if word not in text] == [], text
    assert [leaf for leaf in map(str, leaves(body)) if is_told(leaf, text)] == [], text


def is_told(leaf, text):
    """Whether a message holds a value of the body, other than the contract's own words and the ids in the table."""
    return len(leaf) > 3 and leaf not in IDS and leaf not in vocabulary() and leaf in text


@pytest.mark.parametrize("case", [case for case, _ in BROKEN.values()], ids=BROKEN)
def test_the_emulator_refuses_what_breaks_a_rule(case):
    assert emulator_problems(*case) is not None


@pytest.mark.parametrize("name", ["campaigns_trigger_send", "messages_send", "live_activity_start"])
def test_a_field_of_the_wrong_type_is_named_without_its_value(braze_emulator, name):
    for field in bodies_of(name)[0]:
        body = {**bodies_of(name)[0], field: 8374.625}
        with pytest.raises(BrazeValidationError) as caught:
            BrazeHook().call(name, body)
        assert field in str(caught.value)
        assert "8374" not in str(caught.value)
    assert braze_emulator.requests() == []
