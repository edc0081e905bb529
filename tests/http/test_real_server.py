"""What only shows over a real connection: bodies that are cut off, streams that are left."""

import json
from pathlib import Path

import httpx

from enactor.http.streams import Streams
from tests.http.serving import serving
from tests.http.world import problem, proposal


def test_a_huge_body_is_answered(key_file: Path) -> None:
    """A client that sends 10 MB, with a length or in chunks, gets to read that it was too much; the server goes on."""
    with serving(key_file) as served, httpx.Client(base_url=served.url) as client:
        headers = {"authorization": f"Bearer {served.world.agent.token}"}
        body = b'{"parameters":{"x":"' + b"x" * 10_000_000 + b'"}}'
        problem(client.post("/v1/intents", content=body, headers=headers), 413, "PAYLOAD_TOO_LARGE")
        chunks = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
        problem(client.post("/v1/intents", content=chunks, headers=headers), 413, "PAYLOAD_TOO_LARGE")
        assert client.post("/v1/intents", json=proposal(), headers=headers).status_code == 201


def test_a_stream_is_left_and_taken_up_again(key_file: Path) -> None:
    """A stream that breaks is resumed by its last id, and a client that went away holds no place."""
    with (
        serving(key_file, streams=Streams(per_principal=1)) as served,
        httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {served.world.ana.token}"}) as client,
    ):
        intent = served.run(lambda world: world.executed())
        path = f"/v1/executions/{intent['action_intent_id']}/events"
        told: list[str] = []
        last_id: dict[str, str] = {}
        while "ACTION_EXECUTED" not in told:
            with client.stream("GET", path, headers=last_id) as stream:
                if stream.status_code == 429:
                    # The server has not noticed yet that the last stream was left.
                    continue
                assert stream.status_code == 200
                for line in stream.iter_lines():
                    if line.startswith("id: "):
                        last_id = {"last-event-id": line.removeprefix("id: ")}
                    elif line.startswith("data: "):
                        told.append(json.loads(line.removeprefix("data: "))["data"]["event_type"])
                        break
        assert told[0] == "INTENT_PROPOSED"
        assert len(told) == len(set(told))
        entries = served.run(lambda world: world.store.entries_after(0, 100, "acme", intent["action_intent_id"]))
        assert told == [entry.event_type.value for entry in entries]


def test_a_stopping_server_ends_its_streams(key_file: Path) -> None:
    """A server that is told to stop does not wait for its streams: each ends properly."""
    with httpx.Client() as client, serving(key_file) as served:
        headers = {"authorization": f"Bearer {served.world.ana.token}"}
        with client.stream("GET", f"{served.url}/v1/events", headers=headers) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 2000"

            async def drain(world: object) -> None:
                served.world.deps.streams.drain()

            served.run(drain)
            assert [line for line in lines if line] == []
