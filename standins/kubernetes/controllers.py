"""The controllers: they catch up with the clock whenever somebody looks, one namespace at a time."""

from __future__ import annotations

import uuid

from standins.kubernetes import deletion, kaito, nodes
from standins.kubernetes.kinds import NAMESPACE, QUOTA, SERVICE, STORED, WORKSPACE, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.webhook import release_of

_ALWAYS_THERE = ("default", "kube-node-lease", "kube-public", "kube-system")


def seed(objects: Objects, now: float) -> None:
    """What a new cluster has, once."""
    if objects.kept.get("seeded"):
        return
    stamp = kaito.stamp(now)
    for name in _ALWAYS_THERE:
        metadata = {
            "name": name,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": stamp,
            "labels": {"kubernetes.io/metadata.name": name},
        }
        value = {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        objects.save(Key(NAMESPACE, "", name), {"apiVersion": "v1", "kind": "Namespace", **value})
    nodes.seed(objects, stamp)
    objects.kept["seeded"] = True


def catch_up(objects: Objects, namespace: str, now: float) -> None:
    """What KAITO, the garbage collector, the quota and the namespace controller would have done in the
    namespace by now.
    """
    for workspace in list(objects.all(WORKSPACE, namespace)):
        _catch_up_workspace(objects, workspace, now)
    deletion.collect(objects, namespace, kaito.stamp(now))
    for quota in list(objects.all(QUOTA, namespace)):
        hard = quota.get("spec", {}).get("hard", {})
        _set_status(
            objects,
            Key(QUOTA, namespace, quota["metadata"]["name"]),
            {"hard": hard, "used": _used(objects, namespace, hard)},
        )
    key = Key(NAMESPACE, "", namespace)
    home = objects.find(key)
    deleted = kaito.deleted_at(home) if home else None
    if home is None or deleted is None or home["metadata"].get("finalizers") or objects.inside(namespace):
        return
    if now >= deleted + objects.options["namespace_deleted_after"]:
        objects.remove(key)


def _catch_up_workspace(objects: Objects, workspace: Object, now: float) -> None:
    key = Key(WORKSPACE, workspace["metadata"]["namespace"], workspace["metadata"]["name"])
    is_add_on = release_of(workspace, objects.options["kaito"]) == "0.6"
    workspace = _taken_over(objects, key, workspace, is_add_on)
    course = kaito.course(
        workspace, objects.options, objects.kept.get(f"node of {workspace['metadata']['uid']}")
    )
    deleted = kaito.deleted_at(workspace)
    if deleted is not None and now >= deleted + objects.options["deleted_after"]:
        if not is_add_on:
            nodes.remove(objects, course.node)
        objects.kept.pop(f"node of {workspace['metadata']['uid']}", None)
        deletion.release(objects, key, kaito.FINALIZER)
        return
    status = kaito.add_on_status if is_add_on else kaito.status
    _set_status(objects, key, status(workspace, course, now))
    if deleted is None and kaito.worker_nodes(course, now):
        nodes.add(objects, course.node, workspace, kaito.stamp(course.nodes_at))
        for service in kaito.services(workspace):
            _create_service(objects, Key(SERVICE, key.namespace, service["metadata"]["name"]), service, now)


def _taken_over(objects: Objects, key: Key, workspace: Object, is_add_on: bool) -> Object:
    """With KAITO's finalizer and annotations; the add-on then takes a fitting node that is there already."""
    metadata = workspace["metadata"]
    notes, finalizers = metadata.get("annotations", {}), metadata.get("finalizers", [])
    is_taken = kaito.FINALIZER in finalizers and kaito.REVISION in notes
    if is_taken or "deletionTimestamp" in metadata:
        return workspace
    if is_add_on and "status" not in workspace and (found := nodes.matching(objects, workspace)):
        objects.kept[f"node of {metadata['uid']}"] = found
    finalizers = [*(each for each in finalizers if each != kaito.FINALIZER), kaito.FINALIZER]
    taken = {**metadata, "annotations": {**notes, **kaito.notes(workspace)}, "finalizers": finalizers}
    return objects.save(key, {**workspace, "metadata": taken})


def _create_service(objects: Objects, key: Key, service: Object, now: float) -> None:
    if objects.find(key) is None:
        service["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": kaito.stamp(now)}
        objects.save(key, {"apiVersion": "v1", "kind": "Service", **service, "status": {"loadBalancer": {}}})


def _used(objects: Objects, namespace: str, hard: dict[str, str]) -> dict[str, str]:
    kinds = {f"count/{resource}": kind for resource, kind in STORED.items()}
    return {name: str(sum(1 for _ in objects.all(kinds[name], namespace))) for name in hard if name in kinds}


def _set_status(objects: Objects, key: Key, status: Object) -> None:
    value = objects.find(key)
    if value is not None and value.get("status") != status:
        objects.save(key, {**value, "status": status})
