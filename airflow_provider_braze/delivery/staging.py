"""Audiences over a connection that may message its test recipients only."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.api.models.recipients import identity_of
from airflow_provider_braze.api.staging import (
    MOST_NAMES,
    NO_ATTRIBUTES,
    StagingList,
    replaced,
    stand_in,
    without_attributes,
)
from airflow_provider_braze.delivery.audience import Audience
from airflow_provider_braze.delivery.batch import Judge, name_of, refuse_too_many
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.seen import Seen

if TYPE_CHECKING:
    from airflow_provider_braze.api.endpoints import Endpoint

log = logging.getLogger(__name__)


def stage(
    audience: Audience, staging: StagingList | None, endpoint: Endpoint, max_recipients: int | None = None
) -> Audience:
    """Give the audience as a connection may send to it.

    :param audience: the audience as the task means it.
    :param staging: the connection's test recipients; None where it may message everybody.
    :param endpoint: the call.
    :param max_recipients: how many may be meant at most.
    """
    return audience if staging is None else StagedAudience(audience, staging, endpoint, max_recipients)


class StagedAudience(Audience):
    """Another audience, held against a staging list.

    Either it is refused once it has been read to its end, if anybody in it is not in the list. Or test recipients stand
    in for those, in turn: they get what the others would have seen, and duplicates are merged as always, so that each
    of them gets one message a delivery. All attributes stay behind, since they would be written to the test recipients'
    profiles, where an e-mail address leads the message elsewhere. Entries that cannot be sent anyway pass as they are,
    for the plan to say why.

    :param audience: the audience as the task means it.
    :param staging: whom the connection may message.
    :param endpoint: the call.
    :param max_recipients: how many may be meant at most, however few stand in for them.
    """

    def __init__(
        self, audience: Audience, staging: StagingList, endpoint: Endpoint, max_recipients: int | None = None
    ) -> None:
        self._audience = audience
        self._staging = staging
        self._endpoint = endpoint
        self._max_recipients = max_recipients

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._audience}>"

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        """Yield test recipients, and entries that name nobody.

        :raises BrazeAudienceError: others are in the audience; raised at its end, with how many. Or too many are.
        :raises BrazeGuardError: the list has nobody whom the endpoint takes.
        """
        turn = None
        strangers, row, stripped = 0, 0, 0
        samples: list[str] = []
        for row, (entry, recipient) in enumerate(self._judged(values_field), start=1):
            if recipient is None or self._staging.knows(recipient):
                bare = entry if recipient is None else without_attributes(entry)
                stripped += bare is not entry
                yield bare
                continue
            strangers += 1
            if self._staging.rewrite:
                turn = turn or self._staging.stand_ins(self._endpoint)
                yield stand_in(recipient, next(turn))
            elif len(samples) < MOST_NAMES:
                samples.append(f"\n  - row {row:,} (recipient {name_of(entry) or 'unnamed'})")
        if stripped:
            log.info("%s: %s.", self._endpoint.name, NO_ATTRIBUTES)
        if strangers and self._staging.rewrite:
            log.info("%s: %s.", self._endpoint.name, replaced(strangers, row, len(self._staging)))
        elif strangers:
            raise BrazeAudienceError(
                f"{strangers:,} of {row:,} recipients are not among the connection's test_recipients, nothing was sent."
                f" The first ones:{''.join(samples)}\n"
                "Send to test recipients, set the connection's extra test_recipients_others to 'rewrite' so that they "
                "get it instead of the others, or use another connection."
            )

    def _judged(self, values_field: str | None) -> Iterator[tuple[Any, Any]]:
        """Give each entry with the recipient in it, None where there is none, and count those who are meant."""
        judge, count = Judge(self._endpoint.recipient), 0
        with closing(Seen()) as meant:
            for entry in self._audience.recipients(values_field):
                recipient = _valid(entry, judge)
                if recipient is not None and self._staging.rewrite and self._max_recipients is not None:
                    count += meant.add_all([identity_of(recipient)])[0]
                    refuse_too_many(count, self._max_recipients)
                yield entry, recipient


def _valid(entry: Any, judge: Judge) -> Any:
    try:
        return judge.one({"external_user_id": entry} if isinstance(entry, str | int) else entry)
    except (ValueError, RecursionError):
        return None
