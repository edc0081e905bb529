"""Writes down a database of the newest schema version, with records in it: `python tests/stores/freeze.py`.

Run it once for each version, before that version is released, and commit what it writes. Afterwards that file stays as
it is: it is how databases in the field look.
"""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import approved, calling, creation, ended
from enactor.domain.attempt import RunStatus
from enactor.ports.commands import (
    AppendApproval,
    CreateObject,
    RegisterActionType,
    ReserveRequest,
    SetBudget,
    SetKillSwitch,
    SetPolicies,
)
from enactor.ports.store import Store
from enactor.stores.sqlite import SqliteStore
from enactor.stores.sqlite.migrate import migrations

SCHEMAS = Path(__file__).with_name("schemas")


async def fill(store: Store, build: Builder) -> None:
    """At least one record of every kind."""
    pending = build.intent(effect_key="refund:1")
    await store.commit([creation(pending), ReserveRequest(request=build.request(pending)), build.entry(pending)])
    await store.commit([AppendApproval(approval=build.approval(pending))])
    await approved(store, build)
    await calling(store, build)
    for status in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.IN_DOUBT):
        await ended(store, build, status, account_id="south")
    await store.commit([RegisterActionType(action_type=build.action_type()), build.entry()])
    await store.commit([SetKillSwitch(switch=build.switch(f"tenant:{TENANT}"), expected_generation=0)])
    await store.commit([SetBudget(budget=build.budget(9)), SetPolicies(policies=build.policies())])
    await store.commit([CreateObject(object=build.object("key-1"))])
    await store.move_delivery_cursor("webhooks", 3)
    await store.keep_undelivered(build.undelivered(3))


async def _freeze() -> None:
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "enactor.db"
        store = await SqliteStore.open(path, clock=clock)
        await fill(store, Builder(clock))
        await store.close()
        with closing(sqlite3.connect(path)) as connection:
            lines = [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};" for name in _HEADER]
            lines += connection.iterdump()
    newest = migrations()[-1]
    (SCHEMAS / f"{newest.version:04d}_{newest.name}.sql").write_text("\n".join(lines) + "\n", "utf-8")


_HEADER = ("application_id", "user_version")

if __name__ == "__main__":
    asyncio.run(_freeze())
