"""The configuration of a Workspace: what it says to KAITO, and in which spelling."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from shared.catalog.catalog import Catalog, CatalogModel
from shared.kaito.presets import table
from shared.kaito.releases import RELEASES, Release
from shared.resources.inference_config import Configuration, configuration_of, inference_config

MODEL = CatalogModel("yes-1.10", "kaito", preset="phi-4", context=8192, name_is_written=True)


def _text(model: CatalogModel, release: Release = "0.12") -> str:
    found = inference_config(model, release)
    assert found is not None
    return found.text


def test_the_context_comes_first_as_a_bare_number_and_texts_are_quoted() -> None:
    assert _text(MODEL) == 'vllm:\n  max-model-len: 8192\n  served-model-name: "yes-1.10"\n'


def test_no_key_asks_for_no_configuration() -> None:
    assert inference_config(CatalogModel("phi-4", "kaito", preset="phi-4", named="other"), "0.12") is None


def _with_parser(preset: str) -> CatalogModel:
    return CatalogModel("m", "kaito", preset=preset, tool_parser="hermes", name_is_written=True, context=4096)


@pytest.mark.parametrize("release", RELEASES)
def test_a_file_has_one_switch_at_most_and_only_where_kaito_gives_none(release: Release) -> None:
    known = table(release)
    for name, preset in known.presets.items() if known else ():
        text = _text(_with_parser(name), release)
        said = YAML(typ="safe").load(io.StringIO(text))["vllm"]
        switches = [key for key, value in said.items() if isinstance(value, bool)]
        has_own = preset.tool_parser is not None
        assert switches == ([] if has_own or release == "0.6" else ["enable-auto-tool-choice"])
        assert all(said[key] is True for key in switches)
        assert all(isinstance(value, str | int) for value in said.values())


def test_the_name_is_that_of_the_content() -> None:
    names = {getattr(inference_config(model, "0.12"), "name", "") for model in (MODEL, _with_parser("phi-4"))}
    assert len(names) == 2
    assert all(re.fullmatch("inference-[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize("asked", ["", "{", "[]", '"text"', '{"context": "8192"}', "null"])
def test_what_others_write_into_the_annotation_names_no_context(asked: str) -> None:
    workspace = {"metadata": {"annotations": {"mergekey.dev/asked": asked}}, "inference": {}}
    assert configuration_of(workspace).context is None


def test_adapters_and_another_configuration_are_edits() -> None:
    assert not Configuration("a", "a", "{}").is_edited
    assert Configuration("a", "b", "{}").is_edited
    assert Configuration(adapters=1).is_edited


def test_the_longest_answer_is_a_default_and_a_ceiling_of_the_server() -> None:
    text = _text(CatalogModel("m", "kaito", preset="phi-4", answer_tokens=300))
    assert text == "vllm:\n  override-generation-config: '{\"max_new_tokens\": 300}'\n"
    said = YAML(typ="safe").load(io.StringIO(text))["vllm"]
    assert json.loads(said["override-generation-config"]) == {"max_new_tokens": 300}


def test_the_longest_answer_is_asked_for_and_others_ask_as_before() -> None:
    asked = [
        getattr(inference_config(replace(MODEL, answer_tokens=tokens), "0.12"), "asked", "")
        for tokens in (None, 300)
    ]
    assert asked == [
        '{"context":8192,"servedName":"yes-1.10"}',
        '{"answerTokens":300,"context":8192,"servedName":"yes-1.10"}',
    ]


@pytest.mark.parametrize(
    ("preset", "release", "is_there"),
    [
        ("gemma-3-4b-instruct", "0.12", True),
        ("google/Gemma-3-4B-it", "0.11", True),
        ("gemma-3-4b-instruct", "0.9", True),
        ("ministral-3-3b-instruct", "0.8", True),
        ("gemma-3-4b-instruct", "0.7", False),
        ("phi-4", "0.12", False),
        ("phi-4", "0.10", False),
        ("organization/unknown", "0.12", True),
    ],
)
def test_a_server_that_may_take_media_fetches_none(preset: str, release: Release, *, is_there: bool) -> None:
    """An empty list of domains would allow all."""
    text = _text(CatalogModel("m", "kaito", preset=preset, context=8192), release)
    assert ("allowed-media-domains: none.invalid" in text) == is_there


@pytest.mark.parametrize("release", RELEASES)
def test_a_model_that_takes_media_is_told_or_guarded_by_the_gateway(release: Release) -> None:
    for preset in ("gemma-3-4b-instruct", "phi-4", "organization/unknown"):
        for context in (None, 8192):
            model = CatalogModel("m", "kaito", preset=preset, context=context)
            config = inference_config(model, release)
            is_told = config is not None and "allowed-media-domains" in config.text
            is_guarded = Catalog((model,), kaito=release).fetches_media(model)
            assert is_told + is_guarded == (preset != "phi-4")
