"""Models and emulator each read the contract for themselves; here both judge the same bodies.

``CASES`` are the classes of disagreement that were found once, each with what the contract says. The search below
them excludes nothing.
"""

import copy

import pytest
from contract_data import contract, endpoint, valid_requests
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

NAME = "campaigns_trigger_send"
CAMPAIGN = valid_requests(NAME)[0]["campaign_id"]
OPTED_IN = {"push_subscription_status": {"comparison": "is", "value": "opted_in"}}


def to(*recipients, **fields):
    return {"campaign_id": CAMPAIGN, "recipients": list(recipients), **fields}


def one(**fields):
    return to({"external_user_id": "u-1", **fields})


def nested(levels):
    audience = OPTED_IN
    for _ in range(levels):
        audience = {"AND": [audience]}
    return audience


REFUSED = {
    "broadcast beside external_user_ids (broadcast_excludes_recipients names them)": {
        "campaign_id": CAMPAIGN,
        "broadcast": True,
        "external_user_ids": ["u-1"],
    },
    "broadcast beside user_aliases": {
        "campaign_id": CAMPAIGN,
        "broadcast": True,
        "user_aliases": [{"alias_name": "a", "alias_label": "b"}],
    },
    "external_user_ids instead of recipients (no field of this endpoint: nobody is addressed)": {
        "campaign_id": CAMPAIGN,
        "external_user_ids": ["u-1"],
    },
    "user_aliases instead of recipients": {
        "campaign_id": CAMPAIGN,
        "user_aliases": [{"alias_name": "a", "alias_label": "b"}],
    },
    "attributes.email no string (user_attributes: string)": one(attributes={"email": 5}),
    "attributes.phone no string": one(attributes={"phone": 49170}),
    "attributes.first_name no string": one(attributes={"first_name": ["Kim"]}),
    "attributes.country no string": one(attributes={"country": {"code": "DE"}}),
    "attributes._update_existing_only no boolean": one(attributes={"_update_existing_only": "true"}),
    "attributes.push_token_import no boolean": one(attributes={"push_token_import": 1}),
    "attributes.subscription_groups no array": one(attributes={"subscription_groups": {}}),
    "attributes.push_tokens no array": one(attributes={"push_tokens": "t"}),
    "attributes.subscription_groups of no objects": one(attributes={"subscription_groups": ["g"]}),
    "attributes.dob not YYYY-MM-DD": one(attributes={"dob": "24.12.1990"}),
    "attributes.user_alias without a label": one(attributes={"user_alias": {"alias_name": "a"}}),
    "attributes.external_id a boolean": one(attributes={"external_id": True}),
    "attributes.external_id empty of text": one(attributes={"external_id": ["x"]}),
    "attributes.external_id 988 bytes": one(attributes={"external_id": "x" * 988}),
    "an array of 501 elements (500 at most)": one(attributes={"tags": ["x"] * 501}),
    "an array of objects over 100 KB": one(attributes={"pets": [{"name": "x" * 100_001}]}),
    "an id of 988 bytes, one of them a space": to({"external_user_id": "x" * 987 + " "}),
    "half a surrogate pair": one(attributes={"name": "\ud800"}),
}
ACCEPTED = {
    "an alias_name of spaces (non-empty, says the contract)": to(
        {"user_alias": {"alias_name": " ", "alias_label": "b"}}
    ),
    "an email of 988 bytes (the limit is the external id's)": to(
        {"email": "x" * 980 + "@example.com", "prioritization": ["identified"]}
    ),
    "a braze_id of 988 bytes": to({"braze_id": "x" * 988}),
    "an empty prioritization beside an id (required only for email)": one(prioritization=[]),
    "a regex that Python cannot compile (needs a string)": {
        "campaign_id": CAMPAIGN,
        "audience": {
            "custom_attribute": {
                "custom_attribute_name": "a",
                "comparison": "matches_regex",
                "value": "\\p{L}++(?<x>",
            }
        },
    },
    "an audience of 60 levels (nesting allowed)": {"campaign_id": CAMPAIGN, "audience": nested(60)},
    "context on a recipient of a campaign (no field of campaigns)": one(context="later"),
    "canvas_entry_properties on a recipient of a campaign": one(canvas_entry_properties=1),
    "a recipient without a limit on its unknown fields": one(context={"k": "x" * 60_000}),
    "an empty send_id (no lower limit)": one() | {"send_id": ""},
    "an empty file_name (required, no lower limit)": one() | {"attachments": [{"file_name": "", "url": ""}]},
    "an id of one space": to({"external_user_id": " "}),
    "whole numbers": to({"external_user_id": 7}, {"external_user_id": "7"}),
    "send_to_existing_only true with an alias": to(
        {"user_alias": {"alias_name": "a", "alias_label": "b"}, "send_to_existing_only": True}
    ),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_the_contract_forbids_is_refused_by_both(judges, body):
    assert judges.emulator(NAME, body) is not None
    assert judges.models(NAME, body) is not None


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_contract_leaves_open_is_judged_alike_by_both(judges, body):
    ours, theirs = judges.models(NAME, body), judges.emulator(NAME, body)
    assert (ours is None) is (theirs is None), (ours, theirs)


CONNECTED = contract("objects")["objects"]["connected_audience"]["filters"]
COMPARISONS = sorted(
    {name for group in CONNECTED["custom_attribute"]["comparisons_by_type"].values() for name in group}
)
OBJECTS = contract("objects")["objects"]
FIELDS = [field["name"] for field in endpoint(NAME)["request"]["body"]]
RECIPIENT_FIELDS = [field["name"] for field in OBJECTS["recipient"]["fields"]]
ATTRIBUTES = [field["name"] for field in OBJECTS["user_attributes"]["fields"] if "<" not in field["name"]]
PRIORITIES = next(field for field in OBJECTS["recipient"]["fields"] if field["name"] == "prioritization")["enum"]
ELSEWHERE = ["segment_id", "external_user_ids", "user_aliases", "canvas_id", "schedule", "override_frequency_capping"]

texts = st.sampled_from(["u-1", "7", "kim@example.com", "é" * 4])
scalars = st.sampled_from(
    [True, False, 0, 1, -3, 2.5, "gold", "", " ", "2031-01-01T00:00:00Z", "2031-01-01", "x" * 70, 10**20]
)
wrong = st.one_of(st.none(), scalars, st.sampled_from([[], {}, [[]], [None], [{}], {"a": None}, ["u-1"], {"AND": []}]))
sizes = st.sampled_from(["é" * 493 + "x", "é" * 494, "x" * 987, "x" * 988, "x" * 236, "x" * 237, "s" * 64, "s" * 65])
properties = st.dictionaries(st.sampled_from(["offer", "é"]), scalars | st.none(), max_size=2) | st.sampled_from(
    [{"k": "x" * 49_992}, {"k": "x" * 49_993}, {"k": "é" * 24_996}, {"k": "é" * 24_997}]
)
custom_attribute = st.fixed_dictionaries(
    {"custom_attribute_name": st.sampled_from(["tier", ""]), "comparison": st.sampled_from([*COMPARISONS, "is"])},
    optional={"value": wrong},
)
status = st.fixed_dictionaries(
    {
        "comparison": st.sampled_from([*CONNECTED["push_subscription_status"]["comparison"], "equals"]),
        "value": st.sampled_from([*CONNECTED["push_subscription_status"]["value"], "other"]),
    }
)
last_used = st.fixed_dictionaries(
    {"comparison": st.sampled_from([*CONNECTED["last_used_app"]["comparison"], "is"]), "value": wrong}
)
filters = st.one_of(
    custom_attribute.map(lambda value: {"custom_attribute": value}),
    status.map(lambda value: {"push_subscription_status": value}),
    status.map(lambda value: {"email_subscription_status": value}),
    last_used.map(lambda value: {"last_used_app": value}),
)
audiences = st.recursive(
    filters,
    lambda inner: st.builds(
        lambda key, value: {key: value}, st.sampled_from(["AND", "OR"]), st.lists(inner, max_size=3)
    ),
)
aliases = st.fixed_dictionaries({"alias_name": texts | sizes, "alias_label": texts})
attributes = st.dictionaries(
    st.sampled_from([*ATTRIBUTES, "tier"]),
    st.one_of(texts, wrong, aliases, st.sampled_from(["M", "opted_in", "1990-12-24", {"inc": 1}, ["x"] * 501])),
    max_size=3,
)
identifiers = st.one_of(
    (texts | st.integers(-1, 10) | sizes).map(lambda value: {"external_user_id": value}),
    aliases.map(lambda value: {"user_alias": value}),
    st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=3).map(
        lambda order: {"email": "kim@example.com", "prioritization": order}
    ),
    texts.map(lambda value: {"braze_id": value}),
)
recipients = st.builds(
    lambda whom, more: whom | more,
    identifiers,
    st.fixed_dictionaries(
        {},
        optional={"trigger_properties": properties, "send_to_existing_only": st.booleans(), "attributes": attributes},
    ),
)
attachments = st.lists(
    st.fixed_dictionaries({"file_name": st.just("a.pdf"), "url": texts}, optional={"basic_auth_credential": wrong}),
    max_size=2,
)
bodies = st.one_of(
    st.sampled_from(valid_requests(NAME)),
    st.fixed_dictionaries(
        {"campaign_id": st.just(CAMPAIGN), "recipients": st.lists(recipients, min_size=1, max_size=3)}
    ),
    st.fixed_dictionaries(
        {"campaign_id": st.just(CAMPAIGN), "audience": audiences}, optional={"send_id": texts | sizes}
    ),
    st.fixed_dictionaries(
        {"campaign_id": st.just(CAMPAIGN)},
        optional={
            "send_id": texts | sizes,
            "trigger_properties": properties,
            "broadcast": st.booleans(),
            "audience": audiences,
            "recipients": st.lists(recipients, max_size=4),
            "attachments": attachments,
        },
    ),
)


