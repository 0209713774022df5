"""What all Braze sensors share: the first look, the wait in a triggerer, and how a wait ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_braze.conditions.errors import (
    LATER,
    BrazeWaitError,
    BrazeWaitFailedError,
    BrazeWaitRefusedError,
    error_from_dict,
)
from airflow_provider_braze.given import GivenFields
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.links import BrazeDashboardLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from airflow_provider_braze.conditions.base import Condition, Verdict

LONGEST_TURN = 10.0
"""Seconds that a worker waits for the quota, before it asks later."""


class _FinalRefusalError(BrazeWaitRefusedError, AirflowFailException):
    """A refusal that Airflow's own loop does not take for "later"."""


class BrazeSensor(GivenFields, BaseSensorOperator):
    """Waits until a condition holds, and returns the figures as a plain dict.

    A wait that cannot end well is refused at once; 429s, server errors and lost connections mean later. In a triggerer,
    all waits for the same thing share one request per interval, ``poke_interval``; ``exponential_backoff`` and
    ``max_wait`` count on a worker only.

    :param braze_conn_id: Airflow connection of type ``braze``. (templated)
    :param deferrable: whether to wait in a triggerer rather than on a worker; by default what Airflow's setting
        ``[operators] default_deferrable`` says.
    """

    template_fields: Sequence[str] = ("braze_conn_id",)
    ui_color = "#e0f2fe"
    operator_extra_links = (BrazeDashboardLink(),)

    def __init__(
        self,
        *,
        braze_conn_id: str = BrazeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.braze_conn_id = braze_conn_id
        self.deferrable = deferrable
        self._condition: Condition | None = None
        self._admitted = False
        self._resumed = False
        self._standing = ""

    @cached_property
    def hook(self) -> BrazeHook:
        """The hook of this task's connection."""
        return BrazeHook(self.braze_conn_id)

    def condition(self, context: Context) -> Condition:
        """Say what is waited for.

        :raises ValueError: a template rendered to something that can never come.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Look once, then wait."""
        if self.deferrable:
            met = self._first_look(context)
            return met.xcom_value if met else self._defer()
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise self._timeout(error) from None
        except AirflowSkipException as skipped:
            if self.soft_fail and isinstance(skipped.__cause__, BrazeWaitRefusedError):
                raise skipped.__cause__ from None
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask Braze once."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors(repeatable=True):
            try:
                verdict = self._look(context)
            except LATER as error:
                self._tell(f"The next time is later: {error}")
                return PokeReturnValue(is_done=False)
            except BrazeWaitRefusedError as error:
                if self.silent_fail:
                    raise _FinalRefusalError(*error.args) from None
                raise
            self._tell(verdict.text)
            if verdict.state == "failed":
                raise BrazeWaitFailedError(verdict.text)
        return PokeReturnValue(is_done=verdict.state == "met", xcom_value=verdict.result)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:  # noqa: ARG002 (Airflow's signature)
        """End as the trigger says."""
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors(repeatable=True):
            if error := event.get("error"):
                raise error_from_dict(error)
            self._tell(event["text"])
            if event["state"] == "failed":
                raise BrazeWaitFailedError(event["text"])
        return event["result"]

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the wait; before a timeout counts, look once more."""
        self._resumed = True
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            if met := self._first_look(context):
                return met.xcom_value
            raise self._timeout(error) from None
        except AirflowSkipException as skipped:
            cause = skipped.__cause__
            # Airflow lets soft_fail hide every error of a deferred sensor; a wrong key or a wrong task stays an error.
            if self.soft_fail and isinstance(cause, Exception) and not self._is_soft(cause):
                raise cause from None
            if isinstance(cause, AirflowSensorTimeout) and (met := self._first_look(context)):
                return met.xcom_value
            raise

    def _is_soft(self, error: Exception) -> bool:
        return isinstance(error, BrazeWaitFailedError | AirflowSensorTimeout)

    def _timeout(self, error: Exception) -> AirflowSensorTimeout:
        """Say how things stood."""
        return AirflowSensorTimeout(f"{error} {self._standing}".rstrip())

    def _first_look(self, context: Context) -> PokeReturnValue | None:
        """Poke as Airflow does in its own loop."""
        try:
            found = self.poke(context)
        except AirflowFailException as error:
            if self.never_fail or (self.soft_fail and self._is_soft(error)):
                raise AirflowSkipException(str(error)) from error
            raise
        except Exception as error:
            if self.silent_fail and self._condition is not None and not isinstance(error, BrazeWaitError):
                self.log.exception("The poke failed.")
                return None
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        return found if found.is_done else None

    def _defer(self) -> Any:
        from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

        condition = self._condition
        if condition is None:
            raise AssertionError("a look makes the condition")
        self.defer(
            trigger=BrazeConditionTrigger(
                braze_conn_id=self.braze_conn_id,
                condition=condition.as_dict(),
                poll_interval=self.poke_interval,
                admitted=self._admitted,
                silent_fail=self.silent_fail,
            ),
            method_name="resume",
            timeout=timedelta(seconds=self.timeout),
        )
        raise AssertionError("defer does not return")

    def _look(self, context: Context) -> Verdict:
        from airflow_provider_braze.api.client import run_blocking

        if self._condition is None:
            if problems := self.given_in_vain("the wait would be for something else"):
                raise BrazeWaitRefusedError("\n".join(problems))
            try:
                self._condition = self.condition(context)
            except ValueError as error:
                raise BrazeWaitRefusedError(str(error)) from None
        try:
            return run_blocking(self._verdict(self._condition))
        except BrazeWaitRefusedError as error:
            if self._admitted or not self._waited_before(context):
                raise
            # It could have ended when the wait began.
            raise BrazeWaitFailedError(*error.args) from None

    def _waited_before(self, context: Context) -> bool:
        """Tell whether another object of this task looked before: each look is a new one, unless it only pokes."""
        if self._resumed or not self.reschedule:
            return self._resumed
        task: Any = context.get("ti")
        return task is not None and task.get_first_reschedule_date(context) is not None

    async def _verdict(self, condition: Condition) -> Verdict:
        from airflow_provider_braze.conditions.asking import Asker, admit

        async with self.hook.get_async_conn() as client:
            ask = partial(Asker(client, self.hook.settings.quota_reserve).ask_all, longest_wait=LONGEST_TURN)
            if not self._admitted:
                await admit(condition, ask, self.log)
                self._admitted = True
            now = datetime.now(UTC)
            return condition.judge(await ask(condition.questions(now)), now)

    def _tell(self, text: str) -> None:
        """Log how things stand, where that changed."""
        if text != self._standing:
            self.log.info(text)
        self._standing = text
