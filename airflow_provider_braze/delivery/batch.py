"""From a stream of entries to batches of distinct, valid recipients, each ready as JSON.

Entries are taken in portions: what is true of nearly every portion (all valid, all new, none too large) is then
found out in one call for many of them, and only the others are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import compress, islice
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.api.models.common import PROPERTIES_BYTES, check_numbers, problems_of
from airflow_provider_braze.api.models.recipients import IDENTIFIERS, RecipientFields, identity_of
from airflow_provider_braze.api.models.triggered import check_recipient_size
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.seen import Seen

# Larger portions are slower: their objects outlive the young generation of the garbage collector.
PORTION = 50
_UNUSABLE = (ValueError, PydanticSerializationError, RecursionError)


class Judge:
    """Validates recipients of one kind, one by one or many at once.

    :param recipient: type of one recipient, as the endpoint's row has it.
    """

    def __init__(self, recipient: Any) -> None:
        self.one: Callable[[Any], RecipientFields] = TypeAdapter(recipient).validator.validate_python
        self.many: Callable[[Any], list[RecipientFields]] = TypeAdapter(list[recipient]).validator.validate_python


class Batch(NamedTuple):
    """Recipients of one request.

    :param identities: who they are, one text per person.
    :param texts: the same as JSON.
    """

    identities: list[str]
    texts: list[bytes]

    def part(self, places: slice) -> Batch:
        """Give some of them."""
        return Batch(self.identities[places], self.texts[places])


def refuse_too_many(count: int, most: int | None) -> None:
    """Refuse more people than are allowed.

    :raises BrazeAudienceError: they are more.
    """
    if most is not None and count > most:
        raise BrazeAudienceError(
            f"The audience has more than the {most:,} recipients that max_recipients allows: nothing was sent. If they "
            "are all meant, raise it."
        )


def batches(entries: Iterable[Any], endpoint: Endpoint, report: Report) -> Iterator[Batch]:
    """Cut a stream into batches of as many recipients as one call takes, each as JSON.

    Duplicates are merged over the whole stream: the first entry of a recipient counts.

    :param entries: recipient objects, plain external user ids, or both.
    :param endpoint: whose recipients they are.
    :param report: counts what was read, merged and refused.
    """
    limit = endpoint.batch_limit or 1
    waiting = Batch([], [])
    for portion in _distinct(entries, Judge(endpoint.recipient), report):
        waiting = Batch(waiting.identities + portion.identities, waiting.texts + portion.texts)
        whole = len(waiting.texts) - len(waiting.texts) % limit
        for start in range(0, whole, limit):
            yield waiting.part(slice(start, start + limit))
        waiting = waiting.part(slice(whole, None))
    if waiting.texts:
        yield waiting


def _distinct(entries: Iterable[Any], judge: Judge, report: Report) -> Iterator[Batch]:
    seen = Seen()
    stream = iter(entries)
    try:
        while portion := list(islice(stream, PORTION)):
            recipients, texts = valid_portion(portion, judge, report)
            report.recipients += len(portion)
            identities = [identity_of(recipient) for recipient in recipients]
            new = seen.add_all(identities)
            if not all(new):
                identities, texts = list(compress(identities, new)), list(compress(texts, new))
                report.duplicates += len(recipients) - len(texts)
            yield Batch(identities, texts)
    finally:
        seen.close()


def valid_portion(portion: list[Any], judge: Judge, report: Report) -> tuple[list[RecipientFields], list[bytes]]:
    """Give the valid recipients of a portion beside their JSON, which has no nulls."""
    entries = [{"external_user_id": entry} if isinstance(entry, str | int) else entry for entry in portion]
    try:
        recipients = judge.many(entries)
        texts = [_write(recipient) for recipient in recipients]
        check_numbers(b"".join(texts))
    except _UNUSABLE:
        return _valid_one_by_one(entries, judge, report)
    if max(map(len, texts)) > PROPERTIES_BYTES:
        return _valid_one_by_one(entries, judge, report)
    return recipients, texts


def _write(recipient: RecipientFields) -> bytes:
    given: Any = recipient
    if None in recipient.values():
        given = {name: value for name, value in recipient.items() if value is not None}
    return to_json(given, inf_nan_mode="constants")


def _valid_one_by_one(entries: list[Any], judge: Judge, report: Report) -> tuple[list[RecipientFields], list[bytes]]:
    recipients, texts = [], []
    for row, entry in enumerate(entries, start=report.recipients + 1):
        try:
            recipient = judge.one(entry)
            text = _write(recipient)
            check_numbers(text)
            if len(text) > PROPERTIES_BYTES:
                check_recipient_size(recipient)
        except _UNUSABLE as error:
            report.refuse(f"row {row:,} (recipient {name_of(entry) or 'unnamed'})", _reasons(error))
        else:
            recipients.append(recipient)
            texts.append(text)
    return recipients, texts


def _reasons(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return problems_of(error)
    return [str(error)] if type(error) is ValueError else ["holds a value that JSON cannot express"]


def name_of(entry: Any) -> str:
    """Name a recipient by a hash; empty where it names nobody."""
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in IDENTIFIERS if entry.get(name) not in (None, "")), None)
        if isinstance(entry, Mapping):
            entry = entry.get("alias_name")
    if not isinstance(entry, str | int):
        return ""
    try:
        return identity_hash(str(entry))
    except ValueError:  # A number that is too long to be written.
        return ""
