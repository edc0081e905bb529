"""Execution tokens: leave to make one permitted call through `/gateway/mcp`, once, within a minute (section 6).

A token is bound to the run, the call, the tool, the hash of the arguments and the idempotency key, and is good only
while that very permit is open; one for a look-up, while that call is in doubt. It is good for nothing else: neither the
API nor `/mcp` knows its key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Struct

from enactor.domain.attempt import ExecutionAttempt, RunStatus
from enactor.domain.canonical import canonical, sha256_hex
from enactor.domain.errors import ConfigurationError, Forbidden, Unauthenticated
from enactor.domain.intent import ActionIntent, earlier_values
from enactor.domain.outcome import ObjectRef
from enactor.domain.permit import CallResult, Purpose, WritePermit, in_doubt
from enactor.domain.time import rfc3339
from enactor.ports.clock import Clock, Randomness
from enactor.ports.commands import Conflict, ConflictKind, RequestKey, ReserveRequest
from enactor.ports.store import Store
from enactor.ports.tools import CallRequest

AUDIENCE: Final = "enactor-gateway"
LIFETIME_SECONDS: Final = 60
SHORTEST_KEY: Final = 32
"""Bytes; RFC 7518, section 3.2."""

_ISSUER: Final = "enactor"
_TYPE: Final = "enactor-execution+jwt"
_ALGORITHM: Final = "HS256"
_SPENDER: Final = "enactor:gateway"
_LONGEST: Final = 8_192


class Use(StrEnum):
    """What a token lets its holder do."""

    CALL = "CALL"
    LOOK_UP = "LOOK_UP"


class TokenSpent(Forbidden):
    """It was used before. What it was used for may have had its effect."""

    error_code = "EXECUTION_TOKEN_SPENT"


class Grant(Struct, frozen=True, kw_only=True):
    """What a token stands for."""

    jti: str
    use: Use
    tenant_id: str
    account_id: str
    action_intent_id: str
    run_number: int
    call_no: int
    purpose: Purpose
    tool_name: str
    tool_schema_version: str
    argument_hash: str
    idempotency_key: str
    definition_hash: str
    trace_id: str
    timeout_seconds: float
    original: tuple[ObjectRef, ...] = ()
    original_key: str = ""
    expected_version: str | None = None


class ExecutionTokens:
    """Mints tokens, and takes each of them once.

    Args:
        key: what they are signed with, at least 32 bytes; every process that takes tokens has the same.
        store: knows the permits, and which tokens were spent.

    Raises:
        ConfigurationError: the key is too short.
    """

    def __init__(self, key: bytes, store: Store, clock: Clock, randomness: Randomness) -> None:
        if len(key) < SHORTEST_KEY:
            raise ConfigurationError(f"The key of execution tokens needs at least {SHORTEST_KEY} bytes.")
        self._key = OctKey.import_key(key)
        self._store = store
        self._clock = clock
        self._randomness = randomness

    def mint(self, request: CallRequest, use: Use = Use.CALL) -> str:
        """A token for one permitted call, or for one look-up of what it did.

        Raises:
            ConfigurationError: it would be longer than what is taken.
        """
        now = self._clock.now_ms() // 1000
        grant = Grant(
            jti=self._randomness.bytes(16).hex(),
            use=use,
            tenant_id=request.tenant_id,
            account_id=request.account_id,
            action_intent_id=request.action_intent_id,
            run_number=request.run_number,
            call_no=request.call_no,
            purpose=request.purpose,
            tool_name=request.tool_name,
            tool_schema_version=request.tool_schema_version,
            argument_hash=sha256_hex(request.argument_bytes.encode()),
            idempotency_key=request.idempotency_key,
            definition_hash=request.definition_hash,
            trace_id=request.trace_id,
            timeout_seconds=request.timeout_seconds,
            original=request.original,
            original_key=request.original_key,
            expected_version=request.expected_version,
        )
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            **msgspec.to_builtins(grant),
        }
        token = jwt.encode({"alg": _ALGORITHM, "typ": _TYPE}, claims, self._key, algorithms=[_ALGORITHM])
        if len(token) > _LONGEST:
            raise ConfigurationError("The call names too many objects for an execution token.")
        return token

    def verify(self, token: str) -> Grant:
        """What a token stands for. Raises `Unauthenticated`: it is none of ours, or its minute is over."""
        if len(token) > _LONGEST or not token.isascii():
            raise Unauthenticated("This is not an execution token.")
        try:
            decoded = jwt.decode(token, self._key, algorithms=[_ALGORITHM])
            grant = msgspec.convert(decoded.claims, Grant)
        except (JoseError, msgspec.ValidationError, ValueError, TypeError):
            raise Unauthenticated("This is not an execution token of this Enactor.") from None
        claims = decoded.claims
        if decoded.header.get("typ") != _TYPE or claims.get("iss") != _ISSUER or claims.get("aud") != AUDIENCE:
            raise Unauthenticated("The token is meant for another audience.")
        now = self._clock.now_ms() / 1000
        if not claims.get("iat", now + 1) - LIFETIME_SECONDS <= now < claims.get("exp", 0):
            raise Unauthenticated("The execution token has expired.")
        return grant

    async def redeem(self, grant: Grant, tool_name: str, arguments: dict[str, Any]) -> tuple[CallRequest, int]:
        """Spends a token for the call that it stands for.

        Returns:
            The call, and after when (on `Clock.elapsed_ms`) it must not be sent.

        Raises:
            TokenSpent: it was spent before.
            Forbidden: it is for another call, or its permit is not open any more.
        """
        content = canonical(arguments)
        if tool_name != grant.tool_name or sha256_hex(content) != grant.argument_hash:
            raise Forbidden("The execution token is for another call.")
        not_after, intent = await self._permitted(grant)
        try:
            await self._store.commit([ReserveRequest(request=self._spent(grant))])
        except Conflict as conflict:
            if conflict.kind is not ConflictKind.REQUEST_KEY_USED:
                raise
            raise TokenSpent("The execution token was used before.") from None
        compensating = grant.purpose is Purpose.COMPENSATION
        left = not_after - self._clock.now_ms()
        until = self._clock.elapsed_ms() + left
        request = CallRequest(
            tenant_id=grant.tenant_id,
            account_id=grant.account_id,
            action_intent_id=grant.action_intent_id,
            run_number=grant.run_number,
            call_no=grant.call_no,
            purpose=grant.purpose,
            tool_name=grant.tool_name,
            tool_schema_version=grant.tool_schema_version,
            argument_bytes=content.decode(),
            idempotency_key=grant.idempotency_key,
            trace_id=grant.trace_id,
            send_not_after=until,
            timeout_seconds=grant.timeout_seconds,
            original=grant.original,
            original_key=grant.original_key,
            # From the record: a token is seen on its way, and what a preview showed is for approvers alone.
            original_arguments=intent.tool_call.argument_bytes if compensating else "",
            before=earlier_values(intent, compensating=compensating),
            expected_version=grant.expected_version,
            definition_hash=grant.definition_hash,
        )
        return request, until

    async def _permitted(self, grant: Grant) -> tuple[int, ActionIntent]:
        """Until when (epoch milliseconds) the token's permit allows its call to be sent, and the intent.

        Raises:
            Forbidden: the permit is not open.
        """
        records = await self._store.execution(grant.tenant_id, grant.action_intent_id)
        if records is not None and records.attempt is not None and records.intent.account_id == grant.account_id:
            for permit in records.permits:
                if (permit.call_no, permit.purpose, permit.idempotency_key) == (
                    grant.call_no,
                    grant.purpose,
                    grant.idempotency_key,
                ) and _stands(grant, permit, records.attempt):
                    return permit.call_not_after, records.intent
        raise Forbidden("The permit of the execution token is not open.")

    def _spent(self, grant: Grant) -> RequestKey:
        return RequestKey(
            tenant_id=grant.tenant_id,
            principal=_SPENDER,
            key=grant.jti,
            body_hash=grant.argument_hash,
            action_intent_id=grant.action_intent_id,
            created_at=rfc3339(self._clock.now_ms()),
        )


def _stands(grant: Grant, permit: WritePermit, attempt: ExecutionAttempt) -> bool:
    """Whether the permit is one that the token's use needs: open and its caller's own, or for a look-up in doubt."""
    if grant.use is Use.LOOK_UP:
        return in_doubt(permit)
    return (
        permit.result is CallResult.OPEN
        and permit.run_number == grant.run_number
        and permit.fence == attempt.fence
        and attempt.status is RunStatus.RUNNING
    )
