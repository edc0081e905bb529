"""Proposing, deciding and cancelling."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from enactor.cli.answers import Intent, understood
from enactor.cli.client import Api, segment
from enactor.cli.failures import Failure
from enactor.cli.options import AsJson, IntentId, duration, json_object, named_parameters, wrong_usage
from enactor.cli.output import print_block, print_fields, print_json, say
from enactor.cli.text import lines, one_line, quoted_json
from enactor.domain.time import rfc3339


def propose(
    action_type: Annotated[str, typer.Argument(help="What to do, for example CREATE_INTERNAL_NOTE.")],
    account: Annotated[str, typer.Option("--account", help="The account it is about.")],
    parameters: Annotated[
        str | None, typer.Option("--parameters", metavar="JSON", help="A JSON object, @FILE, or - for standard input.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=TEXT", help="One parameter; NAME:=JSON for other than text."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="TYPE:ID", help="The entity it is about, in the proposer's word.")
    ] = None,
    rationale: Annotated[str | None, typer.Option("--rationale", help="Why; approvers see it quoted.")] = None,
    evidence: Annotated[
        list[str] | None, typer.Option("--evidence", metavar="REF", help="What it rests on. Repeatable.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="DURATION", help="How long it lives: 90, 15m, 24h, 7d.")
    ] = None,
    retry_count: Annotated[
        int | None, typer.Option("--retry-count", min=0, help="Repetitions, where repeating is safe.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="How long one call may take.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key and body give the same intent.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Propose an action. Prints the intent, the call that was frozen and the digest to approve it by."""
    given = json_object(parameters, "--parameters") if parameters is not None else {}
    named = named_parameters(parameter or [], "--parameter")
    if both := sorted(given.keys() & named.keys()):
        wrong_usage(f"{both[0]} is in --parameters and in --parameter.", "--parameter")
    body: dict[str, Any] = {"action_type": action_type, "account_id": account, "parameters": {**given, **named}}
    if target is not None:
        entity_type, separator, entity_id = target.partition(":")
        if not separator or not entity_type or not entity_id:
            wrong_usage("Write TYPE:ID, for example Contact:003.", "--target")
        body["target"] = {"entity_type": entity_type, "entity_id": entity_id}
    if rationale is not None:
        body["rationale"] = rationale
    if evidence:
        body["evidence_refs"] = evidence
    if (seconds := duration(expires_in, "--expires-in")) is not None:
        body["expires_in_seconds"] = seconds
    policy = {"retry_count": retry_count, "timeout_seconds": duration(timeout, "--timeout")}
    if wished := {name: value for name, value in policy.items() if value is not None}:
        body["execution_policy"] = wished
    answer = Api().post("/v1/intents", body, {"idempotency-key": idempotency_key} if idempotency_key else None)
    if as_json:
        print_json(answer)
        return
    show(understood(answer, Intent))


def show(intent: Intent) -> None:
    """Everything that decides what will happen, what agents wrote quoted."""
    print_fields(
        (
            ("summary", intent.summary),
            ("intent", intent.action_intent_id),
            ("status", intent.status),
            ("because", intent.decided_reason),
            ("account", intent.account_id),
            ("action type", intent.action_type),
            ("takes back", _undone(intent.undoes)),
            ("target", _target(intent.target)),
            ("risk", intent.risk_class),
            ("approvals needed", _needed(intent)),
            ("decided so far", [_decision(approval) for approval in intent.approvals]),
            ("proposed by", intent.proposed_by),
            ("revision", intent.revision if intent.revision > 1 else None),
            ("shadow", "evaluated and recorded, never executed" if intent.shadow else None),
            ("effect key", intent.effect_key),
            ("if the reply is lost", intent.write_semantics.get("mode")),
            ("taken back", intent.compensation.get("strategy")),
            ("note", intent.compensation.get("note")),
            ("retries", intent.execution_policy.get("retry_count")),
            ("time limit", _seconds(intent.execution_policy.get("timeout_seconds"))),
            ("expires", rfc3339(intent.expires_at_epoch * 1000) if intent.expires_at_epoch else None),
            ("evidence", intent.evidence_refs),
        )
    )
    call = intent.tool_call
    print_block(f"call {call.tool_name} {call.tool_schema_version}".rstrip(), _arguments(call.argument_bytes))
    if intent.rationale:
        print_block("rationale, in the proposer's words", lines(intent.rationale))
    if intent.preview is not None:
        _show_preview(intent.preview)
    print_fields((("digest", intent.approval_digest),))


