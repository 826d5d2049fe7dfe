"""How objects go: finalizers, what depends on them, namespaces.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/ ,
https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from __future__ import annotations

from standins.kubernetes.kinds import NAMESPACE, Object
from standins.kubernetes.objects import Key, Objects

#: Finalizers that stand for a propagation policy.
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def begin(objects: Objects, key: Key, stamp: str, propagation: str = "Background") -> None:
    """Begin a deletion: what has no finalizer is gone at once, a namespace takes with it what is inside."""
    value = objects.find(key)
    if value is None or value["metadata"].get("deletionTimestamp"):
        return
    finalizers = value["metadata"].get("finalizers", []) + (
        [_POLICIES[propagation]] if propagation in _POLICIES else []
    )
    is_namespace = key.kind.resource == NAMESPACE.resource
    if not finalizers and not is_namespace:
        objects.remove(key)
        return
    metadata = {**value["metadata"], "deletionTimestamp": stamp, "deletionGracePeriodSeconds": 0}
    changed = {**value, "metadata": {**metadata, "finalizers": finalizers} if finalizers else metadata}
    objects.save(key, {**changed, "status": {"phase": "Terminating"}} if is_namespace else _counted(changed))
    for inner, _ in objects.inside(key.name) if is_namespace else []:
        begin(objects, inner, stamp)


def release(objects: Objects, key: Key, finalizer: str) -> None:
    """Take one finalizer off; with the last one the object goes."""
    value = objects.find(key)
    if value is None or finalizer not in value["metadata"].get("finalizers", []):
        return
    left = [each for each in value["metadata"]["finalizers"] if each != finalizer]
    if left:
        objects.save(key, {**value, "metadata": {**value["metadata"], "finalizers": left}})
    else:
        objects.remove(key)


def collect(objects: Objects, namespace: str, stamp: str) -> None:
    """What the garbage collector does: objects whose owners are gone follow them, owners that wait for their
    objects go on.
    """
    before = -1
    while before != objects.version:
        before = objects.version
        for key, value in objects.inside(namespace):
            if _is_abandoned(objects, value):
                begin(objects, key, stamp)
            elif "deletionTimestamp" in value["metadata"]:
                _go_on(objects, key, value, stamp)


def _go_on(objects: Objects, key: Key, value: Object, stamp: str) -> None:
    finalizers, uid = value["metadata"].get("finalizers", []), value["metadata"]["uid"]
    if FOREGROUND in finalizers:
        for dependent, _ in _dependents(objects, key.namespace, uid):
            begin(objects, dependent, stamp)
        if not _dependents(objects, key.namespace, uid):
            release(objects, key, FOREGROUND)
    if ORPHAN in finalizers:
        for dependent, other in _dependents(objects, key.namespace, uid):
            _disown(objects, dependent, other, uid)
        release(objects, key, ORPHAN)


def _is_abandoned(objects: Objects, value: Object) -> bool:
    """Whether it names owners, and none of them exists."""
    owners = value["metadata"].get("ownerReferences", [])
    return bool(owners) and not any(objects.has_uid(owner["uid"]) for owner in owners)


def _dependents(objects: Objects, namespace: str, uid: str) -> list[tuple[Key, Object]]:
    """What names the object as an owner; owners and what they own are in one namespace."""
    return [
        (key, value)
        for key, value in objects.inside(namespace)
        if any(owner["uid"] == uid for owner in value["metadata"].get("ownerReferences", []))
    ]


def _disown(objects: Objects, key: Key, value: Object, uid: str) -> None:
    left = [owner for owner in value["metadata"]["ownerReferences"] if owner["uid"] != uid]
    metadata = {name: part for name, part in value["metadata"].items() if name != "ownerReferences"}
    objects.save(key, {**value, "metadata": {**metadata, "ownerReferences": left} if left else metadata})


def _counted(value: Object) -> Object:
    """A deletion that begins is a new generation."""
    metadata = value["metadata"]
    return (
        {**value, "metadata": {**metadata, "generation": metadata["generation"] + 1}}
        if "generation" in metadata
        else value
    )
