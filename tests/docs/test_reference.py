"""The reference parts of the documents say what the program does."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from enactor.settings import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """scripts/reference.py."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", ["docs/cli.md", "docs/operations.md"])
def test_the_reference_is_up_to_date(reference: ModuleType, document: str) -> None:
    """Commands, options, settings and defaults are as the code has them; if not: scripts/reference.py --write."""
    text = (ROOT / document).read_text(encoding="utf-8")
    assert reference.up_to_date(document, text) == text


def test_a_document_that_is_behind_is_found_and_brought_up_to_date(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --write the document is named and left alone, with it it is as it should be; a lost mark is an error."""
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    for document in reference.DOCUMENTS:
        (tmp_path / document).write_text((ROOT / document).read_text(encoding="utf-8"))
    settings = tmp_path / "docs/operations.md"
    right = settings.read_text()
    settings.write_text(right.replace("| `8420` |", "| `8421` |"))
    assert reference.main([]) == 1
    assert capsys.readouterr().err.startswith("docs/operations.md is behind")
    assert reference.main(["--write"]) == 0
    assert settings.read_text() == right
    settings.write_text("nothing")
    with pytest.raises(ValueError, match="no part settings"):
        reference.main([])


def test_the_example_of_a_settings_file_is_one(tmp_path: Path) -> None:
    """What a reader copies loads as it stands, and sets what it says."""
    block = re.search(r"^```toml\n(.*?)^```", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), re.M | re.S)
    assert block is not None
    (tmp_path / "enactor.toml").write_text(block[1])
    settings = load({}, {"ENACTOR_WEBHOOK_SECRET": "whsec_x"}, tmp_path).settings
    assert settings.issuers[0].claims.roles == "https://enactor.example.com/roles"
    assert settings.webhooks[0].event_types[0] == "ACTION_EXECUTED"
    assert settings.secrets == {"acme": {"crm_password": "file:/run/secrets/acme-crm"}}
