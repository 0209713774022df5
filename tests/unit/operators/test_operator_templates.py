"""Templates, rendered by Airflow itself."""

from __future__ import annotations

import copy

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.api.errors import BrazeError
from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

CONTEXT = {"ds": "2026-11-22", "region": "north", "people": ["u-1", "u-2"], "nobody": None}


@pytest.fixture
def rendered(tmp_path):
    """Make an operator in a DAG and render it as Airflow does before it runs."""

    def render(native=False, **parameters):
        options = {"template_searchpath": [str(tmp_path)], "render_template_as_native_obj": native}
        with DAG("templates", schedule=None, start_date=timezone.datetime(2026, 1, 1), **options):
            operator = BrazeSendCampaignOperator(**{"task_id": "t", "campaign_id": "c", **parameters})
        operator.resolve_template_files()
        operator.render_template_fields(dict(CONTEXT))
        return operator

    return render


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("braze_conn_id", "braze_{{ region }}", "braze_north"),
        ("campaign_id", "campaign-{{ region }}", "campaign-north"),
        ("send_id", "weekly-{{ ds }}", "weekly-2026-11-22"),
        (
            "trigger_properties",
            {"day": "{{ ds }}", "deep": {"list": ["{{ region }}", 7, None]}, "n": 5},
            {"day": "2026-11-22", "deep": {"list": ["north", 7, None]}, "n": 5},
        ),
        (
            "attachments",
            [{"file_name": "{{ region }}.pdf", "url": "https://example.com/{{ ds }}"}],
            [{"file_name": "north.pdf", "url": "https://example.com/2026-11-22"}],
        ),
        (
            "audience",
            {"custom_attribute": {"custom_attribute_name": "region", "comparison": "equals", "value": "{{ region }}"}},
            {"custom_attribute": {"custom_attribute_name": "region", "comparison": "equals", "value": "north"}},
        ),
    ],
)
def test_fields(rendered, name, given, expected):
    operator = rendered(**{name: given})
    assert name in operator.template_fields
    assert getattr(operator, name) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            ["{{ region }}-1", 7, {"external_user_id": "{{ region }}-2", "trigger_properties": {"day": ["{{ ds }}"]}}],
            ["north-1", 7, {"external_user_id": "north-2", "trigger_properties": {"day": ["2026-11-22"]}}],
        ),
        ("{{ people | tojson }}", ["u-1", "u-2"]),
    ],
)
def test_recipients(rendered, given, expected):
    operator = rendered(recipients=given)
    assert list(operator.recipients.recipients()) == expected
    assert "u-1" not in repr(operator.recipients)
    assert "north" not in repr(operator.recipients)


def test_every_content_parameter_is_templated():
    operator = BrazeSendCampaignOperator
    assert {*operator.payload_fields, "braze_conn_id", "recipients", "workspace", "delivery_key"} - {
        "broadcast"
    } == set(operator.template_fields)


def test_a_query_and_its_values(rendered):
    audience = SqlAudience(
        conn_id="warehouse_{{ region }}",
        sql="SELECT id FROM customers_{{ region }} WHERE day = :day AND city = :city",
        parameters={"day": "{{ ds }}", "city": "Łódź", "n": 5},
    )
    recipients = rendered(recipients=audience).recipients
    assert isinstance(recipients, SqlAudience)
    assert recipients.conn_id == "warehouse_north"
    assert recipients.sql == "SELECT id FROM customers_north WHERE day = :day AND city = :city"
    assert recipients.parameters == {"day": "2026-11-22", "city": "Łódź", "n": 5}


@pytest.mark.parametrize("parameters", [["{{ ds }}", 7], ("{{ ds }}", 7)])
def test_values_by_place(rendered, parameters):
    recipients = rendered(recipients=SqlAudience("w", "SELECT ?", parameters)).recipients
    assert list(recipients.parameters) == ["2026-11-22", 7]


def test_a_query_in_a_file(rendered, tmp_path, warehouse, braze_emulator):
    warehouse(
        "CREATE TABLE customers (id TEXT, region TEXT)",
        "INSERT INTO customers VALUES ('u-1', 'north'), ('u-2', 'south'), ('u-3', 'north')",
    )
    (tmp_path / "lapsed.sql").write_text(
        "SELECT id AS external_user_id FROM customers WHERE region = '{{ region }}' AND id > ?"
    )
    audience = SqlAudience("warehouse", "lapsed.sql", ["{{ '' }}"])
    operator = rendered(recipients=audience, campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10")
    assert "region = 'north'" in operator.recipients.sql
    operator.execute({})
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1, "external_user_id:u-3": 1}


def test_a_file_that_is_missing(rendered):
    with pytest.raises(Exception, match=r"no_such\.sql"):
        rendered(recipients=SqlAudience("warehouse", "no_such.sql"))


def test_a_template_is_rendered_for_each_run():
    """Airflow copies the operator before it renders; the audience inside it must not be shared."""
    audience = SqlAudience("warehouse", "SELECT '{{ ds }}'")
    with DAG("copies", schedule=None, start_date=timezone.datetime(2026, 1, 1)):
        operator = BrazeSendCampaignOperator(task_id="t", campaign_id="c", recipients=audience)
    first = copy.deepcopy(operator)
    first.render_template_fields(dict(CONTEXT))
    assert first.recipients.sql == "SELECT '2026-11-22'"
    assert operator.recipients.sql == audience.sql == "SELECT '{{ ds }}'"


def test_native_rendering_gives_a_list(rendered, braze_emulator):
    operator = rendered(native=True, recipients="{{ people }}", campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10")
    operator.execute({})
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1, "external_user_id:u-2": 1}


def test_recipients_that_render_to_nothing_are_no_broadcast(rendered, braze_emulator):
    operator = rendered(
        native=True, recipients="{{ nobody }}", broadcast=True, campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
    )
    with pytest.raises(BrazeError):
        operator.execute({})
    assert braze_emulator.requests() == []
