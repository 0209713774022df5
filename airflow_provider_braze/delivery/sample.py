"""Some of an audience: who they are, without their values."""

from __future__ import annotations

from hashlib import blake2b
from heapq import heappush, heapreplace
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from airflow_provider_braze.api.models.common import problems_of
from airflow_provider_braze.api.models.recipients import IDENTIFIERS, RecipientFields, identity_of
from airflow_provider_braze.delivery.audience import Audience


def people_of_audience(audience: Audience, sample: int | None, most: int) -> list[dict[str, Any]]:
    """Give each person of an audience once, with one identifier.

    :param audience: it is read whole.
    :param sample: only so many of them: those with the smallest hashes, so the same ones each time.
    :param most: how many there may be without a sample.
    :raises BrazeAudienceError: it cannot be read.
    :raises ValueError: there is nobody, or too many, or one of them has no usable identifier.
    """
    read = TypeAdapter(RecipientFields).validator.validate_python
    known: dict[int, dict[str, Any]] = {}
    largest: list[int] = []  # As negative numbers, so that the heap's first is the largest.
    limit = most if sample is None else sample
    for number, entry in enumerate(audience.recipients(), 1):
        person = _person(read, entry, number)
        hashed = int.from_bytes(
            blake2b(identity_of(cast("RecipientFields", person)).encode(errors="replace"), digest_size=8).digest(),
            "big",
        )
        if hashed in known:
            continue
        if len(known) < limit:
            heappush(largest, -hashed)
        elif sample is None:
            raise ValueError(
                f"The audience has more than {most:,} recipients, of whom Braze cannot be asked one by one: give a "
                f"sample of up to {most:,}."
            )
        elif hashed < -largest[0]:
            del known[-heapreplace(largest, -hashed)]
        else:
            continue
        known[hashed] = person
    if not known:
        raise ValueError("The audience is empty: there is nobody who could have received anything.")
    return list(known.values())


def _person(read: Any, entry: Any, number: int) -> dict[str, Any]:
    if isinstance(entry, str | int) and not isinstance(entry, bool):
        entry = {"external_user_id": entry}
    try:
        fields = read(entry)
    except ValidationError as error:
        raise ValueError(f"Recipient {number:,} cannot be asked for: {'; '.join(problems_of(error))}") from None
    given = [name for name in IDENTIFIERS if fields.get(name) is not None]
    if len(given) != 1:
        raise ValueError(
            f"Recipient {number:,} has {' and '.join(given) or 'no identifier'}: give exactly one of "
            f"{', '.join(IDENTIFIERS)}."
        )
    return {given[0]: fields[given[0]]}
