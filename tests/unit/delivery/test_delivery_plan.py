"""The plan: who ends up in which request, and what stops it before anybody is messaged."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeValidationError, identity_hash
from airflow_provider_braze.api.models.recipients import identity_of
from airflow_provider_braze.delivery import reading
from airflow_provider_braze.delivery.audience import ListAudience, as_audience
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.seen import IN_MEMORY, Seen

SEND = "campaigns_trigger_send"
PAYLOAD = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}
QUICK = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def plan(entries, payload=PAYLOAD, **options):
    return Plan(SEND, payload, ListAudience(entries), **options)


def people(made):
    return [json.loads(request.body)["recipients"] for request in made]


def ids(made):
    return [[person.get("external_user_id") for person in batch] for batch in people(made)]


def mail(address, **fields):
    return {"email": address, "prioritization": ["identified"], **fields}


def alias(name, label):
    return {"user_alias": {"alias_name": name, "alias_label": label}}


@pytest.mark.parametrize("count", [1, 49, 50, 51, 99, 100, 101, 5049])
def test_everybody_is_in_one_request_of_at_most_50_in_their_order(count):
    with plan(f"u-{number}" for number in range(count)) as made:
        batches = ids(made)
        sizes = [request.recipients for request in made]
    assert [one for batch in batches for one in batch] == [f"u-{number}" for number in range(count)]
    assert [len(batch) for batch in batches] == sizes == [50] * (count // 50) + [count % 50] * (count % 50 > 0)
    assert (len(made), made.report.recipients, made.report.duplicates, made.report.invalid) == (len(sizes), count, 0, 0)


def test_requests_are_numbered_by_their_place():
    with plan(range(120)) as made:
        assert [request.place for request in made] == [0, 1, 2]


def test_each_request_is_valid_and_carries_the_shared_fields():
    payload = {**PAYLOAD, "send_id": "s", "broadcast": False, "trigger_properties": {"é": None}, "later": {"x": None}}
    entries = [{"external_user_id": 7, "attributes": {"a": None}}, mail("kim@example.com"), alias("n", "l"), "plain"]
    with plan(entries * 1 + list(range(100, 190)), payload) as made:
        bodies = [json.loads(request.body) for request in made]
    for body in bodies:
        assert ENDPOINTS[SEND].request.model_validate(body).model_dump(mode="json", exclude_none=True) == body
        assert {name: value for name, value in body.items() if name != "recipients"} == payload
    assert bodies[0]["recipients"][:4] == [*entries[:3], {"external_user_id": "plain"}]


def test_explicit_nulls_of_a_recipient_are_left_out_and_nulls_inside_are_kept():
    entry = {"external_user_id": "a", "email": None, "trigger_properties": None, "attributes": {"x": None}}
    with plan([entry]) as made:
        assert people(made) == [[{"external_user_id": "a", "attributes": {"x": None}}]]


SAME = {
    "text and number": ("7", 7),
    "plain and object": ("a", {"external_user_id": "a"}),
    "case of an address": (mail("Kim@Example.com"), mail("kim@example.COM")),
    "case of other letters": (mail("ÄRGER@example.com"), mail("ärger@example.com")),
    "spaces around an address": (mail(" kim@example.com"), mail("kim@example.com ")),
    "aliases": (alias("n", "l"), alias("n", "l")),
    "braze ids": ({"braze_id": "b"}, {"braze_id": "b"}),
}
OTHERS = {
    "leading zeros": ("7", "07"),
    "case of an id": ("a", "A"),
    "case of an alias": (alias("n", "l"), alias("N", "l")),
    "labels": (alias("n", "l"), alias("n", "m")),
    "label and name": (alias("n", "l"), alias("l", "n")),
    "an alias with a NUL": (alias("c", "a\0b"), alias("b\0c", "a")),
    "id and address": ("kim@example.com", mail("kim@example.com")),
    "id and braze id": ("b", {"braze_id": "b"}),
    "ids with NULs": ("a\0b", "a\0c"),
    "sharp s": (mail("weiss@example.com"), mail("weiß@example.com")),
    "ligature": (mail("file@example.com"), mail("\ufb01le@example.com")),
}


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
@pytest.mark.parametrize("apart", [0, 49, 120])
def test_the_same_person_is_messaged_once_by_the_first_entry(first, second, apart):
    between = [f"u-{number}" for number in range(apart)]
    with plan([first, *between, second]) as made:
        found = [one for batch in people(made) for one in batch]
    assert len(found) == apart + 1
    assert found[0] == (first if isinstance(first, dict) else {"external_user_id": first})
    assert (made.report.recipients, made.report.duplicates) == (apart + 2, 1)


@pytest.mark.parametrize(("first", "second"), OTHERS.values(), ids=OTHERS)
def test_different_people_are_both_messaged(first, second):
    with plan([first, second]) as made:
        assert made.report.duplicates == 0
        assert [len(batch) for batch in people(made)] == [2]


def test_the_first_entry_counts_with_its_own_values():
    with plan([mail("Kim@x.com", trigger_properties={"n": 1}), mail("kim@x.com", trigger_properties={"n": 2})]) as made:
        assert people(made) == [[mail("Kim@x.com", trigger_properties={"n": 1})]]


def test_an_invalid_entry_does_not_stand_in_the_way_of_a_valid_one_of_the_same_person():
    with plan([{"external_user_id": "a", "send_to_existing_only": False}, "a"], max_invalid=1) as made:
        assert people(made) == [[{"external_user_id": "a"}]]
        assert (made.report.invalid, made.report.duplicates) == (1, 0)


def test_duplicates_are_found_beyond_what_is_held_in_memory():
    count = IN_MEMORY + 2_000
    entries = [*range(count), *(str(number) for number in range(0, count, 97)), *range(count - 60, count + 60)]
    with plan(entries) as made:
        found = Counter(one for batch in ids(made) for one in batch)
    assert len(found) == count + 60
    assert set(found.values()) == {1}
    assert made.report.recipients == len(entries)
    assert made.report.duplicates == len(entries) - count - 60


@QUICK
@given(
    portions=st.lists(st.lists(st.text("ab\0é7", max_size=3), max_size=12), max_size=12),
    in_memory=st.integers(0, 20),
)
def test_a_seen_that_moves_to_disk_answers_like_a_set(portions, in_memory):
    seen, known = Seen(in_memory), set()
    for portion in portions:
        expected = []
        for name in portion:
            expected.append(name not in known)
            known.add(name)
        assert seen.add_all(portion) == expected
    seen.close()


def test_a_seen_takes_more_at_once_than_a_statement_holds():
    seen = Seen(0)
    assert seen.add_all([str(number % 1500) for number in range(3000)]) == [True] * 1500 + [False] * 1500
    seen.close()


@QUICK
@given(
    st.lists(st.tuples(st.text("a\0b", min_size=1, max_size=3), st.text("a\0b", min_size=1, max_size=3)), max_size=8)
)
def test_no_two_aliases_share_an_identity(pairs):
    names = {identity_of(alias(name, label)) for name, label in pairs}
    assert len(names) == len(set(pairs))


def test_an_audience_is_read_in_portions_and_not_held():
    held = []

    class Entry(dict):
        def __del__(self):
            held.append(-1)

    def entries():
        for number in range(20_000):
            held.append(1)
            assert sum(held[-400:]) < 300
            yield Entry(external_user_id=str(number))

    with plan(entries()) as made:
        assert len(made) == 400


def test_nothing_is_read_again_while_sending():
    reads = []
    with plan(reads.append(number) or number for number in range(60)) as made:
        read = len(reads)
        list(made)
    assert len(reads) == read == 60


INVALID = [{"external_user_id": "zebra@example.com", "email": "zebra@example.com", "prioritization": ["identified"]}]


def test_one_invalid_row_stops_everything_and_says_which_and_why():
    with pytest.raises(BrazeAudienceError) as refused:
        plan(["a", *INVALID, "b"])
    text = str(refused.value)
    assert "1 of 3" in text
    assert "row 2" in text
    assert identity_hash("zebra@example.com") in text
    assert "external_user_id and email" in text
    assert "max_invalid" in text
    assert "zebra@" not in text


def test_invalid_rows_are_left_out_up_to_max_invalid():
    entries = ["a", *INVALID, {"email": "x@example.com"}, "b"]
    with plan(entries, max_invalid=2) as made:
        assert ids(made) == [["a", "b"]]
        report = made.report
    assert (report.recipients, report.invalid) == (4, 2)
    assert sum(report.invalid_reasons.values()) == 2
    assert [sample.split(" ")[:2] for sample in report.invalid_samples] == [["row", "2"], ["row", "3"]]
    with pytest.raises(BrazeAudienceError, match="2 of 4"):
        plan(entries, max_invalid=1)


def test_row_numbers_count_from_the_beginning_of_the_audience():
    with plan([*range(1233), None, "z"], max_invalid=1) as made:
        assert made.report.invalid_samples[0].startswith("row 1,234")


@pytest.mark.parametrize(
    "entry", [None, True, 1.5, "", b"a", [], {}, ["a"], object(), {"external_user_id": None}, {1: "a"}, float("nan")]
)
def test_an_entry_of_any_kind_is_counted_and_stops_nothing_else(entry):
    with plan(["a", entry, "b"], max_invalid=1) as made:
        assert ids(made) == [["a", "b"]]
        assert (made.report.recipients, made.report.invalid) == (3, 1)


UNWRITABLE = {
    "an object": object(),
    "bytes": b"\xff",
    "half a surrogate": "\ud800",
    "not a number": float("nan"),
    "infinity": float("inf"),
    "a ring": (ring := {}, ring.update(again=ring))[0],
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("field", ["attributes", "trigger_properties"])
def test_a_value_that_json_cannot_express_makes_the_row_invalid(field, value):
    with plan(["a", {"external_user_id": "b", field: {"score": value}}], max_invalid=1) as made:
        assert ids(made) == [["a"]]
        assert (made.report.recipients, made.report.invalid) == (2, 1)


def test_samples_and_reasons_are_bounded_and_still_count_everything():
    entries = [{"external_user_id": "a", "attributes": number} for number in range(200)]
    entries += [{"external_user_id": "a", "attributes": {f"list{number}": [0] * 501}} for number in range(200)]
    with plan(["a", *entries], max_invalid=400) as made:
        report = made.report
    assert report.invalid == 400
    assert sum(report.invalid_reasons.values()) == 400
    assert len(report.invalid_reasons) <= 51
    assert len(report.invalid_samples) <= 20


@pytest.mark.parametrize("entries", [[], iter(()), (one for one in ())])
def test_an_empty_audience_is_refused_unless_allowed(entries):
    with pytest.raises(BrazeAudienceError, match=r"empty.*allow_empty"):
        plan(entries)
    with plan([], allow_empty=True) as made:
        assert (len(made), list(made)) == (0, [])


def test_an_audience_of_invalid_rows_only_is_told_from_an_empty_one():
    with pytest.raises(BrazeAudienceError, match="None of the 2") as refused:
        plan([{"email": "secret"}, {"name": "zebra"}], max_invalid=2)
    words = ["Why:\n  - 1 x ", "The first ones:\n  - row 1 (recipient", "\n  - row 2 (", "allow_empty"]
    assert [word for word in words if word not in str(refused.value)] == []
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("whole", [True, False])
def test_how_far_the_reading_of_an_audience_is_stands_in_the_log(whole, monkeypatch, caplog):
    monkeypatch.setattr(reading, "PROGRESS_SECONDS", 0.0)

    def slow():
        assert "Reading the audience." in caplog.text
        yield from range(1234)
        assert whole, "the source is gone"

    with caplog.at_level("INFO"), contextlib.suppress(AssertionError):
        plan(slow()).close()
    assert [line for line in caplog.messages if "read until now" in line][-1] == (
        f"{1234 if whole else 1200:,} recipients read until now."
    )


def test_a_short_audience_is_one_line(caplog):
    with caplog.at_level("INFO"), plan(range(1234)):
        assert caplog.messages == ["Reading the audience."]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "campaign_id"),
        ({**PAYLOAD, "broadcast": True}, "broadcast"),
        ({**PAYLOAD, "send_id": "s" * 65}, "send_id"),
        ({**PAYLOAD, "trigger_properties": {"k": "x" * 50_000}}, "trigger_properties"),
        ({**PAYLOAD, "trigger_properties": {"k": float("nan")}}, "trigger_properties"),
    ],
)
@pytest.mark.parametrize("count", [1, 120])
def test_broken_shared_fields_stop_everything(payload, field, count):
    with pytest.raises(BrazeValidationError, match=field):
        plan(range(count), payload)


def test_an_endpoint_without_recipients_takes_no_audience():
    with pytest.raises(BrazeConfigurationError, match="campaigns_list"):
        Plan("campaigns_list", {}, ListAudience(["a"]))


def test_without_an_audience_there_is_one_request_without_recipients():
    with Plan(SEND, {**PAYLOAD, "broadcast": True}, None) as made:
        [request] = made
    assert json.loads(request.body) == {**PAYLOAD, "broadcast": True}
    assert (request.recipients, made.report.recipients) == (0, 0)


def test_a_body_over_4_mb_is_split_and_nobody_is_lost():
    entries = [{"external_user_id": number, "attributes": {"bio": "x" * 300_000}} for number in range(50)]
    with plan(entries) as made:
        requests = list(made)
        found = [one for batch in ids(made) for one in batch]
    assert found == list(range(50))
    assert max(len(request.body) for request in requests) <= 4_000_000
    assert sum(request.recipients for request in requests) == 50
    assert len(requests) <= 8


def test_a_row_that_fits_into_no_request_is_an_invalid_row_like_others():
    big = {"external_user_id": "zebra", "attributes": {"bio": "x" * 4_000_000}}
    with plan(["a", big, "b"], max_invalid=1) as made:
        assert ids(made) == [["a", "b"]]
        assert made.report.invalid == 1
        assert identity_hash("zebra") in made.report.invalid_samples[0]


def unnamed_files():
    """Temporary files of this process that have no name in the file system (any more)."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return sum("(deleted)" in link for link in links)


