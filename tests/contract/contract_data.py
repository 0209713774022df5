"""Braze's published contract, as its own files tell it, and the ways of judging a body by it."""

import json
from functools import cache
from importlib import resources
from pathlib import Path

import httpx
import yaml

from airflow_provider_braze.api.client import BrazeClient
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import BrazeValidationError

EXAMPLES = Path(__file__).parent / "examples"


@cache
def contract(name):
    text = resources.files("airflow_provider_braze.emulator").joinpath("contract", f"{name}.yaml").read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def endpoint(name):
    return next(row for row in contract("endpoints")["endpoints"] if row["id"] == name)


@cache
def examples(name):
    return json.loads((EXAMPLES / Path(endpoint(name)["example_file"]).name).read_text())


def valid_requests(name):
    found = examples(name)
    return [found["valid_request_invented"], *found.get("valid_variants_invented", [])]


class Judges:
    """Asks the package's models and the emulator, which read the contract each for itself."""

    def __init__(self, url, key):
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60)
        self._client = BrazeClient(url, key)

    def close(self):
        self._http.close()
        self._client.close()

    def models(self, name, body):
        """None where the package would send it, else why not."""
        try:
            self._client.build(ENDPOINTS[name], body)
        except BrazeValidationError as refused:
            return refused.problems
        return None

    def emulator(self, name, body):
        """None where the emulator accepts it, else why not."""
        return self._asked(name, json.dumps(body).encode())

    def emulator_on_what_is_sent(self, name, body):
        """The same for what the package makes of a body."""
        return self._asked(name, self._client.build(ENDPOINTS[name], body).content)

    def _asked(self, name, content):
        row = endpoint(name)
        if row["method"] == "GET":
            query = {key: json.dumps(value).strip('"') for key, value in json.loads(content or b"{}").items()}
            answer = self._http.get(row["path"], params=query)
        else:
            answer = self._http.post(row["path"], content=content, headers={"content-type": "application/json"})
        assert answer.status_code < 300 or answer.status_code in (400, 413), answer.text
        return None if answer.status_code < 300 else answer.json()["errors"]
