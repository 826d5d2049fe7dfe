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

from standins.gateway.body_scan import BODY, SCAN, body, header, scanned_body
from standins.gateway.context import Context
from standins.gateway.exchange import NotKnown
from standins.gateway.refusals import REFUSAL, shown_refusal
from standins.gateway.responses_call import RESPONSES, responses_call
from standins.gateway.verbs import (
    asked_model,
    asks_for_models,
    calls_tools,
    is_another_verb,
    is_not_served,
    one_model,
    operation,
    path,
    verb,
    what_is_served,
)

Value = Callable[[Context], Any]

_PLACE = re.compile(r"%(name|value)%")
_LITERAL = r"[A-Za-z0-9][A-Za-z0-9._:/ -]*"


def _found(context: Context, parts: int) -> list[str]:
    found: str = context.variables["scanned-body"]
    return found.split(" ", parts - 1)


def _requested_model(context: Context) -> str:
    in_path = context.request.parameters.get("deployment-id", "")
    return in_path or _found(context, 5)[4] or header(context.request, "x-ai-eg-model")


def _why_refused(context: Context) -> str:
    why: str = context.variables["scanned-body"][1:]
    rest = '", "type": "invalid_request_error", "param": null, "code": "bad_request"}}'
    return '{"error": {"message": "' + why + rest


def _has_a_key_twice(context: Context, value: str) -> bool:
    return _found(context, 5)[3] == "1" and context.variables["requested-model"] in value.split(" ")


def _creates_response(context: Context) -> bool:
    assert context.operation is not None, "in C# a null reference"
    return bool(context.operation["name"].endswith("responses"))


def _is_stored_response(context: Context) -> bool:
    return context.request.method != "POST" and "/responses/" in context.request.path.lower()


def _is_closed(context: Context) -> bool:
    return context.variables.get("data-class", "internal") not in context.variables["open-to"].split(" ")


def _attempts(context: Context) -> int:
    return int(context.variables["retries"]) + (2 if "fallback-model" in context.variables else 1)


def _another_attempt(context: Context) -> bool:
    answer = context.response
    is_busy = answer is not None and answer.status == 429
    failed = answer is None or is_busy or answer.status >= 500
    may_repeat = is_busy or not operation(context).endswith("images-generations")
    is_left: bool = context.variables["attempt"] < context.variables["attempts"]
    return failed and may_repeat and is_left


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


def _header_of_error(context: Context, name: str) -> str:
    answer = context.response
    return "" if answer is None else ",".join(answer.headers.getall(name, []))


def _is_503_without_a_time(context: Context) -> bool:
    answer = context.response
    return answer is not None and answer.status == 503 and not _header_of_error(context, "Retry-After")


def _is_kaitos(context: Context, *statuses: int) -> bool:
    answer = context.response
    return context.variables.get("kaito", "no") == "yes" and answer is not None and answer.status in statuses


def _repeats(context: Context) -> bool:
    if context.variables["repeats"] != "yes":
        return False
    if context.response is None:
        return context.last_error is None or context.last_error.reason != "Timeout"
    return context.response.status == 503


def _is_busy(context: Context) -> bool:
    answer = context.response
    says_no_time = (
        answer is not None and answer.status == 429 and not _header_of_error(context, "Retry-After")
    )
    return (
        context.variables["kaito"] == "yes"
        and says_no_time
        and context.variables["attempt"] < context.variables["attempts"]
    )


_PHRASES = {"401": "Unauthorized", "403": "Forbidden", "404": "Not Found", "429": "Too Many Requests"}
_ERROR_CODES = {"401": "invalid_api_key", "404": "not_found", "429": "rate_limit_exceeded"}


def _phrase(context: Context) -> str:
    status = context.variables["error-status"]
    failed = "Internal Server Error" if status[0] == "5" else "Bad Request"
    return "Service Unavailable" if status == "503" else _PHRASES.get(status, failed)


def _error(context: Context) -> str:
    status = context.variables["error-status"]
    failed = status[0] == "5"
    kind = "server_error" if failed else "rate_limit_error" if status == "429" else "invalid_request_error"
    code = _ERROR_CODES.get(status, "server_error" if failed else "bad_request")
    if status == "403":
        code = "insufficient_quota" if context.variables["error-Retry-After"] else "access_denied"
    told = "" if failed or context.last_error is None else context.last_error.message
    message = json.dumps(told or "The gateway could not serve this call.", ensure_ascii=False)
    return f'{{"error": {{"message": {message}, "type": "{kind}", "param": null, "code": "{code}"}}}}'