_GUARDS = {
    "ATOMIC": "the version travels with the write: a target that was changed since refuses it",
    "CHECK_THEN_WRITE": "the version is looked at just before the write: a change in the moment between is overwritten",
    "NONE": "nothing: a change since is overwritten",
}


def _show_preview(preview: dict[str, Any]) -> None:
    """What would change, value by value, and how far that is held against the target when it is done."""
    before, after = preview.get("before"), preview.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            print_block(f"preview: {one_line(name)}, now", quoted_json(before.get(name)))
            print_block(f"preview: {one_line(name)}, then", quoted_json(after.get(name)))
    else:
        print_block("preview, read from the target", quoted_json(preview))
    guard = str(preview.get("guard", ""))
    print_fields(
        (
            ("read at version", preview.get("version_tag") or None),
            ("guarded by", f"{guard} ({_GUARDS[guard]})" if guard in _GUARDS else guard),
        )
    )


def _undone(undoes: dict[str, Any] | None) -> str | None:
    return None if undoes is None else f"{undoes.get('action_intent_id')}, run {undoes.get('run_number')}"


def approve(
    action_intent_id: IntentId,
    digest: Annotated[
        str | None, typer.Option("--digest", help="What you approve. Without it, it is shown and you are asked.")
    ] = None,
    comment: Annotated[str, typer.Option("--comment", help="Kept with the approval.")] = "",
    as_json: AsJson = False,
) -> None:
    """Approve exactly what a digest stands for; without one, look at the call and decide."""
    api = Api()
    path = f"/v1/intents/{segment(action_intent_id)}"
    if digest is None:
        if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            wrong_usage("Say which digest you approve, or run it on a terminal to be shown and asked.", "--digest")
        intent = understood(api.get(path), Intent)
        show(intent)
        if not typer.confirm("Approve exactly this?", default=False):
            raise Failure("Nothing was decided.")
        digest = intent.approval_digest
    answer = api.post(f"{path}/approve", {"approval_digest": digest, "comment": comment})
    if as_json:
        print_json(answer)
        return
    missing = answer.get("approvals_missing", 0) if isinstance(answer, dict) else 0
    if missing:
        say(f"Approved; {missing} more approval{'s' if missing > 1 else ''} by somebody else needed.")
    else:
        say(f"Approved. Follow it with: enactor status {action_intent_id} --watch")


def reject(
    action_intent_id: IntentId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the proposer reads it.")],
    as_json: AsJson = False,
) -> None:
    """Reject an intent for good."""
    answer = Api().post(f"/v1/intents/{segment(action_intent_id)}/reject", {"reason": reason})
    if as_json:
        print_json(answer)
    else:
        say(f"Rejected {action_intent_id}.")


def cancel(
    action_intent_id: IntentId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel what has not started; ask what is running to stop before its next call."""
    answer = Api().post(f"/v1/intents/{segment(action_intent_id)}/cancel", {"reason": reason})
    if as_json:
        print_json(answer)
    elif isinstance(answer, dict) and answer.get("requested_only"):
        say(f"Asked: {action_intent_id} stops before its next call. What was sent already may still land.")
    else:
        say(f"Cancelled {action_intent_id}.")


def _arguments(argument_bytes: str) -> str:
    try:
        return quoted_json(json.loads(argument_bytes))
    except ValueError:
        return lines(argument_bytes)


def _needed(intent: Intent) -> int | None:
    # What the risk class asks for may be none; as long as it waits, no policy has approved it, and somebody has to.
    waits = intent.status == "PENDING_APPROVAL" and intent.required_approvals is not None
    return max(1, intent.required_approvals or 0) if waits else intent.required_approvals


def _decision(approval: dict[str, Any]) -> str:
    return f"{approval.get('decision')} by {approval.get('decided_by')} (revision {approval.get('revision')})"


def _target(target: dict[str, Any] | None) -> str | None:
    if target is None:
        return None
    source = {"ARGUMENTS": "from the arguments", "PROPOSER": "in the proposer's word only"}
    said = source.get(str(target.get("source")))
    return f"{target.get('entity_type')} {target.get('entity_id')}" + (f" ({said})" if said else "")


def _seconds(value: object) -> str | None:
    return None if value is None else f"{value} s"
