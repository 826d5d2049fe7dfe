"""Every remote name, in one table.

Names are injective: no two (team, model) pairs share a name of one kind. A team name holds no double dash and
neither starts nor ends with a dash, and the same is true of a model's slug, so `--` separates them without
doubt. Secret names end in three suffixes of which none is an ending of another, so a secret name belongs to
one team and one purpose.
"""

from __future__ import annotations

import hashlib
import re

API = "ai"
BEARER_API = "ai-bearer"
"""The API of clients that send their key as a bearer token."""
PROBE = "mergekey-probe"
"""The product and the subscription with which the platform tries that API."""
FRAGMENT = "requested-model"
CATALOG_TEAM = "catalogue"
RESERVED = frozenset({CATALOG_TEAM, "platform", "all"})

#: The API, backend, product and subscription by which roads are asked through API Management
#: (infra/roads.json). No team's object is called so: theirs begin with `team-`.
ROADS = "mergekey-roads"

SHARED_PREFIX = "shared--"
"""The prefix of the catalogue's backends. Two of them serve the gateway itself and no model:"""
SAFETY_BACKEND, CACHE_BACKEND = SHARED_PREFIX + "content-safety", SHARED_PREFIX + "semantic-cache"
CREDENTIAL_PREFIX = "credential--"

TEAM_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
MODEL_PATTERN = r"^[A-Za-z][A-Za-z0-9]*([._/-][A-Za-z0-9]+)*$"

FOLDER_PREFIX = "team-"
"""A team's folder may begin with it. Its name may not, or one folder could stand for two teams."""

MIN_TEAM_LENGTH, MAX_TEAM_LENGTH = 3, 40
MAX_MODEL_LENGTH = 64
MAX_BACKEND_LENGTH = 80
"""API Management's limit; with the longest team it leaves this much for a model's slug:"""
MAX_SLUG_LENGTH = MAX_BACKEND_LENGTH - MAX_TEAM_LENGTH - len("team-" + "--")
MAX_LABEL_LENGTH = 63
"""Kubernetes' limit for the value of a label."""
MAX_MEMBER_LENGTH = MAX_BACKEND_LENGTH - MAX_SLUG_LENGTH - len("shared--" + "--")


def team_problem(team: str) -> tuple[str, str] | None:
    """Why the text cannot be a team's name, as (reason, message); None when it can."""
    if not MIN_TEAM_LENGTH <= len(team) <= MAX_TEAM_LENGTH:
        return (
            "BadTeamName",
            f"a team name has {MIN_TEAM_LENGTH} to {MAX_TEAM_LENGTH} characters; this one has {len(team)}",
        )
    if not re.fullmatch(TEAM_PATTERN, team):
        return (
            "BadTeamName",
            (
                "a team name has lower-case letters a-z, digits and single dashes between them, and starts "
                "with a letter"
            ),
        )
    if team.startswith(FOLDER_PREFIX):
        return (
            "BadTeamName",
            (
                f"a team name does not begin with '{FOLDER_PREFIX}': only the folder may; write "
                f"'{team.removeprefix(FOLDER_PREFIX)}'"
            ),
        )
    if team in RESERVED:
        return "ReservedName", f"the name '{team}' is reserved for the platform; choose another team name"
    return None


def member_problem(member: str) -> tuple[str, str] | None:
    """Why the text cannot be the name of a pool's member, as (reason, message); None when it can."""
    if len(member) <= MAX_MEMBER_LENGTH and re.fullmatch(TEAM_PATTERN, member):
        return None
    return "BadMemberName", (
        f"a member's name has up to {MAX_MEMBER_LENGTH} lower-case letters, digits and single dashes between "
        "them, and starts with a letter"
    )


def model_problem(model: str) -> tuple[str, str] | None:
    """Why the text cannot be a model's name, as (reason, message); None when it can."""
    if len(model) > MAX_MODEL_LENGTH:
        return (
            "BadModelName",
            f"a model name has at most {MAX_MODEL_LENGTH} characters; this one has {len(model)}",
        )
    if not re.fullmatch(MODEL_PATTERN, model):
        return "BadModelName", (
            "a model name starts with a letter and has letters, digits and single dots, dashes, underscores "
            "or slashes between them"
        )
    return None


