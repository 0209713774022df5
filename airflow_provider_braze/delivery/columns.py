"""Turns rows of columns into recipients: which column becomes which field is decided by its name.

========================================  =======================================================
column                                    becomes
========================================  =======================================================
``external_user_id``, ``email``,          the identifier of the recipient
``braze_id``
``alias_name`` with ``alias_label``       its ``user_alias``
``prioritization``                        a list, split at commas
``send_to_existing_only``                 a boolean, also from 0 and 1
``attributes.NAME``                       a profile attribute, written before the send
``trigger_properties.NAME``,              a value that a campaign's or a Canvas's message can show
``context.NAME``, any other
========================================  =======================================================

A NULL is left out, never sent: a null attribute would be removed from the profile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from airflow_provider_braze.delivery.errors import BrazeAudienceError

_PEOPLE = ("external_user_id", "email", "braze_id", "user_alias.alias_name")
_FIELDS = (*_PEOPLE, "user_alias.alias_label", "prioritization", "send_to_existing_only")
_SHORT = {name.rpartition(".")[2]: name for name in _FIELDS} | {name: name for name in _FIELDS}
_GROUPS = ("attributes", "trigger_properties", "context")


class ColumnReader:
    """Makes recipients of rows with the same columns.

    :param names: column names as the source gives them; case does not matter for Braze's own fields.
    :param columns: other names for some of them, as ``{column: field}``.
    :param values_field: the field for the values of columns that name no other.
    :raises BrazeAudienceError: a column is missing, or none of them names a recipient.
    """

    def __init__(
        self, names: Sequence[str], columns: Mapping[str, str] | None = None, values_field: str | None = None
    ) -> None:
        renamed = _renamed(names, columns or {})
        self._paths = [_path(name, values_field or "trigger_properties") for name in renamed]
        paths = [".".join(filter(None, path)) for path in self._paths]
        if not set(_PEOPLE) & set(paths):
            raise BrazeAudienceError(
                f"None of the columns ({', '.join(names) or 'there are none'}) names a recipient, nothing was sent. "
                "Call one of them external_user_id, email, or alias_name beside alias_label: by AS in SQL, or columns=."
            )
        if "user_alias.alias_name" in paths and "user_alias.alias_label" not in paths:
            raise BrazeAudienceError("alias_name needs a column alias_label beside it, nothing was sent.")
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise BrazeAudienceError(f"Several columns would become {', '.join(twice)}, nothing was sent.")

    def recipient(self, row: Sequence[Any]) -> dict[str, Any]:
        """Make a recipient of one row, not yet validated."""
        made: dict[str, Any] = {}
        for (group, name), value in zip(self._paths, row, strict=True):
            if value is None:
                continue
            if group:
                made.setdefault(group, {})[name] = _plain(value)
            else:
                made[name] = _CONVERT.get(name, _plain)(value)
        if "alias_name" not in made.get("user_alias", {"alias_name": 0}):
            del made["user_alias"]
        return made


def _renamed(names: Sequence[str], columns: Mapping[str, str]) -> list[str]:
    wanted = {name.casefold(): field for name, field in columns.items()}
    missing = sorted(name for name in columns if name.casefold() not in {there.casefold() for there in names})
    if missing:
        raise BrazeAudienceError(
            f"There is no column {', '.join(missing)}, nothing was sent. The audience has {', '.join(names)}."
        )
    return [wanted.get(name.casefold(), name) for name in names]


def _path(name: str, values_field: str) -> tuple[str, str]:
    field = _SHORT.get(name.casefold())
    if field:
        group, _, last = field.rpartition(".")
        return group, last
    group, dot, last = name.partition(".")
    if dot and group.casefold() in _GROUPS and last:
        return group.casefold(), last
    return values_field, name


# Stands for bytes, which no message can show; what cannot be written as JSON makes its row invalid.
_BINARY = object()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if "." in f"{value:f}" or not value.is_finite() else int(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return _BINARY
    return str(value) if isinstance(value, UUID) else value


def _flag(value: Any) -> Any:
    return bool(value) if value in (0, 1) else value


def _names(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


_CONVERT: Mapping[str, Callable[[Any], Any]] = {"prioritization": _names, "send_to_existing_only": _flag}
