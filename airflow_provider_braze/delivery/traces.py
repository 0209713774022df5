"""What Braze's profiles tell of who got a campaign or Canvas.

A profile (``/users/export/ids``) has one time for each campaign and Canvas that reached its user, the latest. See
https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Braze's clock and ours may differ: who got it shortly before counts as messaged, rather than twice.
CLOCKS_DIFFER = 60.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a profile tells of it.

    :param kind: ``campaign_id`` or ``canvas_id``.
    :param field: the list in the profile, which has to be asked for.
    :param id_field: names the campaign or Canvas in an entry of the list.
    :param times: when it reached the user, in an entry: the first of them tells of the send itself, further ones also
        of later steps.
    """

    kind: str
    field: str
    id_field: str
    times: tuple[str, ...]


TRACES = {
    trace.kind: trace
    for trace in (
        Trace("campaign_id", "campaigns_received", "api_campaign_id", ("last_received",)),
        Trace("canvas_id", "canvases_received", "api_canvas_id", ("last_entered", "last_received_message")),
    )
}


def questions_about(
    people: Sequence[Mapping[str, Any]], trace: Trace
) -> Iterator[tuple[dict[int, Mapping[str, Any]], dict[str, Any]]]:
    """Ask for ids and aliases together, for addresses and Braze's own ids one by one.

    :param people: at most 50 of them have an id, and at most 50 an alias.
    :return: the places of those whom a question is about, and the question.
    """
    fields = {"fields_to_export": ["external_id", "user_aliases", "braze_id", "email", trace.field]}
    ids = {place: whom for place, whom in enumerate(people) if "external_user_id" in whom}
    aliases = {place: whom for place, whom in enumerate(people) if "user_alias" in whom}
    if ids:
        yield ids, {"external_ids": [str(whom["external_user_id"]) for whom in ids.values()], **fields}
    if aliases:
        yield aliases, {"user_aliases": [whom["user_alias"] for whom in aliases.values()], **fields}
    for place, whom in enumerate(people):
        if "email" in whom:
            yield {place: whom}, {"email_address": whom["email"], **fields}
        elif "braze_id" in whom:
            yield {place: whom}, {"braze_id": whom["braze_id"], **fields}


def is_user(whom: Mapping[str, Any], user: Mapping[str, Any]) -> bool:
    """Tell whether a profile, among those that a question brought, is that of a recipient."""
    if "external_user_id" in whom:
        return str(whom["external_user_id"]) == str(user.get("external_id"))
    if alias := whom.get("user_alias"):
        return any(
            known.get("alias_name") == alias["alias_name"] and known.get("alias_label") == alias["alias_label"]
            for known in user.get("user_aliases") or []
        )
    # Only they were asked for; whichever of the profiles with an address got it, the person did.
    return True


def has_received(user: Mapping[str, Any], trace: Trace, program: str, since: float, *, by_send: bool = False) -> bool:
    """Tell whether a campaign or Canvas reached a user since then.

    :param since: in epoch seconds.
    :param by_send: whether only the send itself counts, and not a later step of an earlier one; a profile that does not
        tell when that was is judged by what it tells.
    :raises ValueError: the profile cannot be read; ``AttributeError`` and ``TypeError`` say the same.
    """
    for entry in user.get(trace.field) or []:
        if str(entry.get(trace.id_field)) == program:
            moments = [_epoch(entry[name]) for name in trace.times if entry.get(name)]
            return any(moment >= since - CLOCKS_DIFFER for moment in moments[: 1 if by_send else None])
    return False


def _epoch(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
