"""The expression that reads a call of the Responses API: its text, and the same in Python.

`make contract` compares the answers with those of the C#.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standins.gateway.context import Context

_FIELDS = (
    "include", "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model",
    "parallel_tool_calls", "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store",
    "stream", "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
    "truncation", "user",
)  # fmt: skip
_ITEMS = (
    "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
    "reasoning",
)  # fmt: skip
_PARTS = (
    "input_text", "input_image", "input_file", "input_audio", "output_text", "refusal", "summary_text",
    "reasoning_text", "text", "url_citation",
)  # fmt: skip
_INCLUDED = (
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
)
_SPELT = ("type", "role", "id", "file_id", "file_ids", "vector_store_ids")
_SENTENCES = {
    "background": "calls that run on are stored, and nothing is stored here.",
    "conversation": "nothing is stored here, so send the earlier messages in input.",
    "prompt": "it names a stored prompt. Send the text in instructions and input.",
    "previous_response_id": "nothing is stored here, so send the earlier messages in input.",
}
_FILES = "no team has files of its own here. Send the content in the call."
_OBJECTS = {
    "file_id": _FILES,
    "file_ids": _FILES,
    "vector_store_ids": "no team has stores of its own here.",
}
_REFERENCE = (
    "Nothing is stored here, so items of the input are sent whole, not as a reference (item_reference, or an "
    "id alone)."
)
_FORMS: dict[str, tuple[type, ...]] = {
    "input": (str, list),
    "instructions": (str,),
    "tools": (list,),
    "include": (list,),
}
_SPACE = re.compile(r"[ \t\n\r]*")
_UNPLAIN = re.compile(r'[^ -~]|["\\]')


@dataclass(frozen=True)
class _Pairs:
    """An object, with its keys in order."""

    pairs: list[tuple[str, Any]]


class _Refused(Exception):
    """Why, where, and the name that is told in place of `%`."""

    def __init__(self, why: str, place: str = "", named: str = "") -> None:
        super().__init__(why)
        self.why, self.place, self.named = why, place, named


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=float, parse_float=float)


def responses_call(context: Context) -> str:
    """What the expression `a call without storage` answers: its text says what that is."""
    text = context.request.body.decode()
    try:
        if context.variables["scanned-body"].split(" ", 4)[3] == "1":
            raise _Refused("A key stands twice in an object of the call.")
        return _unstored(text)
    except _Refused as refused:
        return _told(refused)


def _told(refused: _Refused) -> str:
    utf16 = refused.named.encode("utf-16-le", "surrogatepass")[:128]
    shown = _UNPLAIN.sub("?", "".join(chr(a + 256 * b) for a, b in zip(utf16[::2], utf16[1::2], strict=True)))
    place = refused.place.replace("%", shown)
    message = refused.why.replace("%", shown)
    return (
        f'!{{"error": {{"message": "{message}", "type": "invalid_request_error", "param": '
        + (f'"{place}"' if place else "null")
        + ', "code": "bad_request"}}'
    )


def _unstored(text: str) -> str:
    fields = list(_fields(text))
    start = end = text.index("{") + 1
    put = '"store":false' + ("," if fields else "")
    for key, value, begin, stop in fields:
        if key == "store":
            start, end, put = begin, stop, "false"
        _check_field(key, value)
        _check_inside(key, value)
    return text[:start] + put + text[end:]


def _fields(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """Of the top level: key, value, and where the value begins and ends."""
    at = _past(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        begin = _past(text, _past(text, at) + 1)
        value, stop = _DECODER.raw_decode(text, begin)
        yield key, value, begin, stop
        at = _past(text, stop)
        if text[at] == ",":
            at = _past(text, at + 1)


def _past(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _check_field(key: str, value: Any) -> None:
    if key == "store" and value is not None and not isinstance(value, bool):
        raise _Refused("The field store must be true or false.", key)
    if value is None:
        if key != "store" and _same_letters(key, "store"):
            raise _Refused("The field '%' is not served.", "%", key)
    elif key in _SENTENCES:
        if key != "background" or value is not False:
            raise _Refused(f"The field {key} is not served: {_SENTENCES[key]}", key)
    elif key not in _FIELDS:
        raise _Refused("The field '%' is not served.", "%", key)
    elif not isinstance(value, (str, _Pairs) if key == "tool_choice" else _FORMS.get(key, object)):
        raise _Refused("The field '%' has another form than its description says.", key, key)


def _check_inside(top: str, value: Any) -> None:
    if top == "tool_choice" and isinstance(value, _Pairs):
        _check_tree(value, top, top, 2)
    if top in ("include", "tools", "input") and isinstance(value, list):
        for number, item in enumerate(value):
            _check_item(top, item, f"{top}[{number}]")


def _check_item(top: str, item: Any, place: str) -> None:
    if top == "include":
        if item not in _INCLUDED:
            named = item if isinstance(item, str) else ""
            raise _Refused("The value '%' of include is not served.", place, named)
        return
    if not isinstance(item, _Pairs):
        raise _Refused("The field '%' must be a list of objects.", place, top)
    _check_tree(item, top, place, 3)


def _check_tree(value: Any, top: str, place: str, depth: int) -> None:
    """Everything below, in the order of the text; of a tool its own keys only."""
    if isinstance(value, list):
        for each in value:
            _check_tree(each, top, place, depth + 1)
    if not isinstance(value, _Pairs):
        return
    for key, each in value.pairs:
        for spelt in _SPELT:
            if key != spelt and _same_letters(key, spelt):
                raise _Refused(f"A key must be spelt {spelt}, in small letters.", place)
        if each is not None:
            _check_value(key, each, (top, place, depth))
        if top != "tools":
            _check_tree(each, top, place, depth + 1)
    _check_whole({key: each for key, each in value.pairs if each is not None}, top, place, depth)


def _check_value(key: str, value: Any, where: tuple[str, str, int]) -> None:
    top, place, depth = where
    if key in _OBJECTS:
        raise _Refused(f"The field {key} is not served: {_OBJECTS[key]}", place)
    if key != "type":
        return
    if not isinstance(value, str):
        raise _Refused("A type must be a text.", place)
    if top == "input":
        _check_input_type(value, place, depth)
    elif value not in ("function", "custom") and (top, value) != ("tool_choice", "allowed_tools"):
        why = (
            "The tool type '%' is not served: tools of the service run as the gateway, reach stored "
            "objects or send data elsewhere. Only function and custom are."
        )
        raise _Refused(why, place, value)


def _check_input_type(kind: str, place: str, depth: int) -> None:
    if kind == "item_reference":
        why = "The input type item_reference is not served: nothing is stored here, so items are sent whole."
        raise _Refused(why, place)
    if kind not in (_ITEMS if depth == 3 else _PARTS):
        raise _Refused("The input type '%' is not served.", place, kind)


def _check_whole(given: dict[str, Any], top: str, place: str, depth: int) -> None:
    """`given` is an object without what is null."""
    if (top, depth) in (("tools", 3), ("tool_choice", 2)) and "type" not in given:
        raise _Refused("A type must stand in each tool and in tool_choice.", place)
    if (top, depth) != ("input", 3):
        return
    is_thought = given.get("type") == "reasoning" and "id" in given
    if not given.keys() & {"type", "role"} or (
        is_thought and not given.keys() & {"content", "encrypted_content"}
    ):
        raise _Refused(_REFERENCE, place)


def _same_letters(one: str, other: str) -> bool:
    return one.isascii() and one.lower() == other


RESPONSES = r"""@{
    var fields = ("include input instructions max_output_tokens max_tool_calls metadata model"
        + " parallel_tool_calls prompt_cache_key reasoning safety_identifier service_tier store stream"
        + " stream_options temperature text tool_choice tools top_logprobs top_p truncation user").Split(' ');
    var items = ("message function_call function_call_output custom_tool_call custom_tool_call_output"
        + " reasoning").Split(' ');
    var parts = ("input_text input_image input_file input_audio output_text refusal summary_text"
        + " reasoning_text text url_citation").Split(' ');
    var included = ("message.input_image.image_url message.output_text.logprobs"
        + " reasoning.encrypted_content").Split(' ');
    var spelt = "type role id file_id file_ids vector_store_ids".Split(' ');
    var text = Encoding.UTF8.GetString(context.Request.Body.As<byte[]>(preserveContent: true));
    var twice = ((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 5)[3] == "1";
    var why = twice ? "A key stands twice in an object of the call." : "";
    int i = 0, n = text.Length, depth = 0, start = -1, end = -1, item = 0;
    bool isEmpty = true, isKey = false, isTyped = false, hasRole = false, isWhole = false, hasId = false;
    string top = "", named = "", type = "";
    var open = new char[66];
    var keys = new string[66];
    while (i < n && why == "") {
        var c = text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') { i++; continue; }
        if (c == ':') { isKey = false; i++; continue; }
        if (c == ',') {
            isKey = open[depth] == '{';
            if (depth == 2) { item++; }
            i++;
            continue;
        }
        if (c == '}' || c == ']') {
            if (depth == 3 && top == "input" && !isTyped && !hasRole
                || depth == 3 && top == "input" && type == "reasoning" && hasId && !isWhole) {
                why = "Nothing is stored here, so items of the input are sent whole, not as a reference"
                    + " (item_reference, or an id alone).";
            }
            if (c == '}' && !isTyped
                && (depth == 3 && top == "tools" || depth == 2 && top == "tool_choice")) {
                why = "A type must stand in each tool and in tool_choice.";
            }
            depth--;
            isKey = false;
            i++;
            continue;
        }
        var said = "";
        var j = i;
        if (c == '"') {
            var isEscaped = false;
            for (j = i + 1; text[j] != '"'; j++) {
                if (text[j] == '\\') { isEscaped = true; j++; }
            }
            said = text.Substring(i + 1, j - i - 1);
            j++;
            if (isEscaped && (isKey || keys[depth] == "type" || depth == 2)) {
                var plain = new StringBuilder();
                for (int k = 0; k < said.Length; k++) {
                    if (said[k] != '\\') { plain.Append(said[k]); continue; }
                    k++;
                    var at = "bfnrt".IndexOf(said[k]);
                    if (said[k] == 'u') {
                        plain.Append((char)Convert.ToInt32(said.Substring(k + 1, 4), 16));
                        k += 4;
                    } else { plain.Append(at < 0 ? said[k] : "\b\f\n\r\t"[at]); }
                }
                said = plain.ToString();
            }
        } else if (c != '{' && c != '[') {
            while (j < n && ",]} \t\n\r".IndexOf(text[j]) < 0) { j++; }
        }
        var isRead = top == "input" || top == "tool_choice" || top == "tools" && depth == 3;
        if (isKey) {
            keys[depth] = said;
            if (depth == 1) {
                top = said;
                isEmpty = false;
            }
            for (int k = 0; depth > 1 && isRead && k < spelt.Length; k++) {
                if (said.Length == spelt[k].Length && said != spelt[k]
                    && string.Equals(said, spelt[k], StringComparison.OrdinalIgnoreCase)) {
                    why = "A key must be spelt " + spelt[k] + ", in small letters.";
                }
            }
            i = j;
            continue;
        }
        var kind = c;
        var key = open[depth] == '{' ? keys[depth] : "";
        if (depth == 1) {
            if (top == "store") {
                start = i;
                end = j;
                if (kind != 't' && kind != 'f' && kind != 'n') {
                    why = "The field store must be true or false.";
                }
            } else if (top == "background" && kind != 'f' && kind != 'n') {
                why = "The field background is not served: calls that run on are stored, and nothing is"
                    + " stored here.";
            } else if (top == "conversation" && kind != 'n') {
                why = "The field conversation is not served: nothing is stored here, so send the earlier"
                    + " messages in input.";
            } else if (top == "prompt" && kind != 'n') {
                why = "The field prompt is not served: it names a stored prompt. Send the text in"
                    + " instructions and input.";
            } else if (top == "previous_response_id" && kind != 'n') {
                why = "The field previous_response_id is not served: nothing is stored here, so send the"
                    + " earlier messages in input.";
            } else if (top != "background" && !fields.Contains(top)
                && (kind != 'n' || string.Equals(top, "store", StringComparison.OrdinalIgnoreCase))) {
                why = "The field '%' is not served.";
                named = top;
            } else if (kind != 'n' && (top == "input" && kind != '"' && kind != '['
                || top == "instructions" && kind != '"' || top == "tool_choice" && kind != '"' && kind != '{'
                || (top == "tools" || top == "include") && kind != '[')) {
                why = "The field '%' has another form than its description says.";
                named = top;
            }
            isTyped = false;
        } else if (depth == 2 && top == "include" && (kind != '"' || !included.Contains(said))) {
            why = "The value '%' of include is not served.";
            named = said;
        } else if (depth == 2 && (top == "tools" || top == "input") && kind != '{') {
            why = "The field '%' must be a list of objects.";
            named = top;
        } else if (depth > 1 && isRead && kind != 'n') {
            if (key == "file_id" || key == "file_ids") {
                why = "The field " + key + " is not served: no team has files of its own here. Send the"
                    + " content in the call.";
            } else if (key == "vector_store_ids") {
                why = "The field vector_store_ids is not served: no team has stores of its own here.";
            } else if (key == "role" && depth == 3) {
                hasRole = true;
            } else if (key == "id" && depth == 3) {
                hasId = true;
            } else if ((key == "content" || key == "encrypted_content") && depth == 3) {
                isWhole = true;
            } else if (key == "type") {
                if (depth == (top == "tool_choice" ? 2 : 3)) {
                    isTyped = true;
                    type = said;
                }
                named = said;
                var isChoice = said == "allowed_tools" && top == "tool_choice";
                if (kind != '"') {
                    why = "A type must be a text.";
                } else if (said == "item_reference" && top == "input") {
                    why = "The input type item_reference is not served: nothing is stored here, so items are"
                        + " sent whole.";
                } else if (top == "input" && !(depth == 3 ? items : parts).Contains(said)) {
                    why = "The input type '%' is not served.";
                } else if (top != "input" && said != "function" && said != "custom" && !isChoice) {
                    why = "The tool type '%' is not served: tools of the service run as the gateway, reach"
                        + " stored objects or send data elsewhere. Only function and custom are.";
                }
            }
        }
        if (why == "" && (c == '{' || c == '[')) {
            depth++;
            open[depth] = c;
            keys[depth] = "";
            isKey = c == '{';
            if (depth == 2) { item = 0; }
            if (depth == 3) {
                isTyped = isTyped && top == "tool_choice";
                hasRole = false;
                hasId = false;
                isWhole = false;
                type = "";
            }
            j = i + 1;
        }
        i = j;
    }
    if (why != "") {
        var shown = new StringBuilder();
        for (int k = 0; k < named.Length && k < 64; k++) {
            var isPlain = named[k] >= ' ' && named[k] <= '~' && named[k] != '"' && named[k] != '\\';
            shown.Append(isPlain ? named[k] : '?');
        }
        var place = depth > 1 && open[2] == '[' ? top + "[" + item + "]" : top;
        if (depth == 1 && named == top) { place = shown.ToString(); }
        return "!{\"error\": {\"message\": \"" + why.Replace("%", shown.ToString())
            + "\", \"type\": \"invalid_request_error\", \"param\": "
            + (place == "" ? "null" : "\"" + place + "\"") + ", \"code\": \"bad_request\"}}";
    }
    var put = "false";
    if (start < 0) {
        start = text.IndexOf('{') + 1;
        end = start;
        put = isEmpty ? "\"store\":false" : "\"store\":false,";
    }
    return text.Substring(0, start) + put + text.Substring(end);
}"""
