"""Every rule of the contract, broken once; and the rules that no single body can break, with the reason."""

from contract_bodies import (
    ALIAS,
    BY_ID,
    CANVAS_SERIES,
    CHANNELS,
    LIVE,
    OF_CAMPAIGN,
    OF_CANVAS,
    PUSH,
    RECIPIENTS,
    SCHEDULES,
    SEGMENT,
    SERIES,
    START,
    TIER,
    at,
)

FIFTY_ONE = [f"person-{number}" for number in range(51)]
ALIASES = [{"alias_name": f"person-{number}", "alias_label": "crm_id"} for number in range(51)]
TOO_LARGE = {"private": "z" * 50_000}
TRIGGERS = {
    "campaigns_trigger_send": OF_CAMPAIGN,
    "canvas_trigger_send": OF_CANVAS,
    "campaigns_trigger_schedule_create": {**OF_CAMPAIGN, "schedule": SCHEDULES[0]},
    "canvas_trigger_schedule_create": {**OF_CANVAS, "schedule": SCHEDULES[0]},
}
TO_USERS = {"messages_send": {}, "messages_schedule_create": {"schedule": SCHEDULES[0]}}


def say(**channels):
    return ("messages_send", {"external_user_ids": ["u-1"], "messages": channels})


def changed(channel, place=0, **fields):
    return say(**{channel: {**CHANNELS[channel][place], **fields}})


def whats_app(place, **fields):
    shape = CHANNELS["whats_app"][place]
    return say(whats_app={**shape, "message": {**shape["message"], **fields}})


def person(**fields):
    return ("campaigns_trigger_send", {**OF_CAMPAIGN, "recipients": [{"external_user_id": "person-1", **fields}]})


def when(**fields):
    return ("campaigns_trigger_schedule_update", {**OF_CAMPAIGN, **BY_ID, "schedule": fields})


def wide(audience):
    return ("canvas_trigger_send", {**OF_CANVAS, "audience": audience})


