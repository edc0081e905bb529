"""Settings of the guards: defaults, what a connector differs in, and what cannot be meant."""

from pathlib import Path

import pytest

from enactor.domain.errors import ConfigurationError
from enactor.settings import load
from enactor.wiring.serving import guards_of

TOML = """
[guards]
concurrency = 8
failures = 3

[guards.connectors.salesforce]
calls_per_minute = 600
failures = 0
"""


def test_a_connector_differs_from_the_default(tmp_path: Path) -> None:
    """What a connector's table leaves out is as for all; every setting reaches the guards."""
    (tmp_path / "enactor.toml").write_text(TOML)
    guards = guards_of(load({}, {"ENACTOR_GUARDS__OPEN_SECONDS": "7"}, tmp_path).settings.guards)
    assert (guards.default.concurrency, guards.default.failures, guards.default.open_seconds) == (8, 3, 7)
    own = guards.of("salesforce")
    assert (own.concurrency, own.failures, own.open_seconds, own.calls_per_minute) == (8, 0, 7, 600)
    assert guards.of("internal") == guards.default
    variable = {"ENACTOR_GUARDS__CONNECTORS": '{"internal": {"concurrency": 1}}'}
    assert guards_of(load({}, variable, Path("/nowhere")).settings.guards).of("internal").concurrency == 1


@pytest.mark.parametrize("wrong", ["concurrency = 0", "retries = 3", "connectors = { internal = { burst = 0 } }"])
def test_what_cannot_be_meant(tmp_path: Path, wrong: str) -> None:
    """A value out of bounds or a misspelled name is refused, within a connector's table too."""
    (tmp_path / "enactor.toml").write_text(f"[guards]\n{wrong}\n")
    with pytest.raises(ConfigurationError, match="guards"):
        load({}, {}, tmp_path)
