"""What the API says of itself: JSON Schema of the events, AsyncAPI of the WebSockets, and a page of the rest."""

import inspect
from html import escape
from typing import Any

import fastapi
import msgspec
from fastapi import Depends
from fastapi.responses import HTMLResponse

from vocal import __version__
from vocal.access import Principal
from vocal.api import API
from vocal.api.feed import live_feed
from vocal.api.gate import Gate
from vocal.contract import read_contract
from vocal.emotion import find_models
from vocal.rules import load_rules
from vocal.service import Service
from vocal.sinks.hub import Lost
from vocal.transports import pcm
from vocal.transports.pcm import Hello, NoticeGiven
from vocal.types import LiveEvent


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    @api.get(f"{API}/schema", tags=["events"])
    async def schema() -> dict[str, Any]:
        """JSON Schema of the events."""
        return event_schema()

    @api.get(f"{API}/asyncapi", tags=["events"])
    async def asyncapi() -> dict[str, Any]:
        """What WS /v1/live and WS /v1/media/pcm speak, as AsyncAPI 3."""
        return asyncapi_document()

    @api.get(f"{API}/rules", tags=["events"])
    async def rules() -> dict[str, Any]:
        """What makes a cue or an alert: conditions, thresholds and the budget. No secret to those it is about."""
        built: dict[str, Any] = msgspec.to_builtins(load_rules(service.config.rules.file))
        return built

    @api.get(f"{API}/models", tags=["models"])
    async def models(_: Principal = Depends(gate.who)) -> list[dict[str, Any]]:
        contracts = [read_contract(folder) for folder in find_models()]
        return [{key: getattr(one, key) for key in ("name", "version", "date", "training")} for one in contracts]

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(api.openapi()))


def event_schema() -> dict[str, Any]:
    """JSON Schema of everything that WS /v1/live tells of a call."""
    (schema,), components = msgspec.json.schema_components([LiveEvent], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Vocal, version 1",
        **schema,
        "$defs": components,
    }


def asyncapi_document() -> dict[str, Any]:
    (event, lost, hello, notice), schemas = msgspec.json.schema_components(
        [LiveEvent, Lost, Hello, NoticeGiven], ref_template="#/components/schemas/{name}"
    )
    del event["discriminator"]  # that is OpenAPI's; here each alternative says its own type
    number = {"type": "integer", "minimum": 0}
    greeting = {
        "v": {"const": 1},
        "role": {"type": "string"},
        "cursor": number,
        "gaps": {"type": "boolean", "description": "something behind `since` is not kept any more"},
        "version": {"type": "string"},
        "basis": {"enum": ["notice", "consent"], "description": "what is wanted before emotion is inferred"},
    }
    live = {
        "hello": ("The first of all.", _frame(hello=_frame(**greeting))),
        "event": ("What happened, with the cursor to come back with.", _frame(cursor=number, event=event)),
        "lost": ("What a reader that is too slow was not told so far.", _frame(lost=lost)),
        "beat": ("Nothing happened for five seconds; the newest cursor.", _frame(beat=number)),
    }
    audio = {
        "hello": ("The first frame, text: what comes.", hello),
        "audio": (
            "Then binary frames: samples, channels interleaved, cut anywhere.",
            {"type": "string", "format": "binary"},
        ),
        "notice": ("At any time, text: the customer was informed, or objects.", notice),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Vocal", "version": __version__},
        "defaultContentType": "application/json",
        "channels": {
            "live": _channel(f"{API}/live", live_feed.__doc__, live),
            "pcm": _channel(f"{API}/media/pcm", pcm.__doc__, audio),
        },
        "operations": {"listen": _operation("send", "live", live), "sendAudio": _operation("receive", "pcm", audio)},
        "components": {"schemas": schemas},
    }


Messages = dict[str, tuple[str, dict[str, Any]]]
"""What each kind of frame is for, and its schema."""


def _frame(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": fields}


def _channel(address: str, about: str | None, messages: Messages) -> dict[str, Any]:
    told = {name: {"name": name, "summary": text, "payload": schema} for name, (text, schema) in messages.items()}
    return {"address": address, "description": inspect.cleandoc(about or ""), "messages": told}


def _operation(action: str, channel: str, messages: Messages) -> dict[str, Any]:
    """action: send or receive, as the server does it."""
    refs = [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": refs}


def docs_page(openapi: dict[str, Any]) -> str:
    """The API at a glance, without a script: what Swagger would fetch from elsewhere."""
    parts: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, about in methods.items():
            text = escape(about.get("description") or about.get("summary", ""))
            row = f"<dt><b>{method.upper()}</b><code>{escape(path)}</code><dd>{text}"
            parts.setdefault(about["tags"][0], []).append(row)
    rows = "".join(f"<h2>{escape(tag)}</h2><dl>{''.join(part)}</dl>" for tag, part in parts.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Vocal API</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        "<link rel=icon href=/icon.svg><link rel=stylesheet href=/style.css><main class=docs><h1>Vocal API</h1>"
        f"<p>{escape(openapi['info']['description'])} "
        f"<a href={API}/openapi.json>OpenAPI</a> · <a href={API}/schema>JSON Schema of the events</a> · "
        f"<a href={API}/asyncapi>AsyncAPI</a></p>{rows}</main></html>"
    )
