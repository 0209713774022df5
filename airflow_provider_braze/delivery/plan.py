"""The plan: an audience, read once and whole, becomes ready-made requests on disk before the first one is sent.

So a row that cannot be sent, an empty audience or a missing column is known while nobody has been messaged yet, the
database is let go before Braze is waited for, and the number of requests is known from the start. It costs no memory
but the set of recipients seen (:mod:`airflow_provider_braze.delivery.seen`), and disk for the bodies: about 100 bytes
per recipient with a few properties. The file has no name and vanishes with the process.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from airflow_provider_braze.api.client import check_body_size, encode, find_endpoint, validate
from airflow_provider_braze.api.errors import BrazeConfigurationError, identity_hash
from airflow_provider_braze.api.models.campaigns import check_recipient_size
from airflow_provider_braze.api.models.common import BODY_BYTES, PROPERTIES_BYTES, problems_of
from airflow_provider_braze.api.models.recipients import IDENTIFIERS, Recipient
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.seen import Seen

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_braze.delivery.audience import Audience


class PlannedRequest(NamedTuple):
    """One request, ready to go."""

    place: int
    body: bytes
    recipients: int


class Plan:
    """Requests in the order in which they go out; iterate over it once, then close it.

    :param endpoint: key of ``ENDPOINTS``.
    :param payload: the fields that all requests share.
    :param audience: who is to be messaged; None for a single request without recipients.
    :param max_invalid: how many rows may be refused before nothing is sent at all.
    :param allow_empty: whether an audience without anybody is fine.
    :raises BrazeValidationError: the shared fields break a rule.
    :raises BrazeAudienceError: the audience cannot be sent as it is.
    """

    def __init__(
        self,
        endpoint: str,
        payload: Mapping[str, Any],
        audience: Audience | None,
        *,
        max_invalid: int = 0,
        allow_empty: bool = False,
    ) -> None:
        self.endpoint = find_endpoint(endpoint)
        self.report = Report()
        self._payload = payload
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._sizes = array("L")
        self._people = array("H")
        try:
            if audience is None:
                self._append(encode(self.endpoint, validate(self.endpoint, payload)), 0)
            else:
                self._read(audience)
                self._judge(max_invalid, allow_empty)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[PlannedRequest]:
        self._file.seek(0)
        for place, (size, people) in enumerate(zip(self._sizes, self._people, strict=True)):
            yield PlannedRequest(place, self._file.read(size), people)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def _append(self, body: bytes, people: int) -> None:
        self._file.write(check_body_size(self.endpoint, body))
        self._sizes.append(len(body))
        self._people.append(people)

    def _read(self, audience: Audience) -> None:
        field, limit = self.endpoint.batch_field, self.endpoint.batch_limit
        if field is None or limit is None:
            raise BrazeConfigurationError(f"{self.endpoint.name} takes no recipients.")
        head = b""
        batch: list[bytes] = []
        size = 0
        for recipient, encoded in self._distinct(audience):
            if not head:
                head = self._head(field, recipient)
                size = len(head) + 2
            if len(batch) == limit or (batch and size + len(encoded) > BODY_BYTES):
                self._append(head + b",".join(batch) + b"]}", len(batch))
                batch, size = [], len(head) + 2
            batch.append(encoded)
            size += len(encoded) + 1
        if batch:
            self._append(head + b",".join(batch) + b"]}", len(batch))

    def _head(self, field: str, sample: Recipient) -> bytes:
        """Validate the shared fields together with one recipient, and give the body up to the recipients."""
        model = validate(self.endpoint, {**self._payload, field: [sample]})
        encode(self.endpoint, model)
        shared = model.model_dump_json(exclude_none=True, exclude={field}).encode()
        return check_body_size(self.endpoint, shared)[:-1] + f',"{field}":['.encode()

    def _distinct(self, audience: Audience) -> Iterator[tuple[Recipient, bytes]]:
        report, seen = self.report, Seen()
        validate_one = Recipient.__pydantic_validator__.validate_python
        write_one = Recipient.__pydantic_serializer__.to_json
        try:
            for entry in audience.recipients():
                report.recipients += 1
                try:
                    recipient = validate_one({"external_user_id": entry} if isinstance(entry, str | int) else entry)
                    encoded = write_one(recipient, exclude_none=True)
                    if len(encoded) > PROPERTIES_BYTES:
                        check_recipient_size(recipient)
                except (ValueError, PydanticSerializationError, RecursionError) as error:
                    report.refuse(_name_of(report.recipients, entry), _reasons(error))
                    continue
                if seen.add(recipient.identity):
                    yield recipient, encoded
                else:
                    report.duplicates += 1
        finally:
            seen.close()

    def _judge(self, max_invalid: int, allow_empty: bool) -> None:
        report = self.report
        if report.invalid > max_invalid:
            reasons = "".join(f"\n  - {count:,} x {reason}" for reason, count in report.invalid_reasons.items())
            samples = "".join(f"\n  - {sample}" for sample in report.invalid_samples[:5])
            raise BrazeAudienceError(
                f"{report.invalid:,} of {report.recipients:,} recipients cannot be sent (max_invalid allows {max_invalid:,}), "
                f"nothing was sent.\nWhy:{reasons}\nThe first ones:{samples}\n"
                "Correct the source, or raise max_invalid to leave such rows out."
            )
        if not len(self) and not allow_empty:
            raise BrazeAudienceError(
                "The audience is empty, nothing was sent. If that may happen, write allow_empty=True."
                if not report.recipients
                else f"None of the {report.recipients:,} recipients can be sent, nothing was sent."
            )


def _reasons(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return problems_of(error)
    return [str(error)] if type(error) is ValueError else ["holds a value that JSON cannot express"]


def _name_of(row: int, entry: Any) -> str:
    """Say which row is meant, the recipient hashed."""
    if isinstance(entry, BaseModel):
        entry = dict(entry)
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in IDENTIFIERS if entry.get(name) not in (None, "")), None)
        if isinstance(entry, Mapping):
            entry = entry.get("alias_name")
    return f"row {row:,}" + (f" (recipient {identity_hash(str(entry))})" if isinstance(entry, str | int) else "")
