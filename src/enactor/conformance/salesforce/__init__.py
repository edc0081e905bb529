"""A Salesforce organization on this machine: the parts of its REST API that the connector uses, and its manners.

Written from Salesforce's published REST API reference. Tests and demonstrations call it where a real organization
would be; `simple-salesforce`, a client that knows nothing of Enactor, is driven against it in the tests.
"""

from __future__ import annotations

from enactor.conformance.salesforce.faults import Fault
from enactor.conformance.salesforce.organization import Field, Organization, SObject, standard_objects
from enactor.conformance.salesforce.server import SalesforceServer

__all__ = ["Fault", "Field", "Organization", "SObject", "SalesforceServer", "standard_objects"]
