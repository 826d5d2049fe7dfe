"""Which entities there are, with their descriptions, kept in the folder.

The file of entities is what a deployment applies: at every start its entities are as the file says, whatever was done to them meanwhile.
Entities that were made over the management interface stay until they are deleted there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from standins.clock import Clock
from standins.service_bus.broker import Broker, Topic
from standins.service_bus.descriptions import KINDS, QUEUE, SUBSCRIPTION, TOPIC, Description, Kind
from standins.service_bus.entity import Environment
from standins.store import Store, Table

#: `kind`, `path`, `name`, `description`, `created` and `updated` in seconds since 1970, `in_file`; of a subscription also `rules`: name ->
#: `conditions`, `created`.
Row = dict[str, Any]
DEFAULT_RULE = "$Default"
_BELOW = "/Subscriptions/"


def path_of(topic: str, subscription: str) -> str:
    """The path of a subscription."""
    return f"{topic}{_BELOW}{subscription}"


class Namespace:
    """The entities, in the broker and on file. Paths are case-insensitive."""

    def __init__(self, environment: Environment, declared: Mapping[str, Any], store: Store) -> None:
        self._rows: Table = store.table("entities")
        self._clock: Clock = environment.clock
        #: When the namespace was made, in seconds since 1970.
        self.created: float = store.table("namespace").setdefault("created", self._clock.now())
        self._deploy(declared)
        self.broker = Broker(environment, self._with_those_made_since(declared))

    def find(self, path: str) -> Row | None:
        row: Row | None = self._rows.get(path.lower())
        return row

    def all(self, kind: Kind, topic: str = "") -> list[Row]:
        """The entities of a kind by name: queues, topics, or the subscriptions of a topic."""
        above = f"{topic}{_BELOW}".lower() if topic else ""
        found = (row for key, row in self._rows.items() if row["kind"] == kind.name and key.startswith(above))
        return sorted(found, key=lambda row: str(row["name"]))

    def create(self, kind: Kind, path: str, description: Description) -> Row:
        """Make an entity that is not there yet; a subscription lets everything through until it has other rules."""
        row = self._row(kind, path, description, {DEFAULT_RULE: {}}, in_file=False)
        options = self._options(row)
        if kind is TOPIC:
            self.broker.add_topic(path, options | {"subscriptions": {}})
        elif kind is QUEUE:
            self.broker.add_queue(path, path, options)
        else:
            topic = self.broker.find(path.rpartition(_BELOW)[0])
            assert isinstance(topic, Topic)
            self.broker.subscribe(topic, row["name"], options)
        self._rows[path.lower()] = row
        return row

    def update(self, row: Row, description: Description) -> Row:
        return self._change(row | {"description": description, "updated": self._clock.now()})

    def set_rule(self, row: Row, name: str, conditions: Mapping[str, str]) -> Row:
        """Give a subscription a rule, or another instead of the one of that name. Returns the rule."""
        rule = {"conditions": dict(conditions), "created": self._clock.now()}
        self._change(row | {"rules": row["rules"] | {name: rule}})
        return rule

    def delete_rule(self, row: Row, name: str) -> None:
        self._change(row | {"rules": {each: rule for each, rule in row["rules"].items() if each != name}})

    def delete(self, row: Row) -> None:
        """An entity with all that it holds, a topic with its subscriptions."""
        path = row["path"]
        for below in self.all(SUBSCRIPTION, path) if row["kind"] == TOPIC.name else []:
            del self._rows[below["path"].lower()]
        del self._rows[path.lower()]
        self.broker.remove(path)
        self.broker.environment.storage.flush()

    def _change(self, row: Row) -> Row:
        self.broker.configure(row["path"], self._options(row))
        self._rows[row["path"].lower()] = row
        return row

    def _options(self, row: Row) -> dict[str, Any]:
        """What the broker is told of an entity that was made or changed here."""
        options = KINDS[row["kind"]].to_options(row["description"])
        return options | ({"rules": {name: rule["conditions"] for name, rule in row["rules"].items()}} if "rules" in row else {})

    def _row(self, kind: Kind, path: str, description: Description, rules: Mapping[str, Mapping[str, str]], *, in_file: bool) -> Row:
        now = self._clock.now()
        row: Row = {"kind": kind.name, "path": path, "name": path.rpartition("/")[2], "description": description}
        row |= {"created": now, "updated": now, "in_file": in_file}
        if kind is SUBSCRIPTION:
            row["rules"] = {name: {"conditions": dict(conditions), "created": now} for name, conditions in rules.items()}
        return row

    # ------------------------------------------------------------------------------------------------------------- the start

    def _deploy(self, declared: Mapping[str, Any]) -> None:
        in_file = {path.lower() for _, path, _ in _entities(declared)}
        for key, row in list(self._rows.items()):
            if row["in_file"] and key not in in_file:
                del self._rows[key]
        for kind, path, options in _entities(declared):
            rules = options.get("rules", {DEFAULT_RULE: {}})
            row = self._row(kind, path, kind.of_options(options), rules, in_file=True)
            before = self.find(path)
            if before is None or not _same(before, row):
                self._rows[path.lower()] = row | ({"created": before["created"]} if before else {})
        for row in list(self._rows.values()):
            if row["kind"] == SUBSCRIPTION.name and row["path"].rpartition(_BELOW)[0].lower() not in self._rows:
                del self._rows[row["path"].lower()]

    def _with_those_made_since(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        queues = dict(declared.get("queues", {}))
        topics = {name: options | {"subscriptions": dict(options["subscriptions"])} for name, options in declared.get("topics", {}).items()}
        made = [row for row in self._rows.values() if not row["in_file"]]
        queues |= {row["path"]: self._options(row) for row in made if row["kind"] == QUEUE.name}
        topics |= {row["path"]: self._options(row) | {"subscriptions": {}} for row in made if row["kind"] == TOPIC.name}
        by_key = {name.lower(): options for name, options in topics.items()}
        for row in made:
            if row["kind"] == SUBSCRIPTION.name:
                by_key[row["path"].rpartition(_BELOW)[0].lower()]["subscriptions"][row["name"]] = self._options(row)
        return {"queues": queues, "topics": topics}


def _entities(declared: Mapping[str, Any]) -> Iterator[tuple[Kind, str, Mapping[str, Any]]]:
    """Kind, path and options of what the file declares."""
    for name, options in declared.get("queues", {}).items():
        yield QUEUE, name, options
    for name, options in declared.get("topics", {}).items():
        yield TOPIC, name, options
        for child, of_child in options["subscriptions"].items():
            yield SUBSCRIPTION, path_of(name, child), of_child


def _same(before: Row, after: Row) -> bool:
    """Whether nothing was done to the entity since the last start."""

    def conditions(row: Row) -> dict[str, Any]:
        return {name: rule["conditions"] for name, rule in row.get("rules", {}).items()}

    return before["in_file"] and before["description"] == after["description"] and conditions(before) == conditions(after)
