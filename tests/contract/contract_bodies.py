"""Valid bodies for every endpoint, what may be done to them, and the emulator's judgement of a body alone."""

import copy
import json
import time
from datetime import UTC, datetime, timedelta
from functools import cache

from contract_data import contract, endpoint, valid_requests
from hypothesis import strategies as st

from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.problems import Problem, Refused
from airflow_provider_braze.emulator.scheduling import read_when
from airflow_provider_braze.emulator.specification import load_contract
from airflow_provider_braze.emulator.validation import Validator

CAMPAIGN = CANVAS = valid_requests("campaigns_trigger_send")[0]["campaign_id"]
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
SEGMENT = "7b1d4c3e-1111-4a4a-8b8b-222233334444"
APP = "a1b2c3d4-0000-4000-8000-00000000000a"
VARIATION = "c0ffee00-0000-4000-8000-000000000001"
GROUP = "4f1c7c1e-6d0a-4b0e-9a55-000000000001"
LOOKED_UP = {"campaign_id", "canvas_id", "segment_id", "schedule_id"}
NOW = datetime.now(UTC).replace(microsecond=0)


def at(**distance):
    """A time that far from now, in UTC and without a designator."""
    return (NOW + timedelta(**distance)).replace(tzinfo=None).isoformat()


ALIAS = {"alias_name": "crm-1001", "alias_label": "crm_id"}
TIER = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
AUDIENCES = [
    TIER,
    {"AND": [TIER, {"OR": [{"email_subscription_status": {"comparison": "is", "value": "opted_in"}}]}]},
    {"OR": [{"push_subscription_status": {"comparison": "is_not", "value": "unsubscribed"}}, TIER]},
    {"last_used_app": {"comparison": "after", "value": "2031-01-01T00:00:00Z"}},
    {"custom_attribute": {"custom_attribute_name": "visits", "comparison": "less_than_or_equal_to", "value": 3.5}},
    {"custom_attribute": {"custom_attribute_name": "seen", "comparison": "less_than_x_days_ago", "value": 7}},
    {"custom_attribute": {"custom_attribute_name": "vip", "comparison": "does_not_exist"}},
]
SCHEDULES = [
    {"time": at(days=3) + "Z"},
    {"time": at(days=3) + "+05:30"},
    {"time": at(days=3)},
    {"time": at(days=3), "in_local_time": True},
    {"time": at(days=3), "at_optimal_time": True},
    {"time": at(days=3) + ".250Z", "in_local_time": False, "at_optimal_time": False},
]
CHANNELS = {
    "apple_push": [
        {"alert": "Doors open at 9", "badge": 1, "sound": "default", "extra": {"k": {"deep": [1]}}},
        {
            "alert": {"body": "Doors open", "title": "Today", "loc_args": ["a"], "title_loc_args": []},
            "interruption_level": "time-sensitive",
            "relevance_score": 0.5,
            "apns_priority": 10,
            "expiry": at(days=2) + "Z",
            "asset_url": "https://example.com/a.png",
            "asset_file_type": "png",
            "category": "ab_cat_yes_no",
            "buttons": [{"action_id": "ab_pb_yes", "action": "URI", "uri": "https://example.com"}],
        },
        {"content-available": True, "extra": {"sync": 1}, "mutable_content": False, "use_webview": True},
    ],
    "android_push": [
        {"alert": "Doors open at 9", "title": "Today", "extra": {"k": "v"}, "priority": 1, "time_to_live": 3600},
        {"send_to_sync": True, "extra": {"k": "v"}, "android_priority": "high", "notification_id": 4},
        {
            "alert": "Hi",
            "title": "Two",
            "buttons": [{"text": "Open", "action": "DEEP_LINK", "uri": "app://a"}, {"text": "No"}],
            "accent_color": 16711680,
            "conversation_data": {
                "shortcut_id": "s",
                "reply_person_id": "p",
                "messages": [{"text": "Hello", "timestamp": 1900000000, "person_id": "p"}],
                "persons": [{"id": "p", "name": "Kim"}],
            },
        },
    ],
    "kindle_push": [{"alert": "Doors open", "title": "Today", "extra": {"k": 1}, "priority": 0, "collapse_key": "c"}],
    "web_push": [
        {
            "alert": "Doors open",
            "title": "Today",
            "image_url": "https://example.com/a.png",
            "require_interaction": True,
            "time_to_live": 60,
            "buttons": [
                {"text": "Go", "action": "URI", "uri": "https://example.com"},
                {"text": "No", "action": "CLOSE"},
            ],
        }
    ],
    "email": [
        {"app_id": APP, "from": "Shop <hello@mail.example.com>", "subject": "Picks", "body": "<p>Hi</p>"},
        {
            "app_id": APP,
            "from": "Shop <hello@mail.example.com>",
            "email_template_id": "template-1",
            "reply_to": "NO_REPLY_TO",
            "preheader": "This week",
            "extras": {"k": "v"},
            "headers": {"X-List": "weekly"},
            "should_inline_css": True,
            "attachments": [{"file_name": "a.pdf", "url": "https://example.com/a.pdf", "basic_auth_credential": "c"}],
        },
    ],
    "content_card": [
        {"type": "CLASSIC", "title": "", "description": "A treat", "time_to_live": 86400, "pinned": True},
        {
            "type": "CAPTIONED_IMAGE",
            "title": "Treat",
            "description": "A treat",
            "image_url": "https://example.com/a.png",
            "expire_at": at(days=20) + "Z",
            "expire_in_local_time": True,
            "extra": {"k": "v"},
        },
        {"type": "BANNER", "image_url": "https://example.com/a.png", "time_to_live": 30 * 86400, "uri_text": "Go"},
    ],
    "sms": [
        {"subscription_group_id": GROUP, "body": "Doors open", "app_id": APP, "media_items": ["https://example.com/a"]},
        {
            "subscription_group_id": GROUP,
            "body": "Doors open",
            "app_id": APP,
            "link_shortening_enabled": True,
            "user_click_tracking_enabled": True,
        },
    ],
    "webhook": [
        {
            "url": "https://hooks.example.com/braze",
            "request_method": "PUT",
            "request_headers": {"a": "b"},
            "body": "{}",
        },
        {"url": "https://hooks.example.com/braze", "request_method": "GET"},
    ],
    "whats_app": [
        {"app_id": APP, "subscription_group_id": GROUP, "message_type": kind, "message": message}
        for kind, message in [
            (
                "template_message",
                {
                    "template_name": "doors",
                    "template_language_code": "en_US",
                    "header_variables": {"0": "Kim"},
                    "body_variables": {"0": "a", "1": "b"},
                    "button_variables": {"0": "x"},
                },
            ),
            ("text_response_message", {"body": "Yes", "preview_url": True}),
            ("text_image_response_message", {"image_uri": "https://example.com/a.png", "caption": "Us"}),
            (
                "quick_reply_response_message",
                {"body": "Ready?", "header_text": "Hi", "footer": "f", "buttons": [{"text": "Yes"}, {"text": "No"}]},
            ),
            (
                "list_response_message",
                {
                    "header": "Cups",
                    "body": "Which?",
                    "list": {
                        "list_button_text": "See",
                        "list_sections": [
                            {
                                "section_title": "Hot",
                                "list_rows": [
                                    {"row_title": "Flat white", "row_description": "x"},
                                    {"row_title": "Tea"},
                                ],
                            }
                        ],
                    },
                },
            ),
            (
                "flow_response_message",
                {
                    "body": "Go on",
                    "flow_button": {"caption": "Start", "flow_id": "f1"},
                    "generate_custom_attribute": True,
                },
            ),
        ]
    ],
}
PUSH = {"android_push": {"alert": "Starts soon", "title": "Reminder"}}


