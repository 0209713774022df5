"""Puts a batch of recipients into the body of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from airflow_provider_braze.api.client import encode, validate
from airflow_provider_braze.api.endpoints import Endpoint

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.request import PlannedRequest


def body_writer(endpoint: Endpoint, payload: Mapping[str, Any], sample: bytes) -> Callable[[list[bytes]], bytes]:
    """Validate the shared fields together with one recipient, and give what writes a body for a batch.

    :param endpoint: the call.
    :param payload: the fields that all its requests share.
    :param sample: any recipient, as JSON.
    :raises BrazeValidationError: the shared fields break a rule.
    """
    fields = _fields(endpoint, [sample])
    model = validate(endpoint, {**payload, **fields})
    head = encode(endpoint, model.model_copy(update=dict.fromkeys(fields)))[:-1]
    if endpoint.batch_field == "recipients":
        return lambda batch: head + b',"recipients":[' + b",".join(batch) + b"]}"
    return lambda batch: head + b"," + to_json(_fields(endpoint, batch))[1:]


def people_of(endpoint: Endpoint, body: bytes) -> list[Mapping[str, Any]]:
    """Give the recipients of a body, in its order."""
    content = json.loads(body)
    if endpoint.batch_field == "recipients":
        recipients: list[Mapping[str, Any]] = content.get("recipients", [])
        return recipients
    users = [{"external_user_id": user} for user in content.get("external_user_ids", [])]
    return users + [{"user_alias": alias} for alias in content.get("user_aliases", [])]


def keep_people(endpoint: Endpoint, request: PlannedRequest, places: Sequence[int]) -> PlannedRequest:
    """Make a request to some of its recipients.

    :param places: which of them, in the order of :func:`people_of`; never none of them.
    """
    if len(places) == request.people:
        return request
    people = people_of(endpoint, request.body)
    fields = _fields(endpoint, (to_json(people[place]) for place in places))
    content = json.loads(request.body)
    for name in ("recipients", "external_user_ids", "user_aliases"):
        content.pop(name, None)
    return request._replace(body=to_json(content | fields), recipients=len(places))


def _fields(endpoint: Endpoint, batch: Iterable[bytes]) -> dict[str, Any]:
    recipients = [json.loads(text) for text in batch]
    if endpoint.batch_field == "recipients":
        return {"recipients": recipients}
    ids = [recipient["external_user_id"] for recipient in recipients if "external_user_id" in recipient]
    aliases = [recipient["user_alias"] for recipient in recipients if "user_alias" in recipient]
    return {name: people for name, people in (("external_user_ids", ids), ("user_aliases", aliases)) if people}
