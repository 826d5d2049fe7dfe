"""Who has how much of what is counted over all teams, as it is told to people, and the judge of what is
granted: promise 13.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import floor, inf
from xml.etree import ElementTree

from shared import names
from shared.branch.review import Baseline
from shared.catalog.capacity import Grant, Grants, is_dedicated
from shared.catalog.catalog import Catalog, read_catalog
from shared.marker import NOWHERE, Marker
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.requests.request import read_request
from tests.fakes.app import PATHS, REPOSITORY
from tests.fakes.calls import Call
from tests.fakes.cluster import WORKSPACE
from tests.fakes.repository import Files
from tests.simulation.scene import Handling, Scene


def catalog_in(files: Files) -> Catalog | None:
    return read_catalog(DEFAULT_CATALOG_PATH, files.get(DEFAULT_CATALOG_PATH, (b"", ""))[0]).catalog


def _more(one: Grant, other: Grant) -> Grant:
    """Tokens are more than a workspace, and one of a known instance type more than another."""
    tokens = max(each if isinstance(each, int) else 0 for each in (one, other))
    return tokens or next((each for each in (one, other) if isinstance(each, str)), 0)


def _less(tokens: int, said: Grant) -> int:
    """What is said without a number bounds nothing."""
    return min(tokens, said) if isinstance(said, int) else tokens


def granted(policy: str) -> dict[str, int]:
    """Tokens a minute by model, 0 for a workspace of one's own. In the stories every model has a limit of its
    own.
    """
    found: dict[str, int] = {}
    for branch in ElementTree.fromstring(policy).iterfind("inbound/choose/when"):
        said = {each.attrib["name"]: each.attrib["value"] for each in branch.iterfind("set-variable")}
        limit = branch.find("llm-token-limit")
        if "granted-model" in said and ("dedicated" in said or limit is not None):
            own = "dedicated" in said or limit is None
            found[said["granted-model"]] = (
                0 if own or limit is None else int(limit.attrib["tokens-per-minute"])
            )
    return found


def _is_ours(product: str, marker: Marker) -> bool:
    return (marker.repository, names.product(marker.team)) == (REPOSITORY, product)


class Accounts:
    """What is in force, at rest."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def past(self, files: Files) -> Baseline:
        """For a review of these files, beside what is there now."""
        products = self._scene.app.gateway.state.products
        marked = {name: product.marker for name, product in products.items() if product.marker is not None}
        own = {marker.team: marker for name, marker in marked.items() if _is_ours(name, marker)}
        in_force = {team: self._of(team, marker) for team, marker in own.items() if marker.withdrawn is None}
        asked = {PATHS.team_of(path) for path in files}
        strange = {
            team for team in asked if team is not None and names.product(team) in products and team not in own
        }
        for team in strange:
            in_force[team] = self._written(team, {}) or self._at_the_ceiling(team, files)
        held = frozenset(marker.path for marker in own.values())
        return Baseline(
            held, in_force, self._standing(), frozenset(strange), today=self._scene.true.now().date()
        )

    def _of(self, team: str, marker: Marker) -> Grants:
        """What was asked for at the marker's commit; of what was not finished, or less, what the policy
        says.
        """
        said = self.asked_at(marker)
        if marker.digest and said:
            return said
        firm = self._written(team, {}) or {}
        return {model: _more(said.get(model, 0), firm.get(model, 0)) for model in said.keys() | firm.keys()}

    def asked_at(self, marker: Marker) -> Grants:
        """What the request at the marker's commit asks for; nothing where nobody knows that commit."""
        files = {} if marker.commit in ("", NOWHERE) else self._scene.repository.files_of(marker.commit)
        catalog = catalog_in(files)
        text = files.get(marker.path, (b"", ""))[0]
        return {} if catalog is None else read_request(marker.path, text, catalog, PATHS).tokens

    def _written(self, team: str, default: Grants) -> Grants:
        policy = self._scene.app.gateway.state.policies.get(names.product(team))
        return default if policy is None else granted(policy.text)

    def _at_the_ceiling(self, team: str, files: Files) -> Grants:
        catalog, found = catalog_in(files), dict[str, Grant]()
        for path, (text, _) in files.items() if catalog is not None else ():
            if PATHS.team_of(path) == team:
                tokens = read_request(path, text, catalog, PATHS).tokens
                found |= {model: amount if is_dedicated(amount) else None for model, amount in tokens.items()}
        return found

    def _standing(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        cluster = self._scene.app.cluster
        for home, kind, name in cluster.state.objects if cluster else ():
            team = names.team_named_in(home)
            if kind == WORKSPACE and team is not None:
                found.setdefault(name, set()).add(team)
        return found


#: The writes by which a team may come to have more, or less.
_WEIGHED = ("put_product_policy", "publish_product", "mark_product", "put_subscription")


def _is_weighed(call: Call, names: tuple[str, ...]) -> bool:
    """The mirror of a subscription gives no more than the subscription."""
    return call.system == "gateway" and call.name in names and "--" not in call.target


class Judge:
    """Looks at every write that lets a team take more, by what was written before: edits by hand are nobody's
    grant.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._accounts = Accounts(scene)
        self._written: dict[str, dict[str, int]] = {}
        #: By product, the one who wrote its policy.
        self._writers: dict[str, Handling] = {}
        #: By product, its digest and what the policy granted when that was written. A handler that
        #: has lost its lock may overwrite the policy with less, and the marker stays.
        self._vouched: dict[str, tuple[str, dict[str, int]]] = {}
        #: Teams that come back, and have only reserved what their policy still says.
        self._returning: set[str] = set()
        self._before: tuple[bool, dict[str, int]] = (False, {})
        #: Of every write that gave more, in order, the place in the branch's history by which it was decided;
        #: and how many of them there were when a handler looked last at what everybody has.
        self._decided: list[int] = []
        self._looked: dict[Handling, int] = {}
        #: By product, the place in that order of the last write that gave it more.
        self._grew: dict[str, int] = {}

    def before(self, call: Call) -> None:
        if _is_weighed(call, (*_WEIGHED, "create_product")):
            self._forget_what_is_gone()
            counts = self._counts(call.target)
            self._before = counts, (self._written.get(call.target, {}) if counts else {})

    def _forget_what_is_gone(self) -> None:
        """A policy goes with its product, and by hand with the fragment that it names."""
        policies = self._scene.app.gateway.state.policies
        for name in [name for name in self._written if name not in policies]:
            del self._written[name]

    def after(self, call: Call, handling: Handling) -> None:
        if call.system == "gateway" and call.name == "products":
            self._looked[handling] = len(self._decided)
        if not _is_weighed(call, _WEIGHED):
            return
        counted, had = self._before
        if call.name == "mark_product" and not counted and self._written.get(call.target):
            self._returning.add(call.target)
            return
        if call.name == "put_product_policy":
            self._written[call.target] = granted(self._scene.app.gateway.state.policies[call.target].text)
            self._writers[call.target] = handling
        if self._is_back(call):
            self._returning.discard(call.target)
        has = self._written.get(call.target, {}) if self._counts(call.target) else {}
        before = (had, self._vouched.get(call.target, ("", {}))[1])
        grown = [
            model for model, amount in has.items() if amount > max(each.get(model, 0) for each in before)
        ]
        self._note_what_is_vouched_for(call.target)
        if grown:
            for what in self._too_much(grown, handling):
                # Who has lost the lock may stand still between its last look and a write that nothing fences.
                if handling.locked:
                    self._scene.fail(13, f"{handling} grants more than there is: {call}, {what}")
            self._grew[call.target] = len(self._decided)
            self._decided.append(handling.seen)

    def _note_what_is_vouched_for(self, name: str) -> None:
        marker = self._scene.app.gateway.state.products[name].marker
        if marker is None or marker.withdrawn is not None:
            self._vouched.pop(name, None)
        elif marker.digest and self._vouched.get(name, ("", {}))[0] != marker.digest:
            self._vouched[name] = marker.digest, self._written.get(name, {})

    def _is_back(self, call: Call) -> bool:
        """Whether a team that only reserved may take what its policy says: its keys work, the policy is new,
        or its marker vouches for it. A reservation that the guard holds is published and lets it take
        nothing. (A team's subscription has its product's name.)
        """
        marker = self._scene.app.gateway.state.products[call.target].marker
        return call.name in ("put_product_policy", "put_subscription") or bool(marker and marker.digest)

    def _too_much(self, grown: list[str], handling: Handling) -> Iterator[str]:
        totals = Counter[str]()
        for name in self._written:
            if self._counts(name) and not self._was_hidden(name, handling):
                totals.update(self._known(name))
        limits = self._limits(self._since(handling))
        for model in grown:
            if totals[model] > limits.get(model, inf):
                yield f"{totals[model]} of {limits[model]} of {model}"

    def _known(self, name: str) -> dict[str, int]:
        """What others can know that a product's policy grants. Where somebody wrote it who had lost the lock,
        it is what the marker vouches for, until the next one writes it: a first policy has no version by
        which a late write could be refused, and only a sweep that reads policies finds out.
        """
        written, marker = self._written[name], self._scene.app.gateway.state.products[name].marker
        said = self._accounts.asked_at(marker) if marker is not None and marker.digest else {}
        writer = self._writers[name]
        if (writer.followed and writer.locked) or not said:
            return written
        return {model: _less(amount, said.get(model, 0)) for model, amount in written.items()}

    def _was_hidden(self, name: str, handling: Handling) -> bool:
        """Whether nobody could see what this product was about to get: it was only reserved, somebody garbled
        the marker that said so, and its policy was written after this one looked.
        """
        marker = self._scene.app.gateway.state.products[name].marker
        is_garbled = marker is not None and not marker.digest and not marker.commit
        looked = self._looked.get(handling, len(self._decided))
        return is_garbled and self._grew.get(name, -1) >= looked

    def _since(self, handling: Handling) -> int:
        """The oldest place in the branch's history by which somebody decided what this one could not see yet:
        itself, and whoever has written after it looked at what everybody has.
        """
        unseen = self._decided[self._looked.get(handling, len(self._decided)) :]
        return min([handling.seen, *unseen])

    def _limits(self, since: int) -> dict[str, float]:
        """By model, the most that the branch has allowed all teams from that place on. Where a limit was
        raised, or lifted, others may have grown beyond the older one before this write; where it was lowered,
        what was granted before stays.
        """
        found: dict[str, float] = {}
        for _, commit in self._scene.repository.history[since:]:
            catalog = catalog_in(self._scene.repository.files_of(commit))
            if catalog is not None:
                for model in catalog.models:
                    limit = inf if model.capacity is None else floor(model.capacity * catalog.over_commitment)
                    found[model.name] = max(found.get(model.name, 0), limit)
        return found

    def _counts(self, name: str) -> bool:
        """Whether a product's policy is in force, linked or not, published or not."""
        product = self._scene.app.gateway.state.products.get(name)
        marker = None if product is None else product.marker
        return (
            marker is not None
            and _is_ours(name, marker)
            and marker.withdrawn is None
            and name not in self._returning
        )
