"""Functions with their roles and logs, and the state machine."""

from __future__ import annotations

import json
from typing import Any

from deploy.aws.generator.functions import FUNCTIONS, Function, dashed, logical
from enactor.engines.stepfunctions.definition import FUNCTIONS as STEP_FUNCTIONS
from enactor.engines.stepfunctions.definition import definition

RUNTIME = "python3.13"
ARCHITECTURE = "arm64"
MACHINE = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:${Prefix}-action-execution"
_NAMED = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:"
"""What the ARNs of secrets begin with; Secrets Manager ends each with six characters of its own."""
_TABLE = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Prefix}-"


def functions() -> dict[str, dict[str, Any]]:
    """Each function with a role and a log group of its own."""
    found: dict[str, dict[str, Any]] = {}
    for function in FUNCTIONS:
        name = logical(function.name)
        found[f"{name}Logs"] = {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {
                "LogGroupName": {"Fn::Sub": f"/aws/lambda/${{Prefix}}-{dashed(function.name)}"},
                "RetentionInDays": {"Ref": "LogRetentionDays"},
            },
        }
        found[f"{name}Role"] = {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": _trust("lambda.amazonaws.com"),
                "Policies": [{"PolicyName": function.name, "PolicyDocument": policy(function)}],
            },
        }
        found[f"{name}Function"] = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": {"Fn::Sub": f"${{Prefix}}-{dashed(function.name)}"},
                "Description": f"Enactor: {function.does}.",
                "Runtime": RUNTIME,
                "Architectures": [ARCHITECTURE],
                "Handler": function.handler,
                "Code": {"S3Bucket": {"Ref": "PackageBucket"}, "S3Key": {"Ref": "PackageKey"}},
                "Role": {"Fn::GetAtt": [f"{name}Role", "Arn"]},
                "Timeout": function.seconds,
                "MemorySize": function.memory,
                "TracingConfig": {"Mode": "Active"},
                "LoggingConfig": {"LogFormat": "JSON", "LogGroup": {"Ref": f"{name}Logs"}},
                "Environment": {"Variables": variables(function)},
            },
        }
    return found


def variables(function: Function) -> dict[str, Any]:
    """A function's environment. No secret is in it: credentials are named, and read where they are used."""
    found: dict[str, Any] = {
        "ENACTOR_STORE": {"Fn::Sub": "dynamodb://${AWS::Region}?prefix=${Prefix}"},
        "ENACTOR_AWS__PREFIX": {"Ref": "Prefix"},
    }
    if function.name in {*STEP_FUNCTIONS.values(), "api"}:
        found["ENACTOR_MAX_PAUSE_SECONDS"] = {"Fn::Sub": "${MaxPauseSeconds}"}
        found["ENACTOR_DOUBT_LOOK_UP_SECONDS"] = {"Fn::Sub": "${DoubtLookUpSeconds}"}
    if function.starts:
        found["ENACTOR_AWS__STATE_MACHINE"] = {"Fn::Sub": MACHINE}
    if function.publishes:
        found["ENACTOR_AWS__EVENT_BUS"] = {"Fn::Sub": "${Prefix}-events"}
    if function.signs:
        found["ENACTOR_LEDGER__ORIGIN"] = {"Ref": "LedgerOrigin"}
        found["ENACTOR_LEDGER__SIGNING_KEYS"] = {
            "Fn::If": ["NamedLedgerKeys", {"Ref": "LedgerKeys"}, {"Fn::Sub": "aws-sm:${SecretsPrefix}/ledger#key"}]
        }
    if function.settings:
        found["ENACTOR_CONNECTORS"] = {"Ref": "Connectors"}
        found["ENACTOR_CONNECTOR_SETTINGS"] = {"Ref": "ConnectorSettings"}
        found["ENACTOR_MCP_SERVERS"] = {"Ref": "McpServers"}
        found |= _behind_gateway()
        found["ENACTOR_MCP__ARTIFACTS"] = "/tmp/enactor"  # noqa: S108 - a function's own, and the one place it can write
        found["ENACTOR_AWS__ARTIFACTS"] = {"Fn::Sub": "${Prefix}-artifacts-${AWS::AccountId}-${AWS::Region}"}
    if function.name == "api":
        found["ENACTOR_LEDGER__WITNESSES"] = {"Ref": "LedgerWitnesses"}
        found["ENACTOR_ISSUERS"] = {
            "Fn::If": [
                "ByClientId",
                {"Fn::Sub": '[{"issuer":"${Issuer}","client_ids":["${Audience}"],"tenants":${Tenants}}]'},
                {"Fn::Sub": '[{"issuer":"${Issuer}","audiences":["${Audience}"],"tenants":${Tenants}}]'},
            ]
        }
    return found


