"""Where rules are registered under the contract's own ids; the rules live in ``rules.py`` and ``channel_rules.py``.

A rule is a generator of problems. Three kinds: of a whole body (or query), of each recipient of a body, and of a
nested object (``<object>.<rule id>``, or ``<object>#<place>`` where the contract gives no id). A rule of a body may be
registered for one endpoint only, as ``<endpoint id>.<rule id>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_braze.emulator.problems import Problem

Rule = Callable[[Mapping[str, Any], str], Iterator[Problem]]

BODY_RULES: dict[str, Rule] = {}
RECIPIENT_RULES: dict[str, Rule] = {}
OBJECT_RULES: dict[str, Rule] = {}

# Rules that a single body cannot break, or that another check already judges; the text says where they live.
NOT_JUDGED_HERE = {
    "audience_only": "accepted; quota.py counts it as a broadcast",
    "recipients_and_audience": "accepted; sending.py intersects",
    "ids_and_segment_intersect": "accepted; sending.py intersects",
    "dashboard_segment_intersection": "accepted; sending.py delivers to those who match",
    "recipients_must_exist": "accepted; sending.py skips unknown people",
    "recipients_max_50": "the field's own limit in limits.py",
    "one_identifier": "recipient.one_identifier",
    "send_id_format": "the field's own limit in limits.py",
    "schedule_time": "the schedule object, and scheduling.py, which knows the time",
    "schedule_required": "the schedule object and its field time are required",
    "url_encode": "how a query is written; what arrives is parsed as it is",
    "dedup_24h": "handlers/transactional.py: the first answer again",
    "recipient.dedup_in_request": "sending.py: the last entry wins",
    "recipient.existing_only_true": "sending.py: unknown people are skipped",
    "recipient.existing_only_false": "sending.py: created from attributes",
    "recipient.still_filtered": "sending.py: audiences and subscriptions still apply",
    "user_alias#0": "profiles.py: one profile per label and name",
    "schedule.unparseable": "the field's type datetime",
    "schedule.past_local": "scheduling.py, which knows the time",
    "schedule.past_absolute": "scheduling.py, which knows the time",
    "schedule.overwrite": "handlers/schedules.py replaces the whole object",
    "trigger_properties#0": "the field's own limit in limits.py",
    "trigger_properties#1": "any JSON value is allowed",
    "trigger_properties#2": "only campaign endpoints have the field",
    "trigger_properties#3": "sending.py stores them on the message only",
    "context#0": "the field's own limit in limits.py",
    "context#1": "specification.py reads both names; sending.py lets context win",
    "context#2": "rendering.py fills the Canvas's message with it",
    "attachment#0": "rule attachments_not_broadcast",
    "attachment#1": "the emulator fetches nothing",
    "connected_audience#1": "connected_audience#0: the grammar knows no other filter",
    "connected_audience#2": "each endpoint's own table names the parameter",
    "messages#1": "sending.py asks for subscriptions; devices and numbers are not emulated",
    "apple_push#1": "the field's type, with its wire message",
    "whats_app#0": "the header's media are in Braze's template, not in the request",
}


def rule(table: dict[str, Rule], rule_id: str) -> Callable[[Rule], Rule]:
    """Register a rule under its id."""

    def keep(function: Rule) -> Rule:
        table[rule_id] = function
        return function

    return keep
