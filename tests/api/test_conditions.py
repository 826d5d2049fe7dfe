"""How a team's access stands, as it is told to the team: words, moments, and what counts for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from shared import names
from shared.api.conditions import conditions
from shared.api.team_view import Condition, TeamOnBranch, TeamView
from shared.branch.states import Access, Files
from shared.documents.problem import Position, problem_at
from shared.inventory.snapshot import Part, Snapshot, Times
from shared.marker import Marker, format_time
from shared.requests.request import AccessRequest
from shared.resources.actual import (
    Namespace,
    Product,
    Project,
    RoleGrant,
    SecretVersion,
    Subscription,
    Workspace,
)
from shared.resources.desired import Platform, Playground
from shared.resources.workspaces import MANAGED_BY, MANAGER
from tests.fakes.app import GATEWAY_URL, GPU, READERS, REPOSITORY, Asked, a_catalog

PLATFORM = Platform(REPOSITORY, GATEWAY_URL, None)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EARLIER, YESTERDAY = NOW - timedelta(hours=1), NOW - timedelta(days=1)
TIMES = Times(NOW, timedelta(days=7), timedelta(hours=2), timedelta(hours=24))
OURS = Marker(REPOSITORY, "alpha", "p", "c", "d")
SERVES = {"type": "WorkspaceSucceeded", "status": "True", "lastTransitionTime": format_time(EARLIER)}


@dataclass(frozen=True)
class Seen:
    """What is there of alpha: by default everything, in force."""

    product: Marker | None = OURS
    published: bool = True
    subscription: str | None = "active"
    secrets: Mapping[str, bool] = field(default_factory=lambda: dict.fromkeys(names.secrets("alpha"), True))
    tags: Mapping[str, str] = field(default_factory=dict)
    namespace: Marker | None = None
    workspaces: Mapping[str, tuple[Mapping[str, str], ...]] = field(default_factory=dict)
    going: bool = False
    remaining: str = ""

    def world(self) -> Snapshot:
        product = Product("team-alpha", "1", "alpha", self.published, self.product)
        subscription = Subscription("team-alpha", "1", "alpha", "team-alpha", "", self.subscription or "")
        namespace = Namespace(
            "team-alpha", "1", terminating=False, marker=self.namespace, labels={MANAGED_BY: MANAGER}
        )
        workspaces = tuple(
            Workspace(name, "1", {}, rows, terminating=False, managed=True)
            for name, rows in self.workspaces.items()
        )
        return Snapshot(
            api=None,
            products={"team-alpha": product} if self.product else {},
            linked=frozenset(),
            subscriptions={"team-alpha": subscription} if self.subscription else {},
            backends={},
            named_values={},
            secrets={
                name: SecretVersion(name, "", enabled, EARLIER, self.tags)
                for name, enabled in self.secrets.items()
            },
            readers={},
            namespaces={"team-alpha": namespace} if self.namespace else {},
            workspaces={"team-alpha": workspaces},
            routes={},
            nodes=(),
        )


#: What a file says and what follows, by one word.
CELLS: Mapping[str, tuple[Files, Access]] = {
    "refused": ("invalid", "kept"),
    "unjudged": ("no_catalogue", "kept"),
    "no branch": ("no_tree", "kept"),
    "held": ("gone", "held"),
    "gone": ("gone", "ended"),
    "no_request": ("no_request", "ended"),
    "expired": ("expired", "ended"),
}


def told(seen: Seen, cell: str) -> dict[str, Condition]:
    files, access = CELLS[cell]
    view = TeamView(TeamOnBranch("alpha", files, access), seen.world().team("alpha"), a_catalog(), TIMES)
    return {condition.type: condition for condition in conditions(view, PLATFORM)}


def part(seen: Seen, cell: str, of: Part) -> Condition:
    return told(seen, cell)[of]


KEPT = "as it was granted last"
NOTHING = "it is not in force"


@pytest.mark.parametrize("cell", ["refused", "unjudged", "no branch", "held"])
def test_what_the_branch_does_not_change_is_kept_in_force(cell: str) -> None:
    found = told(Seen(), cell)
    assert found["Gateway"] == Condition("Gateway", "True", "KeptInForce", KEPT)
    assert found["Keys"] == Condition("Keys", "True", "KeptInForce", KEPT)


@pytest.mark.parametrize(
    ("seen", "of"),
    [
        (Seen(product=None), "Gateway"),
        (Seen(published=False), "Gateway"),
        (Seen(product=replace(OURS, withdrawn=YESTERDAY)), "Gateway"),
        (Seen(product=replace(OURS, repository=REPOSITORY + 1)), "Gateway"),
        (Seen(product=replace(OURS, team="bravo")), "Gateway"),
        (Seen(subscription=None), "Keys"),
        (Seen(subscription="suspended"), "Keys"),
        (Seen(secrets={names.secrets("alpha")[0]: False}), "Keys"),
    ],
)
def test_what_is_not_in_force_is_not_said_to_be_kept(seen: Seen, of: Part) -> None:
    found = told(seen, "refused")
    assert found[of] == Condition(of, "False", "NotThere", NOTHING)
    assert found["Keys" if of == "Gateway" else "Gateway"].status == "True"


WITHDRAWN = f"deleted after {format_time(YESTERDAY + TIMES.grace)}, unless a valid request comes back"
NOT_YET, GONE = "its access has ended and it is not withdrawn yet", "it does not exist (any more)"


def test_what_is_withdrawn_says_since_when_and_until_when() -> None:
    marked = {"withdrawn": format_time(YESTERDAY)}
    seen = Seen(
        replace(OURS, withdrawn=YESTERDAY), secrets=dict.fromkeys(names.secrets("alpha"), False), tags=marked
    )
    for cell in ("gone", "no_request", "expired"):
        found = told(replace(seen, namespace=replace(OURS, withdrawn=EARLIER)), cell)
        assert found["Gateway"] == Condition("Gateway", "False", "Withdrawn", WITHDRAWN, YESTERDAY)
        assert found["Keys"] == Condition("Keys", "False", "Withdrawn", WITHDRAWN, YESTERDAY)
        until = (
            f"deleted after {format_time(EARLIER + TIMES.workspace_grace)}, unless a valid request comes back"
        )
        assert found["Workspaces"] == Condition("Workspaces", "False", "Withdrawn", until, EARLIER)


def test_access_that_has_ended_and_is_still_open_is_told() -> None:
    found = told(Seen(namespace=OURS), "gone")
    for of in ("Gateway", "Keys", "Workspaces"):
        assert found[of] == Condition(of, "False", "InProgress", NOT_YET, waits=True)
    disabled = Seen(secrets=dict.fromkeys(names.secrets("alpha"), False))
    assert part(disabled, "gone", "Keys").reason == "InProgress"
    one_open = dict.fromkeys(names.secrets("alpha"), False) | {names.secrets("alpha")[0]: True}
    assert (
        part(Seen(secrets=one_open, tags={"withdrawn": format_time(YESTERDAY)}), "gone", "Keys").reason
        == "InProgress"
    )


def test_access_that_has_ended_and_is_gone_is_told() -> None:
    found = told(Seen(product=None, subscription=None, secrets={}), "gone")
    for of in ("Gateway", "Keys", "Workspaces"):
        assert found[of] == Condition(of, "False", "NotThere", GONE)


def test_an_invalid_request_is_told_by_its_first_problem_and_the_number_of_others() -> None:
    problems = tuple(
        problem_at("a.yaml", Position(4, column), "UnknownModel", "There is no model.")
        for column in (14, 20, 30)
    )

    def request(count: int) -> Condition:
        said = TeamOnBranch("alpha", "invalid", "kept", "a.yaml", "b", problems=problems[:count])
        return conditions(TeamView(said, Seen().world().team("alpha"), a_catalog(), TIMES), PLATFORM)[0]

    assert request(1) == Condition("Request", "False", "UnknownModel", "a.yaml:4:14 There is no model.")
    assert request(3) == Condition(
        "Request", "False", "UnknownModel", "a.yaml:4:14 There is no model. (2 more)"
    )
    assert (request(0).status, request(0).reason) == ("False", "NotValid")


def test_a_request_that_is_gone_says_since_when() -> None:
    assert told(Seen(replace(OURS, withdrawn=YESTERDAY)), "gone")["Request"].since == YESTERDAY
    assert told(Seen(), "gone")["Request"].since is None


def test_what_the_branch_says_of_a_request_is_told() -> None:
    found = {
        files: told(Seen(), files)["Request"]
        for files in ("unjudged", "gone", "held", "no_request", "no branch")
    }
    assert {files: (each.status, each.reason) for files, each in found.items()} == {
        "unjudged": ("Unknown", "CatalogueInvalid"),
        "gone": ("False", "NoRequest"),
        "held": ("False", "NoRequest"),
        "no_request": ("False", "NoRequest"),
        "no branch": ("Unknown", "NoBranch"),
    }


@pytest.mark.parametrize(
    ("access", "status", "reason"),
    [
        ("granted", "True", "Granted"),
        ("kept", "True", "KeptInForce"),
        ("held", "True", "WithdrawalsHeld"),
        ("ended", "False", "Ended"),
        ("frozen", "False", "Ended"),
        ("none", "False", "NotThere"),
        ("not_ours", "False", "NotManaged"),
    ],
)
def test_what_stands_is_told_beside_what_the_file_says(access: Access, status: str, reason: str) -> None:
    for files in ("gone", "no_catalogue", "no_tree"):
        found = {
            each.type: each
            for each in conditions(
                TeamView(TeamOnBranch("alpha", files, access), Seen().world().team("alpha"), None, TIMES),
                PLATFORM,
            )
        }
        assert (found["Access"].status, found["Access"].reason) == (status, reason)


def test_a_last_day_that_may_not_be_brought_forward_is_told_by_its_problem() -> None:
    problem = problem_at("a.yaml", Position(9, 10), "EndsHeld", "Too many teams.")
    request = Asked(expires=date(2026, 3, 4)).read(a_catalog())
    said = TeamOnBranch("alpha", "shortened", "kept", "a.yaml", "b", request, (problem,))
    first = conditions(TeamView(said, Seen().world().team("alpha"), a_catalog(), TIMES), PLATFORM)[0]
    assert first == Condition("Request", "False", "EndsHeld", "a.yaml:9:10 Too many teams.")


def test_a_last_day_ends_at_midnight_utc() -> None:
    request = Asked(expires=date(2026, 3, 1)).read(a_catalog())
    found = conditions(
        TeamView(
            TeamOnBranch("alpha", "expired", "ended", request=request),
            Seen().world().team("alpha"),
            a_catalog(),
            TIMES,
        ),
        PLATFORM,
    )[0]
    message = "its last day was 2026-03-01: write a later one, or remove the file"
    assert found == Condition("Request", "False", "Expired", message, datetime(2026, 3, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("workspaces", "expected"),
    [
        ({}, Condition("Workspaces", "True", "NothingAsked", "no models of its own")),
        (
            {"phi-4": (SERVES,), "falcon": (SERVES,)},
            Condition("Workspaces", "True", "Ready", "falcon, phi-4", EARLIER),
        ),
        (
            {"phi-4": (SERVES,), "falcon": ({**SERVES, "type": "NodeClaimReady", "status": "False"},)},
            Condition(
                "Workspaces", "False", "NodeClaimNotReady", "falcon is not ready yet", EARLIER, waits=True
            ),
        ),
        (
            {"phi-4": ({"type": "WorkspaceSucceeded", "status": "True"},)},
            Condition("Workspaces", "True", "Ready", "phi-4"),
        ),
    ],
)
def test_workspaces_that_are_kept_are_told_in_the_clusters_words(
    workspaces: Mapping[str, tuple[Mapping[str, str], ...]], expected: Condition
) -> None:
    assert part(Seen(workspaces=workspaces), "refused", "Workspaces") == expected


def test_a_part_that_could_not_be_looked_at_is_unknown_and_says_why() -> None:
    view = TeamView(
        TeamOnBranch("alpha", "invalid", "kept"),
        Seen().world().team("alpha"),
        a_catalog(),
        TIMES,
        unread={"Keys": ("Unavailable", "Key Vault: 503")},
    )
    found = {condition.type: condition for condition in conditions(view, PLATFORM)}
    assert found["Keys"] == Condition("Keys", "Unknown", "Unavailable", "Key Vault: 503")
    assert found["Gateway"].status == "True"


def _granted(request: AccessRequest, world: Snapshot, of: Part, platform: Platform = PLATFORM) -> Condition:
    view = TeamView(
        TeamOnBranch("alpha", "valid", "granted", "p", request=request),
        world.team("alpha"),
        a_catalog(),
        TIMES,
    )
    return {condition.type: condition for condition in conditions(view, platform)}[of]


def test_a_dedicated_model_on_a_platform_without_a_cluster_is_told() -> None:
    request = Asked(dedicated={"phi-4": GPU}).read(a_catalog())
    message = "this platform has no GPU cluster: ask for the shared model"
    assert _granted(request, Seen().world(), "Workspaces") == Condition(
        "Workspaces", "False", "NoCluster", message
    )
    assert _granted(Asked().read(a_catalog()), Seen().world(), "Workspaces").reason == "NothingAsked"


def _tried_out(state: str, marker: Marker = OURS, readers: tuple[RoleGrant, ...] = ()) -> Snapshot:
    """A world with a Foundry project of alpha's."""
    project = Project("team-alpha", "Team Alpha", state, marker)
    return replace(
        Seen().world(),
        projects={"team-alpha": project},
        users={"team-alpha": frozenset(readers)},
    )


