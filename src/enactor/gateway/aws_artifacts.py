"""Artifacts in S3: one prefix per tenant, each object named by the SHA-256 of what is in it.

The bucket encrypts what is put there and lets nobody else in; the template sees to both.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any, Final

from enactor.domain.errors import StoreFailed

_REFERENCE: Final = re.compile(r"artifact/sha256/([0-9a-f]{64})")


class S3Artifacts:
    """Artifacts in a bucket.

    Args:
        client: the SDK's, for S3.
        bucket: its name.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def put(self, tenant_id: str, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        await self._ask("put_object", Key=_key(tenant_id, name), Body=content, ContentType="application/octet-stream")
        return f"artifact/sha256/{name}"

    async def read(self, tenant_id: str, reference: str) -> bytes | None:
        found = _REFERENCE.fullmatch(reference)
        if found is None:
            return None
        answer = await self._ask("get_object", Key=_key(tenant_id, found[1]))
        if answer is None:
            return None
        content: bytes = await asyncio.to_thread(answer["Body"].read)
        if hashlib.sha256(content).hexdigest() != found[1]:
            raise StoreFailed("An artifact in the bucket is not what was put there.")
        return content

    async def _ask(self, operation: str, **parameters: Any) -> dict[str, Any] | None:
        """One call; None when there is no such object."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = await asyncio.to_thread(
                getattr(self._client, operation), Bucket=self._bucket, **parameters
            )
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))[:100]
            if code in ("NoSuchKey", "404"):
                return None
            raise StoreFailed(f"The bucket of artifacts answers {code}.") from None
        except BotoCoreError as error:
            raise StoreFailed(f"The bucket of artifacts cannot be asked: {type(error).__name__}.") from None
        return answer


def _key(tenant_id: str, name: str) -> str:
    # A tenant's id may hold what means something in a key; its hash does not.
    return f"{hashlib.sha256(tenant_id.encode()).hexdigest()[:32]}/{name}"
