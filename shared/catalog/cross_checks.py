"""Checks across the entries of a catalogue: names that collide, and references that lead nowhere, in a
circle, or to a model that cannot replace another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared import names
from shared.catalog.catalog_schema import ModelSchema
from shared.catalog.endpoints import host_of, host_problem
from shared.catalog.entry_checks import Entry, EntryProblem, entry_problems
from shared.catalog.workspace_checks import Setup, model_faults, nodes_of, size_faults
from shared.documents.document import Document, KeyPath
from shared.documents.field_types import parse_leniently
from shared.documents.problem import Problem, did_you_mean, listed, quote
from shared.kaito.releases import ACCESS_SECRETS, DEFAULT_RELEASE, Release

#: The entries by name; of two with one name the first.
Entries = Mapping[str, Entry]


def cross_field_checks(document: Document) -> Iterator[Problem]:
    """The problems of values that are valid by themselves but not together with other keys, other entries, or
    the whole catalogue.
    """
    written = list(_entries(document))
    by_name: dict[str, Entry] = {}
    for entry in written:
        by_name.setdefault(entry.model.name, entry)
    seen: dict[str, str] = {}
    aliases: dict[str, str] = {}
    release = _release(document)
    for entry in written:
        for where, reason, message in (
            *_clashes(entry, seen),
            *_alias_problems(entry, by_name, aliases),
            *entry_problems(entry),
            *_references(entry, by_name),
            *_needs(entry, document),
            *_release_problems(entry, release),
            *_total_problems(entry, release),
        ):
            yield document.problem(("models", entry.index, *where), reason, message)
    yield from _services(document, by_name)


def _entries(document: Document) -> Iterator[Entry]:
    models = document.get(("models",))
    for index, raw in enumerate(models if isinstance(models, list) else []):
        model = parse_leniently(ModelSchema, raw)
        if model is not None:
            yield Entry(index, model, raw)


def _clashes(entry: Entry, seen: dict[str, str]) -> Iterator[EntryProblem]:
    """`seen`: the names of the entries before, by slug; this entry's name is added."""
    name = entry.model.name
    slug = names.slug(name)
    if seen.get(slug) == name:
        yield (
            ("name",),
            "DuplicateModel",
            f"The model {quote(name)} stands here a second time. Remove one of the two.",
        )
    elif slug in seen:
        advice = (
            f"{quote(name)} and {quote(seen[slug])} have the same remote name '{slug}'. Rename one of them."
        )
        yield ("name",), "DuplicateSlug", advice
    seen.setdefault(slug, name)


def _alias_problems(entry: Entry, entries: Entries, seen: dict[str, str]) -> Iterator[EntryProblem]:
    """A name leads to one model. `seen`: the aliases before, each with its model; this entry's are added."""
    for index, alias in enumerate(entry.model.aliases):
        other = alias if alias in entries else seen.get(alias)
        if alias in entries:
            what = f"{quote(alias)} is the name of a model, so it cannot be an alias. Choose another."
            yield ("aliases", index), "DuplicateAlias", what
        elif other is not None:
            what = f"{quote(alias)} stands here for {quote(other)} already. Remove one of the two."
            yield ("aliases", index), "DuplicateAlias", what
        seen.setdefault(alias, entry.model.name)


def _references(entry: Entry, entries: Entries) -> Iterator[EntryProblem]:
    yield from _fallback_problems(entry, entries)
    yield from _successor_problems(entry, entries)


def _fallback_problems(entry: Entry, entries: Entries) -> Iterator[EntryProblem]:
    fallback = entry.model.fallback
    if fallback is None:
        return
    other = entries.get(fallback)
    if other is None:
        yield ("fallback",), "UnknownModel", _unknown(fallback, entries)
    elif circle := _circle(entry.model.name, entries):
        yield (
            ("fallback",),
            "FallbackLoop",
            f"The fallbacks lead back to where they began: {' > '.join(map(quote, circle))}. Remove one.",
        )
    elif not other.served:
        advice = "Nothing serves it to several teams; name a model with 'endpoint', 'pool' or 'shared'."
        yield ("fallback",), "BadFallback", f"{quote(fallback)} cannot stand in for another model. {advice}"
    elif unserved := _unserved(entry, other):
        advice = f"It does not serve {listed(unserved)}, as this model does. Change 'serves' of one."
        yield (
            ("fallback",),
            "BadFallback",
            f"{quote(fallback)} cannot stand in for {quote(entry.model.name)}. {advice}",
        )
    elif missing := sorted(entry.classes - other.classes):
        advice = (
            f"It may not be sent {' or '.join(missing)} data, as this model may. Change 'dataClasses' of "
            "one, or choose another."
        )
        yield (
            ("fallback",),
            "BadFallback",
            f"{quote(fallback)} cannot stand in for {quote(entry.model.name)}. {advice}",
        )


