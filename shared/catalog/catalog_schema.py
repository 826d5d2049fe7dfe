"""The catalogue as it is written: its keys, and what each may be by itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.catalog.catalog_fields import (
    Amount,
    AnswerTokens,
    Audience,
    Context,
    Count,
    Currency,
    Endpoint,
    KaitoRelease,
    KubernetesName,
    MemberName,
    Origin,
    OverCommitment,
    ParserName,
    PoolsTaken,
    Score,
    SecretName,
    ServedName,
    ServiceUrl,
    Share,
)
from shared.catalog.terms import Ability, Classification, Provider
from shared.documents.field_types import (
    Day,
    GroupId,
    InstanceType,
    ModelName,
    Schema,
    Tokens,
    TokensPerMinute,
)

MAX_POOL_MEMBERS = 30
"""API Management's limit of backends in a pool."""

Seconds = Count


class DedicatedSchema(Schema):
    """Permission for workspaces of a team's own."""

    instance_types: list[InstanceType] = Field(
        min_length=1, description="the allowed instance types, the default first"
    )
    per_team: Count = Field(
        default=1,
        description="how many dedicated workspaces, of any model, a team with one of this model may have",
    )
    total: Count = Field(
        description="how many dedicated workspaces of this model all teams together may have"
    )
    total_nodes: Count | None = Field(
        default=None, description="how many GPU nodes those may take together; default: no bound"
    )


class MemberSchema(Schema):
    """One backend of a pool."""

    name: MemberName = Field(description="the backend's name in this pool, such as sweden")
    endpoint: Endpoint = Field(description="its OpenAI-compatible base URL, ending in /v1")
    served_name: ServedName | None = Field(
        default=None, description="what it calls the model; default: the model's name"
    )
    weight: Share | None = Field(
        default=None, description="its share of the calls in percent; default: equal shares"
    )
    priority: Count = Field(default=1, description="the smallest is asked first, the others when those fail")
    credential: SecretName | None = Field(
        default=None,
        description="the name of the secret with its key in the gateway's vault (PLATFORM_VAULT_URL)",
    )


class BreakerSchema(Schema):
    """When a backend is left alone."""

    failures: Count = Field(description="so many failures")
    interval: Seconds = Field(description="within so many seconds")
    trip: Seconds = Field(description="leave it alone for so many seconds")


class PriceSchema(Schema):
    """Per million tokens."""

    prompt: Amount = Field(description="per million tokens of prompts")
    completion: Amount = Field(description="per million tokens of answers")


class SharedSchema(Schema):
    """A KAITO workspace that the platform runs for all teams."""

    instance_type: InstanceType = Field(description="the instance type of its nodes")


