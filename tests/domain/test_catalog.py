"""The catalogue: what it offers, and what never gets through it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.catalog import CatalogModel, Dedicated, read_catalog
from tests.domain.golden import catalog_file

SHARED = catalog_file().content


def _reasons(text: str) -> list[str]:
    return [problem.reason for problem in read_catalog("c.yaml", text.encode()).problems]


def test_a_catalogue_is_read_sorted_by_name() -> None:
    catalog = read_catalog("c.yaml", SHARED).catalog
    assert catalog is not None
    assert [model.name for model in catalog.models] == ["falcon-7b", "gpt-4.1", "gpt-4.1-mini", "mistral-7b", "phi-4"]
    assert catalog.model("phi-4") == CatalogModel(
        name="phi-4",
        provider="kaito",
        endpoint="http://phi-4.kaito-shared.example.internal/v1",
        served_name="phi-4",
        preset="phi-4",
        max_tokens_per_minute=200_000,
        dedicated=Dedicated(("Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"), per_team=1, total=1),
    )


def test_a_model_knows_its_slug_and_a_missing_model_is_none() -> None:
    catalog = read_catalog("c.yaml", SHARED).catalog
    assert catalog is not None
    model = catalog.model("gpt-4.1")
    assert model is not None
    assert model.slug == "gpt-4-1"
    assert catalog.model("gpt-9") is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://contoso.example",
        "https://contoso.example/v1/",
        "https://contoso.example/v1?api-version=1",
        "https://user:secret@contoso.example/v1",
        "https://contoso.example/{{secret}}/v1",
        "https://contoso.example/@(1)/v1",
        "ftp://contoso.example/v1",
        "https://contoso.example:port/v1",
        "http://contoso.example/v1",
        'https://contoso.example/"/v1',
    ],
)
def test_a_foundry_endpoint_is_a_clean_https_base_url(endpoint: str) -> None:
    assert _reasons(f"models: [{{name: gpt, provider: foundry, endpoint: {endpoint!r}}}]") == ["BadUrl"]


@pytest.mark.parametrize("key", ["apiKey", "key", "password", "token", "connectionString"])
def test_a_secret_has_no_place_in_the_catalogue_and_is_not_repeated(key: str) -> None:
    verdict = read_catalog("c.yaml", f"models: [{{name: gpt, provider: foundry, endpoint: https://a.example/v1, {key}: hunter2}}]".encode())
    assert [problem.reason for problem in verdict.problems] == ["UnknownKey"]
    assert "hunter2" not in str(verdict)


_nasty = st.text("abc.-/:_{}@()<>\"'&; \u00e9", max_size=12)


@given(_nasty, _nasty, _nasty, _nasty)
def test_nothing_that_a_policy_would_evaluate_survives(name: str, served: str, path: str, preset: str) -> None:
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    endpoint = quoted(f"https://a.example/{path}/v1")
    entry = f"name: {quoted('m' + name)}, provider: kaito, endpoint: {endpoint}, servedName: {quoted(served)}, preset: {quoted(preset)}"
    catalog = read_catalog("c.yaml", f"models: [{{{entry}}}]".encode()).catalog
    for model in catalog.models if catalog else ():
        for value in (model.name, model.served_name, model.endpoint, model.preset):
            assert value is not None
            assert re.fullmatch(r"[A-Za-z0-9._:/~-]+", value)


@given(st.binary(max_size=100) | st.integers(0, len(SHARED)).map(lambda cut: SHARED[:cut] + SHARED[cut + 3 :]))
def test_there_is_a_catalogue_exactly_when_there_is_no_problem(content: bytes) -> None:
    verdict = read_catalog("c.yaml", content)
    assert (verdict.catalog is None) == bool(verdict.problems)
