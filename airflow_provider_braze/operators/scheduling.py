"""What the operators that schedule messages have in common: their schedules stay theirs until they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_braze.api.errors import BrazeError
from airflow_provider_braze.operators.delivering import BrazeDeliveryOperator
from airflow_provider_braze.operators.scheduled import Scheduled

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.ledger import OpenLedger, Past
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.schedules import Changes
    from airflow_provider_braze.delivery.sender import Stop


class Scheduling(Scheduled, BrazeDeliveryOperator):
    """Schedules, and keeps what is scheduled in step with the task.

    Run again, by a retry, a clear, or in another run with the same ``delivery_key``, it compares with what the ledger
    knows:

    - nothing differs: nothing changes. After a clear, and in another run, each schedule is updated to what it is, and
      those for which Braze refuses that are made anew;
    - another time or other ``messages``: the schedules are updated;
    - other recipients or values: they are deleted and made anew, since Braze cannot change those;
    - a clear with ``on_clear="resend"``: what has not gone out yet is deleted, and everybody is scheduled to anew.

    Braze also refuses an update that is wrong, so a refusal proves nothing alone. After a clear, in another run, and
    where somebody ended the wait of the task, what Braze refuses to update is deleted first, and what it refuses to
    delete counts as gone. At any other time a refusal stops the task: it says what Braze said, and how to go on.

    Nothing is touched from a minute before the first message on: where something differs, the task then fails, and
    says how to go on. Once its time is past, it succeeds where all were scheduled before, else it counts who was not.
    Whatever else moves its schedules must not move them to an earlier time: it could take what was sent for deleted.
    Tasks that share a ``delivery_key`` share people, so each must keep to its part of them.

    The key needs the permissions to update and to delete, too. The report also says how many schedules of earlier tries
    were ``updated`` and ``deleted``, and between which times the messages go out, ``due_from`` and ``due_until``, in
    UTC.

    :param wait_until_sent: whether the task, having scheduled, defers until the last message has gone out: with
        ``in_local_time`` until 12 hours after that time in UTC, with ``at_optimal_time`` a day more. Whoever clears the
        waiting task or marks it failed deletes the schedules; marked a success, it keeps them. A task that waits for
        Braze's quota is held the same way, with what it has scheduled so far. The triggerer does that, a second or two
        later, and names in its log what it could not delete. So rather clear the task than mark it failed: a cleared
        one deletes, when it runs again, what no triggerer did, since none ran, or it stopped in the middle of many.
    """

    lasting: ClassVar[bool] = True

    def __init__(self, *, wait_until_sent: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wait_until_sent = wait_until_sent
        self._is_resumed = False
        self._changes: Changes | None = None
        self._made_of: dict[str, str] | None = None
        self._made_for: list[dict[str, Any]] = []
        self._is_overdue = False

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render, and keep what earlier tries made where that fails; under a key it could be another run's."""
        try:
            super().render_template_fields(context, jinja_env)
        except BaseException:
            if self.delivery_key is None and not self._is_kept(context):
                self.keep_earlier(context)
            raise

    def _is_kept(self, context: Context) -> bool:
        """Tell whether this try has kept ids already, before a pause."""
        instance: Any = context["ti"]
        where = {"map_indexes": instance.map_index} if instance.map_index >= 0 else {}
        return instance.xcom_pull(task_ids=self.task_id, key="schedule_ids", **where) is not None

    def resume(self, context: Context, event: Any = None, planned: str | None = None) -> Any:
        """Go on after a pause, which nobody has ended."""
        self._is_resumed = True
        return super().resume(context, event, planned)

    def sent(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Return the report, after all was sent."""
        report: dict[str, Any] = event["report"]
        self.log.info("The last message of %d schedules was due by now.", len(report["schedule_ids"]))
        return report

    def make_plan(self, context: Context) -> Plan:
        """Read and check all; what an earlier try scheduled in time may be past by now."""
        from airflow_provider_braze.api.models.schedules import at_any_time
        from airflow_provider_braze.delivery.overdue import was_met

        self._is_overdue = was_met(self.payload.get("schedule", {}), lambda: self._earlier(context))
        with at_any_time() if self._is_overdue else nullcontext():
            return super().make_plan(context)

    def _rehearse(self, plan: Plan, context: Context) -> dict[str, Any]:
        from airflow_provider_braze.delivery.schedules import Changes

        # What a key names may be another run's, and this one changes nothing.
        earlier = self.keep_earlier(context) if self.delivery_key is None else []
        plan.report.schedule_ids = earlier or []
        report = super()._rehearse(plan, context) | asdict(Changes()) | self._due_of(plan)
        if earlier is None:
            # An empty list would say that there are none.
            del report["schedule_ids"]
        return report

    def _deliver(self, plan: Plan, ledger: OpenLedger | None, context: Context) -> Any:
        from airflow_provider_braze.delivery.errors import DeliveryPausedError
        from airflow_provider_braze.delivery.schedules import keep_holding

        if self._is_overdue and ledger is not None:
            self._refuse_rest(plan, ledger, context)
        try:
            if ledger is not None:
                self._bring_about(plan, ledger, context)
            report = super()._deliver(plan, ledger, context)
            waits = self.wait_until_sent and report["schedule_ids"]
            if ledger is not None and waits:
                keep_holding(ledger)
        except DeliveryPausedError:
            if ledger is not None:
                keep_holding(ledger)
            raise
        self._push_program(context)
        return self._hold(report, context) if waits else report

    def _refuse_rest(self, plan: Plan, ledger: OpenLedger, context: Context) -> None:
        from airflow_provider_braze.delivery.overdue import refuse_rest

        past = ledger.past
        anew = self.on_clear == "resend" and past.cleared
        try:
            refuse_rest(plan, past, anew=anew, resend=self.on_unknown == "resend")
        except BrazeError:
            self._keep(past.schedule_ids, ledger.note, context)
            raise

    def _bring_about(self, plan: Plan, ledger: OpenLedger, context: Context) -> None:
        from airflow_provider_braze.delivery.errors import DeliveryPausedError
        from airflow_provider_braze.delivery.schedule_calls import ScheduleCalls
        from airflow_provider_braze.delivery.schedules import bring_about

        try:
            self._changes = bring_about(
                plan,
                ledger,
                ScheduleCalls(self.hook.get_async_conn, self.make_pacer, self._stop),
                self.braze_conn_id,
                on_unknown=self.on_unknown,
                anew=self.on_clear == "resend" and ledger.past.cleared,
                resumed=self._is_resumed,
            )
        except DeliveryPausedError:
            raise
        except BaseException:
            self._keep(ledger.past.schedule_ids, ledger.note, context)
            raise
        finally:
            self._remember(ledger.note)

    @cached_property
    def _stop(self) -> Stop:
        """Ends the changes of what was scheduled before; the delivery after them has its own."""
        from airflow_provider_braze.delivery.sender import Stop

        return Stop(self.max_quota_wait.total_seconds())

    def on_kill(self) -> None:
        """Begin no further request: a person stopped the task."""
        super().on_kill()
        self._stop.now("the task was stopped from outside")

    def _hold(self, report: dict[str, Any], context: Context) -> Any:
        moment = datetime.fromisoformat(report["due_until"])
        if moment <= datetime.now(UTC):
            return report
        self.log.info("The task waits until the last message has gone out, at %s.", report["due_until"])
        trigger = self.wait_until(moment, report, context)
        self.defer(trigger=trigger, method_name="sent")
        raise AssertionError("defer does not return")

    def wait_until(self, moment: datetime, report: Mapping[str, Any], context: Context) -> BaseTrigger:
        """Give the trigger for a pause: it deletes the schedules where a person ends it."""
        from airflow_provider_braze.triggers.schedules import BrazeScheduleTrigger

        ids = list(report["schedule_ids"])
        self._push_ids(ids, context)
        return BrazeScheduleTrigger(
            braze_conn_id=self.braze_conn_id,
            endpoint=self.endpoint.replace("_create", "_delete"),
            fields=self._program,
            schedule_ids=ids,
            moment=moment.isoformat(),
            report=report,
        )

    @property
    def _program(self) -> dict[str, str]:
        """The field that says of what the schedules are, which deleting one needs: the ledger's, where it knows."""
        if self._made_of is not None:
            return self._made_of
        names = () if self.endpoint.startswith("messages") else ("campaign_id", "canvas_id")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def result(self, delivery: Delivery) -> Any:
        """Give the report, with what became of earlier schedules."""
        from airflow_provider_braze.delivery.schedules import Changes

        return super().result(delivery) | asdict(self._changes or Changes()) | self._due_of(delivery.plan)

    def _due_of(self, plan: Plan) -> dict[str, Any]:
        return self.due if len(plan) or self._made_for else {"due_from": None, "due_until": None}

    @property
    def due(self) -> dict[str, Any]:
        """Between which times the messages go out: the ledger's, where it knows."""
        from airflow_provider_braze.delivery.moments import first_moment, last_moment

        schedules = self._made_for or [self.payload["schedule"]]
        first = datetime.fromtimestamp(first_moment(schedules), UTC)
        return {"due_from": first.isoformat(), "due_until": max(map(last_moment, schedules)).isoformat()}

    def _earlier(self, context: Context) -> Past | None:
        """Tell what earlier tries made; None where nothing remembers it."""
        from airflow_provider_braze.delivery.ledger import Past

        # In other runs a key may have made some, in this one only an earlier try.
        is_first = self.delivery_key is None and getattr(context.get("ti"), "try_number", 1) <= 1
        return Past() if is_first else self.look_back(context)

    def keep_earlier(self, context: Context) -> list[str] | None:
        """Keep the ids of the schedules that earlier tries made, and give them; None where they are not known.

        Then nothing is kept: whoever is to delete them must not take that for none.
        """
        if self._is_resumed:
            # All that was made before the pause is kept already.
            return None
        try:
            past = self._earlier(context)
        except BrazeError as error:
            self.log.error("Whether earlier tries made schedules is not known: %s", error)
            return None
        if past is None:
            self.log.error("Whether earlier tries made schedules is not known: nothing remembers it.")
            return None
        self._keep(past.schedule_ids, past.note, context)
        return past.schedule_ids

    def _keep(self, schedule_ids: list[str], note: Mapping[str, Any] | None, context: Context) -> None:
        self._remember(note)
        self.keep_known({"schedule_ids": list(schedule_ids)}, context)

    def _remember(self, note: Mapping[str, Any] | None) -> None:
        """Note what the ledger says of the schedules: the task's own fields may say something else by now."""
        if note is not None:
            self._made_of, self._made_for = note["program"], note["schedules"]

    def keep_known(self, report: Mapping[str, Any], context: Context) -> None:
        """Keep the ids of the schedules that a delivery made before it failed, so that they can be deleted."""
        self._push_ids(report["schedule_ids"], context)
        if report["schedule_ids"]:
            self.log.warning("Schedules made before, also in .output['schedule_ids']: %s", report["schedule_ids"])

    def _push_ids(self, schedule_ids: list[str], context: Context) -> None:
        if instance := context.get("ti"):
            instance.xcom_push(key="schedule_ids", value=schedule_ids)
            self._push_program(context)
            # It may be what is wrong, and the ids matter more.
            with suppress(Exception):
                instance.xcom_push(key="due_from", value=self.due["due_from"])

    def _push_program(self, context: Context) -> None:
        """Keep of what the schedules are: the task's templates may render to something else later."""
        if instance := context.get("ti"):
            instance.xcom_push(key="program", value=self._program)