def _unserved(entry: Entry, other: Entry) -> list[str]:
    """What the entry serves and the other does not, where both say it."""
    if entry.model.serves is None or other.model.serves is None:
        return []
    return sorted(set(entry.model.serves) - set(other.model.serves))


def _circle(start: str, entries: Entries) -> list[str]:
    """The way from a model over fallbacks back to it; empty when it does not come back."""
    way = [start]
    while (
        (entry := entries.get(way[-1])) is not None
        and entry.model.fallback is not None
        and len(way) <= len(entries)
    ):
        way.append(entry.model.fallback)
        if way[-1] == start:
            return way
    return []


def _successor_problems(entry: Entry, entries: Entries) -> Iterator[EntryProblem]:
    """Each successor must last longer, so that no circle of them is possible."""
    successor, last = entry.model.successor, entry.model.retires_on
    if successor is None:
        return
    other = entries.get(successor)
    if other is None:
        yield ("successor",), "UnknownModel", _unknown(successor, entries)
    elif successor == entry.model.name:
        yield (
            ("successor",),
            "BadSuccessor",
            f"{quote(successor)} cannot be its own successor. Name the model that teams shall use instead.",
        )
    elif last is not None and other.model.retires_on is not None and other.model.retires_on <= last:
        when = f"{quote(successor)} itself retires on {other.model.retires_on}, not later than this model"
        yield ("successor",), "BadSuccessor", f"{when}. Name a model that lasts longer."


def _unknown(name: str, entries: Entries) -> str:
    return (
        f"There is no model {quote(name)} in this catalogue.{did_you_mean(name, entries)} There are: "
        f"{listed(list(entries)[:20])}."
    )


def _needs(entry: Entry, document: Document) -> Iterator[EntryProblem]:
    """Keys that mean something only beside a key of the whole catalogue."""
    if entry.has("price") and document.get(("currency",)) is None:
        yield (
            ("price",),
            "MissingKey",
            (
                "A price says nothing without 'currency'. Add it to the catalogue, outside 'models', such as "
                "EUR."
            ),
        )
    for key, on, service in (
        ("cached", entry.model.cached, "semanticCache"),
        ("screened", entry.model.screened, "contentSafety"),
    ):
        if on and document.get((service,)) is None:
            yield (
                (key,),
                "MissingKey",
                f"'{key}' needs '{service}'. Add it to the catalogue, outside 'models', or remove '{key}'.",
            )


def _release(document: Document) -> Release:
    """The release of KAITO by which the entries are judged."""
    written = document.get(("kaito",))
    return next((release for release in ACCESS_SECRETS if release == written), DEFAULT_RELEASE)


def _release_problems(entry: Entry, release: Release) -> Iterator[EntryProblem]:
    """Access secrets that the release refuses, or without which it creates no workspace."""
    preset, rule = entry.model.preset, ACCESS_SECRETS[release]
    if preset is None or not (entry.has("shared") or entry.has("dedicated")):
        return
    if entry.has("accessSecret") and not rule.takes(preset):
        advice = f"KAITO {release} takes no access secret for the preset {quote(preset)}. Remove it."
        yield ("accessSecret",), "NotAllowed", advice
    if preset in rule.needed and not entry.has("accessSecret"):
        advice = f"KAITO {release} needs 'accessSecret' for the preset {quote(preset)}. Add it."
        yield ("preset",), "MissingKey", advice


def workspace_faults(document: Document) -> Iterator[tuple[str, Problem]]:
    """The faults of the workspaces of each entry, with the model's name; none beside a release that cannot be
    read.
    """
    release = _release(document)
    if document.get(("kaito",)) not in (None, release):
        return
    for entry in _entries(document):
        for where, reason, message in _entry_faults(entry, release):
            yield entry.model.name, document.problem(("models", entry.index, *where), reason, message)


