"""Any HTTP API with an OpenAPI document (3.0 or 3.1), by configuration: its operations become tools.

`document.py` reads documents, `schemas.py` turns their schemas into JSON Schema, `operations.py` makes an operation's
arguments of them and `requests.py` its requests; `calling.py` is the tool, `replies.py` what its answers mean.
"""

from __future__ import annotations

from enactor.connectors.openapi.connector import OpenApiConnector
from enactor.connectors.openapi.settings import ApiSettings, OpenApiSettings, ServerSettings, ToolSettings

__all__ = ["ApiSettings", "OpenApiConnector", "OpenApiSettings", "ServerSettings", "ToolSettings"]
