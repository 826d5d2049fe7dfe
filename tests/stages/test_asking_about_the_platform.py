"""What is answered about models, providers and health."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.api.health_checks import check_everything
from shared.api.teams import models, providers
from shared.catalog.catalog import Breaker
from shared.errors import Unavailable
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.backends import PoolMember
from tests.api_page import POOLED
from tests.fakes.app import GPU, Asked, path_of
from tests.fakes.calls import Call
from tests.stages.asking import record
from tests.stages.road import a_platform, a_team, ask, push


async def test_the_catalogue_is_told_with_what_was_granted_of_it() -> None:
    app = await a_team(Asked(tokens=2000))
    await ask(app, Asked(team="bravo", tokens=3000, dedicated={"phi-4": GPU}))
    offers = {offer.name: offer for offer in (await models(app, with_shares=True)).models}
    assert offers["gpt-4.1"].grants.granted == 5000
    assert [(share.team, share.tokens_per_minute) for share in offers["gpt-4.1"].grants.shares or ()] == [
        ("alpha", 2000),
        ("bravo", 3000),
    ]
    assert offers["phi-4"].grants.shares == (), "a workspace of a team's own takes nothing from others"
    assert (offers["phi-4"].shared, offers["mistral-7b"].shared, offers["mistral-7b"].instance_types) == (
        True,
        False,
        (GPU,),
    )


_COUNTED = f"""\
overCommitment: 1.2
models:
  - {{name: gpt-4.1, provider: foundry, endpoint: https://a.example/v1, maxTokensPerMinute: 100, capacity: \
200}}
  - {{name: free, provider: foundry, endpoint: https://a.example/v1}}
  - {{name: phi-4, provider: kaito, preset: phi-4, endpoint: http://phi-4.shared.internal/v1, \
maxTokensPerMinute: 50, capacity: 50,
      dedicated: {{instanceTypes: [{GPU}], perTeam: 1, total: 3}}}}
"""


def asking(name: str, models: str, more: str = "") -> dict[str, str | bytes | None]:
    return {path_of(name): f"team: {{name: {name}, owner: lead@contoso.com}}\nmodels: {{{models}}}\n{more}"}


async def test_what_the_catalogues_answer_shows_is_what_a_refusal_shows() -> None:
    app = await a_platform()
    await push(
        app,
        {
            DEFAULT_CATALOG_PATH: _COUNTED,
            **asking("alpha", "foundry: [{name: gpt-4.1}]"),
            **asking("bravo", "foundry: [{name: gpt-4.1}, {name: free}]", "limits: {tokensPerMinute: 30}\n"),
            **asking("charlie", "kaito: [{name: phi-4, dedicated: true}]"),
            **asking("delta", "foundry: [{name: gpt-4.1, tokensPerMinute: 50}]", "expires: 2026-01-31\n"),
            **asking("echo", "foundry: [{name: gpt-4.1, tokensPerMinute: 20}]"),
            **asking("foxtrot", "foundry: [{name: gpt-4.1, tokensPerMinute: 10}, {name: free}]"),
        },
    )
    second = asking("echo", "foundry: [{name: gpt-4.1, tokensPerMinute: 90}]")[path_of("echo")]
    grown = asking(
        "foxtrot", "foundry: [{name: gpt-4.1, tokensPerMinute: 100}, {name: free, tokensPerMinute: 7}]"
    )
    newcomer = asking("golf", "foundry: [{name: gpt-4.1, tokensPerMinute: 95}]")
    await push(app, {"developer-requests/echo/access.yaml": second, **grown, **newcomer})
    grants = {offer.name: offer.grants for offer in (await models(app, with_shares=True)).models}
    assert {share.team: share.tokens_per_minute for share in grants["gpt-4.1"].shares or ()} == {
        "alpha": 100, "bravo": 30, "echo": 20, "foxtrot": 10,
    }  # fmt: skip
    refused = {
        problem.path: problem.message
        for problem in app.reports.verdicts[-1].problems
        if problem.reason == "AboveCapacity"
    }
    assert refused.keys() == {path_of("foxtrot"), path_of("golf")}
    for message in refused.values():
        assert "alpha 100, bravo 30, echo 20, foxtrot 10; 80 " in message
    [told] = [problem.message for problem in (await record(app, "golf")).problems]
    assert told == refused[path_of("golf")]
    assert (grants["gpt-4.1"].capacity, grants["gpt-4.1"].grantable, grants["gpt-4.1"].granted) == (
        200,
        240,
        160,
    )
    assert (grants["free"].grantable, grants["free"].granted, grants["free"].unlimited) == (None, 30, 1), (
        "what was in force stays"
    )
    assert (grants["phi-4"].grantable, grants["phi-4"].shares) == (60, ())


async def test_who_is_no_reader_of_the_platform_sees_sums_only() -> None:
    app = await a_team()
    assert {offer.grants.shares for offer in (await models(app, with_shares=False)).models} == {None}


async def test_a_catalogue_that_is_not_valid_cannot_be_told() -> None:
    app = await a_team()
    await push(app, {DEFAULT_CATALOG_PATH: "models: []\n"})
    for question in (models(app, with_shares=False), providers(app)):
        with pytest.raises(Unavailable, match="CatalogueInvalid"):
            await question


async def test_backends_are_told_beside_what_the_catalogue_says() -> None:
    app = await a_team()
    assert {backend.state for backend in (await providers(app)).backends} == {"as_catalogued"}
    assert (await providers(app)).differences == ()
    state = app.gateway.state.backends
    gpt, phi = state["shared--gpt-4-1"], state["shared--phi-4"]
    state["shared--gpt-4-1"] = replace(gpt, url="https://elsewhere/v1")
    state["shared--phi-4"] = replace(phi, marker=None)
    state["shared--old"] = replace(gpt, name="shared--old")
    del state["shared--text-embedding-3-large"]
    found = await providers(app)
    assert {backend.name: backend.state for backend in found.backends} == {
        "shared--gpt-4-1": "different",
        "shared--old": "not_needed",
        "shared--phi-4": "not_managed",
        "shared--text-embedding-3-large": "missing",
    }
    assert found.differences


async def test_pools_are_told_with_their_members_and_backends_with_their_breakers() -> None:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: POOLED})
    backends = {backend.name: backend for backend in (await providers(app)).backends}
    rule, pool = Breaker(3, 60, 30), "shared--gpt-4-1"
    assert (backends[pool].url, backends[pool].wanted_url) == (None, None)
    assert backends[pool].members == (
        PoolMember(f"{pool}--france", 30, 1),
        PoolMember(f"{pool}--reserve", 100, 2),
        PoolMember(f"{pool}--sweden", 70, 1),
    )
    assert {name: backend.breaker for name, backend in backends.items()} == {
        pool: None,
        f"{pool}--france": rule,
        f"{pool}--reserve": rule,
        f"{pool}--sweden": rule,
        "shared--plain": None,
    }
    state = app.gateway.state.backends
    state[pool] = replace(state[pool], members=state[pool].members[:1])
    state[f"{pool}--sweden"] = replace(state[f"{pool}--sweden"], breaker=None)
    del state["shared--plain"]
    found = {
        backend.name: (backend.state, backend.breaker, len(backend.members))
        for backend in (await providers(app)).backends
    }
    assert found == {
        pool: ("different", None, 1),
        f"{pool}--france": ("as_catalogued", rule, 0),
        f"{pool}--reserve": ("as_catalogued", rule, 0),
        f"{pool}--sweden": ("different", None, 0),
        "shared--plain": ("missing", None, 0),
    }


async def test_every_system_is_asked_once() -> None:
    app = await a_team()
    app.calls.forget()
    health = await check_everything(app)
    assert health.healthy
    assert [probe.system for probe in health.probes] == [
        "GitHub",
        "Service Bus",
        "API Management",
        "bearer keys",
        "Key Vault",
        "role assignments",
        "Kubernetes",
        "ways around API Management",
        "Foundry",
        "capacity",
    ]
    # The account reads what a review reads: two lists, and of the branch what it has not read yet.
    account = {
        "repository head",
        "repository tree",
        "repository blob",
        "gateway products",
        "cluster all_workspaces",
    }
    asked = [f"{call.system} {call.name}" for call in app.calls.made]
    # API Management tells what it could read of the platform's vault, and whether there is a second API and a
    # key for it, the cluster what it serves, and two calls whether anything leads around the gateway.
    more = 6
    assert len(asked) == 7 + more + len(account)
    assert account <= set(asked)


async def test_a_platform_with_more_in_force_than_may_be_is_not_healthy() -> None:
    app = await a_platform()
    for name in ("alpha", "bravo"):
        await push(
            app, {DEFAULT_CATALOG_PATH: _COUNTED, **asking(name, "kaito: [{name: phi-4, dedicated: true}]")}
        )
    assert not any(offer.overcommitted for offer in (await models(app, with_shares=False)).models)
    assert (await check_everything(app)).healthy
    lower = _COUNTED.replace("total: 3", "total: 1").replace("perTeam: 1", "perTeam: 1")
    await push(app, {DEFAULT_CATALOG_PATH: lower, path_of("alpha"): "team: ["})
    assert [offer.name for offer in (await models(app, with_shares=False)).models if offer.overcommitted] == [
        "phi-4"
    ]
    [unwell] = [probe for probe in (await check_everything(app)).probes if not probe.healthy]
    assert (unwell.system, unwell.reason) == ("capacity", "Overcommitted")
    assert "'phi-4'" in (unwell.message or "")


async def test_without_its_branch_github_is_not_healthy() -> None:
    app = await a_team()
    app.repository.delete_branch()
    assert [
        (probe.system, probe.reason) for probe in (await check_everything(app)).probes if not probe.healthy
    ] == [("GitHub", "NoBranch")]


async def test_a_system_that_refuses_or_is_slow_is_named_and_nobody_waits_for_it() -> None:
    app = await a_team()
    never = asyncio.Event()

    async def trouble(call: Call) -> None:
        if call.system == "vault":
            await never.wait()
        if call.system == "gateway":
            raise Unavailable("503 from somewhere")

    app.calls.before = trouble
    health = await check_everything(app, timedelta(milliseconds=50))
    assert not health.healthy
    assert {probe.system: probe.reason for probe in health.probes if not probe.healthy} == {
        "API Management": "Unavailable",
        "bearer keys": "Unavailable",
        "Key Vault": "NoAnswer",
    }
