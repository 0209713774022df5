"""FileAudience on real files: what becomes of their rows, and what it says of files that it cannot read."""

import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet
import pytest

from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.files import FileAudience
from airflow_provider_braze.delivery.plan import Plan

SECRET = "kim.secret@example.com"


@pytest.fixture
def file(tmp_path):
    """Write a file: text, bytes, or the columns of a Parquet file; gives its path."""

    def write(name, content, **options):
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pyarrow.parquet.write_table(content, path, **options)
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress(content.encode() if isinstance(content, str) else content))
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path, values_field="trigger_properties", **options):
    return list(FileAudience(path, **options).recipients(values_field))


def table(**columns):
    return pa.table(
        {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in columns.items()}
    )


@pytest.fixture
def refused(file):
    """Read what cannot be read; gives the error, of which it has made sure that it quotes nobody."""

    def read_it(name, content, *words, **options):
        with pytest.raises(BrazeAudienceError, match="nothing was sent") as caught:
            read(name if content is None else file(name, content), **options)
        error = caught.value
        assert [word for word in words if word not in str(error)] == [], str(error)
        for one in (error, error.__cause__, error.__context__):
            assert "secret" not in f"{one} {one!r}"
        return str(error)

    return read_it


def test_the_three_formats_say_the_same(file):
    expected = [
        {
            "external_user_id": "a",
            "attributes": {"city": "Łódź"},
            "trigger_properties": {"offer": "Cake, with\ncream", "a.b": "x"},
            "send_to_existing_only": True,
        },
        {"external_user_id": "b", "send_to_existing_only": True},
    ]
    rows = [
        {
            "EXTERNAL_USER_ID": "a",
            "attributes.city": "Łódź",
            "offer": "Cake, with\ncream",
            "trigger_properties.a.b": "x",
            "send_to_existing_only": True,
        },
        {"EXTERNAL_USER_ID": "b", "send_to_existing_only": True},
    ]
    comma = (
        "EXTERNAL_USER_ID,attributes.city,offer,trigger_properties.a.b,send_to_existing_only\n"
        'a,Łódź,"Cake, with\ncream",x,true\nb,,,,TRUE\n'
    )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    names = list(rows[0])
    columns = table(**{name: [row.get(name) for row in rows] for name in names})
    assert read(file("p.csv", comma)) == expected
    assert read(file("p.jsonl", lines)) == expected
    assert read(file("p.ndjson", lines)) == expected
    assert read(file("p.parquet", columns)) == expected
    assert read(file("p.csv.gz", comma)) == read(file("P.JSONL.GZ", lines)) == expected


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("export", "external_user_id\na\n", {"format": "csv"}, [{"external_user_id": "a"}]),
        ("export.txt", '{"external_user_id": 7}', {"format": "jsonl"}, [{"external_user_id": 7}]),
        ("semicolons.csv", "email;prioritization\na@b.c;identified\n", {"delimiter": ";"}, None),
        ("tabs.csv", "email\tprioritization\na@b.c\tidentified\n", {"delimiter": "\t"}, None),
        ("quoted.csv", '"email", prioritization \r\na@b.c,"identified"\r\n\r\n', {}, None),
        ("mac.csv", "email,prioritization\ra@b.c,identified", {}, None),
        ("renamed.csv", "Mail,prioritization\na@b.c,identified\n", {"columns": {"mail": "email"}}, None),
        ("bom.csv", b"\xef\xbb\xbfemail,prioritization\na@b.c,identified\n", {}, None),
        ("bom.jsonl", b'\xef\xbb\xbf{"email": "a@b.c", "prioritization": "identified"}\n\n', {}, None),
        ("utf16.csv", "email,prioritization\na@b.c,identified\n".encode("utf-16"), {"encoding": "utf-16"}, None),
        ("zipped.csv", gzip.compress(b"email,prioritization\na@b.c,identified\n"), {}, None),
        (
            "members.jsonl.gz",
            gzip.compress(b'{"external_user_id": "a"}\n') + gzip.compress(b'{"external_user_id": "b"}'),
            {},
            [{"external_user_id": "a"}, {"external_user_id": "b"}],
        ),
        (
            "latin.csv",
            "external_user_id,city\na,Kölñ\n".encode("cp1252"),
            {"encoding": "cp1252"},
            [{"external_user_id": "a", "trigger_properties": {"city": "Kölñ"}}],
        ),
        ("header.csv", "external_user_id,city\n", {}, []),
        ("nothing.jsonl", "", {}, []),
        ("blank.jsonl", "\n  \n", {}, []),
        (
            "empty_cells.csv",
            "external_user_id,city,points\na,,\n,Rome,5\n,,\n",
            {},
            [{"external_user_id": "a"}, {"trigger_properties": {"city": "Rome", "points": "5"}}, {}],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value[:16] and "\n" not in value else "",
)
def test_ways_to_write_a_file(tmp_path, name, content, options, expected):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    same = [{"email": "a@b.c", "prioritization": ["identified"]}]
    assert read(path, **options) == (same if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "flag"),
    [("true", True), ("True", True), (" TRUE ", True), ("1", True), ("false", False), ("FALSE", False), ("0", False)],
)
def test_a_flag_that_is_a_text(file, text, flag):
    [found] = read(file("p.csv", f"external_user_id,send_to_existing_only\na,{text}\n"))
    assert found["send_to_existing_only"] is flag


