"""The types that our expressions name are among those that the service allows.

`expression_types.json` is the list of the reference page on policy expressions. `make contract` asks a C#
compiler for the types that are used without being named.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from shared.policies.expressions import EXPRESSIONS

_ALLOWED = json.loads(Path(__file__).with_name("expression_types.json").read_text())["types"]
TYPES = {name.rpartition(".")[2] for name in _ALLOWED} | {"string", "int", "char", "byte", "bool"}
KEYWORDS = {"var", "new", "for", "while", "if", "else", "return", "continue", "null", "true", "false"}
CONTEXT = {"LastError", "Operation", "Request", "Response", "Subscription", "Variables"}
_TEXTS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])+'")
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?:\s*\.\s*(\w+))?")
_DECLARED = re.compile(r"(?:\bvar|\bint|\bbool|\bstring|,)\s+(\w+)\s*=[^=]")


def strangers(text: str) -> set[str]:
    """Names in an expression that are no allowed type, keyword, own variable, or part of the context."""
    code = _TEXTS.sub('""', text)
    own = set(_DECLARED.findall(code)) | {"preserveContent"}
    found = set()
    for name, member in _NAME.findall(code):
        if name == "context":
            found |= {f"context.{member}"} - {f"context.{each}" for each in CONTEXT}
        elif name not in TYPES | KEYWORDS | own:
            found.add(name)
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_names_allowed_types_only(name: str) -> None:
    assert strangers(EXPRESSIONS[name]) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@(new JsonSerializerSettings())", {"JsonSerializerSettings"}),
        ("@(System.IO.File.ReadAllText(\"x\"))", {"System"}),
        ("@(context.Deployment.Region)", {"context.Deployment"}),
        ("@{ foreach (var x in y) { return x; } }", {"foreach", "in", "x", "y"}),
    ],
)  # fmt: skip
def test_a_type_that_is_not_allowed_is_seen(text: str, found: set[str]) -> None:
    assert strangers(text) == found
