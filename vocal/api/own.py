"""What is an agent's own after the call: their calls, their view over days, and what they share, take along or delete.

Nobody else gets in: a coach sees a call once its agent shares it, and of this page nothing. Whose calls are whose says
`answers`; the store knows pseudonyms only.
"""

import asyncio
import csv
import io
import zipfile
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from vocal.access import Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.api.pages import language_of, private
from vocal.errors import UsageError
from vocal.own import DAYS, OwnView, check_days, own_records, own_view
from vocal.record import CallRecord
from vocal.reports.own import Served, own_csv, own_report
from vocal.reports.start import Listed, share_page, start_page
from vocal.service import Service
from vocal.types import Language

PAGE = 40
ONE_DAY = timedelta(days=1)
ROOMS = {
    "agent": ("own", "documents"),
    "lead": ("team", "journey", "documents"),
    "operator": ("team", "journey", "privacy", "documents"),
    "auditor": ("team", "journey", "privacy", "documents"),
    "local": ("own", "team", "journey", "privacy", "documents"),
}
"""Where each role goes from the page on which reports begin."""

Format = Literal["html", "json", "csv"]


class ShareIn(BaseModel):
    shared: bool
    note: str = Field(default="", max_length=500)
    with_reflection: bool = False


class Span(BaseModel, arbitrary_types_allowed=True):
    """The days that are asked for, and how."""

    first: date = date.min
    last: date = date.max
    zone: ZoneInfo | None
    voice: bool