def places(value, path=()):
    """Every place in a body, the outermost first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@st.composite
def nearly_valid(draw):
    body = copy.deepcopy(draw(bodies))
    for _ in range(draw(st.integers(0, 2))):
        if not (choices := [path for path in places(body) if path]):
            break
        path = draw(st.sampled_from(choices))
        parent = body
        for key in path[:-1]:
            parent = parent[key]
        mutate(draw, parent, path[-1], body)
    return body


def mutate(draw, parent, key, body):
    match draw(st.sampled_from(["drop", "null", "wrong", "long", "repeat", "extra", "swap"])):
        case "drop":
            del parent[key]
        case "null":
            parent[key] = None
        case "wrong":
            parent[key] = copy.deepcopy(draw(wrong))
        case "long":
            parent[key] = draw(sizes)
        case "repeat" if isinstance(parent[key], list) and parent[key]:
            parent[key] = parent[key][:1] * draw(st.sampled_from([2, 50, 51]))
        case "extra" if isinstance(parent, dict):
            names = st.sampled_from([*RECIPIENT_FIELDS, *FIELDS, *ELSEWHERE, "unknown"])
            parent[draw(names)] = copy.deepcopy(draw(st.one_of(wrong, texts, aliases, st.just("later"))))
        case "swap" if isinstance(parent, dict):
            other = draw(st.sampled_from(sorted(parent)))
            parent[key], parent[other] = parent[other], parent[key]
        case _:
            body[draw(st.sampled_from(FIELDS))] = copy.deepcopy(draw(wrong))


@settings(
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(body=nearly_valid())
def test_models_and_emulator_accept_and_refuse_the_same_bodies(judges, body):
    assume(body.get("campaign_id") in (CAMPAIGN, None))  # which campaigns there are is not the models' business
    ours, theirs = judges.models(NAME, body), judges.emulator(NAME, body)
    event("accepted" if theirs is None else "refused")
    assert (ours is None) is (theirs is None), f"models: {ours}\nemulator: {theirs}\nbody: {str(body)[:2000]}"
    if ours is None:
        assert judges.emulator_on_what_is_sent(NAME, body) is None
