"""What is kept: the store's tables and the bucket of artifacts. Deleting the stack leaves both."""

from __future__ import annotations

from typing import Any

from enactor.stores.dynamodb.tables import TABLES, TTL_ATTRIBUTE, creation

KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Condition": "MakeData"}


def tables() -> dict[str, dict[str, Any]]:
    """The seven tables, as the store itself would create them, and with what an account of its own wants beside."""
    found: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        properties = creation("${Prefix}", table)
        properties["TableName"] = {"Fn::Sub": properties["TableName"]}
        properties["SSESpecification"] = {"SSEEnabled": True}
        properties["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": True}
        properties["DeletionProtectionEnabled"] = True
        if table.expires:
            properties["TimeToLiveSpecification"] = {"AttributeName": TTL_ATTRIBUTE, "Enabled": True}
        name = "".join(part.capitalize() for part in table.name.split("-"))
        found[f"{name}Table"] = {"Type": "AWS::DynamoDB::Table", **KEPT, "Properties": properties}
    return found


def bucket() -> dict[str, dict[str, Any]]:
    """The bucket of artifacts: encrypted, closed to the public, reached over TLS alone."""
    name = {"Fn::Sub": "${Prefix}-artifacts-${AWS::AccountId}-${AWS::Region}"}
    return {
        "ArtifactsBucket": {
            "Type": "AWS::S3::Bucket",
            **KEPT,
            "Properties": {
                "BucketName": name,
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
                    ]
                },
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "BlockPublicPolicy": True,
                    "IgnorePublicAcls": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "VersioningConfiguration": {"Status": "Enabled"},
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "parts-of-uploads",
                            "Status": "Enabled",
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                        }
                    ]
                },
            },
        },
        "ArtifactsBucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Condition": "MakeData",
            "Properties": {
                "Bucket": {"Ref": "ArtifactsBucket"},
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Sid": "OverTlsAlone",
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": [
                                {"Fn::GetAtt": ["ArtifactsBucket", "Arn"]},
                                {"Fn::Sub": "${ArtifactsBucket.Arn}/*"},
                            ],
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        },
    }
