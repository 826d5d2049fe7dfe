"""A cluster's OpenAPI document tells which release of KAITO it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shared.adapters.kaito_objects import marks_of
from shared.kaito.releases import MARKS, Release, release_of

DEFINITIONS: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_name("kaito_definitions.yaml").read_text()
)
Json = dict[str, Any]


def document(release: str, *more: str, kinds: str = "") -> Json:
    """The document of a cluster with the definitions of this release, and with more fields."""
    known = DEFINITIONS[release]
    workspace: Json = {}
    for field in (*known["fields"].split(), *more):
        _declare(workspace, field)
    names = (kinds or known["kinds"]).split()
    return {"components": {"schemas": dict(_schemas(names, workspace)) | {"v1.Status": {"type": "object"}}}}


def _declare(schema: Json, field: str) -> None:
    for name in field.strip("[]").split("."):
        schema = schema.setdefault("properties", {}).setdefault(name, {})
    if field.startswith("["):
        schema["default"] = "something"


def _schemas(kinds: list[str], workspace: Json) -> Iterator[tuple[str, Json]]:
    for kind in kinds:
        meant = [{"group": "kaito.sh", "version": "v1beta1", "kind": kind}]
        schema = workspace if kind == "Workspace" else {"properties": {"spec": {}}}
        yield f"sh.kaito.v1beta1.{kind}", {**schema, "x-kubernetes-group-version-kind": meant}


@pytest.mark.parametrize("release", get_args(Release))
def test_each_release_is_told_by_its_own_definitions(release: Release) -> None:
    assert release_of(marks_of(document(release))) == release


def test_the_table_and_the_definitions_have_the_same_releases_all_different() -> None:
    assert list(MARKS) == list(get_args(Release)) == list(DEFINITIONS)
    assert len(set(MARKS.values())) == len(MARKS)


def test_the_two_newest_differ_in_partitions_alone() -> None:
    assert MARKS["0.12"] - MARKS["0.11"] == {"resource.partition"}
    assert MARKS["0.11"] < MARKS["0.12"]


@pytest.mark.parametrize("field", ["resource.zone", "inference.preset.quantization", "status.cost", "spec"])
def test_a_field_of_no_known_release_makes_it_unknown(field: str) -> None:
    assert release_of(marks_of(document("0.12", field))) is None


def test_fields_that_do_not_matter_make_no_release_unknown() -> None:
    assert release_of(marks_of(document("0.12", "tuning.speed", "status.conditions.more"))) == "0.12"


def test_other_kinds_of_kaito_make_no_release_unknown() -> None:
    kinds = "InferenceSet ModelMirror RAGEngine Workspace"
    assert release_of(marks_of(document("0.11", kinds=kinds))) == "0.11"
    assert release_of(marks_of(document("0.10", kinds="RAGEngine Workspace"))) == "0.10"


def test_definitions_that_are_half_upgraded_are_unknown() -> None:
    assert release_of(marks_of(document("0.12", kinds="Workspace"))) is None


def test_workspaces_without_the_fields_of_today_are_of_an_unknown_release() -> None:
    for fields in ("status.conditions", "resource status.conditions", "spec.size"):
        workspace: Json = {}
        for field in fields.split():
            _declare(workspace, field)
        marks = marks_of({"components": {"schemas": dict(_schemas(["Workspace"], workspace))}})
        assert marks
        assert release_of(marks) is None


def test_a_cluster_without_workspaces_has_no_marks() -> None:
    assert marks_of(document("0.12", kinds="RAGEngine")) == frozenset()
    assert release_of(frozenset()) is None


@pytest.mark.parametrize(
    "broken", [{}, {"components": {}}, {"components": {"schemas": []}}, {"components": {"schemas": {"a": 1}}}]
)
def test_a_document_without_schemas_is_no_answer(broken: Json) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)):
        marks_of(broken)
