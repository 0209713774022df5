"""How a SqlLedger names deliveries, and people, of whom it keeps no more than a hash."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.api.models.recipients import identity_of
from airflow_provider_braze.delivery.bodies import people_of

if TYPE_CHECKING:
    from airflow_provider_braze.api.endpoints import Endpoint
    from airflow_provider_braze.delivery.ledger import TaskTry
    from airflow_provider_braze.delivery.request import PlannedRequest


def delivery_name(task: TaskTry, generation: int = 0) -> str:
    """Name what is sent once; each clear that forgets begins a new generation of it."""
    if task.delivery_key is not None:
        name = f"key:{task.delivery_key}"
    elif task.has_siblings:
        # Another number of parts moves people from one mapped task to another.
        name = f"parts:{task.dag_id}/{task.run_id}/{task.task_id}"
    else:
        name = f"task:{task.name}"
    # Tasks of one run that share a key and are cleared together go on sharing it.
    whose = task.name if task.lasting else f"{task.dag_id}/{task.run_id}"
    return f"{name} cleared:{whose}/{generation}" if generation else name


def hashes_of(endpoint: Endpoint, request: PlannedRequest) -> list[str]:
    """Hash to whom a request goes; one without people counts as one to everybody, or to the person that it names."""
    if not request.recipients:
        recipient = json.loads(request.body).get("recipient")
        return [hash_of(identity_of(recipient)) if recipient else EVERYBODY]
    people: Any = people_of(endpoint, request.body)
    return [hash_of(identity_of(person)) for person in people]


def hash_of(identity: str) -> str:
    """Hash who somebody is."""
    return blake2b(identity.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def number_of(text: str) -> int:
    """Hash a text to 63 bits, which fit a BIGINT."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") >> 1


# No identity of a person begins with it.
EVERYBODY = hash_of("*")
