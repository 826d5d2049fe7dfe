"""The expression that shows what a model server of KAITO's refused: its text, and the same in Python.

`make contract` compares the answers with those of the C#.
"""

from __future__ import annotations

import json
import re

from standins.gateway.context import Context

_LONGEST_AS_IT_CAME = 2000
_LONGEST_FAULT = 300
_LONGEST_MESSAGE = 500
_LONGEST_PARAMETER = 101  # with its quotes
_PLACE, _FAULT, _FILE, _LIBRARY = "'loc': (", "'msg': ", 'File "', "-packages/"
_MESSAGE = re.compile(r'"message": *("(?:[^"\\]|\\.)*")', re.DOTALL)
_PARAMETER = re.compile(r'"param": *("(?:[^"\\]|\\.)*")', re.DOTALL)
#: Json.NET writes these ends of lines as escapes, besides what every writer does.
_ENDS_OF_LINES = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def shown_refusal(context: Context) -> str:
    """What the expression answers: its text says what that is."""
    assert context.response is not None, "the policy made sure"
    text = context.response.body.decode(errors="replace")
    message: str = json.loads(_value(_MESSAGE, text) or '""', strict=False)
    is_short = _units(text) <= _LONGEST_AS_IT_CAME and text.startswith('{"error":')
    if is_short and message and not any(sign in message for sign in (_PLACE, _FILE, _LIBRARY)):
        return text
    told = json.dumps(_message(message), ensure_ascii=False).translate(_ENDS_OF_LINES)
    param = _value(_PARAMETER, text)
    if param is None or _units(param) > _LONGEST_PARAMETER:
        param = "null"
    return (
        f'{{"error": {{"message": {told}, "type": "invalid_request_error", "param": {param}, '
        '"code": "bad_request"}}'
    )


def _value(key: re.Pattern[str], text: str) -> str | None:
    """The text of the first such key, as it is written, with its quotes; None where no text follows."""
    first = text.find(key.pattern.partition(":")[0])
    found = key.match(text, first) if first >= 0 else None
    return found[1] if found else None


def _message(message: str) -> str:
    place, fault, file = message.find(_PLACE), message.find(_FAULT), message.find(_FILE)
    if file >= 0:
        message = message[:file].strip(" \n")
    if place >= 0 and place + 8 <= fault and fault + 8 < len(message):
        message = _first_fault(message, place, fault)
    if message == "" or _LIBRARY in message:
        message = "The model server refused the call."
    return f"{_cut(message, _LONGEST_MESSAGE)}..." if _units(message) > _LONGEST_MESSAGE else message


def _first_fault(message: str, place: int, fault: int) -> str:
    """What is wrong, without the quotes around it, and where."""
    where = message[place + 8 : fault].replace("'", "").rstrip(" ,)")
    end = message.find(f"{message[fault + 7]}, '", fault + 8)
    said = message[fault + 8 : end if end >= 0 else None]
    return f"{_cut(said, _LONGEST_FAULT)} ({where})"


def _units(text: str) -> int:
    """Its length as C# counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str, units: int) -> str:
    return text.encode("utf-16-le", "surrogatepass")[: 2 * units].decode("utf-16-le", "surrogatepass")


REFUSAL = r"""@{
    var text = context.Response.Body.As<string>(preserveContent: true) ?? "";
    var keys = new[] { "\"message\":", "\"param\":" };
    var told = new[] { "\"\"", "null" };
    for (int k = 0; k < 2; k++) {
        var at = text.IndexOf(keys[k], StringComparison.Ordinal);
        var i = at < 0 ? text.Length : at + keys[k].Length;
        while (i < text.Length && text[i] == ' ') { i++; }
        var j = i + 1;
        while (j < text.Length && text[j] != '"') { j += text[j] == '\\' ? 2 : 1; }
        if (j < text.Length && text[i] == '"' && (k == 0 || j <= i + 100)) {
            told[k] = text.Substring(i, j - i + 1);
        }
    }
    var message = JsonConvert.DeserializeObject<string>(told[0]);
    var file = message.IndexOf("File \"", StringComparison.Ordinal);
    var loc = message.IndexOf("'loc': (", StringComparison.Ordinal);
    var msg = message.IndexOf("'msg': ", StringComparison.Ordinal);
    var inside = message.IndexOf("-packages/", StringComparison.Ordinal);
    if (text.Length <= 2000 && message != "" && file < 0 && loc < 0 && inside < 0
        && text.StartsWith("{\"error\":", StringComparison.Ordinal)) { return text; }
    if (file >= 0) { message = message.Substring(0, file).Trim(' ', '\n'); }
    if (loc >= 0 && loc + 8 <= msg && msg + 8 < message.Length) {
        var place = message.Substring(loc + 8, msg - loc - 8).Replace("'", "").TrimEnd(' ', ',', ')');
        var end = message.IndexOf(message[msg + 7] + ", '", msg + 8, StringComparison.Ordinal);
        if (end < 0) { end = message.Length; }
        message = message.Substring(msg + 8, Math.Min(end - msg - 8, 300)) + " (" + place + ")";
    }
    if (message == "" || message.IndexOf("-packages/", StringComparison.Ordinal) >= 0) {
        message = "The model server refused the call.";
    }
    if (message.Length > 500) { message = message.Substring(0, 500) + "..."; }
    return "{\"error\": {\"message\": " + JsonConvert.SerializeObject(message)
        + ", \"type\": \"invalid_request_error\", \"param\": " + told[1]
        + ", \"code\": \"bad_request\"}}";
}"""
