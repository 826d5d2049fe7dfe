"""The stored objects, with their versions, the owners of their fields, and what changed lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.errors import expired
from standins.kubernetes.kinds import NAMESPACE, STORED, Kind, Object
from standins.kubernetes.ownership import Owners, managed_fields
from standins.store import Store, Table
from standins.world import Options


@dataclass(frozen=True)
class Key:
    """Which object. `namespace` is empty for an object of the whole cluster."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.resource}/{self.namespace}/{self.name}"

    @property
    def home(self) -> str:
        """The namespace that the object is in, or is; empty for any other object of the whole cluster."""
        return self.name if self.kind is NAMESPACE else self.namespace


@dataclass(frozen=True)
class Change:
    """One write: the object before (None: it is new) and after it (None: it is gone)."""

    version: int
    resource: str
    namespace: str
    name: str
    before: Object | None
    after: Object | None

    def concerns(self, kind: Kind, namespace: str | None) -> bool:
        return self.resource == kind.resource and namespace in (None, self.namespace)


class Objects:
    """A table of objects by key, with an index by kind and namespace.

    What changed is remembered up to the option `watch_history` and not over a restart: an older version is
    410 Gone.
    """

    def __init__(self, store: Store, options: Options) -> None:
        self.options = options
        self._objects: Table = store.table("objects")
        self._owners: Table = store.table("field_owners")
        self._kept: Table = store.table("kept")
        self._index: dict[tuple[str, str], dict[str, str]] = {}
        self._uids: set[str] = set()
        for text, value in self._objects.items():
            self._remember(text)
            self._uids.add(value["metadata"]["uid"])
        #: What controllers remember until a restart.
        self.memory: dict[str, Any] = {}
        #: By resource the version at which an object came, went or got another specification.
        self.changed: dict[str, int] = {}
        self._history: deque[Change] = deque()
        self._floor = self.version

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return int(self._kept.get("version", 1))

    @property
    def kept(self) -> Table:
        """What controllers remember."""
        return self._kept

    def find(self, key: Key) -> Object | None:
        return self._objects.get(str(key))

    def owners(self, key: Key) -> Owners:
        owners: Owners = self._owners.get(str(key), {})
        return owners

    def all(self, kind: Kind, namespace: str | None) -> Iterator[Object]:
        """The objects of a kind, in one namespace or (None) in all, by namespace and name."""
        places = (
            [(kind.resource, namespace)]
            if namespace is not None
            else sorted(place for place in self._index if place[0] == kind.resource)
        )
        for place in places:
            for _, text in sorted(self._index.get(place, {}).items()):
                yield self._objects[text]

    def inside(self, namespace: str) -> list[tuple[Key, Object]]:
        """Everything in a namespace."""
        kinds = [kind for kind in STORED.values() if kind.namespaced]
        return [
            (Key(kind, namespace, each["metadata"]["name"]), each)
            for kind in kinds
            for each in self.all(kind, namespace)
        ]

    def has_uid(self, uid: str) -> bool:
        return uid in self._uids

    def namespaces(self) -> list[str]:
        return list(self._index.get((NAMESPACE.resource, ""), {}))

    def save(self, key: Key, value: Object, owners: Owners | None = None) -> Object:
        """Write under a new resourceVersion. Without `owners` it is the server who writes, and nobody's
        fields change.
        """
        text, version = str(key), self._next_version()
        metadata = {**value["metadata"], "resourceVersion": str(version)}
        if owners is not None:
            self._owners[text] = owners
            metadata["managedFields"] = managed_fields(owners)
        saved = {**value, "metadata": metadata}
        self._note(
            Change(version, key.kind.resource, key.namespace, key.name, self._objects.get(text), saved)
        )
        self._objects[text] = saved
        self._uids.add(metadata["uid"])
        self._remember(text)
        return saved

    def remove(self, key: Key) -> None:
        """Forget the object, if it is there."""
        text = str(key)
        if (last := self._objects.get(text)) is None:
            return
        version = self._next_version()
        gone = {**last, "metadata": {**last["metadata"], "resourceVersion": str(version)}}
        self._note(Change(version, key.kind.resource, key.namespace, key.name, gone, None))
        del self._objects[text]
        self._owners.pop(text, None)
        self._uids.discard(gone["metadata"]["uid"])
        del self._index[key.kind.resource, key.namespace][key.name]

    def changes(self, kind: Kind, namespace: str | None, since: int) -> list[Change]:
        """Raises `Refused` (410) when not everything since that version is remembered."""
        if since < self._floor:
            raise expired(f"too old resource version: {since} ({self._floor})")
        return [
            change for change in self._history if change.version > since and change.concerns(kind, namespace)
        ]

    def as_of(self, kind: Kind, namespace: str | None, version: int) -> list[Object]:
        """The objects as they were at that version. Raises `Refused` (410)."""
        state = {
            (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
            for each in self.all(kind, namespace)
        }
        for change in reversed(self.changes(kind, namespace, version)):
            if change.before is None:
                state.pop((change.namespace, change.name), None)
            else:
                state[change.namespace, change.name] = change.before
        return [state[place] for place in sorted(state)]

    def _next_version(self) -> int:
        self._kept["version"] = self.version + 1
        return self.version

    def _note(self, change: Change) -> None:
        before, after = change.before or {}, change.after or {}
        if not (before and after) or before.get("spec") != after.get("spec"):
            self.changed[change.resource] = change.version
        self._history.append(change)
        while len(self._history) > self.options["watch_history"]:
            self._floor = self._history.popleft().version

    def _remember(self, text: str) -> None:
        resource, namespace, name = text.split("/")
        self._index.setdefault((resource, namespace), {})[name] = text
