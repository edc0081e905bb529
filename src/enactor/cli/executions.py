"""Looking at executions and following them; resolving and replaying."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from enactor.cli.answers import Execution, Intent, Line, Page, items, reference, understood
from enactor.cli.client import Api, Refused, segment
from enactor.cli.events import ServerEvent, server_events, text_lines
from enactor.cli.failures import Failure
from enactor.cli.intents import show
from enactor.cli.options import (
    Account,
    ActionTypeName,
    AsJson,
    IntentId,
    Limit,
    NextToken,
    Status,
    wrong_usage,
)
from enactor.cli.output import note, print_fields, print_json, print_json_line, print_table, say
from enactor.domain.ledger import LedgerEvent

_OVER: Final = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "CANCELLED", "EXPIRED", "IN_DOUBT"})
_ON_THE_WAY: Final = frozenset(
    {
        LedgerEvent.INTENT_PROPOSED,
        LedgerEvent.INTENT_EDITED,
        LedgerEvent.TARGET_READ,
        LedgerEvent.POLICY_EVALUATED,
        LedgerEvent.ACTION_APPROVED,
        LedgerEvent.EXECUTION_STARTED,
        LedgerEvent.WRITE_PERMITTED,
        LedgerEvent.TOOL_INVOKED,
        LedgerEvent.TOOL_RETRY_SCHEDULED,
        LedgerEvent.EXECUTION_DEFERRED,
        LedgerEvent.LOOKUP_PERFORMED,
        LedgerEvent.LEASE_TAKEN_OVER,
        LedgerEvent.COMPENSATION_STARTED,
        LedgerEvent.REPLAY_REQUESTED,
        LedgerEvent.REPLAY_STARTED,
    }
)
"""Events after which nothing can be over. After any other, one of a later version too, the status is read."""

_IDLE_SECONDS: Final = 60.0
_PAUSES: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try to follow a stream that broke."""


