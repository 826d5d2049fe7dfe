"""Application Insights: the component of the local set, to be read.
https://learn.microsoft.com/rest/api/application-insights/components/get

Its instrumentation key, which is in its connection string, is made of its id.
"""

from __future__ import annotations

import uuid
from functools import partial

from aiohttp import web

from standins.http import route
from standins.resource_manager.arm import ArmError, Json, insensitive
from standins.resource_manager.hierarchy import FIRST_GROUP, LOCATION, ResourceGroups
from standins.world import SUBSCRIPTION

PROVIDER = "Microsoft.Insights"
_COMPONENT = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/" + PROVIDER + "/components/{name}"
)
#: There from the start (`standins.stack`); nothing here makes another.
TRACES = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{FIRST_GROUP}/providers/{PROVIDER}/components/contoso-"
    "traces"
)


def routes(app: web.Application, groups: ResourceGroups) -> None:
    route(app, "GET", insensitive(_COMPONENT), "GET Application Insights component", partial(_get, groups))


async def _get(groups: ResourceGroups, request: web.Request) -> web.Response:
    groups.require(request.match_info["group"])
    if request.path.lower() != TRACES.lower():
        what = f"{PROVIDER}/components/{request.match_info['name']}"
        message = f"The Resource '{what}' under resource group '{request.match_info['group']}' was not found."
        raise ArmError(404, "ResourceNotFound", message)
    return web.json_response(_shown())


def _shown() -> Json:
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, TRACES))
    text = (
        f"InstrumentationKey={key};IngestionEndpoint=https://{LOCATION}-5.in.applicationinsights.azure.com/"
    )
    name = TRACES.rpartition("/")[2]
    properties = {
        "ApplicationId": name,
        "Application_Type": "web",
        "ConnectionString": text,
        "InstrumentationKey": key,
    }
    row = {"id": TRACES, "name": name, "type": f"{PROVIDER}/components", "location": LOCATION, "kind": "web"}
    return {**row, "properties": {**properties, "provisioningState": "Succeeded"}}
