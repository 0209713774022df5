"""Judges a request by the contract's tables: types, required fields, enums, limits, then the rules."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.channel_rules import CONDITIONS, FIELD_RULES, NOT_ALWAYS_REQUIRED
from airflow_provider_braze.emulator.limits import Limit, parse_limits
from airflow_provider_braze.emulator.problems import BAD_REQUEST, INVALID_EXTRA, Problem
from airflow_provider_braze.emulator.rulebook import BODY_RULES, NOT_JUDGED_HERE, OBJECT_RULES, RECIPIENT_RULES, Rule
from airflow_provider_braze.emulator.rules import identifier_size
from airflow_provider_braze.emulator.shapes import shape_of
from airflow_provider_braze.emulator.specification import Contract, EndpointSpec, Field, ObjectSpec

Check = Callable[[Any, str], Iterator[Problem]]

# Real callers post their numeric ids as they are; 123 and "123" are the same person.
MAY_BE_INTEGER = ("external_user_id", "external_user_ids", "external_id", "external_ids")
# The contract's word for a required text without a lower limit; elsewhere nothing is as good as missing.
MAY_BE_EMPTY = "may be empty"
# These stand in lists, so no rule of an object looks at their size.
LISTED = ("external_user_ids", "external_ids")
# The schedule variant of a send names only some of the rules that its fields' texts and the errors page ask for.
ALSO = {"messages_schedule_create": ("max_50", "variation_needed", "message_needed", "send_id_needs_campaign")}

_WORDS = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
    "array": "a list",
    "datetime": "an ISO 8601 date and time",
}
_SCALARS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    # A date alone would be midnight, when nobody meant to send.
    "datetime": lambda value: parse_time(value) is not None and len(value) > len("2031-04-07"),
    "any": lambda _: True,
    "identifier": lambda _: True,
}


class Validator:
    """Checks bodies and queries of the served endpoints, each check compiled once from the contract."""

    def __init__(self, contract: Contract, served: Iterable[str]) -> None:
        self._contract = contract
        self._objects: dict[str, Check] = {}
        self.unknown: list[str] = []
        self._checks = {name: self._request(contract.endpoints[name]) for name in served}
        if self.unknown:
            raise NotImplementedError(f"the contract says what nothing here judges: {self.unknown}")

    def body_problems(self, endpoint: EndpointSpec, body: Any) -> list[Problem]:
        """Everything wrong with a parsed JSON body; empty where Braze would accept it."""
        if not isinstance(body, dict):
            return [Problem("the body must be a JSON object")]
        return list(self._checks[endpoint.id](body, ""))

    def query_problems(self, endpoint: EndpointSpec, query: Mapping[str, str]) -> list[Problem]:
        """The same for a query string, whose values arrive as text."""
        typed = {field.name: _typed(field, query[field.name]) for field in endpoint.query if field.name in query}
        return list(self._checks[endpoint.id](typed, ""))

    def _request(self, endpoint: EndpointSpec) -> Check:
        """The body of a POST, the query of a GET."""
        fields = self._fields((*endpoint.body, *endpoint.query), ())
        of_body: list[Rule] = []
        of_each: list[Rule] = []
        for rule_id in (*endpoint.rule_ids, *ALSO.get(endpoint.id, ())):
            own = f"{endpoint.id}.{rule_id}"
            if own in BODY_RULES or rule_id in BODY_RULES:
                of_body.append(BODY_RULES.get(own) or BODY_RULES[rule_id])
            elif rule_id in RECIPIENT_RULES:
                of_each.append(RECIPIENT_RULES[rule_id])
            elif rule_id not in NOT_JUDGED_HERE:
                self.unknown.append(own)

        def check(body: Any, where: str) -> Iterator[Problem]:
            yield from fields(body, where)
            for rule in of_body:
                yield from rule(body, where)
            for place, recipient in _recipients(body):
                for rule in of_each:
                    yield from rule(recipient, f"recipients[{place}]")

        return check

    def _object(self, name: str) -> Check:
        if name not in self._objects:
            spec = self._contract.objects.get(name) or ObjectSpec(name, (), (), {}, {})
            named = [rule if "#" in rule else f"{name}.{rule}" for rule in spec.rule_ids]
            named.extend(FIELD_RULES.get(name, ()))
            self.unknown.extend(rule for rule in named if rule not in OBJECT_RULES and rule not in NOT_JUDGED_HERE)
            rules = [rule for rule in named if rule in OBJECT_RULES]
            fields = self._fields(spec.fields, rules, NOT_ALWAYS_REQUIRED.get(name, ()))
            self._objects[name] = self._shaped(fields, spec) if spec.shapes else fields
        return self._objects[name]

    def _shaped(self, fields: Check, spec: ObjectSpec) -> Check:
        """An object whose ``message`` has the shape that its ``message_type`` names."""
        shapes = {kind: self._fields(shape, ()) for kind, shape in spec.shapes.items()}

        def check(value: Any, where: str) -> Iterator[Problem]:
            yield from fields(value, where)
            kind, message = (value.get("message_type"), value.get("message")) if isinstance(value, dict) else (0, 0)
            if isinstance(kind, str) and kind in shapes and isinstance(message, dict):
                yield from shapes[kind](message, f"{where}.message")

        return check

    def _fields(self, fields: Iterable[Field], rule_ids: Iterable[str], not_required: Iterable[str] = ()) -> Check:
        fields = tuple(fields)
        checks = {field.name: self._field(field) for field in fields if "<" not in field.name}
        required = [field.name for field in fields if field.required and field.name not in not_required]
        may_be_empty = {field.name for field in fields if MAY_BE_EMPTY in field.limits or not field.required}
        conditional = [condition for field in fields for condition in self._conditions(field)]
        rules = [OBJECT_RULES[rule_id] for rule_id in rule_ids]

        def check(value: Any, where: str) -> Iterator[Problem]:
            if not isinstance(value, dict):
                yield Problem(f"{where} must be an object")
                return
            prefix = f"{where}." if where else ""
            for name in (*required, *(name for name, is_needed in conditional if is_needed(value))):
                if value.get(name) is None or (value[name] == "" and name not in may_be_empty):
                    yield Problem(f"{prefix}{name} is required")
            for name, item in value.items():
                if item is not None and name in checks:
                    yield from checks[name](item, prefix + name)
            for rule in rules:
                yield from rule(value, where)

        return check

    def _conditions(self, field: Field) -> Iterator[tuple[str, Callable[[Mapping[str, Any]], bool]]]:
        for words, needed_if in ((field.required_when, True), (field.required_unless, False)):
            if words and words not in CONDITIONS:
                self.unknown.append(f"{field.name}: required when or unless {words}")
            elif words and (holds := CONDITIONS[words]) is not None:
                yield field.name, functools.partial(_equals, holds, needed_if)

    def _field(self, field: Field) -> Check:
        limits, unknown = parse_limits(field.limits)
        self.unknown.extend(f"{field.name}: {clause}" for clause in unknown)
        of_type = self._fields(field.fields, ()) if field.fields else self._type(field.type, field.name)
        if field.keys:
            of_type = _only_keys(of_type, field.keys)
        enum = field.enum
        if not enum and not limits:
            return of_type

        def check(value: Any, where: str) -> Iterator[Problem]:
            wrong = list(of_type(value, where)) or list(_outside(enum, value, where))
            yield from wrong
            if not wrong:
                yield from _over(limits, value, where)

        return check

    def _type(self, notation: str, name: str) -> Check:
        if match := re.fullmatch(r"array<(.+)>", notation):
            return _each(self._type(match[1], name))
        if match := re.fullmatch(r"object:(\w+)", notation):
            return self._object(match[1])
        if name in MAY_BE_INTEGER:
            return _identifier if name in LISTED else _one_of(["string", "integer"])
        if notation.startswith(("{", "object{")):
            return self._fields(shape_of(notation), ())
        kinds = notation.split("|")
        if any(kind not in _SCALARS for kind in kinds):
            return _either([self._type(kind, name) for kind in kinds])
        return _one_of(kinds, INVALID_EXTRA if name == "extra" else BAD_REQUEST)


def _equals(holds: Callable[[Mapping[str, Any]], bool], wanted: bool, parent: Mapping[str, Any]) -> bool:
    return holds(parent) is wanted


# Known to some endpoints: where it is not listed it is left out on purpose.
_ELSEWHERE = {"whats_app"}


def _only_keys(check_value: Check, keys: tuple[str, ...]) -> Check:
    """A channel that the endpoint does not list is refused; an unknown one may be new, beside a known one."""

    def check(value: Any, where: str) -> Iterator[Problem]:
        for name in value if isinstance(value, dict) else ():
            if name not in keys and (name in _ELSEWHERE or not set(keys) & set(value)):
                yield Problem(f"{where}.{name} is not a channel of this endpoint")
        yield from check_value(value, where)

    return check


def _either(checks: list[Check]) -> Check:
    def check(value: Any, where: str) -> Iterator[Problem]:
        found = [list(one(value, where)) for one in checks]
        if all(found):
            yield from found[-1]

    return check


def _one_of(kinds: list[str], message: str = BAD_REQUEST) -> Check:
    first, *others = [_SCALARS[kind] for kind in kinds]
    words = " or ".join(_WORDS.get(kind, kind) for kind in kinds)

    def check(value: Any, where: str) -> Iterator[Problem]:
        if not first(value) and not any(test(value) for test in others):
            yield Problem(f"{where} must be {words}", message)

    return check


def _identifier(value: Any, where: str) -> Iterator[Problem]:
    wrong = list(_one_of(["string", "integer"])(value, where))
    yield from wrong or identifier_size(str(value), where)


def _each(check_item: Check) -> Check:
    def check(value: Any, where: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem(f"{where} must be a list")
            return
        for place, item in enumerate(value):
            yield from check_item(item, f"{where}[{place}]")

    return check


def _outside(enum: tuple[Any, ...], value: Any, where: str) -> Iterator[Problem]:
    if enum and any(item not in enum for item in (value if isinstance(value, list) else [value])):
        yield Problem(f"{where} must be one of {', '.join(str(item) for item in enum if item is not None)}")


def _over(limits: list[Limit], value: Any, where: str) -> Iterator[Problem]:
    for limit in limits:
        if problem := limit(value, where):
            yield problem


def _recipients(body: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    recipients = body.get("recipients")
    for place, recipient in enumerate(recipients if isinstance(recipients, list) else ()):
        if isinstance(recipient, dict):
            yield place, recipient


def _typed(field: Field, text: str) -> Any:
    if field.type == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if field.type in ("integer", "number"):
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,1000}", text) else text
    return text
