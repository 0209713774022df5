"""AsyncBrazeClient and BrazeClient: one request builder, one way out, and a client that waits."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from airflow_provider_braze import __version__
from airflow_provider_braze.api.answers import read_answer
from airflow_provider_braze.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeValidationError
from airflow_provider_braze.api.models.common import BODY_BYTES, BrazeModel, problems_of, write_json
from airflow_provider_braze.api.wire import Answer, Request, Transport, Wire, open_wire

if TYPE_CHECKING:
    from airflow_provider_braze.api.staging import StagingList

T = TypeVar("T")
DEFAULT_TIMEOUT = 30.0
DEFAULT_LANES = 16
_KEY = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f:.]+")
_NO_HOST = "The connection has no usable host: put Braze's REST endpoint there, for example rest.iad-01.braze.com."


class RequestBuilder:
    """Turns a payload into a request: the address, the key, the rules of the endpoint.

    :param host: REST endpoint host, with or without a scheme, for example ``rest.iad-01.braze.com``.
    :param key: REST API key.
    :param staging: the only people whom requests may message; None for everybody.
    :raises BrazeConfigurationError: host or key cannot be used.
    """

    def __init__(self, host: str, key: str, staging: StagingList | None = None) -> None:
        self.base_url = base_url(host)
        self.staging = staging
        key = key.strip()
        if not _KEY.fullmatch(key):
            raise BrazeConfigurationError(
                "The connection has no usable key: put Braze's REST API key, without spaces or line breaks, into the "
                "password field."
            )
        self._key = key
        self._headers = {
            "authorization": f"Bearer {key}",
            "user-agent": f"airflow-provider-braze-messaging/{__version__}",
        }
        self._post_headers = {**self._headers, "content-type": "application/json"}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url}>"

    def build(self, endpoint: Endpoint, payload: Mapping[str, Any]) -> Request:
        """Validate a payload and make the request of it.

        :raises BrazeValidationError: the payload breaks a documented rule.
        :raises BrazeGuardError: it is to people whom this client must not message.
        """
        path, rest = fill_path(endpoint, payload)
        model = validate(endpoint, rest)
        if endpoint.method == "GET":
            query = model.model_dump(mode="json", exclude_none=True)
            params = {
                name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()
            }
            return Request("GET", self.base_url + path, self._headers, params=params)
        content = admit(endpoint, encode(endpoint, model), self.staging)
        return Request("POST", self.base_url + path, self._post_headers, content)

    def wrap(self, endpoint: Endpoint, content: bytes) -> Request:
        """Make a request of a body that is already valid and encoded.

        :raises BrazeGuardError: it is to people whom this client must not message.
        """
        if self.staging is not None:
            self.staging.check(endpoint, json.loads(content))
        return Request(endpoint.method, self.base_url + endpoint.path, self._post_headers, content)

    def read(self, endpoint: Endpoint, answer: Answer) -> dict[str, Any]:
        """Give the answer's body, or raise what it says; see :func:`read_answer`."""
        return read_answer(endpoint, answer, self._key)


