"""Our expressions under a C# compiler and the real Json.NET: they compile, use allowed types only, and answer
what the stand-in answers. `make contract` says why where these are missing; other runs leave this file out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway.csharp_calls import CALLS, answered_here
from tests.gateway.csharp_programs import ABSENT, Programs, is_there

ALLOWED = json.loads((Path(__file__).parents[1] / "policies" / "expression_types.json").read_text())
#: The compiler adds its own.
COMPILERS = ("System.Runtime.CompilerServices.", "System.Diagnostics.")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    if not is_there():
        pytest.skip(ABSENT)
    return Programs(tmp_path_factory.mktemp("csharp"))


def test_an_expression_uses_allowed_types_and_members_only(programs: Programs) -> None:
    used = [(of, name) for of, name in programs.members() if not of.startswith(COMPILERS)]
    assert used
    assert [of for of, _ in used if of not in ALLOWED["types"]] == []
    members = ALLOWED["members"]
    assert [(of, name) for of, name in used if name not in members.get(of, [name])] == []


def test_the_stand_in_answers_what_the_compiled_expressions_answer(programs: Programs) -> None:
    different = []
    for call, told in zip(CALLS, programs.evaluate(CALLS), strict=True):
        try:
            here = answered_here(call)
        except (KeyError, ValueError, IndexError):
            here = None
        if (here is None) != (told.error is not None) or (here is not None and here != told.result):
            different.append((call, here, told))
    assert different == []
