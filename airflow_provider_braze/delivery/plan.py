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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_braze.api.client import admit, check_body_size, encode, fill_path, find_endpoint, validate
from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.api.models.common import BODY_BYTES
from airflow_provider_braze.api.models.recipients import identity_of
from airflow_provider_braze.delivery.batch import Batch, batches, name_of, refuse_too_many
from airflow_provider_braze.delivery.bodies import body_writer
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.reading import reading
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.staging import stage

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_braze.api.staging import StagingList
    from airflow_provider_braze.delivery.audience import Audience

_BUFFER = 1 << 18
_PROGRAMS = ("campaign_id", "canvas_id")
_FILTERS = ("audience", "segment_id", "custom_audience")


class Plan:
    """Requests in the order in which they go out; iterate over it once, then close it.

    ``target`` names what it sends: the endpoint, with the campaign or Canvas; of a single request without recipients
    also to whom, as a digest, since its ledger knows no more of them.

    :param endpoint: key of ``ENDPOINTS``.
    :param payload: the fields that all requests share.
    :param audience: who is to be messaged; None for a single request without recipients.
    :param max_recipients: how many recipients there may be at most.
    :param max_invalid: how many rows may be refused before nothing is sent at all.
    :param allow_empty: whether an audience without anybody is fine.
    :param staging: the only people who may be messaged, None for anybody.
    :raises BrazeValidationError: the shared fields break a rule.
    :raises BrazeAudienceError: the audience cannot be sent as it is.
    """

    def __init__(
        self,
        endpoint: str,
        payload: Mapping[str, Any],
        audience: Audience | None,
        *,
        max_recipients: int | None = None,
        max_invalid: int = 0,
        allow_empty: bool = False,
        staging: StagingList | None = None,
    ) -> None:
        row = find_endpoint(endpoint)
        path, self._payload = fill_path(row, payload)
        self.endpoint = replace(row, path=path)
        # A try that finds nothing left to send has no answer that would tell it.
        self.report = Report(send_id=payload.get("send_id"))
        self.payload = payload
        self.part_of: Sequence[tuple[int, int]] = getattr(audience, "part_of", ())
        self.target = " ".join(str(part) for part in (endpoint, *map(payload.get, _PROGRAMS)) if part)
        self._max_recipients, self._staging = max_recipients, staging
        self._file = tempfile.TemporaryFile(buffering=_BUFFER)  # noqa: SIM115 (closed by close)
        self._sizes = array("L")
        self._people = array("H")
        self._digests = array("Q")
        try:
            if audience is None:
                if whom := _whom(self._append_single()):
                    self.target += f" to {sha256(whom.encode(errors='surrogatepass')).hexdigest()[:8]}"
            else:
                self._read(stage(audience, staging, self.endpoint, max_recipients))
                # A part of an audience may be empty where the others are not.
                self._judge(max_invalid, allow_empty or getattr(audience, "has_others", False))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[PlannedRequest]:
        self._file.seek(0)
        for place, (size, people, digest) in enumerate(zip(self._sizes, self._people, self._digests, strict=True)):
            yield PlannedRequest(place, self._file.read(size), people, digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def renew(self, **fields: Any) -> None:
        """Write its single request anew with other values, before it is sent."""
        self.payload, self._payload = {**self.payload, **fields}, {**self._payload, **fields}
        self._file.seek(0)
        self._file.truncate()
        for kept in (self._sizes, self._people, self._digests):
            del kept[:]
        self._append_single()

    def digest(self, place: int) -> int | None:
        """Give the digest of the request at a place, None where the plan has none."""
        return self._digests[place] if place < len(self) else None

    def recipients(self, place: int) -> int:
        """Count the recipients of the request at a place."""
        return self._people[place]

    def _append(self, body: bytes, identities: list[str]) -> None:
        self._file.write(check_body_size(self.endpoint, body))
        self._sizes.append(len(body))
        self._people.append(len(identities))
        names = "\0".join(identities).encode(errors="surrogatepass")
        self._digests.append(int.from_bytes(sha256(names).digest()[:8], "big"))

    def _append_single(self) -> Mapping[str, Any]:
        content = encode(self.endpoint, validate(self.endpoint, self._payload))
        self._append(admit(self.endpoint, content, self._staging), [])
        body: Mapping[str, Any] = json.loads(content)
        return body

    def _read(self, audience: Audience) -> None:
        endpoint, report = self.endpoint, self.report
        if endpoint.batch_field is None:
            raise BrazeConfigurationError(f"{endpoint.name} takes no recipients.")
        write: Callable[[list[bytes]], bytes] | None = None
        for batch in batches(reading(audience.recipients(endpoint.values_field)), endpoint, report):
            write = write or body_writer(endpoint, self._payload, batch.texts[0])
            self._append_batch(write, batch)
            refuse_too_many(report.recipients - report.duplicates - report.invalid, self._max_recipients)

    def _append_batch(self, write: Callable[[list[bytes]], bytes], batch: Batch) -> None:
        """Append a request, or several where large attributes make one too large."""
        body = write(batch.texts)
        if len(body) <= BODY_BYTES:
            self._append(body, batch.identities)
            return
        room = BODY_BYTES - len(write([]))
        for text in (text for text in batch.texts if len(text) > room):
            problem = f"has {len(text)} bytes, which leaves no room in a request of {BODY_BYTES} (4 MB)"
            self.report.refuse(f"recipient {name_of(json.loads(text))}", [problem])
        fits = [len(text) <= room for text in batch.texts]
        batch = Batch(list(compress(batch.identities, fits)), list(compress(batch.texts, fits)))
        half = (len(batch.texts) + 1) // 2
        halves = (slice(half), slice(half, None)) if len(write(batch.texts)) > BODY_BYTES else (slice(None),)
        for part in map(batch.part, halves):
            if part.texts:
                self._append_batch(write, part)

    def _judge(self, max_invalid: int, allow_empty: bool) -> None:
        report = self.report
        if report.invalid > max_invalid:
            raise BrazeAudienceError(
                f"{report.invalid:,} of {report.recipients:,} recipients cannot be sent, max_invalid allows "
                f"{max_invalid:,}: nothing was sent.\n{_why(report)}\n"
                "Correct the source, or raise max_invalid to leave such rows out."
            )
        if not len(self) and not allow_empty:
            raise BrazeAudienceError(
                "The audience is empty, nothing was sent. If that may happen, write allow_empty=True."
                if not report.recipients
                else f"None of the {report.recipients:,} recipients can be sent, nothing was sent.\n{_why(report)}\n"
                "Correct the source, or write allow_empty=True if that is fine."
            )


def _why(report: Report) -> str:
    """Say why recipients cannot be sent."""
    reasons = "".join(f"\n  - {count:,} x {reason}" for reason, count in report.invalid_reasons.items())
    samples = "".join(f"\n  - {sample}" for sample in report.invalid_samples[:5])
    return f"Why:{reasons}\nThe first ones:{samples}"


def _whom(body: Mapping[str, Any]) -> str:
    """Say to whom a single request goes, whatever else is told of them; nothing where it has no limits."""
    if recipient := body.get("recipient"):
        return identity_of(recipient)
    filters = {name: body[name] for name in _FILTERS if name in body}
    return json.dumps(filters, sort_keys=True) if filters else ""
