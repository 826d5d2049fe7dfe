"""Parses routes and Gateways of Gateway API into the types of the stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from shared.adapters.answers import instance, text
from shared.adapters.kaito_objects import created_of, is_managed, spec_of
from shared.gateway_api.observed import ALLOWED, Allowed, Condition, Gateway, Listener, Parent
from shared.resources.actual import Route
from shared.resources.workspaces import PREFIX, Manifest

#: Writes annotations of routes, so that an apply of the route itself leaves them.
ROAD_MANAGER = "mergekey-road"


def route_of(item: Manifest) -> Route:
    metadata, status = item["metadata"], item.get("status") or {}
    annotations = instance(dict, metadata.get("annotations") or {})
    return Route(
        text(metadata["name"]),
        is_managed(metadata),
        spec_of(item),
        generation=instance(int, metadata.get("generation") or 0),
        parents=tuple(_parent(each, text(metadata["namespace"])) for each in _rows(status, "parents")),
        annotations={
            name: instance(str, value) for name, value in annotations.items() if name.startswith(f"{PREFIX}/")
        },
        created=created_of(metadata),
    )


def _rows(part: Manifest, name: str) -> Iterator[Manifest]:
    return (instance(dict, each) for each in instance(list, part.get(name) or []))


def _parent(row: Manifest, home: str) -> Parent:
    """A reference without a namespace is to a Gateway beside the route."""
    ref = row["parentRef"]
    name = f"{text(ref.get('namespace') or home)}/{text(ref['name'])}"
    return Parent(name, instance(str, row.get("controllerName") or ""), _conditions(row))


def _conditions(part: Manifest) -> tuple[Condition, ...]:
    return tuple(map(_condition, _rows(part, "conditions")))


def _condition(row: Manifest) -> Condition:
    generation = row.get("observedGeneration")
    return Condition(
        text(row["type"]),
        text(row["status"]),
        instance(str, row.get("reason") or ""),
        instance(str, row.get("message") or ""),
        None if generation is None else instance(int, generation),
    )


def gateway_of(item: Manifest) -> Gateway:
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    handed_on = (spec.get("infrastructure") or {}).get("annotations") or {}
    said = {text(each["name"]): each for each in _rows(status, "listeners")}
    return Gateway(
        f"{text(metadata['namespace'])}/{text(metadata['name'])}",
        text(spec["gatewayClassName"]),
        instance(int, metadata.get("generation") or 0),
        _conditions(status),
        tuple(_listener(each, said.get(each["name"], {})) for each in _rows(spec, "listeners")),
        tuple(text(each["value"]) for each in _rows(status, "addresses")),
        {text(name): instance(str, value) for name, value in instance(dict, handed_on).items()},
    )


def _listener(row: Manifest, status: Manifest) -> Listener:
    namespaces = (row.get("allowedRoutes") or {}).get("namespaces") or {}
    return Listener(
        text(row["name"]),
        text(row["protocol"]),
        instance(int, row["port"]),
        instance(str, row.get("hostname") or ""),
        _allowed(namespaces.get("from") or "Same"),
        instance(dict, namespaces.get("selector") or {}),
        _conditions(status),
        instance(int, status.get("attachedRoutes") or 0),
    )


def _allowed(word: Any) -> Allowed:
    if word not in ALLOWED:
        raise ValueError(f"unknown word for the namespaces of a listener: {word}")
    return cast("Allowed", word)
