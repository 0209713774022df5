"""Push, web, e-mail and SMS: channel objects of ``messages``.

Rules: https://www.braze.com/docs/api/objects_filters/#messaging-objects.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StrictStr, model_validator

from airflow_provider_braze.api.models.common import BrazeModel, DateTime, NonEmpty, json_size
from airflow_provider_braze.api.models.recipients import Attachment

APPLE_BYTES = 1912
ANDROID_BYTES = 4000
ANDROID_SECONDS = 2_419_200


class Channel(BrazeModel):
    """What every channel has: the variation of the API campaign that the message counts for."""

    message_variation_id: NonEmpty | None = None


class AppleAlert(BrazeModel):
    """A notification's text in parts."""

    body: StrictStr | None = None
    title: StrictStr | None = None
    title_loc_key: StrictStr | None = None
    title_loc_args: list[StrictStr] | None = None
    action_loc_key: StrictStr | None = None
    loc_key: StrictStr | None = None
    loc_args: list[StrictStr] | None = None
    sound: StrictStr | None = None


class AppleButton(BrazeModel):
    """A button of a notification's category."""

    action_id: NonEmpty
    action: Literal["OPEN_APP", "URI", "DEEP_LINK", "CLOSE"] | None = None
    uri: StrictStr | None = None
    use_webview: StrictBool | None = None


class ApplePush(Channel):
    """A push to iOS, at most 1912 bytes."""

    alert: StrictStr | AppleAlert | None = None
    badge: StrictInt | None = None
    sound: StrictStr | None = None
    extra: dict[str, Any] | None = None
    content_available: Annotated[StrictBool | None, Field(alias="content-available")] = None
    interruption_level: Literal["passive", "active", "time-sensitive", "critical"] | None = None
    relevance_score: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    expiry: DateTime | None = None
    custom_uri: StrictStr | None = None
    use_webview: StrictBool | None = None
    notification_group_thread_id: StrictStr | None = None
    asset_url: StrictStr | None = None
    asset_file_type: Literal["aif", "gif", "jpg", "m4a", "mp3", "mp4", "png", "wav"] | None = None
    collapse_id: StrictStr | None = None
    mutable_content: StrictBool | None = None
    send_to_most_recent_device_only: StrictBool | None = None
    category: StrictStr | None = None
    buttons: list[AppleButton] | None = None
    apns_priority: Annotated[StrictInt, Field(ge=1, le=10)] | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        if not self.content_available:
            body = self.alert.body if isinstance(self.alert, AppleAlert) else self.alert
            if body is None:
                raise ValueError("alert (as a text, or with a body) is needed, unless content-available is true")
        if reserved := {"ab", "aps"} & set(self.extra or {}):
            raise ValueError(f"extra must not hold {' or '.join(sorted(reserved))}: the names are reserved")
        if self.asset_url is not None and self.asset_file_type is None:
            raise ValueError("asset_url needs asset_file_type beside it")
        if self.buttons and self.category is None:
            raise ValueError("buttons need a category beside them")
        size = json_size(self.model_dump(mode="json", exclude_none=True))
        if size > APPLE_BYTES:
            raise ValueError(f"is {size} bytes, Braze takes at most {APPLE_BYTES}")
        return self


class LinkButton(BrazeModel):
    """A button of an Android or web push."""

    text: NonEmpty
    action: Literal["OPEN_APP", "URI", "DEEP_LINK", "CLOSE"] | None = None
    uri: StrictStr | None = None
    use_webview: StrictBool | None = None


class WebButton(LinkButton):
    """A button of a web push, which has no deep links."""

    action: Literal["OPEN_APP", "URI", "CLOSE"] | None = None


class ConversationMessage(BrazeModel):
    """One line of an Android conversation."""

    text: NonEmpty
    timestamp: StrictInt
    person_id: NonEmpty


class ConversationPerson(BrazeModel):
    """Somebody in an Android conversation."""

    id: NonEmpty
    name: NonEmpty


