"""The demonstration itself. It exits 0 only if everything it says held."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from enactor.demo.outside import Outside
from enactor.demo.stage import ACCOUNT, Caller, DemoFailed, Server, Voice, emptied, expect, stage
from enactor.demo.world import World, world
from enactor.domain.text import visible
from enactor.domain.verification import verify_bundle

_BURST: Final = 200
_KILL_AFTER: Final = 60


def run(folder: Path = Path(".demo"), console: Console | None = None) -> int:
    """Runs the demonstration in `folder`. Returns the exit status: 0 if all held, else 1.

    Args:
        console: where it is told; standard output without one.
    """
    voice = Voice(console)
    begun = time.perf_counter()
    voice.console.print(
        Panel.fit(
            "[bold]Enactor[/]: an agent proposes, a person approves, and it happens exactly once.",
            border_style="cyan",
        )
    )
    try:
        with world(emptied(folder)) as outside, stage(folder, outside.settings, outside.secrets) as server:
            _Demonstration(server, outside, voice).play()
    except (DemoFailed, httpx.HTTPError) as error:
        voice.console.print(f"\n[bold red]✗ The demonstration failed:[/] {error}")
        voice.console.print(f"  The server's log is {folder / 'server.log'}.")
        return 1
    seconds = time.perf_counter() - begun
    voice.console.print(
        f"\n[bold green]Everything held[/], in {seconds:.0f} seconds. To keep exploring what is there now:"
    )
    for line in _further(folder):
        voice.console.print(f"   {line}", soft_wrap=True)
    return 0


def _further(folder: Path) -> tuple[str, ...]:
    """What to type to go on from here: as the program itself was called, and with the key that signs its tokens."""
    command = sys.argv[0] if Path(sys.argv[0]).name == "enactor" else "enactor"
    key_file = f"export ENACTOR_DEV_KEY_FILE={folder / 'dev-issuer.json'}"
    return (
        f"{key_file}; {command} serve --dev --store sqlite:///{folder / 'enactor.db'}",
        "then http://127.0.0.1:8420/docs, and in another terminal a token for it:",
        f"{key_file}; {command} dev token --tenant acme --role approver --subject you",
    )


class _Demonstration:
    def __init__(self, server: Server, outside: World, voice: Voice) -> None:
        self.server = server
        self.voice = voice
        who: dict[str, tuple[str, tuple[str, ...], bool]] = {
            "planner": ("planner-agent", ("proposer",), True),
            "both": ("bob", ("proposer", "approver"), False),
            "ana": ("ana", ("approver",), False),
            "olga": ("olga", ("operator",), False),
            "audrey": ("audrey", ("auditor",), False),
        }
        callers = {
            name: Caller(server, subject, server.token(subject, *roles, agent=agent))
            for name, (subject, roles, agent) in who.items()
        }
        self.planner, self.bob, self.ana = callers["planner"], callers["both"], callers["ana"]
        self.olga, self.audrey = callers["olga"], callers["audrey"]
        self.outside = Outside(self.planner, self.ana, self.olga, voice, outside)

    def play(self) -> None:
        """All acts, in order."""
        intent = self.proposal()
        self.refusals(intent)
        self.execution(intent)
        self.record(intent)
        self.duplicates(intent)
        self.outside.draft()
        self.outside.undone(self.outside.doubt())
        self.switch()
        self.crash()
        self.proof()

    def propose(self, caller: Caller, title: str) -> Any:
        """An intent to write a note."""
        body = {
            "action_type": "CREATE_INTERNAL_NOTE",
            "account_id": ACCOUNT,
            "parameters": {"title": title, "body": "Written by the demonstration."},
            "rationale": "The customer asked to be called back.",
        }
        return caller.ask("POST", "/v1/intents", 201, json=body)

    def proposal(self) -> Any:
        """An agent proposes."""
        self.voice.act("An agent proposes. Nothing happens yet.")
        intent = self.propose(self.planner, "Test note: call the customer back")
        shown = Table.grid(padding=(0, 2))
        shown.add_row("intent", intent["action_intent_id"])
        shown.add_row("summary", visible(intent["summary"]))
        shown.add_row("call", f"{intent['tool_call']['tool_name']}({visible(intent['tool_call']['argument_bytes'])})")
        shown.add_row("digest", intent["approval_digest"])
        shown.add_row("status", intent["status"])
        self.voice.console.print(Panel(shown, title="what an approver sees", border_style="dim", expand=False))
        return intent

    def refusals(self, intent: Any) -> None:
        """What is refused."""
        self.voice.act("It cannot be executed without approval, nor approved by whoever proposed it.")
        problem = self.planner.ask("POST", "/v1/executions", 409, json={"action_intent_id": intent["action_intent_id"]})
        self.voice.held(f"executing it now: {problem['status']} {problem['error_code']}")
        own = self.propose(self.bob, "Test note: bob's own")
        problem = self.bob.ask(
            "POST",
            f"/v1/intents/{own['action_intent_id']}/approve",
            403,
            json={"approval_digest": own["approval_digest"]},
        )
        self.voice.held(f"approving one's own: {problem['status']} {problem['error_code']}")
        self.bob.ask("POST", f"/v1/intents/{own['action_intent_id']}/cancel", 200)

    def execution(self, intent: Any) -> None:
        """A person approves, and the event stream tells the outcome."""
        self.voice.act("Ana approves exactly that digest. The event stream tells what happens.")
        identity = intent["action_intent_id"]
        self.ana.ask(
            "POST",
            f"/v1/intents/{identity}/approve",
            202,
            json={"approval_digest": intent["approval_digest"], "comment": "Looks right."},
        )
        for event in self.ana.events(f"/v1/executions/{identity}/events"):
            kind = event["data"]["event_type"]
            self.voice.say(f"[dim]{event['time']}[/]  {kind}")
            if kind in ("ACTION_EXECUTED", "ACTION_FAILED"):
                expect(kind == "ACTION_EXECUTED", f"the execution ended {kind}")
                break
        view = self.ana.ask("GET", f"/v1/executions/{identity}", 200)
        expect(view["status"] == "SUCCEEDED", f"the status is {view['status']}")
        ref = view["external_object_refs"][0]
        self.voice.held(f"{view['status']} after {view['attempt_count']} call: {ref['object_type']} {ref['object_id']}")

    def record(self, intent: Any) -> None:
        """The timeline and the ledger."""
        self.voice.act("Everything about it can be read back: the timeline, and the ledger entries of the trace.")
        identity = intent["action_intent_id"]
        timeline = self.ana.ask("GET", f"/v1/executions/{identity}/timeline", 200)
        for line in timeline["items"]:
            text = Text("   ")
            text.append(f"{line['stage']:<10}", style="cyan").append(line["text"])
            self.voice.console.print(text)
        view = self.ana.ask("GET", f"/v1/executions/{identity}", 200)
        entries = self.audrey.ask("GET", "/v1/ledger", 200, params={"trace_id": view["trace_id"]})["items"]
        expect(len(entries) >= 4, f"the trace has {len(entries)} ledger entries")
        for entry in entries:
            self.voice.say(f"[dim]#{entry['seq']:<4}[/]{entry['event_type']:<22}[dim]{entry['hash'][:16]}…[/]")

    def duplicates(self, intent: Any) -> None:
        """The same approval event, fifty times at once."""
        self.voice.act("The same approval event is delivered 50 times at once.")
        identity = intent["action_intent_id"]
        with ThreadPoolExecutor(max_workers=25) as pool:
            answers = list(
                pool.map(
                    lambda _: self.ana.client.post("/v1/executions", json={"action_intent_id": identity}).status_code,
                    range(50),
                )
            )
        expect(set(answers) == {202}, f"the deliveries were answered {Counter(answers)}")
        entries = self._ledger(action_intent_id=identity, event_type="EXECUTION_STARTED")
        notes = [note for note in self._notes() if note["body"]["title"].startswith("Test note: call")]
        expect(len(entries) == 1 and len(notes) == 1, f"{len(entries)} executions, {len(notes)} notes")
        self.voice.held("one execution, one note")

    def switch(self) -> None:
        """The kill switch and its report."""
        self.voice.act("Olga flips the tenant's kill switch.")
        intent = self.propose(self.planner, "Test note: written too late")
        identity = intent["action_intent_id"]
        report = self.olga.ask(
            "PUT", "/v1/kill-switches/tenant", 200, json={"enabled": True, "reason": "Demonstration"}
        )
        expect(report["enabled"], "the switch is not on")
        self.ana.ask(
            "POST", f"/v1/intents/{identity}/approve", 202, json={"approval_digest": intent["approval_digest"]}
        )
        view = self._until_over([identity])[identity]
        expect(view["error_code"] == "KILL_SWITCH_ENABLED", f"it ended {view['status']} {view['error_code']}")
        self.voice.held(f"approved now, and refused: {view['status']} {view['error_code']}")
        report = self.olga.ask("GET", "/v1/kill-switches/tenant/report", 200)
        blocked = [run["action_intent_id"] for run in report["blocked"]]
        expect(identity in blocked, "the report does not list it as blocked")
        self.voice.say(
            f"containment report: {len(report['executed'])} had been executed, {len(blocked)} blocked, "
            f"{len(report['unknown'])} unknown"
        )
        self.olga.ask("PUT", "/v1/kill-switches/tenant", 200, json={"enabled": False, "reason": "Demonstration over"})

    def crash(self) -> None:
        """SIGKILL in the middle of 200 executions."""
        self.voice.act(f"{_BURST} more are proposed. In the middle of their execution the server is killed (SIGKILL).")
        batch: list[dict[str, Any]] = [
            {
                "action_type": "CREATE_INTERNAL_NOTE",
                "account_id": ACCOUNT,
                "parameters": {"title": f"Burst note {number:03d}"},
            }
            for number in range(_BURST)
        ]
        made = self.planner.ask("POST", "/v1/intents/batch", 200, json={"items": batch})
        digests = {item["intent"]["action_intent_id"]: item["intent"]["approval_digest"] for item in made["items"]}
        expect(len(digests) == _BURST, f"{len(digests)} of {_BURST} were proposed")
        acknowledged = self._approve_until_killed(digests)
        self.voice.say(f"killed after {acknowledged} approvals were acknowledged")
        self.server.start()
        self.voice.say("started again on the same file; every approval is simply sent again")
        for identity, approval_digest in digests.items():
            self.ana.ask("POST", f"/v1/intents/{identity}/approve", 202, json={"approval_digest": approval_digest})
        views = self._until_over(list(digests))
        notes = Counter(note["body"]["title"] for note in self._notes() if note["body"]["title"].startswith("Burst"))
        failed = [view for view in views.values() if view["status"] != "SUCCEEDED"]
        expect(not failed, f"{len(failed)} did not succeed: {failed[:1]}")
        wanted = {item["parameters"]["title"] for item in batch}
        expect(set(notes) == wanted, f"{len(wanted - set(notes))} notes are missing")
        doubled = [title for title, count in notes.items() if count != 1]
        expect(not doubled, f"{len(doubled)} notes are there more than once")
        recovered = len(self._ledger(event_type="LEASE_TAKEN_OVER"))
        self.voice.held(f"{_BURST} executions, {_BURST} notes, each exactly once; {recovered} runs were recovered")

    def _approve_until_killed(self, digests: dict[str, str]) -> int:
        acknowledged = 0

        def approve(identity: str) -> bool:
            try:
                answer = self.ana.client.post(
                    f"/v1/intents/{identity}/approve", json={"approval_digest": digests[identity]}
                )
            except httpx.TransportError:
                return False
            return answer.status_code == httpx.codes.ACCEPTED

        with ThreadPoolExecutor(max_workers=16) as pool:
            for done in as_completed([pool.submit(approve, identity) for identity in digests]):
                acknowledged += done.result()
                if acknowledged == _KILL_AFTER:
                    self.server.kill()
        expect(_KILL_AFTER <= acknowledged < _BURST, f"{acknowledged} approvals were acknowledged before the kill")
        return acknowledged

    def proof(self) -> None:
        """The ledger, exported and checked by somebody who has only the file."""
        self.voice.act("An auditor exports the ledger and checks every chain of it, from the file alone.")
        bundle = self.audrey.client.get("/v1/ledger/export").content
        (self.server.folder / "ledger.jsonl").write_bytes(bundle)
        report = verify_bundle(bundle.splitlines(keepends=True))
        expect(report.ok, f"the ledger is not what was written: {report.faults[:1]}")
        self.voice.held(f"{report.entries} entries in {report.chains} chains: nothing altered, removed or reordered")
        self.voice.say(f"[dim]{' '.join(report.cannot_know)}[/]")
        tampered = bundle.replace(b'"Looks right."', b'"Looks wrong"', 1).replace(b"Looks right.", b"Looks wrong.", 1)
        caught = verify_bundle(tampered.splitlines(keepends=True))
        expect(not caught.ok, "a changed comment was not noticed")
        self.voice.held(
            f"one word changed in a copy is caught, at entry {caught.faults[0].seq}: {caught.faults[0].fault}"
        )
        status = self.server.stop()
        expect(status == 0, f"the server stopped with status {status}: {self.server.last_words()}")

    # -- reading -------------------------------------------------------------------------------------------------

    def _all(self, caller: Caller, path: str, **params: Any) -> list[Any]:
        items: list[Any] = []
        token: str | None = None
        while True:
            query = {**params, "limit": 100, **({"next_token": token} if token else {})}
            page = caller.ask("GET", path, 200, params=query)
            items += page["items"]
            token = page["next_token"]
            if token is None:
                return items

    def _ledger(self, **where: str) -> list[Any]:
        return self._all(self.audrey, "/v1/ledger", **where)

    def _notes(self) -> list[Any]:
        return self._all(self.ana, "/v1/objects", type="note")

    def _until_over(self, identities: list[str]) -> dict[str, Any]:
        waiting = set(identities)
        views: dict[str, Any] = {}
        until = time.perf_counter() + 30
        while waiting and time.perf_counter() < until:
            for view in self._all(self.ana, "/v1/executions", account_id=ACCOUNT):
                if view["action_intent_id"] in waiting and view["completed_at"]:
                    views[view["action_intent_id"]] = view
            waiting -= set(views)
        expect(not waiting, f"{len(waiting)} executions are not over after 30 seconds")
        return views
