"""What policies and fragments name: backends, fragments, named values. The service refuses to delete what one
of them names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from standins.resource_manager import policy_document
from standins.resource_manager.arm import ArmError, Json
from standins.resource_manager.state import State

#: `{{name}}` anywhere in a policy.
NAMED_VALUE = re.compile(r"\{\{([A-Za-z0-9-._]+)\}\}")

#: How a policy names something: the tag and the attribute.
By = tuple[str, str]
BACKEND: tuple[By, ...] = (
    ("set-backend-service", "backend-id"),
    ("llm-content-safety", "backend-id"),
    ("llm-semantic-cache-lookup", "embeddings-backend-id"),
)
FRAGMENT: tuple[By, ...] = (("include-fragment", "fragment-id"),)


def naming(state: State, service: str, row: Json, ways: tuple[By, ...]) -> list[Json]:
    """The policies and fragments that name the row."""
    wanted = row["name"].lower()

    def named(text: str) -> bool:
        document = policy_document.kept(text) if wanted in text.lower() else None
        return document is not None and any(
            name.lower() == wanted for by in ways for _, name in document.references(*by)
        )

    return [user for user in _texts(state, service) if named(user["properties"]["value"])]


def inserting(state: State, service: str, row: Json) -> list[Json]:
    """The policies, fragments and backends in which `{{name}}` of this named value stands."""
    wanted = {row["name"].lower(), row["properties"]["displayName"].lower()}
    written = [(user, user["properties"]["value"]) for user in _texts(state, service)]
    written += [
        (user, json.dumps(user["properties"].get("credentials"))) for user in state.backends.under(service)
    ]
    return [user for user, text in written if wanted & set(map(str.lower, NAMED_VALUE.findall(text)))]


def pools_of(state: State, service: str, row: Json) -> list[Json]:
    """The pools in which a backend is."""
    wanted = row["id"].lower()
    members = [
        (pool, (pool["properties"].get("pool") or {}).get("services", ()))
        for pool in state.backends.under(service)
    ]
    return [pool for pool, services in members if any(each["id"].lower() == wanted for each in services)]


def refuse_used(what: str, row: Json, service: str, users: Iterable[Json]) -> None:
    """400 when there is a user."""
    lines = "".join(f"{user['id'][len(service) :]}\r\n" for user in users)
    if lines:
        raise ArmError(
            400,
            "ValidationError",
            f"The {what} '{row['name']}' is used by the following entities:\r\n{lines}",
        )


def _texts(state: State, service: str) -> list[Json]:
    return [*state.policies.under(service), *state.fragments.under(service)]
