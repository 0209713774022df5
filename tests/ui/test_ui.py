"""Airflow's UI in a real browser, the way a newcomer goes: the connection form and its test, a run, the link to Braze.

One test with one Airflow: as several tests, xdist would spread them, and each of its processes would start its own.
"""

from __future__ import annotations

import json
import re

import airflow
from playwright.sync_api import expect

from airflow_provider_braze.get_provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR

# Airflow 3.1 reads the form off the hook, which has no fields for the extra: it is JSON there.
HAS_EXTRA_FIELDS = not airflow.__version__.startswith("3.1.")
RUN_WITHIN, PATIENCE = 300_000, 120_000
WINDOW, LOW = {"width": 1280, "height": 800}, {"width": 1280, "height": 640}
HIGH = {"width": 1280, "height": 1700}
DETAILS = {"x": 330, "y": 62, "width": 950, "height": 738}
CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
DAG = "braze_sql_audience_to_campaign"
# The demo's customers whose ids hold these digits have names that any machine has letters for.
SOME_CUSTOMERS = "022"
EXTRA = {
    "test_recipients": "qa-1, kim@example.com",
    "test_recipients_others": "rewrite",
    "workspace": "staging",
    "workspace_campaign_id": CAMPAIGN,
    "dashboard_url": "https://dashboard-03.braze.com/engagement/campaigns/{campaign_id}",
    "timeout": 20,
    "lanes": 8,
    "max_requests_per_second": 50,
    "quota_reserve": 0.05,
}


def test_a_newcomer_clicks_through(ui, page, pictures, tmp_path):
    try:
        open_connections(page, ui)
        the_form_says_what_it_wants(page, pictures)
        what_is_filled_in_is_saved(page, ui)
        what_was_saved_is_shown(page)
        the_right_key_is_green_and_a_wrong_one_red(page, pictures)
        the_offer_is_sent(page, ui)
        the_task_tells_what_it_did(page, pictures)
        the_link_leads_to_the_dashboard(page, ui, pictures)
        everybody_has_the_offer_once(page, ui, pictures)
    except Exception:
        page.screenshot(path=tmp_path / "when-it-failed.png")
        print(page.url, ui.log.read_text(errors="replace")[-5000:], sep="\n")
        raise


def open_connections(page, ui):
    page.goto(ui.url)
    page.get_by_role("button", name="Admin").click()
    page.get_by_role("menuitem", name="Connections").click()
    expect(page.get_by_role("heading", name="2 Connections")).to_be_visible()
    # Without the warehouse, whose row shows a folder of this machine.
    page.get_by_placeholder("Search Connections").fill("braze")
    expect(page.get_by_role("heading", name="1 Connection")).to_be_visible()


def take(what, path, **options):
    """A picture of what is there when all that moves has come to rest."""
    what.screenshot(path=path, animations="disabled", **options)


def toast(page, title):
    return page.get_by_role("status").filter(has_text=title)


def no_toasts(page):
    # They stay as long as the mouse is over them.
    page.mouse.move(640, 5)
    expect(page.get_by_role("status")).to_have_count(0)


def row_of(page, conn_id):
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=conn_id, exact=True))


def field_of(form, label):
    """The label, the input and the help of a field of the extra."""
    return form.get_by_role("group").filter(has=form.page.get_by_text(label, exact=True))


def standard_field(form, name):
    return form.get_by_label(UI_FIELD_BEHAVIOUR["relabeling"][name], exact=True)


def the_form_says_what_it_wants(page, pictures):
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill("braze_staging")
    form.get_by_label("Connection Type").fill("Braze")
    page.get_by_role("option", name="Braze", exact=True).click()
    for name, placeholder in UI_FIELD_BEHAVIOUR["placeholders"].items():
        expect(standard_field(form, name)).to_have_attribute("placeholder", placeholder)
    for name in UI_FIELD_BEHAVIOUR["hidden-fields"]:
        expect(form.get_by_label(name, exact=False)).to_have_count(0)
    take(form, pictures / "connection-form.png")
    if HAS_EXTRA_FIELDS:
        form.get_by_role("button", name="Extra Fields", exact=True).click()
        for field in CONN_FIELDS.values():
            expect(field_of(form, field["label"]).get_by_text(field["description"], exact=True)).to_be_visible()
        page.set_viewport_size(HIGH)
        take(form, pictures / "connection-form-extras.png")
        page.set_viewport_size(WINDOW)


def what_is_filled_in_is_saved(page, ui):
    form = page.get_by_role("dialog")
    assert set(EXTRA) == set(CONN_FIELDS)
    save = form.get_by_role("button", name="Save")
    for last in (False, False, True):
        fill_in(form, ui)
        try:
            # On a busy machine Airflow 3.1 may miss what is typed while it draws, and a person types again.
            expect(save).to_be_enabled(timeout=PATIENCE if last else 15_000)
            break
        except AssertionError:
            if last:
                raise
    save.click()
    expect(form).to_be_hidden()
    expect(row_of(page, "braze_staging")).to_be_visible()
    known = ui.get("connections/braze_staging")
    host, _, port = ui.braze.rpartition(":")
    assert (known["conn_type"], known["host"], known["port"]) == ("braze", host, int(port))
    assert json.loads(known["extra"]) == EXTRA


