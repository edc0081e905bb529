"""A deployment on the emulator: the shim in front of it, the stack as deploy.sh makes it, and a queue that moves.

The emulator is moto with a DynamoDB of the store's own suite: one request at a time, conditions before effects.

What the emulator does not do is done here, and named: it does not run state machines that CloudFormation made (they are
made again from the deployed definition), and it invokes nothing for a queue (`Pump` does).
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import botocore.session

from deploy.aws.generator.functions import FUNCTIONS, logical
from tests.aws.lambdas import REGION
from tests.aws.shim import Shim

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PREFIX = "cc-native"


class Cloud:
    """The emulator with a deployment.

    Attributes:
        resources: by logical id, the stack's resources.
    """

    def __init__(self, directory: Path, *, target_url: str) -> None:
        self.directory = directory
        self.target_url = target_url
        self.resources: dict[str, dict[str, str]] = {}
        self._clients: dict[str, Any] = {}
        self.shim = Shim(directory)
        with (directory / "emulator.log").open("wb") as log:
            self._emulator = subprocess.Popen(
                [sys.executable, "-m", "enactor.conformance.aws.server"],
                env={**os.environ, "MOTO_PORT": str(self.shim.port), "AWS_DEFAULT_REGION": REGION},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._emulator.stdout is not None
        port = self._emulator.stdout.readline()
        assert port, (directory / "emulator.log").read_text()
        self.shim.emulator = int(port)

    def close(self) -> None:
        """Stops everything."""
        self.shim.close()
        with self._emulator:
            self._emulator.kill()

    @property
    def environment(self) -> dict[str, str]:
        """What the command line and scripts are given."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ENACTOR_"))},
            "AWS": str(BIN / "aws"),
            "PYTHON": sys.executable,
            "AWS_ENDPOINT_URL": self.shim.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def script(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a script of the project."""
        return subprocess.run(
            ["sh", *command],
            cwd=ROOT,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def client(self, service: str) -> Any:
        """A client of the SDK, for looking at what is there."""
        if service not in self._clients:
            self._clients[service] = botocore.session.get_session().create_client(
                service,
                region_name=REGION,
                endpoint_url=self.shim.url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    # -- deploying -----------------------------------------------------------------------------------------------

    def deploy(self) -> str:
        """Deploys with deploy.sh, as a person would. Returns what it said."""
        package = self.directory / "package.zip"
        package.write_bytes(b"PK\x05\x06" + bytes(18))
        done = self.script(
            "deploy/aws/deploy.sh",
            *("--issuer", "https://issuer.example", "--audience", "enactor", "--package", str(package)),
            *("--env", str(self.directory / "env"), "--no-e2e"),
            "Connectors=internal,target",
            f'ConnectorSettings={{"target":{{"url":"{self.target_url}"}}}}',
            "MaxPauseSeconds=1",
            "DoubtLookUpSeconds=1",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    def take_up(self) -> None:
        """Reads the stack back, and makes the state machine again where the emulator runs it."""
        listed = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=PREFIX)
        self.resources = {
            found["LogicalResourceId"]: found for page in listed for found in page["StackResourceSummaries"]
        }
        # The emulator would take messages off the queue for a container that there is not; `Pump` does it instead.
        for mapping in self.client("lambda").list_event_source_mappings()["EventSourceMappings"]:
            self.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        machine = self.resources["StateMachine"]["PhysicalResourceId"]
        states = self.client("stepfunctions")
        deployed = states.describe_state_machine(stateMachineArn=machine)
        config = json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode()
        urllib.request.urlopen(f"{self.shim.url}/moto-api/config", config, timeout=5).close()  # noqa: S310 - a server of this test on loopback
        made = states.create_state_machine(
            name=deployed["name"], definition=deployed["definition"], roleArn=deployed["roleArn"]
        )
        assert made["stateMachineArn"] == machine

    def missing(self) -> set[str]:
        """The logical ids of resources that are said to be there and have no physical id."""
        return {name for name, found in self.resources.items() if not found.get("PhysicalResourceId")}

    def send_dead_letters_back(self) -> None:
        """What docs/aws.md says to do when the cause is gone."""
        queue = self.resources["ApprovalsDeadLetters"]["PhysicalResourceId"]
        wanted = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
        arn = self.client("sqs").get_queue_attributes(**wanted)["Attributes"]["QueueArn"]
        # Of all services, for this one the command line does not look for its endpoint in the environment.
        command = [self.environment["AWS"], "sqs", "start-message-move-task", "--source-arn", arn]
        command += ["--endpoint-url", self.shim.url]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr

    def policies(self) -> dict[str, list[Any]]:
        """By function, the policies of its role as they were deployed."""
        found: dict[str, list[Any]] = {}
        for function in FUNCTIONS:
            role = self.resources[f"{logical(function.name)}Role"]["PhysicalResourceId"]
            iam = self.client("iam")
            names = iam.list_role_policies(RoleName=role)["PolicyNames"]
            # The emulator gives a policy of a stack back as Python writes it, and not as JSON.
            found[function.name] = [
                ast.literal_eval(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
                for name in names
            ]
        return found

    def invoke(self, function: str, event: Any) -> Any:
        """Invokes a function as a service does."""
        answer = self.client("lambda").invoke(FunctionName=f"{PREFIX}-{function}", Payload=json.dumps(event).encode())
        result = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result


class Pump(threading.Thread):
    """What Lambda's poller does: takes messages off the queue, invokes the starter, deletes what was not returned.

    A message that was returned is visible again at once, not after its time: nothing waits for it.

    Attributes:
        batches: what the starter was given and what it returned.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(daemon=True)
        self._cloud = cloud
        self._over = threading.Event()
        self.batches: list[tuple[list[str], list[str]]] = []
        self.failed: BaseException | None = None

    def run(self) -> None:
        """Until it is stopped."""
        try:
            while not self._over.is_set():
                self._once()
        except BaseException as error:
            self.failed = error
            raise

    def _once(self) -> None:
        queue = self._cloud.resources["ApprovalsQueue"]["PhysicalResourceId"]
        sqs = self._cloud.client("sqs")
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        if not messages:
            return
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "awsRegion": REGION,
            }
            for message in messages
        ]
        answer = self._cloud.invoke("starter", {"Records": records})
        returned = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        self.batches.append(([message["Body"] for message in messages], sorted(returned)))
        for message in messages:
            handle = {"QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"]}
            if message["MessageId"] in returned:
                sqs.change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                sqs.delete_message(**handle)

    def stop(self) -> None:
        """Stops, and raises what stopped it before."""
        self._over.set()
        self.join(10)
        if self.failed is not None:
            raise self.failed
