"""What a platform cannot do is told when the catalogue is read."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.branch.platform_checks import (
    longest_requests,
    platform_check,
    platform_problems,
    read_supported_catalog,
    tier_problems,
)
from shared.catalog.catalog import Catalog
from shared.catalog.terms import Classification
from shared.documents.field_types import MAX_REQUESTS_PER_MINUTE, MAX_TOKENS, MAX_TOKENS_PER_MINUTE
from shared.names import MAX_TEAM_LENGTH
from shared.policies.api_policy import api_policy
from shared.policies.policy_table import MAX_POLICY_BYTES, Tier
from shared.policies.product_policy import product_policy
from shared.requests.request import AccessRequest, read_request
from tests.fakes.app import GPU, PATHS, FakeApp, a_catalog, catalog_text, path_of
from tests.policies.policy_cases import GOVERNED
from tests.policies.strategies import catalogs, requests_of

PLATFORM = FakeApp().platform
OFFER = a_catalog()


@pytest.mark.parametrize("tier", get_args(Tier))
def test_only_the_consumption_tier_cannot_govern(tier: Tier) -> None:
    found = {(where, reason) for where, reason, _ in tier_problems(GOVERNED, tier)}
    assert not found or tier == "consumption"
    if tier == "consumption":
        assert {reason for _, reason in found} == {"TierCannot"}
        assert {where for where, _ in found} == {
            ("models",),
            ("contentSafety",),
            ("models", "gpt-4.1", "circuitBreaker"),
        }


def test_a_catalogue_whose_policy_would_be_too_long_is_a_fault() -> None:
    many = Catalog(tuple(replace(OFFER.models[0], name=f"model-{number:04}") for number in range(400)))
    found = list(tier_problems(many, "premium"))
    assert [(where, reason) for where, reason, _ in found] == [(("models",), "TierCannot")] * 2
    products = [product_policy(request, many) for request in longest_requests(many)]
    sizes = [max(len(text.encode()) for text in texts) for texts in ([api_policy(many)], products)]
    told = [[number for number in re.findall("[0-9,]+", text) if len(number) > 3] for _, _, text in found]
    assert sorted(told) == sorted([f"{size:,}", "262,144"] for size in sizes)
    assert list(tier_problems(OFFER, "premium")) == []


OWN = f"{{instanceTypes: [{GPU}], perTeam: 2, total: 3}}"
#: Four models fall back to one that a team may also have for itself: the policy is longer when it does not.
WANTED = a_catalog(
    f"""\
models:
  - {{name: first, provider: openai, endpoint: https://api.openai.com/v1, fallback: mistral, dataClasses: \
[public, internal]}}
  - {{name: second, provider: openai, endpoint: https://api.openai.com/v1, fallback: mistral, dataClasses: \
[public, internal]}}
  - {{name: third, provider: openai, endpoint: https://api.openai.com/v1, fallback: mistral, dataClasses: \
[public, internal]}}
  - {{name: fourth, provider: openai, endpoint: https://api.openai.com/v1, fallback: mistral, dataClasses: \
[public, internal]}}
  - {{name: mistral, provider: kaito, preset: mistral-7b, shared: {{instanceType: {GPU}}}, dedicated: {OWN}}}
  - {{name: phi, provider: kaito, preset: phi-4, dedicated: {OWN}}}
"""
)


def _most(*dedicated: str) -> AccessRequest:
    """Read from a file that says the most that a file may say."""
    limits = (
        f"tokensPerMinute: {MAX_TOKENS_PER_MINUTE}, tokenQuota: {{tokens: {MAX_TOKENS}, period: Monthly}}"
    )
    lines = [
        f"team: {{name: {'t' * MAX_TEAM_LENGTH}, owner: lead@contoso.com, costCenter: {'c' * 100}}}",
        "models:",
    ]
    for provider in ("openai", "kaito"):
        names = [model.name for model in WANTED.models if model.provider == provider]
        lines.append(f"  {provider}:")
        lines += [
            f"    - {{name: {name}, {limits}{', dedicated: true' if name in dedicated else ''}}}"
            for name in names
        ]
    of_all = (
        f"tokensPerMinute: {MAX_TOKENS_PER_MINUTE}, dailyTokenQuota: {MAX_TOKENS}, requestsPerMinute: "
        f"{MAX_REQUESTS_PER_MINUTE}"
    )
    content = "\n".join([*lines, f"limits: {{{of_all}}}"])
    verdict = read_request(path_of("t" * MAX_TEAM_LENGTH), content.encode(), WANTED, PATHS)
    assert verdict.request is not None, verdict.problems
    return verdict.request


def test_what_is_measured_is_the_most_that_may_be_written() -> None:
    """Byte by byte. Which models are the team's own depends on what makes the policy longer."""
    sizes = {own: len(product_policy(_most(*own), WANTED)) for own in (("phi",), ("mistral", "phi"))}
    measured = [len(product_policy(request, WANTED)) for request in longest_requests(WANTED)]
    assert sizes["phi",] > sizes["mistral", "phi"]
    assert max(measured) == sizes["phi",]


