"""What is kept how long, who can find out a name, and the audit log.

The rules are for everybody who signs in, the evidence for auditors.
"""

import asyncio
import csv
import io
from datetime import date, timedelta
from typing import Annotated, Any, Literal

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Query, Request, Response

from vocal.access import Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.api.pages import language_of, private
from vocal.audit import Entry, check_days, read_head
from vocal.config import RetentionConfig
from vocal.errors import StoreError, UsageError
from vocal.reports.privacy import Asked, Change, Kept, PrivacyView, privacy_page
from vocal.service import Service
from vocal.store.files import day_of

AUDIO_S, LIVE_S, NAMES_S = 16.0, 600.0, 7.0 * 86_400.0
KINDS = {
    "utterances": ("utterance", "conversation"),
    "calls": ("calls", "call_started", "mood", "cue", "notice", "call_ended"),
    "figures": ("figures", "held"),
}
SHOWN = 100
EVIDENCE = ("auditor", "local")

Act = Annotated[str, Query(max_length=200)]
From = Annotated[str, Query(alias="from", max_length=10)]
To = Annotated[str, Query(alias="to", max_length=10)]


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    known = Depends(gate.one_of("agent", "lead", "auditor", "operator"))
    auditor = Depends(gate.one_of("auditor"))
    warden = Depends(gate.one_of("auditor", "operator"))
    reader = Depends(gate.reader("agent", "lead", "auditor", "operator"))

    @api.get(f"{API}/privacy", tags=["privacy"])
    async def privacy(principal: Principal = known) -> dict[str, Any]:
        """What is kept how long, what is wanted before emotion is inferred, and who can release a name; for operators
        and auditors the audit log's state and the settings in force, too."""
        view: dict[str, Any] = msgspec.to_builtins(await asyncio.to_thread(view_of, service, principal, None))
        return {key: value for key, value in view.items() if key not in ("entries", "groups", "asked")}

    @api.get(f"{API}/audit", tags=["privacy"])
    async def audit(
        act: Act = "",
        who: Act = "",
        subject: Act = "",
        first: From = "",
        last: To = "",
        most: int = Query(default=200, ge=1, le=100_000),
        format: Literal["json", "csv"] = "json",
        principal: Principal = auditor,
    ) -> Response:
        """Who saw what and what was changed, the newest first. act: `report.team`, or all of `report`; from, to: days.
        That somebody looks here stands there, too."""
        asked = asked_of(act, who, subject, first, last)
        found = await asyncio.to_thread(entries_of, service, principal, asked, most)
        if format == "csv":
            return private(as_csv(found), "text/csv; charset=utf-8", "audit.csv")
        return private(msgspec.json.encode(found), "application/json")

    @api.get(f"{API}/audit/verify", tags=["privacy"])
    async def verify(noted: str = "", _: Principal = warden) -> dict[str, Any]:
        """Whether each entry stands as it was written; noted: a head, SEQ:HASH, that was noted earlier."""
        try:
            head = read_head(noted) if noted else None
        except UsageError as error:
            raise HTTPException(422, str(error)) from None
        if head is None:
            verdict = await asyncio.to_thread(service.verify_audit)
        else:
            verdict = await asyncio.to_thread(service.audit.verify, head)
        found: dict[str, Any] = msgspec.to_builtins(verdict)
        return {**found, "head": None if verdict.head is None else str(verdict.head)}

    @api.get("/privacy", include_in_schema=False)
    async def page(
        request: Request,
        act: Act = "",
        who: Act = "",
        subject: Act = "",
        first: From = "",
        last: To = "",
        format: Literal["html", "json"] = "html",
        principal: Principal = reader,
    ) -> Response:
        asked = asked_of(act, who, subject, first, last)
        view = await asyncio.to_thread(view_of, service, principal, asked)
        if format == "json":
            return private(msgspec.json.encode(view), "application/json")
        return private(privacy_page(view, language_of(request)))


def asked_of(act: str, who: str, subject: str, first: str, last: str) -> Asked:
    try:
        check_days(first, last)
    except UsageError as error:
        raise HTTPException(422, str(error)) from None
    return Asked(act, who, subject, first, last)


def entries_of(service: Service, principal: Principal, asked: Asked, most: int) -> list[Entry]:
    """Whoever reads the audit log stands in it."""
    filters = {name: value for name, value in msgspec.structs.asdict(asked).items() if value}
    service.audit.append(principal.name, "audit.read", **filters)
    return service.audit.entries(asked.act, asked.who, asked.subject, asked.first, asked.last, most)


def view_of(service: Service, principal: Principal, asked: Asked | None) -> PrivacyView:
    """What somebody may see. asked: of the audit log; None: nothing."""
    sees_evidence = principal.role in EVIDENCE
    sees_state = sees_evidence or principal.role == "operator"
    config = service.config
    entries = entries_of(service, principal, asked, SHOWN) if sees_evidence and asked is not None else None
    return PrivacyView(
        basis=config.privacy.basis,
        agreement=config.retention.agreement,
        kept=tuple(kept_of(service)),
        notices=dict(service.notices),
        week=service.access.pseudonyms.week,
        sharings=service.access.pseudonyms.sharings,
        verdict=service.verify_audit() if sees_state else None,
        settings=service.in_force if sees_state else None,
        entries=None if entries is None else tuple(entries),
        groups=tuple(service.audit.groups()) if entries is not None else (),
        asked=asked or Asked(),
    )


def kept_of(service: Service) -> list[Kept]:
    times, default = service.config.retention.times, RetentionConfig().times
    limits = {
        "utterances": (times.utterances, default.utterances),
        "calls": (times.calls, default.calls),
        "figures": (times.team_figures, default.team_figures),
        "audit": (times.audit, default.audit),
    }

    def kept(kind: str) -> Kept:
        limit, usual = limits[kind]
        change: Change = "default" if limit == usual else "shorter" if limit < usual else "longer"
        days, size = found.get(kind, ([], 0))
        first, last = (min(days), max(days)) if days else (None, None)
        due = None if first is None else str(date.fromisoformat(first) + timedelta(days=1) + limit)
        return Kept(kind, limit.total_seconds(), change, first, last, due, size or None)

    found = _in_store(service)
    return [
        Kept("audio", AUDIO_S, "fixed"),
        Kept("live", LIVE_S, "fixed"),
        kept("utterances"),
        Kept("names", NAMES_S, "fixed"),
        kept("calls"),
        kept("figures"),
        kept("audit"),
    ]


def _in_store(service: Service) -> dict[str, tuple[list[str], int]]:
    """Of each kind its days, and how much there is."""
    found: dict[str, tuple[list[str], int]] = {}
    reader = service.reader
    if reader is not None:
        files = reader.files
        for kind, folders in KINDS.items():
            days, size = [], 0
            for folder in folders:
                try:
                    entries = files.entries(folder)
                except StoreError:
                    continue
                size += sum(one.size for one in entries)
                days += [str(day) for one in entries if (day := day_of(one.name)) is not None]
            found[kind] = (days, size)
    path = service.audit.path
    if path is not None and path.exists():
        found["audit"] = ([], path.stat().st_size)
    return found


def as_csv(entries: list[Entry]) -> str:
    """For tables; what begins like a formula is no formula there."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("seq", "at", "who", "act", "subject", "detail", "hash"))
    for one in entries:
        detail = msgspec.json.encode(one.detail).decode() if one.detail else ""
        table.writerow([one.seq, one.at, _cell(one.who), one.act, _cell(one.subject), detail, one.hash])
    return out.getvalue()


def _cell(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
