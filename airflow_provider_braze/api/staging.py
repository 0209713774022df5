"""The staging list: the only people whom a connection for trying things out may message.

With such a list, every request that could message somebody is held against it before it leaves. A request to others is
refused, or goes to people of the list instead. Requests that name nobody, such as a broadcast, are always refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from string import whitespace
from typing import Any

from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeGuardError, identity_hash
from airflow_provider_braze.api.models.common import USER_ID_BYTES
from airflow_provider_braze.api.models.recipients import IDENTIFIERS, RecipientFields, identity_of
from airflow_provider_braze.api.models.responses import Listing

log = logging.getLogger(__name__)
MOST_NAMES = 5
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_PEOPLE_FIELDS = ("recipients", "external_user_ids", "user_aliases", "recipient")
# What a test recipient gets to see. The rest stays behind: a stranger's attributes would be written to their profile.
_VALUES = ("trigger_properties", "context", "canvas_entry_properties")
_IDS = frozenset(("schedule_id", "campaign_id", "canvas_id"))
_REACHES_OTHERS = "a broadcast, a segment or an audience reaches others"
NO_ATTRIBUTES = "the profile attributes of test recipients are left out, as they could lead a message elsewhere"
_WAY_ON = (
    "Add them to the connection's extra test_recipients, set test_recipients_others to 'rewrite' so that test "
    "recipients get it instead, or use another connection."
)


class StagingList:
    """People whom a connection may message, and nobody else.

    :param entries: external user ids and e-mail addresses. What holds an @ is an address; it stands for an external
        user id that reads the same, too.
    :param rewrite: whether what is meant for others goes to these people instead. Otherwise it is refused.
    :raises BrazeConfigurationError: an entry is neither, or there is none.
    """

    def __init__(self, entries: Iterable[str | int], *, rewrite: bool = False) -> None:
        self.rewrite = rewrite
        people = [_person(place, entry) for place, entry in enumerate(entries, start=1)]
        if not people:
            raise BrazeConfigurationError(
                "The connection's extra 'test_recipients' holds nobody: put external user ids or e-mail addresses into "
                "it, or take it out to let the connection message everybody."
            )
        self._people = _distinct(people)
        addresses = {str(person["email"]) for person in people if "email" in person}
        ids = [identity_of(person) for person in people if "external_user_id" in person]
        self._identities = frozenset((*ids, *map(_folded, addresses), *(f"u{address}" for address in addresses)))

    def __len__(self) -> int:
        return len(self._people)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}, {'rewrites' if self.rewrite else 'refuses'} others>"

    def knows(self, recipient: Any) -> bool:
        """Tell whether a recipient is in the list."""
        if not isinstance(recipient, Mapping):
            return False
        given = {name: recipient[name] for name in IDENTIFIERS if recipient.get(name) is not None}
        kinds = {"external_user_id": str | int, "email": str}
        if len(given) != 1 or not all(isinstance(value, kinds.get(name, ())) for name, value in given.items()):
            return False
        if "email" in given:
            return _folded(given["email"]) in self._identities
        return identity_of(given) in self._identities  # type: ignore[arg-type]

    def testers(self, endpoint: Endpoint) -> list[RecipientFields]:
        """Give the people of the list, as an endpoint takes them.

        :raises BrazeGuardError: the list has e-mail addresses only, and the endpoint takes none.
        """
        if endpoint.batch_field == "recipients":
            # Nor may a mistyped entry make a new profile.
            flag: RecipientFields = {"send_to_existing_only": True}
            return [person | flag for person in self._people]
        named = [person for person in self._people if "external_user_id" in person]
        if not named:
            raise BrazeGuardError(
                f"{endpoint.name} takes no e-mail addresses, and the connection's extra test_recipients holds nothing "
                "else: nothing was sent. Add an external user id to it."
            )
        return named

    def stand_ins(self, endpoint: Endpoint) -> Iterator[RecipientFields]:
        """Give the people of the list in turn, for ever: the first stranger's message goes to the first of them."""
        testers = self.testers(endpoint)
        return (testers[place % len(testers)] for place in count())

    def admit(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        """Give the body that may be sent: the same one, or one that goes to people of the list.

        :param endpoint: the call.
        :param body: valid by the endpoint's rules.
        :raises BrazeGuardError: nothing of it may be sent.
        """
        if _changes_schedule(endpoint):
            raise self._unseen(endpoint)
        body = self._without_attributes(endpoint, body)
        if self.rewrite and messages_people(endpoint) and not _names_nobody(body):
            body = self._redirected(endpoint, body)
        self.check(endpoint, body)
        return body

    def check(self, endpoint: Endpoint, body: Mapping[str, Any]) -> None:
        """Refuse a body that could message anybody else.

        A change of a schedule passes: bodies that are ready come from a plan that was held against the list, for
        schedules that were made over the same connection.

        :raises BrazeGuardError: it could; nothing was sent.
        """
        if not messages_people(endpoint) or _changes_schedule(endpoint):
            return
        if endpoint.repeatable:
            raise self._unseen(endpoint)
        if _names_nobody(body):
            raise self.refusal(endpoint)
        people = _people_in(body)
        if any(isinstance(person, Mapping) and person.get("attributes") for person in people):
            raise self.refusal(
                endpoint, "attributes, such as an e-mail address, could lead it elsewhere", "Leave them out"
            )
        strangers = [person for person in people if not self.knows(person)]
        if strangers:
            names = ", ".join(name_of(person) or "unnamed" for person in strangers[:MOST_NAMES])
            raise BrazeGuardError(
                f"{endpoint.name}: {len(strangers)} of {len(people)} recipients are not among the connection's "
                f"test_recipients, nothing was sent: {names}{', ...' if len(strangers) > MOST_NAMES else ''} (hashes). "
                f"{_WAY_ON}"
            )

    def refusal(
        self, endpoint: Endpoint, why: str = _REACHES_OTHERS, way_on: str = "Name recipients"
    ) -> BrazeGuardError:
        """Say that a call cannot be made over this connection."""
        return BrazeGuardError(
            f"{endpoint.name}: the connection may message its {len(self)} test_recipients only, and {why}: nothing was "
            f"sent. {way_on}, or use another connection."
        )

    def _unseen(self, endpoint: Endpoint) -> BrazeGuardError:
        return self.refusal(
            endpoint,
            "the call does not say whom the change reaches",
            "Delete it and make it anew, a schedule also by clearing the task that made it",
        )

    def _without_attributes(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        bare = {
            name: [without_attributes(person) for person in value]
            if isinstance(value := body[name], list)
            else without_attributes(value)
            for name in ("recipients", "recipient")
            if body.get(name) is not None
        }
        if all(bare[name] == body[name] for name in bare):
            return body
        log.info("%s: %s.", endpoint.name, NO_ATTRIBUTES)
        return body | bare

    def _redirected(self, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
        takes_all = endpoint.batch_field == "recipients"
        turn = None
        strangers = 0
        people = _people_in(body)
        for place, person in enumerate(people):
            if not self.knows(person) or not (takes_all or "external_user_id" in person):
                turn = turn or self.stand_ins(endpoint)
                people[place] = stand_in(person, next(turn))
                strangers += 1
        if not strangers:
            return body
        log.info("%s: %s.", endpoint.name, replaced(strangers, len(people), len(self)))
        distinct = _distinct(people)
        rest = {name: value for name, value in body.items() if name not in _PEOPLE_FIELDS}
        if takes_all:
            return rest | {"recipients": distinct}
        ids = [person["external_user_id"] for person in distinct]
        if endpoint.batch_field == "external_user_ids":
            return rest | {"external_user_ids": ids}
        return rest | {"recipient": {"external_user_id": ids[0]}}


def messages_people(endpoint: Endpoint) -> bool:
    """Tell whether a call could message somebody, now or later, or otherwise than they were to be.

    Of those that may be repeated, reads cannot, nor those that say no more than which schedule: they delete it.
    """
    if endpoint.repeatable:
        return endpoint.response is not Listing and not _IDS.issuperset(endpoint.request.model_fields)
    return not endpoint.messages_nobody


def _changes_schedule(endpoint: Endpoint) -> bool:
    return "schedule_id" in endpoint.request.model_fields and messages_people(endpoint)


def without_attributes(recipient: Any) -> Any:
    """Give a recipient without profile attributes: an e-mail address among them would take the message elsewhere."""
    if not isinstance(recipient, Mapping) or not recipient.get("attributes"):
        return recipient
    # Without any of them Braze cannot make a user, which it would only for this flag.
    left = (
        {"attributes", "send_to_existing_only"} if recipient.get("send_to_existing_only") is False else {"attributes"}
    )
    return {name: value for name, value in recipient.items() if name not in left}


def stand_in(recipient: Any, tester: RecipientFields) -> dict[str, Any]:
    """Make of a recipient the tester who gets the message instead, with what the recipient would have seen."""
    if not isinstance(recipient, Mapping):
        return {**tester}
    values = {name: recipient[name] for name in _VALUES if recipient.get(name) is not None}
    return {**tester, **values}


def replaced(strangers: int, people: int, testers: int) -> str:
    """Put into words what was rewritten."""
    return (
        f"{strangers:,} of {people:,} recipients are not among the connection's test_recipients; the {testers:,} test "
        "recipients stand in for them, and each gets one message"
    )


def name_of(person: Any) -> str:
    """Name somebody in a body by a hash; empty where it names nobody."""
    if isinstance(person, Mapping):
        person = next((person[name] for name in IDENTIFIERS if person.get(name) not in (None, "")), None)
        if isinstance(person, Mapping):
            person = person.get("alias_name")
    try:
        return identity_hash(str(person)) if isinstance(person, str | int) else ""
    except ValueError:  # a number that Python refuses to write
        return ""


def _person(place: int, entry: Any) -> RecipientFields:
    if problem := _problem(entry):
        raise BrazeConfigurationError(
            f"Entry {place} of the connection's extra 'test_recipients' {problem}: each must be an external user id or "
            "an e-mail address."
        )
    if isinstance(entry, str) and "@" in entry:
        return {"email": entry.strip(), "prioritization": ["identified", "most_recently_updated"]}
    return {"external_user_id": entry.strip() if isinstance(entry, str) else entry}


def _problem(entry: Any) -> str | None:
    if not isinstance(entry, str | int) or isinstance(entry, bool):
        return "is neither a text nor a whole number"
    text = str(entry)
    if not text.strip():
        return "is blank"
    if len(text.encode(errors="replace")) > USER_ID_BYTES:
        return f"is longer than {USER_ID_BYTES} bytes"
    if "@" in text and not _ADDRESS.fullmatch(text.strip()):
        return "has an @ and is no e-mail address"
    return None


def _folded(address: str) -> str:
    """An address in one spelling; look-alikes of ASCII letters, which ``lower`` takes for them, stay what they are."""
    return f"e{address.strip(whitespace).encode(errors='surrogatepass').lower().decode(errors='surrogatepass')}"


def _distinct(people: Iterable[Any]) -> list[Any]:
    """Leave the first entry of each person."""
    by_identity: dict[str, Any] = {}
    for person in people:
        by_identity.setdefault(identity_of(person), person)
    return list(by_identity.values())


def _names_nobody(body: Mapping[str, Any]) -> bool:
    return bool(body.get("broadcast")) or not _people_in(body)


def _people_in(body: Mapping[str, Any]) -> list[Any]:
    """Everybody a body names, in whatever field: what an endpoint does not know it may come to know."""
    named = {name: body[name] for name in _PEOPLE_FIELDS if body.get(name) is not None}
    listed = {name: value if isinstance(value, list | tuple) else [value] for name, value in named.items()}
    people = [*listed.get("recipients", []), *listed.get("recipient", [])]
    people += [{"external_user_id": user} for user in listed.get("external_user_ids", [])]
    return people + [{"user_alias": alias} for alias in listed.get("user_aliases", [])]
