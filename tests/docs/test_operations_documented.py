"""docs/operations.md has every alert that calls somebody and every line that the app logs."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
#: What stands there as it is seen: between backticks, not the blocks of commands.
SHOWN = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL))
ALERTS = re.findall(
    r'^resource "azurerm_monitor_[a-z_]*alert[a-z_0-9]*" .*?^}',
    (ROOT / "infra" / "monitoring.tf").read_text(),
    re.M | re.S,
)
LOGGED = {("log", "info"), ("log", "warning"), ("log", "error")}
#: Calls that are given a text for the log, and the module whose functions yield such.
TOLD = {"found", "unmanaged_resource", "not_looked_at", "_tell"}
TELLING = ROOT / "shared" / "inventory" / "unmanaged.py"


def test_every_alert_is_on_the_page_and_names_it() -> None:
    assert len(ALERTS) == 7
    for alert in ALERTS:
        [name] = re.findall(r'^  name += "(.+)"$', alert, re.MULTILINE)
        [description] = re.findall(r'^  description += "(.+)"$', alert, re.MULTILINE)
        assert f"| `{name}` | alert |" in PAGE
        assert "docs/operations.md" in description


@functools.cache
def calls() -> tuple[ast.Call, ...]:
    """Every call in the app of a function by which a text may get into the log."""
    names = TOLD | {name for _, name in LOGGED}
    return tuple(
        node
        for folder in ("shared", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for text in [path.read_text()]
        if any(f"{name}(" in text for name in names)  # parsing takes long
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and name_of(node.func) in names
    )


def logged() -> Iterator[tuple[str, ...]]:
    """The fixed parts of every text that is given to the log, in order."""
    for node in calls():
        if not (isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
            continue
        if (node.func.value.id, node.func.attr) in LOGGED:
            yield parts(node.args[0])


def told() -> Iterator[tuple[str, ...]]:
    """The same of every text that is given to a function that logs it."""
    for node in calls():
        if name_of(node.func) in TOLD:
            yield from (
                parts(argument)
                for argument in node.args
                if isinstance(argument, ast.JoinedStr | ast.Constant)
            )


def telling() -> Iterator[tuple[str, ...]]:
    """The same of every text that is yielded for the log."""
    yield from (parts(text) for text in yielded(ast.parse(TELLING.read_text())))


def name_of(function: ast.expr) -> str:
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def yielded(module: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(module):
        if isinstance(node, ast.Yield | ast.YieldFrom) and node.value is not None:
            found = node.value.elt if isinstance(node.value, ast.GeneratorExp) else node.value
            if isinstance(found, ast.JoinedStr):
                yield found


def parts(text: ast.expr) -> tuple[str, ...]:
    """What stands between the gaps, without the punctuation around them."""
    pieces = text.values if isinstance(text, ast.JoinedStr) else [text]
    fixed = "\0".join(str(piece.value) if isinstance(piece, ast.Constant) else "\0" for piece in pieces)
    return tuple(part for part in (piece.strip(" :;,().") for piece in re.split(r"\0+|%s", fixed)) if part)


LINES = sorted({*logged(), *told(), *telling()})


@pytest.mark.parametrize("kind", [logged, told, telling])
def test_each_kind_of_line_is_found(kind: Callable[[], Iterator[tuple[str, ...]]]) -> None:
    assert len(set(kind())) > 3


@pytest.mark.parametrize("line", LINES, ids=" ... ".join)
def test_every_line_of_the_log_is_on_the_page(line: tuple[str, ...]) -> None:
    wanted = re.compile(".*".join(map(re.escape, line)))
    assert any(wanted.search(shown) for shown in SHOWN)
