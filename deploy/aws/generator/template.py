"""The template, put together from its parts."""

from __future__ import annotations

from typing import Any, Final

from deploy.aws.generator import data, edge, events, watching
from deploy.aws.generator.compute import functions, state_machine
from deploy.aws.generator.functions import FUNCTIONS, logical

Resources = dict[str, dict[str, Any]]

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "Prefix": {
        "Type": "String",
        "Default": "cc-native",
        "AllowedPattern": "[a-z][a-z0-9-]{1,30}",
        "Description": "What the names of all resources begin with.",
    },
    "PackageBucket": {"Type": "String", "Description": "The bucket that the package was put in."},
    "PackageKey": {"Type": "String", "Description": "The package's key; deploy.sh names it by its SHA-256."},
    "Issuer": {
        "Type": "String",
        "AllowedPattern": "https://.+",
        "Description": "The OpenID Connect issuer whose tokens the API accepts, for example a Cognito user pool.",
    },
    "Audience": {"Type": "String", "Description": "The audience (or Cognito client id) of those tokens."},
    "AudienceIsClientId": {
        "Type": "String",
        "Default": "false",
        "AllowedValues": ["true", "false"],
        "Description": "Whether Audience is held against client_id, as Cognito's access tokens have no aud.",
    },
    "Tenants": {
        "Type": "String",
        "Default": '["default"]',
        "AllowedPattern": r"\[.*\]",
        "Description": "The tenants that the issuer may vouch for, as a JSON list.",
    },
    "Connectors": {"Type": "String", "Default": "internal", "Description": "The connectors that are on, by commas."},
    "ConnectorSettings": {"Type": "String", "Default": "{}", "Description": "Their settings, as JSON."},
    "McpServers": {
        "Type": "String",
        "Default": "[]",
        "Description": "MCP servers and gateways whose tools can be proposed, as JSON; AgentCore Gateway is one.",
    },
    "BehindGateway": {
        "Type": "String",
        "Default": "",
        "Description": "Connectors that are called through GatewayUrl, by commas; the API then serves /gateway/mcp.",
    },
    "GatewayUrl": {
        "Type": "String",
        "Default": "",
        "AllowedPattern": "(https://.+)?",
        "Description": "The gateway in front of the API's /gateway/mcp, or that address itself.",
    },
    "SecretsPrefix": {
        "Type": "String",
        "Default": "enactor",
        "AllowedPattern": "[A-Za-z0-9/_+=.@-]{1,100}",
        "Description": "The secret in Secrets Manager that holds connectors' credentials, one JSON object.",
    },
    "LedgerOrigin": {
        "Type": "String",
        "Default": "enactor.local",
        "AllowedPattern": "[A-Za-z0-9][A-Za-z0-9._~/-]{0,198}[A-Za-z0-9._~-]",
        "Description": "What the names of the ledger's logs begin with, a domain of yours; it cannot be changed later.",
    },
    "LedgerKeys": {
        "Type": "String",
        "Default": "",
        "AllowedPattern": "(aws-sm:[^,]+(,aws-sm:[^,]+)*)?",
        "Description": "The keys that sign the ledger's logs, by commas, the newest first; "
        "aws-sm:SecretsPrefix/ledger#key when empty.",
    },
    "LedgerWitnesses": {
        "Type": "String",
        "Default": "",
        "Description": "Verifier keys of witnesses whose cosignatures are accepted, by commas.",
    },
    "LogRetentionDays": {
        "Type": "Number",
        "Default": 90,
        "AllowedValues": [1, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653],
        "Description": "How long logs are kept.",
    },
    "MaxPauseSeconds": {
        "Type": "Number",
        "Default": 60,
        "MinValue": 0,
        "MaxValue": 86400,
        "Description": "See max_pause_seconds in the settings.",
    },
    "DoubtLookUpSeconds": {
        "Type": "Number",
        "Default": 60,
        "MinValue": 1,
        "MaxValue": 86400,
        "Description": "See doubt_look_up_seconds in the settings.",
    },
    "StarterConcurrency": {
        "Type": "Number",
        "Default": 10,
        "MinValue": 2,
        "MaxValue": 1000,
        "Description": "Starters at once; ten messages each.",
    },
    "AlarmTopic": {
        "Type": "String",
        "Default": "",
        "Description": "The ARN of the SNS topic that alarms go to; empty for none.",
    },
    "DataExists": {
        "Type": "String",
        "Default": "false",
        "AllowedValues": ["true", "false"],
        "Description": "Whether tables and bucket are there already, kept from an earlier stack.",
    },
}


def template() -> dict[str, Any]:
    """The whole template, as a document."""
    resources: Resources = {
        **data.tables(),
        **data.bucket(),
        **events.bus_and_queues(),
        **functions(),
        **state_machine(),
        **events.triggers(),
        **edge.api(),
        **watching.alarms(),
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Enactor on AWS. Generated by deploy/aws/generator; do not edit.",
        "Parameters": PARAMETERS,
        "Conditions": {
            "MakeData": {"Fn::Equals": [{"Ref": "DataExists"}, "false"]},
            "Notify": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopic"}, ""]}]},
            "NamedLedgerKeys": {"Fn::Not": [{"Fn::Equals": [{"Ref": "LedgerKeys"}, ""]}]},
            "Detour": {"Fn::Not": [{"Fn::Equals": [{"Ref": "BehindGateway"}, ""]}]},
            "ByClientId": {"Fn::Equals": [{"Ref": "AudienceIsClientId"}, "true"]},
        },
        "Resources": resources,
        "Outputs": {
            "ApiUrl": {"Value": {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"}},
            "StateMachineArn": {"Value": {"Ref": "StateMachine"}},
            "EventBusName": {"Value": {"Fn::Sub": "${Prefix}-events"}},
            "ApprovalsQueueUrl": {"Value": {"Ref": "ApprovalsQueue"}},
            "ApprovalsDeadLettersUrl": {"Value": {"Ref": "ApprovalsDeadLetters"}},
            "StoreUrl": {"Value": {"Fn::Sub": "dynamodb://${AWS::Region}?prefix=${Prefix}"}},
            "ArtifactsBucket": {"Value": {"Fn::Sub": "${Prefix}-artifacts-${AWS::AccountId}-${AWS::Region}"}},
            **{
                f"{logical(function.name)}Name": {"Value": {"Ref": f"{logical(function.name)}Function"}}
                for function in FUNCTIONS
            },
        },
    }
