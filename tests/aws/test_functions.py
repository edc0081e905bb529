"""The handlers by themselves: what they import, what API Gateway gives and gets, and what leaves a failed function."""

import asyncio
import base64
import importlib
import json
import subprocess
import sys
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser.models import APIGatewayProxyEventV2Model

from deploy.aws.generator.functions import FUNCTIONS
from enactor.domain.errors import ConfigurationError, InvalidInput
from enactor.domain.permit import CallResult, Purpose
from enactor.engines.stepfunctions.errors import NothingToRun
from enactor.functions.asgi import Exchange
from enactor.functions.composition import NoTools, Timely
from enactor.functions.environment import environment
from enactor.functions.runtime import FunctionFailed, count, handler
from enactor.ports.tools import CallRequest, Reply
from tests.aws.deployed import http_event

HEAVY = {
    "aiohttp",
    "boto3",
    "botocore",
    "cedarpy",
    "fastapi",
    "httpx",
    "mcp",
    "pydantic",
    "starlette",
    "typer",
    "uvicorn",
}
MODULES = sorted({function.handler.rpartition(".")[0] for function in FUNCTIONS})


# -- cold starts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_a_handler_imports_nothing_heavy(module: str) -> None:
    """No web framework, policy engine, validation models or SDK is loaded by importing a handler, the API's too."""
    code = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)), len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, _, modules = done.stdout.strip().rpartition(" ")
    assert found == "[]"
    assert int(modules) < 450


def test_every_function_has_its_handler() -> None:
    """What the template names is there."""
    for function in FUNCTIONS:
        module, _, name = function.handler.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


# -- the environment ---------------------------------------------------------------------------------------------


def test_the_environment_is_read_or_refused() -> None:
    """The store's URL gives region and prefix; what is missing or no number is named."""
    read = environment({"ENACTOR_STORE": "dynamodb://eu-west-1?prefix=acme", "ENACTOR_MAX_PAUSE_SECONDS": "1.5"})
    assert (read.region, read.prefix, read.max_pause_ms, read.doubt_look_up_ms) == ("eu-west-1", "acme", 1_500, 60_000)
    for wrong in ({}, {"ENACTOR_STORE": "sqlite:///x"}, {"ENACTOR_STORE": "dynamodb://"}):
        with pytest.raises(ConfigurationError, match="ENACTOR_STORE"):
            environment(wrong)
    with pytest.raises(ConfigurationError, match="ENACTOR_MAX_PAUSE_SECONDS"):
        environment({"ENACTOR_STORE": "dynamodb://eu-west-1", "ENACTOR_MAX_PAUSE_SECONDS": "soon"})


# -- failing -----------------------------------------------------------------------------------------------------


def test_what_leaves_a_failed_function_has_no_text_of_others() -> None:
    """The state machine's own errors as they are; of everything else the type alone."""

    async def way(event: Any, context: Any) -> None:
        raise NothingToRun("MALFORMED_INPUT")

    async def surprise(event: Any, context: Any) -> None:
        raise ValueError("the password is hunter2")

    with pytest.raises(NothingToRun, match="MALFORMED_INPUT"):
        handler(way)({}, None)
    with pytest.raises(FunctionFailed) as failed:
        handler(surprise)({}, None)
    assert (str(failed.value), failed.value.__cause__, failed.value.__suppress_context__) == ("ValueError", None, True)


def test_metrics_are_lines_of_the_embedded_format(capsys: pytest.CaptureFixture[str]) -> None:
    """One dimension; what else is said is a property."""
    count({"ExecutionsFailed": 1}, "cc-native", run_number="2")
    line = json.loads(capsys.readouterr().out)
    directive = line["_aws"]["CloudWatchMetrics"][0]
    assert directive["Dimensions"] == [["Deployment"]]
    assert directive["Metrics"] == [{"Name": "ExecutionsFailed", "Unit": "Count"}]
    assert (line["ExecutionsFailed"], line["Deployment"], line["run_number"]) == (1, "cc-native", "2")


# -- time --------------------------------------------------------------------------------------------------------


