"""How Cloud Storage says no: XML or JSON, as the API that was asked does.

Statuses and names are those of https://cloud.google.com/storage/docs/xml-api/reference-status and
https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

from aiohttp import web

JSON_API = re.compile(
    r"/(?:upload/|download/)?storage/v1(?:/b(?:/(?P<bucket>[^/?]+)(?P<objects>/o(?:[/?]|$))?)?)?|/batch/"
)
"""Paths of the JSON API; all others belong to the XML API."""


class Refusal(Exception):
    """What Cloud Storage answers instead of passing a request on."""

    def __init__(self, status: int, code: str, reason: str, details: str, parameter: str | None = None) -> None:
        super().__init__(details)
        self.status, self.code, self.reason, self.details, self.parameter = status, code, reason, details, parameter


def refused(request: web.BaseRequest, refusal: Refusal) -> web.Response:
    """As the API that was asked writes errors."""
    if JSON_API.match(request.raw_path):
        first: dict[str, str] = {"domain": "global", "reason": refusal.reason, "message": refusal.details}
        if refusal.status == 401:
            first |= {"locationType": "header", "location": "Authorization"}
        error = {"code": refusal.status, "message": refusal.details, "errors": [first]}
        response = web.json_response({"error": error}, status=refusal.status)
    else:
        elements: Mapping[str, str | None] = {
            "Code": refusal.code,
            "Message": refusal.details,
            "ParameterName": refusal.parameter,
            "Details": refusal.details,
        }
        inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items() if text is not None)
        text = f"<?xml version='1.0' encoding='UTF-8'?><Error>{inner}</Error>"
        response = web.Response(status=refusal.status, text=text, content_type="application/xml")
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/"'
    return response
