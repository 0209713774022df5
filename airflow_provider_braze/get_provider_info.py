"""What Airflow learns about this provider without importing anything else of it."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the provider; called by Airflow through the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-braze-messaging",
        "name": "Braze Messaging",
        "description": "Sends Braze messages from Airflow: campaigns and more, to audiences of any size.",
        "integrations": [
            {
                "integration-name": "Braze",
                "external-doc-url": "https://www.braze.com/docs/api/home/",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Braze", "python-modules": ["airflow_provider_braze.hooks.braze"]}],
        "operators": [
            {
                "integration-name": "Braze",
                "python-modules": [
                    "airflow_provider_braze.operators.send",
                    "airflow_provider_braze.operators.schedule",
                    "airflow_provider_braze.operators.live_activity",
                    "airflow_provider_braze.operators.baseline",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": "Braze",
                "python-modules": [
                    "airflow_provider_braze.sensors.metrics",
                    "airflow_provider_braze.sensors.recipients",
                    "airflow_provider_braze.sensors.broadcasts",
                    "airflow_provider_braze.sensors.status",
                ],
            }
        ],
        "triggers": [
            {
                "integration-name": "Braze",
                "python-modules": [
                    "airflow_provider_braze.triggers.conditions",
                    "airflow_provider_braze.triggers.schedules",
                ],
            }
        ],
        "notifications": ["airflow_provider_braze.notifications.braze.BrazeNotifier"],
        "extra-links": ["airflow_provider_braze.links.BrazeDashboardLink"],
        "connection-types": [
            {
                "connection-type": "braze",
                "hook-class-name": "airflow_provider_braze.hooks.braze.BrazeHook",
                "hook-name": "Braze",
                "conn-fields": CONN_FIELDS,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
            }
        ],
    }


CONN_FIELDS: dict[str, Any] = {
    "test_recipients": {
        "label": "Test recipients",
        "description": (
            "The only people whom this connection may message: external user ids and e-mail addresses, separated by "
            "commas. Leave it empty for a connection that messages everybody."
        ),
        "schema": {"type": ["string", "null"]},
    },
    "test_recipients_others": {
        "label": "Messages for everybody else",
        "description": (
            "Only where test recipients are set. refuse: nothing is sent (the default). rewrite: test recipients get "
            "them instead."
        ),
        "schema": {"type": ["string", "null"], "enum": ["refuse", "rewrite"]},
    },
    "workspace": {
        "label": "Workspace",
        "description": "A name for the workspace that the key belongs to, such as staging. Tasks may insist on it.",
        "schema": {"type": ["string", "null"]},
    },
    "workspace_campaign_id": {
        "label": "A campaign of this workspace",
        "description": (
            "API identifier of any campaign that only this workspace has. Tasks ask Braze for it first, so that a key "
            "of another workspace sends nothing. The key then needs the permission campaigns.details."
        ),
        "schema": {"type": ["string", "null"]},
    },
    "dashboard_url": {
        "label": "Dashboard URL",
        "description": (
            "Where a task's link to Braze leads, for example "
            "https://dashboard-03.braze.com/engagement/campaigns/{campaign_id}. May also hold {canvas_id} and "
            "{workspace}."
        ),
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "How long one request may take. Default: 30.",
        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 600},
    },
    "lanes": {
        "label": "Lanes",
        "description": "How many requests of one delivery may be under way at once. Default: 16.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 256},
    },
    "max_requests_per_second": {
        "label": "Requests per second, at most",
        "description": "How fast a delivery may become. Default: as fast as Braze's quota allows.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "quota_reserve": {
        "label": "Quota reserve",
        "description": (
            "What a delivery leaves of the hour's quota for others: below 1 a share of it, else a number of requests. "
            "Default: 0.02."
        ),
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login"],
    "relabeling": {"host": "REST endpoint", "password": "REST API key", "port": "Port"},
    "placeholders": {
        "host": "rest.iad-01.braze.com",
        "password": "made in Braze under Settings > APIs and Identifiers",
        # Airflow 3.3.1 and 3.3.2 refuse to test a connection whose port is empty (apache/airflow#73298).
        "port": "443; Airflow 3.3 needs it to test the connection",
    },
}
