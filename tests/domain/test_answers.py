"""From what was seen to what is answered: times, capacities, retirements, addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.actual import Workspace
from shared.domain.answers import model_list, team_record
from shared.domain.catalog import Catalog, Price, Retirement
from shared.domain.desired import Platform
from shared.domain.ledger import Grants, keep_books
from shared.domain.record import Grants as Granted
from shared.domain.record import Share, TeamRecord
from shared.domain.view import Condition, Said, View
from shared.domain.world import Times, World
from tests.fakes.app import GATEWAY_URL, REPOSITORY, Asked, a_catalog, path_of

PLATFORM = Platform(REPOSITORY, GATEWAY_URL, None)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TIMES = Times(NOW, timedelta(days=7), timedelta(hours=1))
EARLIER = "2026-03-02T08:30:00Z"


def a_world(*workspaces: Workspace) -> World:
    return World(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {"team-alpha": workspaces}, {}, ())


def a_record(catalog: Catalog, asked: Asked, world: World | None = None) -> TeamRecord:
    said = Said("alpha", "granted", path_of("alpha"), "", asked.read(catalog))
    return team_record(View(said, world or a_world(), catalog, TIMES), PLATFORM, "c" * 40)


def the_catalog(**changed: Any) -> Catalog:
    """The catalogue with `gpt-4.1` changed."""
    catalog = a_catalog()
    models = tuple(replace(model, **changed) if model.name == "gpt-4.1" else model for model in catalog.models)
    return replace(catalog, models=models)


def a_workspace(*rows: dict[str, str]) -> Workspace:
    return Workspace("phi-4", "1", {}, rows, terminating=False, managed=True)


def workspaces(*found: Workspace) -> Condition:
    return next(each for each in a_record(a_catalog(), Asked(), a_world(*found)).conditions if each.type == "Workspaces")


@pytest.mark.parametrize(
    ("rows", "reason", "since"),
    [
        ([{"type": "NodesReady", "status": "False", "lastTransitionTime": EARLIER}], "NodesNotReady", EARLIER),
        ([{"type": "WorkspaceSucceeded", "status": "True", "lastTransitionTime": EARLIER}], "Ready", EARLIER),
        ([{"type": "WorkspaceSucceeded", "status": "Unknown", "lastTransitionTime": EARLIER}], "WorkspaceNotReady", EARLIER),
        (
            [
                {"type": "ResourceReady", "status": "True", "lastTransitionTime": "2026-03-02T08:00:00Z"},
                {"type": "WorkspaceSucceeded", "status": "False", "reason": "workspaceFailed", "lastTransitionTime": EARLIER},
            ],
            "WorkspaceFailed",
            EARLIER,
        ),
        ([{"type": "WorkspaceSucceeded", "status": "True", "lastTransitionTime": "yesterday"}], "Ready", None),
        ([], "WorkspaceNotReady", None),
    ],
    ids=str,
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


def test_a_models_name_is_one_part_of_its_address() -> None:
    catalog = the_catalog(name="meta/llama-3")
    granted = a_record(catalog, Asked(models=("meta/llama-3",))).granted
    assert granted is not None
    assert granted.models[0].embeddings_url == f"{GATEWAY_URL}/openai/deployments/meta%2Fllama-3/embeddings"


def test_what_may_be_granted_is_the_capacity_times_the_over_commitment() -> None:
    catalog = replace(the_catalog(capacity=100_000), over_commitment=Decimal("1.5"))
    asked: dict[str, Grants] = {"bravo": {"gpt-4.1": 20_000, "phi-4": None}, "alpha": {"gpt-4.1": 30_000, "phi-4": 5}}
    told = model_list(catalog, keep_books(catalog, asked, {}).ledgers, "c", closely=True)
    grants = {offer.name: offer.grants for offer in told.models}
    assert grants["gpt-4.1"] == Granted(100_000, 150_000, 50_000, 0, (Share("alpha", 30_000), Share("bravo", 20_000)))
    assert grants["phi-4"] == Granted(None, None, 5, 1, (Share("alpha", 5), Share("bravo", None)))


def test_an_offer_tells_what_the_catalogue_says_and_neither_where_the_backend_is_nor_its_credential() -> None:
    price = Price(Decimal("2.00"), Decimal("8.00"))
    catalog = replace(the_catalog(price=price, fallback="phi-4", data_classes=frozenset({"public", "internal"})), currency="EUR")
    told = model_list(catalog, keep_books(catalog, {}, {}).ledgers, "c", closely=True)
    offer = next(each for each in told.models if each.name == "gpt-4.1")
    assert (told.currency, offer.price, offer.fallback, offer.data_classes) == ("EUR", price, "phi-4", ("internal", "public"))
    assert "contoso-ai.openai.azure.com" not in repr(told)