# contract id: (endpoint, body), then the words that the error must have.
BROKEN = {
    "sends_id_create.send_id_format": (
        ("sends_id_create", {**OF_CAMPAIGN, "send_id": "wöchentlich"}),
        ["send_id", "ASCII"],
    ),
    "sends_id_create.send_id": (("sends_id_create", {**OF_CAMPAIGN, "send_id": "private-" * 9}), ["send_id", "64"]),
    "transactional_send.one_identifier": (
        ("transactional_send", {"recipient": {"external_user_id": "person-1", "user_alias": ALIAS}}),
        ["recipient", "external_user_id", "user_alias", "one"],
    ),
    "transactional_send.external_send_id": (
        ("transactional_send", {"recipient": {"external_user_id": "person-1"}, "external_send_id": "private!"}),
        ["external_send_id"],
    ),
    "transactional_send.trigger_properties": (
        ("transactional_send", {"recipient": {"external_user_id": "person-1"}, "trigger_properties": TOO_LARGE}),
        ["trigger_properties", "50 KB"],
    ),
    "messages_schedule_create.schedule_time": (
        (
            "messages_schedule_create",
            {"external_user_ids": ["person-1"], "messages": PUSH, "schedule": {"time": "soonest"}},
        ),
        ["schedule.time", "ISO 8601"],
    ),
    "messages_schedule_update.one_change": (("messages_schedule_update", BY_ID), ["schedule", "messages"]),
    "messages_scheduled_broadcasts.end_time": (
        ("messages_scheduled_broadcasts", {"end_time": "tomorrow"}),
        ["end_time", "ISO 8601"],
    ),
    "live_activity_update.dismissal_date": (
        ("live_activity_update", {**LIVE, "dismissal_date": "tonight"}),
        ["dismissal_date", "ISO 8601"],
    ),
    "live_activity_update.stale_date": (
        ("live_activity_update", {**LIVE, "stale_date": "tonight"}),
        ["stale_date", "ISO 8601"],
    ),
    "live_activity_start.one_target": (
        ("live_activity_start", {**START, "segment_id": SEGMENT, "custom_audience": TIER}),
        ["external_user_ids", "segment_id", "custom_audience", "one"],
    ),
    "live_activity_start.external_user_ids": (
        ("live_activity_start", {**START, "external_user_ids": FIFTY_ONE}),
        ["external_user_ids", "50"],
    ),
    "campaigns_list.page": (("campaigns_list", {"page": -31}), ["page", "0"]),
    "canvas_list.page": (("canvas_list", {"page": -31}), ["page", "0"]),
    "segments_list.page": (("segments_list", {"page": -31}), ["page", "0"]),
    "campaigns_list.last_edit.time[gt]": (
        ("campaigns_list", {"last_edit.time[gt]": "yesterday"}),
        ["last_edit.time[gt]", "ISO 8601"],
    ),
    "canvas_list.last_edit.time[gt]": (
        ("canvas_list", {"last_edit.time[gt]": "yesterday"}),
        ["last_edit.time[gt]", "ISO 8601"],
    ),
    "users_export_ids.single_kind": (
        ("users_export_ids", {"device_id": "private-1", "phone": "+4917012345"}),
        ["device_id", "phone", "one"],
    ),
    "users_export_ids.external_ids": (("users_export_ids", {"external_ids": FIFTY_ONE}), ["external_ids", "50"]),
    "users_export_ids.user_aliases": (("users_export_ids", {"user_aliases": ALIASES}), ["user_aliases", "50"]),
    "recipient.one_identifier": (
        person(braze_id="private-9"),
        ["recipients[0]", "external_user_id", "braze_id", "one"],
    ),
    "recipient.prioritization": (
        person(prioritization=["identified", "unidentified"]),
        ["recipients[0]", "prioritization", "identified", "unidentified"],
    ),
    "recipient.trigger_properties": (
        person(trigger_properties=TOO_LARGE),
        ["recipients[0].trigger_properties", "50 KB"],
    ),
    "recipient.context": (
        ("canvas_trigger_send", {**OF_CANVAS, "recipients": [{"external_user_id": "person-1", "context": TOO_LARGE}]}),
        ["recipients[0].context", "50 KB"],
    ),
    "recipient.send_to_existing_only": (
        person(send_to_existing_only=False),
        ["recipients[0]", "send_to_existing_only", "attributes"],
    ),
    "user_alias.alias_name": (
        (
            "campaigns_trigger_send",
            {**OF_CAMPAIGN, "recipients": [{"user_alias": {**ALIAS, "alias_name": "private-" * 30}}]},
        ),
        ["recipients[0].user_alias.alias_name", "236"],
    ),
    "user_alias.alias_label": (
        ("messages_send", {"user_aliases": [{**ALIAS, "alias_label": ""}], "messages": PUSH}),
        ["user_aliases[0].alias_label", "1"],
    ),
    "schedule.unparseable": (when(time="next Tuesday"), ["schedule.time", "ISO 8601"]),
    "schedule.past_local": (when(time=at(days=-3), in_local_time=True), ["schedule", "time", "past"]),
    "schedule.past_absolute": (when(time=at(minutes=-1) + "Z"), ["schedule", "time", "past"]),
    "schedule.offset": (
        when(time=at(days=3) + "+01:00", at_optimal_time=True),
        ["schedule", "time", "at_optimal_time", "offset"],
    ),
    "schedule.time": (when(time=at(days=3) + "Z", in_local_time=True), ["schedule", "time", "in_local_time", "Z"]),
    "trigger_properties.#0": (
        ("campaigns_trigger_send", {**OF_CAMPAIGN, "broadcast": True, "trigger_properties": TOO_LARGE}),
        ["trigger_properties", "50 KB"],
    ),
    "context.#0": (
        ("canvas_trigger_send", {**OF_CANVAS, "broadcast": True, "canvas_entry_properties": TOO_LARGE}),
        ["canvas_entry_properties", "50 KB"],
    ),
    "attachment.#0": (
        (
            "campaigns_trigger_send",
            {**OF_CAMPAIGN, "broadcast": True, "attachments": CHANNELS["email"][1]["attachments"]},
        ),
        ["attachments", "broadcast"],
    ),
    "connected_audience.#0": (wide({"AND": [TIER], "OR": [TIER]}), ["audience", "one"]),
    "connected_audience.#1": (
        wide({"AND": [{"segment": {"id": "private-1"}}]}),
        ["audience", "AND[0].segment", "custom_attribute"],
    ),
    "connected_audience.#2": (
        ("live_activity_start", {**START, "audience": TIER}),
        ["external_user_ids", "segment_id", "custom_audience"],
    ),
    "messages.#0": (say(), ["messages", "channel"]),
    "apple_push.#0": (say(apple_push={"alert": "private" * 300}), ["messages.apple_push", "1912"]),
    "apple_push.#1": (changed("apple_push", extra="private"), ["messages.apple_push.extra"]),
    "apple_push.extra": (changed("apple_push", extra={"aps": "private"}), ["messages.apple_push", "extra", "aps"]),
    "apple_push.relevance_score": (
        changed("apple_push", relevance_score=1.25),
        ["messages.apple_push.relevance_score", "1"],
    ),
    "apple_push.apns_priority": (changed("apple_push", apns_priority=11), ["messages.apple_push.apns_priority", "10"]),
    "android_push.#0": (
        changed("android_push", extra={"k": "private" * 600}),
        ["messages.android_push", "alert", "extra", "4000"],
    ),
    "android_push.#1": (say(android_push={"title": "private"}), ["messages.android_push", "alert", "send_to_sync"]),
    "android_push.send_to_sync": (
        changed("android_push", 1, title="private"),
        ["messages.android_push", "send_to_sync", "title"],
    ),
    "android_push.time_to_live": (
        changed("android_push", time_to_live=2_419_201),
        ["messages.android_push.time_to_live", "2419200"],
    ),
    "email.from": (changed("email", **{"from": "private at example"}), ["messages.email.from", "<"]),
    "content_card.#0": (
        say(content_card={"type": "CLASSIC", "title": "private", "description": "private"}),
        ["messages.content_card", "time_to_live", "expire_at"],
    ),
    "content_card.#1": (changed("content_card", time_to_live=30 * 86_400 + 1), ["messages.content_card", "30 days"]),
    "sms.user_click_tracking_enabled": (
        changed("sms", user_click_tracking_enabled=True),
        ["messages.sms", "user_click_tracking_enabled", "link_shortening_enabled"],
    ),
    "whats_app.template_message.header_variables": (
        whats_app(0, header_variables={"0": "private", "1": "private"}),
        ["messages.whats_app", "message.header_variables", "1"],
    ),
    "whats_app.template_message.body_variables": (
        whats_app(0, body_variables={"first": "private"}),
        ["messages.whats_app", "message.body_variables"],
    ),
    "whats_app.template_message.button_variables": (
        whats_app(0, button_variables={"0": "private", "1": "private"}),
        ["messages.whats_app", "message.button_variables", "1"],
    ),
    "whats_app.quick_reply_response_message.header_image_uri": (
        whats_app(3, header_image_uri="https://private.example.com/a.png"),
        ["messages.whats_app", "header_image_uri", "header_text"],
    ),
    "whats_app.quick_reply_response_message.header_text": (
        whats_app(3, header_image_uri="https://private.example.com/b.png", header_text="private"),
        ["messages.whats_app", "header_image_uri", "header_text"],
    ),
    "whats_app.list_response_message.list": (
        whats_app(
            4,
            list={
                "list_button_text": "private",
                "list_sections": [{"section_title": "private", "list_rows": [{"row_title": "private"}] * 11}],
            },
        ),
        ["messages.whats_app", "message.list", "10"],
    ),
    "user_attributes.#0": (
        person(attributes={"external_id": "private-1", "user_alias": ALIAS}),
        ["attributes", "external_id", "user_alias"],
    ),
    "user_attributes.#1": (person(attributes={"external_id": "private-" * 124}), ["attributes", "external_id", "987"]),
    "user_attributes.#2": (person(attributes={"tags": ["private"] * 501}), ["attributes", "tags", "500"]),
    "user_attributes.dob": (person(attributes={"dob": "24.12.1990"}), ["attributes", "dob", "YYYY-MM-DD"]),
}
for _name, _more in TO_USERS.items():
    _some = {"messages": PUSH, **_more}
    BROKEN |= {
        f"{_name}.broadcast_excludes_recipients": (
            (_name, {**_some, "broadcast": True, "external_user_ids": ["person-1"], "segment_id": SEGMENT}),
            ["broadcast", "external_user_ids"],
        ),
        f"{_name}.some_target": (
            (_name, {**_some, "broadcast": True}),
            ["external_user_ids", "segment_id", "audience"],
        ),
        f"{_name}.untargeted_needs_broadcast": ((_name, {**_some, "segment_id": SEGMENT}), ["broadcast"]),
        f"{_name}.external_user_ids": ((_name, {**_some, "external_user_ids": FIFTY_ONE}), ["external_user_ids", "50"]),
        f"{_name}.user_aliases": ((_name, {**_some, "user_aliases": ALIASES}), ["user_aliases", "50"]),
        f"{_name}.send_id": (
            (_name, {**_some, **OF_CAMPAIGN, "external_user_ids": ["person-1"], "send_id": "private-" * 9}),
            ["send_id", "64"],
        ),
    }
