"""docs/policies.md explains every policy that is compiled, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from shared.policies.policy_table import TABLE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text()

#: What needs no explanation: it holds others, or belongs to an answer.
UNSAID = {"base", "set-status"}


def test_every_policy_is_explained() -> None:
    cells = re.findall(r"^\| (`[^|]+`) \| (?:product|API)", PAGE, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([\w-]+)`", cell)} == TABLE.keys() - UNSAID
