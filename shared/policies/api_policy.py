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
from shared.catalog.verbs import VERBS
from shared.names import shared_backend
from shared.policies.kaito_policy import (
    has_kaito,
    leave_busy_model,
    once_more,
    refuse_media,
    set_provider,
    show_failures,
)
from shared.policies.policy_xml import (
    FOUNDRY_AUDIENCE,
    REMAINING,
    SECURITY_HEADERS,
    another_when,
    expression,
    literal,
    policies,
    refuse,
    refuse_body,
    remove_header,
    respond,
    section,
    set_backend,
    set_header,
    set_variable,
    when,
    with_digest,
)
from shared.policies.responses_policy import read_responses, refuse_stored

#: A model's three retries and its fallback.
MAX_RETRIES = 4

#: The headers and parameters in which clients send credentials, in any of the spellings that API Management
#: or a provider reads.
CLIENT_HEADERS = (
    "api-key",
    "Ocp-Apim-Subscription-Key",
    "Authorization",
    "x-api-key",
    "Cookie",
    "api_key",
    "apikey",
    "x_api_key",
    "subscription-key",
    "Proxy-Authorization",
    "x-auth-token",
    "x-access-token",
    "x-goog-api-key",
    "x-functions-key",
    "x-amz-security-token",
)
CLIENT_PARAMETERS = ("api-key", "subscription-key")

#: The headers of backends that are removed from every answer.
BACKEND_HEADERS = ("Server", "X-Powered-By", "Set-Cookie", "openai-organization", "openai-project")


#: What an answer of `on-error` takes over from the answer that it replaces.
ERROR_HEADERS = ("Retry-After", "WWW-Authenticate", *REMAINING)

#: What a call of any other path is told.
_SERVED = (
    "Nothing is served here. With POST: "
    + ", ".join(verb.path for verb in VERBS)
    + "; with GET: models. Below /openai/v1, or below /openai/deployments/ and the name of a model."
)


def api_policy(catalog: Catalog) -> str:
    """Where each model of the catalogue is served."""
    root = policies()
    inbound = section(root, "inbound")
    inbound[:0] = list(_before_the_products(catalog))
    refuse(when(inbound, "variable is not set", name="granted-model"), 403, "This key belongs to no team.")
    _read_body(inbound)
    read_responses(inbound)
    _strip(inbound)
    choose = SubElement(inbound, "choose")
    for model in catalog.models:
        _route(another_when(choose, "variable is", name="granted-model", value=model.name), model, catalog)
    refuse(SubElement(choose, "otherwise"), 404, "This model is no longer served.")
    _refuse_other_verbs(inbound)
    own = when(inbound, "variable is not set", name="served-model")
    refuse(own, 404, "This model is served to no team that has no workspace of its own.")
    _keep_closed(inbound)
    set_variable(inbound, "attempt", expression("no attempt"))
    set_variable(inbound, "attempts", expression("attempts"))
    set_variable(inbound, "request-body", expression("request body"))
    SubElement(inbound, "set-body").text = expression("body")
    set_header(inbound, "Content-Type", "application/json")
    SubElement(inbound, "rewrite-uri", {"template": expression("path"), "copy-unmatched-params": "false"})
    _forward(root, catalog)
    _finish(section(root, "outbound"), with_kaito=has_kaito(catalog))
    _tell_error(section(root, "on-error"))
    return with_digest(root)


def _before_the_products(catalog: Catalog) -> Element:
    """The policies that run before those of products."""
    first = Element("inbound")
    _let_browsers_in(first, catalog.origins)
    if catalog.tokens is not None:
        _require_token(first, catalog.tokens)
    refuse_stored(first)
    refuse(when(first, "not served"), 404, _SERVED, "not_found")
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
    for method in ("GET", "POST", "DELETE"):
        SubElement(methods, "method").text = method
    SubElement(SubElement(cors, "allowed-headers"), "header").text = "*"
    exposed = SubElement(cors, "expose-headers")
    for name in ("Retry-After", *REMAINING):
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


def _read_body(inbound: Element) -> None:
    """Read the body here where the fragment of an earlier version, which does not, is still in place."""
    unread = when(inbound, "variable is not set", name="scanned-body")
    set_variable(unread, "scanned-body", expression("scanned body"))
    refuse_body(inbound)


def _strip(inbound: Element) -> None:
    for name in CLIENT_HEADERS:
        remove_header(inbound, name)
    for name in CLIENT_PARAMETERS:
        SubElement(inbound, "set-query-parameter", {"name": name, "exists-action": "delete"})


def _route(branch: Element, model: CatalogModel, catalog: Catalog) -> None:
    """The backend of the first attempt: the team's own workspace, or the shared one."""
    _open(branch, model)
    set_variable(branch, "serves", _abilities(model))
    set_variable(branch, "retries", str(model.retries))
    if has_kaito(catalog):
        set_provider(branch, model, repeats=model.retries == 0)
    refuse_media(branch, model, catalog)
    _take_tokens(branch, model, catalog)
    shared = branch
    if model.dedicated is not None:
        own = when(branch, "variable is set", name="dedicated")
        set_variable(own, "served-model", literal(model.workspace_name))
        shared = branch[-1]
    if model.serves_all:
        _address(shared if shared is branch else SubElement(shared, "otherwise"), model)


