"""Slices and their digests: a digest changes exactly when what is written does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given

from shared.catalog.catalog import Breaker, Catalog, ContentSafety
from shared.policies.policy_xml import expression
from shared.requests.request import AccessRequest
from shared.resources.backends import Backend, Credential, NamedValue, PoolMember
from shared.resources.desired import (
    DesiredWorkspaces,
    Platform,
    compile_catalog,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.unified_api import unified_api
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, Asked, FakeApp, a_catalog, catalog_text
from tests.policies.policy_cases import GOVERNED
from tests.policies.strategies import catalogs

PLATFORM = FakeApp().platform
REQUEST = Asked(dedicated={"phi-4": GPU}).read()


def _digests(request: AccessRequest, platform: Platform = PLATFORM) -> tuple[str, str]:
    return compile_gateway(request, a_catalog(), platform).digest, compile_workspaces(
        request, a_catalog(), platform
    ).digest


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
def test_a_digest_changes_exactly_when_its_slice_does(
    request_: AccessRequest, gateway: bool, workspaces: bool
) -> None:
    before, after = _digests(REQUEST), _digests(request_)
    assert (before[0] != after[0], before[1] != after[1]) == (gateway, workspaces)


def test_compiling_twice_gives_the_same() -> None:
    assert _digests(REQUEST) == _digests(Asked(dedicated={"phi-4": GPU}).read())
    assert compile_catalog(a_catalog(), PLATFORM).digest == compile_catalog(a_catalog(), PLATFORM).digest


def test_a_backend_exists_for_each_dedicated_model_and_only_with_a_cluster() -> None:
    assert [backend.name for backend in compile_gateway(REQUEST, a_catalog(), PLATFORM).backends] == [
        "team-alpha--phi-4"
    ]
    assert compile_gateway(REQUEST, a_catalog(), replace(PLATFORM, cluster=None)).backends == ()


def test_the_catalogue_has_a_backend_for_each_shared_endpoint() -> None:
    backends = {backend.name: backend.url for backend in compile_catalog(a_catalog(), PLATFORM).backends}
    assert backends == {
        "shared--gpt-4-1": "https://contoso-ai.openai.azure.com/openai/v1",
        "shared--phi-4": "http://phi-4.shared.internal/v1",
        "shared--text-embedding-3-large": "https://contoso-ai.openai.azure.com/openai/v1",
    }


def test_the_operations_do_not_depend_on_the_models() -> None:
    more = a_catalog(
        catalog_text()
        + "  - {name: o4, provider: foundry, endpoint: https://contoso-ai.openai.azure.com/openai/v1}\n"
    )
    assert compile_catalog(more, PLATFORM).api_digest == compile_catalog(a_catalog(), PLATFORM).api_digest
    assert compile_catalog(more, PLATFORM).digest != compile_catalog(a_catalog(), PLATFORM).digest


def test_a_ceiling_that_changes_changes_nothing_that_is_written() -> None:
    raised = a_catalog(catalog_text().replace("maxTokensPerMinute: 100000", "maxTokensPerMinute: 200000"))
    assert compile_catalog(raised, PLATFORM).digest == compile_catalog(a_catalog(), PLATFORM).digest


def test_a_digest_stays_the_same_from_version_to_version() -> None:
    one = DesiredWorkspaces((), {"b": {"y": 1, "x": [1, "ä"]}, "a": {}}, {})
    other = DesiredWorkspaces((), {"a": {}, "b": {"x": [1, "ä"], "y": 1}}, {})
    assert one.digest == other.digest
    assert one.digest == "ded136d4aa53df5b0284ec8ab430499b4de3d95b4db88965f48ba01ef1fa1add"


def test_the_unified_api_is_what_the_golden_file_says() -> None:
    assert unified_api() == json.loads(Path(__file__).with_name("openapi.json").read_text())


# ---------------------------------------------------------------------------------- what serves the catalogue

VAULTED = replace(PLATFORM, vault_url="https://platform.vault.azure.net/")


def test_a_pool_has_a_backend_per_member_each_with_the_models_breaker() -> None:
    backends = {each.name: each for each in compile_catalog(GOVERNED, VAULTED).backends}
    assert [name for name in backends if name.startswith("shared--gpt-4-1")] == [
        "shared--gpt-4-1--sweden", "shared--gpt-4-1--canary", "shared--gpt-4-1--spare", "shared--gpt-4-1",
    ]  # fmt: skip
    assert backends["shared--gpt-4-1"].members == (
        PoolMember("shared--gpt-4-1--canary", 10, 1),
        PoolMember("shared--gpt-4-1--spare", 100, 2),
        PoolMember("shared--gpt-4-1--sweden", 90, 1),
    )
    assert backends["shared--gpt-4-1--canary"].breaker == Breaker(5, 60, 30)
    assert backends["shared--gpt-4-1"].breaker is None


def test_a_credential_is_a_named_value_that_points_into_the_platforms_vault() -> None:
    desired = compile_catalog(GOVERNED, VAULTED)
    assert desired.named_values == (
        NamedValue("credential--anthropic", "https://platform.vault.azure.net/secrets/anthropic"),
        NamedValue("credential--content-safety", "https://platform.vault.azure.net/secrets/content-safety"),
    )
    senders = {each.name: each.credential.named_value for each in desired.backends if each.credential}
    assert senders == {
        "shared--claude-sonnet": "credential--anthropic",
        "shared--content-safety": "credential--content-safety",
    }


def test_own_backends_and_shared_workspaces_have_urls_that_nobody_writes() -> None:
    urls = {each.name: each.url for each in compile_catalog(GOVERNED, VAULTED).backends}
    assert urls["shared--content-safety"] == "https://contoso-safety.cognitiveservices.azure.com"
    assert (
        urls["shared--semantic-cache"]
        == "https://contoso-ai.openai.azure.com/openai/deployments/embeddings-eu/embeddings"
    )
    assert (
        urls["shared--mistral-small"] == "https://models.internal.contoso.com/team-catalogue/mistral-small/v1"
    )


def test_content_safety_takes_its_key_in_a_header_of_its_own() -> None:
    slashed = replace(
        GOVERNED, content_safety=ContentSafety("https://contoso-safety.cognitiveservices.azure.com/", 4)
    )
    backends = {
        each.name: each
        for each in compile_catalog(
            slashed, replace(VAULTED, vault_url="https://platform.vault.azure.net/")
        ).backends
    }
    assert backends["shared--content-safety"] == Backend(
        "shared--content-safety",
        "https://contoso-safety.cognitiveservices.azure.com",
        credential=Credential("credential--content-safety", "Ocp-Apim-Subscription-Key"),
    )


def test_a_shared_workspace_runs_on_what_the_catalogue_says() -> None:
    desired = compile_shared_workspaces(GOVERNED, VAULTED)
    assert {name: manifest["resource"]["instanceType"] for name, manifest in desired.workspaces.items()} == {
        "mistral-small": GPU
    }


def test_a_shared_workspace_has_the_breaker_of_its_model() -> None:
    models = tuple(
        replace(each, breaker=Breaker(1, 2, 3)) if each.name == "mistral-small" else each
        for each in GOVERNED.models
    )
    backends = {
        each.name: each for each in compile_catalog(replace(GOVERNED, models=models), VAULTED).backends
    }
    assert backends["shared--mistral-small"].breaker == Breaker(1, 2, 3)


@given(catalogs())
def test_every_backend_that_a_policy_names_exists_and_no_name_stands_twice(catalog: Catalog) -> None:
    desired = compile_catalog(catalog, VAULTED)
    names = [each.name for each in desired.backends]
    routed = {
        each.attrib["backend-id"]
        for each in ElementTree.fromstring(desired.policy).iter("set-backend-service")
    }
    # Each attempt names the backend again, out of a variable.
    assert routed - set(names) <= {expression("the variable", name="backend")}
    assert len(names) == len(set(names))
    assert {member.backend for each in desired.backends for member in each.members} <= set(names)


def test_what_was_compiled_for_a_request_is_not_compiled_again() -> None:
    other = replace(REQUEST, display_name="Another name")
    assert compile_gateway(REQUEST, a_catalog(), PLATFORM) is compile_gateway(REQUEST, a_catalog(), PLATFORM)
    assert compile_gateway(other, a_catalog(), PLATFORM).display_name == "Another name"
    assert compile_catalog(a_catalog(), PLATFORM) is compile_catalog(a_catalog(), PLATFORM)
