"""From a stream of entries to batches of distinct, valid recipients, each ready as JSON.

Entries are taken in portions: what is true of nearly every portion (all valid, all new, none too large) is then
found out in one call for many of them, and only the others are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress, islice
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.api.models.campaigns import check_recipient_size
from airflow_provider_braze.api.models.common import PROPERTIES_BYTES, problems_of
from airflow_provider_braze.api.models.recipients import IDENTIFIERS, Recipient, RecipientFields, identity_of
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.seen import Seen

# Larger portions are slower: their objects outlive the young generation of the garbage collector.
PORTION = 50
_ONE: TypeAdapter[RecipientFields] = TypeAdapter(Recipient)
_validate_one = _ONE.validator.validate_python
_validate_many = TypeAdapter(list[Recipient]).validator.validate_python
_write_one = _ONE.serializer.to_json
_UNUSABLE = (ValueError, PydanticSerializationError, RecursionError)


def batches(entries: Iterable[Any], limit: int, report: Report) -> Iterator[list[bytes]]:
    """Cut a stream into batches of at most ``limit`` recipients, each as JSON.

    Duplicates are merged over the whole stream: the first entry of a recipient counts.

    :param entries: recipient objects, plain external user ids, or both.
    :param limit: how many recipients one request takes.
    :param report: counts what was read, merged and refused.
    """
    waiting: list[bytes] = []
    for portion in _distinct(entries, report):
        waiting += portion
        whole = len(waiting) - len(waiting) % limit
        for start in range(0, whole, limit):
            yield waiting[start : start + limit]
        waiting = waiting[whole:]
    if waiting:
        yield waiting


def _distinct(entries: Iterable[Any], report: Report) -> Iterator[list[bytes]]:
    seen = Seen()
    stream = iter(entries)
    try:
        while portion := list(islice(stream, PORTION)):
            recipients, texts = _valid(portion, report)
            report.recipients += len(portion)
            new = seen.add_all([identity_of(recipient) for recipient in recipients])
            if not all(new):
                texts = list(compress(texts, new))
                report.duplicates += len(recipients) - len(texts)
            yield texts
    finally:
        seen.close()


def _valid(portion: list[Any], report: Report) -> tuple[list[RecipientFields], list[bytes]]:
    """Give the valid recipients of a portion beside their JSON, which has no nulls."""
    entries = [{"external_user_id": entry} if isinstance(entry, str | int) else entry for entry in portion]
    try:
        recipients = _validate_many(entries)
        texts = [_write_one(recipient, exclude_none=True) for recipient in recipients]
    except _UNUSABLE:
        return _valid_one_by_one(entries, report)
    if max(map(len, texts)) > PROPERTIES_BYTES:
        return _valid_one_by_one(entries, report)
    return recipients, texts


def _valid_one_by_one(entries: list[Any], report: Report) -> tuple[list[RecipientFields], list[bytes]]:
    recipients, texts = [], []
    for row, entry in enumerate(entries, start=report.recipients + 1):
        try:
            recipient = _validate_one(entry)
            text = _write_one(recipient, exclude_none=True)
            if len(text) > PROPERTIES_BYTES:
                check_recipient_size(recipient)
        except _UNUSABLE as error:
            report.refuse(_name_of(row, entry), _reasons(error))
        else:
            recipients.append(recipient)
            texts.append(text)
    return recipients, texts


def _reasons(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return problems_of(error)
    return [str(error)] if type(error) is ValueError else ["holds a value that JSON cannot express"]


def _name_of(row: int, entry: Any) -> str:
    """Say which row is meant, the recipient hashed."""
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in IDENTIFIERS if entry.get(name) not in (None, "")), None)
        if isinstance(entry, Mapping):
            entry = entry.get("alias_name")
    return f"row {row:,}" + (f" (recipient {identity_hash(str(entry))})" if isinstance(entry, str | int) else "")
