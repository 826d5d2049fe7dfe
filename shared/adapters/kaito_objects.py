"""Parses Kubernetes objects into the types of the stages. Undocumented forms raise in `understood`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from shared.adapters.answers import instance, text
from shared.resources.actual import GpuNode, Namespace, Route, Workspace
from shared.resources.workspaces import Manifest, fixed_fields, marker_of

V = TypeVar("V")

FIELD_MANAGER = "mergekey"
MANAGED_BY = "app.kubernetes.io/managed-by"
#: KAITO labels a node with the workspace that it was made for, and with `...namespace`.
NODE_OF = "kaito.sh/workspace"


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
    )


def route_of(item: Manifest) -> Route:
    return Route(text(item["metadata"]["name"]), is_managed(item["metadata"]), spec_of(item))


def spec_of(item: Manifest) -> Manifest:
    return instance(dict, item.get("spec") or {})


def is_managed(metadata: Manifest) -> bool:
    return bool((metadata.get("labels") or {}).get(MANAGED_BY) == FIELD_MANAGER)
