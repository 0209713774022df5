"""A task that is run again: with a ledger it goes on where it was, without one it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk import DAG

from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.delivery.errors import (
    BrazeAudienceError,
    BrazeDeliveryError,
    BrazeLedgerError,
    BrazeNobodyMessagedError,
    BrazeResumableError,
)
from airflow_provider_braze.delivery.task_state import HEAD, TaskStateLedger
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.send import (
    BrazeSendCampaignOperator,
    BrazeSendMessagesOperator,
    BrazeSendTransactionalEmailOperator,
)

WEEKLY = GOLD = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
LATER = "2099-04-07T09:00:00Z"
MANY = [f"p{number}" for number in range(150)]


@pytest.fixture
def _airflow_3_4(monkeypatch):
    """Clearing a task discards its state there."""
    monkeypatch.setattr("airflow.__version__", "3.4.0")


@pytest.fixture
def _one_lane(connection, braze_emulator):
    connection(extra={"lanes": 1})


class Store:
    """What a task may keep between tries, with the calls of Airflow's task_state_store."""

    def __init__(self, kept=None):
        self.kept = kept or {}

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value, *, retention=None):
        assert retention == timedelta.max, "a ledger must not expire"
        self.kept[key] = json.dumps(value)


class Away(Store):
    def set(self, key, value, *, retention=None):
        raise ConnectionError("the API server is away")


def context(try_number=1, store=None, clear_number=0, *, max_tries=1, due=None, xcoms=None):
    """What Airflow tells a try of one task; a clear raises ``clear_number`` and changes ``max_tries``."""

    def push(key, value):
        if xcoms is not None:
            xcoms[key] = value

    task = SimpleNamespace(
        try_number=try_number,
        max_tries=max_tries,
        dag_id="d",
        run_id="r",
        task_id="t",
        map_index=-1,
        xcom_push=push,
    )
    run = SimpleNamespace(
        clear_number=clear_number, run_id="r", run_type="scheduled", run_after=due or datetime.now(UTC)
    )
    given = {"ti": task, "dag_run": run}
    return given if store is None else {**given, "task_state_store": store}


# Without a ledger.


def test_the_first_try_needs_no_ledger(send):
    assert send(context(), recipients=["u-1"])["accepted"] == 1


@pytest.mark.parametrize("parameters", [{"recipients": ["u-1"]}, {"broadcast": True}])
def test_a_later_try_without_a_ledger_refuses(refused, braze_emulator, parameters):
    error = refused(
        *(BrazeDeliveryError, "This is try 3", "it is not known", "nothing was sent now", "SqlLedger(conn_id)"),
        "A new run of the DAG sends again",
        context=context(try_number=3),
        **parameters,
    )
    assert isinstance(error, AirflowFailException)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("on_unknown", ["skip", "resend", "reconcile"])
def test_no_policy_sends_on_a_later_try_without_a_ledger(refused, on_unknown):
    refused(BrazeDeliveryError, "This is try 2", context=context(2), recipients=["u-1"], on_unknown=on_unknown)


def test_the_authors_word_for_airflows_state_where_there_is_none(refused):
    refused(
        *(BrazeConfigurationError, "TaskStateLedger needs Airflow 3.3", "nothing was sent"),
        context=context(),
        recipients=["u-1"],
        ledger=TaskStateLedger(),
    )


# With Airflow's task state.


def test_the_first_try_leaves_its_outcome(send):
    store = Store()
    send(context(store=store), recipients=["u-1"])
    assert set(store.kept) == {HEAD, f"{HEAD}/0/0"}
    assert store.get(f"{HEAD}/0/0")["s"] == "a"


def test_a_retry_of_what_is_done_sends_nothing(send, people, braze_emulator, caplog):
    store = Store()
    first = send(context(store=store), recipients=MANY)
    made = len(braze_emulator.requests())
    with caplog.at_level("INFO"):
        again = retry(store)
    assert len(braze_emulator.requests()) == made
    assert (again["accepted"], again["accepted_before"], again["requests"]) == (150, 150, 0)
    # The first ones come as they were answered.
    assert sorted(again["dispatch_ids"]) == sorted(first["dispatch_ids"])
    assert "150 recipients in 3 requests are done, 0 in doubt" in caplog.text
    assert set(people().values()) == {1}


