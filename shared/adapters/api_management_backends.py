"""Backends, pools of them, and named values of API Management, api-version 2024-05-01.

https://learn.microsoft.com/rest/api/apimanagement/backend and
https://learn.microsoft.com/rest/api/apimanagement/named-value
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.adapters.answers import text
from shared.adapters.azure_sdk import OperationTimeout, all_rows, wait_for_operation
from shared.adapters.translate import understood
from shared.catalog.catalog import Breaker
from shared.errors import Rejected
from shared.marker import Marker, parse_marker
from shared.resources.actual import ActualBackend, ActualNamedValue
from shared.resources.backends import Backend, Credential, NamedValue, PoolMember, unreadable_secret

if TYPE_CHECKING:
    from azure.mgmt.apimanagement.aio import ApiManagementClient
    from azure.mgmt.apimanagement.models import (
        BackendCircuitBreaker,
        BackendContract,
        BackendCredentialsContract,
    )

SYSTEM = "API Management"

#: The statuses that trip a circuit breaker, by whether it counts those of a busy backend: Backend.counts_429.
_FAILURES = {True: ((429, 429), (500, 599)), False: ((500, 599),)}
#: Calls without an answer count too; whether a breaker counts them without this is not documented.
_ERRORS = ("BackendConnectionFailure", "Timeout")


class Backends:
    """The operations on backends of an API Management service. `at` is its resource group and name."""

    def __init__(
        self, client: ApiManagementClient, service_id: str, at: tuple[str, str], patience: OperationTimeout
    ) -> None:
        self._client = client
        self._service_id = service_id.rstrip("/")
        self._at = at
        self._patience = patience

    async def backends(self, prefix: str) -> list[ActualBackend]:
        with understood(SYSTEM):
            listed = self._client.backend.list_by_service(*self._at, filter=f"startswith(name,'{prefix}')")
            return [_actual(found) for found in await all_rows(SYSTEM, listed)]

    async def put_backend(self, backend: Backend, marker: Marker, etag: str | None) -> None:
        body = self._contract(backend, marker)
        with understood(SYSTEM):
            await self._client.backend.create_or_update(*self._at, backend.name, body, if_match=etag)

    async def delete_backend(self, name: str, etag: str) -> None:
        with understood(SYSTEM):
            await self._client.backend.delete(*self._at, name, etag)

    async def named_values(self, prefix: str, repository: int) -> list[ActualNamedValue]:
        """The service filters named values by tag and display name only, and lists them without values."""
        with understood(SYSTEM):
            listed = await all_rows(SYSTEM, self._client.named_value.list_by_service(*self._at))
            return [
                _actual_value(found, _tag(repository))
                for found in listed
                if text(found.name).startswith(prefix)
            ]

    async def put_named_value(self, value: NamedValue, repository: int, etag: str | None) -> str:
        """With the service's own identity, which needs the role to read secrets of that vault:
        https://github.com/hashicorp/terraform-provider-azurerm/issues/19255.
        """
        from azure.mgmt.apimanagement.models import KeyVaultContractCreateProperties, NamedValueCreateContract

        vault = KeyVaultContractCreateProperties(secret_identifier=value.url)
        body = NamedValueCreateContract(
            display_name=value.name, secret=True, key_vault=vault, tags=[_tag(repository)]
        )
        begin = self._client.named_value.begin_create_or_update
        try:
            with understood(SYSTEM):
                written = await wait_for_operation(
                    SYSTEM, self._patience, begin, *self._at, value.name, body, if_match=etag
                )
                return _unreadable(written.key_vault)
        except Rejected as error:
            # The service reads the secret at once, and says in no code of its own that it could not.
            raise unreadable_secret(value.url, error.message) from None

    async def delete_named_value(self, name: str, etag: str) -> None:
        with understood(SYSTEM):
            await self._client.named_value.delete(*self._at, name, etag)

    def _contract(self, backend: Backend, marker: Marker) -> BackendContract:
        from azure.mgmt.apimanagement.models import (
            BackendBaseParametersPool,
            BackendContract,
            BackendPoolItem,
        )

        description = str(backend.with_digest(marker))
        if backend.members:
            items = [
                BackendPoolItem(
                    id=f"{self._service_id}/backends/{each.backend}",
                    weight=each.weight,
                    priority=each.priority,
                )
                for each in backend.members
            ]
            return BackendContract(
                description=description,
                type_properties_type="Pool",
                pool=BackendBaseParametersPool(services=items),
            )
        return BackendContract(
            url=backend.url,
            protocol="http",
            description=description,
            circuit_breaker=None
            if backend.breaker is None
            else _breaker(backend.breaker, _FAILURES[backend.counts_429]),
            credentials=self._credentials(backend),
        )

    def _credentials(self, backend: Backend) -> BackendCredentialsContract | None:
        """A certificate is named by its resource id: by its thumbprint it would be lost when it is renewed in
        its vault.
        """
        from azure.mgmt.apimanagement.models import BackendCredentialsContract

        found = None if backend.credential is None else _credentials(backend.credential)
        if backend.certificate is not None:
            found = found or BackendCredentialsContract()
            found.certificate_ids = [f"{self._service_id}/certificates/{backend.certificate}"]
        return found


def _breaker(breaker: Breaker, failures: tuple[tuple[int, int], ...]) -> BackendCircuitBreaker:
    from azure.mgmt.apimanagement.models import (
        BackendCircuitBreaker,
        CircuitBreakerFailureCondition,
        CircuitBreakerRule,
        FailureStatusCodeRange,
    )

    condition = CircuitBreakerFailureCondition(
        count=breaker.failures,
        interval=timedelta(seconds=breaker.interval),
        status_code_ranges=[FailureStatusCodeRange(min=least, max=most) for least, most in failures],
        error_reasons=list(_ERRORS),
    )
    trip = timedelta(seconds=breaker.trip)
    rule = CircuitBreakerRule(
        name="failures", failure_condition=condition, trip_duration=trip, accept_retry_after=True
    )
    return BackendCircuitBreaker(rules=[rule])


def _credentials(credential: Credential) -> BackendCredentialsContract:
    from azure.mgmt.apimanagement.models import (
        BackendAuthorizationHeaderCredentials,
        BackendCredentialsContract,
    )

    value = f"{{{{{credential.named_value}}}}}"
    if credential.header == "Authorization":
        return BackendCredentialsContract(
            authorization=BackendAuthorizationHeaderCredentials(scheme="Bearer", parameter=value)
        )
    return BackendCredentialsContract(header={credential.header: [value]})


def _actual(contract: Any) -> ActualBackend:
    services = contract.pool.services if contract.pool else None
    members = (
        PoolMember(each.id.rpartition("/")[2], each.weight or 0, each.priority or 0)
        for each in services or ()
    )
    ordered = tuple(sorted(members, key=lambda member: member.backend))
    return ActualBackend(
        text(contract.name),
        "*",
        contract.url or "",
        parse_marker(contract.description),
        _actual_breaker(contract.circuit_breaker),
        ordered,
        _counts_429(contract.circuit_breaker),
        certificate=_certificate_of(contract.credentials),
    )


def _certificate_of(credentials: Any) -> str | None:
    """The name of the only certificate; of several none is the one that is shown."""
    ids: list[Any] = list((credentials.certificate_ids if credentials else None) or ())
    return text(ids[0]).rpartition("/")[2] if len(ids) == 1 else None


def _actual_breaker(found: Any) -> Breaker | None:
    """The circuit breaker's rule; a rule of another kind is shown as one that never trips, so that it differs
    from any desired one.
    """
    if not (found and found.rules):
        return None
    rule = found.rules[0]
    condition = rule.failure_condition
    if (
        condition is None
        or condition.count is None
        or condition.interval is None
        or rule.trip_duration is None
    ):
        return Breaker(0, 0, 0)
    failures = 0 if _counts_429(found) is None else condition.count
    return Breaker(failures, int(condition.interval.total_seconds()), int(rule.trip_duration.total_seconds()))


def _counts_429(found: Any) -> bool | None:
    """Whether it counts a busy backend; None where it counts other failures than ours do."""
    condition = found.rules[0].failure_condition if found and found.rules else None
    if condition is None or sorted(condition.error_reasons or ()) != sorted(_ERRORS):
        return None
    ranges = tuple((each.min, each.max) for each in condition.status_code_ranges or ())
    return next((counts for counts, failures in _FAILURES.items() if failures == ranges), None)


def _actual_value(contract: Any, tag: str) -> ActualNamedValue:
    vault = contract.key_vault
    url = (vault.secret_identifier if vault else None) or ""
    return ActualNamedValue(contract.name, "*", url, tag in (contract.tags or ()), _unreadable(vault))


def _unreadable(vault: Any) -> str:
    """Why the service could not read the secret when it last tried, in its own words. A reference that it has
    not looked at yet has no status.
    """
    status = vault.last_status if vault else None
    if status is None or not status.code or str(status.code).lower() == "success":
        return ""
    return f"{status.code} {status.message or ''}".strip()[:300]


def _tag(repository: int) -> str:
    """The tag that marks a named value as ours, because named values have no description."""
    return f"mergekey-{repository}"