def messages(without=()):
    """One body of messages per channel shape, then several channels together."""
    found = [{name: shape} for name, shapes in CHANNELS.items() if name not in without for shape in shapes]
    return [*found, {name: shapes[0] for name, shapes in CHANNELS.items() if name not in without}]


def varied(content):
    """The same messages for a campaign: each channel names its variation."""
    return {name: {**channel, "message_variation_id": VARIATION} for name, channel in content.items()}


RECIPIENTS = [
    {"external_user_id": "u-1", "send_to_existing_only": True},
    {"external_user_id": 7},
    {"user_alias": ALIAS},
    {"email": "kim@example.com", "prioritization": ["unidentified", "least_recently_updated"]},
    {
        "external_user_id": "u-new",
        "send_to_existing_only": False,
        "attributes": {
            "email": "new@example.com",
            "dob": "1990-12-24",
            "tags": ["a"],
            "visits": {"inc": 1},
            "gender": "N",
            "push_subscribe": "opted_in",
            "subscription_groups": [{"subscription_group_id": GROUP, "subscription_state": "subscribed"}],
            "gone": None,
        },
    },
]


def _to_users(**more):
    some = messages(without=() if "schedule" not in more else ("whats_app",))
    people = {"external_user_ids": ["u-1", 7], "user_aliases": [ALIAS]}
    yield from ({**people, "messages": content, **more} for content in some)
    yield {"user_aliases": [ALIAS], "messages": PUSH, "recipient_subscription_state": "all", "broadcast": False, **more}
    yield {"external_user_ids": ["u-1"], "segment_id": SEGMENT, "audience": TIER, "messages": PUSH, **more}
    yield {"broadcast": True, "segment_id": SEGMENT, "messages": PUSH, **more}
    yield from ({"broadcast": True, "audience": audience, "messages": PUSH, **more} for audience in AUDIENCES)
    yield {**people, "campaign_id": CAMPAIGN, "send_id": "weekly", "messages": varied(some[-1]), **more}


