"""Records that do not fit into an item, and artifacts in a bucket."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from enactor.conformance.aws import Emulator
from enactor.conformance.aws.emulator import CREDENTIALS, REGION
from enactor.conformance.aws.stores import opened
from enactor.conformance.builders import TENANT, Builder
from enactor.conformance.clocks import ManualClock, SeededRandomness
from enactor.conformance.store.base import closed, creation, running, start
from enactor.domain.errors import InvalidInput, StoreFailed
from enactor.domain.intent import ActionIntent, IntentStatus
from enactor.gateway.artifacts import FileArtifacts
from enactor.gateway.aws_artifacts import S3Artifacts
from enactor.ports.commands import Conflict, ConflictKind, EraseIntent, UpdateIntent
from enactor.ports.store import ExecutionFilter
from enactor.settings import Settings
from enactor.stores.dynamodb.client import sdk_client
from enactor.wiring.assembly import artifacts_of, open_store
from enactor.wiring.mcp import surroundings
from enactor.wiring.serving import _Process

BUCKET = "enactor-artifacts"


@pytest.fixture
def bucket(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of S3 with an empty bucket."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    client = sdk_client("s3", REGION, emulator.endpoint)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield client
    for name in names(client):
        client.delete_object(Bucket=BUCKET, Key=name)
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def names(client: Any) -> list[str]:
    """What is in the bucket."""
    return [it["Key"] for it in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def large(build: Builder, **changes: object) -> ActionIntent:
    """An approved intent of half a megabyte that cannot be made smaller."""
    noise = base64.b64encode(SeededRandomness(1).bytes(500_000)).decode()
    return build.approved(parameters={"attachment": noise}, **changes)


async def test_artifacts_are_a_tenants_own(bucket: Any) -> None:
    """The same content has one object and one reference; another tenant does not find it; what was changed shows."""
    artifacts = S3Artifacts(bucket, BUCKET, "answers/")
    reference = await artifacts.put(TENANT, b"a long answer")
    assert reference == f"artifact/sha256/{hashlib.sha256(b'a long answer').hexdigest()}"
    assert await artifacts.put(TENANT, b"a long answer") == reference
    assert len(names(bucket)) == 1
    assert await artifacts.read(TENANT, reference) == b"a long answer"
    assert await artifacts.read("globex", reference) is None
    assert await artifacts.read(TENANT, "artifact/sha256/../../x") is None
    bucket.put_object(Bucket=BUCKET, Key=names(bucket)[0], Body=b"another answer")
    with pytest.raises(StoreFailed, match="not what was put there"):
        await artifacts.read(TENANT, reference)
    await artifacts.forget(TENANT, reference)
    assert names(bucket) == []
    with pytest.raises(StoreFailed, match="NoSuchBucket"):
        await S3Artifacts(bucket, "no-such-bucket").put(TENANT, b"x")


async def test_every_version_is_forgotten(bucket: Any) -> None:
    """A bucket with versions keeps no old one, and no marker; what only begins alike stays."""
    bucket.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    artifacts = S3Artifacts(bucket, BUCKET)
    reference = await artifacts.put(TENANT, b"a long answer")
    (name,) = names(bucket)
    bucket.put_object(Bucket=BUCKET, Key=f"{name}-other", Body=b"another object")
    bucket.delete_object(Bucket=BUCKET, Key=name)
    await artifacts.put(TENANT, b"a long answer")
    await artifacts.forget(TENANT, reference)
    left = bucket.list_object_versions(Bucket=BUCKET)
    assert [it["Key"] for it in left["Versions"]] == [f"{name}-other"]
    assert "DeleteMarkers" not in left
    bucket.delete_object(Bucket=BUCKET, Key=f"{name}-other", VersionId=left["Versions"][0]["VersionId"])


async def test_a_server_erases_where_its_answers_are(
    emulator: Emulator, dynamo: Any, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket of the store's URL is where answers are put aside, and what erasing reaches; without one, a folder."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint)
    settings = Settings(store=f"dynamodb://{REGION}?artifacts={BUCKET}/answers")
    reference = await surroundings(settings, ManualClock()).artifacts.put(TENANT, b"a long answer")
    store = await open_store(settings.store, ManualClock())
    service = _Process(settings)._assemble(store).service
    assert service.erasures._artifacts is not None
    await service.erasures._artifacts.forget(TENANT, reference)
    assert names(bucket) == []
    await store.close()
    assert isinstance(artifacts_of(Settings()), FileArtifacts)


async def test_an_intent_may_be_larger_than_an_item(
    dynamo: Any, bucket: Any, clock: ManualClock, build: Builder
) -> None:
    """It is stored, changed, started, listed and read as any other, and a conflict shows it whole."""
    store = await opened(dynamo, clock, artifacts=S3Artifacts(bucket, BUCKET))
    other = await opened(dynamo, clock, artifacts=S3Artifacts(bucket, BUCKET))
    intent = large(build)
    await store.commit([creation(intent), build.entry(intent)])
    assert await other.intent(TENANT, intent.action_intent_id) == intent
    edited = replace(intent, revision=2, version=2, summary="second")
    await other.commit([UpdateIntent(intent=edited, expected_version=1)])
    with pytest.raises(Conflict) as caught:
        await store.commit([UpdateIntent(intent=edited, expected_version=1)])
    assert (caught.value.kind, caught.value.current) == (ConflictKind.VERSION_CHANGED, edited)
    assert await store.revisions(TENANT, intent.action_intent_id) == (intent, edited)
    await store.commit([start(edited, build.attempt(edited), now_ms=clock.now_ms())])
    (row,) = (await store.list_executions(TENANT, ExecutionFilter(), 10, None)).items
    assert row.intent == edited
    await store.close()
    await other.close()


async def test_erasing_reaches_the_bucket(dynamo: Any, bucket: Any, clock: ManualClock, build: Builder) -> None:
    """What was put aside of an intent and its revisions is deleted with the rest."""
    store = await opened(dynamo, clock, artifacts=S3Artifacts(bucket, BUCKET))
    intent = large(build)
    await store.commit([creation(intent)])
    ended = closed(replace(intent, revision=2), IntentStatus.CANCELLED)
    await store.commit([UpdateIntent(intent=ended, expected_version=1)])
    assert len(names(bucket)) == 2
    erase = EraseIntent(tenant_id=TENANT, action_intent_id=intent.action_intent_id, erased_at=build.now())
    await store.commit([erase])
    assert names(bucket) == []
    assert [it.parameters for it in await store.revisions(TENANT, intent.action_intent_id)] == [{}, {}]
    await store.close()


async def test_without_a_bucket_what_is_too_large_is_refused(dynamo: Any, clock: ManualClock, build: Builder) -> None:
    """The proposer is told, nothing is stored, and the store goes on."""
    store = await opened(dynamo, clock)
    with pytest.raises(InvalidInput, match="too large"):
        await store.commit([creation(large(build)), build.entry()])
    assert await store.last_position() == 0
    await running(store, build)
    await store.close()


async def test_an_intent_with_many_entries_is_erased_whole(dynamo: Any, clock: ManualClock, build: Builder) -> None:
    """More ledger entries than one transaction holds are erased all the same, and the chain still verifies."""
    store = await opened(dynamo, clock)
    intent = build.approved()
    await store.commit([creation(intent)])
    for _ in range(2):
        await store.commit([build.entry(intent) for _ in range(45)])
    ended = closed(intent, IntentStatus.CANCELLED)
    erase = EraseIntent(tenant_id=TENANT, action_intent_id=intent.action_intent_id, erased_at=build.now())
    told = build.entry(intent, data={"reason": "asked for"})
    await store.commit([UpdateIntent(intent=ended, expected_version=1)])
    await store.commit([erase, told])
    entries = await store.entries_after(0, 1_000)
    assert [entry.data for entry in entries] == [""] * 90 + [told.record.data]
    await store.close()
