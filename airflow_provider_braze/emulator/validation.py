"""Judges a request by the contract's tables: types, required fields, enums, limits, then the rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.limits import Limit, parse_limits
from airflow_provider_braze.emulator.problems import Problem
from airflow_provider_braze.emulator.rules import BODY_RULES, NOT_JUDGED_HERE, OBJECT_RULES, RECIPIENT_RULES
from airflow_provider_braze.emulator.specification import Contract, EndpointSpec, Field

Check = Callable[[Any, str], Iterator[Problem]]

# Real callers post their numeric ids as they are; 123 and "123" are the same person.
MAY_BE_INTEGER = ("external_user_id", "external_user_ids", "external_id")
# Rules that the contract writes as text on a field of the object.
FIELD_RULES = {"recipient": ("recipient.prioritization",)}

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
    "datetime": lambda value: parse_time(value) is not None,
    "any": lambda _: True,
    "identifier": lambda _: True,
}


class Validator:
    """Checks bodies and queries of the served endpoints, each check compiled once from the contract."""

    def __init__(self, contract: Contract, served: Iterable[str]) -> None:
        self._contract = contract
        self._objects: dict[str, Check] = {}
        self.unknown: list[str] = []
        self._bodies = {name: self._body(contract.endpoints[name]) for name in served}
        self._queries = {name: self._fields(contract.endpoints[name].query, ()) for name in self._bodies}
        if self.unknown:
            raise NotImplementedError(f"the contract says what nothing here judges: {self.unknown}")

    def body_problems(self, endpoint: EndpointSpec, body: Any) -> list[Problem]:
        """Everything wrong with a parsed JSON body; empty where Braze would accept it."""
        if not isinstance(body, dict):
            return [Problem("the body must be a JSON object")]
        return list(self._bodies[endpoint.id](body, ""))

    def query_problems(self, endpoint: EndpointSpec, query: Mapping[str, str]) -> list[Problem]:
        """The same for a query string, whose values arrive as text."""
        typed = {field.name: _typed(field, query[field.name]) for field in endpoint.query if field.name in query}
        return list(self._queries[endpoint.id](typed, ""))

    def _body(self, endpoint: EndpointSpec) -> Check:
        for rule_id in endpoint.rule_ids:
            if rule_id not in BODY_RULES and rule_id not in RECIPIENT_RULES and rule_id not in NOT_JUDGED_HERE:
                self.unknown.append(f"{endpoint.id}.{rule_id}")
        fields = self._fields(endpoint.body, ())
        of_body = [BODY_RULES[rule_id] for rule_id in endpoint.rule_ids if rule_id in BODY_RULES]
        of_each = [RECIPIENT_RULES[rule_id] for rule_id in endpoint.rule_ids if rule_id in RECIPIENT_RULES]

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
            spec = self._contract.objects[name]
            named = [rule if "#" in rule else f"{name}.{rule}" for rule in spec.rule_ids]
            named.extend(FIELD_RULES.get(name, ()))
            self.unknown.extend(rule for rule in named if rule not in OBJECT_RULES and rule not in NOT_JUDGED_HERE)
            self._objects[name] = self._fields(spec.fields, [rule for rule in named if rule in OBJECT_RULES])
        return self._objects[name]

    def _fields(self, fields: Iterable[Field], rule_ids: Iterable[str]) -> Check:
        checks = {field.name: self._field(field) for field in fields if "<" not in field.name}
        required = [field.name for field in fields if field.required]
        rules = [OBJECT_RULES[rule_id] for rule_id in rule_ids]

        def check(value: Any, where: str) -> Iterator[Problem]:
            if not isinstance(value, dict):
                yield Problem(f"{where} must be an object")
                return
            prefix = f"{where}." if where else ""
            for name in required:
                if value.get(name) is None:
                    yield Problem(f"{prefix}{name} is required")
            for name, item in value.items():
                if item is not None and name in checks:
                    yield from checks[name](item, prefix + name)
            for rule in rules:
                yield from rule(value, where)

        return check

    def _field(self, field: Field) -> Check:
        limits, unknown = parse_limits(field.limits)
        self.unknown.extend(f"{field.name}: {clause}" for clause in unknown)
        of_type = self._type(field.type, field.name)
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
            return _one_of(["string", "integer"])
        if notation.startswith(("{", "object{")):
            return _one_of(["object"])
        kinds = notation.split("|")
        if any(kind not in _SCALARS for kind in kinds):
            return _either([self._type(kind, name) for kind in kinds])
        return _one_of(kinds)


def _either(checks: list[Check]) -> Check:
    def check(value: Any, where: str) -> Iterator[Problem]:
        found = [list(one(value, where)) for one in checks]
        if all(found):
            yield from found[-1]

    return check


def _one_of(kinds: list[str]) -> Check:
    first, *others = [_SCALARS[kind] for kind in kinds]
    words = " or ".join(_WORDS.get(kind, kind) for kind in kinds)

    def check(value: Any, where: str) -> Iterator[Problem]:
        if not first(value) and not any(test(value) for test in others):
            yield Problem(f"{where} must be {words}")

    return check


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
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else text
    return text
