"""The expression that reads a call of the Responses API: it refuses what is not served, and makes `store`
false.

Nothing is parsed and written again: one loop over the text, which the scan of the body has found to be one
JSON object, looks at the keys and values that matter. Only the value of `store` is replaced, or put in.
https://learn.microsoft.com/azure/ai-services/openai/reference-preview-latest#create-response
"""

from __future__ import annotations

#: The text of the call with `store` false, or `!` and the refusal in OpenAI's form, which names the field,
#: type or value. A body begins with a brace or whitespace, so never with `!`.
#:
#: What is in no list is refused. Types are looked for in `input` at every depth, in each tool, and in
#: `tool_choice` at every depth. The schemas of functions, `metadata`, `text` and `reasoning` may name
#: anything. A backend may ignore the case of keys, so the keys that matter must be spelt as they are. An item
#: of the input without `type` is a message if it has a `role`, else the name of a stored item. Objects with a
#: key twice are refused, at any depth. Names are told with 64 characters at most, and `?` for what would need
#: an escape.
#:
#: A key follows where `isKey` is true; `kind` is the first character of a value.
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
