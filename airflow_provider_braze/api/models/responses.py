"""What Braze answers when it agrees. Unknown fields are kept."""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.api.models.common import BrazeModel


class Accepted(BrazeModel):
    """A message or a schedule was taken on; that says neither delivered nor that the user exists."""

    message: str | None = None
    dispatch_id: str | None = None
    schedule_id: str | None = None
    send_id: str | None = None
    notice: str | None = None
    errors: list[Any] | None = None


class Transactional(BrazeModel):
    """A transactional e-mail was taken on; what becomes of it arrives by a postback that the dashboard configures."""

    dispatch_id: str | None = None
    status: str | None = None
    metadata: dict[str, Any] | None = None


class Begun(BrazeModel):
    """Braze has begun something; its page tells a status code, and no body."""


class Listing(BrazeModel):
    """An answer to a read."""

    message: str | None = None
