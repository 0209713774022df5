"""Bytes out, bytes back: the only module that imports an HTTP library.

Three ways lead to Braze, all behind one small shape:

- :class:`SyncWire`: ``httpx.Client``, for single calls.
- :class:`HttpxWire`: ``httpx`` transports, one per lane. One shared pool is scanned at every request and becomes
  slower with every connection.
- :class:`AiohttpWire`: ``aiohttp``, where it is installed (extra ``fast``): the quickest.

Each decides the one thing that only it can know: whether a failed request may have reached Braze.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from airflow_provider_braze.api.errors import BrazeConnectError, BrazeUnknownOutcomeError

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 10.0
# Raised before a byte of the request has left; every other failure may have come after Braze read it.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None
    params: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Wire(Protocol):
    """An open way to Braze for many requests at a time."""

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer.

        :raises BrazeConnectError: nothing was sent.
        :raises BrazeUnknownOutcomeError: it may have been received.
        """

    async def aclose(self) -> None:
        """Close all connections."""


def open_wire(lanes: int, timeout: float, transport: httpx.AsyncBaseTransport | None = None) -> Wire:
    """Choose the quickest way there is.

    :param lanes: how many requests may be under way at once.
    :param timeout: seconds that one request may take.
    :param transport: an ``httpx`` transport to use instead, for tests and special networks.
    """
    if transport is None and find_spec("aiohttp"):
        return AiohttpWire(lanes, timeout)
    return HttpxWire(lanes, timeout, transport)


class SyncWire:
    """One request after another through ``httpx.Client``."""

    def __init__(self, timeout: float, transport: httpx.BaseTransport | None = None) -> None:
        self._timeout = timeout
        self._client = httpx.Client(transport=transport, timeout=_timeouts(timeout))

    def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer, with the errors of :class:`Wire`."""
        deadline = time.monotonic() + self._timeout + CONNECT_SECONDS
        with _judged():
            response = self._client.send(_build(self._client, request), stream=True)
            with contextlib.closing(response):
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError("the answer did not end in time")
                return Answer(response.status_code, response.headers, bytes(content))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class HttpxWire:
    """One ``httpx`` client per lane, each with one connection; an injected transport is shared by all."""

    def __init__(self, lanes: int, timeout: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._timeout = timeout
        tls: Any = True if transport else httpx.create_ssl_context()
        count = 1 if transport else lanes
        self._clients = [
            httpx.AsyncClient(transport=transport, verify=tls, timeout=_timeouts(timeout)) for _ in range(count)
        ]
        self._idle = list(self._clients) if transport is None else self._clients * lanes

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer; see :class:`Wire`."""
        client = self._idle.pop() if self._idle else self._clients[0]
        try:
            with _judged():
                # httpx limits each read, not the whole: a server that drips bytes would hold the lane for ever.
                async with asyncio.timeout(self._timeout + CONNECT_SECONDS):
                    response = await client.send(_build(client, request))
                return Answer(response.status_code, response.headers, response.content)
        finally:
            self._idle.append(client)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()


class AiohttpWire:
    """One ``aiohttp`` session with as many connections as lanes."""

    def __init__(self, lanes: int, timeout: float) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=lanes),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=timeout + CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=timeout
            ),
            trust_env=True,
        )
        self._not_sent: tuple[type[Exception], ...] = (
            aiohttp.ClientConnectorError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        )
        self._lost: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, TimeoutError)

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer; see :class:`Wire`."""
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.content,
                params=request.params,
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, _lower(response), await response.read())
        except self._not_sent as error:
            raise _connect_error(error) from None
        except self._lost as error:
            raise _lost_error(error) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


@contextlib.contextmanager
def _judged() -> Iterator[None]:
    try:
        yield
    except (*_NOT_SENT, httpx.InvalidURL) as error:
        raise _connect_error(error) from None
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise _lost_error(error) from None


def _connect_error(error: Exception) -> BrazeConnectError:
    return BrazeConnectError(f"No connection to Braze, nothing was sent ({_describe(error)})")


def _lost_error(error: Exception) -> BrazeUnknownOutcomeError:
    return BrazeUnknownOutcomeError(
        f"The request was sent and its answer was lost ({_describe(error)}): Braze may have acted on it or not"
    )


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _build(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return client.build_request(
        request.method, request.url, headers=request.headers, content=request.content, params=request.params
    )


def _timeouts(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_SECONDS)


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
