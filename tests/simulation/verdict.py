"""Whether the world is what the branch says, when nothing is under way any more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from shared import names
from shared.branch.review import Review
from shared.marker import Marker, read_time
from shared.names import SAFETY_BACKEND
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.backends import SAFETY_SECRET
from shared.resources.key_slots import EXPOSED
from shared.resources.subscription import ADMINISTRATOR
from shared.resources.workspaces import marker_of
from tests.fakes.app import PATHS
from tests.simulation.catalogs import without_bound
from tests.simulation.expected import (
    difference,
    handed_over,
    platform,
    platform_of_its_own,
    slice_of,
    team_of_its_own,
    vouched,
)
from tests.simulation.hands import Hands
from tests.simulation.people import TEAMS
from tests.simulation.readers import Readers
from tests.simulation.rules import Said
from tests.simulation.scene import KEY, Scene
from tests.simulation.watch import Watch
from tests.stages.road import matches_the_gateway

#: The parts of a platform that serve its models, as `expected.platform` has them.
SERVING = ("backends", "credentials", "named values")


@dataclass(frozen=True, slots=True)
class Wish:
    """What the branch wants for a team: `wanted` with the file that says what; `over`: no access; `kept`:
    whatever it was; `held`: the same, because of the guard.
    """

    what: Literal["wanted", "over", "kept", "held"]
    path: str = ""
    text: str = ""


class Verdict:
    """Compares, and says what differs. `named_before` is what was `named` before the last sweep: what frees
    it goes in the next.
    """

    def __init__(self, scene: Scene, watch: Watch, hands: Hands, readers: Readers) -> None:
        self._scene = scene
        self._readers = readers
        self._watch = watch
        self._hands = hands
        self.named_before: frozenset[str] = frozenset()

    # -------------------------------------------------------------------------------------- the branch's word

    def wished(self, what: str) -> set[str]:
        """The teams of which the branch says just that."""
        return {team for team, wish in self.wishes().items() if wish.what == what}

    def ended_since(self, earlier: Mapping[str, Wish]) -> set[str]:
        """The teams whose access was not over then, and is by now: with the branch as it was, by its day."""
        return {team for team in self.wished("over") if earlier[team].what != "over"}

    def wishes(self) -> dict[str, Wish]:
        place, in_use = len(self._scene.repository.history) - 1, self._in_use()
        said, guarded = self._watch.rules.all_said(place), self._watch.rules.guarded(place, in_use)
        files, markers = self._scene.repository.files(), self._watch.rules.markers()
        nothing, left = Said("missing" if files else "doubt"), in_use | self._left_with_roles()
        found = {
            team: self._wish(said.get(team, nothing), markers.get(team), team in left, team in guarded)
            for team in TEAMS
        }
        return {
            team: replace(wish, text=files[wish.path][0].decode() if wish.path else "")
            for team, wish in found.items()
        }

    def _wish(self, said: Said, marker: Marker | None, left: bool, guarded: bool) -> Wish:
        """Of a team without a product of ours, `left` says whether anything stays of it in doubt."""
        if guarded and said.row != "doubt":
            # Whose day is brought forward has what it had; its product says nothing of it.
            return Wish("kept" if said.row == "soon" else "held")
        if said.row in ("valid", "soon"):
            return Wish("wanted", said.path)
        if said.row != "doubt":
            return Wish("over", said.path)
        ended = marker is not None and (marker.withdrawn is not None or self._watch.rules.has_lapsed(marker))
        # Where nothing is, nothing comes: unless a strange product stands there, or the whole branch says
        # nothing.
        return Wish(
            "over" if ended or (marker is None and not left and self._scene.repository.files()) else "kept"
        )

    def _reviewed(self) -> Review:
        return self._watch.rules.reviewed(self._scene.repository.files())

    def _in_use(self) -> frozenset[str]:
        """Teams that have anything of ours, beside a product, that was not withdrawn."""
        app = self._scene.app
        subscriptions = (each for each in app.gateway.state.subscriptions.values() if each.state == "active")
        found = {
            each.display_name.rpartition("/")[2]
            for each in subscriptions
            if each.display_name.startswith("mergekey/")
        }
        newest = {name: app.vault.kept[name].versions[0].tags for name in app.vault.names()}
        found |= {tags["team"] for tags in newest.values() if "team" in tags and "withdrawn" not in tags}
        cluster, projects = app.cluster, app.projects
        standing = (
            [kept for kept in cluster.state.namespaces.values() if kept.deleted is None] if cluster else []
        )
        marked = [marker_of(kept.manifest["metadata"].get("annotations", {})) for kept in standing]
        marked += (
            [kept.marker for kept in projects.kept.values() if kept.passing != "Deleting"] if projects else []
        )
        found |= {marker.team for marker in marked if marker is not None and marker.withdrawn is None}
        return frozenset(found & set(TEAMS))

    def _left_with_roles(self) -> frozenset[str]:
        """Teams whose project was deleted and left a role, and whose file no catalogue judges. Such a role
        opens nothing, and stays until it is known whether the team gets a new project. A role on a project
        that stands opens something, and is not meant.
        """
        projects = self._scene.app.projects
        standing = projects.names() if projects is not None else []
        gone = (team for team in TEAMS if names.project(team) not in standing and any(self._users(team)))
        return frozenset(team for team in gone if self._is_unjudged(team))

    def _is_unjudged(self, team: str) -> bool:
        """Whether nobody knows what the team asks for: there is no branch, or a file and no valid
        catalogue.
        """
        files = self._scene.repository.files()
        present = {PATHS.team_of(path) for path in files}
        return not files or (team in present and self._reviewed().catalog is None)

    # ---------------------------------------------------------------------------------------------- comparing

    def differences(self) -> Iterator[tuple[str, str]]:
        """Team and what is wrong, for all teams whose names nobody else has taken."""
        blocked = self._hands.blocked()
        catalog = self._scene.repository.files().get(DEFAULT_CATALOG_PATH, (b"", ""))[0].decode()
        for team, wish in self.wishes().items():
            if team not in blocked:
                yield from ((team, what) for what in self._of(team, wish, catalog))

    def _of(self, team: str, wish: Wish, catalog: str) -> list[str]:
        match wish.what:
            case "wanted":
                return self._of_wanted(team, wish, catalog)
            case "over":
                return [*self.alive(team)]
            case "held":
                product = self._scene.app.gateway.state.products.get(names.product(team))
                marked = (
                    product is None
                    or not product.is_finished
                    or product.marker is None
                    or product.marker.held is not None
                )
                return [] if marked else ["the guard holds it, and its product does not say so"]
            case _:
                return []

    def _of_wanted(self, team: str, wish: Wish, catalog: str) -> list[str]:
        wanted = team_of_its_own(wish.path, wish.text, catalog, team)
        overlap = self._scene.app.timeouts.key_overlap
        actual = handed_over(slice_of(self._scene.app, team), wanted, self._scene.true.now(), overlap)
        # A bound of GPUs comes to a namespace with the next change of its models.
        unbounded = team_of_its_own(wish.path, wish.text, without_bound(catalog), team)
        older, newer = (self._watch.nodes.as_told(team, each["cluster"]) for each in (unbounded, wanted))
        is_edited = bool(self._hands.edited_configs(team))
        if is_edited or self._watch.nodes.explains(team):
            actual = vouched(actual, wanted)
        if is_edited:
            # What needs the configuration is not made; what stands stays as it is.
            actual = {**actual, "cluster": newer}
        return difference(actual, {**wanted, "cluster": older if actual["cluster"] == older else newer})

    def of_platform(self) -> list[str]:
        reviewed = self._reviewed() if self._scene.repository.files() else None
        if reviewed is None or reviewed.catalog is None:
            return []
        wanted = platform_of_its_own(self._scene.repository.files()[DEFAULT_CATALOG_PATH][0].decode())
        theirs = {name for kind, name in self._scene.foreign if kind in ("backend", "named value")}
        if any(name in wanted[kind] for kind in SERVING for name in theirs):
            return []
        actual, more = platform(self._scene.app), theirs | self.named_before | self.still_named()
        for kind in SERVING:
            actual[kind] = {
                name: what for name, what in actual[kind].items() if name in wanted[kind] or name not in more
            }
        return difference(actual, wanted)

    def still_named(self) -> frozenset[str]:
        """What the service refuses to delete, because policies name it that nobody writes: of teams that are
        kept as they were, or wait for the end of grace, or cannot have everything.
        """
        blocked, wishes = self._hands.blocked(), self.wishes()
        return self.named(
            names.product(team) for team, wish in wishes.items() if wish.what != "wanted" or team in blocked
        )

    def named(self, products: Iterable[str] | None = None) -> frozenset[str]:
        """What the policies of these products name, or of all, and what that needs."""
        policies = self._scene.app.gateway.state.policies
        named = any(
            SAFETY_BACKEND in policies[product].text
            for product in products or policies
            if product in policies
        )
        return frozenset((SAFETY_BACKEND, names.credential(SAFETY_SECRET))) if named else frozenset()

    def alive(self, team: str) -> Iterator[str]:
        """What still works of a team that has no access any more."""
        app = self._scene.app
        own = names.subscription(team)
        product, subscription, mirror = (
            app.gateway.state.products.get(names.product(team)),
            app.gateway.state.subscriptions.get(own),
            app.gateway.state.subscriptions.get(names.mirror(own)),
        )
        if mirror is not None and mirror.state == "active":
            yield "the mirror of its subscription is active"
        if subscription is not None and subscription.state == "active":
            yield "its subscription is active"
        yield from (f"secret {name} is enabled" for name in names.secrets(team) if self._is_readable(name))
        if product is not None and (product.marker is None or product.marker.withdrawn is None):
            yield "its product is not withdrawn"
        if product is not None and product.marker is not None and not product.subscription_required:
            yield "its product can be used without a key"
        if product is not None and product.marker is not None and self._administrators(product.name):
            yield "the administrator's keys of its product are active"
        yield from self._users(team)

    def _is_readable(self, secret: str) -> bool:
        """Whether any version of it is enabled: who knows a version reads it by its name. An older one may be
        enabled by a write that was on its way while its handler lost the lock: nothing fences it, lists do
        not show it, and its key is as dead as the others.
        """
        vault, late = (
            self._scene.app.vault,
            any(self._scene.counts[f"fault: {name}"] for name in ("lock lost", "overtaken")),
        )
        versions = vault.kept[secret].versions if secret in vault.names() else []
        return any(version.enabled for version in (versions[:1] if late else versions))

    def _administrators(self, product: str) -> bool:
        found = self._scene.app.gateway.state.subscriptions.values()
        return any(
            (each.product, each.owner, each.state) == (product, ADMINISTRATOR, "active") for each in found
        )

    def _users(self, team: str) -> Iterator[str]:
        roles = self._scene.app.project_roles
        found = [group for name, group in roles.assigned if name == names.project(team)] if roles else []
        yield from (f"{group} may use its project" for group in found)

    def grace_ends(self, team: str) -> tuple[bool, ...]:
        """Whether the grace periods of what is there of the team are over."""
        return tuple(self._scene.true.now() >= end for end in self.ends_of_grace(team))

    def ends_of_grace(self, team: str) -> tuple[datetime, ...]:
        """When the grace periods of the product, of the project and of the secrets end, as far as they are
        there and withdrawn.
        """
        app = self._scene.app
        product = app.gateway.state.products.get(names.product(team))
        project = None if app.projects is None else app.projects.kept.get(names.project(team))
        marks = [found.marker for found in (product, project) if found is not None]
        kept = [app.vault.kept[name] for name in names.secrets(team) if name in app.vault.names()]
        moments = [
            *(mark.withdrawn for mark in marks if mark is not None),
            *(read_time(secret.versions[0].tags.get("withdrawn")) for secret in kept),
        ]
        return tuple(since + app.timeouts.grace for since in moments if since is not None)

    def waiting_keys(self, team: str) -> tuple[str, ...]:
        """Since when keys of the team are to be made new, as far as their secrets say so."""
        vault = self._scene.app.vault
        tags = (
            vault.kept[name].versions[0].tags for name in names.key_secrets(team) if name in vault.names()
        )
        return tuple(each[EXPOSED] for each in tags if EXPOSED in each)

    def left(self, team: str) -> Iterator[str]:
        """What is still there of a team whose grace period has ended. Somebody else's subscription keeps a
        product; without a valid catalogue nobody knows whether the file of a team is right, and nothing of it
        is deleted.
        """
        if self._is_unjudged(team) or ("subscription", f"friends-of-{team}") in self._scene.foreign:
            return
        state, vault, cluster = self._scene.app.gateway.state, self._scene.app.vault, self._scene.app.cluster
        if names.product(team) in state.products:
            yield "its product is there"
        if names.subscription(team) in state.subscriptions:
            yield "its subscription is there"
        yield from (
            f"backend {name} is there" for name in state.backends if name.startswith(f"team-{team}--")
        )
        yield from (f"secret {name} is there" for name in names.secrets(team) if name in vault.names())
        yield from (
            f"{group} may read {secret}"
            for secret, group in self._scene.app.roles.assigned
            if secret in names.secrets(team)
        )
        projects = self._scene.app.projects
        if (
            projects is not None
            and names.project(team) in projects.names()
            and projects.kept[names.project(team)].marker is not None
        ):
            yield "its project is there"
        yield from self._users(team)
        if cluster is not None and names.namespace(team) in cluster.state.namespaces:
            yield "its namespace is there"

    # --------------------------------------------------------------------------------------------------- keys

    def keys_apart(self) -> Iterator[str]:
        """Keys that are alive at the gateway and not in the vault, or the other way round."""
        blocked, wishes = self._hands.blocked(), self.wishes()
        for team in TEAMS:
            subscription = self._scene.app.gateway.state.subscriptions.get(names.subscription(team))
            live = subscription is not None and subscription.state == "active"
            for name in (
                names.secrets(team)[:2]
                if team not in blocked and wishes[team].what in ("wanted", "over")
                else ()
            ):
                readable = self._scene.app.vault.value(name) is not None
                if live != readable or (live and not matches_the_gateway(self._scene.app, name)):
                    yield (
                        f"{name}: at the gateway {'live' if live else 'dead'}, in the vault "
                        f"{'another or none' if live else 'live'}"
                    )

    def keys_of_former_readers(self) -> Iterator[str]:
        """Keys that work after the overlap although a group could read them which may read no more."""
        blocked = self._hands.blocked()
        for team, wish in self.wishes().items():
            if wish.what == "wanted" and team not in blocked:
                group = re.search(r"entraGroup: ([0-9a-f-]+)", wish.text)
                yield from self._readers.former(team, group and group[1])

    def keys_outside(self) -> Iterator[str]:
        """Places that hold a key and must not."""
        app = self._scene.app
        for envelope in app.bus.sent:
            if KEY.encode() in envelope.body or KEY in str(envelope.properties):
                yield f"message {envelope.message_id}"
        yield from (f"status {status.context}" for status in app.reports.shown if KEY in status.description)
        yield from (
            f"verdict of {verdict.commit}"
            for verdict in app.reports.verdicts
            if KEY in f"{verdict.problems}{verdict.summary}"
        )
        yield from (
            f"tags of {name}"
            for name, kept in app.vault.kept.items()
            if KEY in str([each.tags for each in kept.versions])
        )
        yield from (f"log: {line[:40]}" for line in self._scene.log if KEY in line)
        yield from (f"the {where}" for where, what in self._written().items() if KEY in repr(what))

    def _written(self) -> dict[str, object]:
        """What the app has written where keys have no place: all of the gateway but the keys, the cluster,
        the projects.
        """
        app = self._scene.app
        gateway = {name: table for name, table in vars(app.gateway.state).items() if name != "keys"}
        return {
            "gateway": gateway,
            "cluster": app.cluster and app.cluster.state,
            "projects": app.projects and app.projects.kept,
        }