#: What it is called -> its text, and what it does with a call and the names in its places.
EXPRESSIONS: Mapping[str, tuple[str, Callable[..., Any]]] = {
    "scanned body": (SCAN, scanned_body),
    "refused body": (
        "@(((string)context.Variables[\"scanned-body\"])[0] == '!')",
        lambda context: context.variables["scanned-body"][0] == "!",
    ),
    "why the body is refused": (
        r"""@("{\"error\": {\"message\": \""
    + ((string)context.Variables["scanned-body"]).Substring(1)
    + "\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": \"bad_request\"}}")""",
        _why_refused,
    ),
    "requested model": (
        """@{
    var inPath = context.Request.MatchedParameters.GetValueOrDefault("deployment-id", "");
    if (inPath != "") { return inPath; }
    var inBody = ((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 5)[4];
    return inBody != "" ? inBody : context.Request.Headers.GetValueOrDefault("x-ai-eg-model", "");
}""",
        _requested_model,
    ),
    "screened, with a key twice": (
        """@(((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 5)[3]\
 == "1" && "%value%".Split(' ').Contains((string)context.Variables["requested-model"]))""",
        _has_a_key_twice,
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
    "request body": (
        "@(Encoding.UTF8.GetString(context.Request.Body.As<byte[]>(preserveContent: true)))",
        lambda context: context.request.body.decode(errors="replace"),
    ),
    "body": (BODY, body),
    "verb": (
        """@{
    var id = context.Operation.Id;
    return id.EndsWith("chat-completions", StringComparison.Ordinal) ? "chat"
        : id.EndsWith("completions", StringComparison.Ordinal) ? "completions"
        : id.EndsWith("embeddings", StringComparison.Ordinal) ? "embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "images" : "none";
}""",
        verb,
    ),
    "another verb": (
        """@{
    var id = context.Operation.Id;
    var path = id.EndsWith("embeddings", StringComparison.Ordinal) ? "embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "images/generations"
        : id.EndsWith("chat-completions", StringComparison.Ordinal)
            || !id.EndsWith("completions", StringComparison.Ordinal) ? "chat/completions" : "completions";
    return !((string)context.Variables["serves"]).Split(' ').Contains(path);
}""",
        is_another_verb,
    ),
    "what is served": (
        r"""@("{\"error\": {\"message\": \"" + (string)context.Variables["granted-model"]
    + " does not serve this. It serves: " + (string)context.Variables["serves"]
    + ".\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": \"bad_request\"}}")""",
        what_is_served,
    ),
    "a call with tools": (
        """@{
    if (((string)context.Variables["serves"]).Split(' ').Contains("tools")) { return false; }
    var call = JObject.Parse(Encoding.UTF8.GetString(context.Request.Body.As<byte[]>(preserveContent: true)));
    var tools = call["tools"];
    var functions = call["functions"];
    return tools != null && tools.HasValues || functions != null && functions.HasValues;
}""",
        calls_tools,
    ),
    "asks for models": (
        """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    return context.Request.Method == "GET" && (path.EndsWith("/models", StringComparison.OrdinalIgnoreCase)
        || path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase) >= 0);
}""",
        asks_for_models,
    ),
    "asked model": (
        """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    var at = path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase);
    return at < 0 ? "" : Uri.UnescapeDataString(path.Substring(at + 8));
}""",
        asked_model,
    ),
    "no model is named": (
        """@((string)context.Variables["asked-model"] == "")""",
        lambda context: context.variables["asked-model"] == "",
    ),
    "one of": (
        """@("%value%".Split(' ').Contains((string)context.Variables["%name%"]))""",
        lambda context, name, value: context.variables[name] in value.split(" "),
    ),
    "one model": (
        r"""@("{\"id\": \"" + (string)context.Variables["asked-model"]
    + "\", \"object\": \"model\", \"created\": 0, \"owned_by\": \"mergekey\"}")""",
        one_model,
    ),
    "not served": (
        """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    var isList = context.Request.Method == "GET"
        && (path.EndsWith("/models", StringComparison.OrdinalIgnoreCase)
            || path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase) >= 0);
    return context.Operation.Id.EndsWith("-other", StringComparison.Ordinal) && !isList;
}""",
        is_not_served,
    ),
    "path": (
        """@{
    var id = context.Operation.Id;
    return id.EndsWith("embeddings", StringComparison.Ordinal) ? "/embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "/responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "/images/generations"
        : id.EndsWith("chat-completions", StringComparison.Ordinal)
            || !id.EndsWith("completions", StringComparison.Ordinal) ? "/chat/completions" : "/completions";
}""",
        path,
    ),
    "a call of responses": (
        '@(context.Operation.Id.EndsWith("responses", StringComparison.Ordinal))',
        _creates_response,
    ),
    "a stored response": (
        (
            '@(context.Request.Method != "POST"'
            ' && context.Request.Url.Path.IndexOf("/responses/", StringComparison.OrdinalIgnoreCase) >= 0)'
        ),
        _is_stored_response,
    ),
    "a call without storage": (RESPONSES, responses_call),
    "refused response": (
        "@(((string)context.Variables[\"responses-body\"])[0] == '!')",
        lambda context: context.variables["responses-body"][0] == "!",
    ),
    "why the response is refused": (
        '@(((string)context.Variables["responses-body"]).Substring(1))',
        lambda context: context.variables["responses-body"][1:],
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
        (
            "@((context.Response == null || context.Response.StatusCode == 429"
            " || context.Response.StatusCode >= 500)"
            ' && (int)context.Variables["attempt"] < (int)context.Variables["attempts"]'
            " && (context.Response != null && context.Response.StatusCode == 429"
            ' || !context.Operation.Id.EndsWith("images-generations", StringComparison.Ordinal)))'
        ),
        _another_attempt,
    ),
    "the fallback's turn": (
        (
            '@(context.Variables.ContainsKey("fallback-model") && (int)context.Variables["attempt"] == '
            '(int)context.Variables["attempts"])'
        ),
        _fallbacks_turn,
    ),
    "names media elsewhere": (
        "@(((string)context.Variables[\"scanned-body\"])[0] == '+')",
        lambda context: context.variables["scanned-body"][0] == "+",
    ),
    "KAITO is loading": (
        (
            '@(context.Variables.GetValueOrDefault<string>("kaito", "no") == "yes"'
            " && context.Response != null && context.Response.StatusCode == 501)"
        ),
        lambda context: _is_kaitos(context, 501),
    ),
    "KAITO refused": (
        (
            '@(context.Variables.GetValueOrDefault<string>("kaito", "no") == "yes"'
            " && context.Response != null"
            " && (context.Response.StatusCode == 400 || context.Response.StatusCode == 422))"
        ),
        lambda context: _is_kaitos(context, 400, 422),
    ),
    "a repeat": (
        '@((string)context.Variables["repeats"] == "yes" && (context.Response == null'
        ' ? context.LastError == null || context.LastError.Reason != "Timeout"'
        " : context.Response.StatusCode == 503))",
        _repeats,
    ),
    "a second call": (
        '@((int)context.Variables["calls"] == 1)',
        lambda context: context.variables["calls"] == 1,
    ),
    "next call": (
        '@((int)context.Variables["calls"] + 1)',
        lambda context: context.variables["calls"] + 1,
    ),
    "KAITO is busy": (
        '@((string)context.Variables["kaito"] == "yes" && context.Response != null'
        " && context.Response.StatusCode == 429"
        ' && context.Response.Headers.GetValueOrDefault("Retry-After", "") == ""'
        ' && (int)context.Variables["attempt"] < (int)context.Variables["attempts"])',
        _is_busy,
    ),
    "the attempt before the fallback": (
        '@((int)context.Variables["attempts"] - (context.Variables.ContainsKey("fallback-model") ? 1 : 0))',
        lambda context: context.variables["attempts"] - ("fallback-model" in context.variables),
    ),
    "shown refusal": (REFUSAL, shown_refusal),
    "503 without Retry-After": (
        "@(context.Response != null && context.Response.StatusCode == 503"
        ' && context.Response.Headers.GetValueOrDefault("Retry-After", "") == "")',
        _is_503_without_a_time,
    ),
    "seconds of the breaker": (
        '@(context.Variables.GetValueOrDefault<string>("trip-seconds", "10"))',
        lambda context: context.variables.get("trip-seconds", "10"),
    ),
    "status of the error": (
        '@(context.Response == null ? "500" : context.Response.StatusCode.ToString())',
        lambda context: "500" if context.response is None else str(context.response.status),
    ),
    "header of the error": (
        '@(context.Response == null ? "" : context.Response.Headers.GetValueOrDefault("%name%", ""))',
        _header_of_error,
    ),
    "header is there": (
        '@((string)context.Variables["%name%"] == "" ? "delete" : "override")',
        lambda context, name: "delete" if context.variables[name] == "" else "override",
    ),
    "status": (
        '@(int.Parse((string)context.Variables["error-status"]))',
        lambda context: int(context.variables["error-status"]),
    ),
    "phrase of the status": (
        """@{
    var status = (string)context.Variables["error-status"];
    return status == "401" ? "Unauthorized" : status == "403" ? "Forbidden" : status == "404" ? "Not Found"
        : status == "429" ? "Too Many Requests" : status == "503" ? "Service Unavailable"
        : status[0] == '5' ? "Internal Server Error" : "Bad Request";
}""",
        _phrase,
    ),
    "error": (
        r"""@{
    var status = (string)context.Variables["error-status"];
    var failed = status[0] == '5';
    var code = status == "401" ? "invalid_api_key" : status == "404" ? "not_found"
        : status == "429" ? "rate_limit_exceeded" : failed ? "server_error"
        : status != "403" ? "bad_request"
        : (string)context.Variables["error-Retry-After"] != "" ? "insufficient_quota" : "access_denied";
    var message = failed || context.LastError == null || string.IsNullOrEmpty(context.LastError.Message)
        ? "The gateway could not serve this call." : context.LastError.Message;
    return "{\"error\": {\"message\": " + JsonConvert.SerializeObject(message) + ", \"type\": \""
        + (failed ? "server_error" : status == "429" ? "rate_limit_error" : "invalid_request_error")
        + "\", \"param\": null, \"code\": \"" + code + "\"}}";
}""",
        _error,
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