def _triggered(values, **more):
    yield {"recipients": [{**one, values: {"offer": [1]}} for one in RECIPIENTS], values: {"a": None}, **more}
    yield from ({"recipients": [one], "audience": TIER, "broadcast": False, **more} for one in RECIPIENTS)
    yield from ({"audience": audience, **more} for audience in AUDIENCES)
    yield {"broadcast": True, "audience": TIER, values: {}, **more}
    yield {"broadcast": True, **more}


LIVE = {"app_id": APP, "activity_id": "match-77", "content_state": {"home": 0}}
START = {
    **LIVE,
    "activity_attributes_type": "MatchActivity",
    "activity_attributes": {"home": "Reds"},
    "notification": {"alert": {"title": "Kick-off", "body": "Reds v Blues"}},
}
BY_ID = {"schedule_id": "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"}
OF_CAMPAIGN, OF_CANVAS = {"campaign_id": CAMPAIGN}, {"canvas_id": CANVAS}
SERIES = {"length": 100, "ending_at": "2031-04-07T00:00:00Z"}
CANVAS_SERIES = {**OF_CANVAS, "ending_at": "2031-04-07T00:00:00", "starting_at": "2031-04-01T00:00:00Z"}
LISTED = {"page": 1, "include_archived": True, "sort_direction": "asc", "last_edit.time[gt]": "2031-01-01T00:00:00"}
DETAILS = {"post_launch_draft_version": True, "include_has_translatable_content": False}
RICHER = {
    "messages_send": [*_to_users(), *_to_users(override_frequency_capping=True)],
    "messages_schedule_create": [
        body
        for schedule in SCHEDULES
        for body in _to_users(schedule=schedule, override_messaging_limits=False)
        if schedule is SCHEDULES[0] or "segment_id" in body
    ],
    "messages_schedule_update": [
        *({**BY_ID, "schedule": schedule} for schedule in SCHEDULES),
        *({**BY_ID, "messages": content} for content in messages()),
        {**BY_ID, "schedule": SCHEDULES[0], "messages": PUSH},
    ],
    "campaigns_trigger_send": [
        *_triggered("trigger_properties", **OF_CAMPAIGN),
        {
            **OF_CAMPAIGN,
            "recipients": RECIPIENTS[:1],
            "attachments": CHANNELS["email"][1]["attachments"],
            "send_id": "s",
        },
    ],
    "canvas_trigger_send": [
        *_triggered("context", **OF_CANVAS),
        *_triggered("canvas_entry_properties", **OF_CANVAS),
    ],
    "campaigns_trigger_schedule_create": [
        body
        for schedule in SCHEDULES
        for body in _triggered("trigger_properties", **OF_CAMPAIGN, schedule=schedule, send_id="s")
    ],
    "canvas_trigger_schedule_create": [
        body for schedule in SCHEDULES for body in _triggered("context", **OF_CANVAS, schedule=schedule)
    ],
    "campaigns_trigger_schedule_update": [{**OF_CAMPAIGN, **BY_ID, "schedule": schedule} for schedule in SCHEDULES],
    "canvas_trigger_schedule_update": [{**OF_CANVAS, **BY_ID, "schedule": schedule} for schedule in SCHEDULES],
    "live_activity_start": [
        {**START, "external_user_ids": ["u-1", 7], "stale_date": "2031-04-07T22:00:00+0000"},
        {**START, "segment_id": SEGMENT},
        *({**START, "custom_audience": audience} for audience in AUDIENCES[:2]),
        *({**START, "segment_id": SEGMENT, "notification": push} for push in CHANNELS["apple_push"]),
    ],
    "live_activity_update": [
        LIVE,
        {**LIVE, "content_state": {}, "end_activity": True, "dismissal_date": "2031-04-07T22:00:00Z"},
        *({**LIVE, "notification": push, "stale_date": "2031-04-07T22:00"} for push in CHANNELS["apple_push"]),
    ],
    "sends_id_create": [OF_CAMPAIGN],
    "transactional_send": [
        {"recipient": {"user_alias": ALIAS}, "trigger_properties": {}},
        {"recipient": {"external_user_id": 7, "attributes": RECIPIENTS[4]["attributes"]}, "external_send_id": "a-_+/="},
    ],
    "users_export_ids": [
        {"external_ids": ["u-1", "7"], "user_aliases": [ALIAS], "fields_to_export": ["email"]},
        *({name: "x-1"} for name in ("device_id", "braze_id", "email_address", "phone")),
    ],
    "campaigns_list": [LISTED],
    "canvas_list": [LISTED],
    "segments_list": [{"page": 0, "sort_direction": "desc"}],
    "campaigns_details": [{**OF_CAMPAIGN, **DETAILS}],
    "canvas_details": [{**OF_CANVAS, **DETAILS}],
    "campaigns_data_series": [{**OF_CAMPAIGN, **SERIES}],
    "sends_data_series": [{**OF_CAMPAIGN, **SERIES, "send_id": "weekly"}],
    "segments_data_series": [{"segment_id": SEGMENT, **SERIES}],
    "canvas_data_series": [CANVAS_SERIES, {**CANVAS_SERIES, "length": "14", "include_step_breakdown": True}],
    "canvas_data_summary": [CANVAS_SERIES, {**CANVAS_SERIES, "length": "1", "include_variant_breakdown": False}],
}