@pytest.mark.parametrize("text", ["yes", "2", "t", "-1", "1.0"])
def test_a_flag_that_is_no_boolean_is_not_guessed_at(file, text):
    path = file("p.csv", f"external_user_id,send_to_existing_only\na,{text}\n")
    with pytest.raises(BrazeAudienceError, match="send_to_existing_only"):
        Plan("campaigns_trigger_send", {"campaign_id": "c"}, FileAudience(path))


def test_objects_may_be_nested_as_recipients_are(file):
    entries = [
        {"external_user_id": "1", "trigger_properties": {"a": 1, "b": [1, None], "c": None}, "attributes": {"x": None}},
        {"user_alias": {"alias_name": "n", "alias_label": "l"}, "attributes": {"city": "Rome"}, "attributes.tier": 2},
        {"email": "a@b.c", "prioritization": ["identified"], "context": {"deep": {"y": {}}}, "offer": True},
        {"external_user_id": None, "braze_id": "b", "user_alias": None, "canvas_entry_properties": {"k": "v"}},
        {"external_user_id": "2", "user_alias": {"alias_label": "l"}, "ATTRIBUTES": {}},
    ]
    assert read(file("p.jsonl", "\n".join(map(json.dumps, entries)))) == [
        {"external_user_id": "1", "trigger_properties": {"a": 1, "b": [1, None]}},
        {"user_alias": {"alias_name": "n", "alias_label": "l"}, "attributes": {"city": "Rome", "tier": 2}},
        {
            "email": "a@b.c",
            "prioritization": ["identified"],
            "context": {"deep": {"y": {}}},
            "trigger_properties": {"offer": True},
        },
        {"braze_id": "b", "canvas_entry_properties": {"k": "v"}},
        {"external_user_id": "2"},
    ]


def test_keys_get_other_names_wherever_they_occur(file):
    lines = '{"other": 1}\n{"Customer": "a", "profile": {"city": "Rome"}}\n{"customer": "b"}\n'
    names = {"customer": "external_user_id", "PROFILE": "attributes"}
    assert read(file("p.jsonl", lines), columns=names) == [
        {"trigger_properties": {"other": 1}},
        {"external_user_id": "a", "attributes": {"city": "Rome"}},
        {"external_user_id": "b"},
    ]


def test_values_go_where_the_endpoint_has_them(file):
    for path in (
        file("p.csv", "external_user_id,offer\na,Cake\n"),
        file("p.jsonl", '{"external_user_id": "a", "offer": "Cake"}'),
        file("p.parquet", table(external_user_id=["a"], offer=["Cake"])),
    ):
        assert read(path, "context") == [{"external_user_id": "a", "context": {"offer": "Cake"}}]
        assert read(path, None) == [{"external_user_id": "a", "trigger_properties": {"offer": "Cake"}}]


