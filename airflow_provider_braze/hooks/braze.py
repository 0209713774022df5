"""BrazeHook: from an Airflow connection to calls of Braze's REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_braze.get_provider_info import UI_FIELD_BEHAVIOUR

if TYPE_CHECKING:
    import httpx

    from airflow_provider_braze.api.client import AsyncBrazeClient, BrazeClient
    from airflow_provider_braze.hooks.settings import Settings

TEST_SECONDS = 10.0
PAGE_ITEMS = 100


class BrazeHook(BaseHook):
    """Talks to Braze with the key of an Airflow connection.

    .. code-block:: python

        BrazeHook().call("campaigns_list", {"page": 0})

    The connection: ``host`` is the REST endpoint (``rest.iad-01.braze.com``, with or without a scheme), ``password``
    the REST API key. All extras are optional:

    - ``timeout``: seconds one request may take, 30 by default.
    - ``lanes``: requests of one delivery under way at once, 16 by default.
    - ``max_requests_per_second``: how fast a delivery may become, at most.
    - ``quota_reserve``: what a delivery leaves of the hour's quota for others, 0.02 by default; below 1 it is a share,
      else a number of requests.
    - ``test_recipients``: the only people whom this connection may message, as a JSON list or a text separated by
      commas, of external user ids and e-mail addresses. ``test_recipients_others`` says what happens to messages for
      others: ``refuse`` (the default) or ``rewrite``, so that test recipients get them instead.
    - ``workspace``: a name for the workspace that the key belongs to; ``workspace_campaign_id``: API identifier of a
      campaign that only this workspace has. See :meth:`check_workspace`.
    - ``dashboard_url``: where the task's link to Braze leads; see :mod:`airflow_provider_braze.links`.

    :param braze_conn_id: Airflow connection of type ``braze``.
    :param transport: an ``httpx`` transport to use for single calls instead of the network.
    :param async_transport: the same for asynchronous calls and deliveries.
    """

    conn_name_attr = "braze_conn_id"
    default_conn_name = "braze_default"
    conn_type = "braze"
    hook_name = "Braze"

    def __init__(
        self,
        braze_conn_id: str = default_conn_name,
        *,
        transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__()
        self.braze_conn_id = braze_conn_id
        self._transport = transport
        self._async_transport = async_transport
        self._knows_workspace = False

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Describe the connection form to Airflow 3.1, which does not read it off the provider's metadata."""
        return {key.replace("-", "_"): value for key, value in UI_FIELD_BEHAVIOUR.items()}

    @cached_property
    def settings(self) -> Settings:
        """What the connection says, read once.

        :raises BrazeConfigurationError: the connection is missing, or an extra is not what it should be.
        """
        from airflow.providers.common.compat.sdk import AirflowNotFoundException

        from airflow_provider_braze.api.errors import BrazeConfigurationError
        from airflow_provider_braze.hooks.errors import airflow_errors
        from airflow_provider_braze.hooks.settings import read_settings

        # Errors from Braze do not tell it, and a task may have several.
        self.log.info("Using connection %r.", self.braze_conn_id)
        with airflow_errors():
            try:
                connection = self.get_connection(self.braze_conn_id)
            except AirflowNotFoundException:
                raise BrazeConfigurationError(
                    f"There is no connection {self.braze_conn_id!r}: make one of type Braze under Admin > Connections, "
                    "with the REST endpoint as host and the REST API key as password."
                ) from None
            with self._named():
                return read_settings(connection)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say in an error which connection it is that cannot be used."""
        from airflow_provider_braze.api.errors import BrazeConfigurationError

        try:
            yield
        except BrazeConfigurationError as error:
            raise BrazeConfigurationError(f"Connection {self.braze_conn_id!r}: {error}") from None

    async def aget_async_conn(self) -> AsyncBrazeClient:
        """Make the client of :meth:`get_async_conn` where an event loop runs, such as in a trigger.

        :raises BrazeConfigurationError: the connection is missing, or cannot be used as it is.
        """
        from asgiref.sync import sync_to_async

        # A triggerer's loop must not block; the thread is one from which Airflow can be asked on every version.
        return await sync_to_async(self.get_async_conn)()

    def get_conn(self) -> BrazeClient:
        """Make a client for single calls.

        :raises BrazeConfigurationError: the connection is missing, or cannot be used as it is.
        """
        from airflow_provider_braze.api.client import BrazeClient
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            known = self.settings
            with self._named():
                return BrazeClient(
                    known.host, known.key, timeout=known.timeout, transport=self._transport, staging=known.staging
                )

    def get_async_conn(self) -> AsyncBrazeClient:
        """Make a client for many calls at a time, with the errors of :meth:`get_conn`."""
        from airflow_provider_braze.api.client import AsyncBrazeClient
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            known = self.settings
            with self._named():
                return AsyncBrazeClient(
                    known.host,
                    known.key,
                    lanes=known.lanes,
                    timeout=known.timeout,
                    transport=self._async_transport,
                    staging=known.staging,
                )

    def check_workspace(self, expected: str | None = None) -> None:
        """Make sure that the key is of the workspace that is meant, before anything is sent with it.

        A name proves little, since a key says nothing of where it belongs. With ``workspace_campaign_id`` Braze is
        asked, once for each hook, for that campaign: a key of another workspace does not know it.

        :param expected: name of the workspace that the caller is made for; None where any will do.
        :raises BrazeWorkspaceError: the connection or its key is of another workspace; nothing was sent.
        :raises BrazeError: whose key it is cannot be told; nothing was sent.
        """
        from airflow_provider_braze.api.errors import BrazeWorkspaceError
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            known = self.settings
            if expected is not None and expected != known.workspace:
                whose = f"for {known.workspace!r}" if known.workspace else "for none that its extra 'workspace' names"
                raise BrazeWorkspaceError(
                    f"This task is for workspace {expected!r}, connection {self.braze_conn_id!r} is {whose}; nothing "
                    "was sent. Use the connection of that workspace, or correct the connection's extra 'workspace'."
                )
            if known.workspace_campaign_id and not self._knows_workspace:
                self._ask_for_campaign(known.workspace_campaign_id, known.workspace)
                self._knows_workspace = True

    def _ask_for_campaign(self, campaign_id: str, workspace: str | None) -> None:
        from airflow_provider_braze.api import errors

        try:
            is_known = bool(self.campaign_details(campaign_id).get("name"))
            said = ""
        except (errors.BrazeUnauthorizedError, errors.BrazeForbiddenError) as error:
            raise errors.BrazeConfigurationError(
                f"The key of connection {self.braze_conn_id!r} may not read campaign {campaign_id!r}, the connection's "
                "extra 'workspace_campaign_id', so that it cannot be told whose key it is: nothing was sent. The key "
                f"needs the permission campaigns.details. {error}"
            ) from None
        except (errors.BrazeBadRequestError, errors.BrazeNotFoundError, errors.BrazeNotSentError) as error:
            is_known, said = False, f" {error}"
        if not is_known:
            whose = f"workspace {workspace!r}" if workspace else "the workspace that the connection is for"
            raise errors.BrazeWorkspaceError(
                f"The key of connection {self.braze_conn_id!r} is not of {whose}: it does not know campaign "
                f"{campaign_id!r}, the connection's extra 'workspace_campaign_id'. Nothing was sent.{said}"
            )

    def call(self, endpoint: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call an endpoint once and give Braze's answer.

        :param endpoint: key of :data:`airflow_provider_braze.api.endpoints.ENDPOINTS`.
        :param payload: body of a POST, query of a GET.
        :raises BrazeError: as a twin under ``AirflowException``; see :mod:`airflow_provider_braze.api.errors`.
        """
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors(_may_be_repeated(endpoint, payload)):
            return self.get_conn().call(endpoint, payload)

    async def acall(self, endpoint: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call an endpoint once without blocking; see :meth:`call`."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors(_may_be_repeated(endpoint, payload)):
            async with await self.aget_async_conn() as client:
                return await client.call(endpoint, payload)

    def campaign_details(self, campaign_id: str) -> dict[str, Any]:
        """Read a campaign: ``archived``, ``draft``, ``enabled``, ``channels``, ``last_sent`` and more."""
        return self.call("campaigns_details", {"campaign_id": campaign_id})

    def canvas_details(self, canvas_id: str) -> dict[str, Any]:
        """Read a Canvas: ``archived``, ``draft``, ``enabled``, ``variants``, ``last_entry`` and more."""
        return self.call("canvas_details", {"canvas_id": canvas_id})

    def segment_details(self, segment_id: str) -> dict[str, Any]:
        """Read a segment: ``name``, ``description``, ``tags`` and more."""
        return self.call("segments_details", {"segment_id": segment_id})

    def campaigns(self, *, include_archived: bool = False) -> Iterator[dict[str, Any]]:
        """List all campaigns, page by page."""
        return self._pages("campaigns_list", "campaigns", {"include_archived": include_archived})

    def canvases(self, *, include_archived: bool = False) -> Iterator[dict[str, Any]]:
        """List all Canvases, page by page."""
        return self._pages("canvas_list", "canvases", {"include_archived": include_archived})

    def segments(self) -> Iterator[dict[str, Any]]:
        """List all segments, page by page."""
        return self._pages("segments_list", "segments", {})

    def campaign_figures(
        self, campaign_id: str, *, days: int, send_id: str | None = None, ending_at: datetime | str | None = None
    ) -> list[dict[str, Any]]:
        """Read a campaign's daily figures, or those of one send of it.

        :param campaign_id: API identifier of the campaign.
        :param days: how many days, 1 to 100.
        :param send_id: read the figures of this send; Braze keeps them for 14 days.
        :param ending_at: the last of the days; now by default.
        """
        query = {"campaign_id": campaign_id, "length": days, "send_id": send_id, "ending_at": ending_at}
        endpoint = "sends_data_series" if send_id else "campaigns_data_series"
        return list(self.call(endpoint, query).get("data") or [])

    def export_users(self, external_ids: Sequence[str | int], fields: Sequence[str]) -> dict[str, Any]:
        """Read the profiles of up to 50 users; ids that Braze does not know are in ``invalid_user_ids``."""
        payload = {"external_ids": [str(user) for user in external_ids], "fields_to_export": list(fields)}
        return self.call("users_export_ids", payload)

    def _pages(self, endpoint: str, field: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for page in count():
            items = self.call(endpoint, {**query, "page": page}).get(field) or []
            yield from items
            if len(items) < PAGE_ITEMS:
                return

    def test_connection(self) -> tuple[bool, str]:
        """Ask Braze for the first page of campaigns, and put what comes back into words."""
        from airflow_provider_braze.api.client import BrazeClient
        from airflow_provider_braze.api.errors import BrazeError
        from airflow_provider_braze.hooks.verdict import NOT_BRAZE, verdict

        try:
            known = self.settings
            seconds = min(TEST_SECONDS, known.timeout)
            with self._named():
                client = BrazeClient(known.host, known.key, timeout=seconds, transport=self._transport)
            campaigns = client.call("campaigns_list", {"page": 0}).get("campaigns")
        except BrazeError as error:
            return False, verdict(error)
        if not isinstance(campaigns, list):
            return False, NOT_BRAZE
        return True, f"Connected: Braze accepts the key and lists {len(campaigns)} campaigns on the first page."


def _may_be_repeated(endpoint: str, payload: Mapping[str, Any] | None) -> bool:
    from airflow_provider_braze.api.endpoints import ENDPOINTS

    if endpoint == "transactional_send":
        # Braze sends the same external_send_id once within 24 hours.
        return bool((payload or {}).get("external_send_id"))
    return endpoint in ENDPOINTS and ENDPOINTS[endpoint].repeatable
