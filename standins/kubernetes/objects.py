"""The stored objects, with their versions and the owners of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standins.kubernetes.kaito import Options, stamp
from standins.kubernetes.kinds import NAMESPACE, Kind, Object
from standins.kubernetes.ownership import Owners, managed_fields
from standins.store import Store, Table


@dataclass(frozen=True)
class Key:
    """Which object. `namespace` is empty for a namespace itself."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.resource}/{self.namespace}/{self.name}"

    @property
    def home(self) -> str:
        """The namespace that the object is in, or is."""
        return self.namespace or self.name


class Objects:
    """A table of objects by key, with an index by kind and namespace."""

    def __init__(self, store: Store) -> None:
        self._objects: Table = store.table("objects")
        self._owners: Table = store.table("owners")
        self._kept: Table = store.table("kept")
        self._index: dict[tuple[str, str], dict[str, str]] = {}
        for text in self._objects:
            self._remember(text)

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return int(self._kept.get("version", 1))

    @property
    def options(self) -> Options:
        return Options(**self._kept.get("options", {}))

    def set_options(self, changes: dict[str, Any]) -> None:
        """Raises TypeError for an option that does not exist."""
        changed = {**self._kept.get("options", {}), **changes}
        Options(**changed)
        self._kept["options"] = changed

    def find(self, key: Key) -> Object | None:
        return self._objects.get(str(key))

    def owners(self, key: Key) -> Owners:
        owners: Owners = self._owners.get(str(key), {})
        return owners

    def all(self, kind: Kind, namespace: str | None) -> Iterator[Object]:
        """The objects of a kind, in one namespace or (None) in all, by namespace and name."""
        places = [place for place in self._index if place[0] == kind.resource and namespace in (None, place[1])]
        for place in sorted(places):
            for _, text in sorted(self._index[place].items()):
                yield self._objects[text]

    def namespaces(self) -> list[str]:
        return list(self._index.get((NAMESPACE.resource, ""), {}))

    def save(self, key: Key, value: Object, owners: Owners | None, now: float) -> None:
        """Write under a new resourceVersion. Without `owners` it is the server who writes, and nobody's fields change."""
        text = str(key)
        if owners is not None:
            self._owners[text] = owners
            value["metadata"]["managedFields"] = managed_fields(owners, key.kind.api_version, stamp(now))
        self._kept["version"] = self.version + 1
        value["metadata"]["resourceVersion"] = str(self.version)
        self._objects[text] = value
        self._remember(text)

    def remove(self, key: Key) -> None:
        """Forget the object, if it is there."""
        text = str(key)
        if text in self._objects:
            self._kept["version"] = self.version + 1
            del self._objects[text]
            self._owners.pop(text, None)
            del self._index[key.kind.resource, key.namespace][key.name]

    def _remember(self, text: str) -> None:
        resource, namespace, name = text.split("/")
        self._index.setdefault((resource, namespace), {})[name] = text
