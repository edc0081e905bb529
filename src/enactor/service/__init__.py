"""The use cases. Every face calls these, and nothing below them."""

from __future__ import annotations

from enactor.pipeline.model import Context
from enactor.ports.artifacts import ArtifactStore
from enactor.service.core import Core, Limits
from enactor.service.decisions import Cancelled, Decided, Decisions
from enactor.service.drafting import Proposal
from enactor.service.erasure import Erasure, Erasures
from enactor.service.inspection import ExecutionView, Inspection, execution_view
from enactor.service.log import LogOptions, TenantLog
from enactor.service.operations import Operations, Resolution
from enactor.service.proposals import Proposals, Proposed
from enactor.service.registry import Registered, Registration, Registry
from enactor.service.restoration import Restoration
from enactor.service.switches import ContainmentReport
from enactor.service.undoing import Undoing


class Service:
    """All use cases over one set of ports.

    Attributes:
        proposals: propose, propose in batches, edit.
        decisions: approve, reject, cancel, execute again, expire.
        operations: kill switches, resolve, replay, budgets, policies.
        registry: action types.
        undoing: propose to take back what a run did.
        inspection: everything that only reads.
        restore: what a store from a backup does not know.
        log: the ledger's Merkle logs: checkpoints and proofs.
        erasures: erasing personal data.
    """

    def __init__(
        self,
        core: Core,
        pipeline: Context,
        log: LogOptions = LogOptions(),  # noqa: B008 - frozen
        artifacts: ArtifactStore | None = None,
    ) -> None:
        self.core = core
        self.proposals = Proposals(core)
        self.decisions = Decisions(core)
        self.operations = Operations(core, pipeline)
        self.registry = Registry(core)
        self.undoing = Undoing(core, self.registry)
        self.inspection = Inspection(core)
        self.restore = Restoration(core)
        self.log = TenantLog(core, log)
        self.erasures = Erasures(core, artifacts)


__all__ = [
    "Cancelled",
    "ContainmentReport",
    "Core",
    "Decided",
    "Erasure",
    "ExecutionView",
    "Limits",
    "LogOptions",
    "Proposal",
    "Proposed",
    "Registered",
    "Registration",
    "Resolution",
    "Service",
    "execution_view",
]
