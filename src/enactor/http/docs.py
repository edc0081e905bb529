"""`/docs`: Swagger UI over `/openapi.json`, with every file from this server."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from enactor.domain.errors import NotFound

router = APIRouter(include_in_schema=False)

_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
# Nothing is loaded from anywhere else, and nothing is sent anywhere else. Swagger UI styles its elements in place.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Enactor: HTTP API</title>
<link rel="icon" type="image/png" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers={"content-security-policy": _POLICY})


@router.get("/docs/assets/{name}")
async def asset(name: str) -> Response:
    """A file of the page."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript; charset=utf-8")
    media_type = _FILES.get(name)
    if media_type is None:
        raise NotFound("There is no such file.")
    return Response(_read(name), media_type=media_type, headers={"cache-control": "public, max-age=86400"})


@lru_cache(maxsize=len(_FILES))
def _read(name: str) -> bytes:
    return files("fastapi_swagger").joinpath("resources", name).read_bytes()
