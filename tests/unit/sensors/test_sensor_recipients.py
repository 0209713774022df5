"""Who has received it: by what they are asked for, who counts, and that nobody is named anywhere."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_braze.conditions.errors import BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
EXPORT = "/users/export/ids"
REFUSED = (ValueError, BrazeWaitRefusedError, BrazeAudienceError)
MODES = ["poke", "deferrable"]
ALIAS = {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}}
KIM = {"email": "kim@example.com", "prioritization": ["identified"]}


def ago(**span):
    return datetime.now(UTC) - timedelta(**span)


@pytest.fixture
def strict(braze_emulator):
    """Only the people of the seed are known."""
    braze_emulator.reset({"everyone_is_known": False})
    return braze_emulator


@pytest.fixture
def received(wait):
    def run(*recipients, **parameters):
        alone = len(recipients) == 1 and not isinstance(recipients[0], str | int | dict)
        own = {} if "canvas_id" in parameters else {"campaign_id": WEEKLY}
        given = {"since": ago(minutes=1), "timeout": 0.05, "poke_interval": 0.05}
        given["recipients"] = recipients[0] if alone else [*recipients]
        return wait(BrazeRecipientsReceivedSensor, **{**own, **given, **parameters})

    return run


@pytest.fixture
def bodies(braze_emulator):
    """What Braze was asked."""
    return lambda: [one["body"] for one in braze_emulator.requests() if one["path"] == EXPORT]


# By what they are asked for


@pytest.mark.parametrize("how", MODES)
def test_ids_aliases_and_addresses(how, received, send, strict):
    people = ["u-2", "u-3", ALIAS, KIM]
    send(*people)
    result = received(*people, how=how)
    assert result == {"asked": 4, "received": 4, "missing": 0, "unknown": 0}


def test_one_export_for_many_ids(received, send, bodies, braze_emulator):
    people = [f"p-{n}" for n in range(120)]
    send(*people)
    assert received(people)["received"] == 120
    assert [len(body["external_ids"]) for body in bodies()] == [50, 50, 20]
    [fields] = {tuple(body["fields_to_export"]) for body in bodies()}
    assert {"external_id", "campaigns_received"} <= {*fields}
    assert "custom_attributes" not in fields


def test_numbers_are_ids(received, send):
    send(7, 8)
    assert received(7, "8", {"external_user_id": 8})["received"] == 2


def test_addresses_in_other_letters(received, send, strict):
    send("u-1")
    assert received({"email": "Kim@Example.COM", "prioritization": ["identified"]})["received"] == 1


def test_an_address_that_several_people_share(received, send, strict):
    """Whoever of them was messaged, the address has got it."""
    strict.add_users({"external_id": name, "email": "twins@example.com"} for name in ("twin-1", "twin-2"))
    send("twin-2")
    twins = {"email": "twins@example.com", "prioritization": ["identified", "most_recently_updated"]}
    assert received(twins) == {"asked": 1, "received": 1, "missing": 0, "unknown": 0}


def test_duplicates_are_asked_for_once(received, send, bodies):
    send("u-1", "u-2")
    result = received("u-1", "u-2", "u-1", {"external_user_id": "u-2", "trigger_properties": {"a": 1}})
    assert result == {"asked": 2, "received": 2, "missing": 0, "unknown": 0}
    assert sorted(bodies()[0]["external_ids"]) == ["u-1", "u-2"]


def test_an_audience(received, send, warehouse):
    warehouse("CREATE TABLE people (id TEXT)", "INSERT INTO people VALUES ('u-1'), ('u-2')")
    send("u-1", "u-2")
    assert received(SqlAudience("warehouse", "SELECT id AS external_user_id FROM people"))["received"] == 2


@pytest.mark.parametrize("how", MODES)
def test_a_canvas(how, received, send):
    send("u-1", canvas_id=WEEKLY)
    assert received("u-1", canvas_id=WEEKLY, how=how)["received"] == 1
    with pytest.raises(AirflowSensorTimeout):
        received("u-1", how=how)


# Who is asked for


@pytest.mark.parametrize("how", MODES)
def test_a_sample_is_the_same_each_time(how, received, send, bodies, after_looks):
    people = [f"p-{n}" for n in range(400)]
    after_looks(EXPORT, 3, lambda: send(*people))
    result = received(people, sample=30, how=how, timeout=60)
    assert result == {"asked": 30, "received": 30, "missing": 0, "unknown": 0}
    asked = [set(body["external_ids"]) for body in bodies()]
    assert len(asked) >= 3
    assert all(one <= asked[0] for one in asked)
    assert len(asked[0]) == 30


def test_a_sample_does_not_depend_on_the_order(received, send, bodies):
    people = [f"p-{n}" for n in range(300)]
    send(*people)
    received(people, sample=20)
    received(people[::-1], sample=20)
    first, second = (set(body["external_ids"]) for body in bodies())
    assert first == second
    assert first != set(people[:20])


def test_a_sample_larger_than_the_audience(received, send):
    send("u-1", "u-2")
    assert received("u-1", "u-2", sample=1000)["asked"] == 2


@pytest.mark.parametrize("sample", [0, -1, 1001, 2.5, True, "10"])
def test_samples_that_make_no_sense(sample):
    with pytest.raises(ValueError, match="sample"):
        BrazeRecipientsReceivedSensor(task_id="w", campaign_id=WEEKLY, recipients=["u-1"], sample=sample)


@pytest.mark.parametrize("how", MODES)
def test_too_many_without_a_sample(how, received, bodies):
    people = [f"p-{n}" for n in range(1001)]
    with pytest.raises(REFUSED, match="sample") as caught:
        received(people, how=how, soft_fail=True)
    assert bodies() == []
    assert "p-" not in str(caught.value)


def test_a_thousand_without_a_sample(received, send):
    people = [f"p-{n}" for n in range(1000)]
    send(*people)
    assert received(people)["received"] == 1000


def test_a_sample_of_very_many(received, bodies, send):
    people = [f"p-{n}" for n in range(20_000)]
    with pytest.raises(AirflowSensorTimeout):
        received(people, sample=10, timeout=0.05)
    assert {len(body["external_ids"]) for body in bodies()} == {10}


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("nobody", [[], None, "", {}], ids=str)
def test_nobody(how, nobody, received, bodies):
    with pytest.raises(REFUSED, match=r"recipients|nobody|audience") as caught:
        received(recipients=nobody, how=how)
    assert not isinstance(caught.value, AirflowSkipException)
    assert bodies() == []


@pytest.mark.parametrize(
    "wrong",
    [["secret-1", None], ["secret-1", ""], [{"name": "secret-1"}], [{"external_user_id": {"secret": 1}}],
    ["secret-1", 1.5],
     [{"user_alias": "secret-1"}], "secret-1", 7, [["secret-1"]]],
    ids=["none", "empty", "field", "object", "float", "alias", "text", "number", "list"],
)  # fmt: skip
def test_rows_that_name_nobody(wrong, received, bodies):
    with pytest.raises((ValueError, TypeError, AirflowException)) as caught:
        received(recipients=wrong)
    assert not isinstance(caught.value, AirflowSensorTimeout | AirflowSkipException)
    assert "secret" not in str(caught.value)
    assert bodies() == []


# Who counts


@pytest.mark.parametrize("how", MODES)
def test_those_who_are_missing_are_counted(how, received, send):
    send("u-1", "u-2", "u-3")
    with pytest.raises(AirflowSensorTimeout, match="3 of 4") as caught:
        received("u-1", "u-2", "u-3", "u-4", how=how)
    assert "u-" not in str(caught.value)


@pytest.mark.parametrize(
    ("share", "enough"), [(0.75, True), (0.76, False), (1.0, False), (0.5, True), (0.000001, True)]
)
def test_a_share_is_enough(share, enough, received, send):
    send("u-1", "u-2", "u-3")
    if enough:
        assert received("u-1", "u-2", "u-3", "u-4", at_least_share=share) == {
            "asked": 4, "received": 3, "missing": 1, "unknown": 0
        }  # fmt: skip
    else:
        with pytest.raises(AirflowSensorTimeout):
            received("u-1", "u-2", "u-3", "u-4", at_least_share=share)


def test_the_smallest_share_is_not_nobody(received):
    with pytest.raises(AirflowSensorTimeout):
        received("u-1", "u-2", at_least_share=0.000001)


@pytest.mark.parametrize("share", [0, -1, 1.1, 50, float("nan"), "0.5", None, True])
def test_shares_that_make_no_sense(share):
    with pytest.raises(ValueError, match="at_least_share"):
        BrazeRecipientsReceivedSensor(task_id="w", campaign_id=WEEKLY, recipients=["u-1"], at_least_share=share)


@pytest.mark.parametrize("how", MODES)
def test_received_before_does_not_count(how, received, send, braze_emulator):
    send("u-1")
    with pytest.raises(AirflowSensorTimeout, match="0 of 1"):
        received("u-1", how=how, since=datetime.now(UTC) + timedelta(minutes=2))


def test_since_is_when_the_run_was_due(wait, send):
    send("u-1")
    parameters = {"campaign_id": WEEKLY, "recipients": ["u-1"], "timeout": 0.05}
    from types import SimpleNamespace

    before, after = (SimpleNamespace(run_after=moment, run_id="r") for moment in (ago(hours=1), ago(hours=-1)))
    assert wait(BrazeRecipientsReceivedSensor, context={"dag_run": before}, **parameters)["received"] == 1
    with pytest.raises(AirflowSensorTimeout):
        wait(BrazeRecipientsReceivedSensor, context={"dag_run": after}, **parameters)


@pytest.mark.parametrize(
    "since", [ago(hours=1), ago(hours=1).isoformat(), ago(days=1).date().isoformat()], ids=["time", "text", "day"]
)
def test_since_in_any_shape(since, received, send):
    send("u-1")
    assert received("u-1", since=since)["received"] == 1


@pytest.mark.parametrize("since", ["lately", "", 7, True], ids=str)
def test_since_that_is_no_time(since, received):
    with pytest.raises(REFUSED, match="since"):
        received("u-1", since=since)


def test_another_campaign_does_not_count(received, send):
    send("u-1", campaign_id=WIN_BACK)
    with pytest.raises(AirflowSensorTimeout):
        received("u-1")


@pytest.mark.parametrize("how", MODES)
def test_late_receipts(how, received, send, braze_emulator, bodies):
    braze_emulator.inject("late_receipts", seconds=3600, times=2)
    send("u-1", "u-2")
    assert received("u-1", "u-2", how=how, timeout=60)["received"] == 2
    assert len(bodies()) == 3


def test_who_has_it_is_not_asked_for_again(received, send, after_looks, bodies):
    send("u-1", "u-2")
    after_looks(EXPORT, 2, lambda: send("u-3"))
    assert received("u-1", "u-2", "u-3", timeout=60)["received"] == 3
    first, *later = [body["external_ids"] for body in bodies()]
    assert (sorted(first), {tuple(one) for one in later}) == (["u-1", "u-2", "u-3"], {("u-3",)})


def test_two_messages_later_the_first_receipt_counts_still(received, send, after_looks, braze_emulator):
    """Profiles tell the latest time only; once seen it is seen."""
    send("u-1")
    braze_emulator.inject("late_receipts", seconds=3600, times=None, skip=1)
    after_looks(EXPORT, 3, lambda: (braze_emulator.clear_faults(), send("u-2")))
    assert received("u-1", "u-2", timeout=60)["received"] == 2


# Those whom Braze does not know


@pytest.mark.parametrize("how", MODES)
def test_unknown_people_are_counted_apart(how, received, send, strict):
    send("u-1")
    result = received(
        "u-1", "ghost-1", {"email": "ghost@example.com", "prioritization": ["identified"]}, how=how, max_unknown=2
    )
    assert result == {"asked": 3, "received": 1, "missing": 0, "unknown": 2}


@pytest.mark.parametrize("how", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_too_many_unknown_people_after_the_settling_time(how, soft_fail, received, send, strict):
    send("u-1")
    with pytest.raises(AirflowSkipException if soft_fail else BrazeWaitFailedError) as caught:
        received(
            "u-1", "ghost-1", "ghost-2", max_unknown=1, since=ago(minutes=6), how=how, soft_fail=soft_fail, timeout=5
        )
    text = str(caught.value)
    assert "ghost" not in text
    assert soft_fail or ("2" in text and "unknown" in text)


@pytest.mark.parametrize("how", MODES)
def test_unknown_people_may_still_be_created(how, received, send, strict, after_looks):
    """A send makes them known; before the settling time is over nobody is given up."""
    after_looks(EXPORT, 2, lambda: (strict.add_users([{"external_id": "new-1"}]), send("new-1")))
    assert received("new-1", since=ago(seconds=30), how=how, timeout=60) == {
        "asked": 1, "received": 1, "missing": 0, "unknown": 0
    }  # fmt: skip


def test_unknown_people_do_not_time_out_as_received(received, strict):
    with pytest.raises(AirflowSensorTimeout, match="unknown"):
        received("ghost-1", since=ago(seconds=30))


@pytest.mark.parametrize("how", MODES)
def test_everybody_is_unknown_and_that_is_allowed(how, received, strict):
    """Of nobody known a share is nothing to promise: it neither says that they received it nor waits for ever."""
    with pytest.raises((AirflowSensorTimeout, BrazeWaitFailedError, BrazeWaitRefusedError)):
        received("ghost-1", "ghost-2", max_unknown=2, since=ago(minutes=6), how=how, timeout=0.05)


@pytest.mark.parametrize("most", [-1, 1.5, "2", None])
def test_max_unknown_that_makes_no_sense(most):
    with pytest.raises(ValueError, match="max_unknown"):
        BrazeRecipientsReceivedSensor(task_id="w", campaign_id=WEEKLY, recipients=["u-1"], max_unknown=most)


@pytest.mark.parametrize("own", [{}, {"campaign_id": WEEKLY, "canvas_id": WEEKLY}], ids=["none", "both"])
def test_exactly_one_of_campaign_and_canvas(own):
    with pytest.raises(ValueError, match=r"campaign_id.*canvas_id"):
        BrazeRecipientsReceivedSensor(task_id="w", recipients=["u-1"], **own)


# Nobody is named


@pytest.mark.parametrize("how", ["poke", "reschedule", "deferrable"])
@pytest.mark.parametrize("end", ["timeout", "unknown", "key", "server", "garbage"])
def test_nobody_is_named_in_logs_and_errors(how, end, received, *, strict, caplog, capsys, connection):
    caplog.set_level(logging.DEBUG, "airflow")
    caplog.set_level(logging.DEBUG, "airflow_provider_braze")
    people = ["secret-1", {"email": "secret@example.com", "prioritization": ["identified"]}, ALIAS]
    parameters = {"since": ago(minutes=6)} if end == "unknown" else {}
    if end == "key":
        connection(password="wrong-key")
    if end in ("server", "garbage"):
        strict.inject("server_error" if end == "server" else "garbage_201", times=None)
    with pytest.raises(AirflowException) as caught:
        received(*people, how=how, **parameters)
    said = caplog.text + "".join(str(record.__dict__) for record in caplog.records) + str(capsys.readouterr())
    for text in (str(caught.value), repr(caught.value.args), said):
        assert [word for word in ("secret", "crm-1001", "example.com", "wrong-key") if word in text] == []
