"""Every Python block of the README and of the documentation runs, against the emulator."""

import csv
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.sdk import DAG
from pyarrow import parquet

REPO = Path(__file__).parents[2]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
PEOPLE = {"id": [10009, 10010]}


def blocks():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(page, line, found[1], id=f"{page.stem}:{line}")


BLOCKS = list(blocks())


class Later(datetime):
    """The clock of a wait that is over."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + timedelta(hours=2)


@pytest.fixture(autouse=True)
def surroundings(warehouse, braze_emulator, monkeypatch, tmp_path, early_in_the_hour):
    """What the pages take for given: a warehouse, files, a database for the ledger, and what one has before."""
    key = {"Authorization": f"Bearer {braze_emulator.api_key}"}
    before = {"conn_type": "http", "host": braze_emulator.url, "extra": key}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_HTTP", json.dumps(before))
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER_DB", json.dumps(ledger))
    # Nobody waits here for what goes out in an hour.
    monkeypatch.setattr("airflow_provider_braze.triggers.schedules.datetime", Later)
    monkeypatch.chdir(tmp_path)
    Path("exports").mkdir()
    parquet.write_table(pa.table(PEOPLE), "exports/people.parquet")
    with Path("exports/people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([PEOPLE, *zip(*PEOPLE.values(), strict=True)])
    warehouse(
        "CREATE TABLE customers (customer_id INTEGER, first_name TEXT, city TEXT, points INTEGER, last_order TEXT)",
        ("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [10009, "Liam", "Dublin", 42, "2026-10-07"]),
        ("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [10010, "Maeve", "Cork", 91, "2026-10-20"]),
        ("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", [None, "Nobody", None, 0, None]),
    )


@pytest.mark.parametrize(("page", "line", "block"), BLOCKS)
def test_a_block_runs(page, line, block, run_dag, braze_emulator):
    names = {"__name__": page.stem}
    # Empty lines before it, so that an error names the line of the page.
    exec(compile("\n" * line + block, page.name, "exec"), names)
    ran = False
    for value in list(names.values()):
        if isinstance(value, DAG):
            for task in value.tasks:
                task.retry_delay = timedelta(0)  # else a try that failed is minutes without a word
            assert str(run_dag(value).state) == "success"
            if "minutes_ahead" in value.params:
                braze_emulator.clock.advance(7200)
                assert braze_emulator.deliveries()
            assert set(braze_emulator.deliveries().values()) <= {1}
            ran = True
        elif getattr(value, "__name__", "").startswith("test_"):
            value(braze_emulator)
            ran = True
    assert ran or braze_emulator.requests()


def test_no_block_is_overlooked():
    fences = sum(len(re.findall(r"^\s*```python", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert len(BLOCKS) == fences >= 10
