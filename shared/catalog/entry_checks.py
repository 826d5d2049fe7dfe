"""Checks of one entry of the catalogue whose keys are valid one by one but not together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared import names
from shared.catalog.catalog_schema import USUAL_CLASSES, MemberSchema, ModelSchema
from shared.catalog.endpoints import host_of, host_problem
from shared.catalog.terms import Classification
from shared.catalog.verbs import SCREENED
from shared.documents.document import KeyPath
from shared.documents.field_types import parse_leniently
from shared.documents.problem import listed, quote
from shared.documents.secret_detection import looks_like_a_key

EntryProblem = tuple[KeyPath, str, str]
"""The path in the entry, a reason and a message."""

#: Keys that only a KAITO model has, and keys that say where the one backend is.
_OF_KAITO = (
    "preset",
    "dedicated",
    "shared",
    "accessSecret",
    "maxNodes",
    "context",
    "toolParser",
    "answerTokens",
    "benchmark",
)
_OF_ONE_BACKEND = ("endpoint", "servedName", "credential")
#: Keys that say how a model is served to all teams.
_OF_SHARED_BACKENDS = ("circuitBreaker", "retries", "fallback", "capacity", "cached")


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as far as it could be read; `raw` has the keys that could not, too."""

    index: int
    model: ModelSchema
    raw: Mapping[str, object]

    def has(self, key: str) -> bool:
        """Whether the key was written, readable or not."""
        return self.raw.get(key) is not None

    @property
    def private(self) -> bool:
        return self.model.provider == "kaito" or bool(self.model.private)

    @property
    def served(self) -> bool:
        """Whether something serves it to all teams."""
        return any(self.has(key) for key in ("endpoint", "pool", "shared"))

    @property
    def classes(self) -> frozenset[Classification]:
        return USUAL_CLASSES if self.model.data_classes is None else frozenset(self.model.data_classes)


def entry_problems(entry: Entry) -> Iterator[EntryProblem]:
    """Everything that is wrong with one entry by itself."""
    yield from _name_problems(entry)
    yield from _backend_problems(entry)
    yield from _kaito_problems(entry) if entry.model.provider == "kaito" else _elsewhere_problems(entry)
    yield from _member_problems(entry)
    yield from _limit_problems(entry)
    yield from _class_problems(entry)
    yield from _retirement_problems(entry)
    yield from _ability_problems(entry)


def _ability_problems(entry: Entry) -> Iterator[EntryProblem]:
    written = entry.model.serves or []
    if len(set(written)) < len(written):
        twice = listed(sorted({each for each in written if written.count(each) > 1}))
        yield ("serves",), "DuplicateAbility", f"What it serves stands here twice: {twice}. Remove one."
    if "tools" in written and not {"chat", "responses"} & set(written):
        advice = "Tools are called in chat and responses. Add one of these, or remove 'tools'."
        yield ("serves",), "NotAllowed", advice
    open_to_all = sorted(set(written) - SCREENED)
    if entry.model.screened and open_to_all:
        advice = (
            "The content safety service reads chat and completions only, so a screened model cannot serve "
            f"{listed(open_to_all)}. Remove that, or 'screened'."
        )
        yield ("serves",), "NotAllowed", advice


def _name_problems(entry: Entry) -> Iterator[EntryProblem]:
    if looks_like_a_key(entry.model.name):
        yield (
            ("name",),
            "SecretInCatalogue",
            "This looks like a key. Write the model's name, and revoke the key: Git keeps it forever.",
        )
    if problem := names.slug_problem(entry.model.name):
        yield ("name",), problem[0], f"{quote(entry.model.name)} cannot be a model's name: {problem[1]}."


def _backend_problems(entry: Entry) -> Iterator[EntryProblem]:
    """One backend, or a pool, or a workspace that the platform runs."""
    if entry.has("pool"):
        yield from _beside_a_pool(entry)
    elif entry.has("credential") and not entry.has("endpoint"):
        yield (
            ("credential",),
            "NotAllowed",
            "'credential' is for the backend at 'endpoint', and there is none. Add it, or remove this.",
        )
    if entry.model.provider == "kaito" and not entry.served:
        yield from _without_shared_backend(entry)


