"""A checkpoint leaves through the outbox, so that a copy of it lies outside the store."""

from enactor.conformance.builders import TENANT
from enactor.domain.ledger import LedgerEvent
from enactor.domain.note import parse_checkpoint, parse_note
from enactor.service.keeper import LedgerKeeper
from tests.bundles import SIGNER
from tests.outbox.receiver import Receiver
from tests.outbox.rig import SECRET, Rig, hook
from tests.service.log_rig import Rig as LogRig

STORES = ["memory", "sqlite"]


async def test_a_receiver_holds_the_signed_note(rig: Rig, receiver: Receiver) -> None:
    """What the keeper signs arrives, signed by the hook's secret and by the log's key, and is the store's newest."""
    log = LogRig(rig.store, rig.clock)
    await log.write(3)
    await rig.start(hook(receiver.url, TENANT, [LedgerEvent.CHECKPOINT_PUBLISHED]))
    await LedgerKeeper(log.log, rig.store, rig.clock).sign_all()  # nothing is in the log yet: nothing to sign
    await log.log.sequencer.merge()
    await LedgerKeeper(log.log, rig.store, rig.clock).sign_all()
    (request,) = await receiver.until(1)
    request.verify(SECRET)
    note = parse_note(request.event["data"]["checkpoint"])
    assert SIGNER.verifier(f"log.example/{TENANT}").has_signed(note) == 0
    newest = await rig.store.log_checkpoint(TENANT)
    assert newest is not None
    assert (str(note), parse_checkpoint(note.text).size) == (newest.note, 3)
