"""Slices and their digests: a digest changes exactly when what is written does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from shared.domain.desired import DesiredWorkspaces, Platform, compile_catalog, compile_gateway, compile_workspaces
from shared.domain.openapi import unified_api
from shared.domain.request import AccessRequest
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, Asked, FakeApp, a_catalog, catalog_text

PLATFORM = FakeApp().platform
REQUEST = Asked(dedicated={"phi-4": GPU}).read()


def _digests(request: AccessRequest, platform: Platform = PLATFORM) -> tuple[str, str]:
    return compile_gateway(request, platform).digest, compile_workspaces(request, a_catalog(), platform).digest


@pytest.mark.parametrize(
    ("request_", "gateway", "workspaces"),
    [
        (replace(REQUEST, tokens_per_minute=1), True, False),
        (replace(REQUEST, display_name="Another"), True, False),
        (replace(REQUEST, cost_center="CC-9"), True, False),
        (Asked(dedicated={"phi-4": LARGER_GPU}).read(), False, True),
        (Asked().read(), True, True),
        (replace(REQUEST, owner="other@contoso.com"), False, False),
        (replace(REQUEST, entra_group=OTHER_READERS), False, False),
        (replace(REQUEST, expires=date(2030, 1, 1)), False, False),
    ],
    ids=["limit", "name", "cost centre", "instance type", "without the GPU", "owner", "readers", "last day"],
)
def test_a_digest_changes_exactly_when_its_slice_does(request_: AccessRequest, gateway: bool, workspaces: bool) -> None:
    before, after = _digests(REQUEST), _digests(request_)
    assert (before[0] != after[0], before[1] != after[1]) == (gateway, workspaces)


def test_compiling_twice_gives_the_same() -> None:
    assert _digests(REQUEST) == _digests(Asked(dedicated={"phi-4": GPU}).read())
    assert compile_catalog(a_catalog()).digest == compile_catalog(a_catalog()).digest


def test_a_backend_exists_for_each_dedicated_model_and_only_with_a_cluster() -> None:
    assert [backend.name for backend in compile_gateway(REQUEST, PLATFORM).backends] == ["team-alpha--phi-4"]
    assert compile_gateway(REQUEST, replace(PLATFORM, cluster=None)).backends == ()


def test_the_catalogue_has_a_backend_for_each_shared_endpoint() -> None:
    backends = {backend.name: backend.url for backend in compile_catalog(a_catalog()).backends}
    assert backends == {
        "shared--gpt-4-1": "https://contoso-ai.openai.azure.com/openai/v1",
        "shared--phi-4": "http://phi-4.shared.internal/v1",
        "shared--text-embedding-3-large": "https://contoso-ai.openai.azure.com/openai/v1",
    }


def test_the_operations_do_not_depend_on_the_models() -> None:
    more = a_catalog(catalog_text() + "  - {name: o4, provider: foundry, endpoint: https://contoso-ai.openai.azure.com/openai/v1}\n")
    assert compile_catalog(more).api_digest == compile_catalog(a_catalog()).api_digest
    assert compile_catalog(more).digest != compile_catalog(a_catalog()).digest


def test_a_ceiling_that_changes_changes_nothing_that_is_written() -> None:
    raised = a_catalog(catalog_text().replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 200000"))
    assert compile_catalog(raised).digest == compile_catalog(a_catalog()).digest


def test_a_digest_stays_the_same_from_version_to_version_or_everything_would_be_written_again() -> None:
    one = DesiredWorkspaces((), {"b": {"y": 1, "x": [1, "ä"]}, "a": {}}, {})
    other = DesiredWorkspaces((), {"a": {}, "b": {"x": [1, "ä"], "y": 1}}, {})
    assert one.digest == other.digest
    assert one.digest == "ded136d4aa53df5b0284ec8ab430499b4de3d95b4db88965f48ba01ef1fa1add"


def test_the_unified_api_is_what_the_golden_file_says() -> None:
    assert unified_api() == json.loads(Path(__file__).with_name("openapi.json").read_text())