def _beside_a_pool(entry: Entry) -> Iterator[EntryProblem]:
    for key in _OF_ONE_BACKEND:
        if entry.has(key):
            yield (
                (key,),
                "NotAllowed",
                (
                    f"'{key}' and 'pool' exclude each other. With a pool, each of its backends has its own "
                    f"'{key}'."
                ),
            )


def _without_shared_backend(entry: Entry) -> Iterator[EntryProblem]:
    for key in _OF_SHARED_BACKENDS:
        if entry.has(key):
            yield (
                (key,),
                "NotAllowed",
                (
                    f"'{key}' is for models that are served to all teams; this one has only workspaces of a "
                    "team's own."
                ),
            )


def _elsewhere_problems(entry: Entry) -> Iterator[EntryProblem]:
    model = entry.model
    if not entry.has("endpoint") and not entry.has("pool"):
        yield (
            ("name",),
            "MissingKey",
            (
                f"The {model.provider} model {quote(model.name)} has neither 'endpoint' nor 'pool'. Add the "
                "base URL of its backend."
            ),
        )
    for key in _OF_KAITO:
        if entry.has(key):
            yield (
                (key,),
                "NotAllowed",
                f"'{key}' is for kaito models only. Remove it, or set 'provider: kaito'.",
            )


def _kaito_problems(entry: Entry) -> Iterator[EntryProblem]:
    if not entry.served and not entry.has("dedicated"):
        advice = (
            "Add 'endpoint' or 'pool', 'shared' (a workspace that the platform runs), 'dedicated' "
            "(workspaces of a team's own)"
        )
        yield ("name",), "MissingKey", f"Nothing serves this model. {advice}, or several of them."
    for key in ("endpoint", "pool"):
        if entry.has("shared") and entry.has(key):
            yield (
                (key,),
                "NotAllowed",
                (
                    f"'{key}' and 'shared' exclude each other: the address of a workspace of ours is known. "
                    "Remove one."
                ),
            )
    for key, what in (
        ("dedicated", "dedicated workspaces run"),
        ("shared", "the shared workspace runs"),
        ("accessSecret", "needs it"),
        ("maxNodes", "takes them"),
    ):
        if entry.has(key) and not entry.has("preset"):
            yield (
                (key,),
                "MissingKey",
                f"'preset' is missing. Add the KAITO preset that {what}, such as phi-4.",
            )
    if entry.model.private is False:
        yield (
            ("private",),
            "NotAllowed",
            "A kaito model does not leave the company's own network. Write true, or remove the line.",
        )


def _members(entry: Entry) -> Iterator[tuple[KeyPath, MemberSchema]]:
    """The backends that could be read, each with its place."""
    pool = entry.raw.get("pool")
    for index, raw in enumerate(pool if isinstance(pool, list) else []):
        member = parse_leniently(MemberSchema, raw)
        if member is not None:
            yield ("pool", index), member
    model = entry.model
    if model.endpoint is not None:
        yield (), MemberSchema(name="one", endpoint=model.endpoint, credential=model.credential)


def _member_problems(entry: Entry) -> Iterator[EntryProblem]:
    seen: set[str] = set()
    served: set[str] = set()
    weights: dict[int, list[tuple[KeyPath, int | None]]] = defaultdict(list)
    for where, member in _members(entry):
        yield from (
            ((*where, *key), reason, message) for key, reason, message in _member_problem(entry, member)
        )
        if member.name in seen:
            yield (
                (*where, "name"),
                "DuplicateMember",
                f"The name {quote(member.name)} stands in this pool twice. Rename one of the two.",
            )
        seen.add(member.name)
        served.add(member.served_name or entry.model.name)
        if len(served) > 1:
            advice = (
                "The gateway names the model in the call before it chooses among the backends of a pool, so "
                "all must call it the same."
            )
            yield (
                (*where, "servedName"),
                "ServedNamesDiffer",
                f"{advice} Write one name, or make two models of it.",
            )
            served.pop()
        weights[member.priority].append((where, member.weight))
    for priority, found in sorted(weights.items()):
        yield from _weight_problems(priority, found)


