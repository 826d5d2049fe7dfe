"""The controllers: they catch up with the clock whenever somebody looks, one namespace at a time."""

from __future__ import annotations

import uuid

from standins.kubernetes import deletion, kaito, nodes, reconciler
from standins.kubernetes.discovery import definitions_of
from standins.kubernetes.gateways import reconciler as gateways
from standins.kubernetes.gateways import set_up
from standins.kubernetes.kinds import DEFINITION, NAMESPACE, QUOTA, STORED, WORKSPACE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.ownership import Writer, fields, written

_ALWAYS_THERE = ("default", "kube-node-lease", "kube-public", "kube-system")


def seed(objects: Objects, now: float) -> None:
    """What a new cluster has, once."""
    if objects.kept.get("seeded"):
        return
    stamp = kaito.stamp(now)
    writer = Writer("kube-apiserver", "v1", stamp)
    for name in _ALWAYS_THERE:
        labels: Object = {"metadata": {"labels": {"kubernetes.io/metadata.name": name}}}
        metadata = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": stamp, **labels["metadata"]}
        value = {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        owners = written({}, fields(labels, NAMESPACE.schema), {}, writer)
        objects.save(Key(NAMESPACE, "", name), {"apiVersion": "v1", "kind": "Namespace", **value}, owners)
    nodes.seed(objects, stamp)
    objects.kept["seeded"] = True


def define(objects: Objects, now: float) -> None:
    """Let there be one CustomResourceDefinition for each custom kind that is served."""
    wanted = definitions_of(objects.options)
    for name in {each["metadata"]["name"] for each in objects.all(DEFINITION, "")} - wanted.keys():
        objects.remove(Key(DEFINITION, "", name))
    for name, content in wanted.items():
        key = Key(DEFINITION, "", name)
        there = objects.find(key)
        if there is None or there["spec"] != content["spec"]:
            about = {"uid": str(uuid.uuid4()), "creationTimestamp": kaito.stamp(now), "generation": 1}
            metadata = {**content["metadata"], **(there["metadata"] if there else about)}
            objects.save(key, {**content, "metadata": metadata})


def catch_up(objects: Objects, namespace: str, now: float) -> None:
    """What KAITO, the garbage collector, the Gateway controller, the quota and the namespace controller would
    have done in the namespace by now.
    """
    set_up.furnish(objects, now)
    begun = _end_namespace(objects, namespace, now)
    for workspace in list(objects.all(WORKSPACE, namespace)):
        if objects.options["kaito"] != "none":
            reconciler.reconcile(objects, workspace, now)
    deletion.collect(objects, namespace, kaito.stamp(now))
    gateways.catch_up(objects, namespace, now)
    for quota in list(objects.all(QUOTA, namespace)):
        hard = quota["spec"].get("hard", {})
        _set_usage(objects, quota, {"hard": hard, "used": _used(objects, namespace, hard)}, kaito.stamp(now))
    if begun is not None:
        _finish_namespace(objects, Key(NAMESPACE, "", namespace), begun)


def _end_namespace(objects: Objects, namespace: str, now: float) -> str | None:
    """Begin to delete what is in a namespace that goes, some seconds after that was asked for: when it
    began.
    """
    home = objects.find(Key(NAMESPACE, "", namespace))
    deleted = kaito.deleted_at(home) if home else None
    if deleted is None or now < deleted + objects.options["namespace_deleted_after"]:
        return None
    stamp = kaito.stamp(deleted + objects.options["namespace_deleted_after"])
    for inner, _ in objects.inside(namespace):
        deletion.begin(objects, inner, stamp)
    return stamp


def _finish_namespace(objects: Objects, key: Key, begun: str) -> None:
    """Say what a namespace that goes still waits for; when that is nothing, it is gone."""
    conditions = deletion.remaining(objects, key.name, begun)
    _set_status(objects, key, {"phase": "Terminating", "conditions": conditions})
    home = objects.find(key)
    if home is not None and not objects.inside(key.name) and not home["metadata"].get("finalizers"):
        objects.remove(key)


def _used(objects: Objects, namespace: str, hard: dict[str, str]) -> dict[str, str]:
    kinds = {f"count/{resource}": kind for resource, kind in STORED.items()}
    return {name: str(sum(1 for _ in objects.all(kinds[name], namespace))) for name in hard if name in kinds}


def _set_usage(objects: Objects, quota: Object, status: Object, stamp: str) -> None:
    """The quota controller counts; what is created meanwhile, the server adds itself."""
    before = quota.get("status", {})
    if before == status:
        return
    is_more = before.get("hard") == status["hard"] and sum(map(int, status["used"].values())) > sum(
        map(int, before.get("used", {}).values())
    )
    manager = "kube-apiserver" if is_more else "kube-controller-manager"
    writer = Writer(manager, "v1", stamp, subresource="status")
    key = Key(QUOTA, quota["metadata"]["namespace"], quota["metadata"]["name"])
    old, new = (fields({"status": each}, QUOTA.schema, "status", structs=True) for each in (before, status))
    objects.save(key, {**quota, "status": status}, written(old, new, objects.owners(key), writer))


def _set_status(objects: Objects, key: Key, status: Object) -> None:
    value = objects.find(key)
    if value is not None and value.get("status") != status:
        objects.save(key, {**value, "status": status})
