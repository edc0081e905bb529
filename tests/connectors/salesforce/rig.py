"""The Salesforce connector over one organization, as a server would put it together."""

from __future__ import annotations

from typing import Any

from enactor.conformance.clocks import ManualClock
from enactor.conformance.salesforce import SalesforceServer
from enactor.connectors.context import ConnectorContext
from enactor.connectors.salesforce import SalesforceConnector
from tests.connectors.rig import KEY, NORTH, SOUTH, TENANT, ConnectorRig, Ended, context_of

__all__ = ["DEAL", "KEY", "NORTH", "SOUTH", "TASK", "TENANT", "Ended", "Rig"]

TASK: dict[str, Any] = {"subject": "Call Ana back", "due_date": "2026-06-01"}
DEAL: dict[str, Any] = {"name": "Ten tractors", "stage": "Prospecting", "close_date": "2026-09-30", "amount": 250_000.0}


class Rig(ConnectorRig):
    """Runs actions of tenant acme; its accounts north and south stand for two Accounts of the organization."""

    def __init__(self, server: SalesforceServer, clock: ManualClock, **organization: Any) -> None:
        self.server, self.clock = server, clock
        self.org = server.organization
        self.north = self.org.create("Account", {"Name": "North Farms"})
        self.south = self.org.create("Account", {"Name": "South Farms"})
        self.environment = {"CRM_SECRET": server.client_secret, "CRM_REFRESH": server.refresh_token}
        super().__init__(SalesforceConnector.configured(self.context(self.settings(**organization))), clock)

    def settings(self, **organization: Any) -> dict[str, Any]:
        """The connector's table, as it would be in enactor.toml."""
        oauth = {
            "token_url": f"{self.server.url}/services/oauth2/token",
            "client_id": self.server.client_id,
            "client_secret": "env:CRM_SECRET",
            **organization.pop("oauth", {}),
        }
        one = {
            "tenant": TENANT,
            "instance_url": self.server.url,
            "accounts": {NORTH: self.north, SOUTH: self.south},
            "oauth": oauth,
            **organization,
        }
        return {"organizations": [one]}

    def context(self, settings: dict[str, Any]) -> ConnectorContext:
        """A server's side, under which loopback may be called."""
        return context_of(self.clock, settings, self.environment)
