"""A test is named by a short sentence."""

from __future__ import annotations

import ast

from tests.conftest import ROOT

LONGEST = 80


def test_no_name_of_a_test_is_longer_than_a_line() -> None:
    names = {
        node.name
        for folder in ("tests", "standins")
        for path in (ROOT / folder).rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert len(names) > 1000
    assert {name for name in names if len(name) > LONGEST} == set()
