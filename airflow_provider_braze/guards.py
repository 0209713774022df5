"""Decides before anything is sent, by what Airflow knows of the task and its run.

A backfill, a catch-up or a clear of an old run repeats tasks whose time is over; people would get messages that were
meant for another day. And Airflow repeats tasks on failure, on a lost worker and when a person clears them, while Braze
has no idempotency key: a task that cannot know what its earlier tries sent must not send.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.words import duration

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.ledger import Ledger, OpenLedger, Past, TaskTry
    from airflow_provider_braze.delivery.plan import Plan

OnBackfill = Literal["skip", "fail", "send"]
OnClear = Literal["resume", "resend"]
ON_BACKFILL, ON_CLEAR = get_args(OnBackfill), get_args(OnClear)
MAX_STALENESS = timedelta(days=1)
_BACKFILL = "backfill"
_WAY_ON = (
    "Look into Braze who got it. A new run of the DAG sends again on purpose, to everybody, also to those who got it."
)
log = logging.getLogger(__name__)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of a parameter's.

    :raises ValueError: it is none of the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, it is {value!r}.")


def check_count(name: str, value: Any) -> None:
    """Refuse what is no number of people.

    :raises ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be a whole number from 0 on, it is {value!r}.")


def check_span(name: str, value: Any) -> None:
    """Refuse what is no time to wait.

    :raises ValueError: it is none.
    """
    if not isinstance(value, timedelta) or value < timedelta():
        raise ValueError(f"{name} must be a timedelta from 0 on, such as timedelta(hours=1), it is {value!r}.")


def refuse_backfill(context: Context, on_backfill: OnBackfill) -> None:
    """Stop in a backfill, unless the author wrote that it may message people.

    :raises AirflowSkipException: ``on_backfill`` is ``"skip"``.
    :raises BrazeDeliveryError: it is ``"fail"``.
    """
    run: Any = context.get("dag_run")
    if on_backfill == "send" or not (why := _backfill_behind(run)):
        return
    text = (
        f"This run ({run.run_id}) {why}: nobody is messaged. Write on_backfill='send' if a backfill is to message "
        "people, and max_staleness=None for days long past."
    )
    if on_backfill == "fail":
        raise BrazeDeliveryError(text, {})
    _skip(text)


def _backfill_behind(run: Any) -> str:
    """Say how a run comes from a backfill; empty where it does not."""
    kind = getattr(run, "run_type", "")
    if str(getattr(kind, "value", kind)) == _BACKFILL:
        return "belongs to a backfill"
    events = getattr(run, "consumed_asset_events", None) or []
    # Airflow keeps this beginning of an id for backfills; one that is none of these is a reason of its own to send.
    sources = [event.source_run_id or "" for event in events]
    if sources and all(source.startswith(f"{_BACKFILL}__") for source in sources):
        return f"was caused by a backfill of {', '.join(sorted({event.source_dag_id for event in events}))} alone"
    return ""


def refuse_stale(context: Context, max_staleness: timedelta | None, earlier: Callable[[Context], Past | None]) -> None:
    """Stop in a run whose time is long over: a catch-up, a late start, an old run that was cleared.

    A delivery that began in time may be finished as long after its beginning.

    :param earlier: tells what earlier tries left, None where that is not known.
    :raises AirflowSkipException: nobody was messaged before.
    :raises BrazeDeliveryError: an earlier try may have messaged some, so that skipping would forget the others.
    """
    from airflow_provider_braze.delivery.ledger import Past

    due = getattr(context.get("dag_run"), "run_after", None)
    if max_staleness is None or due is None or (age := datetime.now(UTC) - due) <= max_staleness:
        return
    past = earlier(context) if getattr(context.get("ti"), "try_number", 1) > 1 else Past()
    if past and past.began:
        began = datetime.fromisoformat(past.began)
        if began - due <= max_staleness and datetime.now(UTC) - began <= max_staleness:
            return
    _refuse_late(f"This run was due {_ago(age)} (at {due:%Y-%m-%d %H:%M} UTC)", max_staleness, past)


