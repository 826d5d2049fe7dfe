"""What KAITO's conditions mean."""

from __future__ import annotations

from typing import Any

import pytest

from shared.resources.readiness import Failed, NotYet, Readiness, Ready, readiness

ON_THE_WAY = ("NodeClaimReady", "NodesReady", "ResourceReady", "InferenceReady")

WITH_NODES = ON_THE_WAY[:3]


def _conditions(
    *true: str, verdict: str = "False", reason: str = "workspacePending", message: str = ""
) -> list[dict[str, Any]]:
    """All conditions; those named are true."""
    rows = [{"type": name, "status": "True" if name in true else "False"} for name in ON_THE_WAY]
    return [*rows, {"type": "WorkspaceSucceeded", "status": verdict, "reason": reason, "message": message}]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], NotYet("WorkspaceNotReady")),
        ([{}], NotYet("WorkspaceNotReady")),
        (_conditions(), NotYet("NodeClaimNotReady")),
        (_conditions("NodeClaimReady"), NotYet("NodesNotReady")),
        (_conditions("NodeClaimReady", "NodesReady"), NotYet("ResourceNotReady")),
        (_conditions("NodeClaimReady", "NodesReady", "ResourceReady"), NotYet("InferenceNotReady")),
        (_conditions(*ON_THE_WAY), NotYet("WorkspaceNotReady")),
        (_conditions(*ON_THE_WAY, verdict="True", reason="workspaceSucceeded"), Ready()),
        (
            _conditions(*WITH_NODES, reason="workspaceFailed", message="CUDA is out of memory"),
            Failed("CUDA is out of memory"),
        ),
        (_conditions(*WITH_NODES, reason="BenchmarkFailed"), Failed("BenchmarkFailed")),
        (
            _conditions(reason="workspaceFailed", message="check nodeClaim status timed out"),
            NotYet("NodeClaimNotReady"),
        ),
        ([{"type": "NodesReady", "status": "Unknown"}], NotYet("NodesNotReady")),
        ([{"type": "InferenceReady", "status": "False"}], NotYet("InferenceNotReady")),
    ],
)
def test_the_first_condition_that_is_not_true_is_what_is_waited_for(
    conditions: list[dict[str, Any]], expected: Readiness
) -> None:
    assert readiness(conditions) == expected


def test_the_order_in_which_conditions_are_written_does_not_matter() -> None:
    assert readiness(reversed(_conditions("NodeClaimReady"))) == NotYet("NodesNotReady")


def test_a_workspace_of_the_add_on_has_fewer_conditions() -> None:
    rows = [row for row in _conditions("NodeClaimReady") if row["type"] != "NodesReady"]
    assert readiness(rows) == NotYet("ResourceNotReady")
