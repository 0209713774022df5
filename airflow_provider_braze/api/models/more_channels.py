"""Content Cards, webhooks and WhatsApp: the other channel objects of ``messages``.

Rules: https://www.braze.com/docs/api/objects_filters/#messaging-objects.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StrictStr, ValidationError, model_validator

from airflow_provider_braze.api.models.channels import Channel
from airflow_provider_braze.api.models.common import BrazeModel, DateTime, NonEmpty, parse_time, problems_of

CARD_DAYS = 30
LIST_ROWS = 10
_INDEX = r"^\d+\z"
Variables = dict[Annotated[str, Field(pattern=_INDEX)], Any]


class ContentCard(Channel):
    """A card in an app or on a site, for 30 days at most."""

    type: Literal["CLASSIC", "CAPTIONED_IMAGE", "BANNER"]
    title: StrictStr | None = None
    description: StrictStr | None = None
    pinned: StrictBool | None = None
    image_url: StrictStr | None = None
    time_to_live: StrictInt | None = None
    expire_at: DateTime | None = None
    expire_in_local_time: StrictBool | None = None
    ios_uri: StrictStr | None = None
    android_uri: StrictStr | None = None
    web_uri: StrictStr | None = None
    ios_use_webview: StrictBool | None = None
    android_use_webview: StrictBool | None = None
    uri_text: StrictStr | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        if self.type != "BANNER" and (self.title is None or self.description is None):
            raise ValueError("title and description are needed, unless type is BANNER; the title may be empty")
        if self.type != "CLASSIC" and self.image_url is None:
            raise ValueError(f"image_url is needed for type {self.type}")
        if (self.time_to_live is None) == (self.expire_at is None):
            # With both it would be open which one counts.
            raise ValueError("exactly one of time_to_live and expire_at is needed")
        if self._lasts() > timedelta(days=CARD_DAYS):
            raise ValueError(f"must expire within {CARD_DAYS} days")
        return self

    def _lasts(self) -> timedelta:
        if self.expire_at is None:
            return timedelta(seconds=min(self.time_to_live or 0, 10**9))
        moment = parse_time(self.expire_at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)


class Webhook(Channel):
    """A request that Braze makes; a JSON body is given as text."""

    url: NonEmpty
    request_method: Literal["POST", "PUT", "DELETE", "GET"]
    request_headers: dict[str, Any] | None = None
    body: StrictStr | None = None


class TemplateMessage(BrazeModel):
    """A WhatsApp template with its variables, by index from "0"."""

    template_name: NonEmpty
    template_language_code: NonEmpty
    header_variables: Annotated[Variables, Field(max_length=1)] | None = None
    body_variables: Variables | None = None
    button_variables: Annotated[Variables, Field(min_length=1, max_length=1)] | None = None
    header_media_uri: StrictStr | None = None


class TextResponse(BrazeModel):
    """A text."""

    body: NonEmpty
    preview_url: StrictBool | None = None


class ImageResponse(BrazeModel):
    """A picture."""

    image_uri: NonEmpty
    caption: StrictStr | None = None


class ReplyButton(BrazeModel):
    """A quick reply."""

    text: NonEmpty


class QuickReplyResponse(BrazeModel):
    """A text with quick replies."""

    body: NonEmpty
    buttons: list[ReplyButton]
    header_image_uri: StrictStr | None = None
    header_text: StrictStr | None = None
    footer: StrictStr | None = None

    @model_validator(mode="after")
    def _has_one_header(self) -> Self:
        if self.header_image_uri and self.header_text:
            raise ValueError("header_image_uri and header_text exclude each other")
        return self


class ListRow(BrazeModel):
    """A choice."""

    row_title: NonEmpty
    row_description: StrictStr | None = None


class ListSection(BrazeModel):
    """Choices under a title."""

    section_title: StrictStr
    list_rows: list[ListRow]


class ChoiceList(BrazeModel):
    """Sections of choices, ten at most in all."""

    list_button_text: NonEmpty
    list_sections: Annotated[list[ListSection], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_short(self) -> Self:
        rows = sum(len(section.list_rows) for section in self.list_sections)
        if rows > LIST_ROWS:
            raise ValueError(f"list_sections hold {rows} rows, WhatsApp takes at most {LIST_ROWS}")
        return self


class ListResponse(BrazeModel):
    """A text with a list of choices."""

    body: NonEmpty
    choices: Annotated[ChoiceList, Field(alias="list")]
    header: StrictStr | None = None
    footer: StrictStr | None = None


class FlowButton(BrazeModel):
    """Opens a WhatsApp flow."""

    caption: Annotated[StrictStr, Field(min_length=1, max_length=20)]
    flow_id: NonEmpty


class FlowResponse(BrazeModel):
    """A text with a flow."""

    body: NonEmpty
    flow_button: FlowButton
    header_text: StrictStr | None = None
    footer: StrictStr | None = None
    generate_custom_attribute: StrictBool | None = None


_SHAPES: dict[str, type[BrazeModel]] = {
    "template_message": TemplateMessage,
    "text_response_message": TextResponse,
    "text_image_response_message": ImageResponse,
    "quick_reply_response_message": QuickReplyResponse,
    "list_response_message": ListResponse,
    "flow_response_message": FlowResponse,
}


class WhatsApp(Channel):
    """A WhatsApp message; the shape of ``message`` goes by ``message_type``."""

    app_id: NonEmpty
    subscription_group_id: NonEmpty
    message_type: Literal[
        "template_message",
        "text_response_message",
        "text_image_response_message",
        "quick_reply_response_message",
        "list_response_message",
        "flow_response_message",
    ]
    message: dict[str, Any]

    @model_validator(mode="after")
    def _message_has_its_shape(self) -> Self:
        try:
            _SHAPES[self.message_type].model_validate(self.message)
        except ValidationError as error:
            raise ValueError("; ".join(f"message.{problem}" for problem in problems_of(error))) from None
        return self
