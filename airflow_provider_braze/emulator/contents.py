"""What a person would read: from a campaign's or Canvas's template, or from the ``messages`` of a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from typing import Any

from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.journal import Part, Source

_SPLIT = ("p", "br", "div", "li", "tr", "h1", "h2", "h3")
_UNREAD = ("head", "style", "script", "title")


def of_program(program: Program) -> Source:
    """The template of a campaign or Canvas, once per channel: of two variations people get the first."""
    subject, body = program.message.get("subject", ""), program.message.get("body", "")
    first = {variation.channel: variation for variation in reversed(program.variations)}
    parts = tuple(Part(channel, first[channel].id, subject, body) for channel in program.channels if channel in first)
    return Source(program.kind, program.id, program.name, parts)


def of_messages(messages: Mapping[str, Any], program: Program | None) -> Source:
    """The channel objects of a request, filed under the campaign it names."""
    contents = {channel: content for channel, content in messages.items() if isinstance(content, Mapping)}
    parts = tuple(
        Part(channel, str(content.get("message_variation_id") or ""), *_texts(channel, content))
        for channel, content in contents.items()
    )
    if program is not None:
        return Source(program.kind, program.id, program.name, parts)
    # The same text again is the same message, so that a repeat can be seen.
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode("utf-8", "replace")).hexdigest()
    return Source("messages", digest[:16], "Message without a campaign", parts)


def _texts(channel: str, content: Mapping[str, Any]) -> tuple[str, str]:
    subject, body = _TEXTS.get(channel, _push)(content)
    return str(subject or ""), str(body or "")


def _push(content: Mapping[str, Any]) -> tuple[Any, Any]:
    alert = content.get("alert")
    if isinstance(alert, Mapping):
        return alert.get("title"), alert.get("body")
    return content.get("title"), alert


def _email(content: Mapping[str, Any]) -> tuple[Any, Any]:
    template = content.get("email_template_id")
    written = content.get("plaintext_body") or readable(str(content.get("body") or ""))
    return content.get("subject"), written or (f"Email template {template}" if template else "")


def _whats_app(content: Mapping[str, Any]) -> tuple[Any, Any]:
    message = content.get("message") or {}
    return message.get("template_name") or message.get("header_text"), message.get("body")


_TEXTS: dict[str, Callable[[Mapping[str, Any]], tuple[Any, Any]]] = {
    "email": _email,
    "sms": lambda content: ("", content.get("body")),
    "webhook": lambda content: (f"{content.get('request_method')} {content.get('url')}", content.get("body")),
    "content_card": lambda content: (content.get("title"), content.get("description")),
    "whats_app": _whats_app,
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - HTMLParser's own signature
        self._skipping += tag in _UNREAD
        if tag in _SPLIT:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._skipping -= tag in _UNREAD and self._skipping > 0

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.text.append(data)


def readable(html: str) -> str:
    """The text of an HTML body, without its tags."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (line.strip() for line in "".join(reader.text).splitlines())
    return "\n".join(line for line in lines if line)
