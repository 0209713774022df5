"""One request of a plan."""

from __future__ import annotations

from typing import NamedTuple


class PlannedRequest(NamedTuple):
    """One request, ready to go.

    :param place: its number in the plan, from 0.
    :param body: ready to be posted.
    :param recipients: how many it names; 0 for one without recipients, such as a broadcast.
    :param digest: tells its recipients from any others, whatever else the body says.
    """

    place: int
    body: bytes
    recipients: int
    digest: int = 0

    @property
    def people(self) -> int:
        """How many places it has in a ledger: a broadcast counts as a single recipient."""
        return max(1, self.recipients)

    def __repr__(self) -> str:
        return f"<request {self.place} for {self.recipients} recipients>"
