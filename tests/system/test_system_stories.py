"""The example DAGs as stories: each runs against the emulator with a key that may do what its docstring says, no more.

What counts is what Braze's side has seen: who got what, when, and exactly once.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timedelta
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import timezone

DAY = 24 * 3600
LAUNCH = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
EVENING = "9c3b7d20-6e51-4f8a-b1c2-3d4e5f607182"
PEOPLE = {"ana": "Europe/Lisbon", "haruto": "Asia/Tokyo", "kai": "Pacific/Honolulu", "uma": None}


@pytest.fixture
def story(repo, airflow_db, braze_emulator, monkeypatch):
    """Load an example DAG, with a key that carries the permissions its docstring names."""
    assert airflow_db.exists()

    def load(name, **seed):
        try:
            from airflow.dag_processing.dagbag import DagBag
        except ImportError:
            from airflow.models.dagbag import DagBag
        bag = DagBag(repo / "dags_examples" / f"{name}.py")
        assert bag.import_errors == {}
        dag = bag.dags[f"braze_{name}"]
        permissions = re.findall(r"``([a-z_]+(?:\.[a-z_]+)+)``", dag.doc_md.partition("key needs")[2])
        assert permissions, "the docstring must say what the key needs"
        key = {"name": name, "key": f"key-for-{name}", "permissions": permissions}
        braze_emulator.reset({"api_keys": [key], **seed})
        monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", braze_emulator.connection_json())
        return dag

    return load


def ended(run):
    """How the run ended, and each of its tasks; a mapped one has a list."""
    states = {}
    for one in run.get_task_instances():
        states.setdefault(one.task_id, []).append(str(one.state))
    return str(run.state), {name: found[0] if len(found) == 1 else sorted(found) for name, found in states.items()}


def paths(emulator):
    return Counter(request["path"] for request in emulator.requests())


def persons(*names):
    return {f"external_user_id:{name}": 1 for name in names}


# A Canvas entry with everybody's own context.

MEMBERS = "CREATE TABLE members (customer_id TEXT, first_name TEXT, region TEXT, cups INTEGER)"


def test_every_member_enters_the_canvas_once_with_their_own_context(story, run_dag, braze_emulator, warehouse):
    dag = story("canvas_with_context_per_user")
    message = {"subject": "{{context.${season}}}", "body": "{{context.${first_name}}}: {{context.${cups_left}}} to go"}
    braze_emulator.add_canvas(LAUNCH, name="Ten cups", message=message)
    warehouse(
        MEMBERS,
        "INSERT INTO members VALUES ('m-1', 'Kim', 'north', 3), ('m-2', 'Bo', 'north', 10), ('m-3', 'Ada', 'east', 19)",
        "INSERT INTO members VALUES ('m-4', 'Żofia', 'south', 0)",
    )
    state, tasks = ended(run_dag(dag))
    assert (state, tasks["enter_canvas"]) == ("success", ["success"] * 3)
    assert braze_emulator.deliveries() == persons("m-1", "m-2", "m-3", "m-4")
    assert paths(braze_emulator) == {"/canvas/trigger/send": 3}
    read = {one["recipient"].rpartition(":")[2]: (one["subject"], one["body"]) for one in braze_emulator.messages()}
    assert read == {
        "m-1": ("autumn", "Kim: 7 to go"),
        "m-2": ("autumn", "Bo: 10 to go"),
        "m-3": ("autumn", "Ada: 1 to go"),
        "m-4": ("autumn", "Żofia: 10 to go"),
    }


def test_a_region_that_fails_stops_nobody_else(story, run_dag, braze_emulator, warehouse):
    dag = story("canvas_with_context_per_user")
    warehouse(
        MEMBERS,
        "INSERT INTO members VALUES ('m-1', 'Kim', 'north', 3), (NULL, 'Bo', 'east', 10), ('m-3', 'Ada', 'south', 19)",
    )
    state, tasks = ended(run_dag(dag))
    assert (state, tasks["enter_canvas"]) == ("failed", ["failed", "success", "success"])
    assert braze_emulator.deliveries() == persons("m-1", "m-3")


# A schedule for tomorrow, moved or called off.


@pytest.fixture
def launch(story, run_dag, braze_emulator, warehouse):
    """Run the launch as if it were tomorrow noon, so that its own tomorrow has begun nowhere yet; gives its day."""

    def run(prices, arrives_at, people=PEOPLE):
        users = [{"external_id": name, "email": f"{name}@example.com", "time_zone": people[name]} for name in people]
        dag = story("schedule_for_tomorrow_local_time", users=users, everyone_is_known=False)
        warehouse(
            "CREATE TABLE customers (customer_id TEXT, first_name TEXT, subscribed INTEGER)",
            *(("INSERT INTO customers VALUES (?, ?, 1)", [name, name.title()]) for name in people),
            "INSERT INTO customers VALUES ('gone', 'Gone', 0)",
            "CREATE TABLE launch_prices (shop TEXT, price REAL)",
            *(("INSERT INTO launch_prices VALUES (?, ?)", [f"shop {price}", price]) for price in prices),
            "CREATE TABLE deliveries (arrives_at TEXT)",
            ("INSERT INTO deliveries VALUES (?)", [arrives_at]),
        )
        # Minutes and seconds stay: run ids are made of them.
        noon = (timezone.utcnow() + timedelta(days=1)).replace(hour=12)
        state, tasks = ended(run_dag(dag, run_after=noon))
        return (noon + timedelta(days=1)).date().isoformat(), state, tasks

    return run


def local_times(emulator):
    """When each person got the message, on their own clock."""
    found = [(one["recipient"].rpartition(":")[2], datetime.fromisoformat(one["at"])) for one in emulator.messages()]
    zones = {name: ZoneInfo(zone or "UTC") for name, zone in PEOPLE.items()}
    return sorted((name, at.astimezone(zones[name]).strftime("%Y-%m-%d %H:%M")) for name, at in found)


def test_the_launch_reaches_everybody_at_nine_on_their_own_clock(launch, braze_emulator):
    day, state, tasks = launch([3.2, 3.5], "08:15")
    assert state == "success"
    assert (tasks["launch.check_prices"], tasks["launch.call_off"], tasks["move_to_noon"]) == (
        *["success"] * 2,
        "skipped",
    )
    [scheduled] = braze_emulator.schedules()
    assert (scheduled["state"], scheduled["updates"], scheduled["campaign_id"]) == ("waiting", 0, LAUNCH)
    assert scheduled["body"]["trigger_properties"] == {"launch_day": day}
    assert braze_emulator.deliveries() == {}

    braze_emulator.clock.advance(4 * DAY)
    assert local_times(braze_emulator) == [(name, f"{day} 09:00") for name in sorted(PEOPLE)]
    [scheduled] = braze_emulator.schedules()
    assert (scheduled["state"], scheduled["reached"]) == ("fired", len(PEOPLE))
    braze_emulator.clock.advance(4 * DAY)
    assert braze_emulator.deliveries() == persons(*PEOPLE)


def test_the_launch_moves_to_noon_when_the_beans_are_late(launch, braze_emulator):
    day, state, tasks = launch([3.2], "10:40")
    assert state == "success"
    assert (tasks["launch.call_off"], tasks["move_to_noon"]) == ("success", "success")
    [scheduled] = braze_emulator.schedules()
    assert (scheduled["state"], scheduled["updates"], scheduled["in_local_time"]) == ("waiting", 1, True)
    braze_emulator.clock.advance(4 * DAY)
    assert local_times(braze_emulator) == [(name, f"{day} 12:00") for name in sorted(PEOPLE)]


def test_the_launch_is_called_off_when_a_price_is_missing(launch, braze_emulator):
    people = {f"p-{number}": None for number in range(120)}
    _, state, tasks = launch([3.2, None], "10:40", people)
    assert state == "failed", "whoever is on call must hear of it"
    assert tasks == {
        "launch.begin": "success",
        "launch.schedule": "success",
        "launch.check_prices": "failed",
        "launch.approved": "upstream_failed",
        "launch.call_off": "success",
        "beans_arrive_late": "upstream_failed",
        "move_to_noon": "upstream_failed",
    }
    assert [one["state"] for one in braze_emulator.schedules()] == ["deleted"] * 3
    braze_emulator.clock.advance(4 * DAY)
    assert braze_emulator.deliveries() == {}


# A broadcast behind an approval.


@pytest.fixture
def _inline_questions(monkeypatch):
    """Let dag.test() of Airflow 3.1 and 3.2 pass on the trigger's question for an answer, as their triggerer does."""
    from airflow.models.hitl import HITLDetail
    from airflow.sdk.execution_time.comms import GetHITLDetailResponse
    from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor

    if hasattr(HITLDetail, "as_resume_event_payload"):
        return
    handle = InProcessTestSupervisor._handle_request

    def handle_or_ask(self, message, *args):
        if isinstance(message, GetHITLDetailResponse):
            self.comms.messages.append(self.client.hitl.get_detail_response(ti_id=message.ti_id))
        else:
            handle(self, message, *args)

    monkeypatch.setattr(InProcessTestSupervisor, "_handle_request", handle_or_ask)