def sender(**parameters):
    return BrazeSendCampaignOperator(**{"task_id": "send", "campaign_id": WEEKLY, **parameters})


def retry(store, *, try_number=2, recipients=MANY, task_id="send", **more):
    given = {name: more.pop(name) for name in ("clear_number", "max_tries") if name in more}
    operator = sender(task_id=task_id, recipients=recipients, **more)
    return operator.execute(context(try_number, store, **given))


@pytest.mark.usefixtures("_one_lane")
def test_a_retry_sends_what_is_left(send, people, braze_emulator):
    store = Store()
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError) as caught:
        send(context(store=store), recipients=MANY)
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException), "the ledger knows who got it: Airflow may try again"
    report = retry(store)
    assert (report["accepted"], report["accepted_before"], report["requests"]) == (150, 50, 2)
    assert people() == dict.fromkeys(MANY, 1)


@pytest.mark.usefixtures("_one_lane")
def test_a_doubt_is_final_until_the_author_decides(send, people, braze_emulator):
    store = Store()
    braze_emulator.inject("drop_before_acceptance", skip=1)
    with pytest.raises(AirflowFailException, match="50 recipients are in doubt"):
        send(context(store=store), recipients=MANY)
    with pytest.raises(AirflowFailException, match="50 recipients are in doubt"):
        retry(store)
    report = retry(store, on_unknown="reconcile", settling_time=timedelta(0))
    assert report["accepted"] == 150
    assert people() == dict.fromkeys(MANY, 1)


@pytest.mark.parametrize("parameters", [{"recipients": []}, {"recipients": None}, {"recipients": [None]}])
def test_what_fails_before_sending_leaves_nothing(refused, parameters):
    store = Store()
    error = refused(BrazeAudienceError, context=context(store=store), **parameters)
    assert not isinstance(error, AirflowFailException)
    assert set(store.kept) == {HEAD}


@pytest.mark.usefixtures("airflow_db")
def test_a_missing_connection_leaves_nothing(refused, send, people):
    store = Store()
    refused(Exception, "'nowhere'", context=context(store=store), recipients=["u-1"], braze_conn_id="nowhere")
    assert set(store.kept) == {HEAD}
    send(context(try_number=2, store=store), recipients=["u-1"])
    assert people() == {"u-1": 1}


def test_a_ledger_that_cannot_be_written_stops_before_the_first_request(task, braze_emulator):
    with pytest.raises(BrazeLedgerError, match="the API server is away") as caught:
        task(recipients=["u-1"]).execute(context(store=Away()))
    assert not isinstance(caught.value, AirflowFailException)
    assert braze_emulator.requests() == []


def test_a_ledger_that_cannot_be_read_stops_before_the_first_request(task, braze_emulator):
    class Unreadable(Store):
        def get(self, key, default=None):
            raise ConnectionError("the API server is away")

    with pytest.raises(BrazeLedgerError, match="cannot be read, nothing was sent") as caught:
        task(recipients=["u-1"]).execute(context(store=Unreadable()))
    assert isinstance(caught.value, AirflowException)
    assert braze_emulator.requests() == []


def test_what_reached_nobody_may_be_tried_again(refused, people, connection, braze_emulator):
    store = Store()
    connection(password="unknown")
    error = refused(BrazeNobodyMessagedError, "401", context=context(store=store), recipients=MANY)
    assert not isinstance(error, AirflowFailException)
    connection(password=braze_emulator.api_key)
    assert retry(store)["accepted"] == 150
    assert set(people().values()) == {1}


@pytest.mark.usefixtures("_one_lane")
def test_another_audience_on_a_retry_stops(send, people, braze_emulator):
    store = Store()
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError):
        send(context(store=store), recipients=MANY)
    with pytest.raises(BrazeAudienceError, match="audience is another one") as caught:
        retry(store, recipients=MANY[::-1])
    assert isinstance(caught.value, AirflowException)
    assert people() == dict.fromkeys(MANY[:50], 1)


