"""Which column becomes which field: every row of the table in the module's docstring."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.columns import ColumnReader, ObjectReader
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.plan import Plan


def made(columns=None, /, **row):
    return ColumnReader(list(row), columns).recipient(list(row.values()))


def own(value):
    """What becomes of a value that the message shows, as it is sent."""
    row = made(external_user_id="a", value=value)
    with Plan("campaigns_trigger_send", {"campaign_id": "c"}, ListAudience([row])) as plan:
        [request] = plan
    return json.loads(request.body)["recipients"][0]["trigger_properties"]["value"]


def alias(name="n", label="l"):
    return {"user_alias": {"alias_name": name, "alias_label": label}}


ROWS = {
    "external_user_id": ({"external_user_id": "a"}, {"external_user_id": "a"}),
    "a number as id": ({"external_user_id": 7}, {"external_user_id": 7}),
    "a Decimal as id": (
        {"external_user_id": Decimal("10000000000000000001")},
        {"external_user_id": 10000000000000000001},
    ),
    "a UUID as id": ({"external_user_id": UUID(int=7)}, {"external_user_id": "00000000-0000-0000-0000-000000000007"}),
    "email": (
        {"email": "a@b.c", "prioritization": "identified"},
        {"email": "a@b.c", "prioritization": ["identified"]},
    ),
    "braze_id": ({"braze_id": "b"}, {"braze_id": "b"}),
    "alias": ({"alias_name": "n", "alias_label": "l"}, alias()),
    "alias by its path": ({"user_alias.alias_name": "n", "user_alias.alias_label": "l"}, alias()),
    "priorities": (
        {"email": "a@b.c", "prioritization": " identified,most_recently_updated "},
        {"email": "a@b.c", "prioritization": ["identified", "most_recently_updated"]},
    ),
    "priorities as a list": (
        {"email": "a@b.c", "prioritization": ["identified"]},
        {"email": "a@b.c", "prioritization": ["identified"]},
    ),
    "flag 0": (
        {"external_user_id": "a", "send_to_existing_only": 0},
        {"external_user_id": "a", "send_to_existing_only": False},
    ),
    "flag 1": (
        {"external_user_id": "a", "send_to_existing_only": 1},
        {"external_user_id": "a", "send_to_existing_only": True},
    ),
    "flag Decimal": (
        {"external_user_id": "a", "send_to_existing_only": Decimal(0)},
        {"external_user_id": "a", "send_to_existing_only": False},
    ),
    "flag false": (
        {"external_user_id": "a", "send_to_existing_only": False},
        {"external_user_id": "a", "send_to_existing_only": False},
    ),
    "attribute": (
        {"external_user_id": "a", "attributes.Tier": "gold", "attributes.a.b": 1},
        {"external_user_id": "a", "attributes": {"Tier": "gold", "a.b": 1}},
    ),
    "property": (
        {"external_user_id": "a", "trigger_properties.Offer": 1, "other": 2, "a.b": 3},
        {"external_user_id": "a", "trigger_properties": {"Offer": 1, "other": 2, "a.b": 3}},
    ),
    "NULLs": (
        {
            "external_user_id": "a",
            "email": None,
            "alias_name": None,
            "alias_label": None,
            "attributes.x": None,
            "y": None,
        },
        {"external_user_id": "a"},
    ),
    "an alias label without a name": (
        {"external_user_id": "a", "alias_name": None, "alias_label": "l"},
        {"external_user_id": "a"},
    ),
    "an alias label beside an id": ({"external_user_id": "a", "alias_label": "l"}, {"external_user_id": "a"}),
}


@pytest.mark.parametrize(("row", "recipient"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("case", [str, str.upper, str.title], ids=["lower", "upper", "title"])
def test_a_column_becomes_the_field_of_its_name_whatever_its_case(row, recipient, case):
    def spelt(name):
        group, dot, rest = name.partition(".")
        if group in ("attributes", "trigger_properties"):
            return case(group) + dot + rest
        return name if name in ("other", "a.b", "y") else case(name)

    found = made(**{spelt(name): value for name, value in row.items()})
    assert found == recipient
    for name in ("external_user_id", "send_to_existing_only"):
        assert type(found.get(name)) is type(recipient.get(name))


NESTED = [
    ({"name": "Rex", "age": None}, {"name": "Rex"}),
    (
        {"name": "Rex", "owner": {"city": None, "names": {"first": "Kim", "last": None}}},
        {"name": "Rex", "owner": {"names": {"first": "Kim"}}},
    ),
    ({"name": "Rex", "owner": {"city": None}}, {"name": "Rex"}),
    ({"name": "Rex", "toys": {}}, {"name": "Rex", "toys": {}}),
    ({"toys": [None, "ball", {"bone": None}]}, {"toys": [None, "ball", {"bone": None}]}),
]


@pytest.mark.parametrize(("value", "sent"), NESTED, ids=str)
@pytest.mark.parametrize("read", [lambda row: made(**row), ObjectReader().recipient], ids=["columns", "objects"])
def test_nulls_inside_of_objects_are_left_out(read, value, sent):
    """A null attribute, however deep, would be removed from the profile."""
    for group in ("attributes", "trigger_properties"):
        assert read({"external_user_id": "a", f"{group}.pet": value}) == {"external_user_id": "a", group: {"pet": sent}}


@pytest.mark.parametrize("value", [{"name": None}, {"owner": {"city": None}}], ids=str)
@pytest.mark.parametrize("read", [lambda row: made(**row), ObjectReader().recipient], ids=["columns", "objects"])
def test_an_object_of_nulls_is_none(read, value):
    """An empty one would replace what the profile has."""
    assert read({"external_user_id": "a", "attributes.pet": value}) == {"external_user_id": "a"}


def test_the_case_of_other_columns_is_kept():
    assert made(EXTERNAL_USER_ID="a", OFFER=1)["trigger_properties"] == {"OFFER": 1}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Decimal("10"), 10),
        (Decimal("10.50"), 10.5),
        (Decimal("1E+3"), 1000),
        (Decimal("0.10"), 0.1),
        (Decimal("-7"), -7),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (date(2031, 4, 7), "2031-04-07"),
        (datetime(2031, 4, 7, 9, 30), "2031-04-07T09:30:00"),
        (datetime(2031, 4, 7, 9, 30, tzinfo=UTC), "2031-04-07T09:30:00Z"),
        (True, True),
        ({"a": [1, None]}, {"a": [1, None]}),
        ([Decimal("1.5"), UUID(int=1)], [1.5, "00000000-0000-0000-0000-000000000001"]),
        ({"price": Decimal("2")}, {"price": 2}),
        ("", ""),
    ],
)
def test_a_value_of_the_database_becomes_its_json_equivalent(value, sent):
    assert own(value) == sent
    assert type(own(value)) is type(sent)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), float("nan"), b"\xff\xfe"])
def test_a_value_without_a_json_equivalent_makes_the_row_invalid(value):
    for column in ("value", "attributes.value"):
        row = ColumnReader(["external_user_id", column]).recipient(["a", value])
        with pytest.raises(BrazeAudienceError, match="1 of 1"):
            Plan("campaigns_trigger_send", {"campaign_id": "c"}, ListAudience([row]))


def test_columns_get_other_names_whatever_their_case():
    names = {"CUSTOMER": "external_user_id", "city": "attributes.home_city", "price": "trigger_properties.cost"}
    assert made(names, customer="a", City="Berlin", price=2) == {
        "external_user_id": "a",
        "attributes": {"home_city": "Berlin"},
        "trigger_properties": {"cost": 2},
    }


REFUSED = {
    "a column that is not there": (
        ["external_user_id"],
        {"customer": "external_user_id"},
        ["customer", "external_user_id"],
    ),
    "nobody named": (["name", "city"], None, ["name, city", "external_user_id", "email", "alias_name"]),
    "no columns": ([], None, ["there are none"]),
    "an alias without a label": (["alias_name"], None, ["alias_name", "alias_label"]),
    "one field twice": (["external_user_id", "EXTERNAL_USER_ID"], None, ["external_user_id"]),
    "one field by both names": (
        ["alias_name", "user_alias.alias_name", "alias_label"],
        None,
        ["user_alias.alias_name"],
    ),
    "one property by both names": (["email", "offer", "trigger_properties.offer"], None, ["trigger_properties.offer"]),
    "renamed onto another": (["id", "external_user_id"], {"id": "external_user_id"}, ["external_user_id"]),
}


@pytest.mark.parametrize(("names", "columns", "words"), REFUSED.values(), ids=REFUSED)
def test_columns_that_cannot_be_meant_are_refused_before_any_row(names, columns, words):
    with pytest.raises(BrazeAudienceError, match="nothing was sent") as refused:
        ColumnReader(names, columns)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    "row",
    [
        {"external_user_id": None, "x": 1},
        {"external_user_id": "a", "braze_id": "b"},
        {"alias_name": "n", "alias_label": None},
        {"email": "a@b.c"},
        {"external_user_id": "a", "send_to_existing_only": "0"},
        {"external_user_id": "a", "send_to_existing_only": 2},
        {"external_user_id": 7.5},
        {"external_user_id": True},
        {"email": "a@b.c", "prioritization": ""},
    ],
    ids=str,
)
def test_a_row_that_braze_would_not_take_is_invalid_and_not_guessed_at(row):
    with pytest.raises(BrazeAudienceError, match="1 of 1 recipients cannot be sent"):
        Plan("campaigns_trigger_send", {"campaign_id": "c"}, ListAudience([made(**row)]))


def test_a_column_is_left_out():
    names = ["customer_id", "Email", "notes", "offer"]
    columns = {"customer_id": "external_user_id", "email": None, "notes": None}
    reader = ColumnReader(names, columns, "trigger_properties")
    made = reader.recipient([7, "kim@example.com", "rude on the phone", "a cake"])
    assert made == {"external_user_id": 7, "trigger_properties": {"offer": "a cake"}}
    made = ObjectReader(columns, "trigger_properties").recipient(
        {"customer_id": 7, "email": "kim@example.com", "notes": {"mood": 1}, "offer": "a cake"}
    )
    assert made == {"external_user_id": 7, "trigger_properties": {"offer": "a cake"}}


@pytest.mark.parametrize("columns", [{"notes": 7}, {"notes": ""}, {7: "email"}, {"notes": ["email"]}])
@pytest.mark.parametrize("make", [lambda columns: ColumnReader(["email"], columns), ObjectReader])
def test_columns_that_name_no_field_are_refused(columns, make):
    with pytest.raises(
        BrazeAudienceError, match=r"columns\[.*\] must be the name of a field of the recipient, or None"
    ):
        make(columns)


def test_a_column_that_is_not_there_says_which_way_columns_go():
    with pytest.raises(
        BrazeAudienceError, match="columns= goes from a column of the source to a field of the recipient"
    ):
        ColumnReader(["customer_id"], {"external_user_id": "customer_id"})


@pytest.mark.parametrize("name", ["external_user_id", "email", "braze_id"])
def test_spaces_around_an_identifier_do_not_count(name):
    assert ColumnReader([name]).recipient([" k 7\t "]) == {name: "k 7"}
    assert ObjectReader().recipient({name: " k 7 "}) == {name: "k 7"}