@cache
def bodies_of(name):
    """All valid bodies of an endpoint, the contract's own first."""
    return [*valid_requests(name), *RICHER.get(name, ())]


def payload_of(name, body):
    """The body with what stands in the path."""
    return {**body, "campaign_id": RECEIPT} if "{campaign_id}" in ENDPOINTS[name].path else body


@cache
def _validator():
    return Validator(load_contract(), HANDLERS)


def emulator_problems(name, body):
    """What the emulator has against the body alone, whatever its workspace knows; its clock is at the present."""
    spec = load_contract().endpoints[name]
    known = {field.name for field in (*spec.body, *spec.query)}
    problems = list(_validator().body_problems(spec, body))
    # No workspace has anything under an empty id: its handlers find that out, without knowing anything.
    problems += [Problem(f"{name} is empty") for name in LOOKED_UP & known if body.get(name) == ""]
    if not problems and "schedule" in known and body.get("schedule") is not None:
        try:
            read_when(body["schedule"], time.time(), UTC)
        except Refused as refused:
            problems = refused.problems
    return [problem.detail for problem in problems] or None


def judgements(judges, name, body):
    """Models and emulator on one body: None where it is accepted, else the reasons."""
    ours = judges.models(name, payload_of(name, body))
    if endpoint(name)["method"] != "GET":
        return ours, emulator_problems(name, body)
    if ours is not None:
        return ours, emulator_problems(name, body)
    # What counts of an accepted query is what it looks like on the wire: Braze sees no types.
    row = ENDPOINTS[name]
    query = judges._client.build(row, body).params
    found = _validator().query_problems(load_contract().endpoints[name], query)
    return ours, [problem.detail for problem in found] or None


