"""API Management in memory: ETags, the administrator's subscription, keys, links, and policies that must name
what exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import count
from typing import TypeVar
from xml.etree import ElementTree

from shared.catalog.capacity import Grants
from shared.errors import Busy, Rejected, Unavailable
from shared.marker import RULES, Marker
from shared.names import API
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.policies.product_policy import granted_by
from shared.ports import Keys
from shared.resources.actual import ActualBackend, ActualNamedValue, Api, Fragment, Product, Subscription
from shared.resources.actual import Policy as ActualPolicy
from shared.resources.backends import Backend, NamedValue, unreadable_secret
from shared.resources.bearer import KEY_NAMES_OF, BearerKeys
from shared.resources.desired import DesiredCatalog
from shared.resources.subscription import ADMINISTRATOR
from shared.resources.unified_api import KEY_NAMES
from shared.secret import SecretValue
from tests.fakes.calls import Calls

V = TypeVar("V")

#: How policies name backends: element and attribute.
NAMING = (
    ("set-backend-service", "backend-id"),
    ("llm-content-safety", "backend-id"),
    ("llm-semantic-cache-lookup", "embeddings-backend-id"),
)
FRAGMENTS = ("include-fragment", "fragment-id")


@dataclass
class Policy:
    text: str
    etag: str


@dataclass
class State:
    """What the service holds, by name. `policies` are those of products, `links` pairs of product and API,
    `keys` by subscription; `credentials` are the named values that backends send,
    `certificates` the client certificates that are there; `takes_bearer` are APIs that take keys as bearer
    tokens by themselves.
    """

    products: dict[str, Product] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    backends: dict[str, ActualBackend] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)
    named_values: dict[str, ActualNamedValue] = field(default_factory=dict)
    apis: dict[str, Api] = field(default_factory=dict)
    api_policies: dict[str, Policy] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    rules: int = RULES
    takes_bearer: set[str] = field(default_factory=set)


class FakeGateway:
    """`keys_in_put_answers`: whether a subscription's PUT answers with its keys, as the live service was seen
    to do.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._numbers = count(1)
        self.keys_in_put_answers = True
        #: Why the service cannot read some secrets, by their addresses; and whether it then refuses to write
        #: the named value, or writes it and says so there.
        self.unreadable: dict[str, str] = {}
        self.refuses_unreadable = False
        #: The service takes no keys as bearer tokens by itself, and says nothing of it.
        self.ignores_bearer = False
        self.state = State()

    # ----------------------------------------------------------------------------------------------- products

    async def product(self, name: str) -> Product | None:
        async with self._calls.read("gateway", "product", name):
            return self.state.products.get(name)

    async def products(self) -> list[Product]:
        """Lists tell no ETags."""
        async with self._calls.read("gateway", "products"):
            return [replace(product, etag="*") for product in self.state.products.values()]

    async def create_product(self, name: str, display_name: str, marker: Marker) -> str:
        async with self._calls.write("gateway", "create_product", name):
            self._require_own_name(name, display_name)
            if name not in self.state.products:
                self._add_administrator(name)
            product = Product(name, self._etag(), display_name, published=False, marker=marker)
            self.state.products[name] = product
            return product.etag

    def _add_administrator(self, product: str) -> None:
        """The service gives its administrator a subscription to every new product."""
        name = f"{next(self._numbers):024x}"
        self.state.subscriptions[name] = Subscription(
            name, self._etag(), "", product, ADMINISTRATOR, "active"
        )
        self.state.keys[name] = [self._new_key(name), self._new_key(name)]

    async def publish_product(self, name: str, etag: str, display_name: str, marker: Marker) -> None:
        async with self._calls.write("gateway", "publish_product", name, etag):
            _require(self.state.products, name)
            _match(self.state.products.get(name), etag)
            self._require_own_name(name, display_name)
            self.state.products[name] = Product(
                name, self._etag(), display_name, published=True, marker=marker
            )

    async def mark_product(self, name: str, etag: str, marker: Marker) -> str:
        async with self._calls.write("gateway", "mark_product", name, etag):
            found = _require(self.state.products, name)
            _match(found, etag)
            self.state.products[name] = replace(found, etag=self._etag(), marker=marker)
            return self.state.products[name].etag

    async def require_subscription(self, name: str, etag: str) -> str:
        async with self._calls.write("gateway", "require_subscription", name, etag):
            found = _require(self.state.products, name)
            _match(found, etag)
            self.state.products[name] = replace(found, etag=self._etag(), subscription_required=True)
            return self.state.products[name].etag

    async def delete_product(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "delete_product", name, etag):
            if name not in self.state.products:
                return
            _match(self.state.products[name], etag)
            if any(found.product == name for found in self.state.subscriptions.values()):
                raise Rejected("Product cannot be deleted since it has existing subscriptions.")
            del self.state.products[name]
            self.state.policies.pop(name, None)
            self.state.links = {link for link in self.state.links if link[0] != name}

    def _require_own_name(self, name: str, display_name: str) -> None:
        """A display name belongs to one product."""
        shown = display_name.strip().lower()
        if any(
            found.name != name and found.display_name.strip().lower() == shown
            for found in self.state.products.values()
        ):
            raise Rejected("Product with the same name already exists")

    def open_product(self, name: str) -> bool:
        """What somebody does in the portal: the product requires no subscription any more. The service takes
        one such at a time.
        """
        if any(not found.subscription_required for found in self.state.products.values()):
            return False
        self.state.products[name] = replace(
            self.state.products[name], subscription_required=False, etag=self._etag()
        )
        return True

    async def product_policy(self, product: str) -> ActualPolicy | None:
        async with self._calls.read("gateway", "product_policy", product):
            found = self.state.policies.get(product)
            return None if found is None else ActualPolicy(found.etag, *said_by(found.text))

    async def put_product_policy(self, product: str, policy: str, etag: str | None) -> None:
        async with self._calls.write("gateway", "put_product_policy", product, etag):
            _require(self.state.products, product)
            self._require_sound(policy)
            _match(self.state.policies.get(product), etag)
            self.state.policies[product] = Policy(policy, self._etag())

    async def link_product(self, product: str, api: str) -> None:
        async with self._calls.write("gateway", "link_product", product):
            _require(self.state.products, product)
            _require(self.state.apis, api)
            self.state.links.add((product, api))

    async def unlink_product(self, product: str, api: str) -> None:
        async with self._calls.write("gateway", "unlink_product", product):
            self.state.links.discard((product, api))

    # ------------------------------------------------------------------------------------------ subscriptions

    async def is_linked(self, product: str, api: str) -> bool:
        async with self._calls.read("gateway", "is_linked", product):
            return (product, api) in self.state.links

    async def linked_products(self, api: str) -> frozenset[str]:
        async with self._calls.read("gateway", "linked_products", api):
            return frozenset(product for product, linked in self.state.links if linked == api)

    async def subscriptions(self) -> list[Subscription]:
        async with self._calls.read("gateway", "subscriptions"):
            return [replace(found, etag="*") for found in self.state.subscriptions.values()]

    async def product_subscriptions(self, product: str) -> list[Subscription]:
        async with self._calls.read("gateway", "product_subscriptions", product):
            _require(self.state.products, product)
            return [
                replace(found, etag="*")
                for found in self.state.subscriptions.values()
                if found.product == product
            ]

    async def subscription(self, name: str) -> Subscription | None:
        async with self._calls.read("gateway", "subscription", name):
            return self.state.subscriptions.get(name)

    async def put_subscription(
        self, name: str, product: str, display_name: str, etag: str | None, keys: Keys | None = None
    ) -> Keys | None:
        async with self._calls.write("gateway", "put_subscription", name, etag):
            if product not in self.state.products:
                raise Rejected(f"'{product}' does not exist.")
            _match(self.state.subscriptions.get(name), etag)
            self.state.subscriptions[name] = Subscription(
                name, self._etag(), display_name, product, "", "active"
            )
            self.state.keys.setdefault(name, [self._new_key(name), self._new_key(name)])
            if keys is not None:
                self.state.keys[name] = [key.reveal() for key in keys]
            return self._keys(name) if self.keys_in_put_answers else None

    async def suspend_subscription(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "suspend_subscription", name, etag):
            found = _require(self.state.subscriptions, name)
            _match(found, etag)
            self.state.subscriptions[name] = replace(found, etag=self._etag(), state="suspended")

    async def keys(self, subscription: str) -> Keys:
        async with self._calls.read("gateway", "keys", subscription):
            _require(self.state.subscriptions, subscription)
            return self._keys(subscription)

    async def put_keys(self, subscription: str, keys: Keys) -> None:
        async with self._calls.write("gateway", "put_keys", subscription):
            found = _require(self.state.subscriptions, subscription)
            self.state.subscriptions[subscription] = replace(found, etag=self._etag())
            self.state.keys[subscription] = [key.reveal() for key in keys]

    async def regenerate_key(self, subscription: str, which: int) -> None:
        async with self._calls.write("gateway", "regenerate_key", f"{subscription} {which}"):
            found = _require(self.state.subscriptions, subscription)
            self.state.subscriptions[subscription] = replace(found, etag=self._etag())
            self.state.keys[subscription][which] = self._new_key(subscription)

    async def delete_subscription(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "delete_subscription", name, etag):
            if name in self.state.subscriptions:
                _match(self.state.subscriptions[name], etag)
                del self.state.subscriptions[name]
                del self.state.keys[name]

    # ----------------------------------------------------------------------------------------------- backends

    async def backends(self, prefix: str) -> list[ActualBackend]:
        async with self._calls.read("gateway", "backends", prefix):
            return [
                replace(found, etag="*")
                for name, found in self.state.backends.items()
                if name.startswith(prefix)
            ]

    async def put_backend(self, backend: Backend, marker: Marker, etag: str | None) -> None:
        async with self._calls.write("gateway", "put_backend", backend.name, etag):
            _match(self.state.backends.get(backend.name), etag)
            for member in backend.members:
                if member.backend not in self.state.backends:
                    raise Rejected(f"Backend with id '{member.backend}' could not be found.")
            if backend.certificate is not None and backend.certificate not in self.state.certificates:
                raise Rejected(f"Certificate with id '{backend.certificate}' could not be found.")
            self._keep_credential(backend)
            self.state.backends[backend.name] = ActualBackend(
                backend.name,
                self._etag(),
                backend.url,
                backend.with_digest(marker),
                backend.breaker,
                backend.members,
                None if backend.breaker is None else backend.counts_429,
                certificate=backend.certificate,
            )

    async def delete_backend(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "delete_backend", name, etag):
            if name in self.state.backends:
                _match(self.state.backends[name], etag)
                self._require_unused(name)
                del self.state.backends[name]
                self.state.credentials.pop(name, None)

    async def named_values(self, prefix: str, repository: int) -> list[ActualNamedValue]:
        """Those of every other repository carry its tag, and are told apart by `ours` as they were
        written.
        """
        async with self._calls.read("gateway", "named_values", prefix):
            return [
                replace(found, etag="*")
                for name, found in self.state.named_values.items()
                if name.startswith(prefix)
            ]

    async def put_named_value(self, value: NamedValue, repository: int, etag: str | None) -> str:
        async with self._calls.write("gateway", "put_named_value", value.name, etag):
            _match(self.state.named_values.get(value.name), etag)
            why = self.unreadable.get(value.url, "")
            if why and self.refuses_unreadable:
                raise unreadable_secret(value.url, why)
            self.state.named_values[value.name] = ActualNamedValue(
                value.name, self._etag(), value.url, ours=True, unreadable=why
            )
            return why

    def read_secrets(self) -> None:
        """What the service does by itself every four hours."""
        for name, found in self.state.named_values.items():
            self.state.named_values[name] = replace(found, unreadable=self.unreadable.get(found.url, ""))

    async def delete_named_value(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "delete_named_value", name, etag):
            if name in self.state.named_values:
                _match(self.state.named_values[name], etag)
                if name in self.state.credentials.values():
                    raise Rejected(f"The Named Value '{name}' is used by a backend.")
                del self.state.named_values[name]

    def _keep_credential(self, backend: Backend) -> None:
        if backend.credential is not None and backend.credential.named_value not in self.state.named_values:
            raise Rejected(f"Cannot find a property '{backend.credential.named_value}'.")
        self.state.credentials.pop(backend.name, None)
        if backend.credential is not None:
            self.state.credentials[backend.name] = backend.credential.named_value

    def _require_unused(self, backend: str) -> None:
        """What a pool or a policy names is not deleted."""
        texts = [policy.text for policy in (*self.state.policies.values(), *self.state.api_policies.values())]
        named = {name for text in texts for naming in NAMING for name in named_in(text)[naming]}
        pooled = {member.backend for found in self.state.backends.values() for member in found.members}
        if backend in named | pooled:
            raise Rejected(f"The Backend '{backend}' is used by other entities.")

    # ------------------------------------------------------------------------------------------------ the API

    async def api(self, name: str) -> Api | None:
        async with self._calls.read("gateway", "api", name):
            return self.state.apis.get(name)

    async def put_api(self, name: str, desired: DesiredCatalog, marker: Marker, etag: str | None) -> None:
        async with self._calls.write("gateway", "put_api", name, etag):
            _match(self.state.apis.get(name), etag)
            names = KEY_NAMES if name == API else KEY_NAMES_OF[desired.bearer or "native"]
            self.state.apis[name] = Api(self._etag(), desired.api_digest, marker, key_names=names)
            self.state.takes_bearer.discard(name)

    async def api_policy(self, name: str) -> ActualPolicy | None:
        async with self._calls.read("gateway", "api_policy", name):
            return _actual(self.state.api_policies.get(name))

    async def put_api_policy(self, name: str, policy: str, etag: str | None) -> None:
        async with self._calls.write("gateway", "put_api_policy", name, etag):
            _require(self.state.apis, name)
            self._require_sound(policy)
            _match(self.state.api_policies.get(name), etag)
            self.state.api_policies[name] = Policy(policy, self._etag())

    async def fragment(self, name: str) -> Fragment:
        async with self._calls.read("gateway", "fragment", name):
            return (
                Fragment(canonical_digest(self.state.fragments[name]), self.state.rules)
                if name in self.state.fragments
                else Fragment()
            )

    async def put_fragment(self, name: str, text: str) -> None:
        async with self._calls.write("gateway", "put_fragment", name):
            self._require_sound(text)
            self.state.fragments[name], self.state.rules = text, RULES

    async def mark_api(self, name: str, marker: Marker) -> None:
        async with self._calls.write("gateway", "mark_api", name):
            api = _require(self.state.apis, name)
            self.state.apis[name] = Api(self._etag(), api.operations, marker)

    async def mark_bearer_api(self, name: str, keys: BearerKeys) -> None:
        async with self._calls.write("gateway", "mark_bearer_api", name):
            api = _require(self.state.apis, name)
            names = KEY_NAMES_OF[keys.way]
            self.state.apis[name] = Api(self._etag(), api.operations, keys.marker, key_names=names)
            if keys.way == "native" and not self.ignores_bearer:
                self.state.takes_bearer.add(name)
            else:
                self.state.takes_bearer.discard(name)

    async def takes_bearer(self, name: str) -> bool:
        async with self._calls.read("gateway", "takes_bearer", name):
            return name in self.state.takes_bearer

    async def delete_api(self, name: str, etag: str) -> None:
        async with self._calls.write("gateway", "delete_api", name, etag):
            if name in self.state.apis:
                _match(self.state.apis[name], etag)
                del self.state.apis[name]
                self.state.api_policies.pop(name, None)
                self.state.takes_bearer.discard(name)
                self.state.links = {link for link in self.state.links if link[1] != name}

    # ----------------------------------------------------------------------------------------------- inwardly

    def _require_sound(self, policy: str) -> None:
        """A policy that names what is not there is refused."""
        for naming, names in named_in(policy).items():
            known = self.state.fragments if naming == FRAGMENTS else self.state.backends
            for name in names:
                if name not in known:
                    raise Rejected(f"Error in element '{naming[0]}': '{name}' could not be found.")

    def _etag(self) -> str:
        return f'"{next(self._numbers)}"'

    def _new_key(self, subscription: str) -> str:
        return hashlib.sha256(f"{subscription} {next(self._numbers)}".encode()).hexdigest()[:32]

    def _keys(self, subscription: str) -> Keys:
        primary, secondary = self.state.keys[subscription]
        return SecretValue(primary), SecretValue(secondary)