def slug_problem(model: str) -> tuple[str, str] | None:
    """Why a valid model name gives no usable slug, as (reason, message); None when it does."""
    text = slug(model)
    if len(text) > MAX_SLUG_LENGTH:
        return (
            "BadModelName",
            (
                f"in remote names it is '{text}', which is longer than {MAX_SLUG_LENGTH}; shorten it, and "
                "give the full name as servedName"
            ),
        )
    if SHARED_PREFIX + text in (SAFETY_BACKEND, CACHE_BACKEND):
        return "BadModelName", f"the remote name '{text}' is the gateway's own"
    if text.endswith("-headless"):
        return "BadModelName", "KAITO gives the ending 'headless' to a service of its own"
    return None


def slug(model: str) -> str:
    """The model's name as a DNS label: lower case, everything else than a-z and 0-9 a single dash, no dash at
    the ends.
    """
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")


PRODUCT_PREFIX = "team-"


def product(team: str) -> str:
    """The team's API Management product."""
    return f"{PRODUCT_PREFIX}{team}"


def team_named_in(name: str) -> str | None:
    """The team whose product or namespace has this name; None when it is no team's."""
    team = name.removeprefix(PRODUCT_PREFIX)
    return team if team != name and team_problem(team) is None else None


def subscription(team: str) -> str:
    """The team's API Management subscription, which holds its keys."""
    return f"team-{team}"


def mirror(of: str) -> str:
    """The subscription with the keys of another one as bearer tokens. No team's name has a double dash."""
    return f"{of}--bearer"


def backend(team: str, model: str) -> str:
    """The API Management backend of the team's own workspace for a model."""
    return f"team-{team}--{slug(model)}"


def shared_backend(model: str) -> str:
    """The API Management backend that serves a model to all teams."""
    return f"{SHARED_PREFIX}{slug(model)}"


def member_backend(model: str, member: str) -> str:
    """The API Management backend of one member of a model's pool; the pool itself is the model's shared
    backend.
    """
    return f"{shared_backend(model)}--{member}" if member else shared_backend(model)


def credential(secret: str) -> str:
    """The API Management named value that points to a secret of the platform's own vault. Vaults do not tell
    capitals apart.
    """
    return f"{CREDENTIAL_PREFIX}{secret.lower()}"


def primary_key_secret(team: str) -> str:
    """The Key Vault secret with the team's first key."""
    return f"{team}-primary-key"


def secondary_key_secret(team: str) -> str:
    """The Key Vault secret with the team's second key."""
    return f"{team}-secondary-key"


def endpoint_secret(team: str) -> str:
    """The Key Vault secret with the address that the team calls."""
    return f"{team}-endpoint"


def project(team: str) -> str:
    """The team's Foundry project."""
    return f"team-{team}"


def team_of_project(name: str) -> str | None:
    """The team whose project it is, by its name; None for a name that we do not give."""
    team = name.removeprefix("team-")
    return team if name == project(team) and team_problem(team) is None else None


def key_secrets(team: str) -> tuple[str, str]:
    """Those of the team's Key Vault secrets that hold keys: primary, secondary."""
    return primary_key_secret(team), secondary_key_secret(team)


def secrets(team: str) -> tuple[str, str, str]:
    """All of the team's Key Vault secrets: primary key, secondary key, endpoint."""
    return (*key_secrets(team), endpoint_secret(team))


def namespace(team: str) -> str:
    """The team's Kubernetes namespace."""
    return f"team-{team}"


def workspace(model: str) -> str:
    """The KAITO workspace, its service and its route, inside a team's namespace."""
    return slug(model)


def node_label(team: str, model: str) -> str:
    """The label of the nodes of a team's workspace: KAITO copies it from the workspace's selector, which is
    immutable.
    """
    text = f"{namespace(team)}--{workspace(model)}"
    return (
        text
        if len(text) <= MAX_LABEL_LENGTH
        else f"{text[:50]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    )