def test_a_policy_may_be_as_long_as_its_tier_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = len(api_policy(WANTED))
    assert longest > max(len(product_policy(request, WANTED)) for request in longest_requests(WANTED))
    monkeypatch.setitem(MAX_POLICY_BYTES, "premium", longest)
    assert list(tier_problems(WANTED, "premium")) == []
    monkeypatch.setitem(MAX_POLICY_BYTES, "premium", longest - 1)
    [(where, reason, told)] = tier_problems(WANTED, "premium")
    assert (where, reason) == (("models",), "TierCannot")
    assert f"{longest:,}" in told
    assert f"{longest - 1:,}" in told


@pytest.mark.parametrize(
    ("sent", "measured"),
    [
        ({"public"}, {"public", "confidential", "restricted"}),
        ({"public", "internal", "confidential"}, {"confidential", "restricted"}),
        ({"public", "internal", "confidential", "restricted"}, {"confidential", "restricted"}),
    ],
)
def test_data_classes_with_equal_models_are_measured_once_but_restricted_alone(
    sent: set[Classification], measured: set[Classification]
) -> None:
    catalog = Catalog((replace(OFFER.models[0], data_classes=frozenset(sent)),))
    assert {request.data_classification for request in longest_requests(catalog)} == measured


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_request_has_a_longer_policy_than_those_that_are_measured(data: st.DataObject) -> None:
    catalog, own = data.draw(catalogs()), data.draw(st.booleans())
    request = data.draw(requests_of(catalog))
    dedicated = {
        model.name: model.dedicated.instance_types[0] for model in catalog.models if own and model.dedicated
    }
    models = tuple(replace(each, instance_type=dedicated.get(each.name)) for each in request.models)
    measured = max(len(product_policy(each, catalog)) for each in longest_requests(catalog))
    assert len(product_policy(replace(request, models=models), catalog)) <= measured


def test_what_the_platform_does_not_have_is_a_fault_of_the_model_that_needs_it() -> None:
    bare = replace(PLATFORM, cluster=None, vault_url=None)
    no_vault = (
        "This platform has no vault for the keys of providers (PLATFORM_VAULT_URL). Ask the platform team."
    )
    no_cluster = "This platform has no GPU cluster. Write 'endpoint' or 'pool' instead."
    no_key = "Its key is kept in the platform's own vault, and this platform has none (PLATFORM_VAULT_URL)."
    assert list(platform_problems(GOVERNED, bare)) == [
        (("models", "mistral-small", "shared"), "NoCluster", no_cluster),
        (("models", "claude-sonnet"), "NoPlatformVault", no_vault),
        (("contentSafety",), "NoPlatformVault", no_key),
    ]
    assert list(platform_problems(GOVERNED, PLATFORM)) == []


def test_a_fault_is_told_where_the_model_stands_in_the_file() -> None:
    text = (
        catalog_text()
        + "  - {name: a-first, provider: openai, endpoint: https://api.openai.com/v1, credential: openai}\n"
    )
    faults = platform_check(replace(PLATFORM, vault_url=None))
    verdict = read_supported_catalog("catalog.yaml", text.encode(), faults)
    assert verdict.catalog is None
    assert [(problem.line, problem.reason) for problem in verdict.problems] == [
        (text.count("\n"), "NoPlatformVault")
    ]
    assert read_supported_catalog("catalog.yaml", text.encode(), platform_check(PLATFORM)).catalog is not None


def test_a_fault_of_one_key_is_told_at_that_key() -> None:
    text = catalog_text() + (
        "  - name: own\n    provider: kaito\n    preset: mistral-7b\n    shared: {instanceType: "
        "Standard_NC24ads_A100_v4}\n"
    )
    verdict = read_supported_catalog(
        "catalog.yaml", text.encode(), platform_check(replace(PLATFORM, cluster=None))
    )
    lines = text.splitlines()
    assert [(problem.line, problem.column, problem.reason) for problem in verdict.problems] == [
        (len(lines), lines[-1].index("{") + 1, "NoCluster")
    ]


def test_a_catalogue_is_read_once_whatever_it_is_checked_for() -> None:
    """Requests are remembered by their catalogue."""
    text = b"models: [{name: m, provider: openai, endpoint: https://a.example/v1}]"
    checks = None, platform_check(PLATFORM), platform_check(replace(PLATFORM, cluster=None))
    assert len({id(read_supported_catalog("catalog.yaml", text, check).catalog) for check in checks}) == 1
