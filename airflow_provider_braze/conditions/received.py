"""Waits until people have received a campaign or Canvas, as their profiles tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_provider_braze.conditions.base import Condition, Question, Verdict
from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError
from airflow_provider_braze.conditions.status import details_question
from airflow_provider_braze.delivery.traces import TRACES, has_received, is_user, questions_about

PEOPLE_PER_CALL = 50
AHEAD = timedelta(days=1)
"""How far ahead receipts may begin to count: a day that has begun somewhere may be tomorrow by UTC."""


@dataclass
class Received(Condition):
    """A share of some people have received it. Who got it is not asked for again.

    :param of: ``campaign_id`` or ``canvas_id``.
    :param program_id: its API identifier.
    :param people: who, each with one identifier as in Braze's recipients.
    :param since: receipts from then on count, in epoch seconds.
    :param at_least_share: of those whom Braze knows.
    :param max_unknown: how many may be unknown to Braze.
    :param settled_at: until then somebody unknown may still be about to be created, in epoch seconds.
    """

    of: str
    program_id: str
    people: list[dict[str, Any]]
    since: float
    at_least_share: float
    max_unknown: int
    settled_at: float

    kind: ClassVar[str] = "received"
    _got: set[int] = field(default_factory=set, init=False, repr=False)
    _unknown: set[int] = field(default_factory=set, init=False, repr=False)
    _asked: list[dict[int, Mapping[str, Any]]] = field(default_factory=list, init=False, repr=False)

    def first_questions(self) -> list[Question]:
        """Ask whether there is such a campaign or Canvas: nobody receives one that does not exist."""
        return [details_question(self.of.removesuffix("_id"), self.program_id)]

    def admit(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:  # noqa: ARG002
        """Refuse what is due only days later: a wait may begin before its send, yet not so long before."""
        if self.since > (now + AHEAD).timestamp():
            since = datetime.fromtimestamp(self.since, UTC)
            raise BrazeWaitRefusedError(f"since is {since:%Y-%m-%d %H:%M} UTC, which lies ahead: no receipt counts.")

    def questions(self, now: datetime) -> list[Question]:  # noqa: ARG002
        """Ask for those who have not got it as far as known."""
        self._asked, questions = [], []
        for places, query in self._portions():
            self._asked.append(places)
            questions.append(Question.of("users_export_ids", query))
        return questions

    def _portions(self) -> Iterator[tuple[dict[int, Mapping[str, Any]], dict[str, Any]]]:
        missing = [place for place in range(len(self.people)) if place not in self._got]
        for start in range(0, len(missing), PEOPLE_PER_CALL):
            portion = missing[start : start + PEOPLE_PER_CALL]
            for places, query in questions_about([self.people[place] for place in portion], TRACES[self.of]):
                yield {portion[place]: whom for place, whom in places.items()}, query

    def judge(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> Verdict:
        """Count; whom Braze does not know is counted apart."""
        for places, answer in zip(self._asked, answers, strict=True):
            try:
                self._read(places, answer)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise BrazeWaitRefusedError("Braze's answer to who got it cannot be read.") from None
        asked, received, unknown = len(self.people), len(self._got), len(self._unknown)
        needed = max(1, math.ceil(round(self.at_least_share * (asked - unknown), 6)))
        result = {"asked": asked, "received": received, "missing": asked - received - unknown, "unknown": unknown}
        text = (
            f"{received:,} of {asked:,} have received it, {needed:,} are needed; {result['missing']:,} have not, "
            f"{unknown:,} are unknown to Braze."
        )
        if unknown > self.max_unknown or asked == unknown:
            late = now.timestamp() >= self.settled_at
            text += f" At most {self.max_unknown:,} may be unknown: nothing reaches them." if late else ""
            return Verdict("failed" if late else "waiting", text, result)
        return Verdict("met" if received >= needed else "waiting", text, result)

    def _read(self, places: Mapping[int, Mapping[str, Any]], answer: Mapping[str, Any]) -> None:
        users = answer["users"]
        for place, whom in places.items():
            profiles = [user for user in users if is_user(whom, user)]
            if any(has_received(user, TRACES[self.of], self.program_id, self.since) for user in profiles):
                self._got.add(place)
            # Somebody may be created, or deleted, while we wait.
            (self._unknown.discard if profiles else self._unknown.add)(place)
