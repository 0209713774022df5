"""What Braze said of a request, with hashes in place of the people whom it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.api.errors import BrazeError, identity_hash, mask
from airflow_provider_braze.api.models.recipients import IDENTIFIERS
from airflow_provider_braze.delivery.bodies import people_of


def refusals(endpoint: Endpoint, content: bytes, answer: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Count the recipients of an accepted request that Braze names as errors, and give what it says of them."""
    errors = answer.get("errors") or []
    errors = errors if isinstance(errors, list) else [errors]
    if not errors:
        return 0, []
    people = names_of(endpoint, content)
    named, texts = set(), []
    for place, item in enumerate(errors):
        index = item.get("index") if isinstance(item, dict) else None
        known = isinstance(index, int) and 0 <= index < len(people)
        named.add(index if known else f"error {place}")
        whom = f" (recipient {identity_hash(people[cast('int', index)])})" if known else ""
        text = _hide_recipients(mask(_text(item)), people)
        texts.append(f"Braze accepted the request, but said{whom}: {text}")
    return min(len(named), len(people_of(endpoint, content))), texts


def without_names(error: BrazeError, endpoint: Endpoint, content: bytes) -> str:
    """Give an error's text without the recipients of the request."""
    said = getattr(error, "message", "") or getattr(error, "reason", "")
    return str(error).replace(said, _hide_recipients(said, names_of(endpoint, content))) if said else str(error)


def names_of(endpoint: Endpoint, content: bytes) -> list[str]:
    """Name the recipients of a request, in its order; also the single one of an e-mail."""
    people = people_of(endpoint, content) or list(filter(None, [json.loads(content).get("recipient")]))
    names = [next((person[key] for key in IDENTIFIERS if key in person), "") for person in people]
    return [str(name["alias_name"] if isinstance(name, dict) else name) for name in names]


def _hide_recipients(text: str, names: list[str]) -> str:
    for name in names:
        # Shorter ones would be found in any number.
        if len(name) >= 3 and name in text:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"<recipient {identity_hash(name)}>", text)
    return text


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
