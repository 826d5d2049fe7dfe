"""docs/features.md names policies that are compiled, keys that are read and tests that exist."""

from __future__ import annotations

import ast
import re

import pytest
from typer.testing import CliRunner

from cli.main import app
from shared.policies.policy_table import TABLE
from tests.conftest import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "features.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| feature ")
]
#: Parts of a policy, and the API that it belongs to.
OTHER_WORDS = {"ai", "requested-model", "token-quota"}
#: What stands in every policy.
FRAME = {"base", "set-status", "set-variable"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_proves_a_feature_is_there(row: list[str]) -> None:
    *_, proofs = row
    for proof in proofs.split("; "):
        file, *tests = re.findall(r"`([^`]+)`", proof)
        there = {
            node.name
            for node in ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
            if hasattr(node, "name")
        }
        assert tests
        assert set(tests) <= there


def test_the_policies_are_those_that_are_compiled() -> None:
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[2])}
    assert named - OTHER_WORDS == TABLE.keys() - FRAME


def test_what_is_written_for_a_feature_is_a_key_of_the_files() -> None:
    keys = "".join(CliRunner().invoke(app, ["schema", subject]).stdout for subject in ("catalog", "request"))
    for row in ROWS:
        for key in re.findall(r"`([^`]+)`", row[1]):
            assert f'"{key}": {{' in keys, row[0]
