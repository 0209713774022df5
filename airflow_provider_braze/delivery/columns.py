"""Turns rows of columns into recipients: which column becomes which field is decided by its name.

========================================  =======================================================
column                                    becomes
========================================  =======================================================
``external_user_id``, ``email``,          the identifier of the recipient
``braze_id``
``alias_name`` with ``alias_label``       its ``user_alias``
``prioritization``                        a list, split at commas
``send_to_existing_only``                 a boolean, also from 0 and 1, "true" and "false"
``attributes.NAME``                       a profile attribute, written before the send
``trigger_properties.NAME``,              a value that a campaign's or a Canvas's message can show
``context.NAME``, any other
========================================  =======================================================

Spaces around ``external_user_id``, ``email`` and ``braze_id`` do not count. ``columns={"name": None}`` leaves a column
out.

A NULL is left out, never sent: a null attribute would be removed from the profile. So are the nulls inside of objects,
at any depth, but not those in a list, where each has its place.

Files may hold objects besides: ``attributes``, ``trigger_properties``, ``context``, ``canvas_entry_properties`` and
``user_alias`` as Braze's recipients have them, with as many fields as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from airflow_provider_braze.delivery.errors import BrazeAudienceError

_NAMES = ("external_user_id", "email", "braze_id", "user_alias.alias_name")
_PEOPLE = {*_NAMES, "user_alias"}
_FIELDS = (*_NAMES, "user_alias.alias_label", "prioritization", "send_to_existing_only")
_SHORT = {name.rpartition(".")[2]: name for name in _FIELDS} | {name: name for name in _FIELDS}
_GROUPS = ("attributes", "trigger_properties", "context")
_OBJECTS = (*_GROUPS, "canvas_entry_properties", "user_alias")
_MOST_PATHS = 10_000
Columns = Mapping[str, str | None]


class ColumnReader:
    """Makes recipients of rows with the same columns.

    :param names: column names as the source gives them; case does not matter for Braze's own fields.
    :param columns: other names for some of them, as ``{column: field}``; None leaves a column out.
    :param values_field: the field for the values of columns that name no other.
    :param objects: those of the columns whose values are objects; one named ``attributes`` holds attributes then.
    :param confidential: whether the names may be somebody's data, since a header line may be missing; no error then
        quotes them.
    :raises BrazeAudienceError: a column is missing, or none of them names a recipient.
    """

    def __init__(
        self,
        names: Sequence[str],
        columns: Columns | None = None,
        values_field: str | None = None,
        *,
        objects: Collection[str] = (),
        confidential: bool = False,
    ) -> None:
        listed = (
            (f"{len(names)} column" + "s" * (len(names) != 1)) if confidential else ", ".join(names) or "there are none"
        )
        renamed = _renamed(names, _checked(columns), listed)
        self._paths = [
            _path(new, values_field, is_object=name in objects) for name, new in zip(names, renamed, strict=True)
        ]
        self._objects = [place for place, (group, name) in enumerate(self._paths) if group and not name]
        paths = [".".join(filter(None, path)) for path in self._paths if any(path)]
        if not _PEOPLE & set(paths):
            raise BrazeAudienceError(
                f"None of the columns ({listed}) names a recipient, nothing was sent. "
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
            if value is None or not name:
                continue
            if not group:
                made[name] = _CONVERT.get(name, _plain)(value)
            elif (plain := _plain(value)) is not None:
                made.setdefault(group, {})[name] = plain
        for place in self._objects:
            if row[place] is not None:
                _merge(made, self._paths[place][0], row[place])
        return _without_label(made)


class ObjectReader:
    """Makes recipients of objects whose keys are columns, each with keys of its own; they may be nested besides.

    :param columns: other names for some of the keys, as ``{key: field}``; None leaves a key out.
    :param values_field: the field for the values of keys that name no other.
    """

    def __init__(self, columns: Columns | None = None, values_field: str | None = None) -> None:
        self._columns = {name.casefold(): field for name, field in _checked(columns).items()}
        self._missing = {name.casefold(): name for name in columns or ()}
        self._values_field = values_field
        self._paths: dict[str, tuple[str, str]] = {}

    def recipient(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Make a recipient of one object, not yet validated.

        :raises BrazeAudienceError: two of its keys become the same field, or one that must be an object is none.
        """
        made: dict[str, Any] = {}
        for key, value in entry.items():
            group, name = self._paths.get(key) or self._find(key)
            if value is None:
                continue
            if not name:
                if group:
                    _merge(made, group, value)
                continue
            plain = _plain(value) if group else _CONVERT.get(name, _plain)(value)
            if plain is None:
                continue
            fields = made.setdefault(group, {}) if group else made
            if name in fields:
                raise BrazeAudienceError("Two of its keys become the same field, nothing was sent.")
            fields[name] = plain
        return _without_label(made)

    def check_columns(self) -> None:
        """Once all objects are read, make sure that each key that was to be renamed has been in one of them.

        :raises BrazeAudienceError: one has been in none.
        """
        if self._missing:
            raise BrazeAudienceError(f"There is no key {', '.join(sorted(self._missing.values()))}, nothing was sent.")

    def _find(self, key: str) -> tuple[str, str]:
        if len(self._paths) >= _MOST_PATHS:  # Keys may be data.
            self._paths.clear()
        self._missing.pop(key.casefold(), None)
        path = _path(self._columns.get(key.casefold(), key), self._values_field, is_object=True)
        self._paths[key] = path
        return path


