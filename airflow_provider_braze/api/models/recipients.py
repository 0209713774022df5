"""Recipients, their aliases, attributes and attachments.

Rules: https://www.braze.com/docs/api/objects_filters/recipient_object/ and
https://www.braze.com/docs/api/objects_filters/user_alias_object/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictStr, model_validator

from airflow_provider_braze.api.models.common import (
    ALIAS_BYTES,
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


class UserAlias(BrazeModel):
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


class Recipient(BrazeModel):
    """One person of a triggered call: exactly one identifier, with values of their own."""

    external_user_id: UserId | None = None
    user_alias: UserAlias | None = None
    email: NonEmpty | None = None
    # The trigger pages do not list braze_id, the recipient page does: one more way to name exactly one person.
    braze_id: NonEmpty | None = None
    prioritization: Annotated[list[Prioritization], Field(min_length=1)] | None = None
    trigger_properties: dict[str, Any] | None = None
    send_to_existing_only: StrictBool | None = None
    attributes: Attributes | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        user_id = self.external_user_id
        given = (user_id is not None) + (self.user_alias is not None) + (self.email is not None)
        if given + (self.braze_id is not None) != 1:
            raise ValueError(_identifier_problem(self))
        if isinstance(user_id, str) and len(user_id) * 4 > USER_ID_BYTES < len(user_id.encode()):
            raise ValueError(f"external_user_id is longer than Braze's {USER_ID_BYTES} bytes")
        if self.email is not None or self.prioritization is not None:
            _check_prioritization(self)
        if self.send_to_existing_only is False:
            _check_existing_only(self)
        return self

    @property
    def identity(self) -> str:
        """One text per person: 7 and "7" are the same external id, e-mail addresses ignore case."""
        if self.external_user_id is not None:
            return f"u{self.external_user_id}"
        if self.email is not None:
            return f"e{self.email.strip().casefold()}"
        if self.user_alias is not None:
            return f"a{self.user_alias.alias_label}\0{self.user_alias.alias_name}"
        return f"b{self.braze_id}"


def _identifier_problem(recipient: Recipient) -> str:
    given = [name for name in IDENTIFIERS if getattr(recipient, name) is not None]
    if not given:
        return f"names nobody: give one of {', '.join(IDENTIFIERS)}"
    return f"has {' and '.join(given)}: give exactly one identifier, so that it is clear who is meant"


def _check_prioritization(recipient: Recipient) -> None:
    order = recipient.prioritization
    if recipient.email is not None and not order:
        raise ValueError(
            "email needs prioritization beside it, for example ['identified', 'most_recently_updated'], "
            "because several profiles may share an address"
        )
    if order and {"identified", "unidentified"} <= set(order):
        raise ValueError("prioritization takes identified or unidentified, not both")


def _check_existing_only(recipient: Recipient) -> None:
    # Beside an alias true says what Braze does anyway; only false asks for what it never does.
    if recipient.user_alias is not None:
        raise ValueError(
            "send_to_existing_only false cannot be combined with user_alias: Braze never creates such users"
        )
    if not recipient.attributes:
        raise ValueError("send_to_existing_only false needs attributes, from which Braze creates the user")
