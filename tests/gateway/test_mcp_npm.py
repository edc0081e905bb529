"""Servers that others wrote, as they come from npm: what works with the SDK's own must work with them."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from enactor.domain.permit import CallResult
from enactor.gateway.mcp_rules import McpServer, ToolRule
from enactor.gateway.pointing import RefRule
from tests.gateway.rig import Rig, made, request
from tests.npm import binary


@pytest.fixture(scope="module")
def everything() -> Iterator[str]:
    """`server-everything` over streamable HTTP on a free port; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [binary("mcp-server-everything"), "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "listening" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait()
    process.stderr.close()


async def test_everything_over_http(rig: Rig, everything: str) -> None:
    """Its tools are listed and called; text, structured content and its own errors end as they should."""
    rules = {"get-structured-content": ToolRule(refs=(RefRule(system="w", object_type="sky", id="/conditions"),))}
    plane = await rig.plane(McpServer(name="everything", url=everything, rules=rules))
    assert {"everything.echo", "everything.get-sum", "everything.get-structured-content"} <= plane.definitions().keys()
    assert (await made(plane, request("everything.echo", message="hello"))).result is CallResult.DONE
    sky = await made(plane, request("everything.get-structured-content", location="New York"))
    assert sky.result is CallResult.DONE
    assert [ref.system for ref in sky.refs] == ["w"]
    wrong = await made(plane, request("everything.get-sum", a="x", b=2))
    assert wrong.result is CallResult.UNKNOWN


async def test_everything_over_a_process(rig: Rig) -> None:
    """The same server as a process."""
    server = McpServer(name="everything", command=(binary("mcp-server-everything"), "stdio"), connect_seconds=60)
    plane = await rig.plane(server)
    assert (await made(plane, request("everything.echo", message="hello"))).result is CallResult.DONE


async def test_files_are_written_once_and_only_where_allowed(rig: Rig, tmp_path: Path) -> None:
    """`server-filesystem` writes the file that was asked for; outside its directory it refuses, and that is unknown."""
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    server = McpServer(name="files", command=(binary("mcp-server-filesystem"), str(allowed)), connect_seconds=60)
    plane = await rig.plane(server)
    assert plane.action_types()["files.write_file"] == "FILES_WRITE_FILE"
    done = await made(plane, request("files.write_file", path=str(allowed / "a.txt"), content="approved"))
    assert done.result is CallResult.DONE
    assert (allowed / "a.txt").read_text() == "approved"
    outside = await made(plane, request("files.write_file", path=str(tmp_path / "b.txt"), content="x"))
    assert outside.result is CallResult.UNKNOWN
    assert not (tmp_path / "b.txt").exists()
