"""The expression that reads a request's body without changing it, and the one that names another model in it:
their texts, and the same in Python.

`make contract` compares the answers with those of the C#. Positions count UTF-16 units, as C# does.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from standins.gateway.context import Context
from standins.gateway.exchange import Request

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_WORD = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DEEPEST = 64
_MEDIA = ("image_url", "audio_url", "video_url")


class _Refused(Exception):
    """The body is refused; the text says why."""


_NO_JSON = "The body is not valid JSON."
_NO_OBJECT = "The body must be one JSON object."


def header(request: Request, name: str) -> str:
    """A header's values, as `GetValueOrDefault` joins them; empty for none."""
    return ",".join(request.headers.getall(name, []))


def scanned_body(context: Context) -> str:
    """What the expression `scanned body` answers: its text says what that is."""
    try:
        _check_headers(context.request)
        text = _decoded(context.request.body)
        return _Scan(text).answer()
    except _Refused as refused:
        return f"!{refused}"


def _check_headers(request: Request) -> None:
    kind, *parameters = header(request, "Content-Type").split(";")
    if kind.strip(" \t").lower() != "application/json":
        raise _Refused("The Content-Type must be application/json.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" \t").lower() == "charset" and value.strip(" \t").lower() not in ("utf-8", '"utf-8"'):
            raise _Refused("The charset must be utf-8.")
    if header(request, "Content-Encoding").strip(" \t").lower() not in ("", "identity"):
        raise _Refused("The body must have no Content-Encoding.")


def _decoded(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _Refused("The body must be UTF-8.") from error
    if text.startswith("\ufeff"):
        raise _Refused("The body must have no byte order mark.")
    return text


@dataclass
class _Scan:
    """The states are those of the C#."""

    text: str
    at: int = 0
    state: int = 0
    open: list[str] = field(default_factory=list)
    keys: list[list[str]] = field(default_factory=list)
    top: int = 0  # keys at the top level
    key: str = ""
    last: str = ""  # the key that was read last, at any level
    model: str = ""
    media: list[bool] = field(default_factory=list)  # whether the last key of each level is one of _MEDIA
    elsewhere: str = ""
    span: tuple[int, int] | None = None
    twice: str = "0"

    def answer(self) -> str:
        while self._skip_space() < len(self.text):
            self._step(self.text[self.at])
        if self.state == 0 and not self.open:
            raise _Refused(_NO_OBJECT)
        if self.state != 6:
            raise _Refused(_NO_JSON)
        start, end, put = self._place()
        span = f"{self.elsewhere}{_units(self.text[:start])} {_units(self.text[:end])}"
        return f"{span} {put} {self.twice} {self.model}"

    def _place(self) -> tuple[int, int, str]:
        if self.span is not None:
            return (*self.span, "=")
        first = self.text.index("{") + 1
        return first, first, "," if self.top else "+"

    def _skip_space(self) -> int:
        found = _SPACE.match(self.text, self.at)
        assert found is not None, "it matches nothing, too"
        self.at = found.end()
        return self.at

    def _step(self, c: str) -> None:
        if not self.open and (self.state != 0 or c != "{"):
            raise _Refused(_NO_OBJECT)
        if c == '"':
            self._string()
        elif (c == "}" and self.state in (1, 4)) or (c == "]" and self.state in (5, 4)):
            self._close(c)
        elif self.state == 3 and c == ":":
            self.state, self.at = 0, self.at + 1
        elif self.state == 4 and c == ",":
            self.state, self.at = (2 if self.open[-1] == "{" else 0), self.at + 1
        elif self.state not in (0, 5):
            raise _Refused(_NO_JSON)
        elif self._is_model() and c != "n":
            raise _Refused("The model must be a string.")
        elif c in "{[":
            self._begin(c)
        else:
            self._word()

    def _string(self) -> None:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise _Refused(_NO_JSON)
        if self.state in (1, 2):
            self._named(found[0])
        elif self.state in (0, 5):
            if self._is_model():
                self.span, self.model = found.span(), json.loads(found[0])
            if self._is_address() and not found[0].startswith('"data:'):
                self.elsewhere = "+"
            self.state = 4
        else:
            raise _Refused(_NO_JSON)
        self.at = found.end()

    def _named(self, written: str) -> None:
        name = json.loads(written)
        if len(self.open) == 1:
            if "\\" in written:
                raise _Refused("A key at the top level has an escape in it.")
            if name != "model" and name.lower() == "model":
                raise _Refused("The key must be spelt model, in small letters.")
            self.key, self.top = name, self.top + 1
        self.last, self.media[-1] = name, name in _MEDIA
        self.keys[-1].append(name)
        self.state = 3

    def _is_address(self) -> bool:
        """Whether the text that is read is the address of a medium: the value of its key, or of `url` in the
        object there.
        """
        if self.state != 0 or self.open[-1] != "{":
            return False
        is_inside = len(self.open) > 1 and self.open[-2] == "{" and self.media[-2]
        return self.media[-1] or (self.last == "url" and is_inside)

    def _begin(self, c: str) -> None:
        if len(self.open) == _DEEPEST:
            raise _Refused("The body is more than 64 levels deep.")
        self.open.append(c)
        self.keys.append([])
        self.media.append(False)
        self.state, self.at = (1 if c == "{" else 5), self.at + 1

    def _close(self, c: str) -> None:
        if self.open.pop() != ("{" if c == "}" else "["):
            raise _Refused(_NO_JSON)
        keys = self.keys.pop()
        self.media.pop()
        if len(keys) != len(set(keys)):
            if not self.open:
                raise _Refused("A key stands twice at the top level.")
            self.twice = "1"
        self.state, self.at = (4 if self.open else 6), self.at + 1

    def _word(self) -> None:
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise _Refused(_NO_JSON)
        if self._is_model():
            self.span = found.span()
        self.state, self.at = 4, found.end()

    def _is_model(self) -> bool:
        """Whether the value that is read is the name of the model."""
        return len(self.open) == 1 and self.key == "model"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def body(context: Context) -> str:
    """What the expression `body` answers."""
    text: bytes = context.variables["request-body"].encode("utf-16-le")
    start, end, put, _ = context.variables["scanned-body"].split(" ", 3)
    name = f'"{context.variables["served-model"]}"'
    if put != "=":
        name = f'"model":{name}' + ("," if put == "," else "")
    before, after = text[: 2 * int(start)], text[2 * int(end) :]
    return (before + name.encode("utf-16-le") + after).decode("utf-16-le")


SCAN = r"""@{
    var type = context.Request.Headers.GetValueOrDefault("Content-Type", "").Split(';');
    if (!string.Equals(type[0].Trim(' ', '\t'), "application/json", StringComparison.OrdinalIgnoreCase)) {
        return "!The Content-Type must be application/json.";
    }
    for (int p = 1; p < type.Length; p++) {
        var pair = type[p].Split(new[] { '=' }, 2);
        if (string.Equals(pair[0].Trim(' ', '\t'), "charset", StringComparison.OrdinalIgnoreCase)) {
            var charset = pair.Length < 2 ? "" : pair[1].Trim(' ', '\t').ToLowerInvariant();
            if (charset != "utf-8" && charset != "\"utf-8\"") { return "!The charset must be utf-8."; }
        }
    }
    var coding = context.Request.Headers.GetValueOrDefault("Content-Encoding", "").Trim(' ', '\t');
    if (coding != "" && !string.Equals(coding, "identity", StringComparison.OrdinalIgnoreCase)) {
        return "!The body must have no Content-Encoding.";
    }
    if (context.Request.Body == null) { return "!The body must be one JSON object."; }
    var bytes = context.Request.Body.As<byte[]>(preserveContent: true);
    var text = Encoding.UTF8.GetString(bytes);
    var again = Encoding.UTF8.GetBytes(text);
    var same = again.Length == bytes.Length;
    for (int b = 0; same && b < bytes.Length; b++) { same = again[b] == bytes[b]; }
    if (!same) { return "!The body must be UTF-8."; }
    if (text.Length > 0 && text[0] == '\uFEFF') { return "!The body must have no byte order mark."; }
    int i = 0, n = text.Length, depth = 0, state = 0, start = -1, end = -1;
    string key = "", last = "", model = "", twice = "0", elsewhere = "";
    var open = new char[65];
    var media = new bool[65];
    var keys = new List<string>[65];
    while (i < n) {
        var c = text[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') { i++; continue; }
        if (depth == 0 && (state != 0 || c != '{')) { return "!The body must be one JSON object."; }
        if (c == '"') {
            var j = i + 1;
            var escaped = false;
            while (j < n && text[j] != '"') {
                if (text[j] < ' ') { return "!The body is not valid JSON."; }
                if (text[j] == '\\') {
                    escaped = true;
                    j++;
                    if (j >= n || "\"\\/bfnrtu".IndexOf(text[j]) < 0) {
                        return "!The body is not valid JSON.";
                    }
                    for (int h = 1; text[j] == 'u' && h <= 4; h++) {
                        if (j + h >= n || "0123456789abcdefABCDEF".IndexOf(text[j + h]) < 0) {
                            return "!The body is not valid JSON.";
                        }
                    }
                    if (text[j] == 'u') { j += 4; }
                }
                j++;
            }
            if (j >= n) { return "!The body is not valid JSON."; }
            var isKey = state == 1 || state == 2;
            var isModel = !isKey && depth == 1 && key == "model";
            var name = "";
            if (isKey || isModel) {
                name = text.Substring(i + 1, j - i - 1);
                if (escaped) {
                    var plain = new StringBuilder();
                    for (int k = 0; k < name.Length; k++) {
                        if (name[k] != '\\') { plain.Append(name[k]); continue; }
                        k++;
                        var at = "bfnrt".IndexOf(name[k]);
                        if (name[k] == 'u') {
                            plain.Append((char)Convert.ToInt32(name.Substring(k + 1, 4), 16));
                            k += 4;
                        } else { plain.Append(at < 0 ? name[k] : "\b\f\n\r\t"[at]); }
                    }
                    name = plain.ToString();
                }
            }
            if (isKey) {
                if (depth == 1 && escaped) { return "!A key at the top level has an escape in it."; }
                if (depth == 1 && name != "model"
                    && string.Equals(name, "model", StringComparison.OrdinalIgnoreCase)) {
                    return "!The key must be spelt model, in small letters.";
                }
                if (depth == 1) { key = name; }
                last = name;
                media[depth] = name == "image_url" || name == "audio_url" || name == "video_url";
                keys[depth].Add(name);
                state = 3;
            } else if (state == 0 || state == 5) {
                if (isModel) { start = i; end = j + 1; model = name; }
                var isUrl = last == "url" && open[depth - 1] == '{' && media[depth - 1];
                if (state == 0 && open[depth] == '{' && (media[depth] || isUrl)
                    && string.CompareOrdinal(text, i + 1, "data:", 0, 5) != 0) { elsewhere = "+"; }
                state = 4;
            } else { return "!The body is not valid JSON."; }
            i = j + 1;
            continue;
        }
        if (c == '}' && (state == 1 || state == 4) || c == ']' && (state == 5 || state == 4)) {
            if (open[depth] != (c == '}' ? '{' : '[')) { return "!The body is not valid JSON."; }
            if (c == '}' && keys[depth].Count > 1) {
                keys[depth].Sort(StringComparer.Ordinal);
                for (int k = 1; k < keys[depth].Count; k++) {
                    if (keys[depth][k] == keys[depth][k - 1]) {
                        if (depth == 1) { return "!A key stands twice at the top level."; }
                        twice = "1";
                    }
                }
            }
            depth--;
            state = depth == 0 ? 6 : 4;
            i++;
            continue;
        }
        if (state == 3 && c == ':') { state = 0; i++; continue; }
        if (state == 4 && c == ',') { state = open[depth] == '{' ? 2 : 0; i++; continue; }
        if (state != 0 && state != 5) { return "!The body is not valid JSON."; }
        if (depth == 1 && key == "model" && c != 'n') { return "!The model must be a string."; }
        if (c == '{' || c == '[') {
            if (depth == 64) { return "!The body is more than 64 levels deep."; }
            depth++;
            open[depth] = c;
            if (c == '{' && keys[depth] == null) { keys[depth] = new List<string>(); }
            if (c == '{') { keys[depth].Clear(); }
            state = c == '{' ? 1 : 5;
            i++;
            continue;
        }
        var w = i;
        if (string.CompareOrdinal(text, i, "true", 0, 4) == 0) { w = i + 4; }
        else if (string.CompareOrdinal(text, i, "null", 0, 4) == 0) { w = i + 4; }
        else if (string.CompareOrdinal(text, i, "false", 0, 5) == 0) { w = i + 5; }
        else {
            if (c == '-') { w++; }
            var d = w;
            while (w < n && text[w] >= '0' && text[w] <= '9') { w++; }
            if (w == d || text[d] == '0' && w > d + 1) { return "!The body is not valid JSON."; }
            if (w < n && text[w] == '.') {
                w++;
                d = w;
                while (w < n && text[w] >= '0' && text[w] <= '9') { w++; }
                if (w == d) { return "!The body is not valid JSON."; }
            }
            if (w < n && (text[w] == 'e' || text[w] == 'E')) {
                w++;
                if (w < n && (text[w] == '+' || text[w] == '-')) { w++; }
                d = w;
                while (w < n && text[w] >= '0' && text[w] <= '9') { w++; }
                if (w == d) { return "!The body is not valid JSON."; }
            }
        }
        if (depth == 1 && key == "model") { start = i; end = w; }
        state = 4;
        i = w;
    }
    if (state == 0 && depth == 0) { return "!The body must be one JSON object."; }
    if (state != 6) { return "!The body is not valid JSON."; }
    var put = "=";
    if (start < 0) {
        start = text.IndexOf('{') + 1;
        end = start;
        put = keys[1].Count == 0 ? "+" : ",";
    }
    return elsewhere + start + " " + end + " " + put + " " + twice + " " + model;
}"""

BODY = r"""@{
    var text = (string)context.Variables["request-body"];
    var found = ((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 4);
    var name = "\"" + (string)context.Variables["served-model"] + "\"";
    if (found[2] != "=") { name = "\"model\":" + name + (found[2] == "," ? "," : ""); }
    return text.Substring(0, int.Parse(found[0])) + name + text.Substring(int.Parse(found[1]));
}"""
