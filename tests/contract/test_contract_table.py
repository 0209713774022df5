"""ENDPOINTS against the contract's own files, row by row; later rows are held to it as they are added."""

import re

import pytest
from contract_data import contract, endpoint, examples, valid_requests

from airflow_provider_braze.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_braze.api.models.common import BODY_BYTES, BrazeModel
from airflow_provider_braze.emulator.handlers import HANDLERS

IN_CONTRACT = {row["id"] for row in contract("endpoints")["endpoints"]}
ROWS = pytest.mark.parametrize("row", ENDPOINTS.values(), ids=ENDPOINTS)
PEOPLE = ("recipients", "external_user_ids", "user_aliases")
BROADCAST_BUCKETS = {"broadcast_per_minute", "broadcast_unique_audience"}


def test_every_key_is_an_id_of_the_contract():
    assert ENDPOINTS
    assert set(ENDPOINTS) <= IN_CONTRACT
    assert {name: row.name for name, row in ENDPOINTS.items()} == {name: name for name in ENDPOINTS}


def test_nobody_changes_the_table():
    row = next(iter(ENDPOINTS.values()))
    with pytest.raises(TypeError):
        ENDPOINTS["another"] = row
    with pytest.raises(AttributeError):
        row.path = "/elsewhere"


@ROWS
def test_method_path_and_permission(row: Endpoint):
    said = endpoint(row.name)
    assert (row.method, row.path, row.permission) == (said["method"], said["path"], said["permission"])
    assert contract("errors_and_limits")["permissions"][f"{row.path} {row.method}"] == row.permission


@ROWS
def test_quota_is_the_bucket_of_a_call_to_named_people(row: Endpoint):
    buckets = [limit["bucket"] for limit in endpoint(row.name)["rate_limit"]]
    assert row.quota in contract("errors_and_limits")["rate_limits"]["buckets"]
    assert row.quota == next(bucket for bucket in buckets if bucket not in BROADCAST_BUCKETS)


@ROWS
def test_docs_is_the_page_of_the_endpoint(row: Endpoint):
    assert row.docs == "https://www.braze.com" + endpoint(row.name)["docs_url"]


@ROWS
def test_the_batch_field_and_its_limit(row: Endpoint):
    limits = {}
    for field in endpoint(row.name)["request"].get("body") or ():
        if field["name"] in PEOPLE and (limit := re.search(r"<=(\d+)", field.get("constraints", ""))):
            limits[field["name"]] = int(limit[1])
    if limits and not row.repeatable:
        assert row.batch_field in limits
        assert row.batch_limit == limits[row.batch_field]
    elif not limits:
        assert (row.batch_field, row.batch_limit) == (None, None)


@ROWS
def test_nothing_that_messages_people_may_be_repeated_blindly(row: Endpoint):
    sends = row.path.endswith(("/send", "/schedule/create", "/live_activity/start"))
    assert not (row.repeatable and sends and row.name != "transactional_send")
    assert row.repeatable or row.method != "GET"


@ROWS
def test_the_request_model_knows_every_field_of_the_contract(row: Endpoint):
    request = endpoint(row.name)["request"]
    fields = [*(request.get("body") or ()), *(request.get("query") or ())]
    known = {field.alias or name: field for name, field in row.request.model_fields.items()}
    assert {field["name"] for field in fields} <= set(known)
    for field in fields:
        if "required_unless" not in field and "required_when" not in field:
            assert known[field["name"]].is_required() is bool(field["required"]), field["name"]


@ROWS
def test_the_response_model_reads_the_contracts_example(row: Endpoint):
    assert issubclass(row.response, BrazeModel)
    answer = endpoint(row.name)["response"]["example_invented"]
    assert row.response.model_validate(answer).model_dump(mode="json", exclude_none=True) == answer
    answer = examples(row.name)["success_response_invented"]["body"]
    assert row.response.model_validate(answer).model_dump(mode="json", exclude_none=True) == answer


@pytest.mark.parametrize(
    ("name", "body"),
    [
        pytest.param(name, body, id=f"{name}-{place}")
        for name in ENDPOINTS
        for place, body in enumerate(valid_requests(name))
    ],
)
def test_a_valid_example_passes_through_unchanged(judges, name, body):
    model = ENDPOINTS[name].request.model_validate(body)
    assert model.model_dump(mode="json", exclude_none=True, by_alias=True) == body
    in_the_path = dict.fromkeys(re.findall(r"{(\w+)}", ENDPOINTS[name].path), "c")
    assert judges.models(name, {**in_the_path, **body}) is None
    if name in HANDLERS and not in_the_path and "schedule_id" not in body:  # those name what was made before
        assert judges.emulator(name, body) is None


def test_the_body_limit_is_the_smaller_reading_of_4_mb():
    assert contract("errors_and_limits")["size_limits"]["request_body_most_endpoints"]["limit"] == "4 MB"
    assert BODY_BYTES == 4_000_000
