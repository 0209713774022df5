"""Which of several parts of an audience somebody belongs to.

The answer hangs on the identity alone, so every task that reads the audience gives the same one: whatever the order of
the rows, however often and in whatever spelling a person appears, on every machine and version of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

MOST_PARTS = 1000


def check_count(count: Any) -> None:
    """Hold a number of parts against what can be meant.

    :raises ValueError: it is none.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_PARTS:
        raise ValueError(f"partitions() takes a whole number from 1 to {MOST_PARTS:,}")


def placing(count: int) -> Callable[[Any], int]:
    """Give what tells the part, from 0, of an entry: a recipient object or a plain external user id, not validated.

    Entries that name nobody belong to the first part, so that one task counts them.

    :param count: how many parts there are.
    """
    from airflow_provider_braze.api.models.recipients import identity_of

    nobody = {"", "u", "e", identity_of({})}

    def place(entry: Any) -> int:
        recipient: Any = {"external_user_id": entry} if isinstance(entry, str | int) else entry
        try:
            identity = identity_of(recipient) if _is_plain(recipient) else ""
        except (AttributeError, KeyError, TypeError, ValueError):
            return 0
        return 0 if identity in nobody else _hash(identity) % count

    return place


def _is_plain(recipient: Any) -> bool:
    """The text of any other object may tell its place in memory, which is another one in every task."""
    if not isinstance(recipient, Mapping):
        return False
    user_id = recipient.get("external_user_id")
    if user_id is not None:
        return isinstance(user_id, str | int)
    alias = recipient.get("user_alias") or {}
    names = (recipient.get("email"), recipient.get("braze_id"), alias.get("alias_name"), alias.get("alias_label"))
    return all(isinstance(name, str | None) for name in names)


def _hash(identity: str) -> int:
    return int.from_bytes(sha256(identity.encode(errors="surrogatepass")).digest()[:8], "big")
