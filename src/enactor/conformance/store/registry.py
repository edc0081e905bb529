"""The registry, kill switches, policies, and the internal connector's objects."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from enactor.conformance.builders import ACCOUNT, TENANT, Builder
from enactor.conformance.clocks import ManualClock
from enactor.conformance.store.base import StoreSuite, refused
from enactor.domain.action_type import ActionType
from enactor.domain.errors import InvalidPageToken
from enactor.ports.commands import (
    Conflict,
    ConflictKind,
    CreateObject,
    DeleteObject,
    DeprecateActionType,
    RegisterActionType,
    SetKillSwitch,
    SetPolicies,
)
from enactor.ports.store import Store

NAME = "CREATE_INTERNAL_NOTE"


class RegistrySuite(StoreSuite):
    """What is configured rather than executed."""

    async def test_versions_of_an_action_type_only_grow(self, store: Store, build: Builder) -> None:
        """Each version follows the latest one; gaps and repetitions are refused with the latest."""
        assert await store.action_type("", NAME) is None
        first, second = build.action_type(), build.action_type(version=2, summary="second")
        await refused(store, build, ConflictKind.VERSION_CHANGED, [RegisterActionType(action_type=second)])
        await store.commit([RegisterActionType(action_type=first)])
        await store.commit([RegisterActionType(action_type=second)])
        for version in (1, 2, 4):
            command = RegisterActionType(action_type=build.action_type(version=version))
            conflict = await refused(store, build, ConflictKind.VERSION_CHANGED, [command])
            assert conflict.current == second
        assert await store.action_type("", NAME) == second
        assert await store.action_type("", NAME, 1) == first
        assert await store.action_type("", NAME, 2) == second
        for unknown in (0, 3, -1):
            assert await store.action_type("", NAME, unknown) is None

    async def test_of_racing_registrations_one_gets_the_version(self, store: Store, build: Builder) -> None:
        """Fifty registrations of one version at once: one is stored."""
        entries = [build.action_type(summary=str(number)) for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([RegisterActionType(action_type=entry)]) for entry in entries), return_exceptions=True
        )
        won = [entry for entry, result in zip(entries, results, strict=True) if result is None]
        assert [await store.action_type("", NAME)] == won
        assert all(r.kind is ConflictKind.VERSION_CHANGED for r in results if isinstance(r, Conflict))

    async def test_a_tenants_entry_is_its_own(self, store: Store, build: Builder) -> None:
        """A tenant's override has its own versions, and neither the platform nor another tenant sees it."""
        own = build.action_type(tenant_id=TENANT, summary="stricter")
        await store.commit([RegisterActionType(action_type=own)])
        assert await store.action_type(TENANT, NAME) == own
        assert await store.action_type("", NAME) is None
        assert await store.action_type("globex", NAME) is None
        await store.commit([RegisterActionType(action_type=build.action_type())])
        assert await store.action_type(TENANT, NAME) == own

    async def test_only_the_latest_version_is_deprecated(self, store: Store, build: Builder) -> None:
        """Deprecation replaces the latest version and no other, and does not hold up the next one."""
        first, second = build.action_type(), build.action_type(version=2)
        await refused(store, build, ConflictKind.VERSION_CHANGED, [DeprecateActionType(action_type=first)])
        await store.commit([RegisterActionType(action_type=first)])
        await store.commit([RegisterActionType(action_type=second)])
        old = DeprecateActionType(action_type=replace(first, deprecated_at=build.now()))
        await refused(store, build, ConflictKind.VERSION_CHANGED, [old])
        latest = replace(second, deprecated_at=build.now())
        await store.commit([DeprecateActionType(action_type=latest)])
        assert await store.action_type("", NAME) == latest
        assert await store.action_type("", NAME, 2) == latest
        await store.commit([RegisterActionType(action_type=build.action_type(version=3))])

    async def test_the_registry_is_listed_by_name(self, store: Store, build: Builder) -> None:
        """The latest version of each entry of the platform and the tenant, page by page, each once."""
        expected: list[ActionType] = []
        for name in ("C_THIRD", "A_FIRST", "B_SECOND"):
            await store.commit([RegisterActionType(action_type=build.action_type(name))])
            latest = build.action_type(name, version=2)
            await store.commit([RegisterActionType(action_type=latest)])
            expected.append(latest)
        own = build.action_type("B_SECOND", tenant_id=TENANT)
        theirs = build.action_type("B_SECOND", tenant_id="globex")
        await store.commit([RegisterActionType(action_type=own)])
        await store.commit([RegisterActionType(action_type=theirs)])
        third, first, second = expected
        for limit in (1, 2, 10):
            found: list[ActionType] = []
            token: str | None = None
            while True:
                page = await store.list_action_types(TENANT, limit, token)
                found += page.items
                token = page.next_token
                if token is None:
                    break
                with pytest.raises(InvalidPageToken):
                    await store.list_action_types("globex", limit, token)
            assert found == [first, second, own, third]

    # -- kill switches -------------------------------------------------------------------------------------------

    async def test_a_switch_turns_one_generation_at_a_time(self, store: Store, build: Builder) -> None:
        """Turning needs the next generation over the one that was seen; setting it again does not."""
        scope = "tenant:acme"
        on = build.switch(scope, 1)
        for generation, expected in ((0, 0), (2, 1), (2, 0), (1, 1)):
            wrong = SetKillSwitch(switch=build.switch(scope, generation), expected_generation=expected)
            await refused(store, build, ConflictKind.VERSION_CHANGED, [wrong])
        await store.commit([SetKillSwitch(switch=on, expected_generation=0)])
        assert await store.switches([scope, "global"]) == {scope: on}
        reworded = replace(on, reason="Still wrong.")
        await store.commit([SetKillSwitch(switch=reworded, expected_generation=1)])
        quietly_off = replace(on, enabled=False)
        conflict = await refused(
            store, build, ConflictKind.VERSION_CHANGED, [SetKillSwitch(switch=quietly_off, expected_generation=1)]
        )
        assert conflict.current == reworded
        off = replace(on, enabled=False, generation=2)
        await store.commit([SetKillSwitch(switch=off, expected_generation=1)])
        assert await store.switches([scope]) == {scope: off}

    async def test_of_racing_turns_one_wins(self, store: Store, build: Builder) -> None:
        """Fifty turns of one switch at once: one happens."""
        switches = [build.switch("global", 1, reason=str(number)) for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([SetKillSwitch(switch=it, expected_generation=0)]) for it in switches),
            return_exceptions=True,
        )
        won = [it for it, result in zip(switches, results, strict=True) if result is None]
        assert [(await store.switches(["global"]))["global"]] == won

    async def test_a_tenant_sees_its_switches_and_the_platforms(self, store: Store, build: Builder) -> None:
        """Listed by scope, without any other tenant's."""
        scopes = ("tenant:acme", "global", "tenant:globex", "connector:internal", "tenant:acme/connector:internal")
        for scope in scopes:
            await store.commit([SetKillSwitch(switch=build.switch(scope), expected_generation=0)])
        listed = [switch.scope for switch in await store.list_switches(TENANT)]
        assert listed == ["connector:internal", "global", "tenant:acme", "tenant:acme/connector:internal"]
        assert [switch.scope for switch in await store.list_switches("")] == ["connector:internal", "global"]

    # -- policies ------------------------------------------------------------------------------------------------

    async def test_policies_are_replaced_version_by_version(self, store: Store, build: Builder) -> None:
        """A tenant's policies follow the stored version, and are the tenant's own."""
        assert await store.policies(TENANT) is None
        await refused(store, build, ConflictKind.VERSION_CHANGED, [SetPolicies(policies=build.policies(2))])
        first, second = build.policies(1, text="permit(principal, action, resource);"), build.policies(2)
        await store.commit([SetPolicies(policies=first)])
        assert await store.policies(TENANT) == first
        conflict = await refused(store, build, ConflictKind.VERSION_CHANGED, [SetPolicies(policies=first)])
        assert conflict.current == first
        await store.commit([SetPolicies(policies=second)])
        assert await store.policies(TENANT) == second
        assert await store.policies("globex") is None

    # -- internal objects ----------------------------------------------------------------------------------------

    async def test_a_key_makes_one_object(self, store: Store, build: Builder) -> None:
        """The second creation is refused with the first object, for each tenant apart."""
        made = build.object("key-1")
        await store.commit([CreateObject(object=made)])
        again = build.object("key-1", object_id="note_other", body={"title": "other"})
        conflict = await refused(store, build, ConflictKind.OBJECT_EXISTS, [CreateObject(object=again)])
        assert conflict.current == made
        same_id = build.object("key-2", object_id=made.object_id)
        await refused(store, build, ConflictKind.OBJECT_EXISTS, [CreateObject(object=same_id)])
        theirs = build.object("key-1", tenant_id="globex", object_id="note_theirs")
        await store.commit([CreateObject(object=theirs)])
        assert await store.object_by_key(TENANT, "key-1") == made
        assert await store.object(TENANT, made.object_id) == made
        assert await store.object_by_key("globex", "key-1") == theirs
        assert await store.object(TENANT, theirs.object_id) is None

    async def test_of_racing_creations_one_makes_it(self, store: Store, build: Builder) -> None:
        """Fifty creations under one key at once make one object, which all the others are shown."""
        made = [build.object("key-1", object_id=f"note_{number}") for number in range(50)]
        results = await asyncio.gather(
            *(store.commit([CreateObject(object=it)]) for it in made), return_exceptions=True
        )
        won = [it for it, result in zip(made, results, strict=True) if result is None]
        assert len(won) == 1
        assert [r.current for r in results if isinstance(r, Conflict)] == won * 49

    async def test_an_object_is_deleted_at_its_version(self, store: Store, build: Builder) -> None:
        """Another version or tenant deletes nothing; deleting twice finds nothing."""
        made = build.object("key-1")
        await store.commit([CreateObject(object=made)])
        delete = DeleteObject(tenant_id=TENANT, object_id=made.object_id, expected_version=1)
        conflict = await refused(store, build, ConflictKind.VERSION_CHANGED, [replace(delete, expected_version=2)])
        assert conflict.current == made
        await refused(store, build, ConflictKind.NOT_FOUND, [replace(delete, tenant_id="globex")])
        await store.commit([delete])
        assert await store.object_by_key(TENANT, "key-1") is None
        assert await store.object(TENANT, made.object_id) is None
        assert (await store.list_objects(TENANT, "note", None, 10, None)).items == ()
        await refused(store, build, ConflictKind.NOT_FOUND, [delete])

    async def test_a_deleted_objects_key_stays_used(self, store: Store, build: Builder) -> None:
        """A call that comes late under the key of a deleted object does not make it a second time."""
        made = build.object("key-1")
        await store.commit([CreateObject(object=made)])
        await store.commit([DeleteObject(tenant_id=TENANT, object_id=made.object_id, expected_version=1)])
        conflict = await refused(store, build, ConflictKind.OBJECT_EXISTS, [CreateObject(object=made)])
        assert conflict.current == made
        assert await store.object_by_key(TENANT, "key-1") is None

    async def test_objects_are_listed_newest_first(self, store: Store, build: Builder, clock: ManualClock) -> None:
        """By type, accounts and tenant, page by page, each once, with tokens good for that listing alone."""
        made = []
        for number in range(6):
            account = ACCOUNT if number % 2 else "south"
            made.append(build.object(f"key-{number}", account_id=account))
            await store.commit([CreateObject(object=made[-1])])
            clock.advance(number // 3)
        await store.commit([CreateObject(object=build.object("task", object_type="task"))])
        await store.commit([CreateObject(object=build.object("theirs", tenant_id="globex"))])
        made.reverse()

        async def listed(accounts: tuple[str, ...] | None, limit: int) -> list[object]:
            found: list[object] = []
            token: str | None = None
            while True:
                page = await store.list_objects(TENANT, "note", accounts, limit, token)
                found += page.items
                token = page.next_token
                if token is None:
                    return found
                for tenant_id, kind, of in (
                    ("globex", "note", accounts),
                    (TENANT, "task", accounts),
                    (TENANT, "note", ("x",)),
                ):
                    with pytest.raises(InvalidPageToken):
                        await store.list_objects(tenant_id, kind, of, limit, token)

        for limit in (1, 4, 10):
            assert await listed(None, limit) == made
            assert await listed((ACCOUNT, "south"), limit) == made
            assert await listed((ACCOUNT,), limit) == [it for it in made if it.account_id == ACCOUNT]
            assert await listed((), limit) == []
