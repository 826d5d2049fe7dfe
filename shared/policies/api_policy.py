"""The policy of the unified API: where a granted model is served. Compiled from the catalogue alone, for all
teams.

It refuses calls that no product policy has granted (keys for the API or for all APIs skip product policies),
removes the client's credentials, and calls a model's fallback when the model fails. It reads the decision of
the product policy from the variables that `product_policy` describes.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement

from shared.catalog.catalog import Catalog, CatalogModel, EntraTokens
from shared.names import shared_backend
from shared.policies.policy_xml import (
    FOUNDRY_AUDIENCE,
    another_when,
    expression,
    literal,
    policies,
    refuse,
    remove_header,
    section,
    set_header,
    set_variable,
    when,
    with_digest,
)

#: A model's three retries and its fallback.
MAX_RETRIES = 4

#: The headers and parameters in which clients send credentials, in any of the spellings that API Management
#: or a provider reads.
CLIENT_HEADERS = ("api-key", "Ocp-Apim-Subscription-Key", "Authorization", "x-api-key", "Cookie")
CLIENT_PARAMETERS = ("api-key", "subscription-key")

#: The security headers of every response, and the headers of backends that are removed from it.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}
BACKEND_HEADERS = ("Server", "X-Powered-By", "Set-Cookie", "openai-organization", "openai-project")


def api_policy(catalog: Catalog) -> str:
    """Where each model of the catalogue is served."""
    root = policies()
    inbound = section(root, "inbound")
    inbound[:0] = list(_before_the_products(catalog))
    refuse(when(inbound, "variable is not set", name="granted-model"), 403, "This key belongs to no team.")
    _strip(inbound)
    choose = SubElement(inbound, "choose")
    for model in catalog.models:
        _route(another_when(choose, "variable is", name="granted-model", value=model.name), model, catalog)
    refuse(SubElement(choose, "otherwise"), 404, "This model is no longer served.")
    _keep_closed(inbound)
    set_variable(inbound, "attempt", expression("no attempt"))
    set_variable(inbound, "attempts", expression("attempts"))
    SubElement(inbound, "set-body").text = expression("body")
    SubElement(inbound, "rewrite-uri", {"template": expression("path"), "copy-unmatched-params": "false"})
    _forward(root, catalog)
    for name in ("outbound", "on-error"):
        _secure(section(root, name))
    return with_digest(root)


def _before_the_products(catalog: Catalog) -> Element:
    """The policies that run before those of products."""
    first = Element("inbound")
    _let_browsers_in(first, catalog.origins)
    if catalog.tokens is not None:
        _require_token(first, catalog.tokens)
    return first


def _let_browsers_in(inbound: Element, origins: Iterable[str]) -> None:
    """CORS comes first: a preflight request has no key, and a browser can read an error only with these
    headers.
    """
    if not origins:
        return
    cors = SubElement(inbound, "cors", {"allow-credentials": "false"})
    allowed = SubElement(cors, "allowed-origins")
    for origin in origins:
        SubElement(allowed, "origin").text = literal(origin)
    methods = SubElement(cors, "allowed-methods", {"preflight-result-max-age": "300"})
    SubElement(methods, "method").text = "POST"
    SubElement(SubElement(cors, "allowed-headers"), "header").text = "*"
    exposed = SubElement(cors, "expose-headers")
    for name in ("Retry-After", "x-remaining-tokens", "x-remaining-requests"):
        SubElement(exposed, "header").text = name


def _require_token(inbound: Element, tokens: EntraTokens) -> None:
    """A token is required besides the key. Calls without a valid token for this audience get 401 and are not
    counted.
    """
    checked = {
        "tenant-id": literal(tokens.tenant),
        "header-name": "Authorization",
        "failed-validation-httpcode": "401",
    }
    SubElement(
        SubElement(SubElement(inbound, "validate-azure-ad-token", checked), "audiences"), "audience"
    ).text = literal(tokens.audience)


def _strip(inbound: Element) -> None:
    for name in CLIENT_HEADERS:
        remove_header(inbound, name)
    for name in CLIENT_PARAMETERS:
        SubElement(inbound, "set-query-parameter", {"name": name, "exists-action": "delete"})


def _route(branch: Element, model: CatalogModel, catalog: Catalog) -> None:
    """The backend of the first attempt: the team's own workspace, or the shared one."""
    _open(branch, model)
    set_variable(branch, "retries", str(model.retries))
    shared = branch
    if model.dedicated is not None:
        own = when(branch, "variable is set", name="dedicated")
        set_variable(own, "served-model", literal(model.preset or model.name))
        shared = SubElement(branch[-1], "otherwise")
    if not model.serves_all:
        refuse(shared, 404, "This model is served to no team that has no workspace of its own.")
        return
    if model.provider == "foundry":
        _take_token(branch)
    _address(shared, model)
    fallback = catalog.model(model.fallback or "")
    if fallback is not None and fallback.provider == "foundry" != model.provider:
        _take_token(when(branch, "variable is set", name="fallback-model"))


def _open(branch: Element, model: CatalogModel) -> None:
    set_variable(branch, "open-to", literal(" ".join(sorted(model.data_classes))))


def _keep_closed(parent: Element) -> None:
    """The check of product policies once more, so that a new restriction holds before all products are
    written, for all teams.
    """
    refuse(
        when(parent, "closed to the data"),
        403,
        "This model is not for the class of data that this key is for.",
    )


def _take_token(parent: Element) -> None:
    """The token is kept in a variable, so that it is never sent to another provider."""
    token = {"resource": FOUNDRY_AUDIENCE, "output-token-variable-name": "platform-token"}
    SubElement(parent, "authentication-managed-identity", token)


def _address(parent: Element, model: CatalogModel) -> None:
    """The model's name at its backend, the credential of the gateway, and the backend."""
    set_variable(parent, "served-model", literal(model.served_name))
    if model.provider == "foundry":
        set_header(parent, "Authorization", expression("bearer"))
    SubElement(parent, "set-backend-service", {"backend-id": shared_backend(model.name)})


def _forward(root: Element, catalog: Catalog) -> None:
    """The call is retried while it fails, and at last sent to the fallback. API Management allows one element
    in this section.

    The answer is not buffered, so that events of a stream arrive one by one.
    """
    backend = section(root, "backend")
    backend.remove(backend[0])
    again = {
        "condition": expression("another attempt"),
        "count": str(MAX_RETRIES),
        "interval": "1",
        "first-fast-retry": "true",
    }
    attempt = SubElement(backend, "retry", again)
    set_variable(attempt, "attempt", expression("next attempt"))
    wanted = {model.fallback for model in catalog.models}
    fallbacks = [model for model in catalog.models if model.name in wanted and model.serves_all]
    if fallbacks:
        turn = when(attempt, "the fallback's turn")
        remove_header(turn, "Authorization")
        choose = SubElement(turn, "choose")
        for model in fallbacks:
            branch = another_when(choose, "variable is", name="fallback-model", value=model.name)
            _open(branch, model)
            _address(branch, model)
        _keep_closed(turn)
        SubElement(turn, "set-body").text = expression("body")
    SubElement(attempt, "forward-request", {"buffer-request-body": "true", "buffer-response": "false"})


def _secure(answer: Element) -> None:
    for name in BACKEND_HEADERS:
        remove_header(answer, name)
    for name, value in SECURITY_HEADERS.items():
        set_header(answer, name, value)
