"""What lists show of a team, of the catalogue and of others: each difference is told in words, and nothing
else is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.catalog.catalog import Catalog, SharedWorkspace
from shared.inventory import owned_teams
from shared.inventory.differences import differences, plans_for_catalog, plans_to_grant
from shared.inventory.snapshot import DesiredTeam, Snapshot
from shared.inventory.unmanaged import unmanaged
from shared.marker import Marker, format_time
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.resources.actual import (
    ActualBackend,
    Api,
    GpuNode,
    Namespace,
    Policy,
    RoleGrant,
    Subscription,
    Workspace,
)
from shared.resources.desired import Platform
from shared.resources.key_slots import EXPOSED
from shared.resources.plan import UNREAD, Unread, describe
from shared.resources.workspace_plan import plan_workspaces
from tests.fakes.app import GPU, OTHER_READERS, READERS, REPOSITORY, path_of
from tests.fakes.clock import START
from tests.inventory.worlds import (
    API,
    CATALOG,
    ENDPOINT,
    GATEWAY,
    KEY,
    MARKER,
    NAMESPACE,
    OWN,
    PHI,
    PLATFORM,
    REQUEST,
    SEAL,
    SECOND,
    STANDING,
    SUBSCRIPTION,
    TAGS,
    TIMES,
    WAY,
    WORKSPACES,
    WORLD,
    Difference,
    a_product,
)


def _team(world: Snapshot, platform: Platform = PLATFORM, **changed: object) -> list[str]:
    request = replace(REQUEST, **changed)  # type: ignore[arg-type]  # fields of AccessRequest
    wanted = DesiredTeam(request, path_of("alpha"))
    plans = plans_to_grant(wanted, CATALOG, platform, world.team("alpha"), TIMES)
    return [each.message for each in differences("alpha", plans.values())]


def _catalog(world: Snapshot, platform: Platform = PLATFORM, catalog: Catalog = CATALOG) -> list[str]:
    plans = plans_for_catalog(catalog, platform, world)
    return [each.message for each in differences("catalogue", plans)]


def _secret(tags: dict[str, str] | None = None, **changed: object) -> Difference:
    edit: dict[str, object] = changed if tags is None else {"tags": {**TAGS, **tags}}
    found = replace(WORLD.secrets[KEY], **edit)  # type: ignore[arg-type]
    return lambda world: replace(world, secrets={**world.secrets, KEY: found})


def _backend(name: str, **changed: object) -> Difference:
    def differ(world: Snapshot) -> Snapshot:
        backend = replace(world.backends[OWN], name=name, **changed)  # type: ignore[arg-type]
        return replace(world, backends={**world.backends, name: backend})

    return differ


EXPOSED_KEY = f"update key {KEY}"


def test_where_nothing_differs_nothing_is_told() -> None:
    assert _team(WORLD) == []
    assert _catalog(WORLD) == []
    assert list(unmanaged(REPOSITORY, WORLD)) == []


TOLD = ["update api policy ai"]
EDITED = "create policy fragment requested-model"
#: The changes that make a missing product.
NEW = [
    "create product team-alpha",
    "update product policy team-alpha",
    "create product link team-alpha",
    "delete administrator subscription team-alpha",
    "update product marker team-alpha",
]
NOT_OURS = "there is a product team-alpha that is not managed by mergekey for alpha: rename or remove it"
UNLIKE = "update product marker team-alpha"
#: The values of both secrets are written when the subscription's keys are known.
BOTH = [f"update secret {KEY}", f"update secret {SECOND}"]
INACTIVE = ["update subscription team-alpha", *BOTH]
NOT_WHOLE = f"update secret {KEY}"
SECRET_NOT_OURS = f"there is a secret {KEY} that is not managed by mergekey for alpha: rename or remove it"
REVOKED = [f"delete secret role {name} {OTHER_READERS}" for name in (KEY, SECOND, ENDPOINT)]
#: With the namespace's marker go the limits and routes that it vouches for.
RAISED = "update limits ResourceQuota workspaces"
ADVICE = (
    "that is not managed by mergekey: rename or remove it, or put the label "
    "app.kubernetes.io/managed-by=mergekey back"
)
THEIRS = f"there is a NetworkPolicy only-through-the-gateway in the team's namespace {ADVICE}"
MARKED_AGAIN = ["update namespace team-alpha", "update namespace team-alpha"]
GOING = ["workspace phi-4: WorkspaceDeleting", "delete route phi-4"]


@pytest.mark.parametrize(
    ("differ", "told"),
    [
        (lambda world: replace(world, products={}), NEW),
        (a_product(marker=None), [NOT_OURS]),
        (a_product(marker=replace(MARKER, team="bravo")), [NOT_OURS]),
        (a_product(marker=replace(MARKER, digest="old")), [UNLIKE]),
        (a_product(published=False), [UNLIKE]),
        (a_product(display_name="Somebody's"), [UNLIKE]),
        (a_product(marker=replace(MARKER, digest=GATEWAY.digest, path="elsewhere")), [UNLIKE]),
        (a_product(marker=replace(MARKER, digest=GATEWAY.digest, withdrawn=START)), [UNLIKE]),
        (a_product(marker=replace(MARKER, digest=GATEWAY.digest, held=START)), [UNLIKE]),
        (a_product(marker=replace(MARKER, digest=GATEWAY.digest, expires=START.date())), [UNLIKE]),
        (a_product(subscription_required=False), ["update product team-alpha"]),
        (
            a_product(subscription_required=False, marker=replace(MARKER, team="bravo")),
            [NOT_OURS],
        ),
        (lambda world: replace(world, linked=frozenset()), ["create product link team-alpha"]),
        (_backend(OWN, url="https://elsewhere"), [f"update backend {OWN}"]),
        (_backend("team-alpha--old"), ["delete backend team-alpha--old"]),
        (_backend("team-alpha--old", marker=None), []),
        (_backend("team-alphabet--old"), []),
        (lambda world: replace(world, subscriptions={}), ["create subscription team-alpha", *BOTH]),
        (
            lambda world: replace(
                world, subscriptions={"team-alpha": replace(SUBSCRIPTION, state="suspended")}
            ),
            INACTIVE,
        ),
        (
            lambda world: replace(
                world, subscriptions={"team-alpha": replace(SUBSCRIPTION, product="team-bravo")}
            ),
            INACTIVE,
        ),
        (
            lambda world: replace(
                world, subscriptions={"team-alpha": replace(SUBSCRIPTION, display_name="mine")}
            ),
            [
                "there is a subscription team-alpha that is not managed by mergekey for alpha: suspend or "
                "remove it"
            ],
        ),
        (
            lambda world: replace(world, secrets={n: s for n, s in world.secrets.items() if n != KEY}),
            [f"create secret {KEY}"],
        ),
        (_secret(enabled=False), [NOT_WHOLE]),
        (_secret({"fingerprint": ""}), [NOT_WHOLE]),
        (_secret({"withdrawn": "2026-03-02T12:00:00Z"}), [NOT_WHOLE]),
        (_secret({"repository": "1"}), [SECRET_NOT_OURS]),
        (_secret({"team": "bravo"}), [SECRET_NOT_OURS]),
        (_secret({"reader": OTHER_READERS}), [*REVOKED, f"update secret {KEY}"]),
        (
            lambda world: replace(world, readers={**world.readers, KEY: frozenset()}),
            [f"create secret role {KEY} {READERS}"],
        ),
        (
            lambda world: replace(
                world,
                readers={**world.readers, KEY: world.readers[KEY] | {RoleGrant(OTHER_READERS, ours=True)}},
            ),
            [*BOTH, *REVOKED, f"update key {SECOND}"],
        ),
        (
            lambda world: replace(
                world,
                readers={**world.readers, KEY: world.readers[KEY] | {RoleGrant(OTHER_READERS, ours=False)}},
            ),
            [],
        ),
        (lambda world: replace(world, namespaces={}), MARKED_AGAIN),
        (
            lambda world: replace(
                world, namespaces={"team-alpha": replace(NAMESPACE, marker=replace(MARKER, digest="old"))}
            ),
            MARKED_AGAIN,
        ),
        (
            lambda world: replace(
                world,
                namespaces={
                    "team-alpha": replace(
                        NAMESPACE, marker=replace(MARKER, digest=WORKSPACES.digest, withdrawn=START)
                    )
                },
            ),
            MARKED_AGAIN,
        ),
        (
            lambda world: replace(world, workspaces={}),
            ["create workspace phi-4"],
        ),
        (
            lambda world: replace(world, workspaces={"team-alpha": (replace(PHI, terminating=True),)}),
            GOING,
        ),
        (lambda world: replace(world, routes={}), ["create route phi-4"]),
        (
            lambda world: replace(world, routes={"team-alpha": (WAY, replace(WAY, name="old"))}),
            ["delete route old"],
        ),
        (
            lambda world: replace(
                world, routes={"team-alpha": (replace(WAY, spec={**WAY.spec, "parentRefs": []}),)}
            ),
            ["create route phi-4"],
        ),
        (
            lambda world: replace(
                world, workspaces={"team-alpha": (replace(PHI, fixed={**PHI.fixed, "preset": "phi-3"}),)}
            ),
            [*GOING, "replace workspace phi-4"],
        ),
        (
            lambda world: replace(world, workspaces={"team-alpha": (replace(PHI, managed=False),)}),
            [f"there is a workspace phi-4 in the team's namespace {ADVICE}"],
        ),
    ],
)
def test_each_difference_of_a_team_is_told(differ: Difference, told: list[str]) -> None:
    assert sorted(_team(differ(WORLD))) == sorted(told)


def test_an_endpoint_that_is_not_where_the_gateway_is_by_now_is_told() -> None:
    assert _team(WORLD, replace(PLATFORM, gateway_url="https://ai.fabrikam.com")) == [
        f"update secret {ENDPOINT}"
    ]


OLD = replace(PHI, name="old")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (OLD, ["delete workspace old"]),
        (replace(OLD, terminating=True), []),
        (replace(OLD, managed=False), []),
    ],
)
def test_a_workspace_that_nobody_asked_for_is_told_when_it_is_ours_and_stays(
    found: Workspace, told: list[str]
) -> None:
    assert _team(replace(WORLD, workspaces={"team-alpha": (PHI, found)})) == told


@pytest.mark.parametrize(
    ("found", "home", "told"),
    [
        (replace(OLD, managed=False), NAMESPACE, True),
        (replace(OLD, managed=False, terminating=True), NAMESPACE, False),
        (OLD, NAMESPACE, False),
        (replace(OLD, managed=False), replace(NAMESPACE, marker=None), False),
        (
            replace(OLD, managed=False),
            replace(NAMESPACE, marker=replace(MARKER, repository=REPOSITORY + 1)),
            False,
        ),
    ],
)
def test_a_workspace_of_somebody_else_in_a_namespace_of_ours_is_told(
    found: Workspace, home: Namespace, told: bool
) -> None:
    world = replace(
        WORLD, namespaces={"team-alpha": home}, workspaces={"team-alpha": (PHI, found), "theirs": (found,)}
    )
    words = ["workspace team-alpha/old is not managed by mergekey: its GPUs stay until it is deleted"]
    assert list(unmanaged(REPOSITORY, world)) == (words if told else [])


def test_the_last_day_of_a_request_stands_on_its_product() -> None:
    day = START.date()
    assert _team(WORLD, expires=day) == [UNLIKE]
    assert (
        _team(a_product(marker=replace(MARKER, digest=GATEWAY.digest, expires=day))(WORLD), expires=day) == []
    )


MARKED = {EXPOSED: format_time(START - TIMES.key_overlap + timedelta(seconds=1))}
OVER = {EXPOSED: format_time(START - TIMES.key_overlap)}


@pytest.mark.parametrize(
    ("name", "tags", "told"),
    [
        (KEY, {"reader": OTHER_READERS, **MARKED}, []),
        (KEY, MARKED, []),
        (KEY, {"reader": OTHER_READERS, **OVER}, [EXPOSED_KEY]),
        (KEY, OVER, [EXPOSED_KEY]),
        (KEY, {EXPOSED: "soon"}, [f"update secret {KEY}"]),
        (KEY, {**MARKED, "team": "bravo"}, [SECRET_NOT_OURS]),
        (SECOND, {"reader": OTHER_READERS}, [*REVOKED, f"update key {SECOND}"]),
        (SECOND, MARKED, [f"update key {SECOND}"]),
        (ENDPOINT, {"reader": OTHER_READERS, **MARKED}, [f"update secret {ENDPOINT}"]),
    ],
)
def test_a_key_that_another_group_could_read_is_told_when_its_time_is_over(
    name: str, tags: dict[str, str], told: list[str]
) -> None:
    found = WORLD.secrets[name]
    assert (
        _team(replace(WORLD, secrets={**WORLD.secrets, name: replace(found, tags={**found.tags, **tags})}))
        == told
    )


def test_a_team_without_a_group_has_no_reader() -> None:
    for tags in ({"reader": ""}, {}):
        plain = {
            name: {tag: said for tag, said in found.tags.items() if tag != "reader"}
            for name, found in WORLD.secrets.items()
        }
        untagged = {
            name: replace(found, tags={**plain[name], **tags}) for name, found in WORLD.secrets.items()
        }
        assert _team(replace(WORLD, secrets=untagged, readers={}), entra_group=None) == []


def test_namespaces_are_not_judged_without_a_cluster_nor_needed_without_gpus() -> None:
    told = _team(replace(WORLD, namespaces={}), platform=replace(PLATFORM, cluster=None))
    assert sorted(told) == [f"delete backend {OWN}", UNLIKE]
    shared = tuple(replace(model, instance_type=None) for model in REQUEST.models)
    assert "delete workspace phi-4" in _team(WORLD, models=shared)
    theirs = replace(WORLD, namespaces={"team-alpha": replace(NAMESPACE, marker=None)})
    assert "delete workspace phi-4" not in _team(theirs, models=shared)


@pytest.mark.parametrize(
    ("api", "told"),
    [
        (None, ["update api ai", "update api marker ai"]),
        (
            Api("1", API.api_digest, None),
            ["there is an API 'ai' that is not managed by mergekey for catalogue: rename or remove it"],
        ),
        (Api("1", API.api_digest, replace(SEAL, digest="old")), ["update api marker ai"]),
        (Api("1", "old", SEAL), ["update api ai", "update api marker ai"]),
        (Api("1", "old", replace(SEAL, newer=True)), []),
    ],
    ids=["gone", "unmarked", "another catalogue", "other operations", "of a newer version"],
)
def test_an_api_that_is_not_the_catalogues_is_told(api: Api | None, told: list[str]) -> None:
    world = replace(WORLD, api=api)
    # Of an API without a current marker nothing that was not read is believed.
    found = [each for each in _catalog(world) if each != EDITED]
    assert found == told


@pytest.mark.parametrize(
    "changed",
    [
        {"subscription_required": False},
        {"key_names": ("x-key", "api-key")},
        {"key_names": ("api-key", "key")},
    ],
)
def test_an_api_that_asks_for_no_keys_or_elsewhere_is_told(changed: dict[str, Any]) -> None:
    api = replace(Api("1", API.api_digest, SEAL), **changed)
    told = ["update api marker ai"]
    assert _catalog(replace(WORLD, api=api)) == told


@pytest.mark.parametrize(
    ("fragment", "told"),
    [(UNREAD, []), (canonical_digest(API.fragment), []), ("", [EDITED]), ("e" * 64, [EDITED])],
    ids=["nobody looked", "as it was written", "gone", "edited"],
)
def test_a_fragment_that_is_not_what_was_written_is_told(fragment: str | Unread, told: list[str]) -> None:
    assert _catalog(replace(WORLD, fragment=fragment)) == told


def test_an_edited_policy_of_the_api_is_told_and_one_that_was_not_read_is_not() -> None:
    seen: dict[str | Unread, list[str]] = {UNREAD: [], digest_of(API.policy): [], "": TOLD, "another": TOLD}
    for digest, told in seen.items():
        policy = digest if isinstance(digest, Unread) else Policy("1", digest)
        assert _catalog(replace(WORLD, api_policy=policy)) == told


def test_workspaces_that_the_platform_shares_are_told_where_there_is_a_cluster() -> None:
    model = replace(
        next(each for each in CATALOG.models if each.name == "mistral-7b"), shared=SharedWorkspace(GPU)
    )
    catalog = replace(
        CATALOG, models=tuple(model if each.name == model.name else each for each in CATALOG.models)
    )
    shown = {
        cluster is not None: _catalog(WORLD, replace(PLATFORM, cluster=cluster), catalog)
        for cluster in (PLATFORM.cluster, None)
    }
    assert ["namespace" in " ".join(told) for told in (shown[True], shown[False])] == [True, False]


def test_a_shared_backend_that_the_catalogue_does_not_name_is_told_when_it_is_ours() -> None:
    ours = {"shared--old": ActualBackend("shared--old", "1", "https://old", SEAL)}
    theirs = {"shared--x": ActualBackend("shared--x", "1", "https://x", MARKER)}
    world = replace(WORLD, backends={**WORLD.backends, **ours, **theirs})
    assert _catalog(world) == ["delete backend shared--old"]


@pytest.mark.parametrize("of", ["products", "backends", "namespaces", "secrets", "subscriptions"])
def test_whatever_alone_is_left_of_a_team_names_it(of: str) -> None:
    bare = Snapshot(None, {}, frozenset(), {}, {}, {}, {}, {}, {}, {}, {}, ())
    world = replace(bare, **{of: getattr(WORLD, of)})
    assert owned_teams.teams_with_objects(REPOSITORY, world) == {"alpha"}
    assert owned_teams.teams_with_objects(REPOSITORY + 1, world) == frozenset()


def test_a_secret_without_a_team_names_nobody() -> None:
    nameless = replace(WORLD.secrets[KEY], tags={"repository": str(REPOSITORY)})
    bare = Snapshot(None, {}, frozenset(), {}, {}, {}, {KEY: nameless}, {}, {}, {}, {}, ())
    assert owned_teams.teams_with_objects(REPOSITORY, bare) == frozenset()


def test_a_route_is_missed_only_where_its_workspace_stands() -> None:
    without = replace(WORLD, routes={})
    assert _team(without) == ["create route phi-4"]
    going = replace(without, workspaces={"team-alpha": (replace(PHI, terminating=True),)})
    assert _team(going) == ["workspace phi-4: WorkspaceDeleting"]


@pytest.mark.parametrize(
    ("index", "changed", "told"),
    [
        (0, None, ["create limits ResourceQuota workspaces"]),
        (1, None, ["create limits NetworkPolicy only-through-the-gateway"]),
        (0, {"spec": {"hard": {"count/workspaces.kaito.sh": "9"}}}, [RAISED]),
        (0, {"spec": {"hard": {"count/workspaces.kaito.sh": "abc"}}}, [RAISED]),
        (0, {"spec": {}}, [RAISED]),
        (1, {"managed": False}, [THEIRS]),
        (1, {}, []),
    ],
)
def test_limits_that_are_gone_edited_or_anothers_are_told_by_name(
    index: int, changed: dict[str, Any] | None, told: list[str]
) -> None:
    """With one that differs, the routes are written again: the namespace's marker vouches for them too."""
    standing = [*STANDING]
    standing[index : index + 1] = [] if changed is None else [replace(standing[index], **changed)]
    marker = replace(MARKER, digest=WORKSPACES.digest)
    actual = replace(WORLD.team("alpha").workspaces, limits=standing)
    plan = plan_workspaces(WORKSPACES, marker, actual)
    assert [describe(each) for each in plan.findings] == told