def _behind_gateway() -> dict[str, Any]:
    """The connectors that are called through a gateway, and with what. The API serves what is behind it."""

    def where(value: Any) -> dict[str, Any]:
        return {"Fn::If": ["Detour", value, {"Ref": "AWS::NoValue"}]}

    return {
        "ENACTOR_MCP__GATEWAY": where("true"),
        "ENACTOR_MCP__GATEWAY_KEY": where({"Fn::Sub": "aws-sm:${SecretsPrefix}#gateway-key"}),
        "ENACTOR_MCP__GATEWAY_URL": where({"Ref": "GatewayUrl"}),
        "ENACTOR_MCP__BEHIND_GATEWAY": where({"Ref": "BehindGateway"}),
    }


def policy(function: Function) -> dict[str, Any]:
    """What a function's role allows."""
    logs = f"{logical(function.name)}Logs"
    statements: list[dict[str, Any]] = [
        # The streams of one log group; Lambda names them.
        _allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [{"Fn::GetAtt": [logs, "Arn"]}]),
        # X-Ray knows no resources.
        _allow("Traces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
    ]
    by_actions: dict[tuple[str, ...], list[Any]] = {}
    for table, actions in function.dynamodb.items():
        by_actions.setdefault(actions, []).append({"Fn::Sub": f"{_TABLE}{table}"})
    for number, (actions, resources) in enumerate(by_actions.items(), start=1):
        statements.append(_allow(f"Tables{number}", [f"dynamodb:{action}" for action in actions], resources))
    indexes = [
        {"Fn::Sub": f"{_TABLE}{table}/index/{index}"} for table, used in function.indexes.items() for index in used
    ]
    if indexes:
        statements.append(_allow("Indexes", ["dynamodb:Query"], indexes))
    if function.starts:
        statements.append(_allow("Executions", ["states:StartExecution"], [{"Fn::Sub": MACHINE}]))
    if function.publishes:
        statements.append(_allow("Events", ["events:PutEvents"], [{"Fn::GetAtt": ["EventBus", "Arn"]}]))
    if function.artifacts:
        bucket = "arn:${AWS::Partition}:s3:::${Prefix}-artifacts-${AWS::AccountId}-${AWS::Region}"
        objects = f"{bucket}/*"
        if "DeleteObjectVersion" in function.artifacts:
            statements.append(_allow("Versions", ["s3:ListBucketVersions"], [{"Fn::Sub": bucket}]))
        statements.append(
            _allow("Artifacts", [f"s3:{action}" for action in function.artifacts], [{"Fn::Sub": objects}])
        )
    for sid, wanted, name in (
        ("Credentials", function.secrets, "${SecretsPrefix}"),
        # A secret of its own: what calls tools cannot sign the ledger, and what signs has nobody's credentials.
        ("LedgerKeys", function.signs, "${SecretsPrefix}/ledger"),
    ):
        if wanted:
            statements.append(_allow(sid, ["secretsmanager:GetSecretValue"], [{"Fn::Sub": f"{_NAMED}{name}-??????"}]))
    return {"Version": "2012-10-17", "Statement": statements}


def state_machine() -> dict[str, dict[str, Any]]:
    """The state machine, whose definition is generated from the list of steps."""
    arns = {function: f"${{{logical(function)}Function.Arn}}" for function in STEP_FUNCTIONS.values()}
    return {
        "StateMachineRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": _trust("states.amazonaws.com"),
                "Policies": [
                    {
                        "PolicyName": "state-machine",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [
                                _allow(
                                    "Steps",
                                    ["lambda:InvokeFunction"],
                                    [
                                        {"Fn::GetAtt": [f"{logical(function)}Function", "Arn"]}
                                        for function in dict.fromkeys(STEP_FUNCTIONS.values())
                                    ],
                                ),
                                _allow("Traces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
                            ],
                        },
                    }
                ],
            },
        },
        "StateMachine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": {"Fn::Sub": "${Prefix}-action-execution"},
                "StateMachineType": "STANDARD",
                "RoleArn": {"Fn::GetAtt": ["StateMachineRole", "Arn"]},
                "TracingConfiguration": {"Enabled": True},
                # The string form: an emulator loses the `$` of paths in the list form.
                "DefinitionString": {"Fn::Sub": json.dumps(definition(arns, "${AWS::Partition}"), indent=1)},
            },
        },
    }


def _trust(service: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }


def _allow(sid: str, actions: list[str], resources: list[Any]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