def test_a_broadcast_is_remembered(task, braze_emulator):
    store = Store()
    for try_number in (1, 2):
        task(broadcast=True).execute(context(try_number, store))
    assert set(braze_emulator.deliveries().values()) == {1}


def cities(name):
    attribute = {"custom_attribute_name": "city", "comparison": "equals", "value": name}
    return {"broadcast": True, "audience": {"custom_attribute": attribute}}


@pytest.mark.parametrize("kind", ["task state", "sql"])
def test_a_broadcast_to_others_stops(task, braze_emulator, ledger, kind):
    """As a list of others does: a clear must not seem to have sent to them."""
    store, given = (Store(), {}) if kind == "task state" else (None, {"ledger": ledger})
    for try_number in (1, 2):
        task(**cities("Ghent"), **given).execute(context(try_number, store))
    for others in (cities("Bruges"), {"broadcast": True}):
        with pytest.raises(BrazeAudienceError, match="An earlier try of this task sent campaigns_trigger_send"):
            task(**others, **given).execute(context(2, store, 1, max_tries=2))
    assert len(braze_emulator.requests()) == 1


def test_messages_to_another_segment_stop(braze_emulator):
    store, push = Store(), {"android_push": {"alert": "Sale", "title": "Today"}}
    given = {"task_id": "send", "messages": push, "broadcast": True}
    BrazeSendMessagesOperator(**given, segment_id=GOLD).execute(context(store=store))
    with pytest.raises(BrazeAudienceError, match="nothing was sent"):
        BrazeSendMessagesOperator(**given, segment_id="another").execute(context(2, store, 1, max_tries=2))
    assert len(braze_emulator.requests()) == 1


@pytest.mark.parametrize("kind", ["task state", "sql"])
def test_a_pause_that_lasted_too_long_ends_the_delivery_and_says_how_far_it_was(
    connection, people, braze_emulator, ledger, kind
):
    """Such as where the triggerer was down: people would get what was meant for another day."""
    connection(extra={"lanes": 1})
    store, given = (Store(), {}) if kind == "task state" else (None, {"ledger": ledger})
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=2, times=1)
    more = {"recipients": MANY, "max_quota_wait": timedelta(seconds=1), **given}
    with pytest.raises(TaskDeferred):
        sender(**more).execute(context(store=store))
    planned = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    said = "nobody else is messaged.*100 recipients in 2 requests, 0 are in doubt"
    with pytest.raises(AirflowFailException, match=said) as caught:
        sender(**more).resume(context(store=store), planned=planned)
    assert isinstance(caught.value, BrazeDeliveryError)
    assert set(people().values()) == {1}
    assert len(people()) == 100
    assert sender(**more, max_staleness=None).resume(context(store=store), planned=planned)["accepted"] == 150
    assert people() == dict.fromkeys(MANY, 1)


# Clears.


def test_a_cleared_task_resumes_and_says_how_to_send_again(send, people, caplog):
    store = Store()
    send(context(store=store), recipients=MANY)
    with caplog.at_level("INFO"):
        report = retry(store, clear_number=1, max_tries=2)
    assert (report["accepted"], report["requests"]) == (150, 0)
    assert "It was cleared: only what is left is sent" in caplog.text
    assert "on_clear='resend'" in caplog.text
    assert set(people().values()) == {1}


def test_a_cleared_task_may_send_again_and_its_retry_does_not(send, people, caplog):
    store, again = Store(), {"on_clear": "resend", "clear_number": 1, "max_tries": 2}
    send(context(store=store), recipients=MANY)
    assert retry(store, **again)["requests"] == 3
    assert "everybody is sent to again" in caplog.text
    assert set(people().values()) == {2}
    assert retry(store, try_number=3, **again)["requests"] == 0
    assert set(people().values()) == {2}


def test_another_task_of_a_cleared_run_sends(send, people):
    """It has no try before this one."""
    send(context(try_number=1, store=Store(), clear_number=3), recipients=["u-1"])
    assert people() == {"u-1": 1}


