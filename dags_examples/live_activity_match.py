"""Show a football match on the lock screens of the fans who follow it: start, half-time, second half, end.

Trigger a run per match, with its id. A sensor waits for each phase to appear on the scoreboard, and gives the score to
the update; between looks it holds no worker. The last update ends the activity, and takes it off the lock screen a
quarter of an hour later. Each update may run again without harm, the start alerts people: it is not repeated blindly.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``messages.live_activity.start`` and
``messages.live_activity.update``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, BaseHook, Param, PokeReturnValue, task, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.live_activity import (
    BrazeStartLiveActivityOperator,
    BrazeUpdateLiveActivityOperator,
)

# The placeholders are in the style of the database's driver: ? for SQLite, %s for Postgres and Snowflake.
FANS = "SELECT customer_id AS external_user_id FROM match_followers WHERE match_id = ?"
SCORE = "SELECT home, away FROM scoreboard WHERE match_id = ? AND phase = ?"
ACTIVITY = {"app_id": "a1b2c3d4-0000-4000-8000-00000000000a", "activity_id": "match-{{ params.match_id }}"}
A_QUARTER_LATER = "{{ (ti.start_date + macros.timedelta(minutes=15)).isoformat() }}"

with DAG(
    dag_id="braze_live_activity_match",
    schedule=None,
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    params={
        "match_id": Param("2026-0042", type="string"),
        "home": Param("Larkspur", type="string"),
        "away": Param("Rivermouth", type="string"),
    },
    doc_md=__doc__,
    tags=["braze"],
) as dag:

    @task.sensor(mode="reschedule", poke_interval=30, timeout=3 * 3600)
    def wait_for(phase: str, params: dict[str, Any]) -> PokeReturnValue:
        """Wait until the scoreboard has the phase, and give what the activity shows then."""
        score = BaseHook.get_hook("warehouse").get_first(SCORE, parameters=(params["match_id"], phase))
        if score is None:
            return PokeReturnValue(is_done=False)
        home, away = score
        return PokeReturnValue(is_done=True, xcom_value={"phase": phase, "home_goals": home, "away_goals": away})

    start = BrazeStartLiveActivityOperator(
        task_id="start",
        external_user_ids=SqlAudience(conn_id="warehouse", sql=FANS, parameters=["{{ params.match_id }}"]),
        activity_attributes_type="MatchAttributes",
        activity_attributes={"home": "{{ params.home }}", "away": "{{ params.away }}"},
        content_state={"phase": "first half", "home_goals": 0, "away_goals": 0},
        notification={"alert": {"title": "Kick-off", "body": "{{ params.home }} - {{ params.away }} is on."}},
        **ACTIVITY,
    )

    before = start
    for phase in ("half-time", "second half"):
        name = phase.replace("-", "_").replace(" ", "_")
        now = wait_for.override(task_id=f"wait_for_{name}")(phase)
        update = BrazeUpdateLiveActivityOperator(task_id=f"show_{name}", content_state=now, **ACTIVITY)
        before >> now >> update
        before = update

    final = wait_for.override(task_id="wait_for_end")("end")
    end = BrazeUpdateLiveActivityOperator(
        task_id="end", content_state=final, end_activity=True, dismissal_date=A_QUARTER_LATER, **ACTIVITY
    )
    before >> final >> end