def test_numbers_that_json_has_and_python_bounds_are_left_to_the_plan(file):
    entries = [
        '{"external_user_id": "a", "x": 123456789012345678901234567890, "y": 1e999}',
        '{"braze_id": "b", "x": NaN}',
    ]
    huge, nan = read(file("p.jsonl", "\n".join(entries)))
    assert huge["trigger_properties"] == {"x": 123456789012345678901234567890, "y": float("inf")}
    with pytest.raises(BrazeAudienceError, match="2 of 2 recipients cannot be sent"):
        Plan("campaigns_trigger_send", {"campaign_id": "c"}, FileAudience(file("q.jsonl", "\n".join(entries))))
    assert nan["braze_id"] == "b"


MOMENT = datetime(2031, 4, 7, 9, 30, tzinfo=UTC)
WARSAW = timedelta(hours=2)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([Decimal("10.50")], pa.decimal128(10, 2)), 10.5),
        (pa.array([Decimal("7")], pa.decimal256(40, 0)), 7),
        (pa.array([2**63], pa.uint64()), 2**63),
        (pa.array([1.5], pa.float32()), 1.5),
        (pa.array([False]), False),
        (pa.array(["x"], pa.large_string()), "x"),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([date(2031, 4, 7)]), date(2031, 4, 7)),
        (pa.array([time(9, 30)], pa.time64("ns")), time(9, 30)),
        (pa.array([timedelta(seconds=5)], pa.duration("ns")), timedelta(seconds=5)),
        (pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ms")), MOMENT.replace(tzinfo=None)),
        (pa.array([MOMENT], pa.timestamp("us", "UTC")), MOMENT),
        (pa.array([int(MOMENT.timestamp()) * 10**9 + 1], pa.timestamp("ns", "Europe/Warsaw")), MOMENT),
        (pa.array([[1, None, 2]]), [1, None, 2]),
        (pa.array([[MOMENT]], pa.list_(pa.timestamp("ns", "UTC"))), [MOMENT]),
        (pa.array([[MOMENT]], pa.large_list(pa.timestamp("ns", "UTC"))), [MOMENT]),
        (pa.array([{"at": MOMENT, "n": None}], pa.struct({"at": pa.timestamp("ns", "UTC"), "n": pa.int8()})), None),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), {"k": 1}),
        (
            pa.array(
                [[[("k", {"m": [("l", Decimal("1"))]})]]],
                pa.list_(pa.map_(pa.string(), pa.struct({"m": pa.map_(pa.string(), pa.decimal128(4, 0))}))),
            ),
            [{"k": {"m": {"l": 1}}}],
        ),
        (
            pa.array([{"m": [("k", 1)], "x": 2}], pa.struct({"m": pa.map_(pa.string(), pa.int8()), "x": pa.int8()})),
            {"m": {"k": 1}, "x": 2},
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_parquet_types_become_what_a_database_gives(file, array, expected):
    columns = table(external_user_id=["a", "b"], value=pa.concat_arrays([array, pa.nulls(1, array.type)]))
    first, second = read(file("p.parquet", columns))
    value = first["trigger_properties"]["value"]
    assert value == ({"at": MOMENT} if expected is None else expected)
    assert type(value) is type(expected) or expected is None or isinstance(expected, datetime)
    assert second == {"external_user_id": "b"}
    if isinstance(expected, datetime) and expected.tzinfo:
        assert value.utcoffset() in (timedelta(0), WARSAW)


def test_parquet_structs_and_maps_are_taken_for_what_they_are_called(file):
    alias = pa.struct({"alias_name": pa.string(), "alias_label": pa.string()})
    columns = table(
        user_alias=pa.array([{"alias_name": "n", "alias_label": "l"}, None], alias),
        email=[None, "a@b.c"],
        prioritization=[None, ["identified"]],
        attributes=[{"city": "Rome", "tier": None}, {"city": None, "tier": None}],
        Trigger_Properties=pa.array(
            [[("a", Decimal("2")), ("b", None)], None], pa.map_(pa.string(), pa.decimal128(3, 0))
        ),
        context=["a text", None],
        box=[{"w": 1}, None],
    )
    path = file("p.parquet", columns)
    assert read(path) == [
        {
            "user_alias": {"alias_name": "n", "alias_label": "l"},
            "attributes": {"city": "Rome"},
            "trigger_properties": {"a": 2, "context": "a text", "box": {"w": 1}},
        },
        {"email": "a@b.c", "prioritization": ["identified"]},
    ]
    assert read(path, columns={"box": "attributes", "attributes": "old"})[0]["attributes"] == {"w": 1}


def test_parquet_of_no_rows_still_has_its_columns_judged(file, refused):
    assert read(file("p.parquet", table(external_user_id=pa.array([], pa.string())))) == []
    refused("q.parquet", table(name=pa.array([], pa.string())), "(name)", "external_user_id")


WRONG_COLUMNS = {
    "csv": ("p.csv", "name,city\nKim,Rome\n", {}, ["2 columns", "external_user_id"]),
    "csv without a header": ("p.csv", f"{SECRET},secret\nb@c.d,x\n", {}, ["2 columns", "external_user_id"]),
    "csv of other cells": ("p.csv", "external_user_id;secret\na;b\n", {}, ["1 column"]),
    "csv renamed": ("p.csv", f"{SECRET},b\n", {"columns": {"id": "email"}}, ["There is no column id", "2 columns"]),
    "csv, a name twice": ("p.csv", "email,EMAIL\na,b\n", {}, ["email"]),
    "csv, no name": ("p.csv", ",external_user_id\n0,a\n", {}, ["Column 1", "has no name"]),
    "csv, nothing": ("p.csv", "", {}, ["is empty", "header"]),
    "csv, blank": ("p.csv", "\n\n", {}, ["is empty", "header"]),
    "jsonl renamed": ("p.jsonl", '{"email": "a"}', {"columns": {"Id": "email"}}, ["There is no key Id"]),
    "jsonl, a key twice": ("p.jsonl", '{"email": "a"}\n{"email": "a", "EMAIL": "b"}', {}, ["Line 2", "same field"]),
    "jsonl, a property twice": ("p.jsonl", '{"trigger_properties.x": 1, "x": 2}', {}, ["Line 1", "same field"]),
    "jsonl, nested twice": ("p.jsonl", '{"attributes.x": 1, "attributes": {"x": 2}}', {}, ["Line 1", "attributes"]),
    "jsonl, no object": ("p.jsonl", '{"attributes": "secret"}', {}, ["Line 1", "attributes must be an object"]),
    "parquet, nested twice": (
        "p.parquet",
        table(**{"email": ["a"], "attributes": [{"x": 1}], "attributes.x": [2]}),
        {},
        ["attributes", "twice"],
    ),
    "parquet renamed": ("p.parquet", table(email=["a"]), {"columns": {"id": "email"}}, ["no column id", "has email"]),
}


@pytest.mark.parametrize(("name", "content", "options", "words"), WRONG_COLUMNS.values(), ids=WRONG_COLUMNS)
def test_columns_that_cannot_be_meant(refused, name, content, options, words):
    refused(name, content, *words, **options)


WRONG_LINES = {
    "too few cells": ("p.csv", f"external_user_id,x\na,b\n{SECRET}\n", ["Line 3", "1 cells", "2"]),
    "too many cells": ("p.csv", f'external_user_id\n"a\nb"\n\n{SECRET},b\n', ["Line 5", "2 cells"]),
    "no end of a quotation": ("p.csv", f'external_user_id,x\na,b\nc,"{SECRET}\n', ["Line 3", "CSV"]),
    "text after a quotation": ("p.csv", f'external_user_id,x\n"{SECRET}" and,b\n', ["Line 2", "CSV"]),
    "an endless cell": ("p.csv", f'external_user_id\n"{"secret" * 30_000}"\n', ["Line 2", "CSV", "131072"]),
    "no JSON": ("p.jsonl", f'\n{{"email": "{SECRET}"\n', ["Line 2", "no JSON object"]),
    "a JSON array": ("p.jsonl", f'["{SECRET}"]', ["Line 1", "no JSON object"]),
    "a JSON text": ("p.jsonl.gz", f'{{"external_user_id": 1}}\n"{SECRET}"', ["Line 2", "no JSON object"]),
    "too deep": ("p.jsonl", '{"secret": ' * 100_000, ["Line 1", "no JSON object"]),
    "a number too long": ("p.jsonl", f'{{"external_user_id": {"9" * 5000}}}', ["Line 1", "no JSON object"]),
    "not UTF-8": ("p.csv", "external_user_id\nsecret\nsécret\n".encode("cp1252"), ["Line 3 ", "byte 25", "utf-8"]),
    "not UTF-8, late": (
        "p.csv",
        b"external_user_id\n" + b"secret\n" * 5000 + b"x\xff\n",
        ["Line 5,002 ", "byte 35,018", "encoding='cp1252'"],
    ),
    "not UTF-8, JSON": ("p.jsonl.gz", b'{}\n{"a": "secret\xe9"}\n', ["Line 2 ", "byte 16", "utf-8"]),
    "not UTF-8 at the end": ("p.csv", b"external_user_id\nsecret\xc3", ["Line 2 ", "byte 23"]),
}


@pytest.mark.parametrize(("name", "content", "words"), WRONG_LINES.values(), ids=WRONG_LINES)
def test_a_line_that_cannot_be_read_is_named_and_not_quoted(refused, name, content, words):
    refused(name, content, *words)


def parquet_bytes():
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table(external_user_id=[f"secret-{number}" for number in range(50_000)]), buffer)
    return buffer.getvalue()


