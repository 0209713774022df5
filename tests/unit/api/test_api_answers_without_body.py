"""Answers of endpoints whose pages tell a status code, and no body."""

import json
from dataclasses import replace

import pytest

from airflow_provider_braze.api import errors
from airflow_provider_braze.api.answers import read_answer
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.models.responses import Begun
from airflow_provider_braze.api.wire import Answer

SILENT = replace(ENDPOINTS["sends_id_create"], response=Begun)


def read(status, content, endpoint=SILENT):
    return read_answer(endpoint, Answer(status, {}, content))


@pytest.mark.parametrize("body", [{}, {"message": "success"}, {"anything": 1}])
def test_its_status_says_that_it_has_begun(body):
    assert read(202, json.dumps(body).encode()) == body
    assert read(202, b"") == {}


def test_what_is_no_answer_of_braze_is_still_unknown():
    with pytest.raises(errors.BrazeUnknownOutcomeError):
        read(202, b"<html>")
    with pytest.raises(errors.BrazeUnknownOutcomeError):
        read(202, b'{"message": "not today"}')


@pytest.mark.parametrize("name", ["sends_id_create", "campaigns_list"])
@pytest.mark.parametrize("content", [b"", b"<html>"])
def test_other_endpoints_do_not_leave_their_body_out(name, content):
    with pytest.raises(errors.BrazeUnknownOutcomeError):
        read(201, content, ENDPOINTS[name])


def test_refusals_are_told_as_ever():
    with pytest.raises(errors.BrazeBadRequestError):
        read(400, b"")
