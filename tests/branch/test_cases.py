"""What is told about every kind of bad input: see golden.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.branch.review import File
from shared.documents.problem import failures
from tests.branch.golden import CASES, REQUEST, case_names, rendered, review_of, review_of_case


@pytest.mark.parametrize("name", case_names())
def test_a_case_gets_exactly_the_expected_problems(name: str) -> None:
    assert rendered(review_of_case(name)) == (CASES / name / "expected.txt").read_text()


def test_a_valid_case_gives_a_request_and_a_faulty_one_gives_none() -> None:
    for name in case_names():
        found = review_of_case(name)
        assert (REQUEST in found.requests) == (not failures(found.problems)), name


def test_all_problems_of_one_file_come_at_once() -> None:
    reasons = {problem.reason for problem in review_of_case("everything-at-once").problems}
    structure = {"UnknownKey", "DuplicateKey", "AnchorOrAlias"}
    values = {"WrongType", "OutOfRange", "BadEmail", "BadUuid", "BadDate"}
    meaning = {"WrongFolder", "UnknownModel", "AboveCeiling", "InstanceTypeNotAllowed"}
    assert reasons == structure | values | meaning


def test_a_file_of_64_kib_is_read_and_one_byte_more_is_refused() -> None:
    written = (CASES / "valid" / "access.yaml").read_bytes()
    largest = written + b"#" * (64 * 1024 - len(written))
    assert review_of({REQUEST: File(largest)}).problems == ()
    assert [problem.reason for problem in review_of({REQUEST: File(largest + b"#")}).problems] == ["TooLarge"]


@pytest.mark.parametrize(("mode", "reason"), [("120000", "SymbolicLink"), ("160000", "Submodule")])
@pytest.mark.parametrize(
    "path",
    [REQUEST, str(Path(REQUEST).parent), "tenant-access", "platform/config/model_catalog.yaml", "platform"],
)
def test_a_link_or_submodule_in_the_place_of_a_file_or_of_a_folder_above_is_refused(
    path: str, mode: str, reason: str
) -> None:
    found = review_of({path: File(b"../elsewhere", mode)})
    assert [(problem.path, problem.reason) for problem in found.problems] == [(path, reason)]
    assert found.requests == {}


def test_a_link_elsewhere_is_nobodys_business() -> None:
    assert review_of({"docs/current": File(b"v2", "120000")}).problems == ()
