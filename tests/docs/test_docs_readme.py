"""Every Python block of the README runs, against the emulator."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.sdk import DAG
from pyarrow import parquet

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def customers(warehouse, monkeypatch, tmp_path):
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER_DB", json.dumps(ledger))
    monkeypatch.chdir(tmp_path)
    Path("exports").mkdir()
    parquet.write_table(pa.table({"id": [10009, 10010]}), "exports/people.parquet")
    warehouse(
        "CREATE TABLE customers (customer_id INTEGER, first_name TEXT, points INTEGER, last_order TEXT)",
        ("INSERT INTO customers VALUES (?, ?, ?, ?)", [10009, "Liam", 42, "2026-10-07"]),
        ("INSERT INTO customers VALUES (?, ?, ?, ?)", [10010, "Maeve", 91, "2026-10-20"]),
        ("INSERT INTO customers VALUES (?, ?, ?, ?)", [None, "Nobody", 0, None]),
    )


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_a_block_of_the_readme_runs(block, run_dag, braze_emulator):
    names = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    ran = False
    for value in list(names.values()):
        if isinstance(value, DAG):
            assert str(run_dag(value).state) == "success"
            assert set(braze_emulator.deliveries().values()) <= {1}
            ran = True
        elif getattr(value, "__name__", "").startswith("test_"):
            value(braze_emulator)
            ran = True
    assert ran or braze_emulator.requests()


def test_the_readme_has_blocks():
    assert len(BLOCKS) >= 4
