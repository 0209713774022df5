"""What all request and response models share: the base class, identifiers, sizes, readable problems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticSerializationError, to_json

# Braze does not say whether a KB has 1000 or 1024 bytes; the smaller one is never refused over there.
PROPERTIES_BYTES = 50_000
BODY_BYTES = 4_000_000
RECIPIENTS_PER_CALL = 50
USER_ID_BYTES = 987
ALIAS_BYTES = 236
SEND_ID_CHARACTERS = 64


# Keeps fields that Braze adds tomorrow, and never shows values in errors.
OPEN = ConfigDict(extra="allow", hide_input_in_errors=True, serialize_by_alias=True)


class BrazeModel(BaseModel):
    """Base of every request and response."""

    model_config = OPEN


def byte_limit(limit: int) -> AfterValidator:
    """Refuse a text of more than ``limit`` bytes in UTF-8."""

    def check(value: str) -> str:
        size = len(value.encode())
        if size > limit:
            raise ValueError(f"is {size} bytes long, Braze takes at most {limit}")
        return value

    return AfterValidator(check)


def _one_message(source: Any, handler: Any) -> CoreSchema:
    schema: Any = handler(source)
    problem = {
        "custom_error_type": "user_id",
        "custom_error_message": "must be a text that is not blank, or a whole number",
    }
    return {**schema, **problem}


_NOT_BLANK = r"\S"

# Real callers post integer ids: they are kept as they come, booleans and decimals are not ids.
UserId = Annotated[Annotated[StrictStr, Field(pattern=_NOT_BLANK)] | StrictInt, GetPydanticSchema(_one_message)]


def _check_user_id(value: str | int) -> str | int:
    if len(str(value).encode()) > USER_ID_BYTES:
        raise ValueError(f"is longer than Braze's {USER_ID_BYTES} bytes")
    return value


ListedUserId = Annotated[UserId, AfterValidator(_check_user_id)]
Named = Annotated[StrictStr, Field(pattern=_NOT_BLANK)]
NonEmpty = Annotated[StrictStr, Field(min_length=1)]


def _as_text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def parse_time(text: str) -> datetime:
    """Read a date with a time of day in ISO 8601.

    :raises ValueError: it is none; a date alone is none either, since midnight is seldom meant.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date and time in ISO 8601, such as 2031-04-07T09:00:00Z") from None
    if len(text) <= len("2031-04-07"):
        raise ValueError("has no time of day: give a date and time in ISO 8601, such as 2031-04-07T09:00:00Z")
    return moment


def _check_time(text: str) -> str:
    parse_time(text)
    return text


# A text is sent as it came, a datetime as ISO 8601.
DateTime = Annotated[StrictStr, BeforeValidator(_as_text), AfterValidator(_check_time)]


def json_size(value: Any) -> int:
    """Bytes that a value takes as JSON in UTF-8.

    :raises ValueError: it holds something that JSON cannot express.
    """
    return len(write_json(value))


def write_json(value: Any) -> bytes:
    """Write a value as JSON in UTF-8.

    :raises ValueError: it holds something that JSON cannot express.
    """
    try:
        text = to_json(value, inf_nan_mode="constants")
    except (PydanticSerializationError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None
    check_numbers(text)
    return text


def check_numbers(text: bytes) -> None:
    """Refuse NaN and infinity in JSON: as a null, which they would become, they could remove an attribute.

    :raises ValueError: the text holds one.
    """
    if b"NaN" in text or b"Infinity" in text:
        json.loads(text, parse_constant=_refuse_number)


def _refuse_number(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which JSON cannot express: leave the value out where it is missing")


def check_properties_size(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hold personal or shared template values against Braze's 50 KB."""
    size = json_size(value)
    if size > PROPERTIES_BYTES:
        raise ValueError(f"is {size} bytes of JSON, Braze takes at most {PROPERTIES_BYTES} (50 KB)")
    return value


Properties = Annotated[dict[str, Any], AfterValidator(check_properties_size)]
SendId = Annotated[
    StrictStr,
    Field(min_length=1, max_length=SEND_ID_CHARACTERS),
    AfterValidator(lambda text: text if text.isascii() else _refuse("may hold ASCII characters only")),
]


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


def problems_of(error: ValidationError) -> list[str]:
    """Put a pydantic error into lines that begin with the field and hold none of the values."""
    problems = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        path, text = field_path(detail["loc"]), detail["msg"].removeprefix("Value error, ")
        problems.append(path + text if text.startswith("[") else f"{path}: {text}".removeprefix(": "))
    return problems


def field_path(location: Sequence[str | int]) -> str:
    """Write a location as ``recipients[3].email``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
