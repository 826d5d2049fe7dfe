"""Which of a team's two keys are renewed, now or later. Pure: `shared.stages.renew_key` does it.

A subscription has two slots, the primary and the secondary key, and each has a secret, whose tag `reader`
names the group that may read the key. A key is *exposed* when a group could read it that may not read it any
more. It stays so until its slot is renewed: value, fingerprint and reader change in one write. The secondary
is renewed at once. The team's services use the primary: it stays valid for the overlap, and its secret says
since when it is exposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.marker import format_time, read_time
from shared.resources.actual import SecretVersion

#: The tag of an exposed key that works on: since when, as `format_time` writes it. Written once, and gone
#: with the key.
EXPOSED = "exposed-since"
PRIMARY, SECONDARY = 0, 1
#: The secondary is renewed first: the primary stays valid until the new secondary is in the vault.
_ORDER = (SECONDARY, PRIMARY)


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the two keys: the tags of its secret's newest version, None where there is none, and the
    fingerprint of the key that the gateway takes, None where it was not asked. `older` are the tags of the
    versions below, where those were read: lists show the newest one only.
    """

    tags: Mapping[str, str] | None
    at_gateway: str | None = None
    older: Sequence[Mapping[str, str]] = ()

    @classmethod
    def of(cls, versions: Sequence[SecretVersion], at_gateway: str | None = None) -> Slot:
        """By all versions of its secret, newest first."""
        tags = [version.tags for version in versions]
        return cls(tags[0] if tags else None, at_gateway, tags[1:])

    @property
    def current_tags(self) -> Iterator[Mapping[str, str]]:
        """The tags of all versions that hold the valid key. A delivery that had not seen the secret yet may
        have written the same key once more, over the tag of its former reader.
        """
        if self.tags is not None:
            yield self.tags
            same = {self.tags.get("fingerprint"), self.at_gateway}
            yield from (tags for tags in self.older if tags.get("fingerprint") in same - {None, ""})


@dataclass(frozen=True, slots=True)
class Renewal:
    """`now` are the slots to renew, in this order; `waiting` says since when the slots are exposed whose keys
    stay valid until `until`.
    """

    now: tuple[int, ...] = ()
    waiting: Mapping[int, datetime] = field(default_factory=dict)
    until: datetime | None = None

    @property
    def nothing(self) -> bool:
        return not self.now and not self.waiting


def renewal(slots: Sequence[Slot], reader: str, now: datetime, overlap: timedelta) -> Renewal:
    """Decide which slots (primary first) of a team are renewed now and which later. `reader` is the group
    that may read the keys, empty for none. Without an overlap all exposed slots are renewed now.
    """
    exposed = {
        which: since
        for which, slot in enumerate(slots)
        if (since := exposed_since(slot, reader, now)) is not None
    }
    due = tuple(
        which
        for which in _ORDER
        if which in exposed and _is_due(which, slots[which], now - exposed[which] >= overlap)
    )
    waiting = {which: since for which, since in exposed.items() if which not in due}
    return Renewal(due, waiting, max(waiting.values()) + overlap if waiting else None)


def exposed_since(slot: Slot, reader: str, now: datetime) -> datetime | None:
    """Since when a group may have the key that may not read it any more: since now, where the secret does not
    say it yet. None when there is no such group.

    A mark stays valid when the former reader comes back, because another group could read the key in between.
    A mark in the future, from a clock that was fast, counts from now on.
    """
    marks = [tags.get(EXPOSED) for tags in slot.current_tags if _is_open(tags, reader)]
    since = min((read_time(mark) or now for mark in marks), default=None)
    return None if since is None else min(since, now).replace(microsecond=0)


def _is_open(tags: Mapping[str, str], reader: str) -> bool:
    return EXPOSED in tags or tags.get("reader", "").lower() not in ("", reader.lower())


def is_marked(tags: Mapping[str, str], since: datetime) -> bool:
    """Whether the secret carries this mark already."""
    return tags.get(EXPOSED) == format_time(since)


def _is_due(which: int, slot: Slot, is_over: bool) -> bool:
    """The overlap is for a key that services use: not for a withdrawn one, nor for one that the gateway does
    not accept any more.
    """
    assert slot.tags is not None
    dead = slot.at_gateway is not None and slot.at_gateway != slot.tags.get("fingerprint")
    return is_over or which == SECONDARY or dead or "withdrawn" in slot.tags
