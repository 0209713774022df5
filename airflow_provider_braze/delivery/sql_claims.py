"""What a SqlLedger answers to the wish to send a request."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Claim, Intent

if TYPE_CHECKING:
    from sqlalchemy import Row


class Ticket(NamedTuple):
    """A durable intent.

    :param new: hashes of those who had been free; all others of the request had been in doubt.
    :param left_by: by when earlier requests to these others had left.
    """

    request: int
    new: Sequence[str]
    left_by: float = 0.0


@dataclass(slots=True)
class Wish:
    """An intent on its way; made before the first attempt to write it, so that another attempt finds its own traces.

    :param taken: places of recipients whose doubt it takes over, with what was known of it.
    """

    intent: Intent
    people: list[str]
    request: int = field(default_factory=partial(secrets.randbits, 63))
    taken: dict[int, Row[Any]] = field(default_factory=dict)

    @property
    def left_by(self) -> float:
        """By when earlier requests to those whose doubt it takes over had left, in epoch seconds."""
        return max((doubt.left_by for doubt in self.taken.values()), default=0.0)


def refuse_orphans(wishes: Iterable[Wish], owners: Iterable[Row[Any]], prefix: str) -> None:
    """Refuse people whose request is gone: nobody would ever say what became of it.

    :param owners: to which request each of them belongs; requests of this very write are written last.
    :param prefix: begins the names of the tables.
    :raises BrazeLedgerError: there are some; outcomes that came with the wishes are to be written all the same.
    """
    own = {wish.request for wish in wishes}
    count = sum(owner.state is None and owner.request not in own for owner in owners)
    if count:
        raise BrazeLedgerError(
            f"The ledger knows {count:,} of these recipients, and no longer the requests that went to them: somebody "
            f"deleted rows of {prefix}_requests only. Whether they got the message is not known, nothing more is sent. "
            f"Bring the requests back; or delete those recipients from {prefix}_recipients too, which sends to them "
            "again.",
            settled=True,
        )


def _count_refused(people: Sequence[tuple[str, Row[Any]]], met: dict[int, set[str]]) -> int:
    """Count those whom Braze is known to have refused.

    It is known how many of a request they were, not who: so many as were not met yet may be among the others.

    :param people: accepted ones, each with the request that was.
    :param met: who was met by this try, of requests of which some were refused.
    """
    requests = {owner.request: owner for _, owner in people if owner.refused}
    count = 0
    for request, owner in requests.items():
        here = {person for person, other in people if other.request == request}
        known = met.setdefault(request, set())
        known |= here
        unmet = owner.recipients - len(known)
        count += max(0, owner.refused - unmet) - max(0, owner.refused - unmet - len(here))
    return count


def answer(wish: Wish, owners: Sequence[Row[Any] | None] | None, met: dict[int, set[str]]) -> Claim:
    """Say who of a wish is free.

    :param owners: to which request each of them belongs; None where all belong to this one, and are new.
    :param met: see :func:`_count_refused`.
    """
    if owners is None:
        return Claim(Ticket(wish.request, wish.people), range(len(wish.people)))
    places: dict[str, list[int]] = {"mine": [], "unknown": [], "accepted": [], "intent": []}
    for place, owner in enumerate(owners):
        places[owner.state if owner is not None and owner.state else "intent"].append(place)
    accepted = [
        (person, owner)
        for person, owner in zip(wish.people, owners, strict=True)
        if owner is not None and owner.state == "accepted"
    ]
    refused = _count_refused([known for known in accepted if known[1].own], met)
    elsewhere = _count_refused([known for known in accepted if not known[1].own], met)
    free, doubt = places["mine"], places["unknown"]
    new = [wish.people[place] for place in free if place not in wish.taken]
    since = [wish.taken[place].first_intent_at for place in free if place in wish.taken]
    since += [owner.first_intent_at for owner in owners if owner is not None and owner.state == "unknown"]
    ticket = Ticket(wish.request, new, wish.left_by) if free else None
    claim = Claim(ticket, free, doubt=doubt, held=places["intent"])
    claim.took_doubt = bool(wish.taken)
    claim.accepted = len(places["accepted"]) - refused - elsewhere
    claim.refused, claim.refused_elsewhere = refused, elsewhere
    if since:
        claim.since = min(since)
    if left_by := [owner.left_by for owner in owners if owner is not None and owner.state == "unknown"]:
        claim.left_by = max(left_by)
    return claim
