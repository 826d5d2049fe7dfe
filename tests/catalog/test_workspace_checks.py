"""What the catalogue may say of workspaces, by what the release of KAITO makes of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.catalog.catalog import ParsedCatalog, read_catalog
from shared.catalog.workspace_checks import (
    Setup,
    expected_nodes,
    node_cost,
    nodes_of,
    sizes_that_fit,
)
from shared.kaito.releases import Release

A100, H200, A10 = "Standard_NC24ads_A100_v4", "Standard_ND96isr_H200_v5", "Standard_NV36ads_A10_v5"
TWO_A100, T4 = "Standard_NC48ads_A100_v4", "Standard_NC4as_T4_v3"


def _read(
    preset: str, size: str = A100, *keys: str, release: str = "0.12", shared: bool = False
) -> ParsedCatalog:
    place = f"shared: {{instanceType: {size}}}"
    lines = [place if shared else f"dedicated: {{instanceTypes: [{size}], total: 1}}", *keys]
    text = f'kaito: "{release}"\nmodels:\n  - name: m\n    provider: kaito\n    preset: {preset}\n    '
    return read_catalog("model_catalog.yaml", (text + "\n    ".join(lines)).encode())


def _reasons(found: ParsedCatalog) -> list[str]:
    return [problem.reason for problem in found.problems]


def _message(found: ParsedCatalog) -> str:
    (problem,) = found.problems
    return problem.message


@pytest.mark.parametrize(
    ("release", "preset", "size", "keys", "reasons"),
    [
        ("0.12", "phi-4", A100, [], []),
        ("0.12", "phi4", A100, [], ["UnknownPreset"]),
        ("0.12", "Phi-4", A100, [], []),
        ("0.8", "Phi-4", H200, [], ["UnknownPreset"]),
        ("0.8", "phi-2", A100, [], ["UnknownPreset"]),
        ("0.11", "falcon-7b", A100, [], ["UnknownPreset"]),
        ("0.8", "falcon-7b", A100, [], []),
        ("0.12", "Qwen/Qwen3.5-4B", A100, [], []),
        ("0.12", "example-org/some-model", A100, [], ["NodesUnknown"]),
        ("0.12", "example-org/some-model", A100, ["maxNodes: 2"], []),
        ("0.8", "example-org/some-model", A100, ["maxNodes: 2"], ["UnknownPreset"]),
        ("0.12", "a/b/c", A100, ["maxNodes: 2"], ["UnknownPreset"]),
        ("0.12", "phi-4", "Standard_NC24ads_a100_v4", [], ["UnknownInstanceType"]),
        ("0.12", "phi-4", "Standard_ND96asr_v4", [], ["UnknownInstanceType"]),
        ("0.12", "phi-4", T4, [], ["UnknownInstanceType"]),
        ("0.11", "phi-4-mini-instruct", "Standard_NC64as_T4_v3", [], []),
        ("0.12", "phi-4", "Standard_NG32ads_V620_v1", [], ["UnusableInstanceType"]),
        ("0.12", "phi-4", "Standard_ND96asr_A100_v4", [], ["UnusableInstanceType"]),
        ("0.6", "phi-4-mini-instruct", "Standard_NV12", [], ["UnusableInstanceType"]),
        ("0.12", "phi-4", A100, ["context: 16384"], []),
        ("0.12", "phi-4", A100, ["context: 16385"], ["ContextTooLong"]),
        ("0.12", "phi-4", A100, ["context: 4095"], ["ContextTooShort"]),
        ("0.12", "phi-4", A100, ["context: 4096"], []),
        ("0.12", "phi-4", A100, ["context: 2304", "benchmark: false"], []),
        ("0.10", "phi-4", A100, ["context: 4095"], ["ContextTooShort"]),
        ("0.8", "phi-4", A100, ["context: 4095"], []),
        ("0.12", "gemma-3-27b-instruct", A10, ["context: 131072"], ["DoesNotFit"]),
        ("0.8", "gemma-3-27b-instruct", A10, [], ["DoesNotFit"]),
        ("0.11", "deepseek-r1-0528", A100, [], ["TooManyNodes"]),
        ("0.12", "deepseek-r1-0528", A100, [], []),
        ("0.12", "deepseek-r1-0528", A100, ["maxNodes: 10"], ["TooManyNodes"]),
        ("0.12", "deepseek-r1-0528", A100, ["maxNodes: 11"], []),
        ("0.11", "llama-3.3-70b-instruct", A100, ["context: 32768"], []),
        ("0.11", "llama-3.3-70b-instruct", A100, ["context: 131072"], ["TooManyNodes"]),
        ("0.6", "phi-4-mini-instruct", "Standard_NC64as_T4_v3", [], ["MissingKey"]),
        ("0.6", "phi-4-mini-instruct", "Standard_NC64as_T4_v3", ["context: 8192"], []),
    ],
)
def test_what_kaito_does_not_make_is_a_fault(
    release: str, preset: str, size: str, keys: list[str], reasons: list[str]
) -> None:
    found = _read(preset, size, *keys, release=release)
    assert _reasons(found) == reasons
    assert found.catalog is not None
    assert _reasons(_read(preset, size, *keys, release=release, shared=True)) == reasons


@pytest.mark.parametrize("release", ["0.7", "0.9", "0.10"])
def test_of_a_release_without_a_table_nothing_is_refused(release: Release) -> None:
    assert _reasons(_read("anything", "Standard_A1", "context: 99999", release=release)) == []
    assert nodes_of(Setup(release, "phi-4"), A100) is None
    assert expected_nodes(Setup(release, "phi-4", max_nodes=4), A100) == 4


def test_faults_stand_at_the_keys_that_have_them() -> None:
    text = f"""\
