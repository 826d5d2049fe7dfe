"""What can be done with the objects: create, read, apply, replace, merge, delete, with Kubernetes' rules for all of it."""

from __future__ import annotations

import uuid
from copy import deepcopy
from typing import Any

from standins.kubernetes.admission import admit_workspace, check_name, check_namespace, check_quotas
from standins.kubernetes.controllers import catch_up, mark_deleted
from standins.kubernetes.errors import Refused, already_exists, conflict, invalid, modified, not_found
from standins.kubernetes.kaito import FINALIZER, stamp
from standins.kubernetes.kinds import NAMESPACE, QUOTA, WORKSPACE, Kind, Object, defaulted
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import Conflict, Owners, Path, Writer, applied, fields, written
from standins.world import World

#: What the server alone sets; a writer's values are ignored.
_SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "finalizers", "resourceVersion", "managedFields")


class Cluster:
    """Every operation first lets the controllers catch up with the clock, and once more after a write."""

    def __init__(self, world: World) -> None:
        self.objects = Objects(world.store("kubernetes"))
        self._world = world

    def get(self, key: Key) -> Object:
        """Raises `Refused` (404)."""
        self._catch_up(key.home)
        return self._current(key)

    def list(self, kind: Kind, namespace: str | None) -> list[Object]:
        for name in self.objects.namespaces() if namespace is None else [namespace]:
            self._catch_up(name)
        return list(self.objects.all(kind, namespace if kind.namespaced else None))

    def create(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key.home)
        if self.objects.find(key) is not None:
            raise already_exists(key.kind, key.name)
        wanted = defaulted(key.kind, _clean(value))
        return self._create(key, wanted, written({}, wanted, {}, writer))

    def apply(self, key: Key, value: Object, writer: Writer) -> tuple[Object, bool]:
        """Server-side apply: the object, and whether it is new. Raises `Refused`, for instance when another manager owns a field."""
        self._catch_up(key.home)
        wanted = _clean(value)
        want = _completed(key.kind, wanted)
        if self.objects.find(key) is None:
            if value["metadata"].get("resourceVersion"):
                raise modified(key.kind, key.name)
            return self._create(key, defaulted(key.kind, wanted), applied({}, want, {}, writer)[1]), True
        live = self._checked(key, value)
        try:
            merged, owners = applied(live, want, self.objects.owners(key), writer)
        except Conflict as problem:
            raise _objection(key, problem) from problem
        return self._update(key, live, defaulted(key.kind, merged), owners), False

    def replace(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key.home)
        live = self._checked(key, value)
        if key.kind.is_custom and not value["metadata"].get("resourceVersion"):
            raise invalid(key.kind, key.name, "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update")
        return self._overwrite(key, live, _clean(value), writer)

    def merge(self, key: Key, patch: Object, writer: Writer) -> Object:
        """A merge patch (RFC 7386). Raises `Refused`."""
        self._catch_up(key.home)
        live = self._checked(key, patch)
        return self._overwrite(key, live, _clean(_merged(live, patch)), writer)

    def delete(self, key: Key, preconditions: dict[str, str]) -> Object | None:
        """The object if it takes time to go, None if it is gone. Raises `Refused` (404, 409)."""
        self._catch_up(key.home)
        live = self._current(key)
        for name, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            wanted, actual = preconditions.get(name), live["metadata"][name]
            if wanted is not None and wanted != actual:
                why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {actual}"
                raise conflict(key.kind, key.name, why)
        mark_deleted(self.objects, key, self._world.clock.now())
        self._catch_up(key.home)
        return self.objects.find(key)

    def _catch_up(self, namespace: str) -> None:
        catch_up(self.objects, namespace, self._world.clock.now())

    def _current(self, key: Key) -> Object:
        value = self.objects.find(key)
        if value is None:
            raise not_found(key.kind, key.name)
        return value

    def _checked(self, key: Key, value: Object) -> Object:
        """The live object, if the writer saw its newest version or did not say what it saw."""
        live = self._current(key)
        seen = value.get("metadata", {}).get("resourceVersion")
        if seen and seen != live["metadata"]["resourceVersion"]:
            raise modified(key.kind, key.name)
        return live

    def _create(self, key: Key, value: Object, owners: Owners) -> Object:
        check_name(key.kind, key.name)
        metadata = value["metadata"]
        if key.kind.namespaced:
            check_namespace(key.kind, key.name, self.objects.find(Key(NAMESPACE, "", key.namespace)), key.namespace)
            metadata["namespace"] = key.namespace
        if key.kind.plural == WORKSPACE.plural:
            admit_workspace(key.kind, value, None)
            metadata["finalizers"] = [FINALIZER]
        if key.kind.namespaced:
            quotas, others = self.objects.all(QUOTA, key.namespace), self.objects.all(key.kind, key.namespace)
            check_quotas(key.kind, key.name, list(quotas), sum(1 for _ in others))
        if key.kind is NAMESPACE:
            value["status"] = {"phase": "Active"}
        now = self._world.clock.now()
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(now), "generation": 1}
        return self._saved(key, value, owners)

    def _overwrite(self, key: Key, live: Object, wanted: Object, writer: Writer) -> Object:
        value = defaulted(key.kind, wanted | {"apiVersion": live["apiVersion"], "kind": live["kind"]})
        value["metadata"] |= {name: live["metadata"][name] for name in _SERVER_FIELDS if name in live["metadata"]}
        if "status" in live:
            value["status"] = live["status"]
        return self._update(key, live, value, written(live, value, self.objects.owners(key), writer))

    def _update(self, key: Key, live: Object, value: Object, owners: Owners) -> Object:
        """Write unless nothing differs: then even the resourceVersion stays."""
        if key.kind.plural == WORKSPACE.plural:
            admit_workspace(key.kind, value, live)
        if value == live and owners == self.objects.owners(key):
            return live
        if _specification(value) != _specification(live):
            value["metadata"]["generation"] = live["metadata"]["generation"] + 1
        return self._saved(key, value, owners)

    def _saved(self, key: Key, value: Object, owners: Owners) -> Object:
        self.objects.save(key, {**value, "apiVersion": key.kind.api_version, "kind": key.kind.name}, owners, self._world.clock.now())
        self._catch_up(key.home)
        return self._current(key)


def _clean(value: Object) -> Object:
    """What a writer may say."""
    cleaned = deepcopy({name: part for name, part in value.items() if name != "status"})
    cleaned["metadata"] = {name: part for name, part in cleaned["metadata"].items() if name not in _SERVER_FIELDS}
    return cleaned


def _completed(kind: Kind, wanted: Object) -> dict[Path, Any]:
    """The fields that are applied, as the schema completes them: what it defaults within a list is neither a change nor a conflict."""
    completed = fields(defaulted(kind, wanted))
    return {path: completed[path] for path in fields(wanted) if path in completed}


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), part)
    return merged


def _specification(value: Object) -> Object:
    return {name: part for name, part in value.items() if name not in ("apiVersion", "kind", "metadata", "status")}


def _objection(key: Key, problem: Conflict) -> Refused:
    """What the server says when fields belong to others: 409, with a cause per field."""
    causes = []
    for path, owner in sorted(problem.fields.items()):
        message = f'conflict with "{owner.partition(" ")[2]}" using {key.kind.api_version}'
        causes.append({"reason": "FieldManagerConflict", "message": message, "field": "." + ".".join(path)})
    texts = "\n".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    number = f"{len(causes)} conflict" + ("s" if len(causes) > 1 else "")
    return Refused(409, "Conflict", f"Apply failed with {number}: {texts}", causes)
