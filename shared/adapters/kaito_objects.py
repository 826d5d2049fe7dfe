"""Parses Kubernetes objects into the types of the stages. Undocumented forms raise in `understood`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from shared.adapters.answers import instance, text
from shared.catalog.kaito_releases import INFERENCE_SET, MARKED_MAPS, SIZE_HAS_DEFAULT
from shared.resources.actual import GpuNode, Namespace, Route, Workspace
from shared.resources.workspaces import Manifest, fixed_fields, marker_of

V = TypeVar("V")

FIELD_MANAGER = "mergekey"
MANAGED_BY = "app.kubernetes.io/managed-by"
#: KAITO labels a node with the workspace that it was made for, and with `...namespace`.
NODE_OF = "kaito.sh/workspace"
_OF_EVERY_KIND = ("apiVersion", "kind", "metadata")


def items_of(page: Manifest) -> list[Manifest]:
    """The items of a list; some servers write an empty list as null."""
    return [] if page["items"] is None else instance(list, page["items"])


def at_home(read: Callable[[Manifest], V]) -> Callable[[Manifest], tuple[str, V]]:
    return lambda item: (text(item["metadata"]["namespace"]), read(item))


def by_home(pairs: Iterable[tuple[str, V]]) -> dict[str, list[V]]:
    found: dict[str, list[V]] = {}
    for home, each in pairs:
        found.setdefault(home, []).append(each)
    return found


def namespace_of(item: Manifest) -> Namespace:
    metadata = item["metadata"]
    terminating = "deletionTimestamp" in metadata or (item.get("status") or {}).get("phase") == "Terminating"
    return Namespace(*_version(metadata), terminating, marker_of(metadata.get("annotations") or {}))


def _version(metadata: Manifest) -> tuple[str, str]:
    return text(metadata["name"]), text(metadata["resourceVersion"])


def node_of(item: Manifest) -> GpuNode:
    labels = item["metadata"]["labels"]
    return GpuNode(
        text(item["metadata"]["name"]), labels.get(f"{NODE_OF}namespace", ""), text(labels[NODE_OF])
    )


def workspace_of(item: Manifest) -> Workspace:
    metadata = item["metadata"]
    name, version = _version(metadata)
    return Workspace(
        name=name,
        resource_version=version,
        fixed=fixed_fields(item),
        conditions=tuple(instance(dict, each) for each in (item.get("status") or {}).get("conditions") or ()),
        terminating="deletionTimestamp" in metadata,
        managed=is_managed(metadata),
        nodes=instance(int, (item.get("status") or {}).get("targetNodeCount") or 0),
    )


def route_of(item: Manifest) -> Route:
    return Route(text(item["metadata"]["name"]), is_managed(item["metadata"]), spec_of(item))


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
    size = kinds["Workspace"]["properties"]["resource"]["properties"].get("instanceType", {})
    if "default" in size:
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


def _fields(schema: Manifest, path: str) -> Iterator[str]:
    """The paths of the fields in the maps whose fields are marks."""
    for name, inner in instance(dict, schema.get("properties") or {}).items():
        below = f"{path}.{name}".lstrip(".")
        if below not in _OF_EVERY_KIND:
            yield below
            yield from _fields(inner, below) if below in MARKED_MAPS else ()


def is_managed(metadata: Manifest) -> bool:
    return bool((metadata.get("labels") or {}).get(MANAGED_BY) == FIELD_MANAGER)
