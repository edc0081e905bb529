"""Routes of the ledger's log: checkpoints, proofs and keys; and erasing personal data."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from enactor.domain.principal import Permission
from enactor.http.answers import answer
from enactor.http.bodies import read_body
from enactor.http.context import By, Deps
from enactor.http.log_views import (
    CheckpointView,
    ConsistencyProofView,
    CosignatureBody,
    ErasureBody,
    InclusionProofView,
    LogKeyList,
    checkpoint_view,
    consistency_proof_view,
    inclusion_proof_view,
    log_key_list,
)
from enactor.http.openapi import ALWAYS, READING, WRITING, Answer, described
from enactor.service import Erasure

router = APIRouter(tags=["Ledger"])

_COSIGNATURE: Final = msgspec.json.Decoder(CosignatureBody)
_ERASURE: Final = msgspec.json.Decoder(ErasureBody)
_TEXT: Final = "text/plain"
_LARGEST: Final = 2**53 - 1


@router.get(
    "/v1/ledger/checkpoint",
    summary="Read the newest checkpoint",
    **described(
        {200: Answer(description="The newest; the note alone for `Accept: text/plain`.", kind=CheckpointView)},
        (404, *ALWAYS),
    ),
)
async def read_checkpoint(request: Request, deps: Deps, by: By) -> Response:
    """The newest signed head of the tenant's log. 404 while nothing is in the ledger."""
    checkpoint = await deps.service.log.newest(by)
    if request.headers.get("accept", "").split(";")[0].strip() == _TEXT:
        return Response(checkpoint.note, media_type=_TEXT)
    return answer(checkpoint_view(checkpoint))


@router.post(
    "/v1/ledger/checkpoint",
    summary="Make a checkpoint",
    **described({200: Answer(description="A checkpoint of all there is.", kind=CheckpointView)}, (404, *ALWAYS)),
)
async def make_checkpoint(deps: Deps, by: By) -> Response:
    """Signs the head of the tenant's log as it is now, and publishes it; the newest one if nothing has come since."""
    return answer(checkpoint_view(await deps.service.log.make(by)))


@router.post(
    "/v1/ledger/checkpoint/cosignatures",
    summary="Add a witness's signature",
    **described(
        {200: Answer(description="The checkpoint with every signature there is.", kind=CheckpointView)},
        (404, *WRITING),
        body=CosignatureBody,
    ),
)
async def cosign(request: Request, deps: Deps, by: By) -> Response:
    """Takes a published checkpoint that a witness of the settings (`ledger.witnesses`) has cosigned."""
    by.require(Permission.LEDGER)
    body = await read_body(request, _COSIGNATURE)
    return answer(checkpoint_view(await deps.service.log.cosign(by, body.checkpoint)))


@router.get(
    "/v1/ledger/keys",
    summary="List the keys of checkpoints",
    **described({200: Answer(description="Verifier keys with their validity.", kind=LogKeyList)}, ALWAYS),
)
async def list_keys(deps: Deps, by: By) -> Response:
    """Every key that signs or has signed the tenant's checkpoints. Get them here once, and keep them elsewhere."""
    return answer(log_key_list(await deps.service.log.keys(by)))


@router.get(
    "/v1/ledger/proof/{entry_id}",
    summary="Prove that an entry is in the log",
    **described(
        {200: Answer(description="The proof, and a checkpoint that covers the entry.", kind=InclusionProofView)},
        (404, *READING),
    ),
)
async def prove(
    entry_id: Annotated[str, Path(max_length=64, description="The entry's id.")], deps: Deps, by: By
) -> Response:
    """An inclusion proof. For an entry that no checkpoint covers yet, one is made."""
    return answer(inclusion_proof_view(await deps.service.log.proof(by, entry_id)))


@router.get(
    "/v1/ledger/consistency",
    summary="Prove that the log only grew",
    **described({200: Answer(description="The proof.", kind=ConsistencyProofView)}, (404, *READING)),
)
async def consistency(
    deps: Deps,
    by: By,
    first: Annotated[int, Query(alias="from", ge=0, le=_LARGEST, description="The size of the earlier checkpoint.")],
    second: Annotated[
        int | None, Query(alias="to", ge=0, le=_LARGEST, description="The later one's; the newest one's when absent.")
    ] = None,
) -> Response:
    """That the log of the one size is the beginning of the log of the other."""
    return answer(consistency_proof_view(await deps.service.log.consistency(by, first, second)))


@router.post(
    "/v1/ledger/erasures",
    summary="Erase personal data",
    **described(
        {200: Answer(description="What was erased, and what was not and why.", kind=Erasure)}, WRITING, body=ErasureBody
    ),
)
async def erase(request: Request, deps: Deps, by: By) -> Response:
    """Erases what is stored about intents that are over. The ledger keeps what proves that they happened."""
    by.require(Permission.ERASE)
    body = await read_body(request, _ERASURE)
    return answer(
        await deps.service.erasures.erase(
            by,
            reference=body.reference,
            action_intent_ids=body.action_intent_ids,
            subject=body.subject,
            dry_run=body.dry_run,
        )
    )
