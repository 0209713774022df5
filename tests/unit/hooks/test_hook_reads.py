"""The hook's typed reads, against the emulator."""

import pytest

from airflow_provider_braze.api.errors import BrazeError
from airflow_provider_braze.hooks.braze import BrazeHook

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"


def test_all_pages_are_listed_once(braze_emulator):
    for number in range(205):
        braze_emulator.add_campaign(f"c-{number}", name=f"campaign {number}", state="active")
    ids = [campaign["id"] for campaign in BrazeHook().campaigns()]
    assert {f"c-{number}" for number in range(205)} <= set(ids)
    assert len(ids) == len(set(ids))
    assert len(braze_emulator.requests()) == 3


def test_archived_campaigns_are_listed_on_request(braze_emulator):
    braze_emulator.add_campaign("old", name="old", state="archived")
    assert "old" not in {campaign["id"] for campaign in BrazeHook().campaigns()}
    assert "old" in {campaign["id"] for campaign in BrazeHook().campaigns(include_archived=True)}


def test_details_name_what_was_asked_for(braze_emulator):
    hook = BrazeHook()
    assert hook.campaign_details(CAMPAIGN)["name"] == "Your weekly offer"
    canvas = next(hook.canvases())
    assert hook.canvas_details(canvas["id"])["name"] == canvas["name"]
    segment = next(hook.segments())
    assert hook.segment_details(segment["id"])["name"] == segment["name"]


@pytest.mark.usefixtures("early_in_the_hour")
def test_figures_grow_with_what_was_sent(braze_emulator):
    hook = BrazeHook()
    hook.call("campaigns_trigger_send", {"campaign_id": CAMPAIGN, "recipients": [{"external_user_id": 1}]})
    [today] = hook.campaign_figures(CAMPAIGN, days=1)
    assert today["unique_recipients"] == 1


def test_unknown_users_are_told_apart(braze_emulator):
    hook = BrazeHook()
    hook.call("campaigns_trigger_send", {"campaign_id": CAMPAIGN, "recipients": [{"external_user_id": 1}]})
    answer = hook.export_users([1, "nobody"], ["external_id", "campaigns_received"])
    assert answer["invalid_user_ids"] == ["nobody"]
    assert [user["external_id"] for user in answer["users"]] == ["1"]


def test_a_missing_id_is_refused_before_the_call(braze_emulator):
    with pytest.raises(BrazeError, match="campaign_id"):
        BrazeHook().campaign_details("")
    assert braze_emulator.requests() == []