models:
  - name: m
    provider: kaito
    preset: phi-4
    context: 99999
    dedicated:
      instanceTypes: [{A100}, Standard_ND96asr_v4]
      total: 1
    shared: {{instanceType: {T4}}}
"""
    found = read_catalog("model_catalog.yaml", text.encode())
    assert [(each.line, each.column, each.reason) for each in found.problems] == [
        (5, 14, "ContextTooLong"),
        (7, 49, "UnknownInstanceType"),
        (9, 28, "UnknownInstanceType"),
    ]


def test_messages_name_what_would_do() -> None:
    assert "'phi-4'" in _message(_read("phi4"))
    assert f"'{A100}'" in _message(_read("phi-4", "Standard_NC24ads_a100_v4"))
    many = _message(_read("llama-3.3-70b-instruct", A100, "context: 131072", release="0.11"))
    assert "6 nodes" in many
    assert f"'{TWO_A100}'" in many
    assert "131,072" in _message(_read("llama-3.3-70b-instruct", H200, "context: 131073"))


def test_the_size_with_the_least_memory_is_named_first() -> None:
    fitting = sizes_that_fit(Setup("0.12", "phi-4-mini-instruct"))
    assert fitting[0] == A10
    assert A100 in fitting
    assert not any("V620" in size or "ND96asr" in size for size in fitting)
    assert sizes_that_fit(Setup("0.11", "deepseek-r1-0528", max_nodes=1)) == [H200]


def test_a_fault_beside_another_problem_is_told_at_the_same_time() -> None:
    found = _read("phi4", A100, "nonsense: 1")
    assert sorted(_reasons(found)) == ["UnknownKey", "UnknownPreset"]
    assert found.catalog is None


def test_beside_a_release_that_cannot_be_read_nothing_is_judged() -> None:
    assert _reasons(_read("phi4", release="1.99")) == ["UnknownRelease"]


def test_a_bound_of_nodes_needs_to_know_how_many_a_workspace_takes() -> None:
    def told(preset: str, more: str, release: str = "0.12") -> list[str]:
        text = (
            f'kaito: "{release}"\nmodels:\n  - {{name: m, provider: kaito, preset: {preset}, {more}'
            f"dedicated: {{instanceTypes: [{A100}], total: 1, totalNodes: 3}}}}\n"
        )
        return _reasons(read_catalog("model_catalog.yaml", text.encode()))

    assert told("phi-4", "") == []
    assert told("phi-4", "", "0.10") == ["MissingKey"]
    assert told("phi-4", "maxNodes: 2, ", "0.10") == []


def test_keys_of_workspaces_are_for_kaito_models_only() -> None:
    text = (
        "models: [{name: m, provider: foundry, endpoint: https://a.example/v1, context: 8192, toolParser: x, "
        "answerTokens: 256, benchmark: false}]"
    )
    assert _reasons(read_catalog("model_catalog.yaml", text.encode())) == ["NotAllowed"] * 4


@pytest.mark.parametrize(("tokens", "count"), [(255, 1), (256, 0), (4096, 0)])
def test_an_answer_is_as_long_as_kaitos_benchmark_asks_for(tokens: int, count: int) -> None:
    text = (
        f"models: [{{name: m, provider: kaito, preset: phi-4, answerTokens: {tokens}, "
        "shared: {instanceType: Standard_NC24ads_A100_v4}}]"
    )
    assert len(read_catalog("model_catalog.yaml", text.encode()).problems) == count


def test_nodes_and_their_price_are_multiplied() -> None:
    cost = node_cost(3, Decimal("3.67"))
    assert (cost.per_hour, cost.per_month) == (Decimal("11.01"), Decimal("8037.30"))
    assert node_cost(3, None).per_hour is None
    assert node_cost(None, Decimal(1)).per_hour is None
