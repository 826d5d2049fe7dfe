"""Evaluates the conditions of a KAITO Workspace: ready, not yet, or failed.

Conditions and reasons: https://github.com/kaito-project/kaito (api/v1beta1, condition types).
`WorkspaceSucceeded` decides; the earlier conditions say what the workspace waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

#: In the order in which KAITO sets them; the workspace waits for the first that is not true.
_ON_THE_WAY = ("NodeClaimReady", "NodesReady", "ResourceReady", "InferenceReady")
_HOPELESS = frozenset({"workspaceFailed", "BenchmarkFailed"})
#: KAITO 0.6 says `workspaceFailed` when a node takes longer than four minutes, goes on waiting, and takes it
#: back: while there is no node it means nothing.
_HAS_NODES = "ResourceReady"


@dataclass(frozen=True, slots=True)
class Ready:
    """It serves."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It is on its way; `reason` is for people, for instance `NodesNotReady`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """KAITO gave up; `message` is what it says about it."""

    message: str


Readiness = Ready | NotYet | Failed


def readiness(conditions: Iterable[Mapping[str, Any]]) -> Readiness:
    """Evaluate the `status.conditions` of a Workspace."""
    by_type = {condition.get("type", ""): condition for condition in conditions}
    succeeded = by_type.get("WorkspaceSucceeded", {})
    if succeeded.get("status") == "True":
        return Ready()
    has_nodes = by_type.get(_HAS_NODES, {}).get("status") == "True"
    if succeeded.get("reason") in _HOPELESS and has_nodes:
        return Failed(str(succeeded.get("message") or succeeded["reason"]))
    for name in _ON_THE_WAY:
        if name in by_type and by_type[name].get("status") != "True":
            return NotYet(f"{name.removesuffix('Ready')}NotReady")
    return NotYet("WorkspaceNotReady")