def _refuse_other_verbs(inbound: Element) -> None:
    """Say what the model serves, once for all models, because a policy has a largest length. It stands here
    and not in the products, so that a change of the catalogue holds for all teams at once.
    """
    respond(when(inbound, "another verb"), "400", expression("what is served"), "Bad Request")
    refuse(when(inbound, "a call with tools"), 400, "This model calls no tools. Send the call without them.")


def _abilities(model: CatalogModel) -> str:
    """What the model does, with a space between: the paths of its verbs, and `tools`."""
    served = [verb.path for verb in VERBS if verb.ability in model.serves]
    tools = ["tools"] if "tools" in model.serves else []
    return literal(" ".join((*served, *tools)))


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


def _take_tokens(branch: Element, model: CatalogModel, catalog: Catalog) -> None:
    """The platform's token, where this model or its fallback needs it.

    It is kept in a variable, so that it is sent to foundry only. Whether the header is set as well is not
    documented, so it is removed again; `_address` sets it.
    """
    fallback = catalog.model(model.fallback or "")
    if model.provider == "foundry":
        _take_token(branch)
    elif fallback is not None and fallback.provider == "foundry":
        _take_token(when(branch, "variable is set", name="fallback-model"))


def _take_token(parent: Element) -> None:
    token = {"resource": FOUNDRY_AUDIENCE, "output-token-variable-name": "platform-token"}
    SubElement(parent, "authentication-managed-identity", token)
    remove_header(parent, "Authorization")


def _address(parent: Element, model: CatalogModel) -> None:
    """The model's name at its backend, the credential of the gateway, and the backend."""
    set_variable(parent, "served-model", literal(model.served_name))
    if model.provider == "foundry":
        set_header(parent, "Authorization", expression("bearer"))
    if model.breaker is not None:
        set_variable(parent, "trip-seconds", str(model.breaker.trip))
    set_backend(parent, shared_backend(model.name))


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
    _turn_to_fallbacks(attempt, catalog)
    _call(once_more(attempt) if has_kaito(catalog) else attempt)
    if has_kaito(catalog):
        leave_busy_model(attempt)


def _turn_to_fallbacks(attempt: Element, catalog: Catalog) -> None:
    """In the last attempt the fallback is addressed instead, where the model has one."""
    wanted = {model.fallback for model in catalog.models}
    fallbacks = [model for model in catalog.models if model.name in wanted and model.serves_all]
    if not fallbacks:
        return
    turn = when(attempt, "the fallback's turn")
    remove_header(turn, "Authorization")
    choose = SubElement(turn, "choose")
    for model in fallbacks:
        branch = another_when(choose, "variable is", name="fallback-model", value=model.name)
        _open(branch, model)
        if has_kaito(catalog):
            set_provider(branch, model, repeats=True)
        refuse_media(branch, model, catalog)
        _address(branch, model)
    _keep_closed(turn)
    SubElement(turn, "set-body").text = expression("body")


def _call(attempt: Element) -> None:
    # Without this an attempt may stay with the member of a pool that has just failed. A product that was
    # written before products said it has no such variable.
    again_set = when(attempt, "variable is set", name="backend")
    SubElement(again_set, "set-backend-service", {"backend-id": expression("the variable", name="backend")})
    SubElement(attempt, "forward-request", {"buffer-request-body": "true", "buffer-response": "false"})


def _finish(outbound: Element, *, with_kaito: bool) -> None:
    for name in BACKEND_HEADERS:
        remove_header(outbound, name)
    for name, value in SECURITY_HEADERS.items():
        set_header(outbound, name, value)
    if with_kaito:
        show_failures(outbound)
    wait = when(outbound, "503 without Retry-After")
    set_header(wait, "Retry-After", expression("seconds of the breaker"))


def _tell_error(on_error: Element) -> None:
    """The error in the form that OpenAI clients show.

    The service allows no `set-body` here, and a new answer has no header of the one that it replaces. What
    is not there is deleted instead of set: a header without a value could be read as a number.
    """
    set_variable(on_error, "error-status", expression("status of the error"))
    for name in ERROR_HEADERS:
        set_variable(on_error, f"error-{name}", expression("header of the error", name=name))
    wait = when(on_error, "503 without Retry-After")
    set_variable(wait, "error-Retry-After", expression("seconds of the breaker"))
    answer = respond(on_error, expression("status"), expression("error"), expression("phrase of the status"))
    for name in ERROR_HEADERS:
        variable = f"error-{name}"
        action = expression("header is there", name=variable)
        kept = Element("set-header", {"name": name, "exists-action": action})
        SubElement(kept, "value").text = expression("the variable", name=variable)
        answer.insert(len(answer) - 1, kept)
