"""The labels by which a namespace and the objects in it are known to be ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from shared.errors import NotManaged
from shared.marker import Marker
from shared.resources.actual import Namespace, Workspace
from shared.resources.plan import Refused, Unread, known
from shared.resources.workspaces import MANAGED_BY, MANAGER, labels_of

#: The label that finds our objects, as kubectl spells it.
OUR_LABEL = f"{MANAGED_BY}={MANAGER}"


def has_our_label(namespace: Namespace) -> bool:
    """Whether it has the label that the cluster's admission policy demands."""
    return namespace.labels.get(MANAGED_BY) == MANAGER


def label_lost(name: str, workspaces: Iterable[Workspace] | Unread) -> str:
    """What has come of a namespace without that label, and how a person puts it back."""
    shown = (f"{each.name} on {each.fixed.get('instanceType')}" for each in known(workspaces, ()))
    running = "of which nothing is known" if isinstance(workspaces, Unread) else ", ".join(shown)
    return (
        f"namespace {name} has lost the label {OUR_LABEL}: nothing in it is repaired or deleted until it is "
        f"put back: kubectl label namespace {name} {OUR_LABEL} --overwrite. GPUs go on: {running or 'none'}"
    )


def is_labelled(marker: Marker, namespace: Namespace) -> bool:
    """Whether it has all our labels."""
    return labels_of(marker).items() <= namespace.labels.items()


def taken(kind: Literal["workspace", "route", "limits"], shown: str, name: str) -> Refused:
    message = (
        f"there is a {shown} {name} in the team's namespace that is not managed by mergekey: rename or "
        f"remove it, or put the label {OUR_LABEL} back"
    )
    return Refused(kind, f"{shown} {name}" if kind == "limits" else name, NotManaged, message)
