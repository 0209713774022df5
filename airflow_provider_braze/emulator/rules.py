"""The contract's rules between fields, each a function registered under the contract's own id.

A rule is a generator of problems. Three kinds: of a whole body, of each recipient of a body, and of a nested
object (``<object>.<rule id>``, or ``<object>#<place>`` where the contract gives no id).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.audience import audience_problems
from airflow_provider_braze.emulator.problems import NO_RECIPIENTS, Problem
from airflow_provider_braze.emulator.specification import load_contract

Rule = Callable[[Mapping[str, Any], str], Iterator[Problem]]

BODY_RULES: dict[str, Rule] = {}
RECIPIENT_RULES: dict[str, Rule] = {}
OBJECT_RULES: dict[str, Rule] = {}

# Rules that a single body cannot break, or that another check already judges; the text says where they live.
NOT_JUDGED_HERE = {
    "audience_only": "accepted; quota.py counts it as a broadcast",
    "recipients_and_audience": "accepted; sending.py intersects",
    "dashboard_segment_intersection": "accepted; sending.py delivers to those who match",
    "recipients_max_50": "the field's own limit in limits.py",
    "one_identifier": "recipient.one_identifier",
    "recipient.dedup_in_request": "sending.py: the last entry wins",
    "recipient.existing_only_true": "sending.py: unknown people are skipped",
    "recipient.existing_only_false": "sending.py: created from attributes",
    "recipient.still_filtered": "sending.py: audiences still apply",
    "user_alias#0": "profiles.py: one profile per label and name",
    "trigger_properties#0": "the field's own limit in limits.py",
    "trigger_properties#1": "any JSON value is allowed",
    "trigger_properties#2": "only campaign endpoints have the field",
    "trigger_properties#3": "sending.py stores them on the message only",
    "attachment#0": "rule attachments_not_broadcast",
    "attachment#1": "the emulator fetches nothing",
    "connected_audience#1": "connected_audience#0: the grammar knows no other filter",
    "connected_audience#2": "each endpoint's own table names the parameter",
    "user_attributes#2": "Braze trims arrays, it refuses nothing",
}

LISTS_OF_PEOPLE = ("recipients", "external_user_ids", "user_aliases")
IDENTIFIERS = ("external_user_id", "user_alias", "braze_id", "email")


def _register(table: dict[str, Rule], rule_id: str) -> Callable[[Rule], Rule]:
    def keep(function: Rule) -> Rule:
        table[rule_id] = function
        return function

    return keep


def _named_lists(body: Mapping[str, Any]) -> list[str]:
    return [name for name in LISTS_OF_PEOPLE if body.get(name) is not None]


@_register(BODY_RULES, "broadcast_excludes_recipients")
def broadcast_excludes_recipients(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Somebody who lists people does not mean everybody; also where the list is empty."""
    if body.get("broadcast") is True:
        for name in _named_lists(body):
            yield Problem(f"broadcast is true, so {name} may not be given")


@_register(BODY_RULES, "recipients_missing_needs_broadcast")
def recipients_missing_needs_broadcast(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """An empty list is nobody, never everybody: it is refused even next to an audience."""
    lists = _named_lists(body)
    if any(body[name] for name in lists) or body.get("broadcast") is True:
        return
    if lists:
        yield Problem(f"{lists[0]} is empty; leave it out to reach an audience", NO_RECIPIENTS)
    elif body.get("audience") is None:
        yield Problem("give recipients, or an audience, or broadcast: true", NO_RECIPIENTS)


@_register(BODY_RULES, "no_segment_id")
def no_segment_id(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Refused, not ignored: ignoring it would reach more people than its author meant."""
    if body.get("segment_id") is not None:
        yield Problem("segment_id is not accepted on this endpoint")


@_register(BODY_RULES, "attachments_not_broadcast")
def attachments_not_broadcast(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Attachments belong to named recipients."""
    if body.get("broadcast") is True and body.get("attachments"):
        yield Problem("attachments may not be given when broadcast is true")


@_register(RECIPIENT_RULES, "email_needs_prioritization")
def email_needs_prioritization(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """An address may belong to several profiles, so the caller has to say which one."""
    if recipient.get("email") is not None and not recipient.get("prioritization"):
        yield Problem(f"{where} has an email, so it needs prioritization")


@_register(RECIPIENT_RULES, "create_needs_attributes")
def create_needs_attributes(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Refused, not skipped: the docs promise only that it does not do what was meant."""
    if recipient.get("send_to_existing_only") is False and not recipient.get("attributes"):
        yield Problem(f"{where}.send_to_existing_only is false, so it needs attributes")


@_register(RECIPIENT_RULES, "no_create_for_alias")
def no_create_for_alias(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Only false is refused: alias-only people are never created, and true is what happens anyway."""
    if recipient.get("user_alias") is not None and recipient.get("send_to_existing_only") is False:
        yield Problem(f"{where}.send_to_existing_only cannot be false with user_alias")


@_register(OBJECT_RULES, "recipient.one_identifier")
def one_identifier(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """braze_id counts too, as on the recipient object's own page."""
    given = [name for name in IDENTIFIERS if recipient.get(name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield Problem(f"{where} must have exactly one of {', '.join(IDENTIFIERS)}; it has {found}")
        return
    value = recipient[given[0]]
    if given[0] != "user_alias" and not isinstance(value, bool):
        yield from _identifier_size(str(value), f"{where}.{given[0]}")


@_register(OBJECT_RULES, "recipient.prioritization")
def prioritization(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The order matters, and only one of the two opposites makes sense."""
    chosen = recipient.get("prioritization")
    if isinstance(chosen, list) and "identified" in chosen and "unidentified" in chosen:
        yield Problem(f"{where}.prioritization may hold only one of identified, unidentified")


@_register(OBJECT_RULES, "user_attributes#0")
def one_attribute_identity(attributes: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A profile is named in one way."""
    if attributes.get("external_id") is not None and attributes.get("user_alias") is not None:
        yield Problem(f"{where} may hold only one of external_id, user_alias")


@_register(OBJECT_RULES, "user_attributes#1")
def attribute_identity_size(attributes: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The same limit as on a recipient."""
    if attributes.get("external_id") is not None:
        yield from _identifier_size(str(attributes["external_id"]), f"{where}.external_id")


@_register(OBJECT_RULES, "connected_audience#0")
def audience_grammar(audience: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A filter that is not understood is refused: leaving it out would reach more people."""
    filters = load_contract().objects["connected_audience"].filters
    yield from (Problem(detail) for detail in audience_problems(audience, where, filters))


def _identifier_size(value: str, where: str) -> Iterator[Problem]:
    most = load_contract().size_limits["external_id_bytes"]
    if not 0 < len(value.strip().encode("utf-8", "replace")) <= most:
        yield Problem(f"{where} must be filled and at most {most} bytes long")
