"""SqlAudience on a SQLite file, through a real Airflow connection."""

import json
import sqlite3
import tracemalloc
from urllib.parse import quote

import pytest

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.plan import Plan

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i AS external_user_id"


@pytest.fixture
def crm(tmp_path, monkeypatch):
    """A table of customers behind the connection ``crm``."""
    path = tmp_path / "crm.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (id INTEGER, name TEXT, city TEXT, score REAL, note TEXT)")
        database.executemany(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?)",
            [(1, "Kim", "Berlin", 1.5, None), (2, "Noa", "100% Paris", 2, "x"), (3, "Sam", "Rome", None, "y")],
        )
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def ask(sql, conn_id="crm", **options):
    return list(SqlAudience(conn_id, sql, **options).recipients())


@pytest.mark.usefixtures("crm")
def test_columns_become_fields():
    found = ask(
        'SELECT id AS external_user_id, name AS "attributes.first_name", note, score FROM customers ORDER BY id'
    )
    assert found == [
        {"external_user_id": 1, "attributes": {"first_name": "Kim"}, "trigger_properties": {"score": 1.5}},
        {"external_user_id": 2, "attributes": {"first_name": "Noa"}, "trigger_properties": {"note": "x", "score": 2.0}},
        {"external_user_id": 3, "attributes": {"first_name": "Sam"}, "trigger_properties": {"note": "y"}},
    ]


@pytest.mark.usefixtures("crm")
def test_columns_are_renamed():
    found = ask("SELECT ID, name FROM customers WHERE id = 1", columns={"id": "external_user_id"})
    assert found == [{"external_user_id": 1, "trigger_properties": {"name": "Kim"}}]


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize(
    ("where", "parameters"),
    [
        ("id = :id", {"id": 2}),
        ("id = ?", [2]),
        ("id = ?", (2,)),
        ("id = ? AND name = ?", [2, "Noa"]),
        ("city LIKE '%\\%%' ESCAPE '\\'", None),
        ("city LIKE '100%'", None),
        ("city LIKE '100%'", {}),
        ("city LIKE '100%' AND id = :id", {"id": 2}),
        ("name LIKE '%oa' AND city != '%s %(x)s'", []),
        ("name = 'Noa' -- :not a parameter: {{ }} %", None),
    ],
)
def test_parameters_and_percent_signs_reach_the_database_as_they_are(where, parameters):
    found = ask(f"SELECT id AS external_user_id FROM customers WHERE {where}", parameters=parameters)
    assert found == [{"external_user_id": 2}]


@pytest.mark.usefixtures("crm")
def test_a_query_without_rows_is_an_empty_audience():
    assert ask("SELECT id AS external_user_id FROM customers WHERE 1 = 0") == []


@pytest.mark.usefixtures("crm")
def test_a_query_without_rows_still_has_its_columns_judged():
    with pytest.raises(BrazeAudienceError, match="names a recipient"):
        ask("SELECT name FROM customers WHERE 1 = 0")


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id AS external_user_id FROM nowhere WHERE id = ?",
        "SELEC id WHERE x = ?",
        "SELECT id AS external_user_id, json(note) AS x FROM customers WHERE note = 'x' AND ? != ''",
        "SELECT ? + ? AS external_user_id",
    ],
)
def test_a_query_that_fails_quotes_no_parameter(sql, braze_emulator):
    with pytest.raises(Exception, match=r"\(sqlite3\.|Incorrect number") as failed:
        Plan("campaigns_trigger_send", {"campaign_id": "c"}, SqlAudience("crm", sql, parameters=["zebra-secret"]))
    for error in (failed.value, failed.value.__cause__, failed.value.__context__):
        assert "zebra-secret" not in str(error)
        assert "zebra-secret" not in repr(error)
    assert braze_emulator.requests() == []


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize("sql", ["DELETE FROM customers", "CREATE TABLE t (i)"])
def test_a_statement_that_gives_no_rows_is_refused_in_words(sql):
    with pytest.raises(BrazeAudienceError, match="nothing was sent"):
        ask(sql)


@pytest.mark.usefixtures("crm")
def test_a_connection_that_is_missing_is_named():
    with pytest.raises(Exception, match="nowhere"):
        ask("SELECT 1 AS external_user_id", "nowhere")


@pytest.mark.parametrize("kind", ["braze", "smtp"])
def test_a_connection_to_no_database_is_refused(kind, monkeypatch, braze_emulator):
    monkeypatch.setenv(
        "AIRFLOW_CONN_OTHER", json.dumps({"conn_type": kind, "host": braze_emulator.url, "password": "k"})
    )
    with pytest.raises(BrazeAudienceError, match="'other' is no SQL connection"):
        ask("SELECT 1", "other")


