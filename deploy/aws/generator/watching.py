"""Alarms: what somebody has to look at."""

from __future__ import annotations

from typing import Any

from deploy.aws.generator.functions import FUNCTIONS, logical
from enactor.domain.log import ALARM_SECONDS
from enactor.functions.checkpointer import UNMERGED_SECONDS
from enactor.functions.runtime import NAMESPACE

_DEPLOYMENT = [{"Name": "Deployment", "Value": {"Ref": "Prefix"}}]
_MACHINE = [{"Name": "StateMachineArn", "Value": {"Ref": "StateMachine"}}]


def alarms() -> dict[str, dict[str, Any]]:
    """Every alarm is about something that does not pass by itself, or that passes too often."""
    found = {
        "StuckAlarm": _alarm("stuck", "Runs that the state machine lost were taken up.", NAMESPACE, "RunsTakenUp"),
        "FailuresAlarm": _alarm(
            "failures", "More than ten actions failed in five minutes.", NAMESPACE, "ExecutionsFailed", threshold=10
        ),
        "InDoubtAlarm": _alarm(
            "in-doubt", "A run is in doubt: look it up, or resolve it.", NAMESPACE, "ExecutionsInDoubt"
        ),
        "ReturnedMessagesAlarm": _alarm(
            "returned-messages", "Approvals go back to the queue.", NAMESPACE, "MessagesReturned", threshold=10
        ),
        "ExecutionsFailedAlarm": _alarm(
            "executions-failed",
            "An execution of the state machine ended without an outcome.",
            "AWS/States",
            "ExecutionsFailed",
            dimensions=_MACHINE,
        ),
        "ExecutionsThrottledAlarm": _alarm(
            "executions-throttled",
            "Step Functions starts fewer executions than are asked for.",
            "AWS/States",
            "ExecutionThrottled",
            dimensions=_MACHINE,
        ),
        "DeadLettersAlarm": _alarm(
            "dead-letters",
            "An approval could not be started: read it, then redrive it (docs/aws.md).",
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            dimensions=[{"Name": "QueueName", "Value": {"Fn::GetAtt": ["ApprovalsDeadLetters", "QueueName"]}}],
            statistic="Maximum",
        ),
    }
    found |= _of_the_ledger()
    for function in FUNCTIONS:
        name = logical(function.name)
        found[f"{name}ThrottlesAlarm"] = _alarm(
            f"throttles-{function.name}",
            f"Lambda has no room for the {function.name}.",
            "AWS/Lambda",
            "Throttles",
            dimensions=[{"Name": "FunctionName", "Value": {"Ref": f"{name}Function"}}],
        )
    return found


def _of_the_ledger() -> dict[str, dict[str, Any]]:
    """An entry that stays out of its log, a log that cannot be signed, and a checkpointer that says nothing at all."""
    silent = _alarm(
        "ledger-unwatched",
        "The checkpointer has said nothing for five minutes: entries may be in no log.",
        NAMESPACE,
        UNMERGED_SECONDS,
        threshold=1,
        statistic="SampleCount",
    )
    silent["Properties"] |= {"ComparisonOperator": "LessThanThreshold", "TreatMissingData": "breaching"}
    late = _alarm(
        "ledger-late",
        "A ledger entry has been in no log for a minute: the log is stuck, or its tables were changed.",
        NAMESPACE,
        UNMERGED_SECONDS,
        threshold=ALARM_SECONDS,
        statistic="Maximum",
    )
    late["Properties"] |= {"ComparisonOperator": "GreaterThanOrEqualToThreshold", "Period": 60}
    return {
        "LedgerLateAlarm": late,
        "LedgerUnwatchedAlarm": silent,
        "CheckpointsAlarm": _alarm(
            "checkpoints", "The ledger could not be merged or signed.", NAMESPACE, "CheckpointFailures"
        ),
    }


def _alarm(
    name: str,
    description: str,
    namespace: str,
    metric: str,
    *,
    threshold: int = 0,
    dimensions: list[dict[str, Any]] | None = None,
    statistic: str = "Sum",
) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": {"Fn::Sub": f"${{Prefix}}-{name}"},
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": dimensions or _DEPLOYMENT,
            "Statistic": statistic,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [{"Fn::If": ["Notify", {"Ref": "AlarmTopic"}, {"Ref": "AWS::NoValue"}]}],
        },
    }
