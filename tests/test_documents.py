"""What the API says of itself holds for what it does: JSON Schema, AsyncAPI and OpenAPI against a live call.

asyncapi-3.0.0.json.gz is the published JSON Schema of AsyncAPI 3.0.0 (asyncapi/spec-json-schemas, Apache-2.0) without
its descriptions and examples.
"""

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from jsonschema.validators import validator_for
from serving import Served, serving
from test_server import http_, ws

from vocal.demo import call_path
from vocal.replays.websocket import replay
from vocal.transports.files import open_call
from vocal.types import Metadata

pytestmark = pytest.mark.flaky(reruns=2)

Document = dict[str, Any]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(25.0) as running:
        yield running


@pytest.fixture(scope="module")
def frames(served: Served) -> list[Document]:
    """All that one call makes the server tell, asides and a withdrawn notice among it, as it stands on the wire."""
    told: list[Document] = []

    def listen() -> None:
        with ws(served, "/v1/live?call=said") as socket:
            heard.set()
            while not told or told[-1].get("event", {}).get("type") != "call_ended":
                told.append(json.loads(socket.recv(timeout=60)))

    def act() -> None:
        with served.client() as client:
            path = "/v1/calls/said"
            served.wait_until(lambda: any(cue.audience == "coach" for cue in served.service.hub.cues_of("said")), 60.0)
            alert = next(cue for cue in served.service.hub.cues_of("said") if cue.audience == "coach")
            client.request("POST", f"{path}/cues/{alert.seq}/seen")
            client.request("POST", f"{path}/mute")
            client.request("POST", f"{path}/help", {"text": "Soll ich?"})
            client.request("POST", f"{path}/help/answer", {"wanted": True})
            client.request("POST", f"{path}/notice", {"given": False})

    heard = threading.Event()
    threads = [threading.Thread(target=one) for one in (listen, act)]
    threads[0].start()
    assert heard.wait(10.0)
    threads[1].start()
    with open_call(call_path()) as source:
        replay(source, served.url, Metadata("q", "t", "a", "de", True), call="said", speed=25.0)
    for one in threads:
        one.join(90.0)
    return told


def document(served: Served, path: str) -> Document:
    found: Document = json.loads(http_(served, "GET", path)[2])
    return found


def closed(schema: Any) -> Any:
    """The same schema where no object may have what it does not name: a field that nobody described is found."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {**found, "additionalProperties": False} if isinstance(found.get("properties"), dict) else found


def resolved(document: Document, ref: str) -> Any:
    assert ref.startswith("#/"), f"{ref}: wanted a reference into the document itself"
    found: Any = document
    for part in ref[2:].split("/"):
        found = found[part]
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_event_of_a_call_is_as_the_schema_says(served: Served, frames: list[Document]) -> None:
    schema = document(served, "/v1/schema")
    assert validator_for(schema) is Draft202012Validator
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(closed(schema))
    events = [frame["event"] for frame in frames if "event" in frame]
    for event in events:
        validator.validate(event)
    kinds = {one["properties"]["type"]["enum"][0] for one in schema["$defs"].values() if "type" in one["properties"]}
    assert {event["type"] for event in events} == kinds


@pytest.mark.parametrize(
    "wrong",
    [{"at_s": "1"}, {"at_s": None}, {"type": "moood"}, {"call": 3}, {"new": 1}, {"channels": [{"channel": 0}]}],
)
def test_the_schema_refuses_what_is_wrong(served: Served, frames: list[Document], wrong: Document) -> None:
    validator = Draft202012Validator(closed(document(served, "/v1/schema")))
    started = next(frame["event"] for frame in frames if frame.get("event", {}).get("type") == "call_started")
    with pytest.raises(ValidationError):
        validator.validate({**started, **wrong})


def test_every_frame_is_a_message_of_the_asyncapi_document(served: Served, frames: list[Document]) -> None:
    about = document(served, "/v1/asyncapi")
    messages = about["channels"]["live"]["messages"]
    schemas = {name: closed({**one["payload"], "components": about["components"]}) for name, one in messages.items()}
    for frame in [*frames, {"lost": {"levels": 3, "mood": 0}}, {"beat": 12}]:
        assert [name for name, schema in schemas.items() if Draft202012Validator(schema).is_valid(frame)] == [
            next(name for name in messages if name in frame)
        ]


def test_the_asyncapi_document_is_one(served: Served) -> None:
    """By the specification's own schema, and what that cannot see: each reference leads to what it must lead to."""
    about = document(served, "/v1/asyncapi")
    with gzip.open(Path(__file__).with_name("asyncapi-3.0.0.json.gz")) as file:
        validator = Draft7Validator(json.load(file))
    validator.validate(about)
    assert not validator.is_valid(
        {**about, "operations": {"listen": {**about["operations"]["listen"], "action": "say"}}}
    )
    for ref in references(about):
        assert resolved(about, ref) is not None
    for channel in about["channels"].values():
        assert channel["address"].startswith("/v1/")
        assert channel["description"]
        for name, message in channel["messages"].items():
            assert message["name"] == name
            assert message["summary"]
            Draft202012Validator.check_schema(message["payload"])
    used = set()
    for operation in about["operations"].values():
        assert operation["action"] in ("send", "receive")
        place = operation["channel"]["$ref"]
        assert place.startswith("#/channels/")
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{place}/messages/")
            used.add(message["$ref"])
    named = {
        f"#/channels/{channel}/messages/{name}"
        for channel, one in about["channels"].items()
        for name in one["messages"]
    }
    assert used == named
    for schema in about["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_openapi_document_describes_all_routes(served: Served) -> None:
    about = document(served, "/v1/openapi.json")
    assert about["openapi"].startswith("3.1")
    for ref in references(about):
        resolved(about, ref)
    for path, methods in about["paths"].items():
        for method, one in methods.items():
            assert one.get("tags"), f"{method} {path}: wanted a tag"
            names = {given["name"] for given in one.get("parameters", []) if given["in"] == "path"}
            assert names == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path
