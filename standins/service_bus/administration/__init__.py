"""The management interface of a Service Bus namespace, for `azure.servicebus.management`: https, beside the AMQP server of the process.

The SDK speaks https whatever the connection string says, with the host and port of its endpoint:

    ServiceBusAdministrationClient.from_connection_string(
        "Endpoint=sb://localhost:<port>;SharedAccessKeyName=local;SharedAccessKey=local", connection_verify="<folder>/ca.pem"
    )

What it answers was read off recordings of the service, in the SDK's repository. What can be set is in `service_bus.descriptions`.
"""

from __future__ import annotations

import re

from aiohttp import web
from lxml import etree

from standins.http import application, route
from standins.service_bus.administration import atom
from standins.service_bus.administration.calls import MORE, SERVER, Call, Refused, answering
from standins.service_bus.administration.documents import (
    conditions_of,
    entity_document,
    kind_of,
    namespace_document,
    rule_document,
    texts_of,
)
from standins.service_bus.descriptions import KINDS, QUEUE, SUBSCRIPTION, TOPIC, Invalid, Kind
from standins.service_bus.namespace import Row
from standins.world import World

_NAME = re.compile(r"[A-Za-z0-9]([\w.\-]*[A-Za-z0-9])?", re.ASCII)
_RULE_NAME = re.compile(r"[\w.\-$]+", re.ASCII)
#: Characters of a name: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
_LONGEST = {QUEUE: 260, TOPIC: 260, SUBSCRIPTION: 50}
_LONGEST_RULE = 50


def build(world: World) -> web.Application:
    """Routes of the server. The namespace itself is started by `service_bus.serve` in the same process."""
    app = application(world, SERVER)
    subscription = "/{entity}/subscriptions/{subscription}"
    for method, path, kind, action in (
        ("GET", "/$namespaceinfo", "GET namespace", _get_namespace),
        ("GET", "/$Resources/queues", "GET queues", _list_queues),
        ("GET", "/$Resources/topics", "GET topics", _list_topics),
        ("GET", "/{entity}", "GET queue or topic", _get_entity),
        ("PUT", "/{entity}", "PUT queue or topic", _put_entity),
        ("DELETE", "/{entity}", "DELETE queue or topic", _delete_entity),
        ("GET", "/{entity}/subscriptions", "GET subscriptions", _list_subscriptions),
        ("GET", subscription, "GET subscription", _get_subscription),
        ("PUT", subscription, "PUT subscription", _put_subscription),
        ("DELETE", subscription, "DELETE subscription", _delete_subscription),
        ("GET", f"{subscription}/rules", "GET rules", _list_rules),
        ("GET", f"{subscription}/rules/{{rule}}", "GET rule", _get_rule),
        ("PUT", f"{subscription}/rules/{{rule}}", "PUT rule", _put_rule),
        ("DELETE", f"{subscription}/rules/{{rule}}", "DELETE rule", _delete_rule),
    ):
        route(app, method, path, kind, answering(world, action))
    return app


# ---------------------------------------------------------------------------------------------------------------- namespace


async def _get_namespace(call: Call) -> web.Response:
    namespace, now = call.namespace, call.namespace.broker.environment.clock.now()
    document = namespace_document(call.host, namespace.created, namespace.broker.environment.options["tier"])
    return atom.answer(atom.Item(call.url("$namespaceinfo"), call.host, namespace.created, now, document, call.host))


# --------------------------------------------------------------------------------------- queues, topics and subscriptions


async def _list_queues(call: Call) -> web.Response:
    return call.page("Queues", call.namespace.all(QUEUE), lambda row: _item(call, row))


async def _list_topics(call: Call) -> web.Response:
    return call.page("Topics", call.namespace.all(TOPIC), lambda row: _item(call, row))


async def _list_subscriptions(call: Call) -> web.Response:
    return call.page("Subscriptions", call.namespace.all(SUBSCRIPTION, call.topic()["path"]), lambda row: _item(call, row))


