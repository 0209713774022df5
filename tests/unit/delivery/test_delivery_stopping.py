"""A delivery that is stopped or interrupted finishes what is under way, and accounts for everybody."""

import signal
import threading
import time

import pytest

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PEOPLE = [f"p-{number}" for number in range(2_000)]


class TimeIsUp(BaseException):
    """As Airflow's own timeout: no ordinary exception."""


@pytest.fixture
def slow(braze_emulator):
    braze_emulator.inject("slow", seconds=0.2, times=None)
    return braze_emulator


@pytest.fixture
def delivery(slow):
    with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, ListAudience(PEOPLE)) as plan:
        yield Delivery(plan, AsyncBrazeClient(slow.url, slow.api_key, lanes=4))


def once_under_way(emulator, act, *arguments):
    """Act from another thread once the second request has arrived, so the first one has its answer."""

    def watch():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if len(emulator.requests()) > 1:
                act(*arguments)
                return
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()


def accounted(report):
    fates = ("duplicates", "invalid", "skipped", "accepted", "failed", "unknown")
    return sum(report[fate] for fate in fates)


def test_a_stop_begins_nothing_more_and_says_so(delivery, slow):
    once_under_way(slow, delivery.stop, "a person said so")
    with pytest.raises(BrazeDeliveryError, match="a person said so") as raised:
        deliver(delivery)
    report = raised.value.report
    assert 0 < report["accepted"] < len(PEOPLE)
    assert report["accepted"] == len(slow.deliveries())
    assert accounted(report) == len(PEOPLE)


def test_an_interruption_counts_what_was_under_way_before_it_goes_on(delivery, slow):
    def interrupt(*_):
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, interrupt)
    once_under_way(slow, signal.pthread_kill, threading.main_thread().ident, signal.SIGALRM)
    try:
        with pytest.raises(TimeIsUp):
            deliver(delivery)
    finally:
        signal.signal(signal.SIGALRM, before)
    report = delivery.report.as_dict()
    assert 0 < report["accepted"] < len(PEOPLE)
    assert report["accepted"] == len(slow.deliveries())
    assert accounted(report) == len(PEOPLE)


def test_a_killed_task_stops_sending(slow):
    send = BrazeSendCampaignOperator(task_id="send", campaign_id=CAMPAIGN, recipients=PEOPLE)
    once_under_way(slow, send.on_kill)
    with pytest.raises(BrazeDeliveryError, match="stopped from outside"):
        send.execute({})
    assert 0 < len(slow.deliveries()) < len(PEOPLE)


def test_a_task_killed_while_it_reads_its_audience_sends_nothing(braze_emulator):
    def people():
        send.on_kill()
        yield from PEOPLE

    send = BrazeSendCampaignOperator(task_id="send", campaign_id=CAMPAIGN, recipients=people())
    with pytest.raises(BrazeDeliveryError, match="stopped from outside"):
        send.execute({})
    assert braze_emulator.requests() == []


def test_a_stop_after_the_last_request_is_no_failure(braze_emulator):
    with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, ListAudience(PEOPLE[:50])) as plan:
        client = AsyncBrazeClient(braze_emulator.url, braze_emulator.api_key)
        delivery = Delivery(plan, client, progress=lambda report: delivery.stop("too late"))
        assert deliver(delivery)["accepted"] == 50


def test_a_broadcast_stopped_before_it_left_is_no_success(braze_emulator):
    payload = {"campaign_id": CAMPAIGN, "broadcast": True}
    with Plan("campaigns_trigger_send", payload, None) as plan:
        delivery = Delivery(plan, AsyncBrazeClient(braze_emulator.url, braze_emulator.api_key))
        delivery.stop("a person said so")
        with pytest.raises(BrazeDeliveryError, match="Nobody was messaged"):
            deliver(delivery)
    assert braze_emulator.requests() == []
