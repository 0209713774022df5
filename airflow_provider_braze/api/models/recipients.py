"""Recipients, their aliases, attributes and attachments.

Rules: https://www.braze.com/docs/api/objects_filters/recipient_object/ and
https://www.braze.com/docs/api/objects_filters/user_alias_object/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictStr, with_config
from typing_extensions import TypedDict

from airflow_provider_braze.api.models.common import (
    ALIAS_BYTES,
    OPEN,
    USER_ID_BYTES,
    BrazeModel,
    NonEmpty,
    UserId,
    byte_limit,
    json_size,
)

IDENTIFIERS = ("external_user_id", "user_alias", "email", "braze_id")
ARRAY_ELEMENTS = 500
OBJECT_ARRAY_BYTES = 100_000
_SUBSCRIPTION = ("opted_in", "subscribed", "unsubscribed")
_ENUMS: dict[str, tuple[str | None, ...]] = {
    "gender": ("M", "F", "O", "N", "P", None),
    "email_subscribe": _SUBSCRIPTION,
    "push_subscribe": _SUBSCRIPTION,
}
Prioritization = Literal["identified", "unidentified", "most_recently_updated", "least_recently_updated"]


@with_config(OPEN)
class UserAlias(TypedDict):
    """A name under a label, for users who have no external id."""

    alias_name: Annotated[NonEmpty, byte_limit(ALIAS_BYTES)]
    alias_label: Annotated[NonEmpty, byte_limit(ALIAS_BYTES)]


class Attachment(BrazeModel):
    """A file that Braze fetches and attaches to an e-mail, 2 MB at most."""

    file_name: NonEmpty
    url: NonEmpty
    basic_auth_credential: StrictStr | None = None


def check_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Hold profile attributes against the documented values and sizes; a null removes an attribute and is kept."""
    if attributes.get("external_id") is not None and attributes.get("user_alias") is not None:
        raise ValueError("holds both external_id and user_alias, which exclude each other")
    if len(str(attributes.get("external_id") or "").encode()) > USER_ID_BYTES:
        raise ValueError(f"external_id is longer than {USER_ID_BYTES} bytes")
    for name, allowed in _ENUMS.items():
        if name in attributes and attributes[name] not in (*allowed, None):
            raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}")
    for name, value in attributes.items():
        if isinstance(value, list):
            _check_array(name, value)
    return attributes


def _check_array(name: str, value: list[Any]) -> None:
    if len(value) > ARRAY_ELEMENTS:
        raise ValueError(f"{name} has {len(value)} elements, Braze keeps at most {ARRAY_ELEMENTS}")
    if any(isinstance(item, dict) for item in value) and json_size(value) > OBJECT_ARRAY_BYTES:
        raise ValueError(f"{name} is more than {OBJECT_ARRAY_BYTES} bytes (100 KB), the limit of an array of objects")


Attributes = Annotated[dict[str, Any], AfterValidator(check_attributes)]


@with_config(OPEN)
class RecipientFields(TypedDict, total=False):
    """The fields of a recipient: a dict, because models cost twice the time, and audiences have millions of them."""

    external_user_id: UserId | None
    user_alias: UserAlias | None
    email: NonEmpty | None
    # The trigger pages do not list braze_id, the recipient page does: one more way to name exactly one person.
    braze_id: NonEmpty | None
    prioritization: Annotated[list[Prioritization], Field(min_length=1)] | None
    trigger_properties: dict[str, Any] | None
    send_to_existing_only: StrictBool | None
    attributes: Attributes | None


def check_recipient(recipient: RecipientFields) -> RecipientFields:
    """Hold the rules between the fields of one recipient."""
    get = recipient.get
    user_id, email = get("external_user_id"), get("email")
    given = (user_id is not None) + (email is not None)
    if given + (get("user_alias") is not None) + (get("braze_id") is not None) != 1:
        raise ValueError(_identifier_problem(recipient))
    if isinstance(user_id, str) and len(user_id) * 4 > USER_ID_BYTES < len(user_id.encode()):
        raise ValueError(f"external_user_id is longer than Braze's {USER_ID_BYTES} bytes")
    if email is not None or get("prioritization") is not None:
        _check_prioritization(recipient)
    if get("send_to_existing_only") is False:
        _check_existing_only(recipient)
    return recipient


Recipient = Annotated[RecipientFields, AfterValidator(check_recipient)]


def identity_of(recipient: RecipientFields) -> str:
    """Give one text per person: 7 and "7" are the same external id, e-mail addresses ignore case."""
    user_id = recipient.get("external_user_id")
    if user_id is not None:
        return f"u{user_id}"
    if email := recipient.get("email"):
        return f"e{email.strip().casefold()}"
    if alias := recipient.get("user_alias"):
        return f"a{alias['alias_label']}\0{alias['alias_name']}"
    return f"b{recipient.get('braze_id')}"


def _identifier_problem(recipient: RecipientFields) -> str:
    given = [name for name in IDENTIFIERS if recipient.get(name) is not None]
    if not given:
        return f"names nobody: give one of {', '.join(IDENTIFIERS)}"
    return f"has {' and '.join(given)}: give exactly one identifier, so that it is clear who is meant"


def _check_prioritization(recipient: RecipientFields) -> None:
    order = recipient.get("prioritization")
    if recipient.get("email") is not None and not order:
        raise ValueError(
            "email needs prioritization beside it, for example ['identified', 'most_recently_updated'], "
            "because several profiles may share an address"
        )
    if order and {"identified", "unidentified"} <= set(order):
        raise ValueError("prioritization takes identified or unidentified, not both")


def _check_existing_only(recipient: RecipientFields) -> None:
    # Beside an alias true says what Braze does anyway; only false asks for what it never does.
    if recipient.get("user_alias") is not None:
        raise ValueError(
            "send_to_existing_only false cannot be combined with user_alias: Braze never creates such users"
        )
    if not recipient.get("attributes"):
        raise ValueError("send_to_existing_only false needs attributes, from which Braze creates the user")
