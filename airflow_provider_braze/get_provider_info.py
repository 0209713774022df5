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
                ],
            }
        ],
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
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema", "login", "port"],
    "relabeling": {"host": "REST endpoint", "password": "REST API key"},
    "placeholders": {
        "host": "rest.iad-01.braze.com",
        "password": "made in Braze under Settings > APIs and Identifiers",
    },
}