@contextmanager
def answered(dag, task_id, option):
    """A person who answers the question of a run through Airflow's own API, as soon as it waits for it."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.definitions import dag as testing
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    ours = select(TaskInstance.run_id, TaskInstance.state).join(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
    ours = ours.where(TaskInstance.dag_id == dag.dag_id, TaskInstance.task_id == task_id)
    waiting = ours.where(HITLDetail.responded_at.is_(None))
    parks = hasattr(HITLDetail, "as_resume_event_payload")  # Airflow 3.3: no trigger polls, the answer wakes the task.
    outcome, parked, run_task = [], threading.Event(), testing._run_task

    def run_and_park(**known):
        try:
            return run_task(**known)
        finally:
            # dag.test() itself writes the state once more after the task has parked; it is done with that now.
            parked.set()

    def question():
        with create_session(scoped=False) as session:
            return next(iter(session.execute(waiting).all()), None)

    def watch():
        deadline = time.monotonic() + 300
        while not over.wait(0.02):
            found = question()
            if found and (not parks or (parked.is_set() and str(found.state) == "awaiting_input")):
                payload = UpdateHITLDetailPayload(chosen_options=[option], params_input={})
                user = SimpleAuthManagerUser(username="ana", role="admin")
                with create_session(scoped=False) as session:
                    outcome.append(update_hitl_detail(dag.dag_id, found.run_id, task_id, payload, user, session))
                return
            if time.monotonic() > deadline:  # Or dag.test() would wait for ever.
                with create_session(scoped=False) as session:
                    session.execute(update(TaskInstance).where(TaskInstance.task_id == task_id).values(state="failed"))
                return

    over = threading.Event()
    person = threading.Thread(target=watch, daemon=True)
    person.start()
    try:
        with patch.object(testing, "_run_task", run_and_park):
            yield outcome
    finally:
        over.set()
        person.join(60)


@pytest.mark.usefixtures("_inline_questions")
def test_an_approved_broadcast_goes_out_under_its_send_id(story, run_dag, braze_emulator):
    dag = story("broadcast_with_approval")
    with answered(dag, "approve", "Approve") as outcome:
        run = run_dag(dag, run_conf={"doors_open": "20:30"})
    assert [one.chosen_options for one in outcome] == [["Approve"]]
    assert ended(run) == ("success", dict.fromkeys(["approve", "make_send_id", "invite"], "success"))
    [send_id] = braze_emulator.send_ids()
    gold = braze_emulator.deliveries()
    assert gold == {**persons("u-1", "u-3"), "user_alias:crm_id:crm-1001": 1}
    assert (send_id["campaign_id"], send_id["sent"]) == (EVENING, len(gold))
    assert send_id["send_id"] == f"gold-evening-{run.run_after:%Y%m%dT%H%M%S}"
    assert {(one["send_id"], one["body"]) for one in braze_emulator.messages()} == {
        (send_id["send_id"], "Doors open at 20:30.")
    }
    assert paths(braze_emulator) == {"/sends/id/create": 1, "/campaigns/trigger/send": 1}


@pytest.mark.usefixtures("_inline_questions")
def test_a_rejected_broadcast_leaves_no_trace(story, run_dag, braze_emulator):
    dag = story("broadcast_with_approval")
    with answered(dag, "approve", "Reject") as outcome:
        run = run_dag(dag)
    assert [one.chosen_options for one in outcome] == [["Reject"]]
    assert ended(run) == ("success", {"approve": "success", "make_send_id": "skipped", "invite": "skipped"})
    assert braze_emulator.requests() == []
    assert (braze_emulator.deliveries(), braze_emulator.send_ids()) == ({}, [])


# A live activity through a match.


def test_the_match_is_shown_from_start_to_end(story, run_dag, braze_emulator, warehouse):
    dag = story("live_activity_match", live_activities=[])
    fans = [f"fan-{number}" for number in range(70)]
    warehouse(
        "CREATE TABLE match_followers (customer_id TEXT, match_id TEXT)",
        *(("INSERT INTO match_followers VALUES (?, 'm-7')", [fan]) for fan in [*fans, fans[0]]),
        "INSERT INTO match_followers VALUES ('elsewhere', 'm-8')",
        "CREATE TABLE scoreboard (match_id TEXT, phase TEXT, home INTEGER, away INTEGER)",
        "INSERT INTO scoreboard VALUES ('m-7', 'half-time', 1, 0), ('m-7', 'second half', 1, 1), ('m-7', 'end', 2, 1)",
    )
    run = run_dag(dag, run_conf={"match_id": "m-7", "home": "Oslo", "away": "Rome"})
    assert str(run.state) == "success"

    [activity] = braze_emulator.live_activities()
    assert (activity["activity_id"], activity["state"], activity["updates"]) == ("match-m-7", "ended", 3)
    assert activity["activity_attributes"] == {"home": "Oslo", "away": "Rome"}
    assert sorted(activity["recipients"]) == sorted(persons(*fans))
    assert braze_emulator.deliveries() == persons(*fans)
    assert {one["body"] for one in braze_emulator.messages()} == {"Oslo - Rome is on."}
    shown = [request["body"]["content_state"] for request in braze_emulator.requests()]
    assert [(one["phase"], one["home_goals"], one["away_goals"]) for one in shown] == [
        *([("first half", 0, 0)] * 2),
        *(("half-time", 1, 0), ("second half", 1, 1), ("end", 2, 1)),
    ]
    braze_emulator.clock.advance(15 * 60)
    assert braze_emulator.live_activities()[0]["state"] == "dismissed"


# A receipt per order.


def test_every_order_gets_one_receipt_over_several_runs(story, run_dag, braze_emulator, warehouse):
    dag = story("transactional_receipt")

    def pay(number, customer, minutes_ago):
        at = (timezone.utcnow() - timedelta(minutes=minutes_ago)).strftime("%Y-%m-%d %H:%M:%S")
        warehouse(("INSERT INTO orders VALUES (?, ?, 'North door', 4.5, ?)", [number, customer, at]))

    warehouse("CREATE TABLE orders (number INTEGER, customer_id TEXT, counter TEXT, total REAL, paid_at TEXT)")
    pay(1001, "c-1", 40)
    pay(1002, "c-2", 3)
    pay(900, "c-9", 90)
    assert str(run_dag(dag).state) == "success"
    assert braze_emulator.deliveries() == persons("c-1", "c-2")

    pay(1003, "c-2", 0)
    state, tasks = ended(run_dag(dag))
    assert (state, tasks["send_receipt"]) == ("success", ["success"] * 3)
    bodies = sorted(one["body"] for one in braze_emulator.messages())
    assert bodies == [f"Order {number} waits at North door." for number in (1001, 1002, 1003)]
    assert braze_emulator.deliveries() == {"external_user_id:c-1": 1, "external_user_id:c-2": 2}
    assert len(braze_emulator.requests()) == 5, "the second run asked for all three again"


def test_no_orders_no_receipts(story, run_dag, braze_emulator, warehouse):
    warehouse("CREATE TABLE orders (number INTEGER, customer_id TEXT, counter TEXT, total REAL, paid_at TEXT)")
    state, tasks = ended(run_dag(story("transactional_receipt")))
    assert (state, tasks["send_receipt"]) == ("success", "skipped")
    assert braze_emulator.requests() == []


# What the dashboard is about to send.


@pytest.mark.parametrize(
    ("due", "expected"),
    [((2, 3), "failed"), ((2, 21), "failed"), ((2, 8), "success"), ((9, 3), "success")],
    ids=["night", "late", "morning", "night but far off"],
)
def test_the_audit_fails_for_what_is_due_at_night(story, run_dag, braze_emulator, due, expected):
    days, hour = due
    dag = story("audit_scheduled_broadcasts", canvases=[])
    due = (timezone.utcnow() + timedelta(days=days)).replace(hour=hour, minute=0, second=0, microsecond=0)
    braze_emulator.add_canvas(LAUNCH, name="Roast letter", next_send_time=due, schedule_type="local_time_zones")
    fine = (timezone.utcnow() + timedelta(days=1)).replace(hour=10)
    braze_emulator.add_campaign(EVENING, name="Evening", next_send_time=fine)
    run = run_dag(dag)
    assert ended(run) == (expected, {"list_upcoming": "success", "nothing_at_night": expected})
    if expected == "success":
        [found] = [one for one in run.get_task_instances() if one.task_id == "nothing_at_night"]
        assert found.xcom_pull(task_ids="nothing_at_night") == (2 if days == 2 else 1)
    assert paths(braze_emulator) == {"/messages/scheduled_broadcasts": 1}
    assert braze_emulator.deliveries() == {}
