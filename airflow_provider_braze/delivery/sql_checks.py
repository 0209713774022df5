"""Where a SqlLedger stops, since what it knows would not keep somebody from a second message, or would drop them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeLedgerError
from airflow_provider_braze.delivery.sql_names import delivery_name, number_of

if TYPE_CHECKING:
    from sqlalchemy import CursorResult

    from airflow_provider_braze.delivery.ledger import Past, TaskTry

    Run = Callable[..., CursorResult[Any]]

_LOOKED_AT = 1000


def refuse_new_key(run: Run, task: TaskTry) -> None:
    """Refuse a key that was given to a task after its earlier tries had sent without one.

    :param run: runs a statement by its name.
    :raises BrazeLedgerError: under the key nobody would be known.
    """
    if task.delivery_key is None:
        return
    without = replace(task, delivery_key=None)
    if run("sent_before", other=number_of(delivery_name(without)), other_task=without.name).first():
        raise BrazeLedgerError(
            "Earlier tries of this task sent without a delivery_key, and under the one it has now nobody is known yet: "
            "nothing was sent now. Take the key away again to finish this run; it counts for runs that begin with it."
        )


def refuse_other_list(run: Run, task: TaskTry, past: Past, people: Sequence[str]) -> None:
    """Refuse a list of people that came to another mapped task before a clear.

    :param people: hashes of the first of them.
    :raises BrazeAudienceError: none of them is among those whom this mapped task messaged before.
    """
    known_by_place = task.map_index >= 0 and task.delivery_key is None and not (task.has_siblings or task.lasting)
    if not (known_by_place and past.cleared and past.accepted and people):
        return
    rows = [{"recipient": person} for person in islice(people, _LOOKED_AT)]
    if not run("count_known", rows).scalar():
        raise BrazeAudienceError(
            f"This mapped task (map index {task.map_index}) was cleared, and nobody in its list is one of the "
            f"{past.accepted:,} whom it messaged before: the lists came in another order, so that another mapped task "
            "may have messaged these people. Nothing was sent now. Give the lists in the same order on every try. For "
            "other runs, a delivery_key such as '{{ ti.dag_id }}/{{ ti.run_id }}/{{ ti.task_id }}' knows people in "
            "whatever list they come."
        )


def refuse_other_broadcast(target: str, earlier: str) -> None:
    """Refuse a broadcast under a key that another one has used up, as if its people had got this one.

    :param target: what is sent, and to whom, see :class:`~airflow_provider_braze.delivery.plan.Plan`.
    :param earlier: what was sent.
    :raises BrazeLedgerError: it went to others.
    """
    if target.partition(" to ")[2] != earlier.partition(" to ")[2]:
        raise BrazeLedgerError(
            "A broadcast with another audience has gone out, or may have, under this delivery_key, which knows no "
            f"more of its people: it was {earlier}, it is {target} now, and was not sent. Give each audience a key of "
            "its own."
        )
