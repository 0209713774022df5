"""What happened, in numbers: every recipient that was read is in exactly one of the counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

# A report travels through XCom: it keeps the first of each kind and counts the rest.
MOST_IDS = 1_000
MOST_ERRORS = 20
MOST_REASONS = 50


@dataclass(slots=True)
class Report:
    """Counts of one delivery.

    ``recipients == duplicates + invalid + skipped + accepted + failed + unknown`` once it has ended.

    :param recipients: rows read from the audience.
    :param duplicates: rows merged into an earlier one of the same recipient.
    :param invalid: rows refused here, see ``invalid_reasons``.
    :param skipped: recipients that no request was made for, because sending stopped before.
    :param requests: requests of this try that Braze answered or may have received, repeats not counted.
    :param accepted: recipients that Braze took on, now or in an earlier try; that says neither delivered nor that the
        user exists.
    :param accepted_before: how many of these the ledger knew already, so that nothing was sent to them now.
    :param failed: recipients that Braze refused.
    :param failed_elsewhere: how many of these it refused by name in another task or run that shares the
        ``delivery_key``, so that nothing was sent to them now. They fail that one, not this.
    :param began: when the first request of the first try left, ISO 8601 in UTC; None where none did.
    :param schedule_ids: what update and delete take, one per request.
    :param notices: what Braze said of a campaign or Canvas that is paused or archived, and what else a person should
        know of a task that succeeds, such as outcomes that could not be written to the ledger.
    :param unknown: recipients of requests whose answer was lost.
    """

    recipients: int = 0
    duplicates: int = 0
    invalid: int = 0
    skipped: int = 0
    requests: int = 0
    accepted: int = 0
    accepted_before: int = 0
    failed: int = 0
    failed_elsewhere: int = 0
    unknown: int = 0
    began: str | None = None
    invalid_reasons: dict[str, int] = field(default_factory=dict)
    invalid_samples: list[str] = field(default_factory=list)
    schedule_ids: list[str] = field(default_factory=list)
    dispatch_ids: list[str] = field(default_factory=list)
    dispatch_ids_left_out: int = 0
    send_id: str | None = None
    notices: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    errors_left_out: int = 0

    def refuse(self, row: str, reasons: list[str]) -> None:
        """Count a row that cannot be sent.

        :param row: where it stands and, hashed, whom it names.
        :param reasons: what is wrong with it, without its values.
        """
        self.invalid += 1
        reason = "; ".join(reasons)
        if reason not in self.invalid_reasons and len(self.invalid_reasons) >= MOST_REASONS:
            reason = "other reasons"
        self.invalid_reasons[reason] = self.invalid_reasons.get(reason, 0) + 1
        if len(self.invalid_samples) < MOST_ERRORS:
            self.invalid_samples.append(f"{row}: {reason}")

    def add_request(self, left_at: float) -> None:
        """Count a request that Braze answered or may have received.

        :param left_at: when it left, in epoch seconds.
        """
        self.requests += 1
        self.began = self.began or datetime.fromtimestamp(left_at, UTC).isoformat(timespec="seconds")

    def add_error(self, text: str) -> None:
        """Keep what Braze said, up to a bound."""
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(text)
        else:
            self.errors_left_out += 1

    def add_dispatch(self, body: dict[str, Any]) -> None:
        """Keep the ids of an accepted request: schedule ids all, since they are needed again, others up to a bound."""
        self.send_id = body.get("send_id") or self.send_id
        if schedule_id := body.get("schedule_id"):
            self.schedule_ids.append(schedule_id)
        if dispatch_id := body.get("dispatch_id"):
            self.add_dispatch_ids([dispatch_id])

    def add_dispatch_ids(self, known: list[str]) -> None:
        """Keep dispatch ids, up to a bound."""
        room = MOST_IDS - len(self.dispatch_ids)
        self.dispatch_ids += known[:room]
        self.dispatch_ids_left_out += len(known[room:])

    @property
    def failed_here(self) -> int:
        """How many recipients Braze refused when this task sent to them."""
        return self.failed - self.failed_elsewhere

    def as_dict(self) -> dict[str, Any]:
        """Plain values for XCom; no recipient is in it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __str__(self) -> str:
        counts = {
            "recipients read": self.recipients,
            "duplicates merged": self.duplicates,
            "invalid": self.invalid,
            "requests": self.requests,
            "accepted": self.accepted,
            "of these before": self.accepted_before,
            "refused by Braze": self.failed,
            "of these in another task or run": self.failed_elsewhere,
            "in doubt": self.unknown,
            "not attempted": self.skipped,
        }
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "no recipients"
