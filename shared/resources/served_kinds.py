"""The kinds of objects that a cluster serves, and those that are needed before a GPU is paid for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import KindNotServed
from shared.resources.workspaces import API_VERSION, ROUTE_VERSION, Manifest

#: The apiVersion and the kind of an object.
TypeName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ServedKinds:
    """What a cluster serves of KAITO and Gateway API, in the versions that we use. Kubernetes' own kinds are
    not among them: every cluster serves those.
    """

    cluster: str
    types: frozenset[TypeName]

    def first_missing(self, needed: Iterable[TypeName]) -> KindNotServed | None:
        """The error for the first kind that is not served, None if all are."""
        missing = (each for each in needed if each not in self.types)
        return next((KindNotServed(self.cluster, *each) for each in missing), None)


#: The kinds without which no team gets a workspace.
NEEDED: tuple[TypeName, ...] = ((API_VERSION, "Workspace"), (ROUTE_VERSION, "HTTPRoute"))


def types_of(manifests: Iterable[Manifest]) -> tuple[TypeName, ...]:
    """The kinds of these objects, each once."""
    return tuple(dict.fromkeys((each["apiVersion"], each["kind"]) for each in manifests))