def last_days(today: date, span: Span) -> Span:
    return Span(first=today - timedelta(days=DAYS - 1), last=today, zone=span.zone, voice=span.voice)


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    answers = service.answers
    known = Depends(gate.one_of("agent", "lead"))
    agent = Depends(gate.one_of("agent"))
    reader = Depends(gate.reader("agent", "lead", "operator", "auditor"))
    own_reader = Depends(gate.reader("agent"))
    keep_days = service.config.retention.times.calls.days

    def log(principal: Principal, act: str, subject: str = "", **detail: Any) -> None:
        """Before anything is read or changed: without the entry it is not."""
        service.audit.append(principal.name, act, subject, **detail)

    # Lists

    @api.get(f"{API}/reports/calls", tags=["reports"])
    async def calls(
        page: int = Query(0, ge=0), size: int = Query(PAGE, ge=1, le=1000), principal: Principal = known
    ) -> list[dict[str, Any]]:
        """An agent's own calls, the newest first; for a lead those that their team shared, under pseudonyms."""
        gate.kept()
        found, _ = await asyncio.to_thread(listed, principal, page, size)
        return [msgspec.to_builtins(one) for one in found]

    @api.get("/reports", include_in_schema=False)
    async def start(
        request: Request,
        page: int = Query(0, ge=0),
        principal: Principal = reader,
    ) -> Response:
        found, more = await asyncio.to_thread(listed, principal, page, PAGE)
        whose = {"agent": "own", "lead": "shared", "local": "all"}.get(principal.role, "")
        rooms = ROOMS[principal.role]
        return private(start_page(rooms, whose, found, language_of(request), page, more, service.reader is not None))

    def listed(principal: Principal, page: int, size: int) -> tuple[list[Listed], bool]:
        """A page of the calls that are somebody's to read the report of, and whether there are older ones."""
        store = service.reader
        if store is None or principal.role not in ("agent", "lead", "local"):
            return [], False
        log(principal, "report.calls", page=page)
        shares = answers.shares()
        start, end = page * size, (page + 1) * size
        if principal.role == "agent":
            own = answers.own_calls(principal.agent)
            records, more = store.records(calls=own[start:end])[::-1], len(own) > end
        else:
            wanted = list(shares) if principal.role == "lead" else None
            all_of_them = store.records(calls=wanted)[::-1]
            if principal.role == "lead":
                all_of_them = [one for one in all_of_them if one.team is not None and one.team == principal.team]
            records, more = all_of_them[start:end], len(all_of_them) > end
        felt = {one.call for one in answers.reflections(principal.agent)}
        return [_listed(one, principal, one.call in felt, shares) for one in records], more

    # Sharing

    @api.post(f"{API}/reports/calls/{{call}}/share", tags=["reports"])
    async def share(call: str, given: ShareIn, principal: Principal = agent) -> dict[str, Any]:
        """An agent shows an own call to the coach of the team, or no longer does."""
        await asyncio.to_thread(decide, call, principal, given)
        return {"call": call, "shared": given.shared}

    @api.get("/reports/calls/{call}/share", include_in_schema=False)
    async def share_form(call: str, request: Request, principal: Principal = own_reader) -> Response:
        record = await asyncio.to_thread(own_record, call, principal)
        felt = any(one.call == call for one in answers.reflections(principal.agent))
        return private(share_page(record, answers.share_of(call), felt, language_of(request), keep_days))

    @api.post("/reports/calls/{call}/share", include_in_schema=False)
    async def share_form_sent(call: str, request: Request, principal: Principal = own_reader) -> Response:
        sent = await _form(request)
        given = ShareIn(
            shared=sent.get("shared") == "yes",
            note=sent.get("note", "")[:500],
            with_reflection=sent.get("with_reflection") == "yes",
        )
        await asyncio.to_thread(decide, call, principal, given)
        return RedirectResponse(f"/reports/calls/{call}/share?lang={language_of(request)}", 303)

    def own_record(call: str, principal: Principal) -> CallRecord:
        """A call that is not somebody's own is not there for them."""
        found = gate.kept().record(call) if answers.owns(call, principal.agent) else None
        if found is None:
            service.count("call")
            raise HTTPException(404, f"no call {call!r}")
        return found

    def decide(call: str, principal: Principal, given: ShareIn) -> None:
        own_record(call, principal)
        assert principal.agent is not None
        log(principal, "call.share" if given.shared else "call.unshare", call, with_reflection=given.with_reflection)
        if given.shared:
            answers.share(call, principal.agent, given.note.strip(), given.with_reflection)
        else:
            answers.unshare(call, principal.agent)

    # The own view

    def asked(
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
        zone: Annotated[str | None, Query(max_length=64)] = None,
        voice: bool = False,
    ) -> Span:
        try:
            found = None if zone is None else ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise HTTPException(422, f"zone: wanted one such as Europe/Berlin, got {zone!r}") from None
        whole = last_days(datetime.now().astimezone(found).date(), Span(zone=found, voice=voice))
        if first is not None:
            whole.first, whole.last = first, max(first, min(whole.last, first + timedelta(days=DAYS - 1)))
        if last is not None:
            whole.first, whole.last = first or last - timedelta(days=DAYS - 1), last
        return whole

    def view_of(principal: Principal, span: Span) -> OwnView:
        """Raises UsageError for days that cannot be."""
        check_days(span.first, span.last)
        log(principal, "report.own", first=str(span.first), last=str(span.last))
        felt = {one.call: one.score for one in answers.reflections(principal.agent)}
        records = kept_of(principal, span.first, span.last)
        return own_view(records, span.first, span.last, span.zone, felt, span.voice)

    def kept_of(principal: Principal, first: date, last: date) -> list[CallRecord]:
        """This machine's user has no calls of their own, and may see all."""
        store = service.reader
        if store is None:
            return []
        if principal.role == "local":
            return store.records(first - ONE_DAY, last + ONE_DAY)
        return own_records(store, answers.own_calls(principal.agent), first, last)

    @api.get(f"{API}/reports/own", tags=["reports"])
    async def own(
        request: Request, format: Format = "json", span: Span = Depends(asked), principal: Principal = agent
    ) -> Response:
        """An agent's own view of some days, the last 30 by default, for them alone: trends, load, suggestions."""
        return await own_as(format, request, span, principal, False)

    @api.get("/reports/own", include_in_schema=False)
    async def own_page(
        request: Request,
        format: Format = "html",
        deleted: bool = False,
        span: Span = Depends(asked),
        principal: Principal = own_reader,
    ) -> Response:
        return await own_as(format, request, span, principal, deleted)

    async def own_as(format: Format, request: Request, span: Span, principal: Principal, deleted: bool) -> Response:
        today, problem = datetime.now().astimezone(span.zone).date(), ""
        try:
            view = await asyncio.to_thread(view_of, principal, span)
        except UsageError as error:
            if format != "html":
                raise HTTPException(422, str(error)) from None
            # A page says it above the form, with the days that it would have shown.
            problem, span = str(error), last_days(today, span)
            view = await asyncio.to_thread(view_of, principal, span)
        name = f"vocal-{view.first}-{view.last}"
        if format == "json":
            return private(msgspec.json.encode(view), "application/json", f"{name}.json")
        if format == "csv":
            return private(own_csv(view), "text/csv; charset=utf-8", f"{name}.csv")
        is_local = principal.role == "local"
        served = Served(keep_days, today, is_local, deleted, service.reader is not None, problem)
        answer = private(own_report(view, language_of(request), served, span.voice))
        answer.status_code = 422 if problem else 200
        return answer

    # Taking along, and deleting

    @api.get(f"{API}/reports/own/export", tags=["reports"])
    async def export(request: Request, principal: Principal = agent) -> Response:
        """All that is kept of an agent's own calls, and all that they said to them, as a ZIP of JSON and CSV."""
        made = await asyncio.to_thread(packed, principal, language_of(request))
        return private(made, "application/zip", f"vocal-{date.today()}.zip")

    def packed(principal: Principal, language: Language) -> bytes:
        log(principal, "report.own.export")
        today = datetime.now().astimezone().date()
        first = today - service.config.retention.times.calls
        records = kept_of(principal, first, today)
        shares = answers.shares()
        feedback = {one.call: said for one in records if (said := answers.feedback_of(one.call))}
        reflections = answers.reflections(principal.agent)
        felt = {one.call: one.score for one in reflections}
        view = own_view(records, today - timedelta(days=DAYS - 1), today, None, felt, True)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packing:
            for name, body in (
                ("calls.json", _json(records)),
                ("calls.csv", _flat(records)),
                ("reflections.json", _json(reflections)),
                ("cue-answers.json", _json(feedback)),
                (
                    "shared.json",
                    _json([share for call, share in shares.items() if answers.owns(call, principal.agent)]),
                ),
                ("days.csv", own_csv(view)),
                ("days.html", own_report(view, language, voice=True)),
            ):
                packing.writestr(name, body)
        return written.getvalue()

    @api.delete(f"{API}/reports/own", tags=["reports"])
    async def delete(confirm: str = "", principal: Principal = agent) -> dict[str, int]:
        """Deletes what makes calls an agent's: which they are, reflections, answers to cues, shares. Wants confirm=yes;
        the calls themselves stay, under pseudonyms, as long as calls do."""
        return {"deleted": await asyncio.to_thread(forget, principal, confirm)}

    @api.post("/reports/own/delete", include_in_schema=False)
    async def delete_sent(request: Request, principal: Principal = own_reader) -> Response:
        sent = await _form(request)
        await asyncio.to_thread(forget, principal, sent.get("confirm", ""))
        return RedirectResponse(f"/reports/own?deleted=true&lang={language_of(request)}", 303)

    def forget(principal: Principal, confirm: str) -> int:
        if confirm != "yes":
            raise HTTPException(422, f"confirm: wanted yes, for this cannot be undone, got {confirm!r}")
        if principal.agent is None:
            raise HTTPException(403, f"{principal.role}: has no calls of their own; wanted an agent's account")
        log(principal, "own.delete")
        return answers.forget_agent(principal.agent)