def request(seconds: float = 60) -> CallRequest:
    """A call."""
    return CallRequest(
        **dict.fromkeys(("tenant_id", "account_id", "action_intent_id", "tool_name", "tool_schema_version"), "x"),
        argument_bytes="{}",
        idempotency_key="k",
        trace_id="t",
        run_number=1,
        call_no=1,
        purpose=Purpose.EFFECT,
        send_not_after=0,
        timeout_seconds=seconds,
    )


async def test_a_call_gets_no_more_time_than_its_function_has() -> None:
    """Less when little is left, put off when none is, as a reading is; a look-up cannot tell then."""
    given: list[float] = []

    class Tools(NoTools):
        async def call(self, request: CallRequest, check: Any) -> Reply:
            given.append(request.timeout_seconds)
            return Reply(result=CallResult.DONE)

    left = 840_000
    timely = Timely(Tools(), lambda: left)
    await timely.call(request(), lambda: True)
    left = 35_000
    await timely.call(request(), lambda: True)
    left = 15_500
    reply = await timely.call(request(), lambda: True)
    assert given == [60, 20]
    assert (reply.result, bool(reply.deferred_reason)) == (CallResult.NOT_SENT, True)
    assert (await timely.look_up(request())).found is None
    reading = await timely.preview(request())
    assert (reading.retryable, bool(reading.deferred_reason)) == (True, True)


# -- API Gateway -------------------------------------------------------------------------------------------------


def event(**changes: Any) -> dict[str, Any]:
    """An event of an HTTP API, held against a model of it by others."""
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    asked = http_event("POST", "/v1/intents/a%2Fb?limit=5&x=%C3%A4", headers, b'{"a":1}')
    made = {**asked, "cookies": ["a=1", "b=2"]} | changes
    APIGatewayProxyEventV2Model.model_validate(made)
    return made


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked."""
    message = await receive()
    told = {name: scope[name] for name in ("method", "path", "scheme")}
    told |= {"query": scope["query_string"].decode(), "body": base64.b64encode(message["body"]).decode()}
    told |= {"headers": {name.decode(): value.decode() for name, value in scope["headers"]}}
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"s=1"), (b"set-cookie", b"t=2")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


async def test_a_request_comes_through_as_it_was() -> None:
    """Path, query, headers, cookies and body, plain or in base64; the answer with its cookies."""
    answer = await Exchange(event()).run(mirror, 5)
    told = json.loads(answer["body"])
    assert (answer["statusCode"], answer["cookies"], answer["isBase64Encoded"]) == (201, ["s=1", "t=2"], False)
    assert (told["method"], told["path"], told["query"]) == ("POST", "/v1/intents/a/b", "limit=5&x=%C3%A4")
    assert told["headers"]["cookie"] == "a=1; b=2"
    assert base64.b64decode(told["body"]) == b'{"a":1}'
    binary = event(body=base64.b64encode(b"\xff\x00").decode(), isBase64Encoded=True)
    assert base64.b64decode(json.loads((await Exchange(binary).run(mirror, 5))["body"])["body"]) == b"\xff\x00"


async def test_what_is_not_text_goes_as_base64() -> None:
    """Bytes of any kind come out as they went in."""

    async def picture(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})
        await send({"type": "http.response.body", "body": b"\x89PNG"})

    answer = await Exchange(event()).run(picture, 5)
    assert (answer["isBase64Encoded"], base64.b64decode(answer["body"])) == (True, b"\x89PNG")


async def test_a_stream_ends_before_the_gateway_gives_up() -> None:
    """It is told that its reader left, and what came until then is the answer."""
    left = asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    answer = await Exchange(event()).run(stream, 0)
    assert left.is_set()
    assert (answer["statusCode"], answer["body"]) == (200, "data: 1\n\n")


@pytest.mark.parametrize(
    "wrong", [None, [], {}, {"version": "1.0"}, {"version": "2.0"}, {"version": "2.0", "requestContext": None}]
)
def test_what_is_no_event_of_the_gateway_is_refused(wrong: Any) -> None:
    """A function that somebody invokes by hand with something else."""
    with pytest.raises(InvalidInput):
        Exchange(wrong)