BROKEN |= {
    "messages_send.max_50": (
        ("messages_send", {"messages": PUSH, "external_user_ids": FIFTY_ONE[:26], "user_aliases": ALIASES[:25]}),
        ["external_user_ids", "user_aliases", "50"],
    ),
    "messages_send.variation_needed": (
        ("messages_send", {"messages": PUSH, **OF_CAMPAIGN, "external_user_ids": ["person-1"]}),
        ["messages.android_push.message_variation_id", "campaign_id"],
    ),
    "messages_send.message_needed": (("messages_send", {"external_user_ids": ["person-1"]}), ["messages"]),
    "messages_send.send_id_needs_campaign": (
        ("messages_send", {"messages": PUSH, "external_user_ids": ["person-1"], "send_id": "private-1"}),
        ["send_id", "campaign_id"],
    ),
}
for _name, _more in TRIGGERS.items():
    _values = "trigger_properties" if _name.startswith("campaigns") else "context"
    _kim = {"email": "private@example.com"}
    BROKEN |= {
        f"{_name}.broadcast_excludes_recipients": (
            (_name, {**_more, "broadcast": True, "recipients": [{"external_user_id": "person-1"}]}),
            ["broadcast", "recipients"],
        ),
        f"{_name}.recipients_missing_needs_broadcast": ((_name, _more), ["recipients", "audience", "broadcast"]),
        f"{_name}.no_segment_id": ((_name, {**_more, "broadcast": True, "segment_id": SEGMENT}), ["segment_id"]),
        f"{_name}.recipients_max_50": (
            (_name, {**_more, "recipients": [{"external_user_id": one} for one in FIFTY_ONE]}),
            ["recipients", "51", "50"],
        ),
        f"{_name}.recipients": (
            (_name, {**_more, "recipients": [{"user_alias": one} for one in ALIASES]}),
            ["recipients", "50"],
        ),
        f"{_name}.one_identifier": (
            (_name, {**_more, "recipients": [RECIPIENTS[0], {"user_alias": ALIAS, "external_user_id": "person-1"}]}),
            ["recipients[1]", "external_user_id", "user_alias", "one"],
        ),
        f"{_name}.email_needs_prioritization": (
            (_name, {**_more, "recipients": [_kim]}),
            ["recipients[0]", "prioritization"],
        ),
        f"{_name}.create_needs_attributes": (
            (
                _name,
                {
                    **_more,
                    "recipients": [{"external_user_id": "person-1", "send_to_existing_only": False, "attributes": {}}],
                },
            ),
            ["recipients[0]", "send_to_existing_only", "attributes"],
        ),
        f"{_name}.no_create_for_alias": (
            (
                _name,
                {
                    **_more,
                    "recipients": [{"user_alias": ALIAS, "send_to_existing_only": False, "attributes": {"a": 1}}],
                },
            ),
            ["recipients[0]", "send_to_existing_only", "user_alias"],
        ),
        f"{_name}.{_values}": ((_name, {**_more, "broadcast": True, _values: TOO_LARGE}), [_values, "50 KB"]),
    }
    if _name.startswith("campaigns"):
        BROKEN[f"{_name}.send_id"] = (
            (_name, {**_more, "broadcast": True, "send_id": "private-" * 9}),
            ["send_id", "64"],
        )
    if "schedule" in _more:
        _bare = {key: value for key, value in _more.items() if key != "schedule"}
        BROKEN[f"{_name}.schedule_required"] = ((_name, {**_bare, "broadcast": True}), ["schedule"])
