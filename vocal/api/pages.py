"""The pages' files, as browsers keep and ask for them."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import fastapi
import msgspec
from fastapi import HTTPException, Request, Response

from vocal.api import API
from vocal.texts import LANGUAGES, catalogue
from vocal.types import Language

WEB = files("vocal").joinpath("web")
MIME = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
PAGES = {
    "": ("home", "web.home.title"),
    "agent": ("agent", "web.agent.title"),
    "coach": ("coach", "web.coach.title"),
    "softphone": ("softphone", "web.phone.title"),
}
"""Of each page the element that it holds, with a module of its name, and the key of its title."""


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
    """A page, or a file of web/ that one asks for. Browsers ask again each time and get 304 where it is the same."""
    if path in PAGES:
        name, title = PAGES[path]
        body = WEB.joinpath("page.html").read_text("utf-8").replace("$name", name).replace("$title", title)
        return tagged(body.encode(), ".html", request)
    file = WEB.joinpath(path) if re.fullmatch(r"[a-z]+\.(css|js|svg)", path) else None
    if file is None or not file.is_file():
        raise HTTPException(404, "no such page")
    return tagged(file.read_bytes(), Path(file.name).suffix, request)


def tagged(body: bytes, suffix: str, request: Request) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MIME[suffix], headers=headers)


def private(body: str | bytes, kind: str = "text/html; charset=utf-8", file: str | None = None) -> Response:
    """A report, or what else is somebody's own: no browser and no proxy keeps it. file: it is saved under that name."""
    saved = {"Content-Disposition": f'attachment; filename="{file}"'} if file else {}
    return Response(body, media_type=kind, headers={"Cache-Control": "no-store", **saved})


def language_of(request: Request) -> Language:
    """?lang=de or en; else the browser's, as far as we speak it; else German where it names none."""
    asked = request.query_params.get("lang")
    if asked is not None:
        if asked not in LANGUAGES:
            raise HTTPException(422, f"lang: wanted {' or '.join(LANGUAGES)}, got {asked!r}")
        return "de" if asked == "de" else "en"
    wanted = request.headers.get("accept-language", "").strip().lower()
    return "de" if not wanted or wanted.startswith(("de", "*")) else "en"
