"""The parts of the unified API's policy that are about model servers of KAITO's (vLLM). A catalogue without
such models has none of them.

What the servers do, seen with vLLM 0.25.1 under the launcher of KAITO 0.12: they close connections without
saying so; they answer 429 without `Retry-After` while too many calls wait, and 501 with a page of HTML while
they load their model; they repeat a call that does not fit their schema, with paths of the server; and those
of multimodal models fetch media from any address, unless they are told not to.
"""

from __future__ import annotations

import json
from xml.etree.ElementTree import Element, SubElement

from shared.catalog.catalog import Catalog, CatalogModel
from shared.policies.policy_xml import expression, refuse, set_header, set_variable, when

#: A line in the log for each call that was sent a second time. Sampling leaves none of them out.
_IN_THE_LOG = {"source": "mergekey", "severity": "information"}
_REPEATED = "A call that the model server dropped was sent once more."
_MEDIA_ELSEWHERE = "This model fetches no pictures, sounds or videos. Send them in the call, as data: URLs."
_LOADING = {
    "message": "The model is being loaded. Try again later.",
    "type": "server_error",
    "param": None,
    "code": "server_error",
}


def has_kaito(catalog: Catalog) -> bool:
    return any(model.provider == "kaito" for model in catalog.models)


def set_provider(branch: Element, model: CatalogModel, *, repeats: bool) -> None:
    """Whether a server of KAITO's is asked, and whether a call that it drops is sent once more."""
    is_kaito = model.provider == "kaito"
    set_variable(branch, "kaito", "yes" if is_kaito else "no")
    set_variable(branch, "repeats", "yes" if is_kaito and repeats else "no")


def refuse_media(branch: Element, model: CatalogModel, catalog: Catalog) -> None:
    """Refuse addresses of pictures, sounds and videos where the model's pod would fetch any."""
    if catalog.fetches_media(model):
        refuse(when(branch, "names media elsewhere"), 400, _MEDIA_ELSEWHERE)


def once_more(attempt: Element) -> Element:
    """Where the call of an attempt belongs, so that it is sent once more, and counted, if it is dropped."""
    set_variable(attempt, "calls", expression("no attempt"))
    at_once = {"count": "1", "interval": "1", "first-fast-retry": "true"}
    call = SubElement(attempt, "retry", {"condition": expression("a repeat"), **at_once})
    counted = SubElement(when(call, "a second call"), "trace", _IN_THE_LOG)
    SubElement(counted, "message").text = _REPEATED
    model = expression("the variable", name="granted-model")
    SubElement(counted, "metadata", name="model", value=model)
    set_variable(call, "calls", expression("next call"))
    return call


def leave_busy_model(attempt: Element) -> None:
    """After the call, which answered: no second attempt at a busy model. The next one is the fallback's, or
    there is none.
    """
    busy = when(attempt, "KAITO is busy")
    set_variable(busy, "attempt", expression("the attempt before the fallback"))


def show_failures(outbound: Element) -> None:
    """In the form that OpenAI clients show: a model that is being loaded, and refusals."""
    loading = when(outbound, "KAITO is loading")
    SubElement(loading, "set-status", {"code": "503", "reason": "Service Unavailable"})
    set_header(loading, "Content-Type", "application/json")
    SubElement(loading, "set-body").text = json.dumps({"error": _LOADING})
    refused = when(outbound, "KAITO refused")
    set_header(refused, "Content-Type", "application/json")
    SubElement(refused, "set-body").text = expression("shown refusal")
