"""Salesforce through its REST API: tasks, opportunities and single fields, each written once.

`connector.py` has the tools, `organization.py` the conversation with one Salesforce organization, `replies.py` what its
answers mean, `records.py` what its records say about themselves.
"""

from __future__ import annotations

from enactor.connectors.salesforce.connector import SalesforceConnector
from enactor.connectors.salesforce.settings import OrganizationSettings, SalesforceSettings

__all__ = ["OrganizationSettings", "SalesforceConnector", "SalesforceSettings"]
