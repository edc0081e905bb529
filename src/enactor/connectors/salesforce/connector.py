"""The tools of the Salesforce connector (specification, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from enactor.connectors.accounts import AccountTargets
from enactor.connectors.context import Check, ConnectorContext
from enactor.connectors.http_access import AccessSettings
from enactor.connectors.http_target import HttpTarget
from enactor.connectors.salesforce import creating, doctoring, updating
from enactor.connectors.salesforce.arguments import CreateOpportunity, CreateTask, UpdateField
from enactor.connectors.salesforce.organization import Organization
from enactor.connectors.salesforce.records import OPPORTUNITY, TASK
from enactor.connectors.salesforce.settings import OrganizationSettings, SalesforceSettings
from enactor.connectors.salesforce.site import Site
from enactor.connectors.sdk import (
    Connector,
    LookUpAnswer,
    PreviewResult,
    Refused,
    ToolCall,
    ToolResult,
    UndoArguments,
    tool,
)
from enactor.domain.action_type import RiskClass, TargetRule, WriteMode, WriteSemantics
from enactor.domain.canonical import digest
from enactor.domain.errors import ConfigurationError, ErrorClass
from enactor.domain.intent import Guard

_KIND: Final = "enactor/salesforce/v1"
LONGEST_TRANSACTION_SECONDS: Final = 600
"""Salesforce ends every transaction after ten minutes: what is not there then will not come any more."""

SEMANTICS: Final = WriteSemantics(
    mode=WriteMode.LOOKUP,
    has_lookup=True,
    absence_final_after_seconds=LONGEST_TRANSACTION_SECONDS + 60,
)


class SalesforceConnector(Connector):
    """Tasks, opportunities and single fields in Salesforce.

    Args:
        settings: the organizations.
        context: the server's side.
    """

    name: ClassVar[str] = "crm"

    def __init__(self, settings: SalesforceSettings, context: ConnectorContext) -> None:
        self.configuration_version = digest([_KIND, settings.model_dump(mode="json")])[:32]
        self._clock = context.clock
        self._organizations = AccountTargets(_KIND, settings.organizations, lambda one: _organization(one, context))

    @classmethod
    def configured(cls, context: ConnectorContext) -> SalesforceConnector:
        if not context.settings:
            raise ConfigurationError("The connector salesforce needs [[connector_settings.salesforce.organizations]].")
        return cls(SalesforceSettings.of(context.settings), context)

    def version_for(self, tenant_id: str, account_id: str) -> str:
        return self._organizations.version(tenant_id, account_id)

    async def doctor(self) -> Sequence[Check]:
        return [check for one in self._organizations.each for check in await doctoring.examine(one)]

    async def aclose(self) -> None:
        for one in self._organizations.each:
            await one.close()

    # -- creating --------------------------------------------------------------------------------------------------

    @tool(
        write=SEMANTICS,
        risk=RiskClass.LOW,
        undo="delete_created",
        lookup="find_task",
        action_type="CREATE_CRM_TASK",
        summary="Create the Salesforce task “{subject}”, due {due_date}",
    )
    async def create_task(self, args: CreateTask, call: ToolCall) -> ToolResult:
        """Creates a task about the account, one of its records or one of its contacts in Salesforce."""
        return await creating.create_task(self._site(call), args, call)

    @tool(
        write=SEMANTICS,
        risk=RiskClass.MEDIUM,
        undo="delete_created",
        lookup="find_opportunity",
        action_type="CREATE_CRM_OPPORTUNITY",
        summary="Create the Salesforce opportunity “{name}” at stage {stage}, closing {close_date}, amount {amount}",
    )
    async def create_opportunity(self, args: CreateOpportunity, call: ToolCall) -> ToolResult:
        """Creates an opportunity of the account in Salesforce."""
        return await creating.create_opportunity(self._site(call), args, call)

    async def find_task(self, args: CreateTask, call: ToolCall) -> LookUpAnswer:
        """The task that carries the call's key, in the recycle bin too."""
        return await creating.find(self._site(call), TASK, call.idempotency_key)

    async def find_opportunity(self, args: CreateOpportunity, call: ToolCall) -> LookUpAnswer:
        """The opportunity that carries the call's key, in the recycle bin too."""
        return await creating.find(self._site(call), OPPORTUNITY, call.idempotency_key)

    @tool(write=SEMANTICS, risk=RiskClass.MEDIUM, proposable=False, lookup="find_deleted")
    async def delete_created(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Deletes what was created, if it still carries our key and nobody changed it. Gone already is fine."""
        return await creating.delete_created(self._site(call), args, call)

    async def find_deleted(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether what the original key made is in the recycle bin."""
        return await creating.find_deleted(self._site(call), args)

    # -- updating --------------------------------------------------------------------------------------------------

    @tool(
        write=SEMANTICS,
        risk=RiskClass.MEDIUM,
        undo="restore_field",
        lookup="find_update",
        preview="preview_update",
        guard=Guard.CHECK_THEN_WRITE,
        action_type="UPDATE_CRM_FIELD",
        target=TargetRule(entity_type="salesforce_record", argument="record_id"),
        summary="Set {field} of the Salesforce {object_type} {record_id} to “{value}”",
    )
    async def update_field(self, args: UpdateField, call: ToolCall) -> ToolResult:
        """Sets one field of a record of the account in Salesforce."""
        return await updating.update_field(self._site(call), args, call)

    async def preview_update(self, args: UpdateField, call: ToolCall) -> PreviewResult:
        """The field as it is, and as it would be."""
        return await updating.preview(self._site(call), args)

    async def find_update(self, args: UpdateField, call: ToolCall) -> LookUpAnswer:
        """Whether the field has the value, set by us since the approved version; see `updating.find`."""
        return await updating.find(self._site(call), args, call.expected_version)

    @tool(write=SEMANTICS, risk=RiskClass.MEDIUM, proposable=False, lookup="find_restored")
    async def restore_field(self, args: UndoArguments, call: ToolCall) -> ToolResult:
        """Gives a field its earlier value back, if nobody changed the record since. Having it already is fine."""
        return await updating.restore_field(self._site(call), args, call)

    async def find_restored(self, args: UndoArguments, call: ToolCall) -> LookUpAnswer:
        """Whether the field has its earlier value back, by us."""
        return await updating.find_restored(self._site(call), args)

    # -- details ---------------------------------------------------------------------------------------------------

    def _site(self, call: ToolCall) -> Site:
        """The organization and Account that serve a call. Raises `Refused` when none does."""
        organization = self._organizations.find(call.tenant_id, call.account_id)
        if organization is None:
            raise Refused(
                "ACCOUNT_NOT_MAPPED",
                "The account stands for no Salesforce Account; name it under connector_settings.salesforce.",
                error_class=ErrorClass.VALIDATION,
            )
        return Site(organization, organization.settings.accounts[call.account_id], self._clock)


def _organization(settings: OrganizationSettings, context: ConnectorContext) -> Organization:
    what = f"Salesforce of tenant {settings.tenant}"
    access = AccessSettings(oauth=settings.oauth)
    target = HttpTarget.reached_by(what, settings.instance_url, access, (), context)
    return Organization(settings, target, context.clock)
