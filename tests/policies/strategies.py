"""Any catalogue that may be written, and any request that may be read against it."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import strategies as st

from shared.catalog.catalog import (
    Breaker,
    Catalog,
    CatalogModel,
    ContentSafety,
    Dedicated,
    EntraTokens,
    Member,
    SemanticCache,
    SharedWorkspace,
)
from shared.catalog.terms import Classification, Provider
from shared.requests.details import ModelAccess, Period, TokenQuota
from shared.requests.request import AccessRequest
from tests.fakes.app import GPU
from tests.policies.policy_cases import EVERY_CLASS, PLAIN

ENDPOINTS = (
    "https://contoso-ai.openai.azure.com/openai/v1",
    "https://api.openai.com/v1",
    "http://10.0.0.7:11434/v1",
)
NAMES = ("a", "gpt-4.1", "org/model_7b", "Phi.4", "x" * 32)

_served = st.sampled_from(("gpt-4.1", "llama3.3:70b", "org/model"))
_limit = st.none() | st.integers(1, 2**31 - 1)
_some_classes = st.sets(st.sampled_from(get_args(Classification)), min_size=1).map(frozenset)


@st.composite
def _members(draw: st.DrawFn) -> tuple[Member, ...]:
    served, endpoints = draw(_served), draw(st.lists(st.sampled_from(ENDPOINTS), max_size=3))
    credential = draw(st.none() | st.just("openai-key"))
    if len(endpoints) == 1:
        return (Member(endpoints[0], served, credential=credential),)
    weights = {1: (), 2: (90, 10), 3: (90, 10, 100)}.get(len(endpoints), ())
    return tuple(
        Member(endpoint, served, f"m{index}", weight, 1 + index // 2, credential)
        for index, (endpoint, weight) in enumerate(zip(endpoints, weights, strict=False))
    )


@st.composite
def _a_model(draw: st.DrawFn, name: str) -> CatalogModel:
    provider: Provider = draw(st.sampled_from(get_args(Provider)))
    members = draw(_members())
    return CatalogModel(
        name=name,
        provider=provider,
        members=members,
        breaker=draw(
            st.none() | st.builds(Breaker, st.integers(1, 100), st.integers(1, 3600), st.integers(1, 3600))
        ),
        retries=draw(st.integers(0, 3)),
        fallback=draw(st.none() | st.sampled_from(NAMES)),
        data_classes=draw(_some_classes) if provider == "foundry" else EVERY_CLASS,
        private=provider != "foundry",
        preset="phi-4" if provider == "kaito" else None,
        dedicated=Dedicated((GPU,), 1, 9) if provider == "kaito" else None,
        shared=SharedWorkspace(GPU) if provider == "kaito" and not members and draw(st.booleans()) else None,
        cached=draw(st.booleans()),
        screened=draw(st.booleans()),
    )


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    names = sorted(draw(st.sets(st.sampled_from(NAMES), min_size=1)))
    return Catalog(
        models=tuple(draw(_a_model(name)) for name in names),
        content_safety=draw(
            st.none()
            | st.builds(ContentSafety, st.just("https://s.cognitiveservices.azure.com"), st.integers(0, 7))
        ),
        cache=draw(
            st.none()
            | st.builds(SemanticCache, st.just(names[0]), st.decimals(0, 1, places=3), st.integers(1, 86400))
        ),
        tokens=draw(st.none() | st.just(EntraTokens("8f1c2d3e-0000-4000-8000-000000000001", "api://models"))),
        origins=draw(
            st.lists(
                st.sampled_from(("https://a.contoso.com", "https://b.contoso.com:8443")), unique=True
            ).map(tuple)
        ),
    )


@st.composite
def requests_of(draw: st.DrawFn, catalog: Catalog) -> AccessRequest:
    """Also one that names what its data may not be sent to: the compiler has to leave that out by itself."""
    models = draw(st.lists(st.sampled_from(catalog.models), min_size=1, unique_by=lambda model: model.name))
    quota = st.none() | st.builds(TokenQuota, st.integers(1, 10**12), st.sampled_from(get_args(Period)))
    return replace(
        PLAIN,
        models=tuple(
            ModelAccess(
                each.name,
                each.provider,
                draw(_limit),
                draw(quota),
                draw(st.none() | st.just(GPU)) if each.dedicated else None,
            )
            for each in models
        ),
        cost_center=draw(st.none() | st.just("CC-1") | st.text(max_size=5)),
        tokens_per_minute=draw(_limit),
        daily_token_quota=draw(_limit),
        requests_per_minute=draw(st.none() | st.integers(1, 1_000_000)),
        data_classification=draw(st.sampled_from(get_args(Classification))),
    )
