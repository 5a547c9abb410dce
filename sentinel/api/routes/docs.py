"""The API's own documentation, from files of this installation: it works without any network, and for identified people only."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from sentinel.access import Permission
from sentinel.api.description import describe
from sentinel.api.shape import needs

router = APIRouter(include_in_schema=False)

_FILES = Path(fastapi_offline.__file__).parent / "static"
_TYPES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}


@router.get("/docs")
@needs(Permission.DOCS_READ)
async def page(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url="/docs/files/swagger-ui-bundle.js",
        swagger_css_url="/docs/files/swagger-ui.css",
        swagger_favicon_url="/docs/files/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # else the page would ask a service on the internet whether we are well-formed
    )


@router.get("/docs/files/{name}")
@needs(Permission.DOCS_READ)
async def file(name: str) -> FileResponse:
    if name not in _TYPES:
        raise LookupError("there is no such file")
    return FileResponse(_FILES / name, media_type=_TYPES[name])


@router.get("/openapi.json")
@needs(Permission.DOCS_READ)
async def description(request: Request) -> JSONResponse:
    return JSONResponse(describe(request.app))
