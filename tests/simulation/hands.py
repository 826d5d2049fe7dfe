"""What people do in Azure by hand: our objects are edited and deleted; others make objects that have our
names.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta

from shared import names
from shared.names import CATALOG_TEAM
from shared.resources.actual import ActualBackend, Product, SecretVersion, Subscription
from shared.resources.workspaces import MANAGED_BY, MANAGER, PREFIX
from shared.secret import SecretValue
from tests.fakes.cluster import WORKSPACE, Kept, State
from tests.fakes.gateway import Policy
from tests.fakes.projects import FakeProjects
from tests.fakes.projects import Kept as KeptProject
from tests.fakes.vault import Kept as KeptSecret
from tests.simulation import hands_on_models
from tests.simulation.hands_on_models import Foreign, HandsOnModels
from tests.simulation.nodes import TRIED
from tests.simulation.people import TEAMS
from tests.simulation.scene import Scene


class Hands:
    """`touched` are the teams whose objects were edited; what others made is in `scene.foreign`."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._state = scene.app.gateway.state
        self._models = HandsOnModels(scene)
        self._made: dict[Foreign, str] = {}
        self.touched: set[str] = set()

    def act(self) -> None:
        """One edit of some team's objects, or of what serves the models, if there is what is edited."""
        chance = self._scene.chance
        team, name = chance.choice(TEAMS), chance.choice((*EDITS, *OFTEN, *hands_on_models.EDITS))
        if name in EDITS:
            self._edit_some(name, team)
        elif name in hands_on_models.EDITS and hands_on_models.EDITS[name](self._models):
            self._note(name, CATALOG_TEAM)
            self.touched.update(TEAMS if self._scene.bared == self._scene.loop.time() else ())

    def _edit_some(self, name: str, first: str) -> None:
        """Of this team, or else of the next one that has what is edited."""
        found = next((team for team in (first, *TEAMS) if EDITS[name](self, team)), None)
        if found is not None:
            self._note(name, found)

    def _note(self, edit: str, team: str) -> None:
        self.touched.add(team)
        self._scene.counts[f"fault: by hand: {edit}"] += 1
        self._scene.note("by hand", f"{edit} of {team}")

    def act_as_stranger(self) -> None:
        """Somebody takes one of our names, where it is free."""
        chance = self._scene.chance
        team, name = chance.choice(TEAMS), chance.choice((*STRANGERS, *hands_on_models.STRANGERS))
        made = (
            STRANGERS[name](self, team)
            if name in STRANGERS
            else hands_on_models.STRANGERS[name](self._models)
        )
        if made is not None:
            self._scene.foreign[made] = self._scene.loop.time()
            self._made[made] = repr(self._table(made[0])[made[1]])
            self._scene.counts[f"fault: foreign {name}"] += 1
            self._scene.note("a stranger", f"makes a {made[0]} {made[1]}")

    def strangers_leave(self) -> None:
        """Their objects go, and the names are free again; what a newer version wrote this one writes
        again.
        """
        for team in self._newer():
            self._mark(self._state.products[names.product(team)], newer=False)
        self._scene.newer.clear()
        for name in self._scene.unlabelled:
            if name in self._cluster.namespaces:
                self._relabel(name, {MANAGED_BY: MANAGER})
        self._scene.unlabelled.clear()
        for home, name in self.edited_configs():
            del self._cluster.objects[home, "ConfigMap", name]
        self._scene.edited_configs.clear()
        for kind, name in self._scene.foreign:
            self._table(kind).pop(name, None)
        self._scene.foreign.clear()

    def blocked(self) -> frozenset[str]:
        """The teams that cannot have everything, because somebody else has a name, or a newer version the
        product.
        """
        taken = (*(name for _, name in self._scene.foreign), *self._scene.unlabelled)
        found = {name.removeprefix("team-").partition("--")[0] for name in taken} | self._newer()
        return frozenset(
            team
            for team in TEAMS
            if team in found or any(name.startswith(f"{team}-") for _, name in self._scene.foreign)
        )

    def _table(self, kind: str) -> dict[str, object]:
        cluster = self._scene.app.cluster
        assert cluster is not None
        tables: dict[str, object] = {
            "product": self._state.products,
            "subscription": self._state.subscriptions,
            "backend": self._state.backends,
            "named value": self._state.named_values,
            "secret": self._scene.app.vault.kept,
            "namespace": cluster.state.namespaces,
            "project": self._projects.kept,
        }
        return tables[kind]  # type: ignore[return-value]

    def edited_configs(self, team: str = "") -> list[tuple[str, str]]:
        """Namespace and name of the ConfigMaps that stand as a hand made them, of one team or of all."""
        standing = self._cluster.objects
        return [
            (home, name)
            for (home, name), kept in self._scene.edited_configs.items()
            if standing.get((home, "ConfigMap", name)) is kept and team in ("", home.removeprefix("team-"))
        ]

    @property
    def _projects(self) -> FakeProjects:
        assert self._scene.app.projects is not None
        return self._scene.app.projects

    def changed_strangers(self) -> list[str]:
        """The objects of others that are not as they were made."""
        return [
            f"{kind} {name}"
            for kind, name in self._scene.foreign
            if repr(self._table(kind).get(name)) != self._made[kind, name]
        ] + [
            f"ConfigMap {home}/{name}"
            for home, name in self.edited_configs()
            if repr(self._scene.edited_configs[home, name].manifest)
            != self._made["ConfigMap", f"{home}/{name}"]
        ]

    # -------------------------------------------------------------------------------------------------- edits

    def _product(self, team: str) -> Product | None:
        found = self._state.products.get(names.product(team))
        return found if found is not None and found.marker is not None else None

    def _subscription(self, team: str) -> Subscription | None:
        found = self._state.subscriptions.get(names.subscription(team))
        return found if found is not None and found.display_name.startswith("mergekey/") else None

    def _newer(self) -> set[str]:
        """The teams whose products a newer version wrote."""
        products = ((team, self._state.products.get(names.product(team))) for team in TEAMS)
        return {team for team, product in products if product and product.marker and product.marker.newer}

    def _mark(self, product: Product, **fields: object) -> None:
        assert product.marker is not None
        marker = replace(product.marker, **fields)  # type: ignore[arg-type]  # fields of a marker
        self._state.products[product.name] = replace(product, marker=marker, etag=self._etag())

    def garbles_marker(self, team: str) -> bool:
        """One field of the product's marker cannot be read any more: the others stand."""
        product = self._product(team)
        field = self._scene.chance.choice(("commit", "digest", "expires", "held", "withdrawn"))
        if product is None or product.marker is None:
            return False
        unknown = {"commit": "", "digest": ""}.get(field)
        self._mark(product, **{field: unknown, "unreadable": product.marker.unreadable | {field}})
        return True

    def writes_as_newer(self, team: str) -> bool:
        """A newer version of Mergekey looks after the product."""
        product = self._product(team)
        if product is not None:
            self._mark(product, newer=True)
            self._scene.newer[product.name] = self._scene.loop.time()
        return product is not None

    def edits_policy(self, team: str) -> bool:
        policy = self._state.policies.get(names.product(team))
        if policy is not None and self._product(team):
            text = policy.text.replace('tokens-per-minute="', 'tokens-per-minute="9')
            self._state.policies[names.product(team)] = Policy(text, self._etag())
        return policy is not None and self._product(team) is not None

    def unpublishes(self, team: str) -> bool:
        product = self._product(team)
        if product is not None:
            self._state.products[product.name] = replace(product, published=False, etag=self._etag())
        return product is not None

    def opens(self, team: str) -> bool:
        """To whoever calls without a key, also when the team is in its grace period."""
        product = self._product(team)
        return product is not None and self._scene.app.gateway.open_product(product.name)

    def renames_product(self, team: str) -> bool:
        product = self._product(team)
        if product is not None:
            self._state.products[product.name] = replace(
                product, display_name=f"Somebody's {product.name}", etag=self._etag()
            )
        return product is not None

    def deletes_product(self, team: str) -> bool:
        """With its subscriptions, as the portal offers."""
        product = self._product(team)
        used = [
            found.name
            for found in self._state.subscriptions.values()
            if product and found.product == product.name
        ]
        if product is None or any(("subscription", name) in self._scene.foreign for name in used):
            return False
        for name in used:
            del self._state.subscriptions[name], self._state.keys[name]
        del self._state.products[product.name]
        self._scene.newer.pop(product.name, None)
        self._state.policies.pop(product.name, None)
        self._state.links.discard((product.name, names.API))
        return True

    def unlinks(self, team: str) -> bool:
        there = (names.product(team), names.API) in self._state.links
        self._state.links.discard((names.product(team), names.API))
        return there

    def suspends(self, team: str) -> bool:
        found = self._subscription(team)
        if found is not None:
            self._state.subscriptions[found.name] = replace(found, state="suspended", etag=self._etag())
        return found is not None

    def deletes_subscription(self, team: str) -> bool:
        found = self._subscription(team)
        if found is not None:
            del self._state.subscriptions[found.name], self._state.keys[found.name]
        return found is not None

    def renews_key(self, team: str) -> bool:
        found = self._subscription(team)
        if found is not None:
            self._state.keys[found.name][self._scene.chance.randint(0, 1)] = self._scene.app.gateway._new_key(
                found.name
            )
        return found is not None

    def redirects_backend(self, team: str) -> bool:
        found = [
            name
            for name, each in self._state.backends.items()
            if name.startswith(f"team-{team}--") and each.marker
        ]
        for name in found:
            self._state.backends[name] = replace(
                self._state.backends[name], url="https://elsewhere.example", etag=self._etag()
            )
        return bool(found)

    def _secret(self, team: str) -> str | None:
        """Some secret of the team that is there and ours."""
        name = self._scene.chance.choice(names.secrets(team))
        return (
            name
            if name in self._scene.app.vault.names() and ("secret", name) not in self._scene.foreign
            else None
        )

    def deletes_secret(self, team: str) -> bool:
        name = self._secret(team)
        if name is not None:
            self._scene.app.vault.kept[name].deleted = True
        return name is not None

    def disables_secret(self, team: str) -> bool:
        name = self._secret(team)
        if name is not None:
            versions = self._scene.app.vault.kept[name].versions
            versions[0] = replace(versions[0], enabled=False)
        return name is not None

    def moves_endpoint(self, team: str) -> bool:
        """To what it was when the gateway had another address: a new version, as every value is."""
        name, old = names.endpoint_secret(team), SecretValue("https://old.example")
        if name not in self._scene.app.vault.names() or ("secret", name) in self._scene.foreign:
            return False
        kept = self._scene.app.vault.kept[name]
        newest = kept.versions[0]
        tags = {**newest.tags, "fingerprint": old.fingerprint(name)}
        version = f"{len(kept.versions):032x}"
        kept.versions.insert(
            0, replace(newest, version=version, created=newest.created + timedelta(seconds=1), tags=tags)
        )
        kept.values[version] = old.reveal()
        return True

    def takes_role_away(self, team: str) -> bool:
        found = sorted(pair for pair in self._scene.app.roles.assigned if pair[0] in names.secrets(team))
        self._scene.app.roles.assigned.difference_update(found[:1])
        return bool(found)

    def deletes_workspace(self, team: str) -> bool:
        """And its route."""
        return self._deletes(team, WORKSPACE, "HTTPRoute")

    def deletes_limits(self, team: str) -> bool:
        return self._deletes(team, "ResourceQuota", "NetworkPolicy")

    def _deletes(self, team: str, *kinds: str) -> bool:
        found = [key for key in self._cluster.objects if key[0] == names.namespace(team) and key[1] in kinds]
        for key in found:
            del self._cluster.objects[key]
        return bool(found)

    def edits_limits(self, team: str) -> bool:
        """More workspaces than the request has, and a policy that holds for no pod."""
        raised = self._edits(team, "ResourceQuota", {"hard": {"count/workspaces.kaito.sh": "9"}})
        opened = self._edits(team, "NetworkPolicy", {"podSelector": {"matchLabels": {"app": "none"}}})
        return raised or opened

    def opens_network(self, team: str) -> bool:
        """To every caller in the cluster, past the gateway."""
        return self._edits(team, "NetworkPolicy", {"ingress": [{}]})

    def takes_label_off(self, team: str) -> bool:
        """The one by which the cluster knows our namespaces: only a person can put it back."""
        name = names.namespace(team)
        found = self._cluster.namespaces.get(name)
        if found is None or found.deleted is not None or ("namespace", name) in self._scene.foreign:
            return False
        self._relabel(name, {MANAGED_BY: "Helm"})
        self._scene.unlabelled.setdefault(name, self._scene.loop.time())
        return True

    def takes_other_labels_off(self, team: str) -> bool:
        name = names.namespace(team)
        found = self._cluster.namespaces.get(name)
        if found is None or ("namespace", name) in self._scene.foreign:
            return False
        self._relabel(name, {f"{PREFIX}/team": "theirs"})
        return True

    def _relabel(self, name: str, labels: dict[str, str]) -> None:
        found = self._cluster.namespaces[name]
        metadata = found.manifest["metadata"]
        changed = {**metadata, "labels": {**metadata.get("labels", {}), **labels}}
        found.manifest, found.version = {**found.manifest, "metadata": changed}, self._etag()

    def redirects_route(self, team: str) -> bool:
        return self._edits(team, "HTTPRoute", {"parentRefs": [{"name": "public", "namespace": "theirs"}]})

    def _edits(self, team: str, kind: str, spec: dict[str, object]) -> bool:
        """Every object of a kind: these fields of its specification."""
        found = [
            kept for key, kept in self._cluster.objects.items() if key[:2] == (names.namespace(team), kind)
        ]
        for kept in found:
            kept.manifest = {**kept.manifest, "spec": {**kept.manifest["spec"], **spec}}
            kept.version = self._etag()
        return bool(found)

    def makes_workspace_anew(self, team: str) -> bool:
        """With another GPU. KAITO lets nobody change that in place."""
        found = [
            key
            for key, kept in self._cluster.objects.items()
            if key[:2] == (names.namespace(team), WORKSPACE) and not kept.deleted
        ]
        for key in found[:1]:
            manifest = self._cluster.objects.pop(key).manifest
            other = {**manifest, "resource": {**manifest["resource"], "instanceType": "Standard_ND96asr_v4"}}
            self._cluster.objects[key] = Kept(other, self._etag(), self._scene.true.now())
        return bool(found)

    def edits_config(self, team: str) -> bool:
        """An immutable ConfigMap can only be made anew: with other content, or as one that can be edited. Or
        it is deleted, and no list shows that.
        """
        home, chance = names.namespace(team), self._scene.chance
        found = [
            key
            for key in self._cluster.objects
            if key[:2] == (home, "ConfigMap") and (home, key[2]) not in self.edited_configs()
        ]
        for key in found[:1]:
            manifest = self._cluster.objects.pop(key).manifest
            edit = chance.choice(({"data": {"theirs": "vllm: {}"}}, {"immutable": False}, None))
            if edit is not None and not key[2].startswith(TRIED):
                kept = Kept({**manifest, **edit}, self._etag(), self._scene.true.now())
                self._cluster.objects[key] = self._scene.edited_configs[home, key[2]] = kept
                self._made["ConfigMap", f"{home}/{key[2]}"] = repr(kept.manifest)
        return bool(found)

    def copies_workspace(self, team: str) -> bool:
        """With or without its route: more than the request asks for, with our labels."""
        home = names.namespace(team)
        found = [
            key
            for key, kept in self._cluster.objects.items()
            if key[:2] == (home, WORKSPACE) and not kept.deleted
        ]
        kinds = self._scene.chance.choice(((WORKSPACE,), (WORKSPACE, "HTTPRoute")))
        for key in [(home, kind, name) for _, _, name in found[:1] for kind in kinds]:
            if key in self._cluster.objects:
                manifest = deepcopy(self._cluster.objects[key].manifest)
                manifest["metadata"]["name"] = "surplus"
                self._cluster.objects[home, key[1], "surplus"] = Kept(
                    manifest, self._etag(), self._scene.true.now()
                )
        return bool(found)

    @property
    def _cluster(self) -> State:
        assert self._scene.app.cluster is not None
        return self._scene.app.cluster.state

    def _project(self, team: str) -> KeptProject | None:
        found = self._projects.kept.get(names.project(team))
        return found if found is not None and found.marker is not None else None

    def deletes_project(self, team: str) -> bool:
        there = self._project(team) is not None
        if there:
            del self._projects.kept[names.project(team)]
        return there

    def renames_project(self, team: str) -> bool:
        """And takes our marker's digest away with the description's end."""
        found = self._project(team)
        if found is not None and found.marker is not None:
            found.display_name, found.marker = "Somebody's", found.marker.unfinished()
        return found is not None

    def cuts_traces(self, team: str) -> bool:
        found = self._project(team)
        cut = found is not None and found.connection is not None
        if found is not None:
            found.connection = None
        return cut

    def lets_out_of_project(self, team: str) -> bool:
        roles = self._scene.app.project_roles
        assert roles is not None
        found = sorted(pair for pair in roles.assigned if pair[0] == names.project(team))
        roles.assigned.difference_update(found)
        return bool(found)

    # ---------------------------------------------------------------------------------------------- strangers

    def makes_project(self, team: str) -> Foreign | None:
        name = names.project(team)
        if name in self._projects.names():
            return None
        self._projects.kept[name] = KeptProject("Theirs", None, "Succeeded", self._scene.true.now())
        return "project", name

    def makes_product(self, team: str) -> Foreign | None:
        name = names.product(team)
        if name in self._state.products:
            return None
        self._state.products[name] = Product(name, self._etag(), "Theirs", published=True, marker=None)
        return "product", name

    def copies_product(self, team: str) -> Foreign | None:
        """With our marker, under a name that no team's product has."""
        product, name = self._product(team), f"copy-of-{team}"
        if product is None or name in self._state.products:
            return None
        self._state.products[name] = replace(
            product, name=name, display_name=f"Copy of {team}", etag=self._etag()
        )
        return "product", name

    def makes_subscription(self, team: str) -> Foreign | None:
        """One of our name, for a product of theirs; or one of theirs, on our product."""
        name = self._scene.chance.choice((names.subscription(team), f"friends-of-{team}"))
        product = "theirs" if name == names.subscription(team) else names.product(team)
        if name in self._state.subscriptions or (product != "theirs" and not self._product(team)):
            return None
        self._state.subscriptions[name] = Subscription(name, self._etag(), "A friend", product, "7", "active")
        self._state.keys[name] = ["their-primary", "their-secondary"]
        return "subscription", name

    def makes_secret(self, team: str) -> Foreign | None:
        name = self._scene.chance.choice(names.secrets(team))
        if name in self._scene.app.vault.kept:
            return None
        version = SecretVersion(name, "0" * 32, True, self._scene.true.now(), {"owner": "theirs"})
        self._scene.app.vault.kept[name] = KeptSecret([version], {version.version: "their value"})
        return "secret", name

    def makes_backend(self, team: str) -> Foreign | None:
        name = names.backend(team, "phi-4")
        if name in self._state.backends:
            return None
        self._state.backends[name] = ActualBackend(name, self._etag(), "https://theirs.example", None)
        return "backend", name

    def makes_namespace(self, team: str) -> Foreign | None:
        cluster, name = self._scene.app.cluster, names.namespace(team)
        assert cluster is not None
        if name in cluster.state.namespaces or any(home == name for home, _, _ in cluster.state.objects):
            return None
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": {}}}
        cluster.state.namespaces[name] = Kept(manifest, self._etag(), self._scene.true.now())
        return "namespace", name

    def _etag(self) -> str:
        return self._scene.app.gateway._etag()