async def _get_entity(call: Call) -> web.Response:
    row = call.namespace.find(call.path)
    return atom.answer_nothing(call.namespace.broker.environment.clock.now()) if row is None else atom.answer(_item(call, row))


async def _get_subscription(call: Call) -> web.Response:
    return atom.answer(_item(call, call.subscription()))


async def _put_entity(call: Call) -> web.Response:
    document = atom.content_of(await call.request.read())
    kind, row = kind_of(document, QUEUE, TOPIC), call.namespace.find(call.path)
    if call.is_update and (row is None or row["kind"] != kind.name):
        raise Refused(404, f"SubCode=40400. Not Found. The Operation doesn't exist. {MORE} .")
    if row is not None and not call.is_update:
        state = "You're requesting an operation that isn't allowed in the resource's current state."
        raise Refused(409, f"SubCode=40900. Conflict. {state} {MORE} .")
    return _put(call, kind, row, document)


async def _put_subscription(call: Call) -> web.Response:
    document = atom.content_of(await call.request.read())
    kind, topic = kind_of(document, SUBSCRIPTION), call.topic()
    row = call.namespace.find(call.path)
    if row is None and call.is_update:
        call.absent()
    if row is not None and not call.is_update:
        call.exists()
    return _put(call, kind, row, document, f"{topic['path']}/")


def _put(call: Call, kind: Kind, row: Row | None, document: etree._Element, above: str = "") -> web.Response:
    """Change an entity, or make it where there is none."""
    if row is not None:
        description = kind.read(texts_of(document), row["description"])
        return atom.answer(_item(call, call.namespace.update(row, description)))
    name = call.named("subscription") or call.named("entity")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST[kind]:
        raise Invalid(f"The name '{name}' is not valid: letters, digits, '.', '-' and '_', at most {_LONGEST[kind]} of them.")
    path = f"{above}Subscriptions/{name}" if above else name
    return atom.answer(_item(call, call.namespace.create(kind, path, kind.read(texts_of(document)))), 201)


async def _delete_entity(call: Call) -> web.Response:
    row = call.namespace.find(call.path)
    if row is None:
        raise Refused(404, "No service is hosted at the specified address.")
    call.namespace.delete(row)
    return web.Response()


async def _delete_subscription(call: Call) -> web.Response:
    call.namespace.delete(call.subscription())
    return web.Response()


def _item(call: Call, row: Row) -> atom.Item:
    kind = KINDS[row["kind"]]
    author = None if kind is SUBSCRIPTION else call.host
    return atom.Item(call.url(row["path"]), row["name"], row["created"], row["updated"], entity_document(call.namespace, row), author)


# -------------------------------------------------------------------------------------------------------------------- rules


async def _list_rules(call: Call) -> web.Response:
    rules = call.subscription()["rules"]
    return call.page("Rules", [rule | {"name": name} for name, rule in rules.items()], lambda rule: _rule(call, rule["name"], rule))


async def _get_rule(call: Call) -> web.Response:
    return atom.answer(_rule(call, call.named("rule"), call.rule()))


async def _put_rule(call: Call) -> web.Response:
    row, name = call.subscription(), call.named("rule")
    conditions = conditions_of(atom.content_of(await call.request.read()))
    if call.is_update:
        call.rule()
    elif name in row["rules"]:
        call.exists()
    if not _RULE_NAME.fullmatch(name) or len(name) > _LONGEST_RULE:
        raise Invalid(f"The name '{name}' of a rule is not valid.")
    rule = call.namespace.set_rule(row, name, conditions)
    return atom.answer(_rule(call, name, rule), 200 if call.is_update else 201)


async def _delete_rule(call: Call) -> web.Response:
    call.rule()
    call.namespace.delete_rule(call.subscription(), call.named("rule"))
    return web.Response()


def _rule(call: Call, name: str, rule: Row) -> atom.Item:
    url = call.url(call.subscription()["path"], "rules", name)
    return atom.Item(url, name, rule["created"], rule["created"], rule_document(name, rule["conditions"], rule["created"]))
