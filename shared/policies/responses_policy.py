"""The part of the unified API's policy that is about the Responses API: served by a list of what is allowed,
and nothing is stored.

The service keeps answers unless it is told not to. All teams call it with the gateway's identity, so each
could read another's, and its own tools run with that identity. A server of vLLM ignores most of what it does
not know. So the gateway refuses what is in no list.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

from shared.policies.policy_xml import expression, refuse, refuse_body, respond, set_variable, when

_STORED = "Responses are not stored here, so none can be read, listed, cancelled or deleted by its id."


def refuse_stored(inbound: Element) -> None:
    """Refuse to read and to delete responses; before any product decides, because no model is asked for."""
    refuse(when(inbound, "a stored response"), 400, _STORED)


def read_responses(inbound: Element) -> None:
    """Refuse what is not served, make `store` false, and find the model's place in the changed body."""
    call = when(inbound, "a call of responses")
    set_variable(call, "responses-body", expression("a call without storage"))
    refused = when(call, "refused response")
    respond(refused, "400", expression("why the response is refused"), "Bad Request")
    SubElement(call, "set-body").text = expression("the variable", name="responses-body")
    set_variable(call, "scanned-body", expression("scanned body"))
    refuse_body(call)
