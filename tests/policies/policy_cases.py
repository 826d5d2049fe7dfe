"""Teams and catalogues whose policies people have read: each name is a file in `golden`, whose README says
what it shows.

`python -m tests.policies.policy_cases` writes the files anew; the difference is what a reviewer reads.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

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
from shared.catalog.terms import Classification
from shared.policies.api_policy import api_policy
from shared.policies.product_policy import product_policy, requested_model_fragment
from shared.requests.request import AccessRequest, ModelAccess, TokenQuota
from tests.fakes.app import GPU, Asked, a_catalog

POLICIES = Path(__file__).parent / "golden"

FOUNDRY = "https://contoso-ai.openai.azure.com/openai/v1"
EVERY_CLASS: frozenset[Classification] = frozenset({"public", "internal", "confidential", "restricted"})

PLAIN = Asked().read()
FULL = replace(
    Asked(dedicated={"phi-4": GPU}, cost_center="CC-12345").read(),
    models=(
        ModelAccess("gpt-4.1", "foundry", 10_000, TokenQuota(1_000_000, "Monthly"), None),
        ModelAccess("phi-4", "kaito", 50_000, None, GPU),
    ),
    tokens_per_minute=55_000,
    daily_token_quota=2_000_000,
)
UNLIMITED = replace(PLAIN, models=(ModelAccess("text-embedding-3-large", "foundry", None, None, None),))

#: Every feature of a catalogue at once.
GOVERNED = Catalog(
    models=(
        CatalogModel(
            name="claude-sonnet",
            provider="openai",
            members=(Member("https://api.anthropic.com/v1", "claude-sonnet-4-5", credential="anthropic"),),
            fallback="gpt-4.1",
        ),
        CatalogModel(
            name="gpt-4.1",
            provider="foundry",
            members=(
                Member(FOUNDRY, "gpt-4.1", "sweden", 90, 1),
                Member("https://contoso-canary.openai.azure.com/openai/v1", "gpt-4.1", "canary", 10, 1),
                Member("https://contoso-us.openai.azure.com/openai/v1", "gpt-4.1", "spare", 100, 2),
            ),
            breaker=Breaker(5, 60, 30),
            retries=2,
            fallback="mistral-small",
            cached=True,
            screened=True,
        ),
        CatalogModel(
            name="llama-on-premises",
            provider="openai",
            members=(Member("http://ollama.contoso.internal:11434/v1", "llama3.3:70b"),),
            data_classes=EVERY_CLASS,
            private=True,
            cached=True,
        ),
        CatalogModel(
            name="mistral-small",
            provider="kaito",
            data_classes=EVERY_CLASS,
            private=True,
            preset="mistral-7b-instruct",
            dedicated=Dedicated((GPU,), 1, 3),
            shared=SharedWorkspace(GPU),
            retries=1,
        ),
        CatalogModel("text-embedding-3-large", "foundry", (Member(FOUNDRY, "embeddings-eu"),)),
    ),
    content_safety=ContentSafety("https://contoso-safety.cognitiveservices.azure.com", 4),
    cache=SemanticCache("text-embedding-3-large", Decimal("0.05"), 600),
    tokens=EntraTokens("8f1c2d3e-0000-4000-8000-000000000001", "api://contoso-models"),
    origins=("https://chat.contoso.com", "https://labs.contoso.com"),
)


#: Models on GPUs of the company's own: one that takes pictures and has no configuration, and one that stands
#: in for it.
ON_GPUS = Catalog(
    models=(
        CatalogModel(
            name="gemma",
            provider="kaito",
            data_classes=EVERY_CLASS,
            private=True,
            preset="gemma-3-4b-instruct",
            shared=SharedWorkspace(GPU),
            breaker=Breaker(5, 60, 30),
            fallback="mistral-small",
        ),
        GOVERNED.models[3],
    ),
)


#: What models serve, and the names by which they are asked for.
OF_ABILITIES = Catalog(
    models=(
        CatalogModel(
            "gpt-4.1", "foundry", (Member(FOUNDRY, "gpt-4.1"),), aliases=("chat-default", "gpt/latest")
        ),
        CatalogModel("gpt-image-1", "foundry", (Member(FOUNDRY, "pictures"),), serves=frozenset({"images"})),
        CatalogModel(
            "phi-4",
            "kaito",
            (Member("http://phi-4.models.svc/v1", "phi-4"),),
            private=True,
            serves=frozenset({"chat", "completions", "responses"}),
        ),
    )
)


def asking(*models: str, of: Classification = "internal", gpu: str | None = None) -> AccessRequest:
    """A request of the governed catalogue."""
    known = [model for model in GOVERNED.models if model.name in models]
    granted = tuple(
        ModelAccess(m.name, m.provider, 20_000, None, gpu if m.dedicated else None) for m in known
    )
    return replace(PLAIN, models=granted, data_classification=of)


def policy_texts() -> dict[str, str]:
    """What stands in each file, without its last line end."""
    plain, everything = a_catalog(), tuple(model.name for model in GOVERNED.models)
    return {
        "one-model.xml": product_policy(PLAIN, plain),
        "no-limits.xml": product_policy(UNLIMITED, plain),
        "limits-quotas-and-a-gpu.xml": product_policy(FULL, plain),
        "requests-per-minute.xml": product_policy(replace(PLAIN, requests_per_minute=600), plain),
        "screened-cached-and-a-fallback.xml": product_policy(asking("gpt-4.1", "mistral-small"), GOVERNED),
        "fallback-not-granted.xml": product_policy(
            asking("claude-sonnet", "text-embedding-3-large"), GOVERNED
        ),
        "own-workspace-is-no-fallback.xml": product_policy(
            asking("gpt-4.1", "mistral-small", gpu=GPU), GOVERNED
        ),
        "restricted-data.xml": product_policy(asking(*everything, of="restricted"), GOVERNED),
        "aliases-and-images.xml": product_policy(
            replace(
                PLAIN,
                models=tuple(
                    ModelAccess(each.name, each.provider, None, None, None) for each in OF_ABILITIES.models
                ),
                requests_per_minute=60,
            ),
            OF_ABILITIES,
        ),
        "nothing-allowed.xml": product_policy(asking("gpt-4.1", of="restricted"), GOVERNED),
        "unified-api.xml": api_policy(plain),
        "unified-api-governed.xml": api_policy(GOVERNED),
        "unified-api-on-gpus.xml": api_policy(ON_GPUS),
        "unified-api-verbs.xml": api_policy(OF_ABILITIES),
        "requested-model.xml": requested_model_fragment(),
    }


if __name__ == "__main__":
    for name, text in policy_texts().items():
        (POLICIES / name).write_text(text + "\n")