def broken(data, at, size):
    return data[:at] + b"\xa5" * size + data[at + size :]


COMMA = gzip.compress("".join(["external_user_id\n", *(f"secret-{number}\n" for number in range(9999))]).encode())
DAMAGED = {
    "gzip cut off": ("p.csv.gz", COMMA[:-200], ["cut off or damaged"]),
    "gzip cut off early": ("p.csv.gz", COMMA[:12], ["cut off or damaged"]),
    "gzip, a byte changed": ("p.csv.gz", broken(COMMA, 300, 40), ["damaged"]),
    "gzip, more after it": ("p.csv.gz", COMMA + b"secret", ["cut off or damaged"]),
    "parquet cut off": ("p.parquet", parquet_bytes()[:-100], ["no Parquet file, or cut off"]),
    "parquet, pages changed": ("p.parquet", broken(parquet_bytes(), 100, 5000), ["p.parquet"]),
    "an empty parquet": ("p.parquet", b"", ["no Parquet file"]),
    "no parquet": ("p.parquet", b"external_user_id\nsecret\n", ["no Parquet file"]),
    "a CSV that is binary": ("p.csv", parquet_bytes(), ["p.csv"]),
}


@pytest.mark.parametrize(("name", "content", "words"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file(refused, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, None, *words)


def test_a_moment_that_python_cannot_express(refused):
    refused("p.parquet", table(email=["a"], at=pa.array([2**60], pa.timestamp("us"))), "at", "timestamp[us]")


@pytest.mark.parametrize("name", ["p.xlsx", "p.json", "p", "p.csv.zip", "p.parquet.bz2", "csv"])
def test_a_format_that_is_not_clear(refused, name):
    refused(name, "x", ".csv", ".jsonl", ".parquet", "format=")


def test_a_format_that_does_not_exist(refused):
    refused("p.csv", "email\n", "format=", format="xml")


def test_options_that_cannot_be_meant(refused):
    refused("p.csv", "email\n", "delimiter", delimiter=";;")
    refused("p.csv", "email\n", "no encoding 'utf-9'", encoding="utf-9")


def test_nulls_inside_of_structs_are_left_out(file):
    """Posted, they would remove what the profile has."""
    pets = [{"name": "Rex", "age": None}, {"name": None, "age": None}]
    columns = table(external_user_id=["a", "b"], attributes=[{"pet": pet, "city": None} for pet in pets])
    plain = [{"external_user_id": "a", "attributes": {"pet": {"name": "Rex"}}}, {"external_user_id": "b"}]
    assert read(file("p.parquet", columns)) == plain
    assert read(file("p.jsonl", "\n".join(map(json.dumps, columns.to_pylist())))) == plain


def test_a_file_that_is_not_there(refused, tmp_path):
    refused(tmp_path / "nowhere.csv", None, "nowhere.csv", "does not exist")
    refused(f"file://{tmp_path}/nowhere.parquet", None, "nowhere.parquet", "does not exist")
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", None, "is a folder", "part files")
    refused("nostorage://bucket/people.csv", None, "nostorage://bucket/people.csv", "provider")


@pytest.mark.parametrize("password", ["s3cr3t", "s3cr3t@more", "s3cr3t/more", "s3cr3t%2Fmore"])
def test_a_password_in_a_url_is_shown_nowhere(password):
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    url = f"s3://user:{password}@files.example/people.csv"

    class Quoting(MemoryFileSystem):
        def open(self, *_, **__):
            raise PermissionError(f"{url}: {unquote(password)} is not the password")

    attach("s3", f"user:{password}", fs=Quoting())
    audience = FileAudience(url)
    with pytest.raises(BrazeAudienceError, match="nothing was sent") as caught:
        list(audience.recipients())
    with pytest.raises(BrazeAudienceError, match="The format of s3") as unclear:
        list(FileAudience(url.removesuffix(".csv")).recipients())
    assert str(caught.value).startswith("s3://***@files.example/people.csv cannot be opened")
    assert "PermissionError: s3://***" in str(caught.value) or "/" in password
    shown = f"{caught.value} {unclear.value} {audience} {audience.partitions(2)}"
    assert [word for word in ("s3cr3t", "more") if word in shown] == []
    assert "path='s3://***@files.example/people.csv'" in repr(audience)


def test_a_connection_in_a_url_is_shown(refused):
    refused("nostorage://aws_default@bucket/people.csv", None, "nostorage://aws_default@bucket/people.csv")
    assert "aws_default@bucket" in repr(FileAudience("s3://aws_default@bucket/people.csv"))


def test_ways_to_say_where(file, monkeypatch, tmp_path):
    from airflow.sdk import ObjectStoragePath

    path = file("with a space.csv", "external_user_id\na\n")
    monkeypatch.chdir(tmp_path)
    for way in (path, str(path), Path(path.name), path.name, f"file://{path}", ObjectStoragePath(f"file://{path}")):
        assert read(way) == [{"external_user_id": "a"}]
        assert "with a space.csv" in repr(FileAudience(way))


@pytest.fixture
def bucket():
    """A storage in memory as s3 behind the connection ``store_default``; gives what writes files into it."""
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    storage = MemoryFileSystem()
    attach("s3", "store_default", fs=storage)
    yield lambda name, content: storage.pipe(f"/bucket/{name}", content)
    storage.rm("/bucket", recursive=True)


def test_an_object_storage(bucket):
    import copy

    from airflow.sdk import ObjectStoragePath

    bucket("p.csv.gz", gzip.compress(b"external_user_id\na\n"))
    bucket("p.parquet", parquet_bytes())
    url = "s3://store_default@bucket/"
    assert read(url + "p.csv.gz") == [{"external_user_id": "a"}]
    assert read("s3://bucket/p.csv.gz", conn_id="store_default") == [{"external_user_id": "a"}]
    assert len(read(ObjectStoragePath(url + "p.parquet"))) == 50_000
    copied = copy.deepcopy(FileAudience(ObjectStoragePath("s3://bucket/p.csv.gz", conn_id="store_default")))
    assert len(list(copied.recipients())) == 1
    assert "store_default" in repr(copied)


def test_without_pyarrow(file, tmp_path):
    (tmp_path / "pyarrow").mkdir()
    (tmp_path / "pyarrow" / "__init__.py").write_text("raise ModuleNotFoundError('No module named pyarrow')")
    code = (
        "import sys; from airflow_provider_braze.delivery.files import FileAudience\n"
        "list(FileAudience(sys.argv[1]).recipients())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, file("p.parquet", table(email=["a"]))],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "BrazeAudienceError" in run.stderr
    assert "pip install airflow-provider-braze-messaging[parquet]" in run.stderr


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl", "p.csv.gz", "p.parquet"])
def test_rows_come_as_they_are_asked_for_and_a_reader_may_leave(file, name):
    ids = [f"customer-{number}" for number in range(100_000)]
    content = {
        "csv": "external_user_id\n" + "\n".join(ids),
        "jsonl": "\n".join(f'{{"external_user_id": "{one}"}}' for one in ids),
        "parquet": table(external_user_id=ids),
    }[name.removesuffix(".gz").rpartition(".")[2]]
    path = file(name, content)
    recipients = FileAudience(path).recipients()
    first = next(recipients)
    tracemalloc.start()
    try:
        assert sum(1 for _ in recipients) == 99_999
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert first == {"external_user_id": "customer-0"}
    assert peak < 4_000_000
    left = FileAudience(path).recipients()
    next(left)
    left.close()


def test_everybody_in_a_file_is_messaged_once(file, braze_emulator):
    from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

    path = file("p.csv", "customer,name\n" + "".join(f"c-{number % 90},Kim\n" for number in range(120)))
    report = BrazeSendCampaignOperator(
        task_id="send",
        campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
        recipients=FileAudience(path, columns={"customer": "external_user_id"}),
    ).execute({})
    assert (report["recipients"], report["duplicates"], report["accepted"]) == (120, 30, 90)
    assert set(braze_emulator.deliveries().values()) == {1}


def test_the_path_is_a_template(file, tmp_path):
    from airflow.sdk import DAG, timezone

    from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

    file("2026-11-22.csv", "external_user_id\na\n")
    with DAG("file", schedule=None, start_date=timezone.datetime(2026, 1, 1)):
        operator = BrazeSendCampaignOperator(
            task_id="t", campaign_id="c", recipients=FileAudience(tmp_path / "{{ ds }}.csv")
        )
    operator.render_template_fields({"ds": "2026-11-22"})
    assert list(operator.recipients.recipients()) == [{"external_user_id": "a"}]


def test_the_connection_is_a_template():
    from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

    audience = FileAudience("s3://bucket/people.csv", conn_id="lake_{{ params.region }}")
    operator = BrazeSendCampaignOperator(task_id="t", campaign_id="c", recipients=audience)
    operator.render_template_fields({"params": {"region": "north"}})
    assert "conn_id='lake_north'" in repr(operator.recipients)


def test_a_file_that_is_divided_otherwise_says_so(refused):
    text = "external_user_id;offer\nsecret-1;a cake\n"
    assert refused("people.csv", text).endswith("Is delimiter=',' right?")
    wanted = {"columns": {"id": "external_user_id"}}
    assert refused("people.csv", text, "There is no column id", "has 1 column;", **wanted).endswith(
        "Is delimiter=',' right?"
    )
    assert "delimiter" not in refused("people.csv", "name,offer\nsecret-1,a cake\n")


def test_a_line_of_another_length_says_that_it_is_not_left_out(refused):
    refused("people.csv", "external_user_id,offer\nsecret-1,a,cake\n", "Line 2 ", "max_invalid leaves no such line out")


def test_a_column_of_a_file_is_left_out(file):
    path = file("people.csv", "customer_id,email,offer\n 7 ,kim@example.com,a cake\n")
    columns = {"customer_id": "external_user_id", "email": None}
    assert read(path, columns=columns) == [{"external_user_id": "7", "trigger_properties": {"offer": "a cake"}}]
