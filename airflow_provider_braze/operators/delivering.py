"""What all operators that go through the delivery engine share: the ledger, and what happens where things go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_braze import guards
from airflow_provider_braze.delivery.policy import MAX_QUOTA_WAIT, ON_UNKNOWN, SETTLING_TIME, OnUnknown, Policy
from airflow_provider_braze.operators.base import GuardedOperator

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.errors import DeliveryPausedError
    from airflow_provider_braze.delivery.ledger import Ledger, OpenLedger, Past
    from airflow_provider_braze.delivery.plan import Plan


class BrazeDeliveryOperator(GuardedOperator):
    """Sends what a plan holds, each request once, and returns a report.

    Every request is written into a ledger before it leaves and after its answer came, so that a retry, a clear or a
    deferral goes on where the try before ended: what is done is not sent again, what is in doubt is treated by
    ``on_unknown``.

    :param on_unknown: what becomes of recipients who may or may not have been messaged, since an answer was lost or a
        worker died: ``"fail"`` stops and names them, ``"skip"`` leaves them out, ``"resend"`` sends to them again at
        the risk of a second message, ``"reconcile"`` asks Braze and sends to those who did not get it (campaigns and
        Canvases; the key needs ``users.export.ids``).
    :param on_clear: what a cleared task does: ``"resume"`` sends what is left, ``"resend"`` sends to everybody again.
    :param ledger: where the delivery is remembered: ``SqlLedger(conn_id)``, or by default Airflow's task state (3.3 and
        newer). Without either, every second try refuses to send.
    :param delivery_key: name of what is to be sent once, across runs, backfills, DAGs and workers; needs a
        ``SqlLedger``. (templated)
    :param max_quota_wait: how long the worker waits for Braze's quota; a longer wait defers the task. Five minutes by
        default.
    :param settling_time: how long Braze gets to note a message in the profiles before ``"reconcile"`` asks it.
    :param retry_server_errors: whether 500, 502 and 503 mean that nothing was sent, as Braze's errors page says;
        ``False`` counts them as unknown.
    :param dry_run: validate all, check the campaign and the key, send nothing, and report what would be sent;
        also as a template that renders to true or false, such as ``"{{ params.dry_run }}"``.
    """

    template_fields: Sequence[str] = (*GuardedOperator.template_fields, "delivery_key")
    lasting: ClassVar[bool] = False
    """Whether what it makes stays to be changed; see :class:`~airflow_provider_braze.delivery.ledger.TaskTry`."""

    def __init__(
        self,
        *,
        on_unknown: OnUnknown = "fail",
        on_clear: guards.OnClear = "resume",
        ledger: Ledger | None = None,
        delivery_key: str | None = None,
        max_quota_wait: timedelta = MAX_QUOTA_WAIT,
        settling_time: timedelta = SETTLING_TIME,
        retry_server_errors: bool = True,
        dry_run: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        guards.check_choice("on_unknown", on_unknown, ON_UNKNOWN)
        guards.check_choice("on_clear", on_clear, guards.ON_CLEAR)
        guards.check_span("max_quota_wait", max_quota_wait)
        guards.check_span("settling_time", settling_time)
        if delivery_key is not None and not getattr(ledger, "shared", False):
            raise ValueError("delivery_key needs a ledger that other runs see too: ledger=SqlLedger(conn_id).")
        if isinstance(delivery_key, str) and not delivery_key.strip():
            raise ValueError("delivery_key is blank: that would be one key for everything, in all runs and DAGs.")
        self.on_unknown = on_unknown
        self.on_clear = on_clear
        self.ledger = ledger
        self.delivery_key = delivery_key
        self.max_quota_wait = max_quota_wait
        self.settling_time = settling_time
        self.retry_server_errors = retry_server_errors
        # BaseOperator has a method of this name.
        self.rehearsal = dry_run
        self.allow_paused = False
        self._delivery: Delivery | None = None
        self._killed = False

    def execute(self, context: Context) -> Any:
        """Send, and return the report as a plain dict."""
        from airflow_provider_braze.delivery.errors import BrazeDeliveryError
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            guards.note_try(context, self.ledger, self.on_clear)
            try:
                self.check_run(context)
            except BaseException as error:
                # Of a run that is not to message anybody; what a key names may be another run's.
                is_refused = isinstance(error, AirflowSkipException | BrazeDeliveryError)
                if self.delivery_key is None or not is_refused:
                    self.keep_earlier(context)
                raise
            return self._run(context)

    def resume(self, context: Context, event: Any = None, planned: str | None = None) -> Any:  # noqa: ARG002 (Airflow's)
        """Go on after a deferral, where the ledger says that it ended.

        :param planned: when that was to be, ISO 8601.
        """
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            self.hook.check_workspace(self.workspace)
            return self._run(context, planned)

    def look_back(self, context: Context) -> Past | None:
        """Tell what earlier tries left in the ledger."""
        wishes = {"lasting": self.lasting, "part_of": self.part_of}
        past = guards.look_back(context, self.ledger, self.delivery_key, **wishes)
        # Cleared to send to everybody again, it begins anew.
        return replace(past, began=None) if past and past.cleared and self.on_clear == "resend" else past

    @property
    def part_of(self) -> Sequence[tuple[int, int]]:
        """Which part of how many it sends of an audience."""
        return ()

    def make_plan(self, context: Context) -> Plan:
        """Read and check all that is to be sent."""
        raise NotImplementedError

    def _run(self, context: Context, planned: str | None = None) -> Any:
        from airflow_provider_braze.delivery.errors import DeliveryPausedError
        from airflow_provider_braze.delivery.rehearsal import is_true

        try:
            plan = self.make_plan(context)
        except BaseException:
            self.keep_earlier(context)
            raise
        with plan:
            self.log.info("%d requests to %s planned: %s.", len(plan), self.endpoint, plan.report)
            for sample in plan.report.invalid_samples:
                self.log.warning("Left out: %s", sample)
            if is_true(self.render_template(self.rehearsal, context)):
                return self._rehearse(plan, context)
            try:
                opened = self.open_ledger(plan, context)
            except BaseException:
                self.keep_earlier(context)
                raise
            try:
                with opened as ledger:
                    if ledger is not None:
                        guards.refuse_late_resume(planned, self.max_staleness, ledger.past)
                    return self._deliver(plan, ledger, context)
            except DeliveryPausedError as paused:
                self._defer(paused, context)

    def _rehearse(self, plan: Plan, context: Context) -> dict[str, Any]:
        from airflow_provider_braze.delivery.rehearsal import rehearse

        wishes = {"lasting": self.lasting, "forget_on_clear": self.on_clear == "resend"}
        known = guards.count_known(context, self.ledger, plan, delivery_key=self.delivery_key, **wishes)
        return rehearse(self.hook.get_async_conn(), plan, allow_paused=self.allow_paused, known=known)

    def open_ledger(self, plan: Plan, context: Context) -> AbstractContextManager[OpenLedger | None]:
        """Open what remembers this delivery."""
        from airflow_provider_braze.delivery.sender import intent_seconds

        timeout = self.hook.settings.timeout
        return guards.open_ledger(
            context,
            self.ledger,
            plan,
            delivery_key=self.delivery_key,
            on_clear=self.on_clear,
            doubt_after=intent_seconds(timeout) + timeout + 30,
            lasting=self.lasting,
        )

    def policy(self, ledger: OpenLedger | None) -> Policy:  # noqa: ARG002 (children decide by it)
        """Give the author's wishes."""
        return Policy(
            on_unknown=self.on_unknown,
            allow_paused=self.allow_paused,
            retry_server_errors=self.retry_server_errors,
            longest_wait=self.max_quota_wait.total_seconds(),
            settling_time=self.settling_time.total_seconds(),
        )

    def _deliver(self, plan: Plan, ledger: OpenLedger | None, context: Context) -> Any:
        from airflow_provider_braze import stats
        from airflow_provider_braze.delivery.endings import ending
        from airflow_provider_braze.delivery.engine import Delivery, deliver
        from airflow_provider_braze.delivery.errors import BrazeDeliveryError, DeliveryPausedError
        from airflow_provider_braze.delivery.progress import ProgressLog

        client = self.hook.get_async_conn()
        progress = ProgressLog(self.log)
        delivery = Delivery(
            plan, client, ledger=ledger, pacer=self.make_pacer(), policy=self.policy(ledger), progress=progress
        )
        self._delivery = delivery
        if self._killed:
            self.on_kill()
        try:
            deliver(delivery)
        except DeliveryPausedError:
            raise
        except BrazeDeliveryError as error:
            self.keep_known(error.report, context)
            raise
        except BaseException:
            self.log.error("Interrupted: %s.", plan.report)
            self.keep_known(plan.report.as_dict(), context)
            raise
        finally:
            stats.count(
                plan.report.as_dict(),
                dag_id=self.dag_id,
                task_id=self.task_id,
                endpoint=self.endpoint,
                goes_on=delivery.course.goes_on,
                paused=delivery.course.deferred,
            )
        course = delivery.course
        self.log.info(ending(plan, single_done=course.broadcast_done, in_doubt=course.in_doubt))
        if plan.report.send_id and (instance := context.get("ti")):
            # Airflow takes what is in the brackets of .output["send_id"] for a key of its own.
            instance.xcom_push(key="send_id", value=plan.report.send_id)
        return self.result(delivery)

    def result(self, delivery: Delivery) -> Any:
        """Give what the task returns."""
        return delivery.report.as_dict()

    def _defer(self, paused: DeliveryPausedError, context: Context) -> NoReturn:
        moment = datetime.now(UTC) + timedelta(seconds=paused.resume_after)
        self.log.info("%s The task goes on at %s UTC and frees its worker until then.", paused, f"{moment:%H:%M:%S}")
        trigger = self.wait_until(moment, paused.report, context)
        self.defer(trigger=trigger, method_name="resume", kwargs={"planned": moment.isoformat()})
        raise AssertionError("defer does not return")

    def wait_until(self, moment: datetime, report: Mapping[str, Any], context: Context) -> BaseTrigger:  # noqa: ARG002
        """Give the trigger for a pause."""
        from airflow.providers.standard.triggers.temporal import DateTimeTrigger

        return DateTimeTrigger(moment=moment)

    def on_kill(self) -> None:
        """Begin no further request: a person stopped the task."""
        self._killed = True
        if self._delivery:
            self._delivery.stop("the task was stopped from outside")

    def keep_earlier(self, context: Context) -> Any:
        """Keep for later tasks what earlier tries made, where this one ends before it opens the ledger."""

    def keep_known(self, report: Mapping[str, Any], context: Context) -> None:
        """Keep for later tasks what a delivery that failed has made."""