def _listed(record: CallRecord, principal: Principal, reflected: bool, shares: Any) -> Listed:
    share = shares.get(record.call)
    is_lead = principal.role == "lead"
    return Listed(
        call=record.call,
        started_at=record.started_at,
        duration_s=record.duration_s,
        queue=record.queue,
        touchpoint=record.touchpoint,
        interrupted=record.interrupted,
        shared=share is not None,
        reflected=None if is_lead else reflected,
        agent=record.agent if is_lead else None,
        note=share.note if share is not None else None,
    )


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, as browsers send them without files."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, f"wanted a form, application/x-www-form-urlencoded, got {kind!r}")
    body = (await request.body()).decode("utf-8", "replace")
    return {name: values[-1] for name, values in parse_qs(body).items()}


def _json(what: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(what), indent=1)


def _flat(records: list[CallRecord]) -> str:
    """A row for each call, with the values that are plain."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    nested = {"satisfaction", "mood_quarters", "moments", "steps", "cues"}
    names = [name for name in CallRecord.__struct_fields__ if name not in nested]
    rows.writerow([*names, "satisfaction_start", "satisfaction_end"])
    for one in records:
        felt = (one.satisfaction.start, one.satisfaction.end) if one.satisfaction else ("", "")
        rows.writerow([*(getattr(one, name) for name in names), *felt])
    return written.getvalue()
