"""The expressions of policies that this gateway can evaluate: the text, and what it does. Any other text is
refused.

The gateway of API Management runs C#. This one runs none: it knows the texts that Mergekey's policies are
made of, word by word but for the whitespace, with places (`%name%`) for names. The functions do what the C#
does, where it fails too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from standins.gateway.context import Context
from standins.gateway.exchange import NotKnown

Value = Callable[[Context], Any]

_PLACE = re.compile(r"%(name|value)%")
_LITERAL = r"[A-Za-z0-9][A-Za-z0-9._:/ -]*"


def _requested_model(context: Context) -> str:
    request = context.request
    in_path, in_body = request.parameters.get("deployment-id", ""), ""
    if request.body:
        try:
            named = request.json().get("model")
            in_body = "" if named is None else _text(named)
        except ValueError:
            return "!unreadable"
    if in_path and in_body and in_path != in_body:
        return "!contradiction"
    return in_path or in_body or request.headers.get("x-ai-eg-model", "")


def _text(value: Any) -> str:
    """What `(string)` makes of a JSON value. Raises ValueError for an object or a list."""
    if isinstance(value, dict | list):
        raise ValueError("no text")
    return value if isinstance(value, str) else json.dumps(value)


def _body(context: Context) -> str:
    body = context.request.json() if context.request.body else {}
    return json.dumps(body | {"model": context.variables["served-model"]})


def _path(context: Context) -> str:
    return "/embeddings" if context.request.path.endswith("/embeddings") else "/chat/completions"


def _is_closed(context: Context) -> bool:
    return context.variables.get("data-class", "internal") not in context.variables["open-to"].split(" ")


def _attempts(context: Context) -> int:
    return int(context.variables["retries"]) + (2 if "fallback-model" in context.variables else 1)


def _another_attempt(context: Context) -> bool:
    answer = context.response
    failed = answer is None or answer.status == 429 or answer.status >= 500
    return failed and context.variables["attempt"] < context.variables["attempts"]


def _fallbacks_turn(context: Context) -> bool:
    return (
        "fallback-model" in context.variables
        and context.variables["attempt"] == context.variables["attempts"]
    )


def _subscription(context: Context) -> str:
    assert context.subscription is not None, "in C# a null reference"
    return str(context.subscription["name"])


def _is(context: Context, name: str, value: str = "") -> bool:
    return bool(context.variables[name] == value)


#: What it is called -> its text, and what it does with a call and the names in its places.
EXPRESSIONS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "requested model": (
        """@{
    var inPath = context.Request.MatchedParameters.GetValueOrDefault("deployment-id", "");
    var inBody = "";
    var text = context.Request.Body == null ? "" : context.Request.Body.As<string>(preserveContent: true);
    if (!string.IsNullOrEmpty(text)) {
        try { inBody = (string)JObject.Parse(text)["model"] ?? ""; } catch (Exception) { return \
"!unreadable"; }
    }
    if (inPath != "" && inBody != "" && inPath != inBody) { return "!contradiction"; }
    if (inPath != "" || inBody != "") { return inPath != "" ? inPath : inBody; }
    return context.Request.Headers.GetValueOrDefault("x-ai-eg-model", "");
}""",
        _requested_model,
    ),
    "unreadable": (
        '@((string)context.Variables["requested-model"] == "!unreadable")',
        partial(_is, name="requested-model", value="!unreadable"),
    ),
    "contradiction": (
        '@((string)context.Variables["requested-model"] == "!contradiction")',
        partial(_is, name="requested-model", value="!contradiction"),
    ),
    "variable is": ('@((string)context.Variables["%name%"] == "%value%")', _is),
    "variable is set": (
        '@(context.Variables.ContainsKey("%name%"))',
        lambda context, name: name in context.variables,
    ),
    "variable is not set": (
        '@(!context.Variables.ContainsKey("%name%"))',
        lambda context, name: name not in context.variables,
    ),
    "the variable": ('@((string)context.Variables["%name%"])', lambda context, name: context.variables[name]),
    "closed to the data": (
        "@(!((string)context.Variables[\"open-to\"]).Split(' ')"
        '.Contains(context.Variables.GetValueOrDefault<string>("data-class", "internal")))',
        _is_closed,
    ),
    "subscription": ("@(context.Subscription.Id)", _subscription),
    "bearer": (
        '@("Bearer " + (string)context.Variables["platform-token"])',
        lambda context: "Bearer " + context.variables["platform-token"],
    ),
    "body": (
        """@{
    var body = context.Request.Body == null ? new JObject() : \
context.Request.Body.As<JObject>(preserveContent: true);
    body["model"] = (string)context.Variables["served-model"];
    return body.ToString();
}""",
        _body,
    ),
    "path": (
        '@(context.Request.Url.Path.EndsWith("/embeddings") ? "/embeddings" : "/chat/completions")',
        _path,
    ),
    "no attempt": ("@(0)", lambda _: 0),
    "attempts": (
        (
            '@(int.Parse((string)context.Variables["retries"]) + '
            '(context.Variables.ContainsKey("fallback-model") ? 2 : 1))'
        ),
        _attempts,
    ),
    "next attempt": (
        '@((int)context.Variables["attempt"] + 1)',
        lambda context: context.variables["attempt"] + 1,
    ),
    "another attempt": (
        "@((context.Response == null || context.Response.StatusCode == 429 || context.Response.StatusCode >= "
        "500)"
        ' && (int)context.Variables["attempt"] < (int)context.Variables["attempts"])',
        _another_attempt,
    ),
    "the fallback's turn": (
        (
            '@(context.Variables.ContainsKey("fallback-model") && (int)context.Variables["attempt"] == '
            '(int)context.Variables["attempts"])'
        ),
        _fallbacks_turn,
    ),
}


def value_of(text: str) -> Value:
    """What an attribute or a text stands for in a call: itself, or what its expression says. Raises
    NotKnown.
    """
    if "{{" in text:
        raise NotKnown(f"a named value in a policy: {text}")
    if not text.startswith(("@(", "@{")):
        return lambda _: text
    return _expression(_collapsed(text))


@lru_cache(maxsize=4096)
def _expression(text: str) -> Value:
    for pattern, function in _patterns():
        if found := pattern.fullmatch(text):
            return partial(function, **found.groupdict())
    raise NotKnown(f"the expression {text}")


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], Callable[..., Any]]]:
    return [(_pattern(text), function) for text, function in EXPRESSIONS.values()]


def _pattern(text: str) -> re.Pattern[str]:
    parts = _PLACE.split(_collapsed(text))
    places = [f"(?P<{name}>{_LITERAL})" for name in parts[1::2]]
    return re.compile("".join(a + b for a, b in zip(map(re.escape, parts[::2]), [*places, ""], strict=True)))


def _collapsed(text: str) -> str:
    return " ".join(text.split())
