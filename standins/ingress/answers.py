"""Answers that proxies give by themselves."""

from __future__ import annotations

from aiohttp import web

from standins.ingress.habits import Habits

_REASONS = {
    301: "Moved Permanently",
    400: "Bad Request",
    404: "Not Found",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_BROKEN = "upstream connect error or disconnect/reset before headers."
#: Envoy's texts, where it says anything.
TIMED_OUT = "upstream request timeout"
REFUSED = (
    f"{_BROKEN} reset reason: remote connection failure, transport failure reason: delayed connect error: 111"
)
DISCONNECTED = f"{_BROKEN} reset reason: connection termination"
UNREACHED = f"{_BROKEN} reset reason: connection timeout"


def own(habits: Habits, status: int, text: str = "", location: str = "") -> web.Response:
    """`text` is Envoy's; nginx has a page for each status."""
    headers = {"Location": location} if location else {}
    if habits.proxy == "nginx":
        title = f"{status} {_REASONS.get(status, '')}"
        page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        page += f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        return web.Response(text=page, content_type="text/html", status=status, headers=headers)
    return web.Response(text=text or None, status=status, headers=headers)


def loading(method: str, path: str) -> web.Response:
    """Of a pod whose port is bound before vLLM has taken over, as with a model from Hugging Face."""
    if method == "GET":
        return web.Response(status=200 if path == "/metrics" else 404)
    title = f"Error code: 501\nMessage: Unsupported method ({method!r})."
    page = f"<!DOCTYPE HTML>\n<html><body><h1>Error response</h1><p>{title}</p></body></html>\n"
    return web.Response(status=501, text=page, content_type="text/html")