def _checked(columns: Columns | None) -> Columns:
    for name, field in (columns or {}).items():
        if not isinstance(name, str) or not (field is None or (isinstance(field, str) and field.strip())):
            raise BrazeAudienceError(
                f"columns[{name!r}] must be the name of a field of the recipient, or None to leave the column out; it "
                f"is {field!r}: nothing was sent."
            )
    return columns or {}


def _renamed(names: Sequence[str], columns: Columns, listed: str) -> list[str | None]:
    wanted = {name.casefold(): field for name, field in columns.items()}
    missing = sorted(name for name in columns if name.casefold() not in {there.casefold() for there in names})
    if missing:
        raise BrazeAudienceError(
            f"There is no column {', '.join(missing)}, nothing was sent. The audience has {listed}; columns= goes from "
            "a column of the source to a field of the recipient."
        )
    return [wanted.get(name.casefold(), name) for name in names]


def _path(name: str | None, values_field: str | None, *, is_object: bool = False) -> tuple[str, str]:
    """Tell group and name of a field; an empty name stands for all fields of an object, and no group for nothing."""
    if name is None:
        return "", ""
    field = _SHORT.get(name.casefold())
    if field:
        group, _, last = field.rpartition(".")
        return group, last
    if is_object and name.casefold() in _OBJECTS:
        return name.casefold(), ""
    group, dot, last = name.partition(".")
    if dot and group.casefold() in _GROUPS and last:
        return group.casefold(), last
    return values_field or "trigger_properties", name


def _merge(made: dict[str, Any], group: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise BrazeAudienceError(f"{group} must be an object, nothing was sent.")
    fields = _plain(value) or {}
    if fields.keys() & made.get(group, {}).keys():
        raise BrazeAudienceError(f"A field of {group} is given twice, nothing was sent.")
    if fields:
        made.setdefault(group, {}).update(fields)


def _without_label(made: dict[str, Any]) -> dict[str, Any]:
    if "alias_name" not in made.get("user_alias", {"alias_name": 0}):
        del made["user_alias"]
    return made


# Stands for bytes, which no message can show; what cannot be written as JSON makes its row invalid.
_BINARY = object()


def _plain(value: Any, *, listed: bool = False) -> Any:
    """Give a value as JSON has it; None for what is to be left out.

    :param listed: whether it is in a list, where nulls have their place.
    """
    if isinstance(value, Decimal):
        return float(value) if "." in f"{value:f}" or not value.is_finite() else int(value)
    if isinstance(value, list | tuple):
        return [_plain(item, listed=True) for item in value]
    if isinstance(value, Mapping):
        fields = {key: _plain(item, listed=listed) for key, item in value.items()}
        if listed or not value:
            return fields
        # What holds nothing but nulls is none itself: as an empty object it would replace what the profile has.
        return {key: item for key, item in fields.items() if item is not None} or None
    if isinstance(value, bytes | bytearray | memoryview):
        return _BINARY
    return str(value) if isinstance(value, UUID) else value


_WORDS = {"true": True, "1": True, "false": False, "0": False}


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS.get(value.strip().casefold(), value)
    return bool(value) if value in (0, 1) else value


def _names(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _identifier(value: Any) -> Any:
    """Columns of a fixed width, and cells of a file, come with spaces around."""
    return value.strip() if isinstance(value, str) else _plain(value)


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "prioritization": _names,
    "send_to_existing_only": _flag,
    **dict.fromkeys(("external_user_id", "email", "braze_id"), _identifier),
}
