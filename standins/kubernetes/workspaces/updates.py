"""What the webhook says of a changed Workspace (api/v1beta1/workspace_validation.go, `validateUpdate`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from standins.kubernetes.kinds import Object
from standins.kubernetes.naming import subdomain_problem
from standins.kubernetes.workspaces import tuning
from standins.kubernetes.workspaces.problems import (
    Panicked,
    Problem,
    duplicate_names,
    invalid_value,
    missing,
    selected,
    selector_problem,
)
from standins.kubernetes.workspaces.review import Review

_SIZE = "resource.instanceType"
_FLOAT = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)


def problems(review: Review, old: Object) -> Iterator[Problem]:
    """Raises `Panicked`."""
    value = review.value
    for part in ("inference", "tuning"):
        if (part in value) != (part in old):
            yield f"{part.capitalize()} field cannot be toggled once set", f"spec.{part}"
            if review.is_add_on and part in value:
                raise Panicked
    yield from _resource(review, old.get("resource") or {})
    if "inference" in value and "inference" in old:
        yield from _inference(review, old["inference"])
    if "tuning" in value and "tuning" in old:
        yield from tuning.on_update(value["tuning"], old["tuning"])


def _resource(review: Review, old: Object) -> Iterator[Problem]:
    new = review.resource
    names = ("count", "partition") if review.release.name == "0.12" else ("count",)
    yield from (
        ("field is immutable", f"resource.{name}") for name in names if new.get(name) != old.get(name)
    )
    yield from _size(review, old.get("instanceType") or "")
    selectors = new.get("labelSelector") or {}, old.get("labelSelector") or {}
    if any(selector_problem(selector) for selector in selectors):
        yield "Only allow matchLabels or 'IN' matchExpression", "resource.labelSelector"
    elif selected(selectors[0]) != selected(selectors[1]):
        yield "field is immutable", "resource.labelSelector"


def _size(review: Review, old: str) -> Iterator[Problem]:
    if review.is_add_on:
        if review.size != old:
            yield "field is immutable", _SIZE
    elif not review.size:
        yield missing("resource.instanceType is required when node auto-provisioning is enabled")
        yield missing(_SIZE)
    elif old and review.size != old:
        words = "cannot" if review.release.is_newer else "is cannot"
        yield f"instanceType {words} be changed once set when node auto-provisioning is enabled", _SIZE


def _inference(review: Review, old: Object) -> Iterator[Problem]:
    new = review.inference
    if new.get("preset") != old.get("preset"):
        yield "field is immutable", "inference.preset"
    if (new.get("template") is None) != (old.get("template") is None):
        yield "field cannot be unset/set if it was set/unset", "inference.template"
    adapters = new.get("adapters") or []
    for adapter in adapters:
        yield from _adapter(review, adapter)
    yield from duplicate_names(adapters)


def _adapter(review: Review, adapter: Object) -> Iterator[Problem]:
    source = adapter.get("source")
    if source is None:
        yield missing("inference.Source")
        return
    yield from tuning.source_problems(review, source, "inference.Adapters")
    name = source.get("name", "")
    if not name:
        yield missing("inference.Name of Adapter field must be specified")
    elif problem := subdomain_problem(name):
        yield invalid_value(problem, "inference.adapters.source.name")
    yield from _origin(review, source)
    yield from _strength(name, adapter.get("strength"))


def _origin(review: Review, source: Object) -> Iterator[Problem]:
    """Where an adapter comes from: an image, from 0.11 a volume too."""
    if not review.release.is_newer:
        if not source.get("image"):
            yield missing("inference.Image of Adapter field must be specified")
        return
    if not source.get("image") and source.get("volumeSource") is None:
        yield "Either Image or Volume must be specified for adapter source", "inference.adapters.source"
    if source.get("urls"):
        yield "URLs are not supported as adapter source", "inference.adapters.source.urls"


def _strength(name: str, strength: str | None) -> Iterator[Problem]:
    if strength is None:
        return
    if not _FLOAT.fullmatch(strength):
        why = f'strconv.ParseFloat: parsing "{strength}": invalid syntax'
        yield f"Invalid strength value for Adapter '{name}': {why}", "inference.adapter"
    elif not 0 <= float(strength) <= 1 and float(strength) == float(strength):
        yield f"Strength value for Adapter '{name}' must be between 0 and 1", "inference.adapter"
