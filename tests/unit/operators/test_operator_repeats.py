"""A task that is run again: what it knows of the tries before, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_braze import guards
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeDeliveryError, BrazeNobodyMessagedError


class Store(dict):
    """What a task may keep between tries, with the calls of Airflow's task_state_store."""

    set = dict.__setitem__

    def delete(self, key):
        self.pop(key, None)

    def __bool__(self):
        return True


def context(try_number=1, store=None, clear_number=0):
    given = {"ti": SimpleNamespace(try_number=try_number), "dag_run": SimpleNamespace(clear_number=clear_number)}
    return given if store is None else {**given, "task_state_store": store}


def test_the_first_try_needs_no_store(send):
    assert send(context(), recipients=["u-1"])["accepted"] == 1


def test_the_first_try_leaves_a_mark(send):
    store = Store()
    send(context(store=store), recipients=["u-1"])
    assert set(store) == {guards.MARK}


def test_the_mark_is_written_before_the_first_request(task, braze_emulator):
    class Breaks(Store):
        def set(self, key, value):
            raise ConnectionError(f"the API server is away, {key} is not written: {value}")

    with pytest.raises(ConnectionError):
        task(recipients=["u-1"]).execute(context(store=Breaks()))
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("parameters", [{"recipients": []}, {"recipients": None}, {"recipients": [None]}])
def test_what_fails_before_sending_leaves_no_mark(refused, parameters):
    store = Store()
    error = refused(BrazeAudienceError, context=context(store=store), **parameters)
    assert not isinstance(error, AirflowFailException)
    assert store == {}


@pytest.mark.usefixtures("airflow_db")
def test_a_missing_connection_leaves_no_mark(refused, send, people):
    store = Store()
    refused(Exception, "'nowhere'", context=context(store=store), recipients=["u-1"], braze_conn_id="nowhere")
    assert store == {}
    send(context(try_number=2, store=store), recipients=["u-1"])
    assert people() == {"u-1": 1}


def test_a_second_try_without_a_store_refuses(refused, braze_emulator):
    error = refused(
        *(
            BrazeDeliveryError,
            "This is try 2",
            "it is not known",
            "nothing was sent now",
            "A new run of the DAG sends again",
        ),
        context=context(try_number=2),
        recipients=["u-1"],
    )
    assert isinstance(error, AirflowFailException)
    assert braze_emulator.requests() == []


def test_a_second_try_with_a_store_and_no_mark_goes_on(send, people):
    send(context(try_number=2, store=Store()), recipients=["u-1"])
    assert people() == {"u-1": 1}


def test_a_second_try_with_a_mark_refuses(refused, send, people, braze_emulator):
    store = Store()
    send(context(store=store), recipients=["u-1"])
    braze_emulator.reset({})
    error = refused(
        *(
            BrazeDeliveryError,
            "An earlier try of this task began to send at 20",
            "Look into Braze",
            "A new run of the DAG sends again",
        ),
        context=context(try_number=2, store=store),
        recipients=["u-1"],
    )
    assert isinstance(error, AirflowFailException)
    assert people() == {}


@pytest.mark.parametrize("marked", [True, False])
def test_a_cleared_task_refuses(refused, marked):
    store = Store({guards.MARK: "2026-11-22T05:00:00+00:00"} if marked else {})
    error = refused(
        *(BrazeDeliveryError, "nothing was sent now"),
        context=context(try_number=2, store=store, clear_number=1),
        recipients=["u-1"],
    )
    assert isinstance(error, AirflowFailException)


def test_another_task_of_a_cleared_run_sends(send, people):
    """It has no try before this one."""
    send(context(try_number=1, store=Store(), clear_number=3), recipients=["u-1"])
    assert people() == {"u-1": 1}


def test_a_broadcast_is_guarded_too(refused, braze_emulator):
    refused(BrazeDeliveryError, "This is try 3", context=context(try_number=3), broadcast=True)
    assert braze_emulator.requests() == []


def test_what_reached_nobody_takes_the_mark_back(refused, send, people, connection, braze_emulator):
    store = Store()
    connection(password="unknown")
    error = refused(BrazeNobodyMessagedError, "401", context=context(store=store), recipients=["u-1"])
    assert not isinstance(error, AirflowFailException)
    assert store == {}
    connection(password=braze_emulator.api_key)
    send(context(try_number=2, store=store), recipients=["u-1"])
    assert people() == {"u-1": 1}
    assert guards.MARK in store


def test_a_mark_of_an_earlier_try_is_never_taken_back(refused, connection):
    store = Store({guards.MARK: "2026-11-22T05:00:00+00:00"})
    connection(password="unknown")
    refused(BrazeDeliveryError, "began to send", context=context(try_number=2, store=store), recipients=["u-1"])
    assert guards.MARK in store


def test_after_a_failed_delivery_no_retry_follows(send, braze_emulator):
    store = Store()
    braze_emulator.inject("drop_after_acceptance")
    with pytest.raises(AirflowFailException):
        send(context(store=store), recipients=["u-1"])
    assert guards.MARK in store
    with pytest.raises(AirflowFailException, match="began to send"):
        send(context(try_number=2, store=store), recipients=["u-1"])
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}
