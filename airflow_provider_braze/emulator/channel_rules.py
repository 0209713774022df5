"""The contract's rules on what is sent: the ``messages`` object and the objects of its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.limits import json_size
from airflow_provider_braze.emulator.problems import (
    ANDROID_PUSH_LENGTH,
    APPLE_PUSH_LENGTH,
    NO_MESSAGE,
    VARIANT_UNSPECIFIED,
    Problem,
)
from airflow_provider_braze.emulator.rulebook import BODY_RULES, OBJECT_RULES, rule
from airflow_provider_braze.emulator.specification import load_contract

# When a field is required, in the contract's words; None: a rule of its own judges it.
CONDITIONS: dict[str, Callable[[Mapping[str, Any]], bool] | None] = {
    "content-available is true": lambda parent: parent.get("content-available") is True,
    "content-available is true on the parent": None,
    "email_template_id is given": lambda parent: parent.get("email_template_id") is not None,
    "type is BANNER": lambda parent: parent.get("type") == "BANNER",
    "type is CAPTIONED_IMAGE or BANNER": lambda parent: parent.get("type") in ("CAPTIONED_IMAGE", "BANNER"),
    "asset_url is set": lambda parent: parent.get("asset_url") is not None,
    "buttons are used": lambda parent: bool(parent.get("buttons")),
    "campaign_id is sent": None,
    "email is the identifier": None,
    # An app defines its categories where no server sees them.
    "app-defined category": None,
}
# Required by the contract's table, yet not by a rule of the same object.
NOT_ALWAYS_REQUIRED = {"android_push": ("alert", "title")}
# Rules that the contract writes as text on a field of the object.
FIELD_RULES = {
    "recipient": ("recipient.prioritization",),
    "apple_push": ("apple_push.alert_body",),
    "sms": ("sms.click_tracking",),
    "whats_app": ("whats_app.message",),
}
MOST_CARD_AGE = timedelta(days=load_contract().size_limits["content_card_expiry_days"])


@rule(BODY_RULES, "message_needed")
def message_needed(body: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The table marks messages optional; without one there is nothing to send."""
    if body.get("messages") is None:
        yield from at_least_one_channel({}, where)


@rule(OBJECT_RULES, "messages#0")
def at_least_one_channel(messages: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """A channel that is null is none, and so is one that nobody knows."""
    known = {field.name for field in load_contract().objects["messages"].fields}
    if not any(messages.get(name) is not None for name in known):
        yield Problem("messages must have at least one channel", NO_MESSAGE)


@rule(BODY_RULES, "variation_needed")
def variation_needed(body: Mapping[str, Any], _: str) -> Iterator[Problem]:
    """Whether the campaign has the variation, and in this channel, is judged where campaigns are known."""
    if body.get("campaign_id") is not None:
        yield from missing_variations(body.get("messages"))


def missing_variations(messages: Any) -> Iterator[Problem]:
    """The channels that do not say which variation of the campaign they are."""
    for channel, content in messages.items() if isinstance(messages, Mapping) else ():
        if isinstance(content, Mapping) and content.get("message_variation_id") is None:
            detail = f"with campaign_id, messages.{channel} needs message_variation_id"
            yield Problem(detail, VARIANT_UNSPECIFIED)


@rule(OBJECT_RULES, "apple_push#0")
def apple_push_size(push: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Everything in the object counts; a null is not sent."""
    sent = {name: value for name, value in push.items() if value is not None}
    if (size := json_size(sent)) > load_contract().size_limits["apple_push_bytes"]:
        yield Problem(f"{where} is {size:,} bytes as JSON, too many for a push", APPLE_PUSH_LENGTH)


@rule(OBJECT_RULES, "apple_push.alert_body")
def apple_alert_body(push: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Only a silent push has no text."""
    alert = push.get("alert")
    if isinstance(alert, Mapping) and alert.get("body") is None and push.get("content-available") is not True:
        yield Problem(f"{where}.alert.body is required")


@rule(OBJECT_RULES, "android_push#0")
def android_push_size(push: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The alert and the extra, nothing else."""
    alert, extra = push.get("alert"), push.get("extra")
    size = len(alert.encode("utf-8", "replace")) if isinstance(alert, str) else 0
    size += json_size(extra) if extra else 0
    if size > load_contract().size_limits["android_push_bytes"]:
        yield Problem(f"{where}: alert and extra are {size:,} bytes, too many for a push", ANDROID_PUSH_LENGTH)


@rule(OBJECT_RULES, "android_push#1")
def android_sync(push: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A silent push has neither alert nor title, any other has both."""
    silent = push.get("send_to_sync") is True
    for name in NOT_ALWAYS_REQUIRED["android_push"]:
        if silent and push.get(name) is not None:
            yield Problem(f"{where}.send_to_sync is true, so {name} may not be given")
        elif not silent and push.get(name) is None:
            yield Problem(f"{where}.{name} is required")


@rule(OBJECT_RULES, "content_card#0")
def content_card_expires(card: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """A card that never goes away is refused; of two times nobody knows which holds."""
    if (card.get("time_to_live") is None) is (card.get("expire_at") is None):
        yield Problem(f"{where} must have exactly one of time_to_live, expire_at")


@rule(OBJECT_RULES, "content_card#1")
def content_card_age(card: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """At most 30 days; counted from the real time, which no test moves."""
    seconds, until = card.get("time_to_live"), parse_time(card.get("expire_at"))
    too_long = isinstance(seconds, int | float) and seconds > MOST_CARD_AGE.total_seconds()
    if too_long or (until is not None and until > datetime.now(UTC) + MOST_CARD_AGE):
        yield Problem(f"{where} must expire within {MOST_CARD_AGE.days} days")


@rule(OBJECT_RULES, "sms.click_tracking")
def sms_click_tracking(sms: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Clicks are seen on shortened links only."""
    if sms.get("user_click_tracking_enabled") is True and sms.get("link_shortening_enabled") is not True:
        yield Problem(f"{where}.user_click_tracking_enabled needs link_shortening_enabled")


@rule(OBJECT_RULES, "whats_app.message")
def whats_app_header(content: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """The rest of the message's shape is judged field by field."""
    message = content.get("message")
    if isinstance(message, Mapping) and message.get("header_text") and message.get("header_image_uri"):
        yield Problem(f"{where}.message may have only one of header_text, header_image_uri")
