"""Artifacts as objects of an S3 bucket: a prefix per tenant, each object named by the SHA-256 of what is in it.

The bucket's own settings decide about encryption, versions and how long objects are kept; see docs/aws.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import Any, Final

from enactor.domain.errors import StoreFailed

_REFERENCE: Final = re.compile(r"artifact/sha256/([0-9a-f]{64})")
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Artifacts:
    """Artifacts in a bucket.

    Args:
        client: botocore's, for S3. Whoever made it closes it. Every call here is the same when it is made twice, so
            the client may repeat what fails.
        bucket: its name.
        prefix: of the objects' names; empty, or ending with a slash.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def put(self, tenant_id: str, content: bytes) -> str:
        hashed = hashlib.sha256(content)
        # S3 compares the checksum itself: what arrives damaged is refused.
        await self._ask(
            "put_object",
            Key=self._place(tenant_id, hashed.hexdigest()),
            Body=content,
            ChecksumSHA256=base64.b64encode(hashed.digest()).decode(),
        )
        return f"artifact/sha256/{hashed.hexdigest()}"

    async def read(self, tenant_id: str, reference: str) -> bytes | None:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return None
        content = await asyncio.to_thread(self._read, self._place(tenant_id, found[1]))
        if content is not None and hashlib.sha256(content).hexdigest() != found[1]:
            raise StoreFailed(f"An artifact in the bucket {self._bucket} is not what was put there.")
        return content

    async def forget(self, tenant_id: str, reference: str) -> None:
        """Deletes what a reference stands for, if the tenant has put it: every version of it that the bucket keeps.

        Backups and copies of the bucket keep what they have.
        """
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return
        key = self._place(tenant_id, found[1])
        # Markers too: one that stays would say for ever that something was there.
        while versions := await self._versions(key):
            for version in versions:
                await self._ask("delete_object", Key=key, VersionId=version)

    async def _versions(self, key: str) -> list[str]:
        """Up to a thousand versions of an object; a bucket without versions has one, named `null`."""
        answer = await self._ask("list_object_versions", Prefix=key)
        found = [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]
        return [it["VersionId"] for it in found if it["Key"] == key]

    def _place(self, tenant_id: str, name: str) -> str:
        return f"{self._prefix}{hashlib.sha256(tenant_id.encode()).hexdigest()[:32]}/{name}"

    async def _ask(self, operation: str, **parameters: Any) -> Any:
        return await asyncio.to_thread(self._call, operation, parameters)

    def _read(self, key: str) -> bytes | None:
        answer = self._call("get_object", {"Key": key})
        if answer is None:
            return None
        content: bytes = answer["Body"].read()
        return content

    def _call(self, operation: str, parameters: dict[str, Any]) -> Any:
        """One call; None where what it asks for is not there."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, operation)(Bucket=self._bucket, **parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "an error"))[:80]
            if operation == "get_object" and code in _ABSENT:
                return None
            raise StoreFailed(f"S3 answers {code} for the bucket {self._bucket}.") from None
        except BotoCoreError as error:
            raise StoreFailed(f"The bucket {self._bucket} cannot be asked: {type(error).__name__}.") from None