def fill_in(form, ui):
    host, _, port = ui.braze.rpartition(":")
    unfold(form, "Extra Fields" if HAS_EXTRA_FIELDS else "Extra Fields JSON")
    if HAS_EXTRA_FIELDS:
        for name, value in EXTRA.items():
            fill(field_of(form, CONN_FIELDS[name]["label"]), CONN_FIELDS[name]["schema"], value)
    else:
        editor = form.get_by_role("region", name="Extra Fields JSON").get_by_role("textbox")
        editor.fill("{}")
        editor.fill(json.dumps(EXTRA))
    unfold(form, "Standard Fields")
    for name, value in {"host": host, "port": port, "password": "demo-key"}.items():
        standard_field(form, name).fill("")
        standard_field(form, name).fill(value)
        standard_field(form, name).blur()


def unfold(form, section):
    button = form.get_by_role("button", name=section, exact=True)
    if button.get_attribute("aria-expanded") != "true":
        button.click()


def fill(field, schema, value):
    if "enum" in schema:
        field.get_by_role("combobox").fill(value)
        field.page.get_by_role("option", name=value, exact=True).click()
    elif isinstance(value, str):
        field.get_by_role("textbox").fill(value)
    else:
        field.get_by_role("spinbutton").fill(str(value))


def what_was_saved_is_shown(page):
    row_of(page, "braze_staging").get_by_role("button", name="Edit Connection").click()
    form = page.get_by_role("dialog")
    expect(standard_field(form, "host")).to_have_value("http://127.0.0.1")
    expect(standard_field(form, "password")).to_have_value("***")
    if HAS_EXTRA_FIELDS:
        form.get_by_role("button", name="Extra Fields", exact=True).click()
        for name, value in EXTRA.items():
            field = field_of(form, CONN_FIELDS[name]["label"])
            if name == "test_recipients_others":
                expect(field.get_by_text(value, exact=True)).to_be_visible()
            else:
                expect(field.get_by_role("textbox").or_(field.get_by_role("spinbutton"))).to_have_value(str(value))
    form.get_by_role("button", name="Close").click()
    expect(form).to_be_hidden()


def the_right_key_is_green_and_a_wrong_one_red(page, pictures):
    page.set_viewport_size(LOW)
    row = row_of(page, "braze_staging")
    no_toasts(page)
    row.get_by_role("button", name="Test Connection").click()
    # The toast first, which does not stay.
    expect(toast(page, "Test Connection Successful")).to_contain_text("Connected: Braze accepts the key")
    expect(row.locator("svg[style*=green]")).to_be_visible()
    take(page, pictures / "connection-test-passed.png")

    no_toasts(page)
    row.get_by_role("button", name="Edit Connection").click()
    form = page.get_by_role("dialog")
    standard_field(form, "password").fill("not-the-key")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    no_toasts(page)
    row.get_by_role("button", name="Test Connection").click()
    expect(toast(page, "Test Connection Failed")).to_contain_text(
        "Wrong key, or wrong instance: Braze does not accept this key on this host."
    )
    expect(row.locator("svg[style*=red]")).to_be_visible()
    take(page, pictures / "connection-test-failed.png")
    page.set_viewport_size(WINDOW)


def the_offer_is_sent(page, ui):
    page.get_by_role("link", name="Dags", exact=True).click()
    page.get_by_role("link", name=DAG, exact=True).click()
    trigger = page.get_by_role("button", name="Trigger Dag")
    expect(trigger).to_have_count(1)  # The list has one for each DAG.
    trigger.click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    # The page of the run opens by itself, and keeps itself up to date.
    task = page.get_by_role("row").filter(has_text="BrazeSendCampaignOperator")
    expect(task).to_contain_text("Success", timeout=RUN_WITHIN)
    task.get_by_role("link", name="send_weekly_offer").click()


def the_task_tells_what_it_did(page, pictures):
    expect(page.get_by_text("Done: 1,000 recipients read")).to_contain_text("20 requests, 988 accepted.")
    page.keyboard.press("w")  # Long lines are wrapped.
    no_toasts(page)
    take(page, pictures / "task-log.png", clip={**DETAILS, "height": 534})
    if page.get_by_role("link", name="Storage", exact=True).count():
        page.get_by_role("link", name="Storage", exact=True).click()
    page.get_by_role("link", name="XCom", exact=True).click()
    page.get_by_role("button", name="Expand all extra JSON").click()
    row = row_of(page, "return_value")
    expect(row).to_contain_text(re.compile(r"accepted\W+988"))
    take(page, pictures / "task-report.png", clip=DETAILS)


def the_link_leads_to_the_dashboard(page, ui, pictures):
    page.get_by_role("link", name="Details", exact=True).click()
    link = page.get_by_role("link", name="Braze dashboard")
    expect(link).to_be_visible()
    take(page, pictures / "task-link.png", clip={**DETAILS, "height": 364})
    with page.expect_popup() as opened:
        link.click()
    expect(opened.value).to_have_url(f"{ui.braze}/?campaign={CAMPAIGN}")
    opened.value.close()


def everybody_has_the_offer_once(page, ui, pictures):
    page.goto(ui.braze)
    counts = page.locator("#counts")
    expect(counts.get_by_text("988People reached")).to_be_visible()
    expect(counts.get_by_text("0Got a campaign twice")).to_be_visible()
    page.get_by_placeholder("Search by recipient").fill(SOME_CUSTOMERS)
    page.get_by_role("button", name="Search").click()
    message = page.locator("details.message").filter(has_text="Maeve")
    message.click()
    expect(message.get_by_text("all week long your 67 points count double")).to_be_visible()
    take(page, pictures / "inbox.png")
