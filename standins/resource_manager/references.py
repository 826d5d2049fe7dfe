"""What policies and fragments name: backends, fragments, named values. The service refuses to delete what one of them names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from standins.resource_manager import policy_document
from standins.resource_manager.arm import ArmError, Json
from standins.resource_manager.state import State

#: `{{name}}` anywhere in a policy.
NAMED_VALUE = re.compile(r"\{\{([A-Za-z0-9-._]+)\}\}")

#: How a policy names something: the tag and the attribute.
By = tuple[str, str]
BACKEND: By = ("set-backend-service", "backend-id")
FRAGMENT: By = ("include-fragment", "fragment-id")


def naming(state: State, service: str, row: Json, by: By) -> list[Json]:
    """The policies and fragments that name the row."""
    wanted = row["name"].lower()

    def named(text: str) -> bool:
        found = wanted in text.lower() and policy_document.kept(text).references(*by)
        return any(name.lower() == wanted for _, name in found or ())

    return [user for user in _texts(state, service) if named(user["properties"]["value"])]


def inserting(state: State, service: str, row: Json) -> list[Json]:
    """The policies and fragments in which `{{name}}` of this named value stands."""
    wanted = row["name"].lower()
    return [user for user in _texts(state, service) if wanted in map(str.lower, NAMED_VALUE.findall(user["properties"]["value"]))]


def refuse_used(what: str, row: Json, service: str, users: Iterable[Json]) -> None:
    """400 when there is a user."""
    lines = "".join(f"{user['id'][len(service) :]}\r\n" for user in users)
    if lines:
        raise ArmError(400, "ValidationError", f"The {what} '{row['name']}' is used by the following entities:\r\n{lines}")


def _texts(state: State, service: str) -> list[Json]:
    return [*state.policies.under(service), *state.fragments.under(service)]
