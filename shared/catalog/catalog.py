"""The catalogue: the models a request may name, who serves them and how much a team may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from pydantic import ValidationError

from shared import names
from shared.catalog.catalog_schema import USUAL_CLASSES, CatalogSchema, DedicatedSchema, ModelSchema
from shared.catalog.cross_checks import cross_field_checks, workspace_faults
from shared.catalog.terms import (
    PRESET_NAME,
    WRITTEN_NAME,
    Ability,
    BearerWay,
    Classification,
    Provider,
)
from shared.catalog.verbs import SCREENED, usual_abilities
from shared.catalog.workspace_checks import Setup
from shared.documents.problem import Problem, capped
from shared.documents.strict_yaml import read_bytes, secret_problems
from shared.documents.validation_messages import empty_values, explain
from shared.kaito.presets import readiness_time, served_name, takes_media
from shared.kaito.releases import DEFAULT_RELEASE, FETCHES_ALL, Release


@dataclass(frozen=True, slots=True)
class Dedicated:
    """A model's permission for workspaces of a team's own.

    `instance_types`: Azure VM sizes, the default first. `per_team`: how many dedicated workspaces, of any
    model, a team may have when one of them is of this model. `total`: how many of this model all teams
    together may have, and `total_nodes`: how many GPU nodes those may take, None for no bound.
    """

    instance_types: tuple[str, ...]
    per_team: int
    total: int
    total_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One backend of a model. `name` is empty when the model has only this one.

    `endpoint` is an OpenAI-compatible `/v1` base URL; `served_name` is what this backend calls the model.
    Members of the smallest `priority` are asked first, each with its `weight` in percent of the members of
    its priority; the others when all of those have tripped. `credential` names a secret of the platform's own
    vault that is sent as a bearer token, None where none is needed.
    """

    endpoint: str
    served_name: str
    name: str = ""
    weight: int = 100
    priority: int = 1
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """After so many `failures` within `interval` a backend gets no calls for `trip`; both in seconds. API
    Management has one rule.
    """

    failures: int
    interval: int
    trip: int


@dataclass(frozen=True, slots=True)
class Price:
    """Per million tokens, in the catalogue's currency."""

    prompt: Decimal
    completion: Decimal


@dataclass(frozen=True, slots=True)
class Retirement:
    """The last day on which the model is served, UTC, and the model to use instead."""

    on: date
    successor: str


