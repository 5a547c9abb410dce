"""The OpenAPI description as it is true here: each operation names its permission and who holds it, each error is a problem (RFC 9457).

In: the application.  Out: the document that ``/openapi.json`` serves.
"""

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from sentinel.access.policy import PERMISSIONS
from sentinel.api.problems import MEDIA_TYPE
from sentinel.api.shape import need_of

_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, and where"},
        "instance": {"type": "string", "description": "the path that was asked for"},
        "errors": {"type": "array", "items": {"type": "object"}, "description": "pointer and detail of each field that was not understood"},
    },
}
_ANY_ERROR = {"description": "a problem", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_REPLACED = ("HTTPValidationError", "ValidationError")  # FastAPI's own form of an error, which is never sent


def describe(app: FastAPI) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(app.openapi())
    schemas = document["components"]["schemas"]
    for name in _REPLACED:
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    for route in app.routes:
        need = need_of(route)
        if need is None or not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        needs = f"Needs `{need.permission}`: {', '.join(sorted(PERMISSIONS[need.permission]))}."
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["description"] = "\n\n".join(filter(None, (operation.get("description"), needs)))
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ANY_ERROR
    return document
