"""Outputs of upstream tasks inside an audience: the task waits for them, and reads what they gave."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.delivery.audience import AliasAudience, Audience, ListAudience, SqlAudience
from airflow_provider_braze.delivery.files import FileAudience
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator, BrazeSendMessagesOperator
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PUSH = {"android_push": {"alert": "Doors open at 9", "title": "Today"}}
QUERY = "SELECT id AS external_user_id FROM people WHERE id <= ?"


@task
def first():
    return 2


@task
def second():
    return 2


def dag(name, **options):
    return DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), **options)


def waits_for(made, task_id="send"):
    """The upstream tasks, as the DAG says and as Airflow stores it."""
    said = made.task_dict[task_id].upstream_task_ids
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serializer
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serializer
    stored = Serializer.to_dict(made)
    json.dumps(stored)
    tasks = [one["__var"] for one in stored["dag"]["tasks"]]
    assert {one["task_id"] for one in tasks if task_id in one.get("downstream_task_ids", [])} == said
    assert " at 0x" not in json.dumps(stored)
    return said


class OwnAudience(Audience):
    template_fields = ("day",)

    def __init__(self, day):
        self.day = day

    def __repr__(self):
        return "<mine>"

    def recipients(self, values_field=None):
        yield self.day


AUDIENCES = {
    "a value of a query": lambda one: SqlAudience("warehouse", QUERY, [one]),
    "a named value": lambda one: SqlAudience("warehouse", QUERY, {"day": one}),
    "all values": lambda one: SqlAudience("warehouse", QUERY, one),
    "a query": lambda one: SqlAudience("warehouse", one),
    "a connection": lambda one: SqlAudience(one, QUERY),
    "a file": FileAudience,
    "a key of an output": lambda one: FileAudience(one["path"]),
    "a mapped output": lambda one: ListAudience(one.map(str)),
    "its connection": lambda one: FileAudience("people.csv", conn_id=one),
    "a list": ListAudience,
    "an entry of a list": lambda one: ListAudience(["u-1", {"external_user_id": one}]),
    "aliases": AliasAudience,
    "aliases in a file": lambda one: AliasAudience(FileAudience(one)),
    "a part": lambda one: SqlAudience("warehouse", QUERY, [one]).partitions(3)[1],
    "a part of a part": lambda one: ListAudience(one).partitions(3)[1].partitions(2)[0],
    "a part of aliases": lambda one: AliasAudience(one).partitions(2)[0],
    "a class of one's own": OwnAudience,
}
each_audience = pytest.mark.parametrize("audience", AUDIENCES.values(), ids=AUDIENCES)


@each_audience
def test_a_task_waits_for_what_is_in_its_audience(audience):
    with dag("plain") as made:
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=audience(first()))
    assert waits_for(made) == {"first"}


@each_audience
def test_mapped_tasks_wait(audience):
    with dag("mapped") as made:
        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(
            recipients=[audience(first()), audience(second()), ["u-9"]]
        )
        BrazeSendCampaignOperator.partial(task_id="sets").expand_kwargs(
            [{"campaign_id": WEEKLY, "recipients": audience(first())}, {"campaign_id": WEEKLY, "recipients": ["u-9"]}]
        )
        BrazeSendCampaignOperator.partial(task_id="campaigns", recipients=audience(second())).expand(
            campaign_id=[WEEKLY, WEEKLY]
        )
        BrazeSendCampaignOperator.partial(task_id="campaign", recipients=audience(second())).expand(campaign_id=first())
    assert waits_for(made) == {"first", "second"}
    assert waits_for(made, "sets") == {"first__1"}
    assert waits_for(made, "campaigns") == {"second__1"}
    assert waits_for(made, "campaign") == {"second__2", "first__2"}


def test_partitions_wait():
    with dag("parts") as made:
        parts = SqlAudience("warehouse", QUERY, [first()]).partitions(8)
        BrazeScheduleCampaignOperator.partial(
            task_id="send", campaign_id=WEEKLY, schedule={"time": "2099-01-01T00:00:00Z"}
        ).expand(recipients=parts)
    assert waits_for(made) == {"first"}


def test_each_parameter_that_holds_people_counts():
    with dag("joined", default_args={"recipients": ListAudience(["u-0"])}) as made:
        one, two, three = first(), second(), task(task_id="third")(lambda: 3)()
        BrazeSendMessagesOperator(
            task_id="send",
            messages=PUSH,
            recipients=ListAudience(one),
            external_user_ids=FileAudience(two),
            user_aliases=ListAudience(three),
            audience={"AND": [{"custom_attribute": {"custom_attribute_name": "n", "value": first()}}]},
        )
    assert waits_for(made) == {"first", "second", "third", "first__1"}


def test_default_arguments_count():
    with dag("defaults") as made:
        output = first()
        made.default_args["recipients"] = ListAudience(output)
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY)
    assert waits_for(made) == {"first"}


def test_an_audience_without_outputs_waits_for_nobody():
    with dag("none") as made:
        first()
        audience = SqlAudience("warehouse", QUERY, ["{{ ds }}"])
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=audience)
        BrazeSendCampaignOperator.partial(task_id="mapped", campaign_id=WEEKLY).expand(
            recipients=audience.partitions(2)
        )
    assert waits_for(made) == waits_for(made, "mapped") == set()


def test_a_sensor_waits():
    with dag("sensor") as made:
        audience = SqlAudience("warehouse", QUERY, [first()])
        BrazeRecipientsReceivedSensor(task_id="send", campaign_id=WEEKLY, recipients=audience)
        BrazeRecipientsReceivedSensor.partial(task_id="mapped", campaign_id=WEEKLY).expand(recipients=[audience])
    assert waits_for(made) == waits_for(made, "mapped") == {"first"}


def test_a_task_group_that_is_mapped_gives_its_argument():
    from airflow.sdk import task_group

    with dag("group") as made:

        @task_group
        def per_day(most):
            BrazeSendCampaignOperator(
                task_id="send", campaign_id=WEEKLY, recipients=SqlAudience("warehouse", QUERY, [most])
            )

        per_day.expand(most=first.override(task_id="days")())
    assert waits_for(made, "per_day.send") == {"days"}


@pytest.fixture
def customers(warehouse):
    """Five people in the table ``people``."""
    warehouse("CREATE TABLE people (id INTEGER)", *(f"INSERT INTO people VALUES ({person})" for person in range(1, 6)))


# The scheduler of dag.test() begins with what is first in the alphabet.
@pytest.mark.usefixtures("customers")
def test_runs_read_what_their_upstream_gave(run_dag, people, tmp_path):
    with dag("runs") as made:

        @task
        def z_most():
            return 2

        @task
        def z_export():
            path = tmp_path / "people.csv"
            path.write_text("external_user_id\nf-1\n")
            return str(path)

        @task
        def z_ids():
            return [f"l-{number}" for number in range(20)]

        query = SqlAudience("warehouse", QUERY, [z_most()])
        BrazeSendCampaignOperator(task_id="a_query", campaign_id=WEEKLY, allow_empty=True, recipients=query)
        BrazeSendCampaignOperator(task_id="a_file", campaign_id=WEEKLY, recipients=FileAudience(z_export()))
        ids = ListAudience(z_ids())
        BrazeSendCampaignOperator.partial(task_id="a_parts", campaign_id=WEEKLY).expand(recipients=ids.partitions(3))
        BrazeSendMessagesOperator.partial(task_id="a_aliases", messages=PUSH).expand(
            recipients=AliasAudience(z_ids().map(_alias)).partitions(2)
        )
    assert str(run_dag(made).state) == "success"
    reached = people()
    assert set(reached.values()) == {1}
    aliases = {name for name in reached if "app" in name}
    assert len(aliases) == 20
    assert set(reached) - aliases == {"1", "2", "f-1", *(f"l-{number}" for number in range(20))}


def _alias(name):
    return {"alias_name": name, "alias_label": "app"}


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize("allow_empty", [False, True])
def test_an_upstream_that_gives_nothing_fails_the_task(run_dag, braze_emulator, allow_empty):
    with dag("nothing") as made:

        @task
        def nothing():
            return None

        empty = nothing()
        audiences = {
            "value": SqlAudience("warehouse", QUERY, [empty]),
            "named": SqlAudience("warehouse", QUERY.replace("?", ":most"), {"most": empty}),
            "templated": SqlAudience("warehouse", QUERY, ["{{ ti.xcom_pull('nothing') }}"]),
            "file": FileAudience(empty),
            "list": ListAudience(empty),
        }
        for name, audience in audiences.items():
            send = BrazeSendCampaignOperator(
                task_id=name, campaign_id=WEEKLY, recipients=audience, allow_empty=allow_empty
            )
            empty.operator >> send
    run = run_dag(made)
    states = {one.task_id: str(one.state) for one in run.get_task_instances()}
    assert states == {"nothing": "success"} | dict.fromkeys(audiences, "failed")
    assert braze_emulator.deliveries() == {}


def rendered(audience, **values):
    with dag("rendered", render_template_as_native_obj=True):
        operator = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=audience, allow_empty=True)
    operator.render_template_fields({"none": None, "most": 2, **values})
    return operator


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize(
    ("audience", "words"),
    [
        (SqlAudience("warehouse", QUERY, ["{{ none }}"]), r"The query on 'warehouse' .* without parameters\[0\], noth"),
        (SqlAudience("warehouse", QUERY, {"most": "{{ none }}"}), r"without parameters\['most'\], nothing was sent"),
        (SqlAudience("warehouse", QUERY, {"a": 1, "b": ["{{ none }}"]}), r"without parameters\['b'\]\[0\], nothing"),
        (SqlAudience("warehouse", "{{ none }}"), "without sql, nothing was sent"),
        (SqlAudience("{{ none }}", QUERY), "without conn_id, nothing was sent"),
        (FileAudience("{{ none }}"), "The file would be read without path, nothing was sent"),
        (FileAudience("people.csv", conn_id="{{ none }}"), "The file would be read without conn_id, nothing was sent"),
        (FileAudience("{{ ['a', 'b'] }}"), "path of the file is of type list, nothing was sent"),
    ],
)
def test_what_came_to_nothing_is_named(refused_words, audience, words):
    refused_words(rendered(audience), words)


@pytest.fixture
def refused_words(braze_emulator):
    """The task fails with these words, and Braze is not called."""

    def run(operator, words):
        from airflow_provider_braze.delivery.errors import BrazeAudienceError

        with pytest.raises(BrazeAudienceError, match=words):
            operator.execute({})
        assert braze_emulator.requests() == []

    return run


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize("parameters", [{"most": None}, {"most": None, "day": "{{ most }}"}])
def test_a_null_that_the_author_wrote_is_one(people, parameters):
    sql = "SELECT id AS external_user_id FROM people WHERE :most IS NULL OR id <= :most"
    rendered(SqlAudience("warehouse", sql, parameters)).execute({})
    assert len(people()) == 5


def test_an_output_that_was_never_resolved_is_no_list(refused_words):
    with dag("unresolved"):
        operator = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=ListAudience(first()))
    refused_words(operator, "of type PlainXComArg, nothing was sent")


def test_mapped_tasks_of_a_process_render_aliases_each_for_themselves():
    audience = AliasAudience(FileAudience("{{ day }}.csv"))
    for day in ("monday", "tuesday"):
        assert f"{day}.csv" in repr(rendered(audience, day=day).recipients)
    assert audience.audience.path == "{{ day }}.csv"


def test_partial_is_airflows_own_otherwise():
    begun = BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY)
    assert begun.operator_class is BrazeSendCampaignOperator
    assert "BrazeSendCampaignOperator.partial(" in repr(begun)
    with pytest.raises(TypeError, match="no arguments to expand against"):
        begun.expand()
    with pytest.raises(TypeError, match="unexpected keyword argument 'nobodys'"):
        BrazeSendCampaignOperator.partial(task_id="send", nobodys=1)
    begun.expand(recipients=[["u-1"]])
