"""Schemathesis attacks a real server from its own OpenAPI document."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from enactor.http.streams import Streams
from tests.http.serving import Served, serving
from tests.http.world import NOTE, TASK, World

ROLES = ("proposer", "approver", "operator", "auditor", "admin")
NEEDS_KNOWLEDGE = "positive_data_acceptance"
"""A check that has to be off: whether an action type or a page token exists is in no schema."""


async def seeded(world: World) -> tuple[list[str], list[str]]:
    """Ids and digests of intents in every state that there is, so that generated requests meet something."""
    made = [
        await world.proposed(),
        await world.proposed("BANK_CLOSE", payment_id="1"),
        await world.executed(),
        await world.executed(TASK, title="x"),
        await world.executed("BANK_TRANSFER", payment_id="2", outcome="lost"),
        await world.executed("BANK_TRANSFER", payment_id="3", outcome="refused"),
    ]
    return [intent["action_intent_id"] for intent in made], [intent["approval_digest"] for intent in made]


def configuration(ids: list[str], digests: list[str]) -> str:
    """What Schemathesis may know beyond the document, and the one thing it may not ask for."""
    types = [NOTE, TASK, "BANK_TRANSFER", "BANK_CLOSE"]
    return f"""
[dictionaries.intents]
values = {ids}
[dictionaries.digests]
values = {digests}
[dictionaries.types]
values = {types}
[parameters]
"path.action_intent_id" = {{ dictionary = "intents", probability = 0.8 }}
"body.action_intent_id" = {{ dictionary = "intents", probability = 0.8 }}
"body.approval_digest" = {{ dictionary = "digests", probability = 0.5 }}
"path.action_type" = {{ dictionary = "types", probability = 0.5 }}
"body.action_type" = {{ dictionary = "types", probability = 0.8 }}
[[operations]]
# Items are refused one by one, within an answer that is a success.
include-name = "POST /v1/intents/batch"
checks = {{ negative_data_rejection = {{ enabled = false }} }}
"""


def attack(served: Served, token: str, folder: Path, *arguments: str) -> None:
    """Runs Schemathesis, and fails with what it found."""
    ids, digests = served.run(seeded)
    settings = folder / "schemathesis.toml"
    settings.write_text(configuration(ids, digests))
    command = [
        f"{sysconfig.get_path('scripts')}/schemathesis",
        f"--config-file={settings}",
        "run",
        f"{served.url}/openapi.json",
        f"--header=Authorization: Bearer {token}",
        "--generation-deterministic",
        "--no-color",
        "--no-shrink",
        "--continue-on-failure",
        f"--exclude-checks={NEEDS_KNOWLEDGE}",
        *arguments,
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = "\n".join(line[:500] for line in f"{ran.stdout}\n{ran.stderr}".splitlines())
    assert ran.returncode == 0, said


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing"])
def test_no_server_error_and_no_undocumented_answer(key_file: Path, tmp_path: Path, phases: str) -> None:
    """Whatever fits the document, and whatever does not, is answered as documented: status, type, body and headers."""
    with serving(key_file, streams=Streams(per_principal=0)) as served:
        token = served.world.token("all", *ROLES)
        attack(served, token, tmp_path, f"--phases={phases}", "--max-examples=15")


def test_the_platforms_administrator_finds_none_either(key_file: Path, tmp_path: Path) -> None:
    """The same for what only a token without a tenant may do."""
    with serving(key_file, streams=Streams(per_principal=0)) as served:
        token = served.world.token("root", "platform_admin", tenant="")
        platform = "--include-path-regex=action-types|kill-switches"
        attack(served, token, tmp_path, "--phases=fuzzing", "--max-examples=20", platform)
