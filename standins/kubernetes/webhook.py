"""KAITO's admission webhook, in two releases: 0.6 (the AKS add-on) and 0.12.

The rules and texts are those of https://github.com/kaito-project/kaito (api/v1alpha1 and api/v1beta1,
workspace_validation.go), joined as knative.dev/pkg/apis joins them: equal messages share a line with all
their paths, lines are sorted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from standins.kubernetes import presets
from standins.kubernetes.errors import bad_request, unsupported
from standins.kubernetes.kinds import ADD_ON_WORKSPACE, Kind, Object
from standins.kubernetes.naming import label_problem, value_problem

Release = Literal["0.6", "0.12"]
#: A message and the path it is about; empty for a message without one.
Problem = tuple[str, str]
_RESERVED = ("kaito.sh/workspace", "kaito.sh/workspacenamespace", "karpenter.kaito.sh/")
_NO_TYPE = "resource.instanceType"


@dataclass(frozen=True)
class _Review:
    """A workspace before the webhook. `old` is None for a new one."""

    release: Release
    kind: Kind
    value: Object
    old: Object | None

    def __iter__(self) -> Iterator[Problem]:
        if problem := label_problem(self.value["metadata"]["name"]):
            yield f"invalid value: {problem}", "name"
        yield from _on_update(self, self.old) if self.old is not None else _on_create(self)


def release_of(workspace: Object, setting: str) -> Release:
    """By the option `kaito`; where that is `by-version`, a workspace made as v1alpha1 is the add-on's. 0.11
    does as 0.12.
    """
    if setting != "by-version":
        return "0.6" if setting == "0.6" else "0.12"
    return "0.6" if workspace["apiVersion"] == ADD_ON_WORKSPACE.api_version else "0.12"


def review(release: Release, kind: Kind, value: Object, old: Object | None) -> None:
    """Raises `Refused` (400) when the webhook denies the workspace."""
    paths: dict[str, set[str]] = {}
    for message, path in _Review(release, kind, value, old):
        paths.setdefault(message, set()).update([path] if path else [])
    if paths:
        text = "\n".join(f"{message}: {', '.join(sorted(paths[message]))}" for message in sorted(paths))
        raise bad_request(
            f'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: {text}'
        )
    if "tuning" in value:
        raise unsupported("tuning")


def _on_create(review: _Review) -> Iterator[Problem]:
    value = review.value
    if "inference" in value and "tuning" in value:
        yield "Either Inference or Tuning must be specified, but not both", "spec"
    if "inference" not in value and "tuning" not in value:
        yield "Either Inference or Tuning must be specified, not neither", "spec"
    resource = value.get("resource", {})
    if review.release == "0.12" and not resource.get("instanceType"):
        yield "missing field(s)", "spec.instanceType is required when node auto-provisioning is enabled"
        yield "missing field(s)", f"spec.{_NO_TYPE}"
    if "inference" in value:
        yield from _resource(review, resource)
        yield from _inference(review, value["inference"])


def _resource(review: _Review, resource: Object) -> Iterator[Problem]:
    name = resource.get("instanceType") or ""
    if name not in presets.SKUS and not name.startswith(presets.FAMILIES):
        yield (
            f"invalid value: Unsupported instance type {name}. Supported SKUs: {', '.join(presets.SKUS)}",
            _NO_TYPE,
        )
    selector = resource.get("labelSelector", {})
    if problem := _selector_problem(selector) or _labels_problem(selector):
        yield f"invalid value: {problem}", "resource.labelSelector"
    if review.release == "0.12" and "partition" in resource:
        yield (
            "GPU partitioning is only supported with BYO nodes (disableNodeAutoProvisioning=true)",
            "resource.partition",
        )
    labels = selector.get("matchLabels")
    if review.release == "0.12" and labels and all(label.startswith(_RESERVED) for label in labels):
        yield (
            "invalid value: matchLabels must contain at least one non-reserved label",
            "resource.labelSelector.matchLabels",
        )


def _inference(review: _Review, inference: Object) -> Iterator[Problem]:
    preset = inference.get("preset")
    if preset is None and inference.get("template") is None:
        yield "missing field(s)", "inference.Preset or Template must be specified"
    if preset is not None and inference.get("template") is not None:
        yield "Preset and Template cannot be set at the same time", ""
    if preset is not None:
        yield from _preset(review, preset)
    adapters = inference.get("adapters", [])
    if len(adapters) > 10:
        yield "Number of Adapters exceeds the maximum limit, maximum of 10 allowed", ""
    yield from _adapter_names(adapters)
    if config := inference.get("config"):
        # This cluster serves no ConfigMaps, so there is none.
        namespace = review.value["metadata"]["namespace"]
        yield (
            f"ConfigMap '{config}' specified in 'config' not found in namespace '{namespace}'",
            "inference.config",
        )


def _preset(review: _Review, preset: Object) -> Iterator[Problem]:
    name, is_new = preset["name"], review.release == "0.12"
    known = name in presets.PRESETS or "/" in name if is_new else name in presets.ADD_ON_PRESETS
    if is_new and name in presets.DEPRECATED:
        yield f"Model {name} is deprecated and no longer supported", "resource.presetName"
    if not known:
        yield f"invalid value: Unsupported inference preset name {name}", "inference.presetName"
    elif review.kind.version == "v1beta1":
        yield from _access(name, bool(preset.get("presetOptions", {}).get("modelAccessSecret")), is_new)


def _access(name: str, has_secret: bool, is_new: bool) -> Iterator[Problem]:
    """v1alpha1 has no field for a secret, and no rule about one."""
    downloaded = name in presets.DOWNLOADED or "/" in name if is_new else name in presets.ADD_ON_DOWNLOADED
    if has_secret and not downloaded:
        yield "This preset does not require a modelAccessSecret with HF_TOKEN key under presetOptions", ""
    if not has_secret and is_new and name.lower().startswith(presets.LICENSED):
        text = (
            "This preset requires authentication and needs a modelAccessSecret with HF_TOKEN key under "
            "presetOptions to download the model"
        )
        yield text, ""
    if not has_secret and not is_new and downloaded:
        yield (
            (
                "This preset requires a modelAccessSecret with HF_TOKEN key under presetOptions to download "
                "the model"
            ),
            "",
        )


def _on_update(review: _Review, old: Object) -> Iterator[Problem]:
    value = review.value
    for part in ("inference", "tuning"):
        if (part in value) != (part in old):
            yield f"{part.capitalize()} field cannot be toggled once set", f"spec.{part}"
    yield from _resource_changes(review, value.get("resource", {}), old.get("resource", {}))
    if "inference" in value and "inference" in old:
        yield from _inference_changes(value["inference"], old["inference"])


def _resource_changes(review: _Review, new: Object, old: Object) -> Iterator[Problem]:
    for name in ("count", "partition"):
        if new.get(name) != old.get(name):
            yield "field is immutable", f"resource.{name}"
    if review.release == "0.6" and new.get("instanceType") != old.get("instanceType"):
        yield "field is immutable", _NO_TYPE
    if review.release == "0.12":
        yield from _type_change(new.get("instanceType"), old.get("instanceType"))
    selectors = new.get("labelSelector", {}), old.get("labelSelector", {})
    if any(_selector_problem(selector) for selector in selectors):
        yield "Only allow matchLabels or 'IN' matchExpression", "resource.labelSelector"
    elif _selected(selectors[0]) != _selected(selectors[1]):
        yield "field is immutable", "resource.labelSelector"


def _type_change(new: str | None, old: str | None) -> Iterator[Problem]:
    if not new:
        yield "missing field(s)", "resource.instanceType is required when node auto-provisioning is enabled"
        yield "missing field(s)", _NO_TYPE
    elif old and new != old:
        yield "instanceType cannot be changed once set when node auto-provisioning is enabled", _NO_TYPE


def _inference_changes(new: Object, old: Object) -> Iterator[Problem]:
    if new.get("preset") != old.get("preset"):
        yield "field is immutable", "inference.preset"
    if (new.get("template") is None) != (old.get("template") is None):
        yield "field cannot be unset/set if it was set/unset", "inference.template"
    yield from _adapter_names(new.get("adapters", []))


def _adapter_names(adapters: list[Object]) -> Iterator[Problem]:
    counted = Counter(adapter.get("source", {}).get("name", "") for adapter in adapters)
    yield from (
        (f"Duplicate adapter source name found: {name}", "") for name, count in counted.items() if count > 1
    )


def _selector_problem(selector: Object) -> str | None:
    """Why a label selector cannot be read as a map of labels (apimachinery, `LabelSelectorAsMap`)."""
    for expression in selector.get("matchExpressions", []):
        operator = expression["operator"]
        if operator in ("NotIn", "Exists", "DoesNotExist"):
            return f'operator "{operator}" cannot be converted into the old label selector format'
        if operator != "In":
            return f'"{operator}" is not a valid selector operator'
        if len(expression.get("values", [])) != 1:
            return (
                f'operator "{operator}" without a single value cannot be converted into the old label '
                "selector format"
            )
    return None


def _labels_problem(selector: Object) -> str | None:
    """Why no node can have the labels. The real webhook lets it pass: the NodeClaim that gets them is
    refused, and no node ever comes.
    """
    return next(filter(None, map(value_problem, _selected(selector).values())), None)


def _selected(selector: Object) -> dict[str, Any]:
    found = {
        expression["key"]: expression["values"][0] for expression in selector.get("matchExpressions", [])
    }
    return {**selector.get("matchLabels", {}), **found}


def selected_labels(workspace: Object) -> dict[str, Any]:
    """The labels that the workspace's nodes carry."""
    return _selected(workspace.get("resource", {}).get("labelSelector", {}))
