"""The behavioural suite of the store port. A backend is supported when its subclass of `StoreConformance` passes.

A subclass provides the fixture `open_store`: a callable that opens the backend's store, empty at first in each test,
and the same one again after it was closed if the backend is durable. Such a backend subclasses
`DurableStoreConformance`, or `SharedStoreConformance` when several processes may have it open at once.
"""

from __future__ import annotations

from enactor.conformance.store.atomicity import AtomicitySuite
from enactor.conformance.store.base import OpenStore
from enactor.conformance.store.containment import ContainmentSuite
from enactor.conformance.store.durable import DurableSuite, EmbeddedSuite
from enactor.conformance.store.erasure import ErasureSuite
from enactor.conformance.store.intents import IntentSuite
from enactor.conformance.store.ledger import LedgerSuite
from enactor.conformance.store.listings import ListingSuite
from enactor.conformance.store.logs import LogSuite
from enactor.conformance.store.permits import PermitSuite
from enactor.conformance.store.registry import RegistrySuite
from enactor.conformance.store.runs import RunSuite
from enactor.conformance.store.shared import SharedSuite

__all__ = ["DurableStoreConformance", "OpenStore", "SharedStoreConformance", "StoreConformance"]


class StoreConformance(
    AtomicitySuite,
    ContainmentSuite,
    ErasureSuite,
    IntentSuite,
    LedgerSuite,
    ListingSuite,
    LogSuite,
    PermitSuite,
    RegistrySuite,
    RunSuite,
):
    """Everything that every store promises."""


class DurableStoreConformance(StoreConformance, DurableSuite, EmbeddedSuite):
    """Everything that a store promises which outlives its process, and belongs to one at a time."""


class SharedStoreConformance(StoreConformance, DurableSuite, SharedSuite):
    """Everything that a store promises which many processes use at once."""
