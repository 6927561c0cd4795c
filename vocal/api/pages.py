"""The pages' files, as browsers keep and ask for them."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import fastapi
import msgspec
from fastapi import HTTPException, Request, Response

from vocal.api import API
from vocal.texts import catalogue
from vocal.types import Language

MIME = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wav": "audio/wav",
}


def add_routes(api: fastapi.FastAPI) -> None:
    """The last of all: what no other route knows is a page, or is not there."""

    @api.get(f"{API}/texts/{{language}}", tags=["pages"])
    async def texts(language: Language, request: Request) -> Response:
        """The pages' texts by dotted key, from the one catalogue."""
        found = {key: both[language] for key, both in catalogue().items()}
        return tagged(msgspec.json.encode(found), ".json", request)

    @api.get("/{path:path}", include_in_schema=False)
    async def pages(path: str, request: Request) -> Response:
        return page(path, request)


def page(path: str, request: Request) -> Response:
    """A file of web/; `agent` stands for agent.html. Browsers ask again each time and get 304 where it is the same."""
    parts = path.split("/") if path else ["index.html"]
    if any(part.startswith(".") or not re.fullmatch(r"[A-Za-z0-9._-]+", part) for part in parts):
        raise HTTPException(404, "no such page")
    file = files("vocal").joinpath("web", *parts)
    if not file.is_file():
        file = files("vocal").joinpath("web", *parts[:-1], f"{parts[-1]}.html")
    if Path(file.name).suffix not in MIME or not file.is_file():
        raise HTTPException(404, "no such page")
    return tagged(file.read_bytes(), Path(file.name).suffix, request)


def tagged(body: bytes, suffix: str, request: Request) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MIME[suffix], headers=headers)