def places(value, path=()):
    """Every place in a body, the outermost first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


ELSEWHERE = {
    "broadcast": True,
    "recipients": [{"external_user_id": "u-1"}],
    "external_user_ids": ["u-1"],
    "user_aliases": [ALIAS],
    "segment_id": SEGMENT,
    "audience": TIER,
    "custom_audience": TIER,
    "campaign_id": CAMPAIGN,
    "canvas_id": CANVAS,
    "send_id": "weekly",
    "messages": PUSH,
    "schedule": SCHEDULES[0],
    "attachments": CHANNELS["email"][1]["attachments"],
    "trigger_properties": {"k": 1},
    "context": {"k": 1},
    "canvas_entry_properties": {"k": 1},
    "email": CHANNELS["email"][0],
    "whats_app": CHANNELS["whats_app"][1],
    "expire_at": at(days=2) + "Z",
    "time_to_live": 60,
    "header_image_uri": "https://example.com/a.png",
    "in_local_time": True,
    "at_optimal_time": True,
    "send_to_sync": True,
    "content-available": True,
    "phone": "+491701234567",
    "device_id": "d",
    "unknown": 1,
}
WRONG = [
    None,
    True,
    False,
    0,
    -3,
    2.5,
    10**20,
    "gold",
    "",
    " ",
    "2031-01-01T00:00:00Z",
    "2031-01-01",
    at(days=-3) + "Z",
    at(days=60) + "Z",
    "x" * 70,
    [],
    {},
    [[]],
    [None],
    [{}],
    {"a": None},
    {"0": "a", "1": "b"},
    ["u-1"],
    {"AND": []},
]
LONG = [
    *("x" * 20, "x" * 21, "s" * 64, "s" * 65, "é" * 32, "x" * 236, "x" * 237, "é" * 493 + "x", "é" * 494),
    *("x" * 1800, "x" * 1912, "x" * 4001),
]
BIG = [{"k": "x" * size} for size in (49_992, 49_993, 3_990, 3_992)]
KINDS = ["drop", "null", "wrong", "long", "repeat", "extra", "swap", "other"]


@st.composite
def nearly_valid(draw, name):
    """A valid body with up to two things done to it."""
    body = copy.deepcopy(draw(st.sampled_from(bodies_of(name))))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        choices = [path for path in places(body) if path]
        if not choices:
            break
        path = draw(st.sampled_from(choices))
        parent = body
        for key in path[:-1]:
            parent = parent[key]
        _mutate(draw, parent, path[-1], body, name)
    return body


def _mutate(draw, parent, key, body, name):
    match draw(st.sampled_from(KINDS)):
        case "drop":
            del parent[key]
        case "null":
            parent[key] = None
        case "wrong":
            parent[key] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        case "long":
            parent[key] = copy.deepcopy(draw(st.sampled_from(BIG if isinstance(parent[key], dict) else LONG)))
        case "repeat" if isinstance(parent[key], list) and parent[key]:
            parent[key] = parent[key][:1] * draw(st.sampled_from([2, 11, 49, 50, 51]))
        case "extra" if isinstance(parent, dict):
            field = draw(st.sampled_from(sorted(ELSEWHERE)))
            parent[field] = copy.deepcopy(draw(st.sampled_from([ELSEWHERE[field], *WRONG])))
        case "swap" if isinstance(parent, dict):
            other = draw(st.sampled_from(sorted(parent)))
            parent[key], parent[other] = parent[other], parent[key]
        case _:
            field = draw(st.sampled_from(sorted(ELSEWHERE)))
            body[field] = copy.deepcopy(ELSEWHERE[field])


def leaves(value):
    """The texts and numbers of a body."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield value


@cache
def vocabulary():
    """The contract's own words, which an error may name though a body holds them."""
    return json.dumps([contract("endpoints"), contract("objects")], default=str)
