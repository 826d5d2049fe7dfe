"""Schemathesis, which knows nothing but the description, asks everything that it allows and does not:
https://schemathesis.readthedocs.io.

It has an environment of its own (`make contract`); without it these tests are left out.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.road import Road
from tests.end_to_end.test_asking import token_of

#: The host's business, and the real one answers otherwise: 404 for a method that no function has.
NOT_OURS = "unsupported_method,allow_header_conformance"
EXAMPLES, SEED, SECONDS = 25, 20260302, 900


def installed() -> Path:
    """The program. Skips the test where there is none, or fails it where there must be one."""
    python = os.environ.get("MERGEKEY_CONTRACT_PYTHON")
    program = None if python is None else Path(python).parent / "schemathesis"
    if program is not None and program.exists():
        return program
    absent = "no Schemathesis: run `make contract`"
    if os.environ.get("MERGEKEY_REQUIRE_REFERENCE") == "1":
        pytest.fail(absent, pytrace=False)
    pytest.skip(absent)


@pytest.mark.parametrize("client", [None, "ron.Reader", "olivia.Operator", "nobody-special"], ids=str)
def test_no_question_brings_an_answer_that_is_not_described(
    road: Road, tmp_path: Path, client: str | None
) -> None:
    program = installed()
    words = [
        "run",
        f"{road.stack.host_url}/api/openapi.json",
        "--exclude-checks",
        NOT_OURS,
        "--max-examples",
        str(EXAMPLES),
    ]
    words += [
        "--seed",
        str(SEED),
        "--continue-on-failure",
        "--exclude-operation-id",
        "order_sweep" if client == "olivia.Operator" else "none",
    ]
    words += [] if client is None else ["--header", f"Authorization: Bearer {token_of(client)}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "160"}
    done = subprocess.run(
        [program, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
