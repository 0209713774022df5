"""The REST API key stays where it is: not in texts, logs, reprs, XCom, rendered fields or Airflow's files."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
BODY = {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "u-1"}]}
# Characters that URLs and JSON write otherwise must not let it slip through.
KEYS = ["f3a9c1d7-77aa-4e0b-9c55-1b2e3d4f5a6b", 'k/9+f3a9c1d7==&"<x>']
FAULTS = [
    *(("echo_key_401", {}), ("server_error", {"status": 500}), ("server_error", {"status": 504})),
    *(("drop_after_acceptance", {}), ("garbage_201", {}), ("rate_limited", {}), ("notice_in_201", {})),
]


def spoken(error):
    """Everything that an exception may show: its text, its parts, its chain."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error)) + str(error.args)


@pytest.fixture
def everything(caplog):
    """All log records of the test, with their arguments, as handlers would get them."""
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text + "".join(str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_error_shows_it(braze_emulator, connection, everything, key, fault):
    kind, options = fault
    braze_emulator.reset({"api_keys": [{"name": "secret", "key": key}]})
    connection(password=key)
    braze_emulator.inject(kind, times=2, **options)
    hook = BrazeHook()
    for call in (hook.call, lambda *args: asyncio.run(hook.acall(*args))):
        with pytest.raises(Exception, match="Braze") as caught:
            call("campaigns_trigger_send", BODY)
        said = spoken(caught.value)
        assert kind != "echo_key_401" or "Invalid API key: ***" in said
        assert key not in said
    assert len(braze_emulator.requests()) == 2
    assert key not in everything()


@pytest.mark.parametrize("key", KEYS)
def test_test_connection_does_not_show_it(braze_emulator, connection, everything, key):
    connection(password=key)
    braze_emulator.inject("echo_key_401")
    connected, text = BrazeHook().test_connection()
    assert not connected
    assert "Invalid API key: ***" in text
    assert key not in text + everything()


@pytest.mark.parametrize("password", ["two words of a key", "key\nin two lines", "schlüssel-des-hauses"])
def test_an_unusable_key_is_not_quoted(connection, password):
    connection(host="rest.iad-01.braze.com", password=password)
    _, text = BrazeHook().test_connection()
    assert password not in text
    with pytest.raises(Exception, match="no usable key") as caught:
        BrazeHook().get_conn()
    assert password not in spoken(caught.value)


def test_no_repr_shows_it(connection):
    key = KEYS[0]
    connection(host="rest.iad-01.braze.com", password=key)
    hook = BrazeHook()
    client, lanes = hook.get_conn(), hook.get_async_conn()
    shown = [repr(one) + str(one) for one in (hook, client, lanes)]
    assert key not in "".join(shown)
    assert "rest.iad-01.braze.com" in repr(client)
    assert key.encode() not in pickle.dumps(BrazeSendCampaignOperator(task_id="t", campaign_id=WEEKLY))


def files_with(folder, needle):
    return [str(path) for path in folder.rglob("*") if path.is_file() and needle.encode() in path.read_bytes()]


@pytest.fixture
def task_with_key(braze_emulator, connection, run_dag, capfd):
    """Run a real task with a key; gives its run and all that the process printed meanwhile."""

    def run(key, fault=None):
        braze_emulator.reset({"api_keys": [{"name": "secret", "key": key}]})
        connection(password=key)
        if fault:
            braze_emulator.inject(fault)
        with DAG(f"secrecy_{fault}", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=["u-1", "u-2"])
        return run_dag(dag), "".join(capfd.readouterr())

    return run


@pytest.mark.parametrize(
    "case",
    [("echo_key_401", "failed", "Invalid API key: ***"), (None, "success", "2 accepted")],
)
def test_a_real_task_shows_it_nowhere(task_with_key, airflow_home, everything, case):
    fault, state, logged = case
    key = f"{KEYS[0]}-{fault}"
    run, printed = task_with_key(key, fault)
    assert str(run.state) == state
    assert logged in printed, "the task's log was not captured"
    assert key not in printed + everything()
    [instance] = run.get_task_instances()
    value = instance.xcom_pull(task_ids="send")
    assert (value is None) == (state == "failed")
    assert files_with(airflow_home, WEEKLY), "the rendered fields are in Airflow's database"
    assert files_with(airflow_home, key) == []
