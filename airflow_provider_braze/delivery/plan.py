"""The plan: an audience, read once and whole, becomes ready-made requests on disk before the first one is sent.

So a row that cannot be sent, an empty audience or a missing column is known while nobody has been messaged yet, the
database is let go before Braze is waited for, and the number of requests is known from the start. It costs no memory
but the set of recipients seen (:mod:`airflow_provider_braze.delivery.seen`), and disk for the bodies: about 100 bytes
per recipient with a few properties. The file has no name and vanishes with the process.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from airflow_provider_braze.api.client import check_body_size, encode, find_endpoint, validate
from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.api.models.common import BODY_BYTES
from airflow_provider_braze.delivery.batch import batches, name_of
from airflow_provider_braze.delivery.bodies import body_writer
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.report import Report

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_braze.delivery.audience import Audience

_BUFFER = 1 << 18


class PlannedRequest(NamedTuple):
    """One request, ready to go."""

    place: int
    body: bytes
    recipients: int

    def __repr__(self) -> str:
        return f"<request {self.place} for {self.recipients} recipients>"


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
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 (closed by close)
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
        endpoint = self.endpoint
        if endpoint.batch_field is None:
            raise BrazeConfigurationError(f"{endpoint.name} takes no recipients.")
        write: Callable[[list[bytes]], bytes] | None = None
        for batch in batches(audience.recipients(endpoint.values_field), endpoint, self.report):
            write = write or body_writer(endpoint, self._payload, batch[0])
            self._append_batch(write, batch)

    def _append_batch(self, write: Callable[[list[bytes]], bytes], batch: list[bytes]) -> None:
        """Append a request, or several where large attributes make one too large."""
        body = write(batch)
        if len(body) <= BODY_BYTES:
            self._append(body, len(batch))
            return
        room = BODY_BYTES - len(write([]))
        for text in (text for text in batch if len(text) > room):
            problem = f"has {len(text)} bytes, which leaves no room in a request of {BODY_BYTES} (4 MB)"
            self.report.refuse(f"recipient {name_of(json.loads(text))}", [problem])
        batch = [text for text in batch if len(text) <= room]
        half = (len(batch) + 1) // 2
        for part in (batch[:half], batch[half:]) if len(write(batch)) > BODY_BYTES else (batch,):
            if part:
                self._append_batch(write, part)

    def _judge(self, max_invalid: int, allow_empty: bool) -> None:
        report = self.report
        if report.invalid > max_invalid:
            reasons = "".join(f"\n  - {count:,} x {reason}" for reason, count in report.invalid_reasons.items())
            samples = "".join(f"\n  - {sample}" for sample in report.invalid_samples[:5])
            raise BrazeAudienceError(
                f"{report.invalid:,} of {report.recipients:,} recipients cannot be sent, max_invalid allows "
                f"{max_invalid:,}: nothing was sent.\nWhy:{reasons}\nThe first ones:{samples}\n"
                "Correct the source, or raise max_invalid to leave such rows out."
            )
        if not len(self) and not allow_empty:
            raise BrazeAudienceError(
                "The audience is empty, nothing was sent. If that may happen, write allow_empty=True."
                if not report.recipients
                else f"None of the {report.recipients:,} recipients can be sent, nothing was sent."
            )