@pytest.mark.usefixtures("_airflow_3_4")
def test_where_a_clear_discards_the_state_an_empty_ledger_proves_nothing(refused, braze_emulator):
    error = refused(
        *(
            BrazeDeliveryError,
            "Airflow remembers nothing of the earlier tries",
            "Nothing was sent now",
            "keep task state",
        ),
        context=context(try_number=2, store=Store(), clear_number=1),
        recipients=["u-1"],
    )
    assert isinstance(error, AirflowFailException)
    assert braze_emulator.requests() == []


@pytest.mark.usefixtures("_airflow_3_4")
def test_where_a_clear_discards_the_state_the_author_may_want_to_send_again(people):
    retry(Store(), recipients=["u-1"], clear_number=1, on_clear="resend")
    assert people() == {"u-1": 1}


@pytest.mark.usefixtures("_airflow_3_4")
def test_a_clear_that_kept_the_state_resumes(send, people):
    store = Store()
    send(context(store=store), recipients=MANY)
    assert retry(store, clear_number=1, max_tries=2)["requests"] == 0
    assert set(people().values()) == {1}


@pytest.mark.usefixtures("_airflow_3_4")
@pytest.mark.parametrize("given", [{"try_number": 1, "clear_number": 1}, {"try_number": 2, "clear_number": 0}])
def test_a_first_try_and_a_plain_retry_send_there_too(people, given):
    retry(Store(), recipients=["u-1"], **given)
    assert people() == {"u-1": 1}


def test_a_task_that_sent_nothing_may_be_cleared_and_sends(refused, people):
    """Its mark is still there, so that nothing was forgotten."""
    store = Store()
    refused(BrazeAudienceError, context=context(store=store), recipients=[])
    retry(store, recipients=["u-1"], clear_number=1, max_tries=2)
    assert people() == {"u-1": 1}


# A ledger that the author names.


@pytest.mark.usefixtures("_one_lane")
def test_the_authors_ledger_needs_no_task_state(people, braze_emulator, ledger):
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError) as caught:
        retry(None, try_number=1, ledger=ledger)
    assert not isinstance(caught.value, AirflowFailException)
    report = retry(None, ledger=ledger, recipients=MANY[::-1])
    assert (report["accepted"], report["accepted_before"]) == (150, 50)
    assert people() == dict.fromkeys(MANY, 1)


def test_the_authors_ledger_comes_before_the_task_state(people, ledger):
    store = Store()
    retry(store, ledger=ledger)
    assert store.kept == {}
    assert retry(Store(), ledger=ledger)["requests"] == 0


def test_a_delivery_key_is_sent_once_by_all_tasks(people, ledger):
    retry(None, try_number=1, ledger=ledger, delivery_key="week 47")
    report = retry(None, try_number=1, ledger=ledger, delivery_key="week 47", recipients=[*MANY[::-1], "new"])
    assert (report["accepted"], report["accepted_before"], report["requests"]) == (151, 150, 1)
    assert people() == dict.fromkeys([*MANY, "new"], 1)


def test_a_blank_delivery_key_is_refused_when_the_dag_is_parsed(task, ledger):
    for key in ("", "  "):
        with pytest.raises(ValueError, match="delivery_key is blank"):
            task(recipients=["u-1"], ledger=ledger, delivery_key=key)


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize("key", ["{{ params.week }}", "{{ ti.xcom_pull('which') }}", " {{ params.blank }} "])
def test_a_delivery_key_whose_template_gives_nothing_is_refused(task, ledger, braze_emulator, key, native):
    """It would be one key for everything: the next run would message nobody, and succeed."""
    given = context()
    given["ti"].xcom_pull = lambda _task_id: None
    with DAG("d", schedule=None, render_template_as_native_obj=native):
        sends = task(recipients=["u-1"], ledger=ledger, delivery_key=key)
    sends.render_template_fields({**given, "params": {"week": "", "blank": " "}})
    with pytest.raises(AirflowException, match="delivery_key: was given, and holds nothing"):
        sends.execute(given)
    assert braze_emulator.requests() == []


