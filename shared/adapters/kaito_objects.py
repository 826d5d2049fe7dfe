"""Parses Kubernetes objects into the types of the stages. Undocumented forms raise in `understood`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TypeVar

from shared.adapters.answers import instance, text
from shared.kaito.releases import INFERENCE_SET, MARKED_MAPS, SIZE_HAS_DEFAULT
from shared.marker import read_time
from shared.resources.actual import ConfigMap, Limit, Namespace, Workspace
from shared.resources.inference_config import configuration_of
from shared.resources.workspaces import MANAGED_BY, MANAGER, Manifest, fixed_fields, marker_of, our_labels

V = TypeVar("V")

FIELD_MANAGER = "mergekey"
_OF_EVERY_KIND = ("apiVersion", "kind", "metadata")
#: The conditions of a namespace that say what holds its deletion up: an aggregated API that does not answer,
#: whose objects cannot be listed; a finalizer that nobody takes off; content that is still there.
#: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1
_WHY_IT_STAYS = (
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceFinalizersRemaining",
    "NamespaceContentRemaining",
)
_MAX_REMAINING = 500


def items_of(page: Manifest) -> list[Manifest]:
    """The items of a list; some servers write an empty list as null."""
    return [] if page["items"] is None else instance(list, page["items"])


def types_in(api_version: str, listed: Manifest) -> frozenset[tuple[str, str]]:
    """The kinds of an `APIResourceList`. Subresources are rows too, as `workspaces/status`."""
    rows = instance(list, listed["resources"])
    return frozenset((api_version, text(row["kind"])) for row in rows if "/" not in text(row["name"]))


def at_home(read: Callable[[Manifest], V]) -> Callable[[Manifest], tuple[str, V]]:
    return lambda item: (text(item["metadata"]["namespace"]), read(item))


def by_home(pairs: Iterable[tuple[str, V]]) -> dict[str, list[V]]:
    found: dict[str, list[V]] = {}
    for home, each in pairs:
        found.setdefault(home, []).append(each)
    return found


def namespace_of(item: Manifest) -> Namespace:
    metadata, status = item["metadata"], item.get("status") or {}
    return Namespace(
        *_version(metadata),
        terminating="deletionTimestamp" in metadata or status.get("phase") == "Terminating",
        marker=marker_of(metadata.get("annotations") or {}),
        labels=our_labels(metadata.get("labels") or {}),
        deleted=_deleted(metadata),
        remaining=_remaining(status.get("conditions") or ()),
        created=created_of(metadata),
    )


def created_of(metadata: Manifest) -> datetime | None:
    """When it was made."""
    return read_time(str(metadata.get("creationTimestamp") or ""))


def _deleted(metadata: Manifest) -> datetime | None:
    """When its deletion began."""
    return read_time(str(metadata.get("deletionTimestamp") or ""))


def _remaining(conditions: Iterable[Manifest]) -> str:
    """What the namespace controller says of why a namespace stays, the nearest cause first."""
    said = {
        each["type"]: " ".join(str(each.get("message") or "").split())
        for each in conditions
        if each.get("status") == "True" and each["type"] in _WHY_IT_STAYS
    }
    return "; ".join(said[kind] or kind for kind in _WHY_IT_STAYS if kind in said)[:_MAX_REMAINING]


def _version(metadata: Manifest) -> tuple[str, str]:
    return text(metadata["name"]), text(metadata["resourceVersion"])


def workspace_of(item: Manifest) -> Workspace:
    metadata = item["metadata"]
    name, version = _version(metadata)
    status = item.get("status") or {}
    return Workspace(
        name=name,
        resource_version=version,
        fixed=fixed_fields(item),
        conditions=conditions_of(status),
        terminating="deletionTimestamp" in metadata,
        managed=is_managed(metadata),
        nodes=instance(int, status.get("targetNodeCount") or 0),
        deleted=_deleted(metadata),
        configuration=configuration_of(item),
        created=created_of(metadata),
        state=instance(str, status.get("state") or ""),
    )


def config_map_of(item: Manifest) -> ConfigMap:
    data = {text(name): text(value) for name, value in instance(dict, item.get("data") or {}).items()}
    metadata = item["metadata"]
    return ConfigMap(text(metadata["name"]), is_managed(metadata), item.get("immutable") is True, data)


def conditions_of(status: Manifest) -> tuple[Manifest, ...]:
    return tuple(instance(dict, each) for each in status.get("conditions") or ())


def limit_of(kind: str) -> Callable[[Manifest], Limit]:
    """Items of a list do not name their kind."""
    return lambda item: Limit(
        kind, text(item["metadata"]["name"]), is_managed(item["metadata"]), spec_of(item)
    )


def spec_of(item: Manifest) -> Manifest:
    return instance(dict, item.get("spec") or {})


def marks_of(document: Manifest) -> frozenset[str]:
    """The marks of a release of KAITO in the OpenAPI document of `kaito.sh/v1beta1`; none where it has no
    Workspaces.
    """
    kinds = dict(_kinds(instance(dict, document["components"]["schemas"])))
    if "Workspace" not in kinds:
        return frozenset()
    marks = set(_fields(kinds["Workspace"], ""))
    if "default" in _field(kinds["Workspace"], "resource", "instanceType"):
        marks.add(SIZE_HAS_DEFAULT)
    if INFERENCE_SET in kinds:
        marks.add(INFERENCE_SET)
    return frozenset(marks)


def _kinds(schemas: Manifest) -> Iterator[tuple[str, Manifest]]:
    """KAITO's schemas by kind."""
    for schema in schemas.values():
        for kind in schema.get("x-kubernetes-group-version-kind") or ():
            if kind["group"] == "kaito.sh":
                yield text(kind["kind"]), schema


def _field(schema: Manifest, *path: str) -> Manifest:
    """The schema of a field; empty where there is none."""
    for name in path:
        schema = (schema.get("properties") or {}).get(name) or {}
    return schema


def _fields(schema: Manifest, path: str) -> Iterator[str]:
    """The paths of the fields in the maps whose fields are marks."""
    for name, inner in instance(dict, schema.get("properties") or {}).items():
        below = f"{path}.{name}".lstrip(".")
        if below not in _OF_EVERY_KIND:
            yield below
            yield from _fields(inner, below) if below in MARKED_MAPS else ()


def is_managed(metadata: Manifest) -> bool:
    return bool((metadata.get("labels") or {}).get(MANAGED_BY) == MANAGER)
