"""Microsoft Foundry's projects: https://learn.microsoft.com/rest/api/aiservices/accountmanagement/projects

Creating, changing and deleting a project continues after the first response and is not awaited here. The
marker ends the description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.adapters.answers import text
from shared.adapters.azure_sdk import ResourceId, all_rows, resource_manager_options
from shared.adapters.translate import by_status, require_parent, understood
from shared.marker import Marker, parse_marker
from shared.resources.actual import Project, TracingConnection
from shared.secret import SecretValue

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SYSTEM = "Foundry"
#: The connection's name in each project, and what its metadata says when it is ours.
CONNECTION, OURS = "mergekey-tracing", {"managed-by": "mergekey"}
_INSIGHTS = "2020-02-02"


class Foundry:
    """One account. `account_id` is its Azure resource id, `tracing_id` that of the Application Insights for
    traces, if there is one.
    """

    def __init__(
        self, account_id: str, tracing_id: str | None, resource_manager: str, credential: AsyncTokenCredential
    ) -> None:
        from azure.mgmt.cognitiveservices.aio import CognitiveServicesManagementClient

        account = ResourceId.of(account_id)
        self._at = (account.group, account.name)
        self._tracing = tracing_id
        self._location: str | None = None
        self._client: Any = CognitiveServicesManagementClient(
            credential, account.subscription, **resource_manager_options(SYSTEM, resource_manager)
        )

    async def project(self, name: str) -> Project | None:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                return _project(await self._client.projects.get(*self._at, name))
            except ResourceNotFoundError as error:
                require_parent(error)
                return None

    async def projects(self) -> list[Project]:
        with understood(SYSTEM):
            return [
                _project(found) for found in await all_rows(SYSTEM, self._client.projects.list(*self._at))
            ]

    async def create_project(self, name: str, display_name: str, marker: Marker) -> None:
        """A project stands where its account does, and has an identity of its own."""
        from azure.mgmt.cognitiveservices.models import Identity, Project, ProjectProperties

        with understood(SYSTEM):
            properties = ProjectProperties(display_name=display_name, description=str(marker))
            body = Project(
                location=await self._place(), identity=Identity(type="SystemAssigned"), properties=properties
            )
            await self._client.projects.begin_create(*self._at, name, body, polling=False)

    async def _place(self) -> str:
        if self._location is None:
            self._location = text((await self._client.accounts.get(*self._at)).location)
        return self._location

    async def update_project(self, name: str, display_name: str, marker: Marker) -> None:
        from azure.mgmt.cognitiveservices.models import Project, ProjectProperties

        with understood(SYSTEM):
            body = Project(properties=ProjectProperties(display_name=display_name, description=str(marker)))
            await self._client.projects.begin_update(*self._at, name, body, polling=False)

    async def delete_project(self, name: str) -> None:
        with understood(SYSTEM):
            await self._client.projects.begin_delete(*self._at, name, polling=False)

    async def connection(self, project: str) -> TracingConnection | None:
        from azure.core.exceptions import ResourceNotFoundError

        with understood(SYSTEM):
            try:
                found = (
                    await self._client.project_connections.get(*self._at, project, CONNECTION)
                ).properties
            except ResourceNotFoundError as error:
                require_parent(error)
                return None
            return TracingConnection(
                str(found.target or ""), dict(found.metadata or {}).items() >= OURS.items()
            )

    async def tracing_key(self) -> SecretValue:
        """https://learn.microsoft.com/rest/api/application-insights/components/get, without a client library
        for one call.
        """
        from azure.core.rest import HttpRequest

        with understood(SYSTEM):
            request = HttpRequest("GET", str(self._tracing), params={"api-version": _INSIGHTS})
            answer = await self._client._send_request(request)
            if answer.status_code != 200:
                raise by_status("Application Insights", answer.status_code)
            return SecretValue(text(answer.json()["properties"]["ConnectionString"]))

    async def put_connection(self, project: str, target: str, key: SecretValue) -> None:
        """A project has one connection of this category:
        https://learn.microsoft.com/azure/ai-foundry/how-to/develop/trace-agents-sdk.
        """
        from azure.mgmt.cognitiveservices.models import (
            ApiKeyAuthConnectionProperties,
            ConnectionApiKey,
            ConnectionPropertiesV2BasicResource,
        )

        metadata = {**OURS, "ApiType": "Azure", "ResourceId": target}
        properties = ApiKeyAuthConnectionProperties(
            category="AppInsights",
            target=target,
            credentials=ConnectionApiKey(key=key.reveal()),
            metadata=metadata,
        )
        with understood(SYSTEM):
            body = ConnectionPropertiesV2BasicResource(properties=properties)
            await self._client.project_connections.create(*self._at, project, CONNECTION, connection=body)

    async def delete_connection(self, project: str) -> None:
        with understood(SYSTEM):
            await self._client.project_connections.delete(*self._at, project, CONNECTION)

    async def close(self) -> None:
        await self._client.close()


def _project(found: Any) -> Project:
    properties = found.properties
    name = text(found.name).rpartition("/")[2]
    return Project(
        name,
        properties.display_name or "",
        text(properties.provisioning_state),
        parse_marker(properties.description),
    )
