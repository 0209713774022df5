"""Writes `docs/endpoints.md` from the endpoint table: ``python docs/endpoints.py``; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from airflow_provider_braze.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_braze.api.quota import BROADCAST_QUOTA, QUOTAS
from airflow_provider_braze.get_provider_info import get_provider_info

PAGE = Path(__file__).with_suffix(".md")
HEAD = """\
# Endpoints

One row per endpoint in `airflow_provider_braze.api.endpoints.ENDPOINTS`. Each can be called by
`BrazeHook.call(name, payload)`; those that message people have an operator. "May be repeated" says whether the same
call twice is harmless: operators never repeat the others by themselves once Braze may have received them.

| endpoint | operator | permission of the key | quota | may be repeated |
| --- | --- | --- | --- | --- |
"""


def operators() -> dict[str, str]:
    """The operators' names by endpoint."""
    modules = (name for group in get_provider_info()["operators"] for name in group["python-modules"])
    classes = (value for name in modules for value in vars(import_module(name)).values())
    return {each.endpoint: each.__name__ for each in classes if isinstance(each, type) and hasattr(each, "endpoint")}


def rows() -> Iterator[str]:
    """One line of the table per endpoint."""
    by_endpoint = operators()
    for name, row in ENDPOINTS.items():
        operator = f"`{by_endpoint[name]}`" if name in by_endpoint else ""
        link = f"[`{row.method} {row.path}`]({row.docs})<br>`{name}`"
        yield f"| {link} | {operator} | `{row.permission}` | {quota(row)} | {repeated(row)} |\n"


def quota(row: Endpoint) -> str:
    """What a call draws from."""
    return QUOTAS[row.quota] + (f"; {BROADCAST_QUOTA}" if row.broadcast_quota else "")


def repeated(row: Endpoint) -> str:
    """Whether the same call may be made twice."""
    if row.name == "transactional_send":
        return "within 24 hours, with the same `external_send_id`"
    return "yes" if row.repeatable else "no"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(rows())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
