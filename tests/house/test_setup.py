"""`make setup` installs once, again when its inputs change, and says what it needs when it cannot."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

INTERPRETER = """#!/bin/sh
# Stands where an interpreter of the right version does: answers the version check, records what it is asked to do.
case "$*" in
    -c*) exit 0 ;;
    --version) echo "Python 3.99.0"; exit 0 ;;
    *venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; exit 0 ;;
esac
echo "$*" >>calls
exit $(cat fails 2>/dev/null || echo 0)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real set-up script and an interpreter that installs nothing."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("left-pad==1\n")
    (tmp_path / "interpreter").write_text(INTERPRETER)
    (tmp_path / "interpreter").chmod(0o755)
    return tmp_path


def setup(checkout: Path, interpreter: str = "./interpreter") -> subprocess.CompletedProcess[str]:
    """Runs the script as `make setup` does."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": interpreter}
    return subprocess.run(
        ["sh", "scripts/setup.sh"], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def calls(checkout: Path) -> int:
    """How often something was installed so far."""
    record = checkout / "calls"
    return len(record.read_text().splitlines()) if record.exists() else 0


def test_a_second_run_does_nothing(checkout: Path) -> None:
    """With nothing changed, set-up installs nothing and prints nothing."""
    assert setup(checkout).returncode == 0
    installed = calls(checkout)
    assert installed == 2
    again = setup(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert calls(checkout) == installed


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_input_installs_again(checkout: Path, name: str) -> None:
    """What is installed follows the metadata and the pins."""
    setup(checkout)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    assert setup(checkout).returncode == 0
    assert calls(checkout) == 4


def test_a_moved_checkout_installs_again(checkout: Path) -> None:
    """An environment holds absolute paths, so one that was moved is not trusted."""
    setup(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert setup(moved).returncode == 0
    assert calls(moved) == 4


def test_a_failed_installation_is_tried_again(checkout: Path) -> None:
    """A failure says what set-up needs, exits 1 and leaves no stamp behind."""
    (checkout / "fails").write_text("1")
    failed = setup(checkout)
    assert failed.returncode == 1
    assert "needs the network the first time" in failed.stderr
    (checkout / "fails").unlink()
    assert setup(checkout).returncode == 0
    assert calls(checkout) == 3


def test_an_old_python_is_refused_with_a_way_out(checkout: Path) -> None:
    """Without Python 3.11 or newer set-up says so, says what to do and exits 1."""
    refused = setup(checkout, interpreter="/bin/false")
    assert refused.returncode == 1
    assert "Python 3.11 or newer, and /bin/false is not one" in refused.stderr
    assert "make setup PYTHON=" in refused.stderr
    assert calls(checkout) == 0


def test_peers_are_installed_once_and_again_when_their_list_changes(checkout: Path) -> None:
    """The peers of a comparison have an environment of their own, made by one script from one list."""
    shutil.copy(ROOT / "scripts/peers.sh", checkout / "scripts")
    (checkout / "kit").mkdir()
    wanted = checkout / "kit" / "requirements-peers.txt"
    wanted.write_text("peer==1\n")

    def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "PYTHON": "./interpreter"}
        command = ["sh", "scripts/peers.sh", *arguments]
        return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)

    assert [peers("kit", ".venv").returncode for _ in range(2)] == [0, 0]
    assert calls(checkout) == 1
    wanted.write_text("peer==2\n")
    assert peers("kit", ".venv").returncode == 0
    assert calls(checkout) == 2
    nowhere = peers("nowhere", ".venv")
    assert (nowhere.returncode, "nowhere" in nowhere.stderr) == (2, True)