def test_what_others_left_in_doubt_under_a_key_adds_up(people, ledger, braze_emulator):
    """The invariant of the report holds for a small audience in a large delivery too."""
    braze_emulator.inject("drop_before_acceptance", skip=1)
    with pytest.raises(AirflowFailException):
        retry(None, try_number=1, ledger=ledger, delivery_key="week 47")
    try:
        report = retry(None, try_number=1, ledger=ledger, delivery_key="week 47", recipients=["p0", "p1"])
    except BrazeDeliveryError as error:
        report = error.report
    counts = ("duplicates", "invalid", "skipped", "accepted", "failed", "unknown")
    assert report["recipients"] == sum(report[name] for name in counts)


def test_a_clear_is_not_forgotten_where_the_first_try_after_it_ends_early(people, ledger):
    again = {"ledger": ledger, "on_clear": "resend", "clear_number": 1, "max_tries": 2}
    retry(None, try_number=1, ledger=ledger, recipients=["u-1"])
    with pytest.raises(BrazeAudienceError):
        retry(None, try_number=2, recipients=None, **again)
    assert retry(None, try_number=3, recipients=["u-1"], **again)["requests"] == 1
    assert people() == {"u-1": 2}


def test_whom_braze_refused_by_name_is_not_taken_for_accepted_in_another_order(people, ledger, braze_emulator):
    braze_emulator.inject("errors_in_201", indexes=[3], style="objects")
    for try_number, order in ((1, MANY), (2, [*MANY[25:], *MANY[:25]])):
        with pytest.raises(BrazeDeliveryError) as caught:
            retry(None, try_number=try_number, ledger=ledger, recipients=order)
        assert (caught.value.report["accepted"], caught.value.report["failed"]) == (149, 1)
    assert max(people().values()) == 1


# Schedules.


def schedule(xcoms=None, try_number=1, store=None, airflow=None, **parameters):
    given = {"campaign_id": WEEKLY, "schedule": LATER, "recipients": MANY, **parameters}
    known = context(try_number, store, xcoms=xcoms, **(airflow or {}))
    return BrazeScheduleCampaignOperator(task_id="t", **given).execute(known)


@pytest.mark.usefixtures("_one_lane")
def test_schedules_of_all_tries_are_in_the_report(braze_emulator):
    store, xcoms = Store(), {}
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError):
        schedule(xcoms, store=store)
    assert len(xcoms["schedule_ids"]) == 1
    report = schedule(try_number=2, store=store)
    made = [one["schedule_id"] for one in braze_emulator.schedules()]
    assert len(made) == 3
    assert sorted(report["schedule_ids"]) == sorted(made)


@pytest.mark.usefixtures("_one_lane")
@pytest.mark.parametrize("fault", ["the audience fails", "the store fails"])
def test_schedules_of_an_earlier_try_are_not_lost_where_a_later_one_is_stopped_early(braze_emulator, fault):
    """Airflow deletes a task's XComs at each try: a teardown that deletes the schedules needs them again."""
    store, xcoms = Store(), {}
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError):
        schedule({}, store=store)
    [made] = [one["schedule_id"] for one in braze_emulator.schedules()]
    if fault == "the store fails":
        store.set = Away().set
    people = [None] if fault == "the audience fails" else MANY
    with pytest.raises(AirflowException):
        schedule(xcoms, 2, store, recipients=people)
    assert xcoms.get("schedule_ids") == [made]


@pytest.mark.parametrize("kind", ["task state", "sql"])
def test_schedules_are_looked_after_where_the_first_try_after_a_clear_ends_early(braze_emulator, ledger, kind):
    """Somebody deleted them and cleared the task, so that they are made anew."""
    store, given = (Store(), {}) if kind == "task state" else (None, {"ledger": ledger})
    schedule(store=store, recipients=["u-1"], **given)
    [made] = braze_emulator.schedules()
    BrazeHook().call("campaigns_trigger_schedule_delete", {"campaign_id": WEEKLY, "schedule_id": made["schedule_id"]})
    xcoms = {}
    with pytest.raises(BrazeAudienceError):
        schedule(xcoms, 2, store, {"max_tries": 2}, recipients=None, **given)
    assert xcoms["schedule_ids"] == [made["schedule_id"]]
    report = schedule(None, 3, store, {"max_tries": 2}, recipients=["u-1"], **given)
    [_, anew] = braze_emulator.schedules()
    assert report["schedule_ids"] == [anew["schedule_id"]]