EDITS: dict[str, Callable[[Hands, str], bool]] = {
    "policy edited": Hands.edits_policy,
    "product unpublished": Hands.unpublishes,
    "product opened": Hands.opens,
    "product renamed": Hands.renames_product,
    "marker garbled": Hands.garbles_marker,
    "written by a newer version": Hands.writes_as_newer,
    "product deleted": Hands.deletes_product,
    "link deleted": Hands.unlinks,
    "subscription suspended": Hands.suspends,
    "subscription deleted": Hands.deletes_subscription,
    "key renewed": Hands.renews_key,
    "backend redirected": Hands.redirects_backend,
    "secret deleted": Hands.deletes_secret,
    "secret disabled": Hands.disables_secret,
    "endpoint moved": Hands.moves_endpoint,
    "role taken away": Hands.takes_role_away,
    "workspace deleted": Hands.deletes_workspace,
    "workspace made anew": Hands.makes_workspace_anew,
    "workspace copied": Hands.copies_workspace,
    "configuration edited": Hands.edits_config,
    "limits deleted": Hands.deletes_limits,
    "limits edited": Hands.edits_limits,
    "network policy opened": Hands.opens_network,
    "namespace unlabelled": Hands.takes_label_off,
    "labels of a namespace edited": Hands.takes_other_labels_off,
    "route redirected": Hands.redirects_route,
    "project deleted": Hands.deletes_project,
    "project renamed": Hands.renames_project,
    "traces cut off": Hands.cuts_traces,
    "project closed": Hands.lets_out_of_project,
}
#: What is picked more often than the others: few edits hit a team in the state for which they matter.
OFTEN = ("marker garbled", "written by a newer version", "configuration edited") * 3
STRANGERS: dict[str, Callable[[Hands, str], Foreign | None]] = {
    "product": Hands.makes_product,
    "copied product": Hands.copies_product,
    "subscription": Hands.makes_subscription,
    "secret": Hands.makes_secret,
    "backend": Hands.makes_backend,
    "namespace": Hands.makes_namespace,
    "project": Hands.makes_project,
}
