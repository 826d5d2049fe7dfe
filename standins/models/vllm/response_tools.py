"""Tools as an answer of Responses repeats them: all fields of their kind."""

from __future__ import annotations

from standins.models.vllm.errors import Json

_FIELDS: dict[str, tuple[str, ...]] = {
    "function": (
        "name",
        "parameters",
        "strict",
        "type",
        "allowed_callers",
        "async",
        "defer_loading",
        "description",
        "output_schema",
    ),
    "custom": ("name", "type", "allowed_callers", "async", "defer_loading", "description", "format"),
    "mcp": (
        "server_label",
        "type",
        "allowed_callers",
        "allowed_tools",
        "authorization",
        "connector_id",
        "defer_loading",
        "headers",
        "require_approval",
        "server_description",
        "server_url",
        "tunnel_id",
    ),
    "code_interpreter": ("container", "type", "allowed_callers"),
    "web_search_preview": ("type", "search_content_types", "search_context_size", "user_location"),
    "web_search": ("type", "filters", "search_context_size", "user_location"),
    "file_search": ("type", "vector_store_ids", "filters", "max_num_results", "ranking_options"),
}
_CONTAINER = ("type", "file_ids", "memory_limit", "network_policy")


def shown_tool(tool: Json) -> Json:
    fields = _FIELDS.get(str(tool.get("type")))
    if fields is None:
        return tool
    found = {name: tool.get(name) for name in fields}
    if isinstance(container := found.get("container"), dict):
        found["container"] = {name: container.get(name) for name in _CONTAINER}
    return found