def test_a_schedule_for_a_paused_campaign_is_not_made_twice(braze_emulator):
    """Braze makes it and says in a notice that the campaign is paused now; it goes out if that changes in time."""
    store = Store()
    with pytest.raises(AirflowFailException, match="paused"):
        schedule(None, 1, store, campaign_id=PAUSED, recipients=["u-1"])
    report = schedule(None, 2, store, campaign_id=PAUSED, recipients=["u-1"])
    assert report["schedule_ids"] == [one["schedule_id"] for one in braze_emulator.schedules()]
    assert len(report["schedule_ids"]) == 1


def test_a_schedule_for_a_paused_campaign_leaves_its_id(braze_emulator):
    store, xcoms = Store(), {}
    with pytest.raises(AirflowException, match="paused"):
        schedule(xcoms, 1, store, campaign_id=PAUSED, recipients=["u-1"])
    assert xcoms["schedule_ids"] == [one["schedule_id"] for one in braze_emulator.schedules()]


# The transactional e-mail, which Braze knows for 24 hours.


def mail(given=None, **parameters):
    known = {"campaign_id": RECEIPT, "recipient": {"external_user_id": "u-1"}, **parameters}
    return BrazeSendTransactionalEmailOperator(task_id="t", **known).execute(given or context())


@pytest.mark.parametrize("store", [None, Store], ids=["no ledger", "ledger"])
@pytest.mark.parametrize("fault", ["drop_after_acceptance", "drop_before_acceptance", "garbage_201"])
def test_an_e_mail_in_doubt_is_sent_again_safely(braze_emulator, fault, store):
    braze_emulator.inject(fault)
    assert mail(context(store=store and store()))["metadata"]["external_send_id"]
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize("kind", ["task state", "sql"])
def test_an_e_mail_to_somebody_else_stops_and_tells_of_neither(braze_emulator, ledger, kind):
    store, given = (Store(), {}) if kind == "task state" else (None, {"ledger": ledger})
    mail(context(1, store), recipient={"external_user_id": "alice", "attributes": {"orders": 1}}, **given)
    again = mail(context(2, store), recipient={"external_user_id": "alice"}, **given)
    assert again["status"] == "already sent"
    with pytest.raises(BrazeAudienceError, match="An earlier try of this task sent transactional_send") as caught:
        mail(context(2, store, 1, max_tries=2), recipient={"external_user_id": "bobby"}, **given)
    assert "alice" not in str(caught.value)
    assert "bobby" not in str(caught.value)
    assert braze_emulator.deliveries() == {"external_user_id:alice": 1}


@pytest.mark.parametrize("kind", ["task state", "sql"])
def test_an_e_mail_may_be_sent_again_on_purpose_and_a_retry_of_that_does_not(braze_emulator, ledger, monkeypatch, kind):
    """Within a day too, though Braze drops what has the same external_send_id."""
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    store, given = (Store(), {}) if kind == "task state" else (None, {"ledger": ledger})
    first = mail(context(1, store), **given)
    braze_emulator.inject("drop_after_acceptance", times=2)
    with pytest.raises(AirflowException):
        mail(context(2, store, 1, max_tries=2), on_clear="resend", **given)
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 2}
    again = mail(context(3, store, 1, max_tries=2), on_clear="resend", **given)
    assert again["metadata"]["external_send_id"] != first["metadata"]["external_send_id"]
    assert mail(context(4, store, 2, max_tries=3), **given)["status"] == "already sent"
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 2}


def test_e_mails_under_one_key_go_to_each_person_once(braze_emulator, ledger):
    for who in ("alice", "bob", "alice"):
        mail(recipient={"external_user_id": who}, ledger=ledger, delivery_key="welcome")
    assert braze_emulator.deliveries() == {"external_user_id:alice": 1, "external_user_id:bob": 1}


