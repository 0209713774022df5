"""The link to Braze's dashboard, from the connection's template to what Airflow's page asks for."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.get_provider_info import get_provider_info
from airflow_provider_braze.links import BrazeDashboardLink
from airflow_provider_braze.operators.base import BrazeBaseOperator

KEY = "a0b1c2d3-key-of-the-connection"
DASHBOARD = "https://dashboard-03.braze.com"
CAMPAIGN = f"{DASHBOARD}/engagement/campaigns/{{campaign_id}}"


class Linked(BrazeBaseOperator):
    """Does nothing, or fails; has what the link may be filled with."""

    template_fields = (*BrazeBaseOperator.template_fields, "campaign_id")

    def __init__(self, *, campaign_id=None, canvas_id=None, fails=False, **kwargs):
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.canvas_id = canvas_id
        self.fails = fails

    def execute(self, context):
        if self.fails:
            raise ValueError("as it should")


@pytest.fixture
def link(connection):
    """The link of a task, by the connection's extras and the task's fields."""

    def get(task=None, **extra):
        connection(host="rest.iad-01.braze.com", password=KEY, extra=extra)
        return BrazeDashboardLink().get_link(Linked(task_id="t", **task or {}), ti_key=None)

    return get


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (CAMPAIGN, {"campaign_id": "c-1"}, f"{DASHBOARD}/engagement/campaigns/c-1"),
        (CAMPAIGN, {"campaign_id": " ä/b?c=d&e#f "}, f"{DASHBOARD}/engagement/campaigns/%C3%A4%2Fb%3Fc%3Dd%26e%23f"),
        (f"{DASHBOARD}/canvas/{{canvas_id}}", {"canvas_id": "v-1"}, f"{DASHBOARD}/canvas/v-1"),
        (
            f"{DASHBOARD}/{{workspace}}/{{campaign_id}}/{{campaign_id}}",
            {"campaign_id": "{workspace}"},
            f"{DASHBOARD}/north%20staging/%7Bworkspace%7D/%7Bworkspace%7D",
        ),
        (DASHBOARD, {}, DASHBOARD),
        (f"{DASHBOARD}/a%20b?c=%7B1", {"campaign_id": "c-1"}, f"{DASHBOARD}/a%20b?c=%7B1"),
        ("http://127.0.0.1:8010/", {}, "http://127.0.0.1:8010/"),
    ],
)
def test_the_address(link, url, fields, expected):
    assert link(fields, dashboard_url=url, workspace="north staging") == expected


def test_the_workspace_of_the_task_comes_first(connection):
    connection(
        host="h", password=KEY, extra={"dashboard_url": f"{DASHBOARD}/{{workspace}}", "workspace": "of-connection"}
    )
    task = Linked(task_id="t")
    task.workspace = "of-task"
    assert BrazeDashboardLink().get_link(task, ti_key=None) == f"{DASHBOARD}/of-task"


@pytest.mark.parametrize(
    "fields",
    [{}, {"campaign_id": ""}, {"campaign_id": "  "}, {"campaign_id": 7}, {"campaign_id": "{{ params.campaign }}"}],
    ids=str,
)
def test_a_placeholder_without_value_makes_no_link(link, fields):
    assert link(fields, dashboard_url=CAMPAIGN) == ""


@pytest.mark.parametrize("url", ["javascript:alert(1)", "dashboard", "data:text/html,x", 5, "https://d/{other}"])
def test_a_connection_that_is_refused_makes_no_link(link, url):
    assert link({"campaign_id": "c-1"}, dashboard_url=url) == ""


@pytest.mark.usefixtures("airflow_db")
def test_nothing_that_goes_wrong_is_an_error(link):
    assert link() == ""
    get = BrazeDashboardLink().get_link
    assert get(Linked(task_id="t", braze_conn_id="no_such_connection"), ti_key=None) == ""
    assert get(object(), ti_key=None) == ""
    assert get(None, ti_key=None) == ""
    with DAG("mapped", schedule=None, start_date=timezone.datetime(2026, 1, 1)):
        mapped = Linked.partial(task_id="t").expand(campaign_id=["c-1"])
    assert get(mapped, ti_key=None) == ""


def test_the_provider_lists_it():
    assert get_provider_info()["extra-links"] == [f"{BrazeDashboardLink.__module__}.{BrazeDashboardLink.__name__}"]


@pytest.fixture
def pushed(run_dag, connection):
    """Run a task and give, for each mapped instance, its state and what it pushed as the link."""

    def run(name, make, **extra):
        connection(host="rest.iad-01.braze.com", password=KEY, extra=extra)
        with DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            make()
        instances = run_dag(dag).get_task_instances()
        key = BrazeDashboardLink().xcom_key
        return [
            (str(one.state), one.xcom_pull(task_ids="t", key=key, map_indexes=one.map_index))
            for one in sorted(instances, key=lambda one: one.map_index)
        ]

    return run


def test_a_task_pushes_its_link(pushed):
    def make():
        Linked(task_id="t", campaign_id="{{ dag.dag_id }}-1")

    assert pushed("linked", make, dashboard_url=CAMPAIGN) == [("success", f"{DASHBOARD}/engagement/campaigns/linked-1")]


def test_a_task_that_failed_has_its_link_too(pushed):
    def make():
        Linked(task_id="t", campaign_id="c-1", fails=True)

    assert pushed("linked_failure", make, dashboard_url=CAMPAIGN) == [
        ("failed", f"{DASHBOARD}/engagement/campaigns/c-1")
    ]


def test_each_mapped_task_has_its_own(pushed):
    def make():
        Linked.partial(task_id="t").expand(campaign_id=["c-1", "c-2"])

    assert pushed("linked_mapped", make, dashboard_url=CAMPAIGN) == [
        ("success", f"{DASHBOARD}/engagement/campaigns/c-{number}") for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("name", "extra"),
    [("unlinked", {}), ("unlinked_scheme", {"dashboard_url": "javascript:alert(1)"})],
    ids=["no url", "no http"],
)
def test_a_task_without_a_link_succeeds(pushed, name, extra):
    def make():
        Linked(task_id="t", campaign_id="c-1")

    [(state, link)] = pushed(name, make, **extra)
    assert state == "success"
    assert not link


def test_a_connection_that_is_missing_fails_no_task(pushed):
    def make():
        Linked(task_id="t", campaign_id="c-1", braze_conn_id="no_such_connection")

    [(state, link)] = pushed("unlinked_connection", make)
    assert state == "success"
    assert not link


def test_airflows_page_shows_it(pushed):
    """The page knows the serialised DAG and the XCom, nothing else."""
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def make():
        Linked(task_id="t", campaign_id="c-1")

    pushed("linked_page", make, dashboard_url=CAMPAIGN)
    with create_session() as session:
        [run] = session.scalars(select(DagRun).where(DagRun.dag_id == "linked_page"))
        [instance] = run.get_task_instances(session=session)
        task = SerializedDagModel.get("linked_page", session=session).dag.get_task("t")
        assert task.extra_links == ["Braze dashboard"]
        shown = task.get_extra_links(instance, "Braze dashboard")
    assert shown == f"{DASHBOARD}/engagement/campaigns/c-1"