def refuse_late_resume(planned: str | None, max_staleness: timedelta | None, past: Past) -> None:
    """Stop where a pause for the quota became much longer than it was to be.

    :param planned: when the task was to go on, ISO 8601.
    :param past: what the ledger knows.
    :raises AirflowSkipException: nobody was messaged before.
    :raises BrazeDeliveryError: some were, or may have been.
    """
    if max_staleness is None or planned is None:
        return
    moment = datetime.fromisoformat(planned)
    if (age := datetime.now(UTC) - moment) > max_staleness:
        _refuse_late(f"This task was to go on {_ago(age)} (at {moment:%Y-%m-%d %H:%M} UTC)", max_staleness, past)


def _refuse_late(what: str, max_staleness: timedelta, past: Past | None) -> None:
    nobody = past is not None and past.is_empty
    text = (
        f"{what}, max_staleness allows {duration(max_staleness.total_seconds())}: nobody {'' if nobody else 'else '}is "
        "messaged. Raise max_staleness, or set it to None, if these messages are still wanted."
    )
    if nobody:
        _skip(text)
    if past is None:
        raise BrazeDeliveryError(f"{text} An earlier try may have messaged some of them.", {})
    people = f"{past.accepted:,} recipients in " if past.accepted else ""
    raise BrazeDeliveryError(
        f"{text} Before that, Braze took on {people}{past.accepted_requests:,} requests, {past.doubtful_requests:,} "
        "are in doubt.",
        {},
    )


def _ago(age: timedelta) -> str:
    return f"{duration(age.total_seconds())} ago"


def _skip(text: str) -> None:
    log.warning(text)
    raise AirflowSkipException(text)


def note_try(context: Context, ledger: Ledger | None, on_clear: OnClear) -> None:
    """Leave a mark in Airflow's task state, and refuse where an earlier try's is gone.

    Airflow 3.4 discards the state on a clear, and ``clear_on_success`` after each success: that nothing is there then
    does not mean that nothing was sent.

    :raises BrazeDeliveryError: the task was cleared, and its state is gone.
    """
    from airflow_provider_braze.delivery.task_state import TaskStateLedger, is_marked, mark

    store: Any = context.get("task_state_store")
    if store is None or not (ledger is None or isinstance(ledger, TaskStateLedger)) or is_marked(store):
        return
    tries = getattr(context.get("ti"), "try_number", 1)
    if tries > 1 and getattr(context.get("dag_run"), "clear_number", 0) and on_clear != "resend":
        raise BrazeDeliveryError(
            f"This is try {tries} of a run that was cleared, and Airflow remembers nothing of the earlier tries: they "
            "ended before they began, which their logs tell, or what it remembered is gone, and whom they messaged is "
            "not known. Nothing was sent now. Where none of them began to send, write on_clear='resend'. For other "
            "runs, clear with 'keep task state', leave clear_on_success off, or use ledger=SqlLedger(conn_id). "
            f"{_WAY_ON}",
            {},
        )
    mark(store, this_try(context).counts)


def open_ledger(
    context: Context,
    ledger: Ledger | None,
    plan: Plan,
    *,
    delivery_key: str | None,
    on_clear: OnClear,
    doubt_after: float,
    lasting: bool = False,
) -> AbstractContextManager[OpenLedger | None]:
    """Open the ledger that a task is to use: the author's, or Airflow's task state where there is one.

    :param doubt_after: see :class:`~airflow_provider_braze.delivery.ledger.TaskTry`, also for ``lasting``.
    :raises BrazeDeliveryError: there is none, and an earlier try may have messaged people.
    """
    from airflow_provider_braze.delivery.task_state import TaskStateLedger

    instance: Any = context.get("ti")
    store: Any = context.get("task_state_store")
    if ledger is None and store is None:
        if getattr(instance, "try_number", 1) > 1:
            raise BrazeDeliveryError(
                f"This is try {instance.try_number}, and an earlier one may have messaged people: it is not known, "
                "nothing was sent now. Airflow remembers it from 3.3 on; before that, ledger=SqlLedger(conn_id) does, "
                f"for runs that begin with it. {_WAY_ON}",
                {},
            )
        return nullcontext()
    _refuse_change(ledger, store)
    # What lasts is taken back before it is made anew, so it must not be forgotten here.
    forget = on_clear == "resend" and not lasting
    wishes = {"forget_on_clear": forget, "doubt_after": doubt_after, "lasting": lasting, "part_of": plan.part_of}
    task = this_try(context, delivery_key, **wishes)
    opened = (ledger or TaskStateLedger()).open(task, plan)
    _tell(opened, task)
    return opened


