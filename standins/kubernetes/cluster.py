"""What can be done with the objects: create, read, apply, replace, patch, delete, with Kubernetes' rules for
all of it.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from standins.kubernetes import deletion, kaito, policies, webhook
from standins.kubernetes.admission import (
    check_deletion,
    check_namespace,
    check_object,
    check_quotas,
    check_types,
)
from standins.kubernetes.controllers import catch_up, define, seed
from standins.kubernetes.errors import (
    Refused,
    already_exists,
    bad_request,
    conflict,
    invalid,
    modified,
    not_found,
    undecodable,
    without_version,
)
from standins.kubernetes.gateways import set_up
from standins.kubernetes.kinds import (
    DEFINITION,
    GATEWAY,
    GATEWAY_CLASS,
    NAMESPACE,
    NODE,
    NODE_CLAIM,
    QUOTA,
    WORKSPACE,
    Kind,
    Object,
    defaulted,
    defined,
)
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import (
    Conflict,
    Owners,
    Path,
    Writer,
    applied,
    fields,
    managed_fields,
    objection,
    written,
)
from standins.kubernetes.schema import (
    Schema,
    Violation,
    apply_problem,
    pruned,
    quantity_problem,
    unknown_fields,
)
from standins.kubernetes.workspaces import claims
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
    # How long after its workspace began to go a NodeClaim, and its node, are still there.
    "nodes_deleted_after": 240.0,
    # What orders nodes: gpu-provisioner or karpenter, which labels them otherwise.
    "provisioner": "gpu-provisioner",
    # The namespace controller waits before it begins; what is inside begins to go after that.
    "namespace_deleted_after": 5.0,
    # What goes wrong: {"workspace": "<namespace>/<name>" or "*", "reason": ..., "message": ..., "exitCode":
    # ..., "log": <a name of `definitions/logs.yaml`>}, or a list of such. Reasons: those of
    # `definitions/failures.yaml`, for instance NoQuota, NodeNeverReady, OOMKilled, ImagePullError,
    # BenchmarkFailed; any other is written into the condition WorkspaceSucceeded as it is. `restarted`:
    # KAITO's controller was, when the model should have been ready.
    "fail": None,
    # The release of KAITO: 0.6, 0.8, 0.11, 0.12, or by-version: a workspace of v1alpha1 is the add-on's
    # (0.6), one of v1beta1 the newest release's. 0.7, 0.9, 0.10 and `next` declare other fields than 0.12,
    # and do the same. none: its kinds are there, its controller and its webhook are not.
    "kaito": "by-version",
    # The folder of KAITO's whole tables; without it REFERENCE_DIR's, or a small extract, see
    # `workspaces.tables`.
    "facts": None,
    # What is not served, as `Kind.is_served` reads it, for instance ["httproutes.gateway.networking.k8s.io"].
    "not_served": [],
    # Whether rights are checked; off, since nobody has any in a new cluster.
    "check_access": False,
    # The Gateway controller: istio, envoy-gateway, nginx, or none. Its GatewayClass is there, and a Gateway
    # `gateway-system/internal` of that class, see `gateways.set_up`.
    "gateway_controller": "istio",
    # Whether it does not run: words and proxies stay as they are.
    "gateway_controller_away": False,
    # What the load balancer gives each Gateway; empty: nothing yet.
    "gateway_address": "10.20.0.10",
    # Whether network policies are enforced: AKS does so only with a network policy engine.
    "network_policies": True,
    # How many changes are remembered for watches and for the pages of a list.
    "watch_history": 5000,
}


@dataclass(frozen=True)
class Deletion:
    """What the writer asks of a deletion."""

    preconditions: dict[str, str] = field(default_factory=dict)
    propagation: str = "Background"


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
        if kind is DEFINITION:
            define(self.objects, self.now())
        set_up.furnish(self.objects, self.now())
        if kind.resource == GATEWAY_CLASS.resource:
            set_up.judge_classes(self.objects, self.now())
        concerned = kind.namespaced or kind in (NAMESPACE, NODE, NODE_CLAIM)
        for name in [] if not concerned else self.objects.namespaces() if namespace is None else [namespace]:
            catch_up(self.objects, name, self.now())
        if kind in (NODE, NODE_CLAIM):
            claims.collect(self.objects, self.now())

    def create(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key)
        if not key.name:
            if not (prefix := value["metadata"].get("generateName")):
                text = "Required value: name or generateName is required"
                raise invalid(key.kind, "", [Violation("metadata.name", "FieldValueRequired", text)])
            key = replace(key, name=prefix + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5)))
            value = {**value, "metadata": {**value["metadata"], "name": key.name}}
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
        self._check_applied(key, schema, value)
        wanted = _clean(pruned(schema, value, nulls=key.kind.is_custom), writer.subresource)
        want = self._completed(key, wanted, writer)
        if self.objects.find(key) is None:
            if writer.subresource:
                raise not_found(key.kind, key.name)
            owners = applied({}, want, {}, {}, writer, schema)[1]
            return self._create(key, defaulted(key.kind, schema, wanted), owners, writer), True
        live = self._checked(key, value)
        try:
            merged, owners = applied(
                live, want, self._fields(key, live, writer), self.objects.owners(key), writer, schema
            )
        except Conflict as other:
            message, causes = objection(other)
            raise Refused(409, "Conflict", message, {"causes": causes}) from other
        return self._update(key, live, defaulted(key.kind, schema, merged), owners, writer), False

    def replace(self, key: Key, value: Object, writer: Writer) -> Object:
        self._catch_up(key)
        live = self._checked(key, value)
        if key.kind.is_custom and not value["metadata"].get("resourceVersion"):
            raise without_version(key.kind, key.name)
        return self._overwrite(key, live, self._accepted(key, value, writer), writer)

    def patch(self, key: Key, edit: Callable[[Object], Object], writer: Writer) -> Object:
        """Change the object as `edit` does; what it says of the resourceVersion must be true. Raises
        `Refused`.
        """
        self._catch_up(key)
        live = self._current(key)
        edited = edit(live)
        self._checked(key, edited)
        if (name := (edited.get("metadata") or {}).get("name", key.name)) != key.name:
            text = f"the name of the object ({name}) does not match the name on the URL ({key.name})"
            raise bad_request(text)
        return self._overwrite(key, live, self._accepted(key, edited, writer, is_patch=True), writer)

    def delete(self, key: Key, wish: Deletion, writer: Writer) -> tuple[Object, bool]:
        """The object, and whether it is gone. Raises `Refused` (403, 404, 409)."""
        self._catch_up(key)
        live = self._current(key)
        check_deletion(key.kind, key.name, live, wish.preconditions)
        self._admit("DELETE", key, None, live, writer)
        if writer.dry_run:
            return live, not live["metadata"].get("finalizers") and key.kind is not NAMESPACE
        deletion.begin(self.objects, key, self._stamp(), wish.propagation)
        going = self.objects.find(key)
        self._catch_up(key)
        self._tell_routes(key)
        return going or live, going is None

    def connect(self, key: Key, writer: Writer) -> None:
        """What reaches into an object, for instance a shell in a pod. Raises `Refused` always: nothing runs
        here.
        """
        self._admit("CONNECT" if key.kind.plural == "pods" else "CREATE", key, {"metadata": {}}, None, writer)
        self._current(key)

    def now(self) -> float:
        return self._world.clock.now()

    def schema(self, kind: Kind) -> Schema:
        return defined(kind, self.objects.options["kaito"])[1]

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
            place = "/".join(filter(None, (key.kind.group, key.kind.plural, key.namespace, key.name)))
            why = (
                f"StorageError: invalid object, Code: 4, Key: /registry/{place}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: "
                f"{live['metadata']['uid']}"
            )
            raise conflict(key.kind, key.name, why)
        seen = metadata.get("resourceVersion")
        if seen and seen != live["metadata"]["resourceVersion"]:
            raise modified(key.kind, key.name)
        return live

    def _check_applied(self, key: Key, schema: Schema, value: Object) -> None:
        """Raises `Refused` (400, 500) for what cannot be applied at all."""
        if value["metadata"].get("managedFields") is not None:
            raise bad_request("metadata.managedFields must be nil")
        version = f"{key.kind.group}/{key.kind.version}, Kind={key.kind.name}"
        subject = f"({value['metadata'].get('namespace', '')}/{key.name}; {version})"
        if problem := apply_problem(schema, value):
            raise Refused(500, "", f"failed to create typed patch object {subject}: {problem}")
        if problem := quantity_problem(schema, value):
            why = f"unable to convert unstructured object to {version}: {problem}"
            raise Refused(500, "", f"failed to convert new object {subject} to proper version: {why}")

    def _accepted(self, key: Key, value: Object, writer: Writer, is_patch: bool = False) -> Object:
        """Without fields that are not declared: dropped with a warning, or refused when the writer wants
        that.
        """
        schema = self.schema(key.kind)
        accepted: Object = pruned(schema, value, nulls=key.kind.is_custom)
        check_types(key.kind, schema, accepted)
        unknown = [f'unknown field "{path}"' for path in unknown_fields(schema, value)]
        if unknown and writer.validation == "Strict":
            text = f"strict decoding error: {', '.join(unknown)}"
            if is_patch:
                why = f"Invalid value: {json.dumps(json.dumps(value))}: {text}"
                cause = {"reason": "FieldValueInvalid", "message": why, "field": "patch"}
                raise Refused(422, "Invalid", f' "" is invalid: patch: {why}', {"causes": [cause]})
            raise undecodable(key.kind, text)
        if writer.validation == "Warn":
            writer.warnings.extend(unknown)
        return accepted

    def _fields(self, key: Key, value: Object, writer: Writer | None = None) -> dict[Path, Any]:
        part = writer.subresource if writer else ""
        return fields(value, self.schema(key.kind), part, structs=not key.kind.is_custom)

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
        self._admit("CREATE", key, value, None, writer)
        if key.kind.namespaced:
            quotas, others = self.objects.all(QUOTA, key.namespace), self.objects.all(key.kind, key.namespace)
            check_quotas(key.kind, key.name, list(quotas), sum(1 for _ in others))
        if self.objects.find(key) is not None:
            raise already_exists(key.kind, key.name)
        if key.kind is NAMESPACE:
            value["status"] = {"phase": "Active"}
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._stamp()}
        if key.kind.is_counted:
            metadata["generation"] = 1
        return self._written(key, value, owners, writer)

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
        return self._update(key, live, wanted, owners, writer)

    def _update(self, key: Key, live: Object, value: Object, owners: Owners, writer: Writer) -> Object:
        """Write unless nothing differs: then even the resourceVersion stays."""
        value = {**value, "apiVersion": live["apiVersion"], "kind": live["kind"]}
        check_object(key.kind, self.schema(key.kind), value, live)
        self._admit("UPDATE", key, value, live, writer)
        before = live["metadata"].get("finalizers", [])
        added = [name for name in value["metadata"].get("finalizers", []) if name not in before]
        writer.warnings.extend(
            f'metadata.finalizers: "{name}": {_UNQUALIFIED}' for name in added if "/" not in name
        )
        if value == live and owners == self.objects.owners(key):
            return live
        if "generation" in live["metadata"] and _specification(value) != _specification(live):
            value["metadata"] = {**value["metadata"], "generation": live["metadata"]["generation"] + 1}
        is_going = "deletionTimestamp" in live["metadata"] and key.kind is not NAMESPACE
        if is_going and not value["metadata"].get("finalizers") and not writer.dry_run:
            self.objects.remove(key)
            self._catch_up(key)
            return value
        return self._written(key, value, owners, writer)

    def _admit(
        self, operation: str, key: Key, value: Object | None, old: Object | None, writer: Writer
    ) -> None:
        """The webhook of KAITO, and the policies of this cluster. Raises `Refused`."""
        if value is not None:
            policies.check_definition(key.kind, value)
        concerned = key.kind.resource == WORKSPACE.resource and not writer.subresource
        if concerned and value is not None and self.objects.options["kaito"] != "none":
            webhook.review(self.objects, key.kind, value, old)
        attempt = policies.Attempt(
            operation, key, writer.user, value, old, writer.subresource, writer.dry_run
        )
        writer.warnings.extend(policies.check(self.objects, attempt))

    def _written(self, key: Key, value: Object, owners: Owners, writer: Writer) -> Object:
        """The object as it was written: controllers come to it after the answer."""
        if writer.dry_run:
            return {**value, "metadata": {**value["metadata"], "managedFields": managed_fields(owners)}}
        saved = self.objects.save(key, value, owners)
        self._catch_up(key)
        self._tell_routes(key)
        return saved

    def _tell_routes(self, key: Key) -> None:
        """A Gateway concerns routes of all namespaces."""
        if key.kind.resource == GATEWAY.resource:
            self.look(key.kind, None)


#: What is said of a finalizer that belongs to nobody by its name.
_UNQUALIFIED = (
    "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other "
    "finalizer writers"
)


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
