"""Signed notes, checkpoints in them, and witnesses."""

import base64

import pytest

from enactor.domain.errors import ConfigurationError, InvalidInput
from enactor.domain.merkle import consistency_places, hashes_from
from enactor.domain.note import (
    Algorithm,
    Note,
    Signer,
    cosigned_text,
    parse_checkpoint,
    parse_key,
    parse_note,
    public_key_in,
    public_pem,
)
from enactor.domain.witness import Fork, Witness
from tests.bundles import LOG, OTHER, SIGNER, Tree, chains

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENTRIES = chains(9)
TREE = Tree(ENTRIES)


def test_the_published_example_verifies() -> None:
    """The example of Go's package `note`, from which the format comes: its key, its id and its signature."""
    key, note = parse_key(GO_KEY), parse_note(GO_NOTE)
    assert (str(key), str(note)) == (GO_KEY, GO_NOTE)
    assert key.has_signed(note) == 0
    assert key.has_signed(Note(note.text.replace("answer", "question"), note.signatures)) is None


def test_a_checkpoint_says_three_things() -> None:
    """Origin, size and root, one a line, signed by the log's name; extension lines are not looked at."""
    text = TREE.note()
    assert text.startswith(f"{LOG}\n9\n{base64.b64encode(TREE.root()).decode()}\n\n— {LOG} ")
    note = parse_note(text)
    assert parse_checkpoint(note.text).root == TREE.root()
    assert SIGNER.verifier(LOG).has_signed(note) == 0
    assert OTHER.verifier(LOG).has_signed(note) is None
    assert SIGNER.verifier("another/name").has_signed(note) is None
    assert parse_checkpoint(note.text + "more\n") == parse_checkpoint(note.text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no signature\n",
        TREE.note().rstrip("\n"),
        TREE.note().replace("— ", "- "),
        TREE.note().replace("— ", "—  "),
        TREE.note() + "x\n",
        "\x01" + TREE.note(),
        "a\n\n— name AAAA\n",
        "a\n\n" + "— name AAAAAAAA\n" * 101,
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    """Whatever its fault, in one sentence."""
    with pytest.raises(InvalidInput, match="not a signed note"):
        parse_note(text)


@pytest.mark.parametrize("text", ["", "log\n", "log\n-1\nAAAA\n", "log\n01\n" + "A" * 43 + "=\n", "log\n1\nAAAA\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    """A size that is no number, or a root that is no hash."""
    with pytest.raises(InvalidInput, match="not a checkpoint"):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "key", ["", "a+b", GO_KEY.replace("c74f", "c74e"), GO_KEY[:-4], GO_KEY.replace("+ARp", "+CRp")]
)
def test_what_is_no_key_is_refused(key: str) -> None:
    """A key that was copied wrongly is not taken for another one."""
    with pytest.raises(InvalidInput, match="verifier key"):
        parse_key(key)


def test_keys_go_through_pem() -> None:
    """Private and public halves, as other tools read and write them; what is none is not repeated."""
    assert Signer.parse(SIGNER.pem(), "key").public == SIGNER.public
    assert public_key_in(public_pem(SIGNER.public), LOG) == SIGNER.verifier(LOG)
    assert public_key_in(GO_KEY, LOG) == parse_key(GO_KEY)
    with pytest.raises(ConfigurationError) as caught:
        Signer.parse("-----BEGIN hunter2", "ledger.signing_keys")
    assert "hunter2" not in caught.value.message
    with pytest.raises(InvalidInput):
        public_key_in("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", LOG)


def witness() -> Witness:
    """A witness of the log."""
    return Witness("witness.example/w", OTHER, [SIGNER.verifier])


def proof(first: int, second: int) -> list[bytes]:
    """The consistency proof between two sizes."""
    return hashes_from(consistency_places(first, second), TREE.tiles)


def test_a_witness_signs_what_continues_what_he_saw() -> None:
    """The signature is over text and time (cosignature/v1), beside the log's own, which stays good."""
    first = witness().cosign(None, TREE.note(4), [], 1_700_000_000)
    assert witness().sizes(first, TREE.note()) == (4, 9)
    second = parse_note(witness().cosign(first, TREE.note(), proof(4, 9), 1_700_000_060))
    key = OTHER.verifier("witness.example/w", Algorithm.WITNESS)
    assert key.has_signed(second) == 1_700_000_060
    assert SIGNER.verifier(LOG).has_signed(second) == 0
    assert cosigned_text("a\n", 7) == b"cosignature/v1\ntime 7\na\n"
    moved = second.signatures[1]
    later = Note(second.text, (type(moved)(moved.name, moved.key_id, bytes(8) + moved.value[8:]),))
    assert key.has_signed(later) is None
    assert witness().sizes(first, first) is None


def test_a_witness_signs_no_fork() -> None:
    """A smaller log, another one of the same size, one that does not continue, an unsigned one, another's: refused."""
    seen = witness().cosign(None, TREE.note(4), [], 1)
    other = Tree(chains(9, tenant_id="globex"))
    for newest, hashes in ((TREE.note(3), []), (other.note(4), []), (other.note(9), proof(4, 9)), (TREE.note(9), [])):
        with pytest.raises(Fork):
            witness().cosign(seen, newest, hashes, 2)
    for newest in (TREE.note(9, OTHER), TREE.note(9, log="log.example/other")):
        with pytest.raises(InvalidInput):
            witness().cosign(seen, newest, proof(4, 9), 2)