class ModelSchema(Schema):
    """A model on offer."""

    name: ModelName = Field(description="the name that requests and callers use, such as gpt-4.1")
    provider: Provider = Field(description="foundry, kaito or openai")
    endpoint: Endpoint | None = Field(
        default=None, description="the OpenAI-compatible base URL of the backend, ending in /v1"
    )
    served_name: ServedName | None = Field(
        default=None,
        description="what the backend calls the model; default: name. A workspace's default is its preset; "
        "written: the name, which we tell it; preset: what the release calls it",
    )
    credential: SecretName | None = Field(
        default=None,
        description="the name of the secret with its key in the gateway's vault (PLATFORM_VAULT_URL)",
    )
    pool: list[MemberSchema] | None = Field(
        default=None,
        min_length=2,
        max_length=MAX_POOL_MEMBERS,
        description="several backends instead of 'endpoint'",
    )
    circuit_breaker: BreakerSchema | None = Field(default=None, description="when a backend is left alone")
    retries: int = Field(default=0, ge=0, le=3, description="how often a failed call is repeated")
    fallback: ModelName | None = Field(
        default=None, description="the model that is asked when this one cannot answer"
    )
    price: PriceSchema | None = Field(
        default=None, description="per million tokens, in the catalogue's currency"
    )
    max_tokens_per_minute: TokensPerMinute | None = Field(
        default=None, description="the most that one team may ask for"
    )
    max_daily_tokens: Tokens | None = Field(
        default=None, description="the most that one team may use in a day"
    )
    capacity: TokensPerMinute | None = Field(
        default=None, description="what the backends can do, in tokens per minute for all teams"
    )
    data_classes: list[Classification] | None = Field(
        default=None, min_length=1, description="the classes of data that it may be sent"
    )
    private: bool | None = Field(
        default=None, description="whether it stays in the company's own network; kaito models do"
    )
    preset: ServedName | None = Field(default=None, description="the KAITO preset that a workspace runs")
    access_secret: KubernetesName | None = Field(
        default=None, description="the Kubernetes secret with the token that the preset needs"
    )
    context: Context | None = Field(
        default=None, description="the longest context that its workspaces serve, in tokens"
    )
    benchmark: bool = Field(
        default=True, description="whether KAITO measures the model when a workspace of it starts"
    )
    tool_parser: ParserName | None = Field(
        default=None, description="how its workspaces read calls of tools, as vLLM names it"
    )
    answer_tokens: AnswerTokens | None = Field(
        default=None, description="the longest answer of its workspaces, in tokens; at least 256"
    )
    max_nodes: Count | None = Field(
        default=None, description="the most GPU nodes that one workspace of it may take"
    )
    dedicated: DedicatedSchema | None = Field(
        default=None, description="permission for workspaces of a team's own"
    )
    shared: SharedSchema | None = Field(
        default=None, description="a workspace that the platform runs for all teams"
    )
    retires_on: Day | None = Field(default=None, description="the last day on which it is served")
    successor: ModelName | None = Field(
        default=None, description="the model to use instead of one that retires"
    )
    cached: bool = Field(
        default=False, description="whether answers are kept for prompts of the same meaning"
    )
    screened: bool = Field(default=False, description="whether prompts pass the content safety service")
    serves: list[Ability] | None = Field(
        default=None,
        min_length=1,
        description="what it does: chat, tools, responses, embeddings, completions, images; default: by "
        "provider and preset",
    )
    aliases: list[ModelName] = Field(
        default_factory=list, description="other names by which callers may ask for it"
    )


class ContentSafetySchema(Schema):
    """The Azure AI Content Safety resource that screens prompts."""

    endpoint: ServiceUrl = Field(
        description="its URL, such as https://contoso-safety.cognitiveservices.azure.com"
    )
    threshold: int = Field(ge=0, le=7, description="the severity from which a prompt is refused, 0 to 7")


class CacheSchema(Schema):
    """Answers to prompts of the same meaning."""

    embeddings: ModelName = Field(description="the model of this catalogue that compares prompts")
    score: Score = Field(description="how near two prompts must be, 0 to 1; smaller is stricter")
    seconds: int = Field(ge=1, le=86_400, description="how long an answer is kept, up to a day")


class TokensSchema(Schema):
    """Entra tokens that callers need besides the key."""

    tenant: GroupId = Field(description="the id of the tenant")
    audience: Audience = Field(description="the application that tokens must be for, such as api://mergekey")


class CatalogSchema(Schema):
    """The models that requests may name: platform/config/model_catalog.yaml."""

    currency: Currency | None = Field(default=None, description="the currency of all prices, such as EUR")
    node_price: dict[InstanceType, Amount] = Field(
        default_factory=dict, description="what a GPU node costs in an hour, by its instance type"
    )
    pools_taken: PoolsTaken = Field(
        default=0, description="how many agent pools of the cluster are not KAITO's; AKS has at most 100"
    )
    over_commitment: OverCommitment | None = Field(
        default=None, description="how many times a model's capacity may be granted in sum"
    )
    content_safety: ContentSafetySchema | None = Field(
        default=None, description="the service that screens prompts"
    )
    semantic_cache: CacheSchema | None = Field(
        default=None, description="answers to prompts of the same meaning"
    )
    entra_tokens: TokensSchema | None = Field(
        default=None, description="tokens that callers need besides the key"
    )
    bearer_keys: Literal["native", "mirrored", False] | None = Field(
        default=None,
        description="how keys are taken as bearer tokens, by a second API: native, mirrored or false",
    )
    origins: list[Origin] = Field(
        default_factory=list, description="the web pages that may call, such as https://chat.contoso.com"
    )
    kaito: KaitoRelease | None = Field(
        default=None, description='the release of KAITO in the cluster, in quotes, such as "0.12"'
    )
    models: list[ModelSchema] = Field(min_length=1, description="the models on offer")


#: The classes of data that a model may be sent when the catalogue does not say.
USUAL_CLASSES: frozenset[Classification] = frozenset(("public", "internal", "confidential"))
