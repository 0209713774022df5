"""The contract's rules between fields: who is meant, when, and with what. Each is named by the contract's own id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.audience import audience_problems, has_zone, parse_time
from airflow_provider_braze.emulator.limits import KILOBYTE, json_size
from airflow_provider_braze.emulator.problems import NO_RECIPIENTS, TOO_MANY_IDS_AND_ALIASES, Problem
from airflow_provider_braze.emulator.rulebook import BODY_RULES, OBJECT_RULES, RECIPIENT_RULES, rule
from airflow_provider_braze.emulator.specification import load_contract

LISTS_OF_PEOPLE = ("recipients", "external_user_ids", "user_aliases")
MOST_PEOPLE = 50
MOST_ELEMENTS = 500
MOST_ARRAY_BYTES = 100 * KILOBYTE
IDENTIFIERS = ("external_user_id", "user_alias", "braze_id", "email")


def _named_lists(body: Mapping[str, Any]) -> list[str]:
    return [name for name in LISTS_OF_PEOPLE if body.get(name) is not None]


@rule(BODY_RULES, "broadcast_excludes_recipients")
def broadcast_excludes_recipients(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Somebody who lists people does not mean everybody; also where the list is empty."""
    if body.get("broadcast") is True:
        for name in _named_lists(body):
            yield Problem(f"broadcast is true, so {name} may not be given")


