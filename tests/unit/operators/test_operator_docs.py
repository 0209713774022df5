"""Every parameter of every public operator and sensor is documented, and every template says that it is one."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.get_provider_info import get_provider_info

KINDS = ("operators", "sensors")
MODULES = [name for kind in KINDS for row in get_provider_info()[kind] for name in row["python-modules"]]
OPERATORS = [
    value
    for name in MODULES
    for value in vars(importlib.import_module(name)).values()
    if isinstance(value, type)
    and issubclass(value, BaseOperator)
    and value.__module__ == name
    # Others are what several of them share.
    and value.__name__.startswith("Braze")
]
PARAM = re.compile(r":param (\w+):(.*?)(?=\n\s*:(?:param|raises|return)\b|\Z)", re.DOTALL)


def own_parents(operator):
    return [kind for kind in operator.__mro__ if kind.__module__.startswith("airflow_provider_braze.")]


def documented(kinds):
    """Each parameter with its text; what stands nearest to the class counts."""
    found = {}
    for kind in reversed(kinds):
        found |= dict(PARAM.findall(inspect.cleandoc(kind.__doc__ or "")))
    return found


def parameters(operator):
    return {
        name
        for kind in own_parents(operator)
        if "__init__" in vars(kind)
        for name, one in inspect.signature(kind.__init__).parameters.items()
        if name != "self" and one.kind is not one.VAR_KEYWORD
    }


def test_there_are_operators():
    [campaign] = [operator for operator in OPERATORS if operator.__name__ == "BrazeSendCampaignOperator"]
    assert parameters(campaign) >= {"braze_conn_id", "recipients", "max_invalid", "campaign_id", "broadcast"}
    assert set(documented(own_parents(campaign))) >= {"campaign_id", "broadcast"}


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_parameter_is_documented(operator):
    assert {"task_id", "kwargs"} & parameters(operator) == set()
    assert "braze_conn_id" in parameters(operator)
    assert parameters(operator) - set(documented(own_parents(operator))) == set()


@pytest.mark.parametrize("operator", OPERATORS)
def test_nothing_is_documented_that_is_not_there(operator):
    assert set(documented(own_parents(operator))) - parameters(operator) == set()


@pytest.mark.parametrize("operator", [*OPERATORS, SqlAudience])
def test_templates_and_only_they_are_marked(operator):
    texts = documented(own_parents(operator))
    marked = {name for name, text in texts.items() if re.search(r"\(templated\)\s*$", text)}
    assert marked == set(operator.template_fields)


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_first_line_is_a_sentence_and_brazes_page_is_named(operator):
    lines = inspect.cleandoc(operator.__doc__).splitlines()
    assert lines[0].endswith(".")
    assert "https://www.braze.com/docs/api/" in operator.__doc__


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_parameter_is_by_keyword_only(operator):
    signature = inspect.signature(operator.__init__)
    assert {one.kind for name, one in signature.parameters.items() if name != "self"} <= {
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    }
