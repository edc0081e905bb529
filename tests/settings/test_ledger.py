"""Settings of the ledger's logs."""

from pathlib import Path

import pytest

from enactor.domain.errors import ConfigurationError
from enactor.domain.note import Algorithm
from enactor.settings import load
from tests.bundles import KEY, OTHER

WITNESS = str(OTHER.verifier("witness.example/w", Algorithm.WITNESS))


def test_keys_and_witnesses_are_lists_of_words(tmp_path: Path) -> None:
    """In a variable by commas, references as they are and witnesses as their keys."""
    given = {
        "ENACTOR_LEDGER__SIGNING_KEYS": "file:/new.pem, env:OLD_KEY",
        "ENACTOR_LEDGER__WITNESSES": WITNESS,
        "ENACTOR_LEDGER__ORIGIN": "enactor.example.com/eu",
    }
    ledger = load({}, given, tmp_path).settings.ledger
    assert ledger.signing_keys == ("file:/new.pem", "env:OLD_KEY")
    assert (ledger.witnesses, ledger.origin) == ((WITNESS,), "enactor.example.com/eu")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ORIGIN", "https://enactor.example.com", "without a scheme"),
        ("ORIGIN", "a b", "white space"),
        ("WITNESSES", "w+1+x", "verifier key"),
        ("WITNESSES", KEY, "not a witness's"),
        ("SIGNING_KEYS", "-----BEGIN PRIVATE KEY-----", "never hold the secret itself"),
        ("CHECKPOINT_SECONDS", "0", "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, value: str, said: str) -> None:
    """In one sentence that names the setting and does not repeat a key."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        load({}, {f"ENACTOR_LEDGER__{name}": value}, tmp_path)
    assert "BEGIN" not in caught.value.message
