"""The documents in the box, for everybody who is signed in."""

import asyncio

import fastapi
from fastapi import Depends, HTTPException, Request, Response

from vocal.access import ACCOUNT_ROLES, Principal
from vocal.api.gate import Gate
from vocal.api.pages import language_of, private
from vocal.documents import NAMES, Document, as_markdown, document
from vocal.reports.document import document_page, documents_page
from vocal.service import Service
from vocal.types import Language

SUFFIX = ".md"


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    anybody = Depends(gate.reader(*ACCOUNT_ROLES))

    def found(name: str, language: Language) -> Document:
        return document(name, language, service.config)

    @api.get("/documents", include_in_schema=False)
    async def documents(request: Request, _: Principal = anybody) -> Response:
        language = language_of(request)
        made = await asyncio.to_thread(lambda: documents_page([found(name, language) for name in NAMES], language))
        return private(made)

    @api.get("/documents/{name}", include_in_schema=False)
    async def one_document(name: str, request: Request, _: Principal = anybody) -> Response:
        """As a page; NAME.md: as Markdown, to be adapted."""
        language = language_of(request)
        if name.removesuffix(SUFFIX) not in NAMES:
            raise HTTPException(404, f"no document {name!r}: wanted one of {', '.join(NAMES)}")
        one = await asyncio.to_thread(found, name.removesuffix(SUFFIX), language)
        if name.endswith(SUFFIX):
            return private(as_markdown(one), "text/markdown; charset=utf-8", f"vocal-{one.name}-{language}{SUFFIX}")
        return private(await asyncio.to_thread(document_page, one))