@lru_cache(maxsize=1024)
def said_by(policy: str) -> tuple[str, Grants | None]:
    """The digest that a policy carries, and what it grants. The same few are read again and again."""
    return digest_of(policy), granted_by(policy)


@lru_cache(maxsize=1024)
def named_in(policy: str) -> Mapping[tuple[str, str], list[str]]:
    """The backends and fragments that a policy names, by element and attribute. What an expression names is
    not known before a call.
    """
    try:
        root = ElementTree.fromstring(policy)
    except ElementTree.ParseError as error:
        raise Rejected(f"the policy is not XML: {error}") from None
    return {
        (tag, attribute): [name for name in _named(root, tag, attribute) if not name.startswith("@")]
        for tag, attribute in (*NAMING, FRAGMENTS)
    }


def _named(root: ElementTree.Element, tag: str, attribute: str) -> list[str]:
    return [element.attrib[attribute] for element in root.iter(tag)]


def _require(table: dict[str, V], name: str) -> V:
    if name not in table:
        raise Unavailable(f"{name} not found", reason="NotFound")
    return table[name]


def _actual(policy: Policy | None) -> ActualPolicy | None:
    return None if policy is None else ActualPolicy(policy.etag, said_by(policy.text)[0])


def _match(
    found: Product | Policy | Subscription | ActualBackend | ActualNamedValue | Api | None, etag: str | None
) -> None:
    """If-Match: absent and `*` fit everything, absence included."""
    if etag not in (None, "*") and (found is None or found.etag != etag):
        raise Busy("Resource was modified since last retrieval.")
