"""The schemas that editors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from shared.documents.strict_yaml import read_bytes
from tests.branch.golden import CASES
from tests.requests.test_wrong_files import TABLE

EXAMPLES = Path(__file__).parents[2] / "examples" / "access-repo"
CATALOG = EXAMPLES / "platform" / "config" / "model_catalog.yaml"
SCHEMA = EXAMPLES / "platform" / "config" / "access.schema.json"
TEAM = {"name": "alpha", "owner": "a@b.com"}
#: What only the validator knows: numbers in other notations, dates that no calendar has, what stands in
#: comments or inside a text, and models that are named twice.
UNSEEN = {
    "BadDate",
    "WrongType",
    "SecretInRequest",
    "DuplicateModel",
    "MissingKey",
    "UnknownKey",
    "NotAllowed",
    "NotYaml",
}


def _mergekey(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _schema(*arguments: str | Path) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(_mergekey("schema", "request", *arguments).output))


def _places(validator: jsonschema_rs.Validator, request: object) -> set[str]:
    return {"/".join(map(str, each.instance_path)) for each in validator.iter_errors(request)}


def _asking(models: Any, **more: Any) -> dict[str, Any]:
    return {"team": TEAM, "models": models, **more}


def test_the_schema_beside_the_example_is_the_one_of_its_catalogue() -> None:
    """After a change: mergekey schema request --catalog platform/config/model_catalog.yaml in that folder."""
    assert SCHEMA.read_text() == _mergekey("schema", "request", "--catalog", CATALOG).output


def test_each_example_leads_an_editor_to_the_schema_and_is_valid_by_it() -> None:
    validator = _schema("--catalog", CATALOG)
    for file in EXAMPLES.rglob("access.yaml"):
        first = file.read_text().splitlines()[0]
        leads = first.removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / leads).resolve() == SCHEMA.resolve()
        assert _places(validator, read_bytes("access.yaml", file.read_bytes()).data) == set()


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (
            _asking({"foundry": [{"name": "gpt-4.1", "tokensPerMinute": None}]}),
            "models/foundry/0/tokensPerMinute",
        ),
        (_asking({"foundry": [{"name": "gpt-4.1"}]}, expires=None), "expires"),
        (_asking({"foundry": [{"name": "gpt-4.1"}]}, expires="31.03.2035"), "expires"),
        (_asking({"foundry": [{"name": "gpt-5"}]}), "models/foundry/0/name"),
        (_asking({"kaito": [{"name": "gpt-4.1"}]}), "models/kaito/0/name"),
        (_asking({"foundry": {"models": ["gpt-5"]}}), "models/foundry/models/0"),
        (_asking({}), "models"),
        (_asking({"foundry": []}), "models"),
        (
            _asking({"kaito": [{"name": "phi-4", "instanceType": "Standard_NC24ads_A100_v4"}]}),
            "models/kaito/0",
        ),
        (_asking({"foundry": [{"name": "gpt-4.1", "colour": 1}]}), "models/foundry/0"),
        ({"team": {**TEAM, "name": "platform"}, "models": {"foundry": [{"name": "gpt-4.1"}]}}, "team/name"),
        ({"kind": "ConfigMap", "data": {"team": "alpha"}}, "data"),
    ],
)
def test_an_editor_is_shown_the_place_of_a_mistake(request_: dict[str, Any], place: str) -> None:
    assert place in _places(_schema("--catalog", CATALOG), request_)


def test_a_mistake_in_one_shape_is_not_told_as_one_of_another() -> None:
    wrong = _asking({"foundry": [{"name": "gpt-4.1", "tokensPerMinute": "5"}]})
    assert _places(_schema(), wrong) == {"models/foundry/0/tokensPerMinute"}
    short = _asking({"foundry": {"enabled": "yes", "models": ["gpt-4.1"]}})
    assert _places(_schema(), short) == {"models/foundry/enabled"}


def test_the_schema_is_never_stricter_than_the_validator() -> None:
    validator = _schema()
    for folder in CASES.iterdir():
        file, expected = folder / "access.yaml", folder / "expected.txt"
        if file.exists() and expected.read_text() == "":
            assert _places(validator, read_bytes("access.yaml", file.read_bytes()).data) == set(), folder.name


def test_the_schema_knows_most_of_what_is_wrong_with_files_of_people() -> None:
    validator = _schema("--catalog", CATALOG)
    missed = []
    for case in TABLE["requests"]:
        document = read_bytes("access.yaml", case["file"].encode())
        if not document.problems and document.data is not None and validator.is_valid(document.data):
            missed.append({told[2] for told in case["told"]})
    assert set().union(*missed) <= UNSEEN
    assert len(missed) <= len(TABLE["requests"]) // 5


def test_a_catalogue_with_problems_names_no_models(tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("models:\n")
    result = _mergekey("schema", "request", "--catalog", tmp_path / "catalog.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "NoValue" in result.stderr
    assert _mergekey("schema", "request", "--catalog", tmp_path / "nowhere.yaml").exit_code == 2
    assert _mergekey("schema", "catalog", "--catalog", CATALOG).exit_code == 2


def test_the_schema_of_the_catalogue_describes_a_model() -> None:
    schema = json.loads(_mergekey("schema", "catalog").output)
    assert {"name", "provider", "endpoint", "servedName", "dedicated"} <= schema["$defs"]["ModelSchema"][
        "properties"
    ].keys()
    assert {
        "currency",
        "nodePrice",
        "overCommitment",
        "poolsTaken",
        "contentSafety",
        "semanticCache",
        "entraTokens",
        "bearerKeys",
        "origins",
        "kaito",
        "models",
    } == schema["properties"].keys()
    assert schema["$defs"]["ModelSchema"]["properties"]["retiresOn"]["format"] == "date"
