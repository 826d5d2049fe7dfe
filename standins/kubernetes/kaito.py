"""KAITO's marks on a Workspace, and times as Kubernetes writes them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from standins.kubernetes.kinds import Object

FINALIZER = "workspace.finalizer.kaito.sh"
#: The annotations that say which revision of the specification is in force, and its digest.
REVISION, DIGEST = "workspace.kaito.io/revision", "workspace.kaito.io/hash"


def deleted_at(workspace: Object) -> float | None:
    deleted = workspace["metadata"].get("deletionTimestamp")
    return None if deleted is None else seconds(deleted)


def notes(workspace: Object) -> dict[str, str]:
    """What KAITO notes on a workspace: the revision of its specification, which is a new one after each
    change of it.
    """
    text = json.dumps([workspace.get(part) for part in ("resource", "inference", "tuning")], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    before = workspace["metadata"].get("annotations") or {}
    revision = int(before.get(REVISION, 0)) + (before.get(DIGEST) != digest)
    return {DIGEST: digest, REVISION: str(max(revision, 1))}


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
