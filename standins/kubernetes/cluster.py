"""What can be done with the objects: create, read, apply, replace, patch, delete, with Kubernetes' rules for
all of it.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from standins.kubernetes import deletion, kaito, schemas, webhook
from standins.kubernetes.admission import (
    check_deletion,
    check_namespace,
    check_object,
    check_quotas,
    check_types,
)
from standins.kubernetes.controllers import catch_up, seed
from standins.kubernetes.errors import (
    Refused,
    already_exists,
    conflict,
    invalid,
    modified,
    not_found,
    undecodable,
)
from standins.kubernetes.kinds import KINDS, NAMESPACE, NODE, QUOTA, WORKSPACE, Kind, Object, defaulted
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import Conflict, Owners, Path, Writer, applied, fields, objection, written
from standins.kubernetes.schema import Schema, Violation, apply_problem, pruned, unknown_fields
from standins.world import World

#: What the server alone sets; a writer's values are ignored.
_SERVER_FIELDS = (
    *("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    *("generation", "resourceVersion", "managedFields", "selfLink"),
)
DEFAULTS: Mapping[str, Any] = {
    # Seconds of the clock: how fast the cluster is.
    "nodes_ready_after": 360.0,
    "inference_ready_after": 720.0,
    "deleted_after": 60.0,
    # A real namespace takes some seconds to go, even an empty one.
    "namespace_deleted_after": 0.0,
    # What goes wrong: {"workspace": "<namespace>/<name>" or "*", "reason": ..., "message": ...}, or a list of
    # such. Reasons: NoQuota, NodeNeverReady, ImagePullError, BenchmarkFailed, workspaceFailed.
    "fail": None,
    # The release of KAITO: 0.6, 0.12, or by-version: whoever uses v1alpha1 sees the add-on, whoever uses
    # v1beta1 the newer release. 0.7 to 0.11 and `next` declare other fields than 0.12, and do the same.
    "kaito": "by-version",
    # Whether rights are checked; off, since nobody has any in a new cluster.
    "check_access": False,
    # Kinds whose definitions are not installed, as `httproutes.gateway.networking.k8s.io`, or not in one of
    # their versions: `workspaces.kaito.sh/v1alpha1`. Their objects stay.
    "not_served": (),
    # How many changes are remembered for watches and for the pages of a list.
    "watch_history": 5000,
}


@dataclass(frozen=True)
class Deletion:
    """What the writer asks of a deletion."""

    preconditions: dict[str, str] = field(default_factory=dict)
    propagation: str = "Background"
    dry_run: bool = False


class Cluster:
    """Every operation first lets the controllers catch up with the clock, and once more after a write."""

    def __init__(self, world: World) -> None:
        self.objects = Objects(world.store("kubernetes"), world.options_of("kubernetes", DEFAULTS))
        self._world = world
        seed(self.objects, world.clock.now())

    def get(self, key: Key) -> Object:
        """Raises `Refused` (404)."""
        self._catch_up(key)
        return self._current(key)

    def list(self, kind: Kind, namespace: str | None) -> list[Object]:
        self.look(kind, namespace)
        return list(self.objects.all(kind, namespace if kind.namespaced else None))

    def look(self, kind: Kind, namespace: str | None) -> None:
        """Let the controllers do what changes these objects."""
        concerned = kind.namespaced or kind in (NAMESPACE, NODE)
        for name in [] if not concerned else self.objects.namespaces() if namespace is None else [namespace]:
            catch_up(self.objects, name, self.now())

    def create(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key)
        if not key.name:
            if not (prefix := value["metadata"].get("generateName")):
                text = "Required value: name or generateName is required"
                raise invalid(key.kind, "", [Violation("metadata.name", "FieldValueRequired", text)])
            key = Key(
                key.kind, key.namespace, prefix + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
            )
            value = {**value, "metadata": {**value["metadata"], "name": key.name}}
        if self.objects.find(key) is not None:
            raise already_exists(key.kind, key.name)
        if value["metadata"].get("resourceVersion"):
            raise Refused(500, "", "resourceVersion should not be set on objects to be created")
        wanted = defaulted(key.kind, self.schema(key.kind), _clean(self._accepted(key, value, writer)))
        return self._create(key, wanted, written({}, self._fields(key, wanted), {}, writer), writer)

    def apply(self, key: Key, value: Object, writer: Writer) -> tuple[Object, bool]:
        """Server-side apply: the object, and whether it is new. Raises `Refused`, for instance when another
        manager owns a field.
        """
        self._catch_up(key)
        schema = self.schema(key.kind)
        if problem := apply_problem(schema, value):
            version = f"{key.kind.group}/{key.kind.version}, Kind={key.kind.name}"
            raise Refused(
                500,
                "",
                f"failed to create typed patch object ({key.namespace}/{key.name}; {version}): {problem}",
            )
        wanted = _clean(pruned(schema, value), writer.subresource)
        want = self._completed(key, wanted, writer)
        if self.objects.find(key) is None:
            if value["metadata"].get("resourceVersion") or writer.subresource:
                raise (
                    modified(key.kind, key.name) if not writer.subresource else not_found(key.kind, key.name)
                )
            return self._create(
                key, defaulted(key.kind, schema, wanted), applied({}, want, {}, {}, writer)[1], writer
            ), True
        live = self._checked(key, value)
        try:
            merged, owners = applied(
                live, want, self._fields(key, live, writer), self.objects.owners(key), writer
            )
        except Conflict as other:
            message, causes = objection(other)
            raise Refused(409, "Conflict", message, {"causes": causes}) from other
        return self._update(key, live, defaulted(key.kind, schema, merged), (owners, writer)), False

    def replace(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key)
        live = self._checked(key, value)
        if key.kind.is_custom and not value["metadata"].get("resourceVersion"):
            text = "Invalid value: 0x0: must be specified for an update"
            raise invalid(
                key.kind, key.name, [Violation("metadata.resourceVersion", "FieldValueInvalid", text)]
            )
        return self._overwrite(key, live, self._accepted(key, value, writer), writer)

    def patch(self, key: Key, edit: Callable[[Object], Object], writer: Writer) -> Object:
        """Change the object as `edit` does; what it says of the resourceVersion must be true. Raises
        `Refused`.
        """
        self._catch_up(key)
        live = self._current(key)
        edited = edit(live)
        self._checked(key, edited)
        return self._overwrite(key, live, self._accepted(key, edited, writer, is_patch=True), writer)

    def delete(self, key: Key, wish: Deletion) -> tuple[Object, bool]:
        """The object, and whether it is gone. Raises `Refused` (403, 404, 409)."""
        self._catch_up(key)
        live = self._current(key)
        check_deletion(key.kind, key.name, live, wish.preconditions)
        if wish.dry_run:
            return live, not live["metadata"].get("finalizers") and key.kind != NAMESPACE
        deletion.begin(self.objects, key, self._stamp(), wish.propagation)
        begun = self.objects.find(key)
        self._catch_up(key)
        going = self.objects.find(key)
        return going or begun or live, going is None and key.kind != NAMESPACE

    def now(self) -> float:
        return self._world.clock.now()

    def serves(self, kind: Kind) -> bool:
        """Whether the kind is served in its version."""
        return not {kind.resource, f"{kind.resource}/{kind.version}"} & {*self.objects.options["not_served"]}

    def served(self) -> tuple[Kind, ...]:
        return tuple(filter(self.serves, KINDS))

    def schema(self, kind: Kind) -> Schema:
        if kind == WORKSPACE:
            return schemas.WORKSPACES_V1BETA1.get(self.release, kind.schema)
        return kind.schema

    @property
    def release(self) -> str:
        """The release of KAITO that `kaito.sh/v1beta1` shows."""
        setting = str(self.objects.options["kaito"])
        return setting if setting in schemas.WORKSPACES_V1BETA1 else "0.12"

    def _stamp(self) -> str:
        return kaito.stamp(self.now())

    def _catch_up(self, key: Key) -> None:
        if key.home:
            catch_up(self.objects, key.home, self.now())
        else:
            self.look(key.kind, None)

    def _current(self, key: Key) -> Object:
        value = self.objects.find(key)
        if value is None:
            raise not_found(key.kind, key.name)
        return value

    def _checked(self, key: Key, value: Object) -> Object:
        """The live object, if the writer saw its newest version or did not say what it saw."""
        live = self._current(key)
        metadata = value.get("metadata") or {}
        if (uid := metadata.get("uid")) and uid != live["metadata"]["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{live['metadata']['uid']}"
            )
            raise conflict(key.kind, key.name, why)
        seen = metadata.get("resourceVersion")
        if seen and seen != live["metadata"]["resourceVersion"]:
            raise modified(key.kind, key.name)
        return live

    def _accepted(self, key: Key, value: Object, writer: Writer, is_patch: bool = False) -> Object:
        """Without fields that are not declared: dropped with a warning, or refused when the writer wants
        that.
        """
        schema = self.schema(key.kind)
        check_types(key.kind, schema, value)
        unknown = [f'unknown field "{path}"' for path in unknown_fields(schema, value)]
        if unknown and writer.validation == "Strict":
            text = f"strict decoding error: {', '.join(unknown)}"
            if is_patch:
                raise Refused(422, "Invalid", f' "" is invalid: patch: Invalid value: {value}: {text}')
            raise undecodable(key.kind, text)
        if writer.validation == "Warn":
            writer.warnings.extend(unknown)
        accepted: Object = pruned(schema, value)
        return accepted

    def _fields(self, key: Key, value: Object, writer: Writer | None = None) -> dict[Path, Any]:
        return fields(value, self.schema(key.kind), writer.subresource if writer else "")

    def _completed(self, key: Key, wanted: Object, writer: Writer) -> dict[Path, Any]:
        """The fields that are applied, as the schema completes them: what it defaults within a list is
        neither a change nor a conflict.
        """
        completed = self._fields(key, defaulted(key.kind, self.schema(key.kind), wanted), writer)
        return {path: completed[path] for path in self._fields(key, wanted, writer) if path in completed}

    def _create(self, key: Key, value: Object, owners: Owners, writer: Writer) -> Object:
        metadata = value["metadata"]
        if key.kind.namespaced:
            check_namespace(
                key.kind, key.name, self.objects.find(Key(NAMESPACE, "", key.namespace)), key.namespace
            )
            metadata["namespace"] = key.namespace
        value |= {"apiVersion": key.kind.api_version, "kind": key.kind.name}
        check_object(key.kind, self.schema(key.kind), value, None)
        self._review(key, value, None)
        if key.kind.namespaced:
            quotas, others = self.objects.all(QUOTA, key.namespace), self.objects.all(key.kind, key.namespace)
            check_quotas(key.kind, key.name, list(quotas), sum(1 for _ in others))
        if key.kind == NAMESPACE:
            value["status"] = {"phase": "Active"}
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._stamp()}
        if _counts_generations(key.kind):
            metadata["generation"] = 1
        return value if writer.dry_run else self._saved(key, value, owners)

    def _overwrite(self, key: Key, live: Object, value: Object, writer: Writer) -> Object:
        """An update or a patch: of the object without its status, or of the status alone."""
        wanted = _clean(value, writer.subresource)
        if writer.subresource:
            wanted = {
                **{name: part for name, part in live.items() if name != "status"},
                **wanted,
                "metadata": live["metadata"],
            }
        else:
            kept = {name: live["metadata"][name] for name in _SERVER_FIELDS if name in live["metadata"]}
            wanted["metadata"] = {
                **wanted["metadata"],
                "name": key.name,
                **({"namespace": key.namespace} if key.namespace else {}),
                **kept,
            }
            wanted |= {"status": live["status"]} if "status" in live else {}
        wanted = defaulted(key.kind, self.schema(key.kind), wanted)
        owners = written(
            self._fields(key, live, writer),
            self._fields(key, wanted, writer),
            self.objects.owners(key),
            writer,
        )
        return self._update(key, live, wanted, (owners, writer))

    def _update(self, key: Key, live: Object, value: Object, by: tuple[Owners, Writer]) -> Object:
        """Write unless nothing differs: then even the resourceVersion stays."""
        owners, writer = by
        value = {**value, "apiVersion": live["apiVersion"], "kind": live["kind"]}
        check_object(key.kind, self.schema(key.kind), value, live)
        if not writer.subresource:
            self._review(key, value, live)
        if value == live and owners == self.objects.owners(key):
            return live
        if "generation" in live["metadata"] and _specification(value) != _specification(live):
            value["metadata"] = {**value["metadata"], "generation": live["metadata"]["generation"] + 1}
        if writer.dry_run:
            return value
        if (
            "deletionTimestamp" in live["metadata"]
            and not value["metadata"].get("finalizers")
            and key.kind != NAMESPACE
        ):
            self.objects.remove(key)
            self._catch_up(key)
            return value
        return self._saved(key, value, owners)

    def _review(self, key: Key, value: Object, live: Object | None) -> None:
        if key.kind.resource == WORKSPACE.resource:
            release = webhook.release_of(live or value, self.objects.options["kaito"])
            webhook.review(release, key.kind, value, live)

    def _saved(self, key: Key, value: Object, owners: Owners) -> Object:
        saved = self.objects.save(key, value, owners)
        self._catch_up(key)
        return self.objects.find(key) or saved


def _counts_generations(kind: Kind) -> bool:
    return kind.is_custom or kind.group in ("networking.k8s.io", "admissionregistration.k8s.io")


def _clean(value: Object, subresource: str = "") -> Object:
    """What a writer may say: the object without its status, or the status alone."""
    if subresource:
        return {"metadata": {}, **({"status": deepcopy(value["status"])} if "status" in value else {})}
    cleaned = deepcopy({name: part for name, part in value.items() if name != "status"})
    cleaned["metadata"] = {
        name: part for name, part in cleaned.get("metadata", {}).items() if name not in _SERVER_FIELDS
    }
    if not cleaned["metadata"].get("finalizers"):
        cleaned["metadata"].pop("finalizers", None)
    return cleaned


def _specification(value: Object) -> Object:
    return {
        name: part for name, part in value.items() if name not in ("apiVersion", "kind", "metadata", "status")
    }
