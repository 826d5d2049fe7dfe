"""The controllers: they catch up with the clock whenever somebody looks, one namespace at a time."""

from __future__ import annotations

from standins.kubernetes import kaito
from standins.kubernetes.kinds import KINDS, NAMESPACE, QUOTA, SERVICE, WORKSPACE, Object
from standins.kubernetes.objects import Key, Objects


def catch_up(objects: Objects, namespace: str, now: float) -> None:
    """What KAITO, the quota controller and the namespace controller would have done in the namespace by now."""
    for workspace in list(objects.all(WORKSPACE, namespace)):
        _catch_up_workspace(objects, workspace, now)
    for quota in list(objects.all(QUOTA, namespace)):
        hard = quota.get("spec", {}).get("hard", {})
        _set_status(objects, Key(QUOTA, namespace, quota["metadata"]["name"]), {"hard": hard, "used": _used(objects, namespace, hard)}, now)
    key = Key(NAMESPACE, "", namespace)
    home = objects.find(key)
    if home and home["metadata"].get("deletionTimestamp") and not any(objects.all(WORKSPACE, namespace)):
        objects.remove(key)


def mark_deleted(objects: Objects, key: Key, now: float) -> None:
    """Begin a deletion: what has no finalizer is gone at once, a namespace takes with it what is inside."""
    value = objects.find(key)
    if value is None or value["metadata"].get("deletionTimestamp"):
        return
    if key.kind.plural not in (WORKSPACE.plural, NAMESPACE.plural):
        objects.remove(key)
        return
    changed = {**value, "metadata": {**value["metadata"], "deletionTimestamp": kaito.stamp(now)}}
    if key.kind is NAMESPACE:
        changed["status"] = {"phase": "Terminating"}
    objects.save(key, changed, None, now)
    if key.kind is NAMESPACE:
        for kind in KINDS:
            for inner in list(objects.all(kind, key.name)) if kind.namespaced else []:
                mark_deleted(objects, Key(kind, key.name, inner["metadata"]["name"]), now)


def _catch_up_workspace(objects: Objects, workspace: Object, now: float) -> None:
    metadata = workspace["metadata"]
    key = Key(WORKSPACE, metadata["namespace"], metadata["name"])
    if kaito.is_gone(workspace, objects.options, now):
        objects.remove(key)
        for service in kaito.services(workspace):
            objects.remove(Key(SERVICE, key.namespace, service["metadata"]["name"]))
        return
    status = kaito.status(workspace, objects.options, now)
    _set_status(objects, key, status, now)
    if status["workerNodes"]:
        for service in kaito.services(workspace):
            _create_service(objects, Key(SERVICE, key.namespace, service["metadata"]["name"]), service, now)


def _create_service(objects: Objects, key: Key, service: Object, now: float) -> None:
    if objects.find(key) is None:
        service["metadata"] |= {
            "uid": f"{service['metadata']['ownerReferences'][0]['uid']}-{key.name}",
            "creationTimestamp": kaito.stamp(now),
        }
        objects.save(key, service, None, now)


def _used(objects: Objects, namespace: str, hard: dict[str, str]) -> dict[str, str]:
    kinds = {f"count/{kind.resource}": kind for kind in KINDS}
    return {name: str(sum(1 for _ in objects.all(kinds[name], namespace))) for name in hard if name in kinds}


def _set_status(objects: Objects, key: Key, status: Object, now: float) -> None:
    value = objects.find(key)
    if value is not None and value.get("status") != status:
        objects.save(key, {**value, "metadata": dict(value["metadata"]), "status": status}, None, now)
