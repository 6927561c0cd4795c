"""The team report and the customer journey: pages, and the same as JSON and CSV. Of no one person.

A lead gets their own team's. Whoever reads one is written to the audit log first.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from html import escape
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import fastapi
import msgspec
from fastapi import Depends, HTTPException, Query, Request, Response

from vocal.access import AccountRole, Principal
from vocal.api import API
from vocal.api.gate import Gate
from vocal.api.pages import language_of, private
from vocal.figures import Block
from vocal.reports import journey, team
from vocal.reports.journey import journey_page, journey_report, journey_rows
from vocal.reports.tables import as_csv
from vocal.reports.team import Asked, asked_for, team_report, team_rows
from vocal.reports.team_page import choice_page, team_page
from vocal.service import Service
from vocal.store.figures import blocks_in
from vocal.texts import text
from vocal.types import Language

Format = Literal["html", "json", "csv"]


def add_routes(api: fastapi.FastAPI, service: Service, gate: Gate) -> None:
    roles: tuple[AccountRole, ...] = ("lead", "operator")
    known = Depends(gate.one_of(*roles))
    reader = Depends(gate.reader(*roles))

    def asked(
        first: Annotated[date | None, Query(alias="from")] = None,
        last: Annotated[date | None, Query(alias="to")] = None,
    ) -> Asked:
        """Days, widened to whole weeks."""
        if first is not None and last is not None and last < first:
            raise HTTPException(422, f"from and to: wanted the earlier day first, got {first} and {last}")
        return asked_for(first, last, datetime.now(UTC).date())

    def team_of(given: str | None, principal: Principal) -> str | None:
        """Whose figures are asked for. Another team than their own is not there for a lead, whether it is or not."""
        if principal.role != "lead":
            return given or None
        if given and given != principal.team:
            service.count("team")
            raise HTTPException(404, f"no team {given!r}")
        return principal.team

    async def blocks(principal: Principal, act: str, whose: str | None, span: Asked) -> list[Block]:
        kept = gate.kept()
        await asyncio.to_thread(
            service.audit.append,
            principal.name,
            act,
            whose or "",
            first=span.first.isoformat(),
            last=span.last.isoformat(),
        )
        return await asyncio.to_thread(blocks_in, kept.files, span.first, span.last)

    async def team_as(
        format: Format, given: str | None, principal: Principal, span: Asked, request: Request
    ) -> Response:
        whose = team_of(given, principal)
        if whose is None:
            if format == "html":
                teams = await asyncio.to_thread(names)
                language = language_of(request)
                links = [(one, f"/reports/team?{urlencode({'team': one, 'lang': language})}") for one in teams]
                return private(choice_page(links, language))
            raise HTTPException(422, "team: wanted the name of a team")
        found = team_report(await blocks(principal, "report.team", whose, span), whose, span, service.limits)
        if format != "html":
            return _data(format, found, team.COLUMNS, lambda: team_rows(found), "vocal-team", span)
        language = language_of(request)
        choosable = None if principal.role == "lead" else whose
        return private(team_page(found, language, _top("/reports/team", "/reports/journey", choosable, span, language)))

    async def journey_as(
        format: Format, given: str | None, principal: Principal, span: Asked, request: Request
    ) -> Response:
        whose = team_of(given, principal)
        found = journey_report(await blocks(principal, "report.journey", whose, span), whose, span, service.limits)
        if format != "html":
            return _data(format, found, journey.COLUMNS, lambda: journey_rows(found), "vocal-journey", span)
        language = language_of(request)
        choosable = None if principal.role == "lead" else whose or ""
        return private(
            journey_page(found, language, _top("/reports/journey", "/reports/team", choosable, span, language))
        )

    def names() -> list[str]:
        """Teams of which there is something to show."""
        found = blocks_in(gate.kept().files)
        return sorted({block.team for block in found if block.team is not None and block.family == "calls"})

    @api.get(f"{API}/reports/team", tags=["reports"])
    async def team_data(
        request: Request,
        team: str | None = None,
        format: Format = "json",
        span: Asked = Depends(asked),
        principal: Principal = known,
    ) -> Response:
        """A team's report for whole weeks, by default of this month and the two before; docs/team-report.md."""
        return await team_as(format, team, principal, span, request)

    @api.get("/reports/team", include_in_schema=False)
    async def team_html(
        request: Request,
        team: str | None = None,
        format: Format = "html",
        span: Asked = Depends(asked),
        principal: Principal = reader,
    ) -> Response:
        return await team_as(format, team, principal, span, request)

    @api.get(f"{API}/reports/journey", tags=["reports"])
    async def journey_data(
        request: Request,
        team: str | None = None,
        format: Format = "json",
        span: Asked = Depends(asked),
        principal: Principal = known,
    ) -> Response:
        """The customer journey by queue and touchpoint over the months, of one team or of all; docs/team-report.md."""
        return await journey_as(format, team, principal, span, request)

    @api.get("/reports/journey", include_in_schema=False)
    async def journey_html(
        request: Request,
        team: str | None = None,
        format: Format = "html",
        span: Asked = Depends(asked),
        principal: Principal = reader,
    ) -> Response:
        return await journey_as(format, team, principal, span, request)


def _data(
    format: Format,
    report: msgspec.Struct,
    columns: Sequence[str],
    rows: Callable[[], list[dict[str, Any]]],
    name: str,
    span: Asked,
) -> Response:
    file = f"{name}-{span.weeks[0]}-{span.weeks[1]}.{format}"
    if format == "json":
        return private(msgspec.json.encode(report), "application/json", file)
    return private(as_csv(columns, rows()), "text/csv; charset=utf-8", file)


def _top(path: str, other: str, choosable: str | None, span: Asked, language: Language) -> str:
    """What a served page has under its title: other days or another team, the same as data, the way to its sister."""

    def t(key: str, **values: object) -> str:
        return escape(text(key, language, **values))

    def link(to: str, label: str, **more: str) -> str:
        query = {"from": span.first.isoformat(), "to": span.last.isoformat(), "lang": language, **more}
        if choosable:
            query["team"] = choosable
        return f'<a href="{escape(f"{to}?{urlencode(query)}")}">{escape(label)}</a>'

    named = ""
    if choosable is not None:
        named = f'<label>{t("team.team")}<input name="team" value="{escape(choosable)}" maxlength="200"></label>'
    also = t("team.also", json="{json}", csv="{csv}")
    also = also.replace("{json}", link(path, "JSON", format="json")).replace("{csv}", link(path, "CSV", format="csv"))
    sister = link(other, text("journey.title" if other.endswith("journey") else "team.title", language))
    return (
        f'<form class="choose" action="{path}"><input type="hidden" name="lang" value="{language}">{named}'
        f'<label>{t("team.from")}<input type="date" name="from" value="{span.first}"></label>'
        f'<label>{t("team.to")}<input type="date" name="to" value="{span.last}"></label>'
        f'<button class="first">{t("team.choose")}</button></form><p class="also">{also} · {sister}</p>'
    )