@dataclass(frozen=True, slots=True)
class SharedWorkspace:
    """A KAITO workspace that the platform runs for all teams."""

    instance_type: str


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """A model on offer.

    `members` are the backends that serve it to all teams, none for a model that only dedicated workspaces
    serve; with `shared` the platform runs the one that serves it. `max_tokens_per_minute` is a team's
    ceiling, `max_daily_tokens` the ceiling of its quota per day; `capacity` is what the backends can do, in
    tokens per minute, None when the catalogue does not say. `retries`: how often a failed call is repeated,
    before the model `fallback` is asked. `data_classes`: the classes of data that may be sent to it;
    `private`: it does not leave the company's own network. `access_secret`: the Kubernetes secret with the
    Hugging Face token that its preset needs; `max_nodes`: the most GPU nodes that one of its workspaces may
    take, None when the catalogue does not say; `context`: the longest that its workspaces serve, in
    tokens, None for what the release does; `answer_tokens`: the longest answer that they give, None for no
    bound; `tool_parser`: how they read calls of tools, None for what the
    preset does; `benchmark`: whether KAITO measures it when they start; `named`: what its workspaces call the
    model, None where that is the preset's own name, and `name_is_written` whether their configuration tells
    them. `cached`, `screened`: whether answers are kept by meaning, and prompts pass the content safety
    service. `serves`: what it does; `aliases`: the other names by which callers may ask for it, sorted.
    """

    name: str
    provider: Provider
    members: tuple[Member, ...] = ()
    breaker: Breaker | None = None
    retries: int = 0
    fallback: str | None = None
    price: Price | None = None
    max_tokens_per_minute: int | None = None
    max_daily_tokens: int | None = None
    capacity: int | None = None
    data_classes: frozenset[Classification] = frozenset({"public", "internal", "confidential"})
    private: bool = False
    preset: str | None = None
    access_secret: str | None = None
    max_nodes: int | None = None
    context: int | None = None
    benchmark: bool = True
    tool_parser: str | None = None
    answer_tokens: int | None = None
    named: str | None = None
    name_is_written: bool = False
    dedicated: Dedicated | None = None
    shared: SharedWorkspace | None = None
    retirement: Retirement | None = None
    cached: bool = False
    screened: bool = False
    serves: frozenset[Ability] = frozenset({"chat", "tools", "responses", "embeddings", "completions"})
    aliases: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The model in remote names."""
        return names.slug(self.name)

    @property
    def serves_all(self) -> bool:
        """Whether several teams can share it: there are backends, or a workspace that the platform runs."""
        return bool(self.members) or self.shared is not None

    @property
    def served_name(self) -> str:
        """The name that all its backends use for it."""
        return self.members[0].served_name if self.members else self.workspace_name

    @property
    def is_configured(self) -> bool:
        """Whether its workspaces are told something beyond their preset."""
        said = (self.context, self.tool_parser, self.answer_tokens)
        return self.name_is_written or any(each is not None for each in said)

    @property
    def workspace_name(self) -> str:
        """The name that its workspaces use for it."""
        return self.named or self.preset or self.name


@dataclass(frozen=True, slots=True)
class ContentSafety:
    """The Azure AI Content Safety resource that screens prompts; `threshold` 0-7, the severity from which a
    prompt is refused.
    """

    endpoint: str
    threshold: int


@dataclass(frozen=True, slots=True)
class SemanticCache:
    """Answers to prompts of the same meaning. `embeddings` is a model of the catalogue; `score` 0-1, smaller
    is stricter.
    """

    embeddings: str
    score: Decimal
    seconds: int


@dataclass(frozen=True, slots=True)
class EntraTokens:
    """Besides the key, callers need an Entra token of this tenant for this audience."""

    tenant: str
    audience: str


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """All models on offer, sorted by name. `over_commitment`: how much more than a model's capacity may be
    granted in sum. `kaito`: the release of KAITO that it names, None when it names none. `node_price`: what a
    node costs in an hour, by its instance type. `pools_taken`: the agent pools of the cluster that are not
    KAITO's.

    Equal to itself only: it is read once, and much is remembered by it.
    """

    models: tuple[CatalogModel, ...]
    currency: str | None = None
    over_commitment: Decimal = Decimal(1)
    content_safety: ContentSafety | None = None
    cache: SemanticCache | None = None
    tokens: EntraTokens | None = None
    origins: tuple[str, ...] = ()
    kaito: Release | None = None
    node_price: Mapping[str, Decimal] = field(default_factory=dict)
    pools_taken: int = 0
    #: How the catalogue wants keys to be taken as bearer tokens; None for not at all.
    bearer_keys: BearerWay | None = "native"

    @property
    def bearer_way(self) -> BearerWay | None:
        """How keys are taken as bearer tokens. Where callers need a token of Entra there is no way: one
        header cannot hold both.
        """
        return None if self.tokens is not None else self.bearer_keys

    @property
    def has_workspaces(self) -> bool:
        """Whether KAITO runs any of its models on nodes of the cluster."""
        return any(model.shared or model.dedicated for model in self.models)

    def fetches_media(self, model: CatalogModel) -> bool:
        """Whether a workspace of the model would fetch pictures, sounds and videos from wherever a call says:
        it may take them, and its configuration does not forbid it.
        """
        if model.preset is None or not takes_media(model.preset):
            return False
        return not model.is_configured or (self.kaito or DEFAULT_RELEASE) in FETCHES_ALL

    def setup(self, model: CatalogModel) -> Setup | None:
        """What the workspaces of a model run; None for a model without a preset."""
        if model.preset is None:
            return None
        return Setup(
            self.kaito or DEFAULT_RELEASE, model.preset, model.context, model.max_nodes, model.benchmark
        )

    def readiness_times(self) -> dict[str, timedelta]:
        """How long a trouble of a workspace may last before it stands, by the workspace's name."""
        return {
            names.workspace(model.name): readiness_time(setup.release, setup.preset)
            for model in self.models
            if (setup := self.setup(model)) is not None
        }

    def model(self, name: str) -> CatalogModel | None:
        """The model of that name, None when it is not on offer."""
        return next((model for model in self.models if model.name == name), None)

    def named_by(self, alias: str) -> CatalogModel | None:
        """The model with that alias."""
        return next((model for model in self.models if alias in model.aliases), None)


@dataclass(frozen=True, slots=True)
class ParsedCatalog:
    """The catalogue, or None; and its problems. Beside `faults` the rest is valid: they are the problems of
    workspaces that are written there and that KAITO does not make, each with the name of its model.
    """

    catalog: Catalog | None
    problems: tuple[Problem, ...]
    faults: tuple[tuple[str, Problem], ...] = ()


