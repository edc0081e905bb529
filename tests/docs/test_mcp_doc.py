"""The settings that docs/mcp.md shows are settings that load, and mean what the page says."""

import re
from pathlib import Path

from enactor.domain.action_type import RiskClass, WriteMode
from enactor.settings import load
from enactor.wiring.mcp import server_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mcp.md"


def test_settings_in_the_page_load(tmp_path: Path) -> None:
    """Each block is right as it stands, and the server it describes fits together."""
    servers = []
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "enactor.toml").write_text(block)
        servers += load({}, {}, folder).settings.mcp_servers
    server, other_server = [server_of(settings) for settings in servers]
    other_server.check()
    assert other_server.version != server_of(servers[1].model_copy(update={"oauth": None})).version
    server.check()
    create, close, other = (server.rule(name) for name in ("create_ticket", "close_ticket", "another"))
    assert (create.semantics.mode, create.risk, create.key_argument) == (
        WriteMode.LOOKUP,
        RiskClass.MEDIUM,
        "external_id",
    )
    assert create.lookup is not None
    assert create.semantics.absence_final_after_seconds == 60
    assert close.undo_arguments == {"id": "$ref/object_id"}
    assert (other.semantics.mode, other.risk) == (WriteMode.UNSAFE, RiskClass.HIGH)
