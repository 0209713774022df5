"""What all Braze operators share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_braze import guards
from airflow_provider_braze.given import GivenFields
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.links import BrazeDashboardLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.ledger import Past
    from airflow_provider_braze.delivery.pacing import Pacer

# Beside the templated part of the payload: without these others would be messaged, at another time, or once more.
_LIMITS = ("schedule", "workspace", "delivery_key", "recipient_subscription_state", "max_recipients")


class BrazeBaseOperator(GivenFields, BaseOperator):
    """Calls one endpoint of Braze.

    Children name the endpoint and the parameters that make up its payload, under Braze's own field names.

    :param braze_conn_id: Airflow connection of type ``braze``. (templated)
    """

    endpoint: ClassVar[str]
    payload_fields: Sequence[str] = ()
    template_fields: Sequence[str] = ("braze_conn_id",)
    template_ext: Sequence[str] = (".sql",)
    operator_extra_links = (BrazeDashboardLink(),)
    ui_color = "#f3e8ff"

    def __init__(self, *, braze_conn_id: str = BrazeHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.braze_conn_id = braze_conn_id

    @cached_property
    def hook(self) -> BrazeHook:
        """The hook of this task's connection."""
        return BrazeHook(self.braze_conn_id)

    def quota_share(self) -> float:
        """Give the share of the quota that this task may take, 1 for all of it."""
        return 1.0

    def make_pacer(self) -> Pacer:
        """Make what says when requests may go, as the connection wishes."""
        from airflow_provider_braze.delivery.pacing import Pacer

        settings = self.hook.settings
        return Pacer(
            reserve=settings.quota_reserve,
            max_per_second=settings.max_requests_per_second,
            share=self.quota_share(),
            lanes=settings.lanes,
        )

    @classmethod
    def _meant_fields(cls) -> set[str]:
        """Name the fields that, once given, must hold something when the task runs."""
        return {*cls.payload_fields}.intersection(cls.template_fields).union(_LIMITS)

    @property
    def payload(self) -> dict[str, Any]:
        """The fields that were given.

        :raises BrazeValidationError: one was given, and holds nothing: without it others could be messaged.
        """
        self._check_given()
        values = {name: getattr(self, name) for name in self.payload_fields}
        return {name: value for name, value in values.items() if value is not None}

    def _check_given(self) -> None:
        from airflow_provider_braze.api.errors import BrazeValidationError
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            if problems := self.given_in_vain("others might be messaged, or something else"):
                raise BrazeValidationError(self.endpoint, problems)


class BrazeCallOperator(BrazeBaseOperator):
    """Calls its endpoint once, and returns Braze's answer.

    Its fields are outputs by name too: ``.output["send_id"]`` is the id.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Airflow takes what is in the brackets for a key of its own.
        super().__init__(**{"multiple_outputs": True} | kwargs)

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Call, and return the answer as a plain dict."""
        return self.hook.call(self.endpoint, self.payload)


class ForWorkspace(BrazeBaseOperator):
    """Knows which workspace it is for.

    :param workspace: the Braze workspace that this task is for; the connection's extra ``workspace`` must say the
        same. (templated)
    """

    template_fields: Sequence[str] = (*BrazeBaseOperator.template_fields, "workspace")

    def __init__(self, *, workspace: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace

    def check_workspace_if_possible(self) -> None:
        """Refuse a key of another workspace; that it cannot be told is no reason to let messages go out.

        :raises BrazeWorkspaceError: it is of another one.
        """
        from airflow_provider_braze.api.errors import BrazeError, BrazeWorkspaceError

        try:
            self.hook.check_workspace(self.workspace)
        except BrazeWorkspaceError:
            raise
        except BrazeError as error:
            self.log.warning("The workspace of the key could not be checked, the task goes on: %s", error)


class GuardedOperator(ForWorkspace):
    """May cause a message, and therefore looks at its run first.

    :param on_backfill: what to do in a backfill: ``"skip"`` (the default), ``"fail"``, or ``"send"``.
    :param max_staleness: how long after it was due a run may begin to message people; later ones are skipped, such as
        those that a scheduler catches up with. What began in time may be finished as long after that. None for any
        time. One day by default.
    """

    def __init__(
        self,
        *,
        on_backfill: guards.OnBackfill = "skip",
        max_staleness: timedelta | None = guards.MAX_STALENESS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        guards.check_choice("on_backfill", on_backfill, guards.ON_BACKFILL)
        if max_staleness is not None:
            guards.check_span("max_staleness", max_staleness)
        self.on_backfill = on_backfill
        self.max_staleness = max_staleness

    def check_run(self, context: Context) -> None:
        """Refuse runs and workspaces that this task is not for.

        :raises AirflowSkipException: the run is a backfill, or too old.
        :raises BrazeConfigurationError: the connection is for another workspace.
        """
        guards.refuse_backfill(context, self.on_backfill)
        guards.refuse_stale(context, self.max_staleness, self.look_back)
        self.hook.check_workspace(self.workspace)

    def look_back(self, context: Context) -> Past | None:  # noqa: ARG002 (children know more)
        """Tell what earlier tries did; None where that is not known."""
        return None


class GuardedCall(GuardedOperator):
    """Mixed into an operator, looks at its run before it calls."""

    def execute(self, context: Context) -> Any:
        """Call, and return the answer as a plain dict."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            self.check_run(context)
        return super().execute(context)


class FirstResult(BrazeBaseOperator):
    """Mixed into an operator that prepares a send: cleared, it gives again what it gave at first.

    So it fits the send after it, which goes on where it was. Airflow remembers it from 3.3 on.

    :param on_clear: what a cleared task does: ``"resume"`` gives its first result again, ``"resend"`` makes a new one,
        for a send that begins anew.
    """

    def __init__(self, *, on_clear: guards.OnClear = "resume", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        guards.check_choice("on_clear", on_clear, guards.ON_CLEAR)
        self.on_clear = on_clear

    def execute(self, context: Context) -> Any:
        """Make the result, or give the one that there is."""
        from airflow_provider_braze.delivery.ledger import Counts
        from airflow_provider_braze.delivery.task_state import RESULT, read, write
        from airflow_provider_braze.hooks.errors import airflow_errors

        store, counts = context.get("task_state_store"), guards.this_try(context).counts
        asked = {name: getattr(self, name) for name in self.template_fields}
        with airflow_errors(repeatable=True):
            kept = read(store, RESULT) if store is not None else None
            again = self.on_clear == "resume" or (kept and not counts.tell_clear(Counts(*kept["counts"])))
            # The author may have corrected what it is of.
            if kept and again and kept["asked"] == asked:
                self.log.info("The result is the one of an earlier try, as the send after it goes on.")
                return kept["result"]
        result = super().execute(context)
        if store is not None:
            with airflow_errors(repeatable=True):
                write(store, RESULT, {"counts": list(counts), "asked": asked, "result": result})
        return result
