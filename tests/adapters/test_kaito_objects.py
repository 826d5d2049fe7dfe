"""What is read of a namespace: that it goes, since when, and what keeps it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.adapters.kaito_objects import namespace_of
from shared.resources.workspaces import MANAGED_BY

CONTENT = "Some resources are remaining: workspaces.kaito.sh has 1 resource instances"
FINALIZER = (
    "Some content in the namespace has finalizers remaining: workspace.finalizer.kaito.sh in 1 resource "
    "instances"
)
DISCOVERY = (
    "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
    "metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1"
)


def _item(*conditions: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"phase": "Terminating" if "deletionTimestamp" in metadata else "Active"}
    if conditions:
        status["conditions"] = list(conditions)
    return {"metadata": {"name": "team-alpha", "resourceVersion": "7", **metadata}, "status": status}


def _condition(kind: str, message: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": "Some", "message": message}


GOING = {"deletionTimestamp": "2026-03-02T09:00:00Z"}


def test_a_namespace_that_goes_says_since_when_and_at_first_not_why() -> None:
    found = namespace_of(_item(**GOING))
    assert (found.terminating, found.deleted) == (True, datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert found.remaining == ""
    stays = namespace_of(_item())
    assert (stays.terminating, stays.deleted, stays.remaining) == (False, None, "")


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([_condition("NamespaceContentRemaining", CONTENT)], CONTENT),
        (
            [
                _condition("NamespaceContentRemaining", CONTENT),
                _condition("NamespaceFinalizersRemaining", FINALIZER),
            ],
            f"{FINALIZER}; {CONTENT}",
        ),
        ([_condition("NamespaceDeletionDiscoveryFailure", DISCOVERY)], DISCOVERY),
        ([_condition("NamespaceDeletionDiscoveryFailure", "All resources discovered", "False")], ""),
        ([_condition("NamespaceContentRemaining", "two\nlines")], "two lines"),
        ([_condition("NamespaceContentRemaining", "")], "NamespaceContentRemaining"),
        ([_condition("theirs.example/Checked", "yes")], ""),
        ([_condition("NamespaceContentRemaining", "x" * 9_000)], "x" * 500),
    ],
)
def test_the_conditions_of_a_namespace_say_what_keeps_it(conditions: list[dict[str, Any]], why: str) -> None:
    assert namespace_of(_item(*conditions, **GOING)).remaining == why


@pytest.mark.parametrize(
    "labels", [None, {}, {MANAGED_BY: "Helm"}, {"mergekey.dev/team": "alpha", "app": "x"}]
)
def test_the_labels_that_are_ours_are_read(labels: dict[str, str] | None) -> None:
    found = namespace_of(_item(labels=labels)).labels
    assert found == {name: value for name, value in (labels or {}).items() if name != "app"}
