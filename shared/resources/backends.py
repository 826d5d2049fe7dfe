"""The desired backends of API Management, pools of them, and the named values that they need.

A model with one member is one backend; with more it is a pool, and a backend per member. Two more serve the
gateway itself. Each `hashed` is the input of digests (`shared.resources.desired` says why it is spelt out).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.catalog.catalog import Breaker, Catalog, CatalogModel, Member
from shared.errors import AccessDenied
from shared.marker import Marker
from shared.names import (
    CACHE_BACKEND,
    CATALOG_TEAM,
    SAFETY_BACKEND,
    credential,
    member_backend,
    shared_backend,
)
from shared.resources.workspaces import Cluster, workspace_url

#: The secret of the platform's own vault with the key of the content safety resource.
SAFETY_SECRET = "content-safety"  # noqa: S105 - a name
SAFETY_HEADER = "Ocp-Apim-Subscription-Key"


@dataclass(frozen=True, slots=True)
class PoolMember:
    """A backend in a pool: its name, its share in percent of its priority, and the priority, of which the
    smallest is asked first.
    """

    backend: str
    weight: int
    priority: int

    @property
    def hashed(self) -> dict[str, Any]:
        return {"backend": self.backend, "weight": self.weight, "priority": self.priority}


@dataclass(frozen=True, slots=True)
class Credential:
    """A named value that is sent in a header; in `Authorization` as a bearer token."""

    named_value: str
    header: str = "Authorization"

    @property
    def hashed(self) -> dict[str, Any]:
        return {"named_value": self.named_value, "header": self.header}


@dataclass(frozen=True, slots=True)
class Backend:
    """An APIM backend: one OpenAI-compatible base URL, or with `members` a pool, which has no URL.
    `counts_429`: whether its breaker takes a 429 for a failure; backends are compared by their digests, which
    say so. `certificate` is the name of a client certificate in API Management that the gateway shows to the
    backend.
    """

    name: str
    url: str = ""
    breaker: Breaker | None = None
    credential: Credential | None = None
    members: tuple[PoolMember, ...] = ()
    counts_429: bool = field(default=True, compare=False)
    certificate: str | None = None

    @property
    def hashed(self) -> dict[str, Any]:
        shown = {} if self.certificate is None else {"certificate": self.certificate}
        return {
            **shown,
            "name": self.name,
            "url": self.url,
            "breaker": None if self.breaker is None else self._hashed_breaker(self.breaker),
            "credential": None if self.credential is None else self.credential.hashed,
            "members": [each.hashed for each in self.members],
        }

    def _hashed_breaker(self, breaker: Breaker) -> dict[str, Any]:
        """Earlier versions counted 429 everywhere: a breaker that does so has the digest that it had."""
        found = {"failures": breaker.failures, "interval": breaker.interval, "trip": breaker.trip}
        return found if self.counts_429 else {**found, "counts_429": False}

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.hashed, sort_keys=True).encode()).hexdigest()

    def with_digest(self, marker: Marker) -> Marker:
        """The marker that the backend carries, with the backend's digest: lists do not show every field, so
        the digest stands for them.
        """
        return replace(marker, digest=self.digest)


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A secret of the platform's own vault, which the gateway reads by itself. `url` has no version, so that
    it reads it again.
    """

    name: str
    url: str

    @property
    def hashed(self) -> dict[str, Any]:
        return {"name": self.name, "url": self.url}


def catalog_backends(catalog: Catalog, cluster: Cluster | None) -> tuple[Backend, ...]:
    """The backends of all shared models, single ones before the pools that name them."""
    singles = [backend for model in catalog.models for backend in _singles(model, cluster)]
    pools = [_pool(model) for model in catalog.models if _is_pool(model)]
    return (*singles, *_gateways_own(catalog), *pools)


def named_values(catalog: Catalog, vault: str) -> tuple[NamedValue, ...]:
    """The secrets that the catalogue's backends need; `vault` is the URL of the platform's own."""
    wanted = {
        member.credential.lower()
        for model in catalog.models
        for member in model.members
        if member.credential is not None
    }
    if catalog.content_safety is not None:
        wanted.add(SAFETY_SECRET)
    return tuple(
        NamedValue(credential(secret), f"{vault.rstrip('/')}/secrets/{secret}") for secret in sorted(wanted)
    )


def unreadable_secret(url: str, cause: str) -> AccessDenied:
    """The error for a secret that the gateway cannot read: it is not in the vault, or the gateway lacks the
    role. Roles take minutes to work, so settlement tries for a while.
    """
    vault, _, secret = url.partition("/secrets/")
    return AccessDenied(
        f"API Management cannot read the secret {secret!r} of {vault}: put it there, and give the service's "
        f"identity the role Key Vault Secrets User on it. {cause}",
        reason="SecretUnreadable",
    )


def require_readable(causes: Mapping[str, str]) -> None:
    """Raise AccessDenied if there are secrets that the gateway cannot read: `causes` are why, by their
    addresses. The message is about the first one and names the others.
    """
    if not causes:
        return
    url, *others = sorted(causes)
    also = f"; the same of {', '.join(others)}" if others else ""
    raise unreadable_secret(url, causes[url] + also)


def senders(backends: Iterable[Backend], secrets: Container[str]) -> Iterator[Backend]:
    """The backends that send one of these named values."""
    return (
        each for each in backends if each.credential is not None and each.credential.named_value in secrets
    )


def _is_pool(model: CatalogModel) -> bool:
    return any(member.name for member in model.members)


def _singles(model: CatalogModel, cluster: Cluster | None) -> Iterator[Backend]:
    # KAITO answers 429 as soon as more calls wait than a server works on: it is busy, and does not fail.
    counts = model.provider != "kaito"
    for member in model.members:
        secret = None if member.credential is None else Credential(credential(member.credential))
        name = member_backend(model.name, member.name)
        yield Backend(name, member.endpoint, model.breaker, secret, counts_429=counts)
    if model.shared is not None and not model.members and cluster is not None:
        url = workspace_url(cluster, CATALOG_TEAM, model.name)
        yield Backend(
            shared_backend(model.name),
            url,
            model.breaker,
            counts_429=counts,
            certificate=cluster.certificate,
        )


def _pool(model: CatalogModel) -> Backend:
    members = (
        PoolMember(member_backend(model.name, each.name), each.weight, each.priority)
        for each in model.members
    )
    return Backend(
        shared_backend(model.name), members=tuple(sorted(members, key=lambda member: member.backend))
    )


def _gateways_own(catalog: Catalog) -> Iterator[Backend]:
    if catalog.content_safety is not None:
        key = Credential(credential(SAFETY_SECRET), SAFETY_HEADER)
        yield Backend(SAFETY_BACKEND, catalog.content_safety.endpoint.rstrip("/"), credential=key)
    model = None if catalog.cache is None else catalog.model(catalog.cache.embeddings)
    if model is not None and model.members:
        yield Backend(CACHE_BACKEND, _embeddings_url(model.members[0]))


def _embeddings_url(member: Member) -> str:
    """The cache asks one deployment by its own URL: no body names the model.
    https://learn.microsoft.com/azure/api-management/azure-openai-enable-semantic-caching
    """
    return f"{member.endpoint.removesuffix('/v1')}/deployments/{member.served_name}/embeddings"
