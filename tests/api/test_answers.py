"""From what was seen to what is answered: times, capacities, retirements, addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared import names
from shared.api.answers import model_list, provider_list, team_record
from shared.api.records import Gpus, Granted, GrantedModel, Offer, Share, TeamRecord
from shared.api.records import Grants as Sums
from shared.api.team_view import Condition, TeamOnBranch, TeamView
from shared.branch.review import Review
from shared.catalog.capacity import Allocation, Grants, allocate, over_allocated
from shared.catalog.catalog import Catalog, CatalogModel, EntraTokens, Member, Price, Retirement
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker
from shared.requests.details import TokenQuota
from shared.resources.actual import ActualBackend, Api, Product, Workspace
from shared.resources.desired import Platform, Playground, compile_catalog
from tests.fakes.app import GATEWAY_URL, GPU, REPOSITORY, Asked, a_catalog, catalog_text, path_of
from tests.policies.policy_cases import FULL, GOVERNED

PLATFORM = Platform(REPOSITORY, GATEWAY_URL, None)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TIMES = Times(NOW, timedelta(days=7), timedelta(hours=1), timedelta(hours=24))
EARLIER = "2026-03-02T08:30:00Z"


def a_world(*workspaces: Workspace) -> Snapshot:
    return Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {"team-alpha": workspaces}, {}, ())


def a_record(catalog: Catalog, asked: Asked, world: Snapshot | None = None) -> TeamRecord:
    said = TeamOnBranch("alpha", "valid", "granted", path_of("alpha"), "", asked.read(catalog))
    return team_record(TeamView(said, (world or a_world()).team("alpha"), catalog, TIMES), PLATFORM, "c" * 40)


def the_catalog(**changed: Any) -> Catalog:
    """The catalogue with `gpt-4.1` changed."""
    catalog = a_catalog()
    models = tuple(
        replace(model, **changed) if model.name == "gpt-4.1" else model for model in catalog.models
    )
    return replace(catalog, models=models)


def a_workspace(*rows: dict[str, str]) -> Workspace:
    return Workspace("phi-4", "1", {}, rows, terminating=False, managed=True)


def workspaces(*found: Workspace) -> Condition:
    return next(
        each
        for each in a_record(a_catalog(), Asked(), a_world(*found)).conditions
        if each.type == "Workspaces"
    )


@pytest.mark.parametrize(
    ("rows", "reason", "since"),
    [
        (
            [{"type": "NodesReady", "status": "False", "lastTransitionTime": EARLIER}],
            "NodesNotReady",
            EARLIER,
        ),
        ([{"type": "WorkspaceSucceeded", "status": "True", "lastTransitionTime": EARLIER}], "Ready", EARLIER),
        (
            [{"type": "WorkspaceSucceeded", "status": "Unknown", "lastTransitionTime": EARLIER}],
            "WorkspaceNotReady",
            EARLIER,
        ),
        (
            [
                {"type": "ResourceReady", "status": "True", "lastTransitionTime": "2026-03-02T08:00:00Z"},
                {
                    "type": "WorkspaceSucceeded",
                    "status": "False",
                    "reason": "workspaceFailed",
                    "lastTransitionTime": EARLIER,
                },
            ],
            "WorkspaceFailed",
            EARLIER,
        ),
        (
            [{"type": "WorkspaceSucceeded", "status": "True", "lastTransitionTime": "yesterday"}],
            "Ready",
            None,
        ),
        ([], "WorkspaceNotReady", None),
    ],
)
def test_a_workspace_tells_since_when(rows: list[dict[str, str]], reason: str, since: str | None) -> None:
    found = workspaces(a_workspace(*rows))
    assert (found.reason, found.since) == (reason, datetime.fromisoformat(since) if since else None)


def test_of_several_workspaces_the_first_that_does_not_serve_stands_for_all() -> None:
    serving = a_workspace({"type": "WorkspaceSucceeded", "status": "True"})
    found = workspaces(serving, replace(serving, name="mistral-7b", conditions=()))
    assert (found.reason, found.message) == ("WorkspaceNotReady", "mistral-7b is not ready yet")


def test_a_model_that_retires_says_when_and_what_comes_instead() -> None:
    granted = a_record(the_catalog(retirement=Retirement(date(2026, 9, 30), "gpt-5")), Asked()).granted
    assert granted is not None
    assert [(model.retires_on, model.successor) for model in granted.models] == [(date(2026, 9, 30), "gpt-5")]


@pytest.mark.parametrize(("seen", "nodes", "hour"), [(0, 1, "3.67"), (3, 3, "11.01")])
def test_a_workspace_is_told_with_its_nodes_and_their_price(seen: int, nodes: int, hour: str) -> None:
    catalog = a_catalog(f"currency: EUR\nnodePrice: {{{GPU}: 3.67}}\n{catalog_text()}")
    world = a_world(replace(a_workspace(), nodes=seen))
    granted = a_record(catalog, Asked(dedicated={"phi-4": GPU}), world).granted
    assert granted is not None
    assert granted.models[-1].gpus == Gpus(nodes, Decimal(hour), Decimal(hour) * 730, "EUR")
    shared = a_record(catalog, Asked(models=("gpt-4.1",)), world).granted
    assert shared is not None
    assert shared.models[0].gpus is None


def test_nodes_that_nobody_knows_are_not_those_that_the_catalogue_allows() -> None:
    text = catalog_text().replace("preset: phi-4\n", "preset: contoso/phi-4-tuned\n    maxNodes: 3\n")
    granted = a_record(a_catalog(text), Asked(dedicated={"phi-4": GPU}), a_world()).granted
    assert granted is not None
    assert granted.models[-1].gpus == Gpus(None, None, None, None)


def test_a_models_name_is_one_part_of_its_address() -> None:
    catalog = the_catalog(name="meta/llama-3")
    granted = a_record(catalog, Asked(models=("meta/llama-3",))).granted
    assert granted is not None
    assert granted.models[0].embeddings_url == f"{GATEWAY_URL}/openai/deployments/meta%2Fllama-3/embeddings"


def _reviewed(books: Allocation) -> Review:
    return Review(
        {}, (), None, books.capacities, overcommitted=frozenset(each.model for each in over_allocated(books))
    )


def test_a_model_of_which_more_is_in_force_than_there_may_be_is_overcommitted() -> None:
    catalog, had = the_catalog(capacity=100_000), {"alpha": {"gpt-4.1": 60_000}, "bravo": {"gpt-4.1": 60_000}}
    told = model_list(catalog, _reviewed(allocate(catalog, {}, had)), "c", with_shares=True)
    assert [offer.name for offer in told.models if offer.overcommitted] == ["gpt-4.1"]


def test_what_may_be_granted_is_the_capacity_times_the_over_commitment() -> None:
    catalog = replace(the_catalog(capacity=100_000), over_commitment=Decimal("1.5"))
    asked: dict[str, Grants] = {
        "bravo": {"gpt-4.1": 20_000, "phi-4": None},
        "alpha": {"gpt-4.1": 30_000, "phi-4": 5},
    }
    told = model_list(catalog, _reviewed(allocate(catalog, asked, {})), "c", with_shares=True)
    grants = {offer.name: offer.grants for offer in told.models}
    assert grants["gpt-4.1"] == Sums(
        100_000, 150_000, 50_000, 0, (Share("alpha", 30_000), Share("bravo", 20_000))
    )
    assert grants["phi-4"] == Sums(None, None, 5, 1, (Share("alpha", 5), Share("bravo", None)))


def test_an_offer_shows_neither_the_backends_address_nor_its_credential() -> None:
    price = Price(Decimal("2.00"), Decimal("8.00"))
    catalog = replace(
        the_catalog(price=price, fallback="phi-4", data_classes=frozenset({"public", "internal"})),
        currency="EUR",
    )
    told = model_list(catalog, _reviewed(allocate(catalog, {}, {})), "c", with_shares=True)
    offer = next(each for each in told.models if each.name == "gpt-4.1")
    assert (told.currency, offer.price, offer.fallback, offer.data_classes) == (
        "EUR",
        price,
        "phi-4",
        ("internal", "public"),
    )
    assert "contoso-ai.openai.azure.com" not in repr(told)


def test_everything_that_a_request_says_is_told_to_its_team() -> None:
    request = replace(
        FULL,
        expires=date(2026, 12, 31),
        playground_access=True,
        tracing_enabled=True,
        data_classification="confidential",
    )
    platform = replace(PLATFORM, playground=Playground())
    view = TeamView(
        TeamOnBranch("alpha", "valid", "granted", path_of("alpha"), "", request),
        a_world().team("alpha"),
        a_catalog(),
        TIMES,
    )
    base = f"{GATEWAY_URL}/openai/deployments"
    assert team_record(view, platform, "c").granted == Granted(
        display_name=FULL.display_name,
        owner=FULL.owner,
        cost_center="CC-12345",
        models=(
            GrantedModel(
                "gpt-4.1",
                "foundry",
                10_000,
                TokenQuota(1_000_000, "Monthly"),
                None,
                f"{base}/gpt-4.1/chat/completions",
                f"{base}/gpt-4.1/embeddings",
                None,
                None,
                serves=("chat", "tools", "responses", "embeddings", "completions"),
            ),
            GrantedModel(
                "phi-4",
                "kaito",
                50_000,
                None,
                GPU,
                f"{base}/phi-4/chat/completions",
                f"{base}/phi-4/embeddings",
                None,
                None,
                Gpus(1, None, None, None),
                ("chat", "tools", "responses", "embeddings", "completions"),
            ),
        ),
        tokens_per_minute=55_000,
        daily_token_quota=2_000_000,
        data_classification="confidential",
        playground_access=True,
        playground_project="team-alpha",
        tracing_enabled=True,
        expires=date(2026, 12, 31),
    )


@pytest.mark.parametrize(
    ("changed", "base_url"),
    [
        ({"bearer_keys": "native"}, f"{GATEWAY_URL}/bearer/openai/v1"),
        ({"bearer_keys": "mirrored"}, f"{GATEWAY_URL}/bearer/openai/v1"),
        ({"bearer_keys": None}, None),
        ({"bearer_keys": "native", "tokens": EntraTokens("t", "api://mergekey")}, None),
    ],
)
def test_a_team_is_told_where_keys_are_bearer_tokens_if_they_are(
    changed: dict[str, Any], base_url: str | None
) -> None:
    told = a_record(replace(a_catalog(), **changed), Asked()).endpoints
    assert (told.azure_endpoint, told.base_url) == (GATEWAY_URL, f"{GATEWAY_URL}/openai/v1")
    assert told.bearer_base_url == base_url


def test_a_team_without_a_file_is_told_where_its_file_was() -> None:
    product = Product(
        "team-alpha",
        "1",
        "alpha",
        published=True,
        marker=Marker(REPOSITORY, "alpha", "teams/alpha.yaml", "d" * 40),
    )
    gone, never = replace(a_world(), products={"team-alpha": product}), a_world()
    told = [
        team_record(
            TeamView(TeamOnBranch("alpha", "gone", "ended"), world.team("alpha"), a_catalog(), TIMES),
            PLATFORM,
            "c",
        )
        for world in (gone, never)
    ]
    assert [(each.path, each.provisioned_commit) for each in told] == [
        ("teams/alpha.yaml", "d" * 40),
        ("", None),
    ]


def test_an_offer_is_everything_that_the_catalogue_says_of_a_model() -> None:
    model = replace(
        next(model for model in GOVERNED.models if model.name == "mistral-small"),
        max_tokens_per_minute=1000,
        max_daily_tokens=50_000,
        retirement=Retirement(date(2026, 9, 30), "gpt-4.1"),
        cached=True,
        screened=True,
    )
    catalog = replace(GOVERNED, models=(model,))
    [offer] = model_list(
        catalog, _reviewed(allocate(catalog, {"alpha": {model.name: 5}}, {})), "c", with_shares=False
    ).models
    assert offer == Offer(
        name="mistral-small",
        provider="kaito",
        private=True,
        data_classes=("confidential", "internal", "public", "restricted"),
        price=None,
        max_tokens_per_minute=1000,
        max_daily_tokens=50_000,
        shared=bool(model.members),
        instance_types=(GPU,),
        fallback=None,
        cached=True,
        screened=True,
        retires_on=date(2026, 9, 30),
        successor="gpt-4.1",
        grants=Sums(None, None, 5, 0, None),
        overcommitted=False,
    )


def test_each_backend_is_told_beside_what_the_catalogue_says() -> None:
    catalog = Catalog(
        tuple(CatalogModel(name, "foundry", (Member(f"https://{name}.example/v1", name),)) for name in "abcd")
    )
    wanted = {backend.name: backend for backend in compile_catalog(catalog, PLATFORM).backends}
    ours = Marker(REPOSITORY, names.CATALOG_TEAM, "", "")
    as_it_should_be, moved, theirs = (wanted[f"shared--{name}"] for name in "abc")
    found = [
        ActualBackend(as_it_should_be.name, "1", as_it_should_be.url, as_it_should_be.with_digest(ours)),
        ActualBackend(moved.name, "1", "https://elsewhere.example/v1", moved.with_digest(ours)),
        ActualBackend(theirs.name, "1", theirs.url, None),
        ActualBackend("shared--left", "1", "https://left.example/v1", ours),
        ActualBackend("team-alpha--own", "1", "https://own.example/v1", ours),
    ]
    api = Api("1", "", replace(ours, commit="d" * 40))
    told = provider_list(
        catalog, PLATFORM, replace(a_world(), api=api, backends={each.name: each for each in found}), "c"
    )
    assert [(each.name, each.url, each.wanted_url, each.state) for each in told.backends] == [
        ("shared--a", as_it_should_be.url, as_it_should_be.url, "as_catalogued"),
        ("shared--b", "https://elsewhere.example/v1", moved.url, "different"),
        ("shared--c", theirs.url, theirs.url, "not_managed"),
        ("shared--d", None, wanted["shared--d"].url, "missing"),
        ("shared--left", "https://left.example/v1", None, "not_needed"),
    ]
    assert (told.commit, told.provisioned_commit) == ("c", "d" * 40)
    assert provider_list(catalog, PLATFORM, a_world(), "c").provisioned_commit is None