class AsyncBrazeClient(RequestBuilder):
    """Calls Braze without blocking, up to ``lanes`` requests at a time.

    :param host: REST endpoint host.
    :param key: REST API key.
    :param lanes: requests that may be under way at once.
    :param timeout: seconds that a request may take.
    :param transport: an ``httpx`` transport to use instead of the network.
    :param staging: the only people whom calls may message; None for everybody.
    """

    def __init__(
        self,
        host: str,
        key: str,
        *,
        lanes: int = DEFAULT_LANES,
        timeout: float = DEFAULT_TIMEOUT,
        transport: Transport | None = None,
        staging: StagingList | None = None,
    ) -> None:
        super().__init__(host, key, staging)
        self.lanes = lanes
        self.timeout = timeout
        self._transport = transport
        self._wire: Wire | None = None

    async def call(self, endpoint: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call an endpoint once, giving Braze's answer.

        :param endpoint: key of ``ENDPOINTS``, for example ``"campaigns_list"``.
        :param payload: body of a POST, query of a GET.
        :raises BrazeError: see :mod:`airflow_provider_braze.api.errors`.
        """
        row = find_endpoint(endpoint)
        return self.read(row, await self.exchange(self.build(row, payload or {})))

    async def exchange(self, request: Request) -> Answer:
        """Send a request as it is and give the answer as it is."""
        if self._wire is None:
            try:
                self._wire = open_wire(self.base_url, self.lanes, self.timeout, self._transport)
            except (OSError, ValueError, ImportError) as error:
                raise BrazeConfigurationError(
                    f"No way to Braze can be opened ({type(error).__name__}: {error}): look at this machine's proxy "
                    "settings and certificates (SSL_CERT_FILE)."
                ) from error
        return await self._wire.exchange(request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._wire is not None:
            await self._wire.aclose()
            self._wire = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class BrazeClient(RequestBuilder):
    """Calls Braze and waits, one request at a time; it opens a connection per call.

    :param host: REST endpoint host.
    :param key: REST API key.
    :param timeout: seconds that a request may take.
    :param transport: an ``httpx`` transport to use instead of the network.
    :param staging: the only people whom calls may message; None for everybody.
    """

    def __init__(
        self,
        host: str,
        key: str,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        transport: Transport | None = None,
        staging: StagingList | None = None,
    ) -> None:
        super().__init__(host, key, staging)
        self._client = AsyncBrazeClient(host, key, lanes=1, timeout=timeout, transport=transport, staging=staging)

    def call(self, endpoint: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call an endpoint once; see :meth:`AsyncBrazeClient.call`."""

        async def once() -> dict[str, Any]:
            async with self._client:
                return await self._client.call(endpoint, payload)

        return run_blocking(once())

    def close(self) -> None:
        """Nothing stays open between calls; there for callers who close what they opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, also where an event loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def find_endpoint(name: str) -> Endpoint:
    """Look up a row of ``ENDPOINTS``.

    :raises BrazeConfigurationError: there is no such endpoint.
    """
    try:
        return ENDPOINTS[name]
    except KeyError:
        known = ", ".join(sorted(ENDPOINTS))
        raise BrazeConfigurationError(f"{name!r} is no endpoint; known are {known}") from None


def fill_path(endpoint: Endpoint, payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Put the payload's path parameters into the path, and give it with the rest of the payload.

    :raises BrazeValidationError: a parameter is missing.
    """
    names = re.findall(r"{(\w+)}", endpoint.path)
    missing = [name for name in names if not isinstance(payload.get(name), str) or not payload[name]]
    if missing:
        raise BrazeValidationError(
            endpoint.name, [f"{name}: must be a text, it is part of the URL" for name in missing]
        )
    path = endpoint.path.format(**{name: quote(payload[name], safe="") for name in names})
    return path, {name: value for name, value in payload.items() if name not in names}


def validate(endpoint: Endpoint, payload: Mapping[str, Any]) -> BrazeModel:
    """Hold a payload against the endpoint's rules.

    :raises BrazeValidationError: it breaks one; the error names each field and limit.
    """
    try:
        return endpoint.request.model_validate(payload)
    except ValidationError as error:
        raise BrazeValidationError(endpoint.name, problems_of(error)) from None


def encode(endpoint: Endpoint, model: BrazeModel) -> bytes:
    """Write a valid request as JSON; nulls are left out.

    :raises BrazeValidationError: it is larger than Braze takes, or holds what JSON cannot express.
    """
    try:
        content = write_json(model.model_dump(mode="json", exclude_none=True))
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise BrazeValidationError(endpoint.name, [f"body: {error}"]) from None
    return check_body_size(endpoint, content)


def admit(endpoint: Endpoint, content: bytes, staging: StagingList | None) -> bytes:
    """Give the body that may be sent over a connection: the same, or one to its test recipients.

    :param content: valid and encoded.
    :param staging: the only people whom the connection may message; None for everybody.
    :raises BrazeGuardError: nothing of it may be sent.
    """
    if staging is None:
        return content
    body = json.loads(content)
    admitted = staging.admit(endpoint, body)
    return content if admitted is body else encode(endpoint, validate(endpoint, admitted))


def check_body_size(endpoint: Endpoint, content: bytes) -> bytes:
    """Refuse a body above Braze's 4 MB, give back any other."""
    if len(content) > BODY_BYTES:
        problem = f"body: is {len(content)} bytes, Braze takes at most {BODY_BYTES} (4 MB)"
        raise BrazeValidationError(endpoint.name, [problem])
    return content


def base_url(host: str) -> str:
    """Make the root URL of a connection's host.

    Plain http is allowed to a loopback address only, since the key travels in a header.

    :raises BrazeConfigurationError: no host, a path, the dashboard's host, or http to elsewhere.
    """
    text = (host or "").strip().removesuffix("/")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        raise BrazeConfigurationError(_NO_HOST) from None
    if not _HOST.fullmatch(name) or parts.scheme not in {"http", "https"} or "@" in parts.netloc:
        raise BrazeConfigurationError(_NO_HOST)
    if parts.path or parts.query or parts.fragment:
        alone = text.partition("://")[0] + "://" + parts.netloc if "://" in text else parts.netloc
        raise BrazeConfigurationError(f"The connection's host must have no path: use {alone} alone.")
    if name.startswith(("dashboard", "sdk.")):
        raise BrazeConfigurationError(
            f"{name} is not a REST endpoint. Use the one of the same instance, such as rest.iad-01.braze.com; see "
            "https://www.braze.com/docs/api/basics/#endpoints."
        )
    if parts.scheme == "http" and not _is_loopback(name):
        raise BrazeConfigurationError(f"The key would travel unencrypted: use https to reach {name}.")
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
