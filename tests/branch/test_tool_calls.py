"""What the check says of a workspace that answers no calls of tools."""

from __future__ import annotations

import pytest

from shared.branch.review import Baseline, File, review
from shared.requests.paths import DEFAULT_CATALOG_PATH, DEFAULT_PATTERNS, RequestPaths
from tests.fakes.app import GPU, Asked, catalog_text, path_of

PATHS = RequestPaths(DEFAULT_PATTERNS)
NAMED = f'kaito: "0.12"\n{catalog_text()}'


def _reasons(catalog: str, model: str, baseline: Baseline) -> list[tuple[str, str]]:
    files = {
        DEFAULT_CATALOG_PATH: File(catalog.encode()),
        path_of("alpha"): File(Asked(dedicated={model: GPU}).text().encode()),
    }
    found = review(files, PATHS, DEFAULT_CATALOG_PATH, baseline).problems
    return [(each.reason, each.level) for each in found if each.reason == "NoToolCalls"]


@pytest.mark.parametrize(
    ("catalog", "model", "baseline", "said"),
    [
        (NAMED, "phi-4", Baseline(), True),
        (NAMED, "phi-4", Baseline(workspaces={"phi-4": frozenset({"alpha"})}), False),
        (NAMED, "mistral-7b", Baseline(), False),
        (catalog_text(), "phi-4", Baseline(), False),
        (
            NAMED.replace("preset: phi-4\n", "preset: phi-4\n    toolParser: hermes\n"),
            "phi-4",
            Baseline(),
            False,
        ),
    ],
)
def test_a_new_workspace_without_a_parser_is_told(
    catalog: str, model: str, baseline: Baseline, said: bool
) -> None:
    assert _reasons(catalog, model, baseline) == ([("NoToolCalls", "notice")] if said else [])
