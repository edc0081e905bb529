"""The functions' own handlers in this process, each with the environment that the template gives it, on the emulator.

A thread of its own runs them, one invocation at a time, as Lambda does; so a test's servers can answer meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from deploy.aws.generator.compute import variables
from deploy.aws.generator.functions import FUNCTIONS
from deploy.aws.generator.template import PARAMETERS, template
from enactor.conformance.aws import Emulator
from enactor.conformance.aws.emulator import CREDENTIALS, REGION
from enactor.domain.note import Signer
from enactor.functions import api, checkpointer, clients, composition, runtime
from enactor.system import SystemClock
from tests.http.issuers import ec_key, sign

ACCOUNT = "123456789012"
TENANT = "acme"
ISSUER = "https://login.example"
HOST = "api.execute-api.eu-central-1.amazonaws.com"


def resolved(value: Any, parameters: Mapping[str, Any]) -> Any:
    """A value of the template as CloudFormation makes it; None for `AWS::NoValue`."""
    conditions = template()["Conditions"]

    def text(name: str) -> str:
        return {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}.get(name) or str(
            parameters[name]
        )

    def holds(condition: Any) -> bool:
        if "Fn::Not" in condition:
            return not holds(condition["Fn::Not"][0])
        left, right = (resolved(side, parameters) for side in condition["Fn::Equals"])
        return bool(left == right)

    if not isinstance(value, dict):
        return value
    ((function, given),) = value.items()
    if function == "Ref":
        return None if given == "AWS::NoValue" else text(given)
    if function == "Fn::If":
        return resolved(given[1 if holds(conditions[given[0]]) else 2], parameters)
    for name in ("AWS::Region", "AWS::AccountId", "AWS::Partition", *parameters):
        given = given.replace(f"${{{name}}}", text(name))
    return given


class Left:
    """A function's context: it has a minute left."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """A minute."""
        return 60_000


