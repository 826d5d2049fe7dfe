"""The part of `SECURITY.md` that says what each identity may do.

`python -m tests.docs.security_page` writes it anew from the table of roles, the rules of the cluster and the
manifest of the GitHub App. A test compares the page with what this would write.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from tests.conftest import ROOT

PAGE = ROOT / "SECURITY.md"
BEGIN, END = "<!-- what each identity may do: begin -->", "<!-- what each identity may do: end -->"
TABLE: Mapping[str, Any] = json.loads((ROOT / "infra" / "roles.json").read_text())
#: A place of the table of roles, as people call it.
PLACES = {
    "api_management": "API Management",
    "teams_vault": "the teams' vault",
    "platform_vault": "the platform's vault",
    "gateway_vault": "the gateway's vault",
    "webhook_storage": "the webhook's storage account",
    "workers_storage": "the workers' storage account",
    "questions_storage": "the storage account of questions",
    "topics": "each topic of Service Bus",
    "queues": "each queue of Service Bus",
    "sweeps": "the queue `sweeps`",
    "dead_letters": "the queue `dead-letters`",
    "subscriptions": "each subscription of the topic",
    "scaled_bus": "the Service Bus namespace, with `scaler_manages_bus`",
    "foundry_accounts": "each Foundry account of the catalogue",
    "playground": "the Foundry account for playgrounds",
    "traces": "the Application Insights for playgrounds",
    "function_apps": "each function app",
    "cluster": "the AKS cluster",
}


def written() -> str:
    """The tables, with the lines that mark their place."""
    parts = [_identities(), _own_roles(), _cluster(), _github()]
    return "\n\n".join((BEGIN, *parts, END))


def _identities() -> str:
    rows = (
        (f"`{row['who']}`", PLACES[row["at"]], _role(row), row["why"])
        for row in TABLE["assignments"].values()
    )
    return _table(("identity", "where", "role", "for what"), rows)


def _role(row: Mapping[str, str]) -> str:
    return row["role"] if row["role"] in TABLE["own_roles"] else f"*{row['role']}*"


def _own_roles() -> str:
    """The roles that are not Azure's own, action by action."""
    rows = (
        (name, f"`{kind}`", ", ".join(sorted(verbs)))
        for name, role in TABLE["own_roles"].items()
        for kind, verbs in _by_kind((*role["actions"], *role["data_actions"])).items()
    )
    return f"Roles of our own, in full:\n\n{_table(('role', 'may', ''), rows)}"


def _by_kind(actions: Iterable[str]) -> Mapping[str, list[str]]:
    """Verbs by what they are for: `Microsoft.X/y/listSecrets/action` is a verb too."""
    found = defaultdict[str, list[str]](list)
    for action in actions:
        kind, _, verb = action.removesuffix("/action").rpartition("/")
        found[kind].append(verb)
    return found


def _cluster() -> str:
    files = sorted((ROOT / "infra" / "kubernetes").glob("*.yaml"))
    documents = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    rows = (
        (f"`{role['metadata']['name']}`", f"`{'/'.join(filter(None, (group, resource)))}`", ", ".join(verbs))
        for role in documents
        if role["kind"] == "ClusterRole"
        for verbs, group, resource in _rules(role)
    )
    said = (
        "Inside the cluster; the workers (`mergekey`) write only in namespaces `team-*` that carry its label:"
    )
    return f"{said}\n\n{_table(('role', 'objects', 'may'), rows)}"


def _rules(role: Mapping[str, Any]) -> Iterator[tuple[list[str], str, str]]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield rule["verbs"], group, resource


def _github() -> str:
    manifest = json.loads((ROOT / "infra" / "github-app.json").read_text())
    rows = ((f"`{name}`", level) for name, level in manifest["default_permissions"].items())
    return f"At GitHub, in the one repository of requests:\n\n{_table(('permission', 'level'), rows)}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def inserted(page: str) -> str:
    """The page with the part that is written here."""
    before, _, rest = page.partition(BEGIN)
    return before + written() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE.read_text()))