class AndroidConversation(BrazeModel):
    """Shows an Android push as a conversation."""

    shortcut_id: NonEmpty
    reply_person_id: NonEmpty
    messages: list[ConversationMessage]
    persons: list[ConversationPerson]


class AndroidPush(Channel):
    """A push to Android; alert and extra at most 4000 bytes."""

    alert: StrictStr | None = None
    title: StrictStr | None = None
    extra: dict[str, Any] | None = None
    notification_channel_id: StrictStr | None = None
    priority: StrictInt | None = None
    android_priority: Literal["normal", "high"] | None = None
    send_to_sync: StrictBool | None = None
    collapse_key: StrictStr | None = None
    sound: StrictStr | None = None
    custom_uri: StrictStr | None = None
    use_webview: StrictBool | None = None
    summary_text: StrictStr | None = None
    time_to_live: Annotated[StrictInt, Field(le=ANDROID_SECONDS)] | None = None
    notification_id: StrictInt | None = None
    push_icon_image_url: StrictStr | None = None
    accent_color: StrictInt | None = None
    send_to_most_recent_device_only: StrictBool | None = None
    buttons: list[LinkButton] | None = None
    conversation_data: AndroidConversation | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        if self.send_to_sync and (self.alert is not None or self.title is not None):
            raise ValueError("send_to_sync true sends no visible message: leave out alert and title")
        if not self.send_to_sync and (self.alert is None or self.title is None):
            raise ValueError("alert and title are both needed, unless send_to_sync is true")
        size = len((self.alert or "").encode()) + (json_size(self.extra) if self.extra else 0)
        if size > ANDROID_BYTES:
            raise ValueError(f"alert and extra are {size} bytes together, Braze takes at most {ANDROID_BYTES}")
        return self


class KindlePush(Channel):
    """A push to Kindle and Fire OS."""

    alert: NonEmpty
    title: NonEmpty
    extra: dict[str, Any] | None = None
    priority: StrictInt | None = None
    collapse_key: StrictStr | None = None
    sound: StrictStr | None = None
    custom_uri: StrictStr | None = None


class WebPush(Channel):
    """A push to browsers."""

    alert: NonEmpty
    title: NonEmpty
    extra: dict[str, Any] | None = None
    custom_uri: StrictStr | None = None
    image_url: StrictStr | None = None
    large_image_url: StrictStr | None = None
    require_interaction: StrictBool | None = None
    time_to_live: StrictInt | None = None
    send_to_most_recent_device_only: StrictBool | None = None
    buttons: list[WebButton] | None = None


class Email(Channel):
    """An e-mail; its body may come from a template of the dashboard."""

    app_id: NonEmpty
    # Liquid may make the whole of it.
    sender: Annotated[StrictStr, Field(alias="from", pattern=r"^\s*\S.*<[^<>\s]+@[^<>\s]+>\s*$|\{\{")]
    subject: StrictStr | None = None
    reply_to: StrictStr | None = None
    bcc: StrictStr | None = None
    body: StrictStr | None = None
    plaintext_body: StrictStr | None = None
    preheader: StrictStr | None = None
    email_template_id: StrictStr | None = None
    extras: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    should_inline_css: StrictBool | None = None
    attachments: list[Attachment] | None = None

    @model_validator(mode="after")
    def _has_a_body(self) -> Self:
        if self.body is None and self.email_template_id is None:
            raise ValueError("body is needed, unless email_template_id is given")
        return self


class Sms(Channel):
    """An SMS, or with media an MMS."""

    subscription_group_id: NonEmpty
    body: NonEmpty
    app_id: NonEmpty
    media_items: list[Any] | None = None
    link_shortening_enabled: StrictBool | None = None
    user_click_tracking_enabled: StrictBool | None = None

    @model_validator(mode="after")
    def _tracks_short_links_only(self) -> Self:
        if self.user_click_tracking_enabled and not self.link_shortening_enabled:
            raise ValueError("user_click_tracking_enabled needs link_shortening_enabled true")
        return self
