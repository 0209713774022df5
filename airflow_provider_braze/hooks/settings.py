"""What an Airflow connection says: one place that reads it, and refuses what it cannot mean."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_braze.get_provider_info import CONN_FIELDS

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_braze.api.staging import StagingList

DEFAULT_QUOTA_RESERVE = 0.02
PLACEHOLDERS = ("campaign_id", "canvas_id", "workspace")
OTHERS = ("refuse", "rewrite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A connection of type ``braze``, checked.

    :param host: REST endpoint, perhaps with a scheme and a port.
    :param key: REST API key.
    :param timeout: seconds that one request may take.
    :param lanes: requests of one delivery under way at once.
    :param max_requests_per_second: how fast a delivery may become; None as fast as Braze's quota allows.
    :param quota_reserve: what a delivery leaves of the hour's quota for others: below 1 a share, else requests.
    :param staging: the only people whom the connection may message; None for everybody.
    :param workspace: name of the workspace that the key belongs to.
    :param workspace_campaign_id: API identifier of a campaign that only this workspace has.
    :param dashboard_url: URL of Braze's dashboard, perhaps with ``{campaign_id}``, ``{canvas_id}``, ``{workspace}``.
    """

    host: str
    key: str = field(repr=False)
    timeout: float
    lanes: int
    max_requests_per_second: float | None
    quota_reserve: float
    staging: StagingList | None
    workspace: str | None
    workspace_campaign_id: str | None
    dashboard_url: str | None


def read_settings(connection: Connection) -> Settings:
    """Read a connection.

    :raises BrazeConfigurationError: an extra is not what it should be.
    """
    from airflow_provider_braze.api.client import DEFAULT_LANES, DEFAULT_TIMEOUT

    extra = _extra(connection)
    host = connection.host or ""
    if connection.schema and "://" not in host:
        host = f"{connection.schema}://{host}"
    lanes = _number(extra, "lanes", "a whole number from 1 to 256", lambda lanes: lanes in range(1, 257))
    timeout = _number(extra, "timeout", "a number from 1 to 600", lambda seconds: 1 <= seconds <= 600)
    reserve = _number(
        extra,
        "quota_reserve",
        "a number of at least 0: below 1 a share of the hour's quota, else a number of requests",
        lambda reserve: reserve >= 0,
    )
    return Settings(
        host=f"{host}:{connection.port}" if connection.port else host,
        key=connection.password or "",
        timeout=DEFAULT_TIMEOUT if timeout is None else timeout,
        lanes=DEFAULT_LANES if lanes is None else int(lanes),
        max_requests_per_second=_number(extra, "max_requests_per_second", "a number above 0", lambda rate: rate > 0),
        quota_reserve=DEFAULT_QUOTA_RESERVE if reserve is None else reserve,
        staging=_staging(extra),
        workspace=_text(extra, "workspace", "the name of a workspace, such as staging"),
        workspace_campaign_id=_text(extra, "workspace_campaign_id", "the API identifier of a campaign"),
        dashboard_url=_dashboard_url(extra),
    )


def _extra(connection: Connection) -> Mapping[str, Any]:
    try:
        known = json.loads(connection.extra or "{}")
    except ValueError:
        known = ""
    if known is None:
        return {}
    if not isinstance(known, dict):
        # Airflow takes it for empty: what says whom the connection may message would be gone.
        raise _refusal("The connection's extra is no JSON object, so that nothing in it counts: correct it.")
    _refuse_unknown(known)
    # Airflow's own reading of it hides secrets from the logs.
    return connection.extra_dejson


def _refuse_unknown(extra: Mapping[str, Any]) -> None:
    """A guard whose name is mistyped would guard nothing: everybody would be messaged."""
    for name in extra:
        if name not in CONN_FIELDS:
            near = get_close_matches(str(name).casefold(), CONN_FIELDS, 1)
            meant = f": did you mean {near[0]!r}?" if near else "."
            raise _refusal(
                f"The connection's extra {name!r} is none of this provider's{meant} It knows {', '.join(CONN_FIELDS)}."
            )


def _number(extra: Mapping[str, Any], name: str, expected: str, is_fine: Callable[[float], bool]) -> float | None:
    value = extra.get(name)
    if value in (None, ""):
        return None
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not is_fine(number):
        raise _refusal(f"The connection's extra {name!r} must be {expected}; it is {value!r}.")
    return number


def _text(extra: Mapping[str, Any], name: str, expected: str) -> str | None:
    value = extra.get(name)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not value.strip():
        kind = "blank" if isinstance(value, str) else f"of type {type(value).__name__}"
        raise _refusal(f"The connection's extra {name!r} must be a text, {expected}; it is {kind}.")
    return value.strip()


def _staging(extra: Mapping[str, Any]) -> StagingList | None:
    people, others = extra.get("test_recipients"), extra.get("test_recipients_others")
    if others not in (None, "", *OTHERS):
        raise _refusal(
            "The connection's extra 'test_recipients_others' must be 'refuse' or 'rewrite': it says what happens to "
            "messages for people who are not in test_recipients."
        )
    if people in (None, ""):
        if others:
            # Whoever wrote this believes that only test recipients are messaged.
            raise _refusal(
                "The connection's extra 'test_recipients_others' is given without 'test_recipients': say who the test "
                "recipients are, or take it out to let the connection message everybody."
            )
        return None
    from airflow_provider_braze.api.staging import StagingList

    return StagingList(_entries(people), rewrite=others == "rewrite")


def _entries(people: Any) -> list[Any]:
    if isinstance(people, str):
        if not people.lstrip().startswith("["):
            return [entry.strip() for entry in people.split(",") if entry.strip()]
        try:
            people = json.loads(people)
        except ValueError:
            people = None
    if not isinstance(people, list):
        raise _refusal(
            "The connection's extra 'test_recipients' must be a JSON list, or a text separated by commas, of external "
            "user ids and e-mail addresses."
        )
    return people


def _dashboard_url(extra: Mapping[str, Any]) -> str | None:
    name = "dashboard_url"
    example = "a URL of Braze's dashboard, such as https://dashboard-03.braze.com/engagement/campaigns/{campaign_id}"
    url = _text(extra, name, example)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise _refusal(f"The connection's extra {name!r} must be {example}, with http or https and no user name.")
    if re.search(r"[{}]", re.sub(rf"{{(?:{'|'.join(PLACEHOLDERS)})}}", "", url)):
        known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
        raise _refusal(f"The connection's extra {name!r} may hold {known}, and no other braces.")
    return url


def _refusal(text: str) -> Exception:
    from airflow_provider_braze.api.errors import BrazeConfigurationError

    return BrazeConfigurationError(text)