class Deployed:
    """A deployment of handlers.

    Args:
        parameters: of the template, where they are not the defaults.
    """

    def __init__(self, emulator: Emulator, patch: pytest.MonkeyPatch, **parameters: str) -> None:
        defaults = {name: given.get("Default", "") for name, given in PARAMETERS.items()}
        self.parameters = defaults | {"Issuer": ISSUER, "Audience": "enactor", "Tenants": f'["{TENANT}"]'} | parameters
        self._patch = patch
        self._key: ECKey = ec_key()
        self._of = {function.name: function for function in FUNCTIONS}
        self._state: dict[str, dict[str, Any]] = {}
        self._thread = ThreadPoolExecutor(1)
        self._clients: dict[str, Any] = {}
        for name in [name for name in os.environ if name.startswith(("AWS_", "ENACTOR_"))]:
            patch.delenv(name)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": emulator.endpoint, "AWS_REGION": REGION}.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        for module in (api, checkpointer):
            patch.setattr(module, "_kept", {})
        clients.client.cache_clear()
        self.bucket = f"{self.parameters['Prefix']}-artifacts-{ACCOUNT}-{REGION}"

    def client(self, service: str) -> Any:
        """A client of the emulator."""
        if service not in self._clients:
            self._clients[service] = botocore.session.get_session().create_client(service, region_name=REGION)
        return self._clients[service]

    def make_surroundings(self, **credentials: str) -> None:
        """The bus, the bucket with versions, and the two secrets."""
        self.client("events").create_event_bus(Name=f"{self.parameters['Prefix']}-events")
        s3 = self.client("s3")
        s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.client("secretsmanager").create_secret(
            Name="enactor/ledger", SecretString=json.dumps({"key": Signer(Ed25519PrivateKey.generate()).pem()})
        )
        if credentials:
            self.client("secretsmanager").create_secret(Name="enactor", SecretString=json.dumps(credentials))

    def remove_surroundings(self) -> None:
        """Takes them away again: the emulator is the whole session's."""
        self.client("events").delete_event_bus(Name=f"{self.parameters['Prefix']}-events")
        s3 = self.client("s3")
        found = s3.list_object_versions(Bucket=self.bucket)
        for version in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=self.bucket, Key=version["Key"], VersionId=version["VersionId"])
        s3.delete_bucket(Bucket=self.bucket)
        secrets = self.client("secretsmanager")
        for secret in secrets.list_secrets()["SecretList"]:
            secrets.delete_secret(SecretId=secret["Name"], ForceDeleteWithoutRecovery=True)

    # -- invoking ------------------------------------------------------------------------------------------------

    def invoke(self, name: str, event: Any) -> Any:
        """Invokes a function, and waits for it."""
        return self._thread.submit(self._invoke, name, event).result()

    async def answer(self, name: str, event: Any) -> Any:
        """Invokes a function while the test's own servers work."""
        return await asyncio.wrap_future(self._thread.submit(self._invoke, name, event))

    def _invoke(self, name: str, event: Any) -> Any:
        handler, function = self._enter(name)
        return handler(event, function)

    def _enter(self, name: str) -> tuple[Callable[[Any, Any], Any], Left]:
        """Makes this process the function's: its variables, and what it has kept of earlier invocations."""
        function = self._of[name]
        for variable in [variable for variable in os.environ if variable.startswith("ENACTOR_")]:
            self._patch.delenv(variable)
        for variable, value in variables(function).items():
            if (text := resolved(value, self.parameters)) is not None:
                self._patch.setenv(variable, text)
        self._patch.setattr(composition, "_kept", self._state.setdefault(name, {}))
        module, _, attribute = function.handler.rpartition(".")
        return getattr(import_module(module), attribute), Left()

    def close(self) -> None:
        """Lets go of what the functions hold."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()
        clients.client.cache_clear()

    def _close(self) -> None:
        for kept in self._state.values():
            if "tools" in kept:
                runtime.run(kept["tools"].close())
            if "parts" in kept:
                runtime.run(kept["parts"].store.close())
        runtime._runner().close()
        runtime._runner.cache_clear()

    def ask(self, method: str, path: str, token: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request to the API. Returns the status and the document."""
        content = None if body is None else json.dumps(body).encode()
        given = {"authorization": f"Bearer {token}", "content-type": "application/json", **headers}
        answer = self.invoke("api", http_event(method, path, given, content))
        return answer["statusCode"], json.loads(answer["body"])

    def proposed(self, action_type: str = "CREATE_INTERNAL_NOTE", **parameters: Any) -> dict[str, Any]:
        """An intent that a program has proposed."""
        body = {"action_type": action_type, "account_id": "acc-1", "parameters": parameters}
        status, intent = self.ask("POST", "/v1/intents", self.token("proposer", subject="planner"), body)
        assert status == 201, intent
        made: dict[str, Any] = intent
        return made

    def approved(self, action_type: str = "CREATE_INTERNAL_NOTE", **parameters: Any) -> str:
        """The id of an intent that a person has approved."""
        intent = self.proposed(action_type, **parameters)
        where = f"/v1/intents/{intent['action_intent_id']}/approve"
        said = {"approval_digest": intent["approval_digest"]}
        status, answer = self.ask("POST", where, self.token("approver"), said)
        assert status == 202, answer
        return str(intent["action_intent_id"])

    # -- the API -------------------------------------------------------------------------------------------------

    def token(self, *roles: str, subject: str = "ana") -> str:
        """An access token of the issuer."""
        now = SystemClock().now_ms() // 1000
        claims = {
            "iss": ISSUER,
            "aud": "enactor",
            "sub": subject,
            "exp": now + 600,
            "roles": roles,
            "account_ids": ["*"],
            **({} if "proposer" in roles else {"amr": ["pwd"]}),
        }
        return sign({"alg": "ES256", "kid": self._key.kid}, claims, self._key)

    def trust_issuer(self) -> None:
        """Gives the API the issuer's keys, which it would fetch from where no test can go."""
        from enactor.functions import planes

        settings = planes.settings

        def with_keys() -> Any:
            given = settings()
            keys = {"keys": [self._key.as_dict(private=False)]}
            trusted = [issuer.model_copy(update={"jwks": keys}) for issuer in given.issuers]
            return given.model_copy(update={"issuers": tuple(trusted)})

        self._patch.setattr(planes, "settings", with_keys)


def http_event(
    method: str, url: str, headers: Mapping[str, str] | None = None, content: bytes | None = None
) -> dict[str, Any]:
    """What API Gateway makes of a request."""
    parts = urlsplit(url)
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {"host": HOST, **{name.lower(): value for name, value in (headers or {}).items()}},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "api",
            "domainName": HOST,
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": parts.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": content.decode() if content else "",
        "isBase64Encoded": False,
    }
