"""OAuth 2.0 in front of an MCP server: a client's token as each request's header (RFC 6749, section 4.4; RFC 6750)."""

from __future__ import annotations

from collections.abc import Mapping

from enactor.gateway.oauth import AccessToken, TokenSource


class OAuthHeaders:
    """The `Authorization` header from a client's tokens. One client speaks for every tenant.

    Args:
        source: the client's tokens.
    """

    per_tenant = False

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._given: AccessToken | None = None

    async def headers(self, tenant_id: str) -> Mapping[str, str]:
        """See `HeaderSource`. Raises `OAuthRefused`, `OAuthUnavailable`, `ConfigurationError`."""
        self._given = await self._source.token()
        return {"authorization": f"Bearer {self._given.value}"}

    async def refused(self, tenant_id: str) -> None:
        """The next request goes with another token."""
        if self._given is not None:
            self._source.refused(self._given)
