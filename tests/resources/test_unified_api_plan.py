"""The order in which the catalogue is written: the unified API, its policy, shared backends and their
secrets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.catalog.catalog import Breaker
from shared.errors import NotManaged
from shared.marker import Marker
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.resources.actual import ActualBackend, ActualNamedValue, Api, Policy
from shared.resources.backends import Backend, Credential, NamedValue, PoolMember
from shared.resources.desired import DesiredCatalog, compile_catalog
from shared.resources.plan import Create, Update, describe
from shared.resources.unified_api_plan import ActualCatalog, plan_catalog, plan_cleaning
from tests.fakes.app import REPOSITORY, FakeApp, a_catalog
from tests.resources.plans import steps_of

#: A policy that is not the one that the catalogue has.
OLD = Policy('"1"', "other")
CATALOG = compile_catalog(a_catalog(), FakeApp().platform)
RULES = Policy('"1"', digest_of(CATALOG.policy))
SAID = canonical_digest(CATALOG.fragment)
SEAL = Marker(REPOSITORY, "catalogue", "platform/config/model_catalog.yaml", "c" * 40, CATALOG.digest)


def _catalog_plan(desired: DesiredCatalog, api: Api | None, *backends: ActualBackend) -> list[list[str]]:
    return steps_of(
        plan_catalog(
            desired, SEAL, ActualCatalog(api, OLD if api is None or api.marker != SEAL else RULES, backends)
        )
    )


def test_a_new_api_gets_operations_then_policy_then_marker() -> None:
    first, *rest = _catalog_plan(CATALOG, None)
    assert first == [
        "create backend shared--gpt-4-1",
        "create backend shared--phi-4",
        "create backend shared--text-embedding-3-large",
        "create policy fragment requested-model",
        "update api ai",
    ]
    assert rest == [["update api policy ai"], ["update api marker ai"]]


def test_an_api_that_is_imported_again_keeps_its_marker_until_all_is_written() -> None:
    known = Api('"api"', "other", replace(SEAL, digest="old"))
    writes = {
        change.kind: change for change in plan_catalog(CATALOG, SEAL, ActualCatalog(known, OLD, _shared()))
    }
    api, policy, marker = writes["api"], writes["api policy"], writes["api marker"]
    assert isinstance(api, Update)
    assert isinstance(policy, Update)
    assert isinstance(marker, Update)
    assert (api.tag, api.body) == ('"api"', (CATALOG, known.marker))
    assert (policy.tag, policy.body) == (OLD.etag, CATALOG.policy)
    assert (marker.name, marker.body) == ("ai", SEAL)
    [first, *_] = plan_catalog(CATALOG, SEAL, ActualCatalog(None, None, ()))
    assert isinstance(first, Update)
    assert (first.kind, first.tag, first.body) == ("api", None, (CATALOG, SEAL.unfinished()))


def test_a_backend_that_the_catalogue_does_not_name_goes_whatever_the_marker_says() -> None:
    old = ActualBackend("shared--old", '"1"', "https://old/v1", SEAL)
    plan = plan_cleaning(
        CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, (*_shared(), old))
    )
    assert steps_of(plan) == [["delete backend shared--old"]]


def test_an_api_that_is_as_it_should_be_is_left_alone() -> None:
    plan = plan_catalog(
        CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, _shared(), fragment=SAID)
    )
    assert not plan


@pytest.mark.parametrize(
    "changed",
    [
        {"subscription_required": False},
        {"key_names": ("x-key", "api-key")},
        {"key_names": ("api-key", "key")},
    ],
)
def test_an_api_that_asks_for_no_keys_is_mended_without_an_import(
    changed: dict[str, Any],
) -> None:
    known = replace(Api('"1"', CATALOG.api_digest, SEAL), **changed)
    plan = plan_catalog(CATALOG, SEAL, ActualCatalog(known, RULES, _shared(), fragment=SAID))
    assert list(plan) == [Update("api marker", "ai", None, SEAL)]


def test_operations_that_the_marker_does_not_vouch_for_are_imported_again() -> None:
    assert "update api ai" in str(_catalog_plan(CATALOG, Api('"1"', "edited", SEAL)))


def test_an_api_heals_what_its_marker_vouches_for_and_is_not_there() -> None:
    plan = plan_catalog(
        CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), OLD, _shared()[1:])
    )
    assert steps_of(plan) == [
        ["create backend shared--gpt-4-1", "create policy fragment requested-model"],
        ["update api policy ai"],
    ]


def _shared(desired: DesiredCatalog = CATALOG) -> tuple[ActualBackend, ...]:
    return tuple(
        ActualBackend(each.name, '"1"', each.url, each.with_digest(SEAL), each.breaker, each.members, True)
        for each in desired.backends
    )


def test_operations_are_imported_again_only_when_they_differ() -> None:
    known = Api('"1"', CATALOG.api_digest, replace(SEAL, digest="old"))
    assert "update api ai" not in str(_catalog_plan(CATALOG, known))
    assert "update api ai" in str(_catalog_plan(CATALOG, replace(known, operations="other")))


#: A pool of two, one of which needs a secret.
POOLED = replace(
    CATALOG,
    backends=(
        Backend("shared--m--a", "https://a/v1", credential=Credential("credential--key")),
        Backend("shared--m--b", "https://b/v1", breaker=Breaker(3, 60, 30)),
        Backend("shared--m", members=(PoolMember("shared--m--a", 90, 1), PoolMember("shared--m--b", 10, 1))),
    ),
    named_values=(NamedValue("credential--key", "https://vault/secrets/key"),),
)
VALUES = (ActualNamedValue("credential--key", '"v1"', "https://vault/secrets/key", ours=True),)


def _cleaning(
    desired: DesiredCatalog, backends: tuple[ActualBackend, ...], values: tuple[ActualNamedValue, ...] = ()
) -> list[list[str]]:
    return steps_of(plan_cleaning(desired, SEAL, ActualCatalog(None, None, backends, values)))


def test_secrets_stand_before_backends_and_these_before_their_pool() -> None:
    assert _catalog_plan(POOLED, None) == [
        ["create named value credential--key", "create policy fragment requested-model", "update api ai"],
        ["create backend shared--m--a", "create backend shared--m--b"],
        ["create backend shared--m"],
        ["update api policy ai"],
        ["update api marker ai"],
    ]


def test_what_is_no_longer_served_goes_in_reverse_order() -> None:
    assert _cleaning(replace(CATALOG, backends=(), named_values=()), _shared(POOLED), VALUES) == [
        ["delete backend shared--m"],
        ["delete backend shared--m--a", "delete backend shared--m--b"],
        ["delete named value credential--key"],
    ]
    assert _cleaning(POOLED, _shared(POOLED), VALUES) == []


@pytest.mark.parametrize(
    "edit",
    [
        {"members": (PoolMember("shared--m--a", 50, 1), PoolMember("shared--m--b", 50, 1))},
        {"members": (PoolMember("shared--m--a", 90, 1),)},
        {"breaker": Breaker(1, 1, 1)},
        {"counts_429": False},
        {"url": "https://elsewhere/v1"},
        {"marker": replace(SEAL, digest="")},
    ],
    ids=["weights", "members", "breaker", "what it counts", "url", "what lists do not show"],
)
def test_a_backend_that_somebody_edited_is_written_again(edit: dict[str, Any]) -> None:
    edited = tuple(replace(each, **edit) for each in _shared(POOLED))
    plan = plan_catalog(
        POOLED, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, edited, VALUES)
    )
    assert "update backend" in str(plan)
    assert "update backend shared--m;" in f"{plan};" or "members" not in edit


@pytest.mark.parametrize("digest", ["", "e" * 64], ids=["gone", "edited"])
def test_a_fragment_that_is_not_the_one_that_was_written_is_put_before_any_policy(digest: str) -> None:
    standing = ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), OLD, _shared(), fragment=digest)
    assert steps_of(plan_catalog(CATALOG, SEAL, standing)) == [
        ["create policy fragment requested-model"],
        ["update api policy ai"],
    ]
    assert not plan_catalog(
        CATALOG, SEAL, replace(standing, policy=RULES, fragment=canonical_digest(CATALOG.fragment))
    )


def test_a_named_value_that_leads_elsewhere_is_written_over_what_was_read() -> None:
    moved, standing = (
        (replace(VALUES[0], url="https://elsewhere/secrets/key"),),
        Api('"1"', CATALOG.api_digest, SEAL),
    )
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(standing, RULES, _shared(POOLED), moved, SAID))
    assert list(plan) == [Update("named value", "credential--key", '"v1"', POOLED.named_values[0])]
    assert (
        list(plan_catalog(POOLED, SEAL, ActualCatalog(standing, RULES, _shared(POOLED), VALUES, SAID))) == []
    )


def test_a_named_value_whose_secret_cannot_be_read_is_written_again_and_says_why() -> None:
    standing = Api('"1"', CATALOG.api_digest, SEAL)
    values = (replace(VALUES[0], unreadable="SecretNotFound"),)
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(standing, RULES, _shared(POOLED), values, SAID))
    [change] = plan
    assert isinstance(change, Update)
    assert (change.kind, change.name, change.body) == (
        "named value",
        "credential--key",
        POOLED.named_values[0],
    )
    for word in ("credential--key", "'key'", "https://vault", "SecretNotFound"):
        assert word in describe(change)


@pytest.mark.parametrize("marked", [SEAL, replace(SEAL, digest="old")], ids=["the same catalogue", "another"])
def test_who_sent_a_secret_that_is_gone_forgets_it_first_and_gets_it_back(marked: Marker) -> None:
    sender, alone, pool = POOLED.backends
    # One more is missing, and waits for the secret like the sender.
    standing = tuple(each for each in _shared(POOLED) if each.name != alone.name)
    plan = plan_catalog(
        POOLED, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, marked), RULES, standing, ())
    )
    steps = [list(step) for step in plan.steps]
    assert steps[0] == [Update("backend", sender.name, '"1"', replace(sender, credential=None))]
    assert Create("named value", "credential--key", POOLED.named_values[0]) in steps[1]
    assert steps[2] == [Create("backend", alone.name, alone), Update("backend", sender.name, '"1"', sender)]
    assert pool not in [change.body for change in plan if isinstance(change, Create | Update)]


def test_a_named_value_of_somebody_else_is_not_touched() -> None:
    theirs = (replace(VALUES[0], ours=False),)
    assert _cleaning(CATALOG, (), theirs) == []
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(None, None, (), theirs))
    assert [each.name for each in plan.refused] == ["credential--key"]
    with pytest.raises(NotManaged, match="credential--key"):
        plan.writable()
