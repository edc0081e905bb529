"""The HTTP API with its authoriser."""

from __future__ import annotations

from typing import Any

OPEN = (
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/{asset+}",
    "GET /.well-known/{document+}",
)
"""What needs no token."""

FOR_AGENTS = ("ANY /mcp", "ANY /gateway/mcp")
"""What the function alone looks at the token of: `/mcp` says with its refusal where to get one (RFC 9728), and may have
an audience of its own; `/gateway/mcp` takes execution tokens, which no issuer made."""


def api() -> dict[str, dict[str, Any]]:
    """One integration for everything; the authoriser in front of all that needs a token."""
    integration = {"Fn::Sub": "integrations/${ApiIntegration}"}
    found: dict[str, dict[str, Any]] = {
        "ApiAccessLogs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {
                "LogGroupName": {"Fn::Sub": "/aws/apigateway/${Prefix}"},
                "RetentionInDays": {"Ref": "LogRetentionDays"},
            },
        },
        "Api": {
            "Type": "AWS::ApiGatewayV2::Api",
            "Properties": {
                "Name": {"Fn::Sub": "${Prefix}"},
                "ProtocolType": "HTTP",
                "Description": "Enactor's HTTP interface.",
            },
        },
        "ApiIntegration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": {"Fn::GetAtt": ["ApiFunction", "Arn"]},
                "PayloadFormatVersion": "2.0",
                "TimeoutInMillis": 30_000,
            },
        },
        "ApiAuthorizer": {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "Name": "tokens",
                "AuthorizerType": "JWT",
                "IdentitySource": ["$request.header.Authorization"],
                "JwtConfiguration": {"Issuer": {"Ref": "Issuer"}, "Audience": [{"Ref": "Audience"}]},
            },
        },
        "ApiRoute": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": "$default",
                "AuthorizationType": "JWT",
                "AuthorizerId": {"Ref": "ApiAuthorizer"},
                "Target": integration,
            },
        },
        "ApiStage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "StageName": "$default",
                "AutoDeploy": True,
                "AccessLogSettings": {
                    "DestinationArn": {"Fn::GetAtt": ["ApiAccessLogs", "Arn"]},
                    "Format": (
                        '{"requestId":"$context.requestId","routeKey":"$context.routeKey","status":"$context.status",'
                        '"latency":"$context.responseLatency","error":"$context.authorizer.error"}'
                    ),
                },
                "DefaultRouteSettings": {"ThrottlingBurstLimit": 200, "ThrottlingRateLimit": 100},
            },
        },
        "ApiPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "ApiFunction"},
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"},
            },
        },
    }
    for number, route in enumerate((*OPEN, *FOR_AGENTS), start=1):
        found[f"ApiOpenRoute{number}"] = {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": {"Ref": "Api"},
                "RouteKey": route,
                "AuthorizationType": "NONE",
                "Target": integration,
            },
        }
    return found