BROKEN |= {
    "campaigns_trigger_send.attachments_not_broadcast": BROKEN["attachment.#0"],
    "campaigns_trigger_send.attachments": (
        (
            "campaigns_trigger_send",
            {**OF_CAMPAIGN, "recipients": RECIPIENTS[:1], "attachments": [{"file_name": "private.pdf"}]},
        ),
        ["attachments[0].url"],
    ),
}
for _name, _bare in {
    "campaigns_data_series": OF_CAMPAIGN,
    "sends_data_series": {**OF_CAMPAIGN, "send_id": "weekly"},
    "segments_data_series": {"segment_id": SEGMENT},
}.items():
    BROKEN |= {
        f"{_name}.length": ((_name, {**_bare, "length": 101}), ["length", "100"]),
        f"{_name}.ending_at": ((_name, {**_bare, **SERIES, "ending_at": "yesterday"}), ["ending_at", "ISO 8601"]),
    }
for _name in ("canvas_data_series", "canvas_data_summary"):
    BROKEN |= {
        f"{_name}.length": ((_name, {**CANVAS_SERIES, "length": "15"}), ["length", "14"]),
        f"{_name}.range": ((_name, {**OF_CANVAS, "ending_at": "2031-04-07T00:00:00Z"}), ["length", "starting_at"]),
    }

