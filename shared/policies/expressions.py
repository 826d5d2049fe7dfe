"""Every expression that stands in a policy, by a name of ours. https://learn.microsoft.com/azure/api-management/api-management-policy-expressions

`%name%` and `%value%` are places for literals; nothing else in a text ever changes. Inside `return-response`
no expression reads `context.Response`: which response that is there is not documented, so what is needed of
it stands in variables before.
"""

from __future__ import annotations

from shared.policies.body_expressions import BODY, REFUSAL, SCAN
from shared.policies.responses_expressions import RESPONSES

EXPRESSIONS = {
    "scanned body": SCAN,
    "refused body": '@(((string)context.Variables["scanned-body"])[0] == \'!\')',
    "why the body is refused": r'''@("{\"error\": {\"message\": \""
    + ((string)context.Variables["scanned-body"]).Substring(1)
    + "\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": \"bad_request\"}}")''',
    # The path wins, as in Azure OpenAI; the header is for clients that can set neither path nor body.
    "requested model": """@{
    var inPath = context.Request.MatchedParameters.GetValueOrDefault("deployment-id", "");
    if (inPath != "") { return inPath; }
    var inBody = ((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 5)[4];
    return inBody != "" ? inBody : context.Request.Headers.GetValueOrDefault("x-ai-eg-model", "");
}""",
    # A key that stands twice in an object: content safety could read the one, the model the other.
    "screened, with a key twice": """@(((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 5)[3]\
 == "1" && "%value%".Split(' ').Contains((string)context.Variables["requested-model"]))""",
    "variable is": '@((string)context.Variables["%name%"] == "%value%")',
    "variable is set": '@(context.Variables.ContainsKey("%name%"))',
    "variable is not set": '@(!context.Variables.ContainsKey("%name%"))',
    "the variable": '@((string)context.Variables["%name%"])',
    # A product that was written before products said it, is taken for what a request is by default.
    "closed to the data": '@(!((string)context.Variables["open-to"]).Split(\' \')'
    '.Contains(context.Variables.GetValueOrDefault<string>("data-class", "internal")))',
    "subscription": "@(context.Subscription.Id)",
    "bearer": '@("Bearer " + (string)context.Variables["platform-token"])',
    "request body": "@(Encoding.UTF8.GetString(context.Request.Body.As<byte[]>(preserveContent: true)))",
    "body": BODY,
    # What a call asks for, by the operation that the unified API has for it.
    "verb": """@{
    var id = context.Operation.Id;
    return id.EndsWith("chat-completions", StringComparison.Ordinal) ? "chat"
        : id.EndsWith("completions", StringComparison.Ordinal) ? "completions"
        : id.EndsWith("embeddings", StringComparison.Ordinal) ? "embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "images" : "none";
}""",
    "another verb": """@{
    var id = context.Operation.Id;
    var path = id.EndsWith("embeddings", StringComparison.Ordinal) ? "embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "images/generations"
        : id.EndsWith("chat-completions", StringComparison.Ordinal)
            || !id.EndsWith("completions", StringComparison.Ordinal) ? "chat/completions" : "completions";
    return !((string)context.Variables["serves"]).Split(' ').Contains(path);
}""",
    "what is served": r'''@("{\"error\": {\"message\": \"" + (string)context.Variables["granted-model"]
    + " does not serve this. It serves: " + (string)context.Variables["serves"]
    + ".\", \"type\": \"invalid_request_error\", \"param\": null, \"code\": \"bad_request\"}}")''',
    # The body is one JSON object, which the scan has seen.
    "a call with tools": """@{
    if (((string)context.Variables["serves"]).Split(' ').Contains("tools")) { return false; }
    var call = JObject.Parse(Encoding.UTF8.GetString(context.Request.Body.As<byte[]>(preserveContent: true)));
    var tools = call["tools"];
    var functions = call["functions"];
    return tools != null && tools.HasValues || functions != null && functions.HasValues;
}""",
    # By the path: which of `/models/*` and `/*` wins is not documented.
    "asks for models": """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    return context.Request.Method == "GET" && (path.EndsWith("/models", StringComparison.OrdinalIgnoreCase)
        || path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase) >= 0);
}""",
    "asked model": """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    var at = path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase);
    return at < 0 ? "" : Uri.UnescapeDataString(path.Substring(at + 8));
}""",
    "no model is named": '@((string)context.Variables["asked-model"] == "")',
    "one of": '@("%value%".Split(\' \').Contains((string)context.Variables["%name%"]))',
    "one model": r'''@("{\"id\": \"" + (string)context.Variables["asked-model"]
    + "\", \"object\": \"model\", \"created\": 0, \"owned_by\": \"mergekey\"}")''',
    "not served": """@{
    var path = context.Request.Url.Path.TrimEnd('/');
    var isList = context.Request.Method == "GET"
        && (path.EndsWith("/models", StringComparison.OrdinalIgnoreCase)
            || path.IndexOf("/models/", StringComparison.OrdinalIgnoreCase) >= 0);
    return context.Operation.Id.EndsWith("-other", StringComparison.Ordinal) && !isList;
}""",
    "path": """@{
    var id = context.Operation.Id;
    return id.EndsWith("embeddings", StringComparison.Ordinal) ? "/embeddings"
        : id.EndsWith("responses", StringComparison.Ordinal) ? "/responses"
        : id.EndsWith("images-generations", StringComparison.Ordinal) ? "/images/generations"
        : id.EndsWith("chat-completions", StringComparison.Ordinal)
            || !id.EndsWith("completions", StringComparison.Ordinal) ? "/chat/completions" : "/completions";
}""",
    # The Responses API. No operation that creates none has such an id.
    "a call of responses": '@(context.Operation.Id.EndsWith("responses", StringComparison.Ordinal))',
    "a stored response": '@(context.Request.Method != "POST"'
    ' && context.Request.Url.Path.IndexOf("/responses/", StringComparison.OrdinalIgnoreCase) >= 0)',
    "a call without storage": RESPONSES,
    "refused response": '@(((string)context.Variables["responses-body"])[0] == \'!\')',
    "why the response is refused": '@(((string)context.Variables["responses-body"]).Substring(1))',
    # Attempts are counted from 1. The last one is the fallback's, where there is one.
    "no attempt": "@(0)",
    "attempts": '@(int.Parse((string)context.Variables["retries"])'
    ' + (context.Variables.ContainsKey("fallback-model") ? 2 : 1))',
    "next attempt": '@((int)context.Variables["attempt"] + 1)',
    # Pictures are paid for one by one: a call that may have made some is not sent again.
    "another attempt": "@((context.Response == null || context.Response.StatusCode == 429"
    " || context.Response.StatusCode >= 500)"
    ' && (int)context.Variables["attempt"] < (int)context.Variables["attempts"]'
    " && (context.Response != null && context.Response.StatusCode == 429"
    ' || !context.Operation.Id.EndsWith("images-generations", StringComparison.Ordinal)))',
    "the fallback's turn": '@(context.Variables.ContainsKey("fallback-model")'
    ' && (int)context.Variables["attempt"] == (int)context.Variables["attempts"])',
    # Servers of KAITO's. Without the variable no backend was chosen, as for a kept answer.
    "names media elsewhere": "@(((string)context.Variables[\"scanned-body\"])[0] == '+')",
    "KAITO is loading": '@(context.Variables.GetValueOrDefault<string>("kaito", "no") == "yes"'
    ' && context.Response != null && context.Response.StatusCode == 501)',
    "KAITO refused": '@(context.Variables.GetValueOrDefault<string>("kaito", "no") == "yes"'
    ' && context.Response != null'
    ' && (context.Response.StatusCode == 400 || context.Response.StatusCode == 422))',
    # vLLM closes connections without saying so. A call that waited in vain is not sent again.
    "a repeat": '@((string)context.Variables["repeats"] == "yes" && (context.Response == null'
    ' ? context.LastError == null || context.LastError.Reason != "Timeout"'
    ' : context.Response.StatusCode == 503))',
    "a second call": '@((int)context.Variables["calls"] == 1)',
    "next call": '@((int)context.Variables["calls"] + 1)',
    # KAITO's own 429 says nothing of when to come back: it is no use to ask again at once.
    "KAITO is busy": '@((string)context.Variables["kaito"] == "yes" && context.Response != null'
    ' && context.Response.StatusCode == 429'
    ' && context.Response.Headers.GetValueOrDefault("Retry-After", "") == ""'
    ' && (int)context.Variables["attempt"] < (int)context.Variables["attempts"])',
    "the attempt before the fallback": '@((int)context.Variables["attempts"]'
    ' - (context.Variables.ContainsKey("fallback-model") ? 1 : 0))',
    "shown refusal": REFUSAL,
    # An exhausted pool answers 503 and does not say when to come back.
    "503 without Retry-After": "@(context.Response != null && context.Response.StatusCode == 503"
    ' && context.Response.Headers.GetValueOrDefault("Retry-After", "") == "")',
    "seconds of the breaker": '@(context.Variables.GetValueOrDefault<string>("trip-seconds", "10"))',
    # What goes wrong in the gateway itself is not told; an error without a response is a 500.
    "status of the error": '@(context.Response == null ? "500" : context.Response.StatusCode.ToString())',
    "header of the error": '@(context.Response == null ? ""'
    ' : context.Response.Headers.GetValueOrDefault("%name%", ""))',
    "header is there": '@((string)context.Variables["%name%"] == "" ? "delete" : "override")',
    "status": '@(int.Parse((string)context.Variables["error-status"]))',
    "phrase of the status": """@{
    var status = (string)context.Variables["error-status"];
    return status == "401" ? "Unauthorized" : status == "403" ? "Forbidden" : status == "404" ? "Not Found"
        : status == "429" ? "Too Many Requests" : status == "503" ? "Service Unavailable"
        : status[0] == '5' ? "Internal Server Error" : "Bad Request";
}""",
    "error": r"""@{
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
}  # fmt: skip
