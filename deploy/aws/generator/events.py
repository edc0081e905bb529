"""The bus, the rule of approvals, the queue with its dead letters, and the schedules."""

from __future__ import annotations

from typing import Any

from deploy.aws.generator.functions import FUNCTIONS, dashed, logical
from enactor.engines.stepfunctions.trigger import DETAIL_TYPE, SOURCE

_FORTNIGHT = 1_209_600
_RECEIVES = 5


def bus_and_queues() -> dict[str, dict[str, Any]]:
    """What carries approvals to the starter."""
    return {
        "EventBus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": {"Fn::Sub": "${Prefix}-events"}}},
        "ApprovalsDeadLetters": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": {"Fn::Sub": "${Prefix}-approvals-dead-letters"},
                "MessageRetentionPeriod": _FORTNIGHT,
                "SqsManagedSseEnabled": True,
            },
        },
        "ApprovalsQueue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "QueueName": {"Fn::Sub": "${Prefix}-approvals"},
                # Six times what the starter may take, as Lambda asks for.
                "VisibilityTimeout": 180,
                "MessageRetentionPeriod": _FORTNIGHT,
                "SqsManagedSseEnabled": True,
                "RedrivePolicy": {
                    "deadLetterTargetArn": {"Fn::GetAtt": ["ApprovalsDeadLetters", "Arn"]},
                    "maxReceiveCount": _RECEIVES,
                },
            },
        },
        "ApprovalsRule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": {"Fn::Sub": "${Prefix}-approvals"},
                # GetAtt, because an emulator takes no Ref here.
                "EventBusName": {"Fn::GetAtt": ["EventBus", "Name"]},
                "EventPattern": {"source": [SOURCE], "detail-type": [DETAIL_TYPE]},
                "State": "ENABLED",
                "Targets": [
                    {
                        "Id": "approvals",
                        "Arn": {"Fn::GetAtt": ["ApprovalsQueue", "Arn"]},
                        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["ApprovalsDeadLetters", "Arn"]}},
                    }
                ],
            },
        },
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "ApprovalsQueue"}, {"Ref": "ApprovalsDeadLetters"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "TheRuleAlone",
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": [
                                {"Fn::GetAtt": ["ApprovalsQueue", "Arn"]},
                                {"Fn::GetAtt": ["ApprovalsDeadLetters", "Arn"]},
                            ],
                            "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ApprovalsRule", "Arn"]}}},
                        }
                    ],
                },
            },
        },
    }


def triggers() -> dict[str, dict[str, Any]]:
    """What invokes functions: the queue, and schedules."""
    found: dict[str, dict[str, Any]] = {
        "StarterMapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["ApprovalsQueue", "Arn"]},
                "FunctionName": {"Ref": "StarterFunction"},
                "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": {"Ref": "StarterConcurrency"}},
            },
        }
    }
    for function in FUNCTIONS:
        if not function.schedule:
            continue
        name = logical(function.name)
        found[f"{name}Schedule"] = {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": {"Fn::Sub": f"${{Prefix}}-{dashed(function.name)}"},
                "ScheduleExpression": function.schedule,
                "State": "ENABLED",
                "Targets": [{"Id": function.name, "Arn": {"Fn::GetAtt": [f"{name}Function", "Arn"]}}],
            },
        }
        found[f"{name}Permission"] = {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": f"{name}Function"},
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
                "SourceArn": {"Fn::GetAtt": [f"{name}Schedule", "Arn"]},
            },
        }
    return found