def _member_problem(entry: Entry, member: MemberSchema) -> Iterator[EntryProblem]:
    scheme, host = member.endpoint.partition("://")[0], host_of(member.endpoint)
    if problem := host_problem(host, entry.private):
        yield ("endpoint",), problem[0], f"{quote(host)} {problem[1]}."
    elif scheme == "http" and not entry.private:
        yield (
            ("endpoint",),
            "BadUrl",
            (
                "A backend outside the company's own network must begin with https://: prompts and "
                "credentials travel there."
            ),
        )
    elif scheme == "http" and member.credential is not None:
        yield (
            ("endpoint",),
            "BadUrl",
            (
                "A backend that is sent a credential must begin with https://, or the credential can be read "
                "on the way."
            ),
        )
    if member.credential is not None and entry.model.provider != "openai":
        yield (
            ("credential",),
            "NotAllowed",
            (
                "'credential' is for openai models only: foundry takes the gateway's own identity, kaito "
                "nothing."
            ),
        )


def _weight_problems(priority: int, found: list[tuple[KeyPath, int | None]]) -> Iterator[EntryProblem]:
    given = [weight for _, weight in found if weight is not None]
    where = next((where for where, weight in found if weight is not None), ())
    if given and len(given) < len(found):
        yield (
            where,
            "WrongWeights",
            (
                f"Of the backends with priority {priority} some have a weight and some have none. Give each "
                "one, or none."
            ),
        )
    elif given and sum(given) != 100:
        sums = " + ".join(map(str, given))
        yield (
            where,
            "WrongWeights",
            (
                f"The weights of the backends with priority {priority} must add up to 100; {sums} = "
                f"{sum(given)}."
            ),
        )


def _limit_problems(entry: Entry) -> Iterator[EntryProblem]:
    capacity, ceiling = entry.model.capacity, entry.model.max_tokens_per_minute
    if entry.has("capacity") and not entry.has("maxTokensPerMinute"):
        advice = (
            "'maxTokensPerMinute' is missing: without a team's ceiling one request without a limit could "
            "have all of the capacity."
        )
        yield ("capacity",), "MissingKey", advice
    if capacity is not None and ceiling is not None and capacity < ceiling:
        yield (
            ("capacity",),
            "BelowCeiling",
            (
                f"One team may have {ceiling:,} tokens per minute, which is more than all may have: "
                f"{capacity:,}."
            ),
        )


def _class_problems(entry: Entry) -> Iterator[EntryProblem]:
    written = entry.model.data_classes or []
    if len(set(written)) < len(written):
        yield (
            ("dataClasses",),
            "DuplicateClass",
            (
                "A class of data stands here twice: "
                f"{listed(sorted({name for name in written if written.count(name) > 1}))}. Remove one."
            ),
        )
    if "restricted" in written and not entry.private:
        advice = (
            "Restricted data may not leave the company's own network. Remove 'restricted', or write "
            "'private: true' if it runs there."
        )
        yield ("dataClasses",), "NotPrivate", advice
    if "restricted" in written and entry.model.cached:
        yield (
            ("cached",),
            "NotAllowed",
            (
                "Answers about restricted data are not kept. Remove 'cached', or 'restricted' from "
                "'dataClasses'."
            ),
        )


def _retirement_problems(entry: Entry) -> Iterator[EntryProblem]:
    if entry.has("retiresOn") and not entry.has("successor"):
        yield (
            ("retiresOn",),
            "MissingKey",
            "'successor' is missing. Add the model that teams shall use instead.",
        )
    if entry.has("successor") and not entry.has("retiresOn"):
        yield (
            ("successor",),
            "MissingKey",
            "'retiresOn' is missing. Add the last day on which this model is served, such as 2027-03-31.",
        )
