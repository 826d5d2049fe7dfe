"""KAITO's admission webhook, in the releases whose own answers were printed: 0.6 (the AKS add-on), 0.8,
0.11, 0.12.
"""

from __future__ import annotations

from typing import Any

from standins.kubernetes.errors import bad_request
from standins.kubernetes.kinds import ADD_ON_WORKSPACE, CONFIG_MAP, Kind, Object
from standins.kubernetes.naming import dotless_label_problems
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.workspaces import creation, tables, updates
from standins.kubernetes.workspaces.problems import Panicked, Problem, invalid_value, selected, worded
from standins.kubernetes.workspaces.review import Review
from standins.kubernetes.workspaces.tables import ReleaseName

_PRINTED: dict[str, ReleaseName] = {"0.6": "0.6", "0.8": "0.8", "0.11": "0.11"}


def release_of(workspace: Object, setting: str) -> ReleaseName:
    """By the option `kaito`; where that is `by-version`, a workspace made as v1alpha1 is the add-on's. A
    release that was not printed does as 0.12.
    """
    if setting != "by-version":
        return _PRINTED.get(setting, "0.12")
    return "0.6" if workspace["apiVersion"] == ADD_ON_WORKSPACE.api_version else "0.12"


def review(objects: Objects, kind: Kind, value: Object, old: Object | None) -> None:
    """Raises `Refused`: 400 when the webhook denies the workspace, 500 when it breaks."""
    release = tables.of(release_of(old or value, objects.options["kaito"]), objects.options)

    def config_map(namespace: str, name: str) -> Object | None:
        return objects.find(Key(CONFIG_MAP, namespace, name))

    try:
        text = worded(_problems(Review(release, kind, value, config_map), old))
    except Panicked as panic:
        raise panic.refusal() from panic
    if text:
        raise bad_request(
            f'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: {text}'
        )


def _problems(looked_at: Review, old: Object | None) -> list[Problem]:
    name = ", ".join(dotless_label_problems(looked_at.value["metadata"]["name"]))
    found = [invalid_value(name, "name")] if name else []
    return [*found, *(creation.problems(looked_at) if old is None else updates.problems(looked_at, old))]


def selected_labels(workspace: Object) -> dict[str, Any]:
    """The labels that the workspace's nodes carry."""
    return selected(workspace.get("resource", {}).get("labelSelector", {}))
