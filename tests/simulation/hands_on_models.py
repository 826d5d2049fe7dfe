"""What people do by hand to what serves the models, as far as the service lets them: backends, pools,
members, secrets, the fragment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from shared import names
from shared.resources.actual import ActualBackend, ActualNamedValue
from tests.fakes.gateway import Policy
from tests.simulation.scene import Scene

Foreign = tuple[str, str]
ELSEWHERE = "https://elsewhere.example/v1"
#: Where somebody keeps a secret that is not the platform's.
OTHER_VAULT = "https://elsewhere.vault.azure.net/secrets/theirs"


class HandsOnModels:
    """Edits what carries our marker. Each says whether there was anything to edit."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._state = scene.app.gateway.state

    def _ours(self) -> Iterator[ActualBackend]:
        return (
            found
            for name, found in self._state.backends.items()
            if name.startswith(names.SHARED_PREFIX) and found.marker is not None
        )

    def _some(self, found: list[ActualBackend]) -> ActualBackend | None:
        return self._scene.chance.choice(found) if found else None

    def _put(self, backend: ActualBackend) -> None:
        self._state.backends[backend.name] = replace(backend, etag=self._scene.app.gateway._etag())

    def _pool(self) -> ActualBackend | None:
        return self._some([found for found in self._ours() if len(found.members) > 1])

    def redirects(self) -> bool:
        found = self._some([found for found in self._ours() if found.url])
        if found is not None:
            self._put(replace(found, url=ELSEWHERE))
        return found is not None

    def takes_breaker_away(self) -> bool:
        found = self._some([found for found in self._ours() if found.breaker is not None])
        if found is not None:
            self._put(replace(found, breaker=None))
        return found is not None

    def writes_into_description(self) -> bool:
        """And takes the digest of our marker away."""
        found = self._some(list(self._ours()))
        if found is not None and found.marker is not None:
            self._put(replace(found, marker=found.marker.unfinished()))
        return found is not None

    def weighs_otherwise(self) -> bool:
        pool = self._pool()
        if pool is not None:
            self._put(
                replace(
                    pool, members=tuple(replace(member, weight=50, priority=1) for member in pool.members)
                )
            )
        return pool is not None

    def takes_out_of_pool(self) -> bool:
        pool = self._pool()
        if pool is not None:
            self._put(replace(pool, members=pool.members[1:]))
        return pool is not None

    def deletes_member(self) -> bool:
        """Which goes only when it is out of its pool."""
        pool = self._pool()
        if pool is not None:
            self._put(replace(pool, members=pool.members[1:]))
            self._delete(pool.members[0].backend)
        return pool is not None

    def deletes_model(self) -> bool:
        """Pool or backend, when the API's policy, which names it, is gone."""
        found = self._some(
            [found for found in self._ours() if found.name not in (names.SAFETY_BACKEND, *self._pooled())]
        )
        if found is not None:
            self._state.api_policies.pop(names.API, None)
            self._delete(found.name)
        return found is not None

    def edits_policy(self) -> bool:
        """Of the API: what it refuses, it lets through."""
        policy = self._state.api_policies.get(names.API)
        if policy is not None:
            text = policy.text.replace('code="403"', 'code="200"')
            self._state.api_policies[names.API] = Policy(text, self._scene.app.gateway._etag())
        return policy is not None

    def opens(self) -> bool:
        """The API: it asks for no keys, or looks for them elsewhere."""
        found = self._state.apis.get(names.API)
        if found is not None and found.marker is not None:
            changed = self._scene.chance.choice(
                (replace(found, subscription_required=False), replace(found, key_names=("x-key", "key")))
            )
            self._state.apis[names.API] = replace(changed, etag=self._scene.app.gateway._etag())
        return found is not None and found.marker is not None

    def edits_fragment(self) -> bool:
        """Every call is one of the same model."""
        there = names.FRAGMENT in self._state.fragments
        if there:
            self._state.fragments[names.FRAGMENT] = (
                '<fragment><set-variable name="requested-model" value="gpt-4.1" /></fragment>'
            )
        return there

    def deletes_fragment(self) -> bool:
        """With the policies that include it: before, the service does not let it go."""
        there = self._state.fragments.pop(names.FRAGMENT, None) is not None
        if there:
            self._state.policies.clear()
            self._scene.bared = self._scene.loop.time()
        return there

    def _pooled(self) -> set[str]:
        return {member.backend for found in self._state.backends.values() for member in found.members}

    def _delete(self, backend: str) -> None:
        del self._state.backends[backend]
        self._state.credentials.pop(backend, None)

    def redirects_secret(self) -> bool:
        """To another vault, or to none: then the value stands in the gateway itself. Or the gateway lost its
        role for a moment, in which it read the secret: it says so until it reads it again.
        """
        found = self._some_secret()
        if found is not None:
            changed = self._scene.chance.choice(
                (
                    replace(found, url=OTHER_VAULT),
                    replace(found, url=""),
                    replace(found, unreadable="ForbiddenByRbac"),
                )
            )
            self._state.named_values[found.name] = replace(changed, etag=self._scene.app.gateway._etag())
        return found is not None

    def deletes_secret(self) -> bool:
        """When no backend sends it any more."""
        found = self._some_secret()
        if found is not None:
            for backend in [
                backend for backend, value in self._state.credentials.items() if value == found.name
            ]:
                del self._state.credentials[backend]
            del self._state.named_values[found.name]
        return found is not None

    def _some_secret(self) -> ActualNamedValue | None:
        ours = [found for found in self._state.named_values.values() if found.ours]
        return self._scene.chance.choice(ours) if ours else None

    # ---------------------------------------------------------------------------------------------- strangers

    def makes_backend(self) -> Foreign | None:
        """One that the catalogue never names, or one that it names now and then."""
        name = self._scene.chance.choice(
            ("shared--house", "shared--gpt-4-1--house", "shared--gpt-4-1--spare", "shared--claude--three")
        )
        if name in self._state.backends or not self._stands():
            return None
        self._state.backends[name] = ActualBackend(
            name, self._scene.app.gateway._etag(), "https://theirs.example/v1", None
        )
        return "backend", name

    def makes_secret(self) -> Foreign | None:
        name = names.credential(self._scene.chance.choice(("house", "claude-two")))
        if name in self._state.named_values or not self._stands():
            return None
        self._state.named_values[name] = ActualNamedValue(
            name, self._scene.app.gateway._etag(), OTHER_VAULT, ours=False
        )
        return "named value", name

    def _stands(self) -> bool:
        """Nobody comes before the platform does."""
        api = self._state.apis.get(names.API)
        return api is not None and api.marker is not None and api.marker.digest != ""


EDITS: dict[str, Callable[[HandsOnModels], bool]] = {
    "backend of a model redirected": HandsOnModels.redirects,
    "circuit breaker taken away": HandsOnModels.takes_breaker_away,
    "backend described anew": HandsOnModels.writes_into_description,
    "pool weighed otherwise": HandsOnModels.weighs_otherwise,
    "member taken out": HandsOnModels.takes_out_of_pool,
    "member deleted": HandsOnModels.deletes_member,
    "model deleted": HandsOnModels.deletes_model,
    "API asks for no keys": HandsOnModels.opens,
    "policy of the API edited": HandsOnModels.edits_policy,
    "fragment edited": HandsOnModels.edits_fragment,
    "fragment deleted": HandsOnModels.deletes_fragment,
    "secret of a backend redirected": HandsOnModels.redirects_secret,
    "secret of a backend deleted": HandsOnModels.deletes_secret,
}
STRANGERS: dict[str, Callable[[HandsOnModels], Foreign | None]] = {
    "backend of a model": HandsOnModels.makes_backend,
    "named value": HandsOnModels.makes_secret,
}