def _entry_faults(entry: Entry, release: Release) -> Iterator[EntryProblem]:
    setup, sizes = _setup(entry, release), list(_sizes(entry.model))
    if setup is None or not sizes:
        return
    for key, reason, message in model_faults(setup):
        yield (key,), reason, message
    for where, size in sizes:
        for _, reason, message in size_faults(setup, size):
            yield where, reason, message


def _setup(entry: Entry, release: Release) -> Setup | None:
    model = entry.model
    if model.preset is None or model.provider != "kaito":
        return None
    return Setup(release, model.preset, model.context, model.max_nodes, model.benchmark)


def _sizes(model: ModelSchema) -> Iterator[tuple[KeyPath, str]]:
    """The sizes on which workspaces of the model may run, each with its place."""
    if model.dedicated is not None:
        for index, size in enumerate(model.dedicated.instance_types):
            yield ("dedicated", "instanceTypes", index), size
    if model.shared is not None:
        yield ("shared", "instanceType"), model.shared.instance_type


def _total_problems(entry: Entry, release: Release) -> Iterator[EntryProblem]:
    """Nodes can be counted only where something says how many a workspace takes."""
    setup, asked = _setup(entry, release), entry.model.dedicated
    if setup is None or asked is None or asked.total_nodes is None or setup.max_nodes is not None:
        return
    if any(not isinstance(nodes_of(setup, size), int | str) for size in asked.instance_types):
        advice = "'totalNodes' needs it where nobody knows how many nodes a workspace takes. Add it."
        yield ("dedicated",), "MissingKey", f"'maxNodes' is missing. {advice}"


def _services(document: Document, entries: Entries) -> Iterator[Problem]:
    where: tuple[str, ...] = ("semanticCache", "embeddings")
    named = document.get(where)
    if isinstance(named, str) and named not in entries:
        yield document.problem(where, "UnknownModel", _unknown(named, entries))
    elif isinstance(named, str) and not entries[named].served:
        yield document.problem(
            where, "NotAllowed", f"Nothing serves {quote(named)} to all teams. Name a model with an endpoint."
        )
    elif isinstance(named, str) and not _is_one_foundry_backend(entries[named]):
        advice = (
            "The gateway asks one deployment by its own URL. Name a foundry model with 'endpoint', ending in "
            "/openai/v1."
        )
        yield document.problem(
            where, "NotAllowed", f"{quote(named)} cannot find answers of the same meaning. {advice}"
        )
    where = ("contentSafety", "endpoint")
    url = document.get(where)
    if (
        isinstance(url, str)
        and url.startswith("https://")
        and (problem := host_problem(host_of(url), private=False))
    ):
        yield document.problem(
            where,
            problem[0],
            f"{quote(host_of(url))} must be a public host, such as "
            "contoso-safety.cognitiveservices.azure.com.",
        )
    yield from _bearer_problems(document)
    yield from _repeated_origins(document)
    yield from _prices(document)


def _bearer_problems(document: Document) -> Iterator[Problem]:
    if document.get(("bearerKeys",)) and document.get(("entraTokens",)) is not None:
        advice = "One header cannot hold a key and a token. Leave 'bearerKeys' out, or write false."
        yield document.problem(("bearerKeys",), "NotAllowed", f"'entraTokens' stands here, too. {advice}")


def _prices(document: Document) -> Iterator[Problem]:
    if document.get(("nodePrice",)) and document.get(("currency",)) is None:
        advice = "Prices say nothing without 'currency'. Add it beside 'nodePrice', such as EUR."
        yield document.problem(("nodePrice",), "MissingKey", advice)


def _is_one_foundry_backend(entry: Entry) -> bool:
    endpoint = entry.model.endpoint
    return (
        entry.model.provider == "foundry"
        and (endpoint is None or endpoint.endswith("/openai/v1"))
        and not entry.has("pool")
    )


def _repeated_origins(document: Document) -> Iterator[Problem]:
    found = document.get(("origins",))
    origins: list[object] = found if isinstance(found, list) else []
    for index, origin in enumerate(origins):
        if origin in origins[:index]:
            yield document.problem(
                ("origins", index), "DuplicateOrigin", f"{quote(origin)} stands here twice. Remove one."
            )
