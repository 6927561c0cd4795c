"""The report of one call: for its agent, and for the lead of its team once the agent shares it.

Whoever may not have it learns no more than that there is no such call. What is read is written to the audit log first.
"""

import asyncio
from typing import Literal
from urllib.parse import parse_qs, quote

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from vocal.access import Principal
from vocal.answers import Reflection
from vocal.api import API
from vocal.api.calls import ReflectionIn
from vocal.api.gate import Gate
from vocal.api.pages import language_of, private
from vocal.record import CallRecord
from vocal.reports.call import Served, page
from vocal.reports.call_export import as_json, steps_csv
from vocal.reports.call_view import CallView, Said, view_of
from vocal.service import Service

Format = Literal["html", "json", "csv"]


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    answers = service.answers
    known = Depends(gate.who)
    reader = Depends(gate.reader("agent", "lead", "operator", "auditor", "ingest"))

    @api.get(f"{API}/reports/calls/{{call}}", tags=["reports"], response_class=Response)
    async def report(
        call: str, request: Request, format: Format = "json", lang: str | None = None, principal: Principal = known
    ) -> Response:
        """An own call, or one that the team's agent shares: everything as JSON, its course as CSV, or the page."""
        return await asyncio.to_thread(answer, call, principal, format, request)

    @api.get("/reports/calls/{call}", include_in_schema=False)
    async def report_page(
        call: str, request: Request, format: Format = "html", principal: Principal = reader
    ) -> Response:
        return await asyncio.to_thread(answer, call, principal, format, request)

    @api.post("/reports/calls/{call}/reflection", include_in_schema=False)
    async def reflect(call: str, request: Request, principal: Principal = reader) -> Response:
        """How the call felt, from the form on its page."""
        sent = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
        score, words = sent.get("score", [""])[0], sent.get("text", [""])[0]
        if score not in map(str, range(1, 11)):
            raise HTTPException(422, f"score: wanted 1 to 10, got {score!r}")
        given = ReflectionIn(score=int(score), text=words[:2000].strip())
        await asyncio.to_thread(keep, call, principal, given)
        return RedirectResponse(f"{_path(call)}?lang={language_of(request)}", 303)

    def answer(call: str, principal: Principal, wanted: Format, request: Request) -> Response:
        language = language_of(request)
        record = mine(call, principal)
        service.audit.append(principal.name, "report.call", call, format=wanted)
        view = seen(record, principal)
        file = f"call-{record.started_at[:10]}.{wanted}"
        if wanted == "json":
            return private(as_json(view), "application/json", file)
        if wanted == "csv":
            return private(steps_csv(view), "text/csv; charset=utf-8", file)
        share = answers.share_of(call)
        own = principal.role != "lead"
        served = Served(_path(call), own, share is not None, share.note if share else "")
        return private(page(view, language, served))

    def mine(call: str, principal: Principal) -> CallRecord:
        """A call that is not somebody's to read of is not there for them."""
        may = principal.role == "local" or (principal.role == "agent" and answers.owns(call, principal.agent))
        if not may and not (principal.role == "lead" and answers.is_shared(call)):
            service.count("call")
            raise HTTPException(404, f"no call {call!r}")
        record = gate.kept().record(call)
        if record is None and service.store is not None and service.hub.started(call) is not None:
            service.store.flush()  # it ended this very moment
            record = gate.kept().record(call)
        is_theirs = record is not None and record.team is not None and record.team == principal.team
        if record is None or (principal.role == "lead" and not is_theirs):
            service.count("call" if record is None else "team")
            raise HTTPException(404, f"no call {call!r}")
        return record

    def seen(record: CallRecord, principal: Principal) -> CallView:
        """A lead learns no address, and how the call felt only where the agent lets them."""
        call = record.call
        events = gate.kept().events(call)
        if principal.role == "lead":
            record = msgspec.structs.replace(record, source="")
            reflection = answers.shared_reflection(call)
        else:
            reflection = felt(call, principal)
        return view_of(events, record, Said(answers.feedback_of(call), reflection))

    def felt(call: str, principal: Principal) -> Reflection | None:
        return next((one for one in answers.reflections(author(call, principal)) if one.call == call), None)

    def author(call: str, principal: Principal) -> str | None:
        """This machine's user stands for the call's agent, as long as it is known who that is."""
        metadata = service.metadata_of(call) if principal.role == "local" else None
        return principal.agent if metadata is None else metadata.agent

    def keep(call: str, principal: Principal, given: ReflectionIn) -> None:
        if principal.role == "lead":
            service.count("call")
            raise HTTPException(404, f"no call {call!r}")
        mine(call, principal)
        service.audit.append(principal.name, "call.reflect", call)
        answers.reflect(call, author(call, principal), given.score, given.text)


def _path(call: str) -> str:
    return f"/reports/calls/{quote(call, safe='')}"