@pytest.mark.parametrize(
    ("state", "reason", "message"),
    [
        ("Deleting", "ProjectDeleting", "team-alpha is being deleted; then it is made anew"),
        ("Failed", "ProjectFailed", "Foundry could not make the project team-alpha"),
        ("Creating", "ProjectNotReady", "Foundry is making or changing the project team-alpha"),
    ],
)
def test_a_project_that_is_not_ready_is_told_in_the_words_of_its_stage(
    state: str, reason: str, message: str
) -> None:
    request = Asked(playground=True).read(a_catalog())
    found = _granted(request, _tried_out(state), "Projects", replace(PLATFORM, playground=Playground()))
    assert found == Condition("Projects", "False", reason, message, waits=state != "Failed")


def test_a_project_whose_access_has_ended_says_what_is_left_or_until_when() -> None:
    def ended(world: Snapshot) -> Condition:
        view = TeamView(TeamOnBranch("alpha", "gone", "ended"), world.team("alpha"), a_catalog(), TIMES)
        return {
            condition.type: condition
            for condition in conditions(view, replace(PLATFORM, playground=Playground()))
        }["Projects"]

    message = f"delete project role {READERS}; update project marker team-alpha"
    readers = (RoleGrant(READERS, ours=True),)
    assert ended(_tried_out("Succeeded", readers=readers)) == Condition(
        "Projects", "False", "InProgress", message, waits=True
    )
    withdrawn = ended(_tried_out("Succeeded", replace(OURS, withdrawn=YESTERDAY)))
    assert withdrawn == Condition("Projects", "False", "Withdrawn", WITHDRAWN, YESTERDAY)
    assert ended(Seen().world()) == Condition("Projects", "False", "NotThere", GONE)
