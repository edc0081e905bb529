"""OAuth 2.0 towards an MCP server: each request carries a token of its tenant's client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from enactor.domain.errors import ConfigurationError
from enactor.gateway.mcp_target import HeaderSource
from enactor.gateway.oauth import AccessToken, TokenSource


class OAuthHeaders(HeaderSource):
    """Bearer tokens, from one client for all tenants or from one for each.

    Args:
        name: the server's, for messages.
        common: the client of tenants without one of their own, and for listing tools.
        tenants: clients by tenant.
        more: further headers.
    """

    def __init__(
        self, name: str, common: TokenSource | None, tenants: Mapping[str, TokenSource], more: HeaderSource
    ) -> None:
        self._more = more
        self.per_tenant = bool(tenants)
        self._name = name
        self._common = common
        self._tenants = dict(tenants)
        self._given: dict[TokenSource, AccessToken] = {}

    async def headers(self, tenant_id: str) -> Mapping[str, str]:
        source = self._source(tenant_id)
        if source is None and not tenant_id:
            # Some servers tell anybody what tools they have; one that does not says 401, and has no tools then.
            return await self._more.headers(tenant_id)
        if source is None:
            raise ConfigurationError(f"The tenant has no OAuth client for the MCP server '{self._name}'.")
        token = self._given[source] = await source.token()
        return {**await self._more.headers(tenant_id), "authorization": f"Bearer {token.value}"}

    async def refused(self, tenant_id: str) -> bool:
        source = self._source(tenant_id)
        token = self._given.get(source) if source is not None else None
        return source.refused(token) if source is not None and token is not None else False

    def accepted(self, tenant_id: str) -> None:
        source = self._source(tenant_id)
        if source is not None and (token := self._given.get(source)) is not None:
            source.accepted(token)

    async def close(self) -> None:
        sources = [*self._tenants.values(), *([self._common] if self._common is not None else [])]
        await asyncio.gather(*(source.close() for source in sources))

    def _source(self, tenant_id: str) -> TokenSource | None:
        return self._tenants.get(tenant_id, self._common)
