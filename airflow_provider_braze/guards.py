"""Decides before anything is sent, by what Airflow knows of the task and its run.

A backfill, a catch-up or a clear of an old run repeats tasks whose time is over; people would get messages that were
meant for another day. And Airflow repeats tasks on failure, on a lost worker and when a person clears them, while Braze
has no idempotency key: a task that cannot know what its earlier tries sent must not send.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
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


def refuse_backfill(context: Context, on_backfill: OnBackfill) -> None:
    """Stop in a backfill, unless the author wrote that it may message people.

    :raises AirflowSkipException: ``on_backfill`` is ``"skip"``.
    :raises BrazeDeliveryError: it is ``"fail"``.
    """
    run: Any = context.get("dag_run")
    kind = getattr(run, "run_type", "")
    if on_backfill == "send" or str(getattr(kind, "value", kind)) != "backfill":
        return
    text = (
        f"This run ({run.run_id}) belongs to a backfill: nobody is messaged. Write on_backfill='send' if a backfill is "
        "to message people, and max_staleness=None for days long past."
    )
    if on_backfill == "fail":
        raise BrazeDeliveryError(text, {})
    _skip(text)


def refuse_stale(context: Context, max_staleness: timedelta | None, past: Past | None = None) -> None:
    """Stop in a run whose time is long over: a catch-up, a late start, an old run that was cleared.

    :param past: what the ledger knows, where the task goes on after a pause.
    :raises AirflowSkipException: it is the first try, nobody was messaged before.
    :raises BrazeDeliveryError: an earlier try may have messaged some, so that skipping would forget the others.
    """
    run: Any = context.get("dag_run")
    due = getattr(run, "run_after", None)
    if max_staleness is None or due is None:
        return
    age = datetime.now(UTC) - due
    if age <= max_staleness:
        return
    text = (
        f"This run was due {duration(age.total_seconds())} ago (at {due:%Y-%m-%d %H:%M} UTC), max_staleness allows "
        f"{duration(max_staleness.total_seconds())}: nobody {'else ' if past else ''}is messaged. Raise max_staleness, "
        "or set it to None, if these messages are still wanted."
    )
    if past is not None:
        raise BrazeDeliveryError(
            f"{text} Before the pause Braze took on {past.accepted:,} recipients in {past.accepted_requests:,} "
            f"requests, {past.doubtful:,} are in doubt.",
            {},
        )
    if getattr(context.get("ti"), "try_number", 1) > 1:
        raise BrazeDeliveryError(f"{text} An earlier try may have messaged some of them.", {})
    _skip(text)


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
    if ledger is not None and not isinstance(ledger, TaskStateLedger):
        _refuse_change(store)
    # What lasts is taken back before it is made anew, so it must not be forgotten here.
    forget = on_clear == "resend" and not lasting
    wishes = {"forget_on_clear": forget, "doubt_after": doubt_after, "lasting": lasting, "part_of": plan.part_of}
    task = this_try(context, delivery_key, **wishes)
    opened = (ledger or TaskStateLedger()).open(task, plan)
    _tell(opened, task)
    return opened


def _refuse_change(store: Any) -> None:
    """Refuse a ledger that does not know what Airflow's task state knows of this task.

    :raises BrazeLedgerError: earlier tries were remembered there.
    """
    from airflow_provider_braze.delivery.errors import BrazeLedgerError
    from airflow_provider_braze.delivery.task_state import has_begun

    if store is not None and has_begun(store):
        raise BrazeLedgerError(
            "Earlier tries of this task are remembered in Airflow's task state, not in the ledger that it has now, "
            "which would send to everybody again: nothing was sent now. Take the ledger away again to finish this "
            "run; it counts for runs that begin with it."
        )


def earlier_schedules(context: Context, ledger: Ledger | None, *, delivery_key: str | None) -> list[str]:
    """Give the schedules that earlier tries of a task made.

    :raises BrazeLedgerError: the ledger cannot be read.
    """
    from airflow_provider_braze.delivery.task_state import TaskStateLedger

    is_first = getattr(context.get("ti"), "try_number", 1) <= 1 and delivery_key is None
    if is_first or not (ledger or context.get("task_state_store")):
        return []
    # It must not open the ledger: that is where a clear is seen, and this try ends without doing what it asks for.
    return (ledger or TaskStateLedger()).schedule_ids(this_try(context, delivery_key, lasting=True))


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
