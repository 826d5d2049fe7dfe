"""How objects go: finalizers, what depends on them, namespaces.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/ ,
https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from __future__ import annotations

from collections import Counter

from standins.kubernetes.kinds import NAMESPACE, Object
from standins.kubernetes.objects import Key, Objects

#: Finalizers that stand for a propagation policy.
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = {"Foreground": FOREGROUND, "Orphan": ORPHAN}


def begin(objects: Objects, key: Key, stamp: str, propagation: str = "Background") -> None:
    """Begin a deletion: what has no finalizer is gone at once. What is in a namespace stays until its
    controller comes.
    """
    value = objects.find(key)
    if value is None or value["metadata"].get("deletionTimestamp"):
        return
    finalizers = value["metadata"].get("finalizers", []) + (
        [_POLICIES[propagation]] if propagation in _POLICIES else []
    )
    is_namespace = key.kind is NAMESPACE
    if not finalizers and not is_namespace:
        objects.remove(key)
        return
    metadata = {**value["metadata"], "deletionTimestamp": stamp}
    metadata |= {"finalizers": finalizers} if finalizers else {}
    if is_namespace:
        objects.save(key, {**value, "metadata": metadata, "status": {"phase": "Terminating"}})
    else:
        objects.save(key, _counted({**value, "metadata": {**metadata, "deletionGracePeriodSeconds": 0}}))


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


def remaining(objects: Objects, namespace: str, stamp: str) -> list[Object]:
    """The conditions of a namespace that goes: what is still inside, and which finalizers it waits for. The
    texts are those of the namespace controller (pkg/controller/namespace/deletion).
    """
    inside = objects.inside(namespace)
    kinds = Counter(f"{key.kind.plural}.{key.kind.group}" for key, _ in inside)
    finalizers = Counter(name for _, value in inside for name in value["metadata"].get("finalizers", []))
    rows = [(*row, "False") for row in _FINE]
    for type_, reason, text, left, of in (
        ("NamespaceContentRemaining", "SomeResourcesRemain", "Some resources are remaining: ", kinds, "has"),
        ("NamespaceFinalizersRemaining", "SomeFinalizersRemain", _WAITS_FOR, finalizers, "in"),
    ):
        said = ", ".join(f"{name} {of} {count} resource instances" for name, count in sorted(left.items()))
        rows.append((type_, *((reason, text + said) if left else _ENDED[type_]), str(bool(left))))
    return [
        {"type": type_, "status": status, "lastTransitionTime": stamp, "reason": reason, "message": message}
        for type_, reason, message, status in rows
    ]


_WAITS_FOR = "Some content in the namespace has finalizers remaining: "
_FINE = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
)
_ENDED = {
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


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