def test_an_e_mail_that_another_run_left_in_doubt_under_a_key_is_the_authors_choice(braze_emulator, ledger):
    """Its external_send_id was another one, so that Braze would send it twice."""
    braze_emulator.inject("drop_after_acceptance")
    for run in ("r1", "r2"):
        given = context()
        given["ti"].run_id = run
        with pytest.raises(AirflowFailException, match="in doubt"):
            mail(given, ledger=ledger, delivery_key="welcome")
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize("store", [None, Store()], ids=["no ledger", "ledger"])
def test_an_e_mail_is_sent_once_by_all_tries(braze_emulator, store):
    given = mail(context(1, store))
    for try_number in (2, 3):
        again = mail(context(try_number, store))
        assert again["metadata"]["external_send_id"] == given["metadata"]["external_send_id"]
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.mark.parametrize("store", [None, Store], ids=["no ledger", "ledger"])
def test_an_e_mail_is_the_same_whatever_is_told_of_its_recipient(braze_emulator, monkeypatch, store):
    """Attributes are read anew on each try; who is meant, and in which spelling, is the same person."""
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    kept = store and store()
    braze_emulator.inject("drop_after_acceptance", times=2)
    with pytest.raises(AirflowException):
        mail(context(1, kept), recipient={"external_user_id": 7, "attributes": {"orders": 1}})
    mail(context(2, kept), recipient={"external_user_id": "7", "attributes": {"orders": 2}})
    assert braze_emulator.deliveries() == {"external_user_id:7": 1}


def test_an_e_mail_whose_every_answer_was_lost_may_be_tried_again(braze_emulator, monkeypatch):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    braze_emulator.inject("drop_after_acceptance", times=2)
    with pytest.raises(AirflowException) as caught:
        mail(context(1))
    assert not isinstance(caught.value, AirflowFailException)
    mail(context(2))
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


def test_after_a_day_a_retry_without_a_ledger_refuses(braze_emulator):
    late = {"due": datetime.now(UTC) - timedelta(hours=25)}
    with pytest.raises(AirflowFailException, match="This is try 2"):
        mail(context(2, **late), max_staleness=None)
    mail(context(1, **late), max_staleness=None)
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@pytest.fixture
def old_doubt(braze_emulator):
    """A store in which a worker left the e-mail in doubt, more than a day ago; Braze has forgotten its id."""
    store = Store()
    mail(context(1, store))
    head, value = store.get(HEAD), store.get(f"{HEAD}/0/0")
    began = datetime.now(UTC) - timedelta(hours=25)
    store.set(HEAD, {**head, "began": began.isoformat(timespec="seconds")}, retention=timedelta.max)
    store.set(f"{HEAD}/0/0", {**value, "s": "?", "t": {"0": began.timestamp()}}, retention=timedelta.max)
    braze_emulator.clock.advance(90_000)
    return store


@pytest.mark.parametrize(
    ("on_unknown", "messages"), [("fail", 1), ("skip", 1), ("resend", 2)], ids=["fail", "skip", "resend"]
)
def test_after_a_day_a_doubt_is_the_authors_choice(braze_emulator, old_doubt, on_unknown, messages):
    parameters = {"on_unknown": on_unknown, "max_staleness": None}
    if on_unknown == "fail":
        with pytest.raises(AirflowFailException, match="in doubt"):
            mail(context(2, old_doubt), **parameters)
    else:
        mail(context(2, old_doubt), **parameters)
    assert braze_emulator.deliveries() == {"external_user_id:u-1": messages}


def test_an_e_mail_that_is_left_in_doubt_is_not_called_sent(old_doubt):
    result = mail(context(2, old_doubt), on_unknown="skip", max_staleness=None)
    assert result.get("status") != "already sent", "nobody knows whether it was"


def test_within_a_day_a_doubt_of_a_dead_worker_is_resolved_by_braze(braze_emulator):
    store = Store()
    mail(context(1, store))
    value = store.get(f"{HEAD}/0/0")
    since = datetime.now(UTC).timestamp()
    store.set(f"{HEAD}/0/0", {**value, "s": "?", "t": {"0": since}}, retention=timedelta.max)
    assert mail(context(2, store))["status"] == "sent"
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}
