"""What tests of the operators share: a campaign task on the emulator, and the proof that it sent nothing."""

from __future__ import annotations

import json

import airflow.sdk
import pytest
from airflow.providers.common.compat.sdk import AirflowException
from task_states import NEVER_EXPIRE

from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"


@pytest.fixture(autouse=True)
def _never_expire(monkeypatch):
    """Airflow 3.3's word for a store's entry that stays; older ones have no store, and no word."""
    monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", NEVER_EXPIRE, raising=False)


@pytest.fixture
def ledger(monkeypatch, tmp_path):
    """A SqlLedger on a SQLite file."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    return SqlLedger("ledger")


@pytest.fixture
def campaign():
    return WEEKLY


@pytest.fixture
def task():
    """Make an operator that would send the weekly offer."""

    def make(**parameters):
        return BrazeSendCampaignOperator(**{"task_id": "send", "campaign_id": WEEKLY, **parameters})

    return make


@pytest.fixture
def send(braze_emulator, task):
    """Run the operator with a plain context; gives the report, of which it has made sure that it fits into XCom."""

    def run(context=None, **parameters):
        report = task(**parameters).execute(context or {})
        assert type(report) is dict
        assert json.loads(json.dumps(report)) == report
        return report

    assert braze_emulator.deliveries() == {}
    return run


@pytest.fixture
def refused(braze_emulator, send):
    """Run the operator, which must refuse: nobody is messaged, and the error is Airflow's and has these words."""

    def run(kind, *words, context=None, **parameters):
        with pytest.raises(kind) as caught:
            send(context, **parameters)
        assert isinstance(caught.value, AirflowException)
        text = str(caught.value)
        assert [word for word in words if word not in text] == [], text
        assert braze_emulator.deliveries() == {}
        return caught.value

    return run


@pytest.fixture
def people(braze_emulator):
    """Who got how many messages, by external user id."""
    return lambda: {name.partition(":")[2]: count for name, count in sorted(braze_emulator.deliveries().items())}
