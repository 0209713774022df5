"""What the emulator's tests share: names of the default seed, and a small client."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.specification import load_contract

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
GOLD_ONLY = "9c3b7d20-6e51-4f8a-b1c2-3d4e5f607182"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
ARCHIVED = "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
CANVAS = WEEKLY
PAUSED_CANVAS = "2b4e1c76-9121-4c77-9c77-4fac6181d332"
ARCHIVED_CANVAS = "3c5f2d87-a232-4d88-8d88-50bd7292e443"
EVERYONE = "7b1d4c3e-1111-4a4a-8b8b-222233334444"
GOLD = WEEKLY
VARIATION = "c0ffee00-0000-4000-8000-000000000001"
APP = "a1b2c3d4-0000-4000-8000-00000000000a"
SEND = "/campaigns/trigger/send"
LIST = "/campaigns/list"
PUSH = {"android_push": {"alert": "Doors open at 9", "title": "Today"}}
TIER = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
CONTRACT_EXAMPLES = Path(__file__).parents[1] / "contract" / "examples"


def _example(endpoint):
    """What the contract's file has of an endpoint: requests, the one that Braze's page shows, and the answer."""
    name = f"{endpoint.method}{endpoint.path}".lower().replace("/", "_").translate(str.maketrans("", "", "{}"))
    found = json.loads((CONTRACT_EXAMPLES / f"{name}.json").read_text())
    shown = found["docs_example_request"] or {}
    return {
        "valid": [found["valid_request_invented"], *found.get("valid_variants_invented", [])],
        "published": shown.get("body", shown.get("query", shown)),
        "published_is_valid": found["docs_example_obeys_contract"],
        "answer": found["success_response_invented"],
    }


EXAMPLES = {name: _example(load_contract().endpoints[name]) for name in HANDLERS}


class Caller:
    """A client with the seed's first key."""

    def __init__(self, url, key):
        # Loopback without TLS: loading certificates for each test would take most of its time.
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60, verify=False, trust_env=False)

    def send(self, **body):
        return self.http.post(SEND, json={"campaign_id": WEEKLY, **body})

    def to(self, *recipients, **fields):
        people = [one if isinstance(one, dict) else {"external_user_id": one} for one in recipients]
        return self.send(recipients=people, **fields)

    def call(self, endpoint_id, given=None, campaign_id=RECEIPT, **options):
        """Any endpoint by its id; ``given`` is the body or the query."""
        endpoint = load_contract().endpoints[endpoint_id]
        path = endpoint.path.replace("{campaign_id}", campaign_id)
        if endpoint.method == "GET":
            return self.http.get(path, params=given, **options)
        return self.http.post(path, json=given, **options)

    def schedule(self, kind="messages", **body):
        """A waiting schedule of the example, changed by ``body``; returns its id."""
        endpoint_id = "messages_schedule_create" if kind == "messages" else f"{kind}_trigger_schedule_create"
        answer = self.call(endpoint_id, {**EXAMPLES[endpoint_id]["valid"][0], **body})
        assert answer.status_code == 201, answer.text
        return answer.json()["schedule_id"]

    def valid(self, endpoint_id, place=0):
        """A valid request; where it needs a schedule, one is made first."""
        given = dict(EXAMPLES[endpoint_id]["valid"][place])
        if "schedule_id" in given:
            given["schedule_id"] = self.schedule(endpoint_id.partition("_")[0])
        return given


def later(braze, seconds, zone=True):
    """An ISO 8601 time so many seconds ahead of the emulator's clock."""
    text = datetime.fromtimestamp(braze.clock.now() + seconds, UTC).isoformat(timespec="seconds")
    return text if zone else text.removesuffix("+00:00")


def until_requests(braze, count):
    """Who gives up early may do so before the emulator has read the request."""
    end = time.monotonic() + 60
    while len(braze.requests()) < count:
        assert time.monotonic() < end
        time.sleep(0.01)