KEYS_OPEN = "subscription x on product team-alpha is not managed by mergekey: its keys open the team's models"
NO_LIMITS = "subscription x is for an API or for all: no product's limits hold for its keys"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(SUBSCRIPTION, name="x", display_name="mine"), [KEYS_OPEN]),
        (replace(SUBSCRIPTION, name="x", display_name="mine", product=""), [NO_LIMITS]),
        (replace(SUBSCRIPTION, name="x", display_name="mine", product="starter"), []),
        (replace(SUBSCRIPTION, name="x", display_name="mine", state="suspended"), []),
        (replace(SUBSCRIPTION, name="master", display_name="Built-in", product=""), []),
    ],
)
def test_a_subscription_of_somebody_else_is_told_when_it_opens_what_is_ours(
    found: Subscription, told: list[str]
) -> None:
    world = replace(WORLD, subscriptions={"team-alpha": SUBSCRIPTION, found.name: found})
    assert list(unmanaged(REPOSITORY, world)) == told


def test_the_endpoint_names_the_new_reader_while_a_key_names_the_old_one() -> None:
    key = replace(WORLD.secrets[KEY], tags={**TAGS, "reader": OTHER_READERS})
    for group, told in (
        (READERS, []),
        (OTHER_READERS, [f"{OTHER_READERS} may read the secret {KEY} and no request names it"]),
    ):
        readers = {KEY: frozenset({RoleGrant(group, ours=False)})}
        world = replace(WORLD, secrets={**WORLD.secrets, KEY: key}, readers=readers)
        assert list(unmanaged(REPOSITORY, world)) == told


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        (
            RoleGrant(OTHER_READERS, ours=False),
            [f"{OTHER_READERS} may read the secret {KEY} and no request names it"],
        ),
        (RoleGrant(OTHER_READERS, ours=True), []),
        (RoleGrant(READERS, ours=False), []),
    ],
)
def test_a_reader_that_no_request_names_is_told_when_somebody_else_let_it_in(
    reader: RoleGrant, told: list[str]
) -> None:
    readers = {KEY: frozenset({reader}), "not-ours": frozenset({RoleGrant(OTHER_READERS, ours=False)})}
    assert list(unmanaged(REPOSITORY, replace(WORLD, readers=readers))) == told


@pytest.mark.parametrize(
    ("marker", "told"), [(MARKER, True), (None, False), (replace(MARKER, repository=REPOSITORY + 1), False)]
)
def test_that_a_product_of_ours_was_opened_is_told_to_the_platform_too(
    marker: Marker | None, told: bool
) -> None:
    world = replace(a_product(subscription_required=False, marker=marker)(WORLD), linked=frozenset())
    words = ["product team-alpha can be used without a key: calls without one are served as its team"]
    assert list(unmanaged(REPOSITORY, world)) == (words if told else [])


def test_a_product_on_the_api_and_a_node_without_a_workspace_are_told() -> None:
    nodes = (GpuNode("n1", "team-alpha", "phi-4"), GpuNode("n2", "team-alpha", "gone"))
    assert list(unmanaged(REPOSITORY, replace(WORLD, linked=WORLD.linked | {"starter"}, nodes=nodes))) == [
        "product starter is linked to the unified API and not managed by mergekey",
        "GPU node n2 was made for the workspace team-alpha/gone, which is gone: delete its node pool",
    ]