def _refuse_change(ledger: Ledger | None, store: Any) -> None:
    """Refuse a ledger that does not know what Airflow's task state knows of this task.

    :raises BrazeLedgerError: earlier tries were remembered there.
    """
    from airflow_provider_braze.delivery.errors import BrazeLedgerError
    from airflow_provider_braze.delivery.task_state import has_begun

    if ledger is not None and ledger.shared and store is not None and has_begun(store):
        raise BrazeLedgerError(
            "Earlier tries of this task are remembered in Airflow's task state, not in the ledger that it has now, "
            "which would send to everybody again: nothing was sent now. Take the ledger away again to finish this "
            "run; it counts for runs that begin with it."
        )


def look_back(context: Context, ledger: Ledger | None, delivery_key: str | None = None, **wishes: Any) -> Past | None:
    """Tell what earlier tries of a task left; None where nothing remembers it.

    It does not open the ledger: that is where a clear is seen, and this try may end without doing what it asks for.

    :param wishes: see :class:`~airflow_provider_braze.delivery.ledger.TaskTry`.
    :raises BrazeLedgerError: the ledger cannot be read, or the task was given it after it had begun with another one.
    """
    from airflow_provider_braze.delivery.task_state import TaskStateLedger

    store: Any = context.get("task_state_store")
    if ledger is None and store is None:
        return None
    _refuse_change(ledger, store)
    remembering, task = ledger or TaskStateLedger(), this_try(context, delivery_key, **wishes)
    past = remembering.look_back(task)
    # Its earlier tries may have had no key yet.
    return remembering.look_back(replace(task, delivery_key=None)) if past.is_empty and delivery_key else past


def count_known(context: Context, ledger: Ledger | None, plan: Plan, **wishes: Any) -> int:
    """Count a plan's recipients of whom the ledger knows; none where there is no ledger.

    :param wishes: see :class:`~airflow_provider_braze.delivery.ledger.TaskTry`.
    :raises BrazeLedgerError: it cannot be read.
    """
    from airflow_provider_braze.delivery.task_state import TaskStateLedger

    if ledger is None and context.get("task_state_store") is None:
        return 0
    return (ledger or TaskStateLedger()).count_known(this_try(context, part_of=plan.part_of, **wishes), plan)


def this_try(context: Context, delivery_key: str | None = None, **wishes: Any) -> TaskTry:
    """Give what a ledger needs to know of the running task.

    :param wishes: see :class:`~airflow_provider_braze.delivery.ledger.TaskTry`.
    """
    from airflow_provider_braze.delivery.ledger import TaskTry

    instance: Any = context.get("ti")
    run: Any = context.get("dag_run")
    began = getattr(run, "start_date", None)
    return TaskTry(
        dag_id=getattr(instance, "dag_id", ""),
        run_id=getattr(instance, "run_id", ""),
        task_id=getattr(instance, "task_id", ""),
        map_index=getattr(instance, "map_index", -1),
        max_tries=getattr(instance, "max_tries", 0),
        clear_number=getattr(run, "clear_number", 0) or 0,
        run_began=began.timestamp() if began else 0.0,
        store=context.get("task_state_store"),
        delivery_key=delivery_key,
        **wishes,
    )


def _tell(opened: OpenLedger, task: TaskTry) -> None:
    past = opened.past
    if past.cleared and task.forget_on_clear:
        log.warning("The task was cleared, and on_clear='resend': everybody is sent to again.")
    elif past.began and not (task.lasting and past.accepted_requests + past.doubtful_requests == 0):
        log.info(
            "The ledger knows this delivery since %s: %s recipients in %s requests are done, %s in doubt.%s",
            past.began,
            f"{past.accepted:,}",
            f"{past.accepted_requests:,}",
            f"{past.doubtful:,}",
            " It was cleared: only what is left is sent. To send to everybody again on purpose, start a new run of the "
            "DAG, or write on_clear='resend' and clear."
            if past.cleared and not task.lasting
            else "",
        )
