"""Each connector against the suite of connectors."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from msgspec.structs import replace

from enactor.conformance.clocks import ManualClock
from enactor.conformance.connector import ConnectorConformance, Subject
from enactor.conformance.radicale import Radicale
from enactor.conformance.salesforce import SalesforceServer
from enactor.conformance.watched import Watched
from enactor.connectors.internal import InternalConnector
from enactor.domain.outcome import ObjectRef
from enactor.stores.memory import MemoryStore
from tests.connectors.caldav.rig import MEETING
from tests.connectors.caldav.rig import Rig as CalendarRig
from tests.connectors.openapi.orders import Orders, serving
from tests.connectors.openapi.rig import CREATE, IDEMPOTENT, TEA
from tests.connectors.openapi.rig import TOOL as LOOKED_UP
from tests.connectors.openapi.rig import Rig as OrdersRig
from tests.connectors.proxy import Proxy
from tests.connectors.salesforce.rig import TASK
from tests.connectors.salesforce.rig import Rig as SalesforceRig


class NoteSubject(Subject):
    tool = "internal.create_note"
    arguments: ClassVar = {"title": "Tea", "body": "Assam"}
    bad_arguments: ClassVar = [{"title": ""}, {"title": 7}, {"body": "no title"}]

    def __init__(self) -> None:
        self._memory = MemoryStore(ManualClock())
        self._store = Watched(self._memory)
        super().__init__(InternalConnector(self._store, ManualClock()))  # type: ignore[arg-type]

    async def objects(self) -> int:
        """Those in the store."""
        return len(self._memory._records.objects)

    async def writes(self) -> int:
        """Every commit."""
        return len(self._store.commits)

    async def change(self, ref: ObjectRef) -> None:
        """Its version grows, as with every change."""
        objects = self._memory._records.objects
        stored = objects[self.tenant_id, ref.object_id]
        objects[self.tenant_id, ref.object_id] = replace(stored, version=stored.version + 1)


class TestInternal(ConnectorConformance):
    """Notes in the store."""

    @pytest.fixture
    def subject(self) -> Subject:
        """Over an empty store."""
        return NoteSubject()


class TaskSubject(Subject):
    tool = "crm.create_task"
    arguments: ClassVar = TASK
    bad_arguments: ClassVar = [{"subject": "x", "due_date": 7}, {"name": "x"}, {"subject": ""}]

    def __init__(self, rig: SalesforceRig) -> None:
        self._rig = rig
        super().__init__(rig.connector)

    async def objects(self) -> int:
        """Those that are not in the recycle bin."""
        return len(self._rig.org.live("Task"))

    async def writes(self) -> int:
        """What came to the server."""
        return len(self._rig.server.writes)

    async def change(self, ref: ObjectRef) -> None:
        """Another user edits the record."""
        self._rig.org.update("Task", ref.object_id, {"Description": "Mine now."})


class TestSalesforce(ConnectorConformance):
    """Tasks in the local organization."""

    @pytest.fixture
    async def subject(self) -> AsyncIterator[Subject]:
        """Over an organization with two accounts."""
        clock = ManualClock()
        async with SalesforceServer(clock) as server:
            rig = SalesforceRig(server, clock)
            yield TaskSubject(rig)
            await rig.close()


class EventSubject(Subject):
    tool = "calendar.draft_event"
    arguments: ClassVar = MEETING
    bad_arguments: ClassVar = [{"title": "x", "start": "soon"}, {"start": "2026-06-01"}, {**MEETING, "end": None}]

    def __init__(self, rig: CalendarRig) -> None:
        self._rig = rig
        super().__init__(rig.connector)

    async def objects(self) -> int:
        """The members of the collection."""
        return len(await self._rig.members())

    async def writes(self) -> int:
        """What came by."""
        return len(self._rig.proxy.writes)

    async def change(self, ref: ObjectRef) -> None:
        """Somebody edits the event in their own program."""
        await self._rig.change(str(ref.object_url))


class TestCalendar(ConnectorConformance):
    """Events in a real calendar."""

    @pytest.fixture
    async def subject(self, radicale: Radicale, request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
        """Over an empty calendar."""
        url = await radicale.make_calendar(f"suite-{abs(hash(request.node.nodeid))}")
        async with Proxy(url) as proxy:
            rig = CalendarRig(radicale, proxy, url, ManualClock())
            yield EventSubject(rig)
            await rig.close()


class OrderSubject(Subject):
    tool = CREATE
    arguments: ClassVar = TEA
    bad_arguments: ClassVar = [{"item": ""}, {"item": "tea", "quantity": 0}, {"quantity": 1}]

    def __init__(self, rig: OrdersRig) -> None:
        self._rig = rig
        super().__init__(rig.connector)

    async def objects(self) -> int:
        """The orders there are."""
        return len(self._rig.orders.by_id)

    async def writes(self) -> int:
        """What came by."""
        return len(self._rig.proxy.writes)

    async def change(self, ref: ObjectRef) -> None:
        """Somebody edits the order."""
        self._rig.orders.change(ref.object_id)


class TestOpenApi(ConnectorConformance):
    """Orders at an API that is only described, once found by their key and once sent with it."""

    @pytest.fixture(params=[LOOKED_UP, IDEMPOTENT], ids=["lookup", "idempotent"])
    async def subject(self, request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
        """Over an API without orders."""
        orders = Orders()
        async with serving(orders.app) as url, Proxy(url) as proxy:
            rig = OrdersRig(orders, proxy, ManualClock(), request.param)
            yield OrderSubject(rig)
            await rig.close()
