"""What `scripts/npm.sh` installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def binary(name: str) -> str:
    """The path of an installed command."""
    found = _HERE / "node_modules" / ".bin" / name
    assert found.exists(), f"{name} is not installed: run sh scripts/npm.sh"
    return str(found)


def asked(script: str, given: Any, seconds: float = 60) -> Any:
    """What a script of this directory answers, JSON in and out."""
    node = shutil.which("node")
    assert node is not None, "Node.js 20 or newer is needed"
    assert (_HERE / "node_modules").exists(), "nothing is installed: run sh scripts/npm.sh"
    done = subprocess.run(
        [node, str(_HERE / script)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