_ACCEPTED = "an accepted combination; what it narrows is Braze's work"
_ADVICE = "advice, or what Braze makes of it without refusing"
_WORKSPACE = "only the workspace knows"
CANNOT_BE_BROKEN = {
    "messages_send.ids_and_segment_intersect": _ACCEPTED,
    "messages_send.recipients_must_exist": _WORKSPACE,
    "transactional_send.dedup_24h": "needs two calls; see test_operator_endpoints.py",
    "messages_scheduled_broadcasts.url_encode": "how httpx writes a query",
    "live_activity_start.notification": _ADVICE,
    "users_export_ids.phone": _ADVICE,
    "recipient.dedup_in_request": _ACCEPTED,
    "recipient.existing_only_true": _WORKSPACE,
    "recipient.existing_only_false": _WORKSPACE,
    "recipient.still_filtered": _WORKSPACE,
    "user_alias.#0": _WORKSPACE,
    "schedule.both_flags": "left open by the contract; see OPEN",
    "schedule.overwrite": _ACCEPTED,
    "trigger_properties.#1": "any JSON value",
    "trigger_properties.#2": "unknown fields are let through",
    "trigger_properties.#3": _WORKSPACE,
    "context.#1": _ACCEPTED,
    "context.#2": _WORKSPACE,
    "attachment.#1": _WORKSPACE,
    "attachment.url": _WORKSPACE,
    "messages.#1": _WORKSPACE,
    "android_push.priority": _ADVICE,
    "android_push.collapse_key": _ADVICE,
    "android_push.push_icon_image_url": _WORKSPACE,
    "kindle_push.priority": _ADVICE,
    "web_push.image_url": _WORKSPACE,
    "web_push.time_to_live": "a unit",
    "email.bcc": _WORKSPACE,
    "email.body": "any text is HTML",
    "email.preheader": _ADVICE,
    "content_card.title": "a liberty",
    "content_card.time_to_live": "a unit",
    "whats_app.#0": "the media are in the template, not in the body",
    "user_attributes.phone": _ADVICE,
    "user_attributes.country": _ADVICE,
    "user_attributes.language": _ADVICE,
} | {
    f"{name}.{rule}": _ACCEPTED
    for name in TRIGGERS
    for rule in ("audience_only", "recipients_and_audience", "dashboard_segment_intersection")
}
NOT_SENT_BY_THIS_PACKAGE = ("event", "purchase", "transactional_postback")