def test_the_file_is_gone_once_the_plan_is_closed():
    before = unnamed_files()
    with plan(range(100)) as made:
        assert unnamed_files() == before + 1
    assert unnamed_files() == before
    assert len(made) == 2


def test_no_file_is_left_where_planning_fails():
    def broken():
        yield from range(IN_MEMORY + 100)
        raise OSError("the source is gone")

    before = unnamed_files()
    for entries in (iter([]), [None], broken()):
        with pytest.raises((BrazeAudienceError, OSError)) as refused:
            plan(entries)
        assert unnamed_files() == before
        assert refused.tb is not None  # which keeps the half-made plan alive


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        (["a", 7, {"email": "x"}], ["a", 7, {"email": "x"}]),
        (("a", "b"), ["a", "b"]),
        ({"b", 7, "a", 10}, [10, 7, "a", "b"]),
        (frozenset("cab"), ["a", "b", "c"]),
        ('["a", {"external_user_id": 7}]', ["a", {"external_user_id": 7}]),
        ([], []),
        (ListAudience(["a"]), ["a"]),
    ],
)
def test_an_audience_is_made_of_what_a_task_returns(value, entries):
    assert list(as_audience(value).recipients()) == entries


def test_a_set_has_the_same_requests_in_every_process():
    """A retry is another process, which must find the same people at the same place."""
    code = (
        "from airflow_provider_braze.delivery.audience import ListAudience, as_audience\n"
        "from airflow_provider_braze.delivery.plan import Plan\n"
        "people = {f'u-{number}' for number in range(200)}\n"
        f"plans = [Plan({SEND!r}, {PAYLOAD!r}, one) for one in (as_audience(people), ListAudience(people))]\n"
        "print([plan.digest(place) for plan in plans for place in range(4)])"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    "value", [None, 7, True, {"external_user_id": "a"}, "u-1", "[1, 2", "null", '{"a": 1}', '"10042"', b"u-1", "7"]
)
def test_what_can_hold_no_audience_is_refused_in_words(value):
    with pytest.raises(BrazeAudienceError, match="nothing was sent"):
        as_audience(value)
