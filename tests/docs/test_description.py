"""The description of the HTTP functions names every one of them, with its route, and nothing else."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.functions as func
import jsonschema_rs
import pytest

from functions.description import OPERATIONS, description
from tests.api_page import PAGE, examples, rewritten
from tests.described import as_described

ROOT = Path(__file__).resolve().parents[2]
WEBHOOK = "receive_push"


def http_functions() -> Iterator[tuple[str, str, str]]:
    """Name, method and path of every HTTP function, as the host is told."""
    app = func.FunctionApp()
    for file in sorted((ROOT / "functions").glob("*.py")):
        module: Any = importlib.import_module(f"functions.{file.stem}") if file.stem != "__init__" else None
        if hasattr(module, "stage"):
            app.register_functions(module.stage)
    for function in app.get_functions():
        trigger: Any = function.get_trigger()
        if trigger.get_binding_name() == "httpTrigger":
            known, name = trigger.get_dict_repr(), str(function.get_function_name())
            yield from (
                (name, str(getattr(method, "value", method)).lower(), f"/{known['route']}")
                for method in known["methods"]
            )


def test_every_http_function_but_the_webhook_is_described_with_its_route() -> None:
    found = set(http_functions())
    webhook = {each for each in found if each[0] == WEBHOOK}
    assert webhook
    assert found - webhook == {(each.name, each.method, each.path) for each in OPERATIONS}


def test_the_description_is_an_openapi_document_whose_references_all_lead_somewhere() -> None:
    whole = description()
    assert whole["openapi"].startswith("3.1.")
    names = [part.split('"')[0] for part in json.dumps(whole).split('"#/components/schemas/')[1:]]
    assert set(names) <= whole["components"]["schemas"].keys()
    for schema in whole["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": whole["components"]})


def test_only_health_and_the_description_are_open_to_everybody() -> None:
    assert {each.name for each in OPERATIONS if each.who == "anybody"} == {"health", "describe"}


def test_the_description_takes_no_field_that_it_does_not_name() -> None:
    probe = {"system": "GitHub", "healthy": True, "milliseconds": 1, "reason": None, "message": None}
    as_described("health", 200, "application/json", {"healthy": True, "probes": [probe]})
    wrong: list[dict[str, Any]] = [
        {"healthy": True, "probes": [{**probe, "key": "s3cret"}]},
        {"probes": []},
        {"healthy": "yes", "probes": []},
    ]
    for body in wrong:
        with pytest.raises(jsonschema_rs.ValidationError):
            as_described("health", 200, "application/json", body)


def test_the_page_shows_answers_that_the_app_gives_as_they_are_described() -> None:
    assert PAGE.read_text() == rewritten(PAGE.read_text()), "python -m tests.api_page"
    shown = examples()
    assert shown.keys() == {
        "show_team",
        "list_models",
        "list_providers",
        "health",
        "show_config",
        "list_dead_letters",
        "list_findings",
        "show_push",
        "problem",
    }
    for name, (status, body) in shown.items():
        kind = "application/json" if status < 400 else "application/problem+json"
        as_described("show_team" if name == "problem" else name, status, kind, body)


def test_the_page_names_every_call_and_who_may_make_it() -> None:
    rows = re.findall(r"^\| (`(?:GET|POST) .+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    named = {call: who for calls, who in rows for call in re.findall(r"`(\w+ /api[^`]+)`", calls)}
    deep = named.pop("GET /api/health?deep=true")
    assert "`Reader`" in deep
    assert named.keys() == {f"{each.method.upper()} /api{each.path}" for each in OPERATIONS}
    for each in OPERATIONS:
        assert (
            each.who in ("any token", "Reader")
            or named[f"{each.method.upper()} /api{each.path}"].strip("`") == each.who
        )