@rule(BODY_RULES, "recipients_missing_needs_broadcast")
def recipients_missing_needs_broadcast(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """An empty list is nobody, never everybody: it is refused even next to an audience.

    So are lists of people which this endpoint does not read: leaving them out would reach more people.
    """
    recipients = body.get("recipients")
    if recipients or body.get("broadcast") is True:
        return
    strays = [name for name in _named_lists(body) if name != "recipients"]
    if recipients is not None:
        yield Problem("recipients is empty; leave it out to reach an audience", NO_RECIPIENTS)
    elif strays:
        yield Problem(f"{strays[0]} is not accepted on this endpoint; give recipients", NO_RECIPIENTS)
    elif body.get("audience") is None:
        yield Problem("give recipients, or an audience, or broadcast: true", NO_RECIPIENTS)


@rule(BODY_RULES, "some_target")
def some_target(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """An empty list is nobody here too, also next to another list; so is broadcast without audience or segment."""
    lists = _named_lists(body)
    if empty := [name for name in lists if not body[name]]:
        yield Problem(f"{empty[0]} is empty; leave it out to reach a segment or an audience", NO_RECIPIENTS)
    elif not lists and body.get("segment_id") is None and body.get("audience") is None:
        yield Problem("give external_user_ids, user_aliases, segment_id or audience", NO_RECIPIENTS)


@rule(BODY_RULES, "untargeted_needs_broadcast")
def untargeted_needs_broadcast(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Everybody in a segment or an audience is reached only by somebody who says so."""
    targeted = body.get("segment_id") is not None or body.get("audience") is not None
    if targeted and not _named_lists(body) and body.get("broadcast") is not True:
        yield Problem("without external_user_ids or user_aliases, broadcast must be true")


@rule(BODY_RULES, "max_50")
def max_50(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Ids and aliases are counted together, by the stricter of the two documented wire messages."""
    ids, aliases = (
        len(body[name]) if isinstance(body.get(name), list) else 0 for name in ("external_user_ids", "user_aliases")
    )
    if ids + aliases > MOST_PEOPLE >= ids:
        detail = f"external_user_ids and user_aliases have {ids + aliases} items, at most {MOST_PEOPLE} are allowed"
        yield Problem(detail, TOO_MANY_IDS_AND_ALIASES)


@rule(BODY_RULES, "send_id_needs_campaign")
def send_id_needs_campaign(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Reported from the field, not documented; alone it would track nothing."""
    if body.get("send_id") is not None and body.get("campaign_id") is None:
        yield Problem("send_id needs a campaign_id")


@rule(BODY_RULES, "one_change")
def one_change(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """An update that changes nothing is a mistake."""
    if body.get("schedule") is None and body.get("messages") is None:
        yield Problem("give schedule, or messages, or both")


@rule(BODY_RULES, "one_target")
def one_target(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Exactly one: of two nobody can tell whether both are meant, or those in both."""
    given = [name for name in ("external_user_ids", "segment_id", "custom_audience") if body.get(name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        yield Problem(f"give exactly one of external_user_ids, segment_id, custom_audience; it has {found}")
    elif body[given[0]] == []:
        yield Problem("external_user_ids is empty", NO_RECIPIENTS)


@rule(BODY_RULES, "transactional_send.one_identifier")
def one_transactional_identifier(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """No email and no braze_id here."""
    recipient = body.get("recipient")
    if isinstance(recipient, Mapping):
        yield from _one_of_identifiers(recipient, "recipient", ("external_user_id", "user_alias"))


@rule(BODY_RULES, "range")
def date_range(query: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Where both are given, starting_at counts."""
    if query.get("starting_at") is None and query.get("length") is None:
        yield Problem("give starting_at or length")


@rule(BODY_RULES, "single_kind")
def single_kind(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """And at least one identifier: an export of nobody is a mistake."""
    given = [name for name in ("device_id", "email_address", "phone") if body.get(name) is not None]
    if len(given) > 1:
        yield Problem(f"give only one of device_id, email_address, phone; it has {' and '.join(given)}")
    if not any(body.get(name) for name in (*given, "external_ids", "user_aliases", "braze_id")):
        yield Problem("give external_ids, user_aliases, braze_id, device_id, email_address or phone", NO_RECIPIENTS)


@rule(BODY_RULES, "no_segment_id")
def no_segment_id(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Refused, not ignored: ignoring it would reach more people than its author meant."""
    if body.get("segment_id") is not None:
        yield Problem("segment_id is not accepted on this endpoint")


@rule(BODY_RULES, "attachments_not_broadcast")
def attachments_not_broadcast(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Attachments belong to named recipients."""
    if body.get("broadcast") is True and body.get("attachments"):
        yield Problem("attachments may not be given when broadcast is true")


@rule(RECIPIENT_RULES, "email_needs_prioritization")
def email_needs_prioritization(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """An address may belong to several profiles, so the caller has to say which one."""
    if recipient.get("email") is not None and not recipient.get("prioritization"):
        yield Problem(f"{where} has an email, so it needs prioritization")


@rule(RECIPIENT_RULES, "create_needs_attributes")
def create_needs_attributes(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Refused, not skipped: the docs promise only that it does not do what was meant."""
    if recipient.get("send_to_existing_only") is False and not recipient.get("attributes"):
        yield Problem(f"{where}.send_to_existing_only is false, so it needs attributes")


@rule(RECIPIENT_RULES, "no_create_for_alias")
def no_create_for_alias(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Only false is refused: alias-only people are never created, and true is what happens anyway."""
    if recipient.get("user_alias") is not None and recipient.get("send_to_existing_only") is False:
        yield Problem(f"{where}.send_to_existing_only cannot be false with user_alias")


@rule(OBJECT_RULES, "recipient.one_identifier")
def one_identifier(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """braze_id counts too, as on the recipient object's own page."""
    yield from _one_of_identifiers(recipient, where, IDENTIFIERS)


@rule(OBJECT_RULES, "schedule.both_flags")
def both_flags(schedule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Refused, though an example in the docs has both: nobody could say when people would get it."""
    if schedule.get("in_local_time") is True and schedule.get("at_optimal_time") is True:
        yield Problem(f"{where} may have only one of in_local_time, at_optimal_time")


@rule(OBJECT_RULES, "schedule.offset")
def no_zone_with_flags(schedule: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A time in one zone cannot be everybody's own; without the flags an offset is honoured."""
    text = schedule.get("time")
    flagged = [name for name in ("in_local_time", "at_optimal_time") if schedule.get(name) is True]
    if flagged and isinstance(text, str) and parse_time(text) is not None and has_zone(text):
        yield Problem(f"{where}.time must not name a zone (no Z, no offset) with {flagged[0]}")


@rule(OBJECT_RULES, "recipient.prioritization")
def prioritization(recipient: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The order matters, and only one of the two opposites makes sense."""
    chosen = recipient.get("prioritization")
    if isinstance(chosen, list) and "identified" in chosen and "unidentified" in chosen:
        yield Problem(f"{where}.prioritization may hold only one of identified, unidentified")


@rule(OBJECT_RULES, "user_attributes#0")
def one_attribute_identity(attributes: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A profile is named in one way."""
    if attributes.get("external_id") is not None and attributes.get("user_alias") is not None:
        yield Problem(f"{where} may hold only one of external_id, user_alias")


@rule(OBJECT_RULES, "user_attributes#1")
def attribute_identity_size(attributes: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The same limit as on a recipient."""
    if attributes.get("external_id") is not None:
        yield from identifier_size(str(attributes["external_id"]), f"{where}.external_id")


@rule(OBJECT_RULES, "user_attributes#2")
def attribute_arrays(attributes: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Refused, not trimmed: what happens above the limit is not documented, and somebody would miss the rest."""
    for name, value in attributes.items():
        if not isinstance(value, list):
            continue
        if len(value) > MOST_ELEMENTS:
            yield Problem(f"{where}.{name} has {len(value)} elements, at most {MOST_ELEMENTS} are allowed")
        elif any(isinstance(item, dict) for item in value) and json_size(value) > MOST_ARRAY_BYTES:
            yield Problem(f"{where}.{name} is {json_size(value):,} bytes as JSON, at most 100 KB are allowed")


@rule(OBJECT_RULES, "connected_audience#0")
def audience_grammar(audience: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A filter that is not understood is refused: leaving it out would reach more people."""
    filters = load_contract().objects["connected_audience"].filters
    yield from (Problem(detail) for detail in audience_problems(audience, where, filters))


def identifier_size(value: str, where: str) -> Iterator[Problem]:
    """Filled, and no longer than the contract allows."""
    most = load_contract().size_limits["external_id_bytes"]
    if not value.strip() or len(value.encode("utf-8", "replace")) > most:
        yield Problem(f"{where} must be filled and at most {most} bytes long")


def _one_of_identifiers(recipient: Mapping[str, Any], where: str, allowed: tuple[str, ...]) -> Iterator[Problem]:
    given = [name for name in IDENTIFIERS if recipient.get(name) is not None]
    if len(given) != 1 or given[0] not in allowed:
        found = " and ".join(given) or "none"
        yield Problem(f"{where} must have exactly one of {', '.join(allowed)}; it has {found}")
        return
    name, value = given[0], recipient[given[0]]
    if name == "external_user_id" and not isinstance(value, bool):
        yield from identifier_size(str(value), f"{where}.{name}")
    elif isinstance(value, str) and not value.strip():
        yield Problem(f"{where}.{name} must be filled")
