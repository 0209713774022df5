"""Recipients, their aliases, attributes and attachments.

Rules: https://www.braze.com/docs/api/objects_filters/recipient_object/ and
https://www.braze.com/docs/api/objects_filters/user_alias_object/.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, ValidationError, with_config
from typing_extensions import TypedDict

from airflow_provider_braze.api.models.common import (
    ALIAS_BYTES,
    OPEN,
    USER_ID_BYTES,
    BrazeModel,
    Named,
    NonEmpty,
    UserId,
    byte_limit,
    json_size,
    problems_of,
)

# The first whole number that is too long for an id. Python refuses to write much longer ones as text.
_LONGEST_NUMBER = 10**USER_ID_BYTES
IDENTIFIERS = ("external_user_id", "user_alias", "email", "braze_id")
ARRAY_ELEMENTS = 500
OBJECT_ARRAY_BYTES = 100_000
Subscription = Literal["opted_in", "subscribed", "unsubscribed"]
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


class SubscriptionGroup(BrazeModel):
    """A user's state in a subscription group."""

    subscription_group_id: NonEmpty | StrictInt
    subscription_state: Literal["subscribed", "unsubscribed"]
    use_double_opt_in_logic: StrictBool | None = None


class UserAttributes(BrazeModel):
    """What Braze documents of the attributes it knows; all others may be anything, and a null removes any."""

    external_id: Annotated[StrictStr, byte_limit(USER_ID_BYTES)] | None = None
    user_alias: UserAlias | None = None
    braze_id: StrictStr | None = None
    email: StrictStr | None = None
    phone: StrictStr | None = None
    update_existing_only: Annotated[StrictBool | None, Field(alias="_update_existing_only")] = None
    push_token_import: StrictBool | None = None
    first_name: StrictStr | None = None
    last_name: StrictStr | None = None
    gender: Literal["M", "F", "O", "N", "P"] | None = None
    dob: Annotated[StrictStr, AfterValidator(lambda text: text if _is_date(text) else _refuse_date())] | None = None
    country: StrictStr | None = None
    home_city: StrictStr | None = None
    language: StrictStr | None = None
    email_subscribe: Subscription | None = None
    push_subscribe: Subscription | None = None
    subscription_groups: list[SubscriptionGroup] | None = None
    push_tokens: list[dict[str, Any]] | None = None


def check_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Hold profile attributes against the documented types and sizes, and give them back with their nulls."""
    try:
        known = UserAttributes.model_validate(attributes)
    except ValidationError as error:
        raise ValueError("; ".join(problems_of(error))) from None
    if known.external_id is not None and known.user_alias is not None:
        raise ValueError("holds both external_id and user_alias, which exclude each other")
    json_size(attributes)
    for name, value in attributes.items():
        if isinstance(value, list):
            _check_array(name, value)
    return attributes


def _is_date(text: str) -> bool:
    try:
        return len(text) == len("2031-04-07") and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _refuse_date() -> NoReturn:
    raise ValueError("must be a date as YYYY-MM-DD")


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
    email: Named | None
    # The trigger pages do not list braze_id, the recipient page does: one more way to name exactly one person.
    braze_id: Named | None
    prioritization: list[Prioritization] | None
    trigger_properties: dict[str, Any] | None
    context: dict[str, Any] | None
    canvas_entry_properties: dict[str, Any] | None
    send_to_existing_only: StrictBool | None
    attributes: Attributes | None


# Fields with rules between them; most recipients of large audiences have none.
_RULED = frozenset(("user_alias", "email", "braze_id", "prioritization", "send_to_existing_only"))


def check_recipient(recipient: RecipientFields) -> RecipientFields:
    """Hold the rules between the fields of one recipient."""
    get = recipient.get
    user_id = get("external_user_id")
    if isinstance(user_id, str):
        too_long = len(user_id) * 4 > USER_ID_BYTES < len(user_id.encode())
    else:
        too_long = isinstance(user_id, int) and abs(user_id) >= _LONGEST_NUMBER
    if too_long:
        raise ValueError(f"external_user_id is longer than Braze's {USER_ID_BYTES} bytes")
    if user_id is not None and _RULED.isdisjoint(recipient):
        return recipient
    email = get("email")
    given = (user_id is not None) + (email is not None)
    if given + (get("user_alias") is not None) + (get("braze_id") is not None) != 1:
        raise ValueError(_identifier_problem(recipient))
    if email is not None or get("prioritization") is not None:
        _check_prioritization(recipient)
    if get("send_to_existing_only") is False:
        _check_existing_only(recipient)
    return recipient


Recipient = Annotated[RecipientFields, AfterValidator(check_recipient)]


def check_person(person: RecipientFields) -> RecipientFields:
    """Hold somebody against the calls that send one content to all."""
    given = [name for name, value in person.items() if value is not None]
    if given not in (["external_user_id"], ["user_alias"]):
        raise ValueError(
            f"has {', '.join(given)}: everybody gets the same content here, so give external_user_id or user_alias, "
            "and nothing else"
        )
    return person


def check_user(person: RecipientFields) -> RecipientFields:
    """Hold somebody against the calls that know external user ids only."""
    if person.get("external_user_id") is None:
        raise ValueError("has no external_user_id, which is all that this call takes")
    return check_person(person)


Person = Annotated[Recipient, AfterValidator(check_person)]
User = Annotated[Recipient, AfterValidator(check_user)]


def identity_of(recipient: RecipientFields) -> str:
    """Give one text per person: 7 and "7" are the same external id, e-mail addresses ignore case."""
    user_id = recipient.get("external_user_id")
    if user_id is not None:
        return f"u{user_id}"
    if email := recipient.get("email"):
        return f"e{email.strip().lower()}"
    if alias := recipient.get("user_alias"):
        return f"a{len(alias['alias_label'])}:{alias['alias_label']}{alias['alias_name']}"
    return f"b{recipient.get('braze_id')}"


def _identifier_problem(recipient: RecipientFields) -> str:
    given = [name for name in IDENTIFIERS if recipient.get(name) is not None]
    if not given:
        return f"names nobody: give one of {', '.join(IDENTIFIERS)}"
    return f"has {' and '.join(given)}: give exactly one identifier, and leave the others out"


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
