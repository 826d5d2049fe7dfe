"""The expression that reads a request's body without changing it, and the one that names another model in it.

Json.NET changes what it reads and writes again: dates, numbers, comments, quotes. So the body is never
parsed by it: one loop over the text finds the value of the one top-level `model`, where null names no model,
and refuses every body that two readers could read differently. Only that value is replaced, or put in; every
other byte stays.
"""

from __future__ import annotations

#: What stands in the variable `scanned-body`: `!` and why the body is refused, or five parts with a space
#: between them: the positions (in UTF-16 units) between which the name of the model is written, in quotes;
#: `=` where a name or null stands there, `,` or `+` where the key must be put in, before other keys or as the
#: only one; `1` where an object inside the body has a key twice, else `0`; the name, decoded, empty for none.
#: The first number has a plus sign where a picture, sound or video is named by an address that is not `data:`
#: (the keys of vLLM's chat_utils.py). `int.Parse` takes the sign, so policies of earlier versions read it.
#:
#: States of the loop: 0 a value follows, 1 a key or the end of the object, 2 a key, 3 a colon, 4 a comma or
#: an end, 5 a value or the end of the list, 6 nothing. Keys are compared by sorting them, because no choice
#: of keys makes that slow.
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

#: The request's body as it came, with the name under which the backend knows the model.
BODY = r"""@{
    var text = (string)context.Variables["request-body"];
    var found = ((string)context.Variables["scanned-body"]).Split(new[] { ' ' }, 4);
    var name = "\"" + (string)context.Variables["served-model"] + "\"";
    if (found[2] != "=") { name = "\"model\":" + name + (found[2] == "," ? "," : ""); }
    return text.Substring(0, int.Parse(found[0])) + name + text.Substring(int.Parse(found[1]));
}"""

#: What a model server of KAITO's refused, as the client is shown it. Where a call does not fit its schema,
#: vLLM repeats all of the call, twice, and names files of the server: then the first fault is told, with its
#: place in the call. A short answer without these stays as it came.
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