def status(
    action_intent_id: IntentId,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it until it is over; exit status 1 unless it succeeded.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where an execution stands, and what, if anything, somebody has to do."""
    api = Api()
    if not watch:
        answer = api.get(_path(action_intent_id))
        if as_json:
            print_json(answer)
        else:
            _show(understood(answer, Execution))
        return
    answer = _followed(api, action_intent_id, as_json)
    if as_json:
        print_json_line(answer)
    else:
        _show(understood(answer, Execution))
    if understood(answer, Execution).status != "SUCCEEDED":
        raise typer.Exit(1)


def timeline(action_intent_id: IntentId, as_json: AsJson = False) -> None:
    """Show what happened, one line each: decision, approval, execution, outcome."""
    answer = Api().get(f"{_path(action_intent_id)}/timeline")
    if as_json:
        print_json(answer)
        return
    found = [understood(item, Line) for item in items(answer)]
    rows = [(line.timestamp, line.stage, line.text) for line in found]
    print_table(("when", "stage", "what"), rows, "Nothing has happened.")


def list_executions(
    account: Account = None,
    status: Status = None,
    action_type: ActionTypeName = None,
    limit: Limit = 50,
    next_token: NextToken = None,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first, those that have not started included."""
    answer = Api().get(
        "/v1/executions",
        account_id=account,
        status=status,
        action_type=action_type,
        limit=limit,
        next_token=next_token,
    )
    if as_json:
        print_json(answer)
        return
    page = understood(answer, Page)
    found = [understood(item, Execution) for item in page.items]
    rows = [(one.action_intent_id, one.status, one.account_id, one.created_at, one.summary) for one in found]
    print_table(("intent", "status", "account", "proposed", "summary"), rows, "There are none.")
    if page.next_token:
        note(f"There are more: --next-token {page.next_token}")


def resolve(
    action_intent_id: IntentId,
    comment: Annotated[str, typer.Option("--comment", help="How it was found out; it is recorded.")],
    executed: Annotated[
        bool | None, typer.Option("--executed/--not-executed", help="Whether the target system shows the effect.")
    ] = None,
    ref: Annotated[
        list[str] | None,
        typer.Option("--ref", metavar="SYSTEM/TYPE/ID", help="The object that was found, with --executed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what became of a run in doubt, after looking at the target system."""
    if executed is None:
        wrong_usage("Say --executed or --not-executed.")
    if ref and not executed:
        wrong_usage("What did not happen left no object.", "--ref")
    body: dict[str, Any] = {"resolution": "EXECUTED" if executed else "NOT_EXECUTED", "comment": comment}
    if ref:
        body["external_object_refs"] = [_reference(item) for item in ref]
    answer = Api().post(f"{_path(action_intent_id)}/resolve", body)
    if as_json:
        print_json(answer)
        return
    missing = answer.get("approvals_missing", 0) if isinstance(answer, dict) else 0
    if missing:
        say("Recorded; it counts once a second person says the same.")
    else:
        say(f"Resolved: {body['resolution']}.")


def undo(
    action_intent_id: IntentId,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever decides reads it.")],
    as_json: AsJson = False,
) -> None:
    """Propose to take back what an execution did. Somebody else has to approve it, as any other intent."""
    answer = Api().post(f"{_path(action_intent_id)}/undo", {"reason": reason})
    if as_json:
        print_json(answer)
        return
    show(understood(answer, Intent))


def replay(
    action_intent_id: IntentId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    as_json: AsJson = False,
) -> None:
    """Start a new run of a failed or cancelled one, under the same key."""
    answer = Api().post(f"{_path(action_intent_id)}/replay", {"replay_reason": reason})
    if as_json:
        print_json(answer)
        return
    number = answer.get("run_number") if isinstance(answer, dict) else None
    say(f"Run {number} started." if number else "A new run started.")


def _followed(api: Api, action_intent_id: str, as_json: bool) -> Any:
    """Prints events as they come and returns the execution once it is over."""
    last_id = ""
    tries = 0
    while True:
        try:
            headers = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
            with api.stream(f"{_path(action_intent_id)}/events", headers=headers, idle_seconds=_IDLE_SECONDS) as stream:
                # The stream is open before the status is read, so no ending can fall between the two.
                answer = api.get(_path(action_intent_id))
                if _over(answer):
                    return answer
                for event in server_events(text_lines(stream.iter_bytes())):
                    tries, last_id = 0, event.event_id or last_id
                    if _printed(event, as_json) in _ON_THE_WAY:
                        continue
                    answer = api.get(_path(action_intent_id))
                    if _over(answer):
                        return answer
        except Refused:
            raise
        except Failure:
            if tries >= len(_PAUSES):
                raise
        if tries >= len(_PAUSES):
            raise Failure("The server keeps ending the stream; the execution is not over. Ask again with --watch.")
        time.sleep(_PAUSES[tries])
        tries += 1


def _over(answer: Any) -> bool:
    """Whether nothing more will happen by itself; in shadow mode nothing does once it is approved."""
    execution = understood(answer, Execution)
    return execution.status in _OVER or (execution.shadow and execution.status == "PENDING")


def _printed(event: ServerEvent, as_json: bool) -> str:
    """Prints an event, and returns its type."""
    body = event.body()
    data = body.get("data")
    kind = str(data.get("event_type")) if isinstance(data, dict) else event.event_type
    if as_json:
        print_json_line(body)
    else:
        say(f"{body.get('time', '')}  {kind}".strip())
    return kind


def _show(execution: Execution) -> None:
    print_fields(
        (
            ("intent", execution.action_intent_id),
            ("status", execution.status),
            ("explanation", execution.explanation),
            ("summary", execution.summary),
            ("account", execution.account_id),
            ("action type", execution.action_type),
            ("run", execution.run_number if execution.run_number > 1 else None),
            ("calls", execution.attempt_count),
            ("started", execution.started_at),
            ("completed", execution.completed_at),
            ("objects", [reference(ref) for ref in execution.external_object_refs]),
            ("error", _error(execution)),
            ("takes back", execution.undoes),
            ("taken back", _taken_back(execution)),
            ("how", _how(execution)),
            ("trace", execution.trace_id),
        )
    )


def _taken_back(execution: Execution) -> str | None:
    if execution.compensation_status == "NONE":
        return None
    by = f" by {execution.compensated_by}" if execution.compensated_by else ""
    why = f": {execution.compensation_error}" if execution.compensation_error else ""
    return f"{execution.compensation_status}{by}{why}"


def _how(execution: Execution) -> str | None:
    """What a person has to know where taking it back is not Enactor's to do."""
    if execution.compensation_strategy not in ("MANUAL", "NONE") or execution.undoes is not None:
        return None
    return " ".join(part for part in (execution.compensation_strategy, execution.compensation_note) if part)


def _error(execution: Execution) -> str | None:
    parts = [execution.error_class, execution.error_code, execution.error_message]
    return " ".join(part for part in parts if part) or None


def _reference(text: str) -> dict[str, str]:
    parts = text.split("/", 2)
    if len(parts) != 3 or not all(parts):
        wrong_usage("Write SYSTEM/TYPE/ID, for example internal/note/n_1.", "--ref")
    return dict(zip(("system", "object_type", "object_id"), parts, strict=True))


def _path(action_intent_id: str) -> str:
    return f"/v1/executions/{segment(action_intent_id)}"
