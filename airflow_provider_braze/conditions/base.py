"""A condition: the questions that it asks again and again, and its verdict on the answers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self


@dataclass(frozen=True, slots=True)
class Question:
    """One call to a read endpoint. Equal questions have the same answer, so one request serves all who ask it.

    :param endpoint: key of ``ENDPOINTS``.
    :param query: the payload as JSON, its keys in order.
    :param now_field: the field that says until when, filled in when it is asked.
    """

    endpoint: str
    query: str
    now_field: str | None = None

    @classmethod
    def of(cls, endpoint: str, query: Mapping[str, Any], now_field: str | None = None) -> Self:
        """Make a question of a payload."""
        return cls(endpoint, json.dumps(query, sort_keys=True), now_field)

    def payload(self) -> dict[str, Any]:
        """Give what is sent now."""
        until = {self.now_field: datetime.now(UTC).isoformat(timespec="seconds")} if self.now_field else {}
        payload: dict[str, Any] = json.loads(self.query)
        return payload | until


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers mean.

    :param state: ``met``; ``waiting``; ``failed``: it cannot be met any more, or must not go on.
    :param text: how things stand, for the log.
    :param result: the figures, as the sensor returns them.
    """

    state: Literal["met", "waiting", "failed"]
    text: str
    result: dict[str, Any] = field(default_factory=dict)


class Condition(ABC):
    """What is waited for. Children are dataclasses; their init fields are plain JSON, which a trigger can hold."""

    kind: ClassVar[str]

    def first_questions(self) -> list[Question]:
        """Give what is asked once, before the wait, to find out whether it can end at all."""
        return []

    def admit(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:  # noqa: B027 (most admit all)
        """Look at the answers to the first questions; none where the key may not ask them.

        :raises BrazeWaitRefusedError: what is waited for can never come.
        """

    @abstractmethod
    def questions(self, now: datetime) -> list[Question]:
        """Give what is asked each time."""

    @abstractmethod
    def judge(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> Verdict:
        """Say how things stand; the answers are in the order of the questions that were given last.

        :raises BrazeWaitRefusedError: an answer cannot be read.
        """

    def as_dict(self) -> dict[str, Any]:
        """Put it into plain JSON; ``kinds.condition_from_dict`` is the way back."""
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.init}  # type: ignore[arg-type]
        return {"kind": self.kind, **given}


def moment_of(text: str | datetime) -> datetime:
    """Read a time; one without a zone is UTC.

    :raises ValueError: it is no time.
    """
    moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text).strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