def read_catalog(path: str, content: bytes) -> ParsedCatalog:
    """The catalogue in a file's content. Never raises; all problems at once."""
    document = read_bytes(path, content)
    problems = list(document.problems)
    written: CatalogSchema | None = None
    try:
        written = CatalogSchema.model_validate(document.data)
    except ValidationError as error:
        problems.extend(explain(error, CatalogSchema, document))
    problems.extend(empty_values(document))
    problems.extend(cross_field_checks(document))
    told = {problem.line for problem in problems if problem.reason == "SecretInCatalogue"}
    secrets = secret_problems(path, content, "SecretInCatalogue")
    problems.extend(problem for problem in secrets if problem.line not in told)
    faults = tuple(workspace_faults(document))
    found = capped([*problems, *(problem for _, problem in faults)])
    return ParsedCatalog(None if problems or written is None else _catalog(written), found, faults)


def _catalog(written: CatalogSchema) -> Catalog:
    safety, cache, tokens = written.content_safety, written.semantic_cache, written.entra_tokens
    return Catalog(
        models=tuple(
            sorted((_model(each, written.kaito) for each in written.models), key=lambda model: model.name)
        ),
        currency=written.currency,
        over_commitment=Decimal(1) if written.over_commitment is None else written.over_commitment,
        content_safety=ContentSafety(safety.endpoint, safety.threshold) if safety else None,
        cache=SemanticCache(cache.embeddings, cache.score, cache.seconds) if cache else None,
        tokens=EntraTokens(tokens.tenant, tokens.audience) if tokens else None,
        origins=tuple(written.origins),
        kaito=written.kaito,
        node_price=written.node_price,
        pools_taken=written.pools_taken,
        bearer_keys="native" if written.bearer_keys is None else written.bearer_keys or None,
    )


def _model(written: ModelSchema, named_release: Release | None) -> CatalogModel:
    release = named_release or DEFAULT_RELEASE
    named = _named(written, release) if written.provider == "kaito" else None
    asked = written.dedicated
    return CatalogModel(
        name=written.name,
        provider=written.provider,
        members=tuple(_members(written, named or written.served_name or written.name)),
        breaker=_breaker(written),
        retries=written.retries,
        fallback=written.fallback,
        price=Price(written.price.prompt, written.price.completion) if written.price else None,
        max_tokens_per_minute=written.max_tokens_per_minute,
        max_daily_tokens=written.max_daily_tokens,
        capacity=written.capacity,
        data_classes=USUAL_CLASSES if written.data_classes is None else frozenset(written.data_classes),
        private=bool(written.private) or written.provider == "kaito",
        preset=written.preset,
        access_secret=written.access_secret,
        max_nodes=written.max_nodes,
        context=written.context,
        benchmark=written.benchmark,
        tool_parser=written.tool_parser,
        answer_tokens=written.answer_tokens,
        named=named,
        name_is_written=written.provider == "kaito" and written.served_name == WRITTEN_NAME,
        dedicated=_dedicated(asked) if asked else None,
        shared=_shared(written),
        retirement=_retirement(written),
        cached=written.cached,
        screened=written.screened,
        serves=_serves(written, named_release),
        aliases=tuple(sorted(written.aliases)),
    )


def _serves(written: ModelSchema, release: Release | None) -> frozenset[Ability]:
    """A screened model serves only what is screened."""
    usual = usual_abilities(written.provider, written.preset, release, written.tool_parser)
    serves = usual if written.serves is None else frozenset(written.serves)
    return serves & SCREENED if written.screened else serves


def _breaker(written: ModelSchema) -> Breaker | None:
    rule = written.circuit_breaker
    return Breaker(rule.failures, rule.interval, rule.trip) if rule else None


def _shared(written: ModelSchema) -> SharedWorkspace | None:
    return SharedWorkspace(written.shared.instance_type) if written.shared else None


def _retirement(written: ModelSchema) -> Retirement | None:
    day, successor = written.retires_on, written.successor
    return Retirement(day, successor) if day and successor else None


def _dedicated(written: DedicatedSchema) -> Dedicated:
    return Dedicated(tuple(written.instance_types), written.per_team, written.total, written.total_nodes)


def _named(written: ModelSchema, release: Release) -> str | None:
    """What the model's workspaces call it; None where the catalogue does not say. Beside an endpoint any
    other text is the endpoint's name for it.
    """
    if written.served_name == WRITTEN_NAME:
        return written.name
    if written.served_name == PRESET_NAME and written.preset is not None:
        return served_name(release, written.preset)
    return None if written.endpoint is not None else written.served_name


def _members(written: ModelSchema, served_name: str) -> Iterator[Member]:
    """`served_name` is that of the one backend. Where no backend of a priority has a weight, they have equal
    shares.
    """
    if written.endpoint is not None:
        yield Member(written.endpoint, served_name, credential=written.credential)
    for member in written.pool or ():
        peers = sum(other.priority == member.priority for other in written.pool or ())
        yield Member(
            endpoint=member.endpoint,
            served_name=member.served_name or written.name,
            name=member.name,
            weight=member.weight or 100 // peers,
            priority=member.priority,
            credential=member.credential,
        )
