"""The changes of the gateway's backends, and of the named values that they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.errors import NewerVersion, NotManaged
from shared.marker import Marker
from shared.resources.actual import ActualBackend, ActualNamedValue
from shared.resources.backends import Backend, NamedValue, unreadable_secret
from shared.resources.plan import Change, Create, Delete, Refused, Update, refusal


@dataclass(frozen=True, slots=True)
class Changes:
    """`wanted` are written before the policy that names the objects, `unwanted` after the one that does
    not.
    """

    wanted: tuple[Change, ...] = ()
    unwanted: tuple[Change, ...] = ()
    refused: tuple[Refused, ...] = ()

    @property
    def left_to_newer(self) -> bool:
        """Whether a newer version maintains a wanted object: nothing is written that names it."""
        return any(each.error is NewerVersion for each in self.refused)


def backend_changes(desired: Iterable[Backend], marker: Marker, actual: Iterable[ActualBackend]) -> Changes:
    existing = {backend.name: backend for backend in actual}
    wanted: list[Change] = []
    refused: list[Refused] = []
    for backend in desired:
        known = existing.pop(backend.name, None)
        if known is None:
            wanted.append(Create("backend", backend.name, backend))
        elif left := refusal("backend", backend.name, f"backend {backend.name}", marker, known.marker):
            refused += left
        elif not known.equivalent_to(backend):
            wanted.append(Update("backend", backend.name, known.etag, backend))
    return Changes(tuple(wanted), tuple(unwanted_backends(marker, existing.values())), tuple(refused))


def unwanted_backends(marker: Marker, actual: Iterable[ActualBackend]) -> Iterator[Change]:
    """Delete those that are the owner's, and that no newer version maintains."""
    return (Delete("backend", known.name, known.etag) for known in actual if marker.may_change(known.marker))


def named_value_changes(desired: Iterable[NamedValue], actual: Iterable[ActualNamedValue]) -> Changes:
    existing = {value.name: value for value in actual}
    wanted: list[Change] = []
    refused: list[Refused] = []
    for value in desired:
        known = existing.pop(value.name, None)
        if known is None:
            wanted.append(Create("named value", value.name, value))
        elif not known.ours:
            text = f"there is a named value {value.name} that is not managed by mergekey: rename or remove it"
            refused.append(Refused("named value", value.name, NotManaged, text))
        elif known.url != value.url:
            wanted.append(Update("named value", value.name, known.etag, value))
        elif known.unreadable:
            # The service reads the secret again when its named value is written.
            cause = unreadable_secret(value.url, known.unreadable).message
            wanted.append(Update("named value", value.name, known.etag, value, cause))
    unwanted = (Delete("named value", known.name, known.etag) for known in existing.values() if known.ours)
    return Changes(tuple(wanted), tuple(unwanted), tuple(refused))
