"""The configuration of a Workspace: what it says to KAITO, and in which spelling."""

from __future__ import annotations

import io
import re

import pytest
from ruamel.yaml import YAML

from shared.catalog.catalog import CatalogModel
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