@pytest.mark.parametrize("dialect", [True, False], ids=["SQLAlchemy", "plain driver"])
def test_a_database_that_is_down_is_named(dialect, monkeypatch, free_port):
    pytest.importorskip("airflow.providers.postgres")
    if not dialect:
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.PostgresHook.get_sqlalchemy_engine", _no_dialect)
    fields = {"conn_type": "postgres", "host": "127.0.0.1", "port": free_port, "login": "u", "password": "secret1"}
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps(fields | {"schema": "x"}))
    with pytest.raises(
        BrazeAudienceError, match=r"connection 'crm' cannot be reached \(OperationalError: .*nothing was"
    ):
        ask("SELECT 1 AS external_user_id")


def test_a_password_that_a_driver_quotes_is_masked(crm, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("u:secret1@host: no")

    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(crm), "password": "secret1"}))
    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_sqlalchemy_engine", _no_dialect)
    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_conn", refuse)
    with pytest.raises(BrazeAudienceError, match=r"'crm' cannot be reached") as caught:
        ask("SELECT 1 AS external_user_id")
    assert "secret1" not in f"{caught.value} {caught.value.__cause__} {caught.value!r}"


@pytest.mark.parametrize("kind", ["snowflake", "no_such_kind"])
def test_a_provider_that_is_missing_is_named(kind, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": kind, "host": "127.0.0.1"}))
    with pytest.raises(BrazeAudienceError, match=f"'other' is of type '{kind}', .*nothing was sent. Is the provider"):
        ask("SELECT 1", "other")


@pytest.mark.usefixtures("crm")
def test_rows_are_fetched_as_they_are_asked_for():
    bad = COUNT.format(10_000) + ", CASE WHEN i > 5000 THEN json('{bad') END AS x FROM n"
    recipients = SqlAudience("crm", bad, fetch_size=100).recipients()
    assert [next(recipients)["external_user_id"] for _ in range(1000)] == list(range(1, 1001))
    with pytest.raises(BrazeAudienceError, match=r"could not be read \(OperationalError\), nothing was sent"):
        list(recipients)


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize("row", [1, 2, 5000])
@pytest.mark.parametrize("dialect", [True, False], ids=["SQLAlchemy", "plain driver"])
def test_a_row_that_cannot_be_read_is_not_quoted(row, dialect, monkeypatch):
    """SQLite's driver quotes a text that is no UTF-8."""
    if not dialect:
        monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_sqlalchemy_engine", _no_dialect)
    broken = f", CAST(CASE WHEN i = {row} THEN x'ff' END || 'alice.secret@example' AS TEXT) AS x FROM n"
    with pytest.raises(BrazeAudienceError, match=r"'crm' could not be read \(OperationalError\)") as caught:
        ask(COUNT.format(5000) + broken, fetch_size=100)
    for error in (caught.value, caught.value.__cause__, caught.value.__context__):
        assert "secret" not in f"{error} {error!r}"


def _no_dialect(*_, **__):
    raise NotImplementedError


@pytest.mark.usefixtures("crm")
def test_what_a_query_changes_is_not_kept():
    """As the docs say: otherwise people would be off the list before anybody was messaged."""
    taken = "UPDATE customers SET note = 'taken' WHERE id = 1 RETURNING id AS external_user_id"
    assert ask(taken) == ask(taken) == [{"external_user_id": 1}]
    assert ask("SELECT id AS external_user_id FROM customers WHERE note = 'taken'") == []


def test_an_audience_that_is_left_early_lets_the_database_go(crm):
    recipients = SqlAudience("crm", COUNT.format(10_000) + " FROM n", fetch_size=10).recipients()
    next(recipients)
    recipients.close()
    with sqlite3.connect(crm, timeout=0.1) as database:
        database.execute("DROP TABLE customers")


@pytest.mark.usefixtures("crm")
def test_a_large_audience_takes_little_memory():
    recipients = SqlAudience("crm", COUNT.format(40_000) + " FROM n").recipients()
    next(recipients)
    tracemalloc.start()
    try:
        assert sum(1 for _ in recipients) == 39_999
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_uri_connection_works_like_a_json_one(crm, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CRM", f"sqlite:///{quote(str(crm), safe='/')}")
    monkeypatch.setenv("AIRFLOW_CONN_CRM", f"sqlite://{quote(str(crm), safe='')}")
    assert len(ask("SELECT id AS external_user_id FROM customers")) == 3


@pytest.mark.usefixtures("crm")
def test_the_first_row_of_a_person_counts():
    sql = "SELECT 1 AS external_user_id, name FROM customers ORDER BY name DESC"
    with Plan("campaigns_trigger_send", {"campaign_id": "c"}, SqlAudience("crm", sql)) as plan:
        [request] = plan
    assert json.loads(request.body)["recipients"] == [{"external_user_id": 1, "trigger_properties": {"name": "Sam"}}]
    assert plan.report.duplicates == 2
