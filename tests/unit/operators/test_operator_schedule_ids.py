"""Changes and deletions of many schedules by hand: quota, lost answers, what another try does, and what errors say."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from task_states import TaskState

from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeError,
    BrazeServerError,
    BrazeUnknownOutcomeError,
    BrazeWorkspaceError,
)
from airflow_provider_braze.delivery import schedule_ids, sender
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
    BrazeUpdateScheduledCampaignOperator,
)

LATER, LATER_STILL = "2099-04-07T09:00:00Z", "2099-04-08T09:00:00Z"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
DELETE, UPDATE = BrazeDeleteScheduledCampaignOperator, BrazeUpdateScheduledCampaignOperator
PATH = {DELETE: "/campaigns/trigger/schedule/delete", UPDATE: "/campaigns/trigger/schedule/update"}
BOTH = pytest.mark.parametrize("operator", PATH)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(sender, "LONGEST_BACKOFF", 0.01)


@pytest.fixture
def ids(braze_emulator, campaign):
    """The ids of six schedules."""
    people = [f"p{number}" for number in range(300)]
    create = BrazeScheduleCampaignOperator(task_id="c", campaign_id=campaign, recipients=people, schedule=LATER)
    return create.execute({})["schedule_ids"]


@pytest.fixture
def make(campaign):
    def made(operator, schedule_ids, **parameters):
        time = {"schedule": LATER_STILL} if operator is UPDATE else {}
        return operator(**{"task_id": "t", "campaign_id": campaign, "schedule_id": schedule_ids, **time, **parameters})

    return made


@pytest.fixture
def states(braze_emulator):
    return lambda: [one["state"] for one in braze_emulator.schedules()]


def calls(emulator, operator):
    return [row for row in emulator.requests() if row["path"] == PATH[operator]]


@BOTH
@pytest.mark.parametrize("fault", [{"kind": "rate_limited", "retry_after": 0}, {"kind": "drop_after_acceptance"}])
def test_what_did_not_get_through_is_repeated(braze_emulator, ids, make, operator, fault):
    fault = dict(fault)
    braze_emulator.inject(fault.pop("kind"), times=3, skip=1, **fault)
    assert make(operator, ids).execute({}) == {"schedule_ids": ids, "requests": 6}
    assert len(calls(braze_emulator, operator)) > 6
    done = {DELETE: "deleted", UPDATE: "waiting"}[operator]
    assert {(one["state"], bool(one["updates"])) for one in braze_emulator.schedules()} == {(done, operator is UPDATE)}


@BOTH
def test_the_connections_pace_is_kept(ids, make, connection, operator):
    connection(extra={"max_requests_per_second": 3.0, "lanes": 2})
    pacer = make(operator, ids).make_pacer()
    assert [pacer.take() > 0 for _ in range(4)] == [False, True, True, True]


@BOTH
def test_an_outage_leaves_the_rest_to_a_retry_that_airflow_makes(braze_emulator, ids, make, states, operator):
    context = {"task_state_store": TaskState()}
    braze_emulator.inject("server_error", status=503, skip=2, times=4 * sender.MOST_TRIES)
    with pytest.raises(BrazeServerError, match="4 of 6 schedules failed, the others are done") as caught:
        make(operator, ids).execute(context)
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    braze_emulator.clear_faults()
    before = len(calls(braze_emulator, operator))
    assert make(operator, ids).execute(context)["schedule_ids"] == ids
    again = len(calls(braze_emulator, operator)) - before
    assert again == {DELETE: 4, UPDATE: 6}[operator], "what is deleted is not called for again"
    assert set(states()) == {"deleted" if operator is DELETE else "waiting"}


def test_a_delete_whose_answers_were_lost_becomes_green(braze_emulator, ids, make, caplog):
    context = {"task_state_store": TaskState()}
    braze_emulator.inject("drop_after_acceptance", skip=1, times=None)
    braze_emulator.inject("html_error_page", status=403, skip=6, times=None)
    with pytest.raises((BrazeUnknownOutcomeError, BrazeBadRequestError, BrazeError)) as caught:
        make(DELETE, ids).execute(context)
    assert not isinstance(caught.value, AirflowFailException)
    braze_emulator.clear_faults()
    make(DELETE, ids).execute(context)
    assert "not there any more: deleted before, or sent meanwhile" in caplog.text
    assert {one["state"] for one in braze_emulator.schedules()} == {"deleted"}


def test_what_braze_refused_at_first_stays_an_error(ids, make):
    context = {"task_state_store": TaskState()}
    for _ in range(2):
        with pytest.raises(BrazeBadRequestError, match="1 of . schedules failed.*\n.*" + UNKNOWN):
            make(DELETE, [*ids, UNKNOWN]).execute(context)


def test_a_delete_of_another_campaigns_is_never_done(ids, make, states):
    context = {"task_state_store": TaskState()}
    for _ in range(2):
        with pytest.raises(BrazeBadRequestError, match="6 of 6 schedules failed:"):
            make(DELETE, ids, campaign_id=UNKNOWN).execute(context)
    assert set(states()) == {"waiting"}


@pytest.mark.parametrize("cut_at", [0, 1])
def test_a_delete_whose_worker_died_becomes_green(ids, make, states, monkeypatch, cut_at):
    """The first call goes alone: before its end nothing shows that the campaign is the right one."""
    context, portions = {"task_state_store": TaskState()}, []
    real = schedule_ids.ScheduleCalls.each

    def each(self, *given):
        for called in real(self, *given):
            portions.append(called)
            if len(portions) - 1 == cut_at:
                raise KeyboardInterrupt
            yield called

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(schedule_ids.ScheduleCalls, "each", each)
        make(DELETE, ids).execute(context)
    if cut_at:
        make(DELETE, ids).execute(context)
    else:
        with pytest.raises(BrazeBadRequestError, match="1 of 6 schedules failed, the others are done"):
            make(DELETE, ids).execute(context)
    assert set(states()) == {"deleted"}


def test_without_a_memory_the_error_says_what_an_earlier_try_means(ids, make):
    make(DELETE, ids).execute({})
    with pytest.raises(BrazeBadRequestError, match="Where there was one, look into Braze"):
        make(DELETE, ids).execute({})


def test_a_memory_that_fails_keeps_nobody_from_deleting(ids, make, states, caplog):
    def fail(*_, **__):
        raise OSError("away")

    make(DELETE, ids).execute({"task_state_store": SimpleNamespace(get=fail, set=fail)})
    assert set(states()) == {"deleted"}
    assert "What is deleted could not be noted" in caplog.text


def test_an_error_has_a_bound_and_the_log_has_all(ids, make, caplog):
    others = [f"{number:08d}{UNKNOWN[8:]}" for number in range(30)]
    with pytest.raises(BrazeBadRequestError) as caught:
        make(DELETE, [*ids, *others]).execute({"task_state_store": TaskState()})
    assert "30 of 36 schedules failed, the others are done" in str(caught.value)
    assert "and 20 more, see the log" in str(caught.value)
    assert len(set(re.findall(r"\d{8}-0000", str(caught.value)))) == 10
    assert [one for one in others if one not in caplog.text] == []


@BOTH
def test_of_one_schedule_no_others_are_told_of(braze_emulator, make, operator):
    assert braze_emulator.schedules() == []
    with pytest.raises(BrazeBadRequestError, match=f"1 of 1 schedules failed:\n.*{UNKNOWN}") as caught:
        make(operator, UNKNOWN).execute({"task_state_store": TaskState()})
    assert "others" not in str(caught.value)


@BOTH
def test_a_person_stops_it(braze_emulator, ids, make, operator):
    task = make(operator, ids)
    task.on_kill()
    with pytest.raises(BrazeError, match="6 were not called for: the task was stopped from outside") as caught:
        task.execute({})
    assert isinstance(caught.value, AirflowException)
    assert calls(braze_emulator, operator) == []


# The workspace.


def test_a_delete_is_for_its_workspace(ids, make, states, connection):
    connection(extra={"workspace": "production"})
    with pytest.raises(BrazeWorkspaceError, match="This task is for workspace 'staging'"):
        make(DELETE, ids, workspace="staging").execute({})
    assert set(states()) == {"waiting"}
    connection(extra={"workspace": "staging", "workspace_campaign_id": UNKNOWN})
    with pytest.raises(BrazeWorkspaceError, match="is not of workspace 'staging'"):
        make(DELETE, ids, workspace="staging").execute({})
    assert set(states()) == {"waiting"}


@pytest.fixture(params=[("server_error", 503), ("html_error_page", 403)], ids=lambda one: str(one[1]))
def unasked(request, ids, braze_emulator, connection, campaign):
    """Braze does not tell whose key it is."""
    connection(extra={"workspace": "staging", "workspace_campaign_id": campaign})
    kind, status = request.param
    braze_emulator.inject(kind, path="/campaigns/details", times=None, status=status)


@pytest.mark.usefixtures("unasked")
def test_a_workspace_that_cannot_be_told_lets_no_messages_go_out(ids, make, states, capsys):
    make(DELETE, ids, workspace="staging").execute({})
    assert set(states()) == {"deleted"}
    assert "The workspace of the key could not be checked, the task goes on" in capsys.readouterr().out
