"""Look for namespaces of Mergekey without the label that kubernetes/only-team-namespaces.yaml demands:

    kubectl get namespaces -o json | python3 namespaces_without_label.py

Prints for each the line that puts the label back, and ends with 1 where there is one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

LABEL, VALUE = "app.kubernetes.io/managed-by", "mergekey"
#: The annotations by which the app knows a namespace of its own.
REPOSITORY, TEAM = "mergekey.dev/repository", "mergekey.dev/team"


def without_label(namespaces: Mapping[str, Any]) -> Iterator[str]:
    """The names of all such namespaces in an answer of kubectl. One of others with our prefix has no
    annotations of ours.
    """
    for item in namespaces["items"]:
        metadata = item["metadata"]
        annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
        is_ours = REPOSITORY in annotations and metadata["name"] == f"team-{annotations.get(TEAM)}"
        if is_ours and labels.get(LABEL) != VALUE:
            yield metadata["name"]


if __name__ == "__main__":
    found = list(without_label(json.load(sys.stdin)))
    for name in found:
        sys.stdout.write(f"kubectl label namespace {name} {LABEL}={VALUE} --overwrite\n")
    sys.exit(1 if found else 0)
