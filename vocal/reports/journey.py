"""The customer journey by queue and touchpoint over the months: as values, a page, and rows for other programs.

docs/team-report.md has the columns. A row is a sum of whole blocks (`figures`), like everything that is told of many.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor
from typing import Any

import msgspec

from vocal import pictures
from vocal.charts import Words
from vocal.figures import Block, Limits, Total, month_of, shown, total_of
from vocal.record import QUARTERS
from vocal.reports.page import page_of
from vocal.reports.team import PAINS, Asked, Place, floor_of, place_of
from vocal.reports.team_page import day_of, month_name, place_name, signed, step_class
from vocal.texts import number, per_cent, text
from vocal.types import Language


class Stage(msgspec.Struct, frozen=True):
    """A queue and touchpoint in a month. over: what was joined, `touchpoints` or `queues`; then these are None.

    start, end, change: satisfaction 1-10, change with half of its interval, of `calls`. recovered: of those that began
    low. mood: of the four quarters, of `mood_calls`; None where these are too few. low, escalated, dead_air: how many
    of `all_calls` had such a moment.
    """

    month: str
    queue: str | None
    touchpoint: str | None
    over: str
    calls: int
    agents_at_least: int
    start: float
    end: float
    change: float
    change_margin: float
    began_low: int
    recovered: int
    mood: tuple[float, ...] | None
    mood_calls: int
    low: int
    escalated: int
    dead_air: int
    all_calls: int

    @property
    def place(self) -> tuple[str | None, str | None, str]:
        return (self.queue, self.touchpoint, self.over)


class JourneyReport(msgspec.Struct, frozen=True):
    """team: None: of all. first, last: of the whole weeks that were asked for."""

    team: str | None
    first: str
    last: str
    limits: Limits
    months: tuple[str, ...]
    stages: tuple[Stage, ...]
    v: int = 1


def journey_report(blocks: Sequence[Block], team: str | None, asked: Asked, limits: Limits) -> JourneyReport:
    found: dict[tuple[str, Place], dict[str, list[Block]]] = defaultdict(lambda: defaultdict(list))
    for block in shown(blocks, limits, asked.first, asked.last, team):
        month = month_of(block.period) if "W" in block.period else block.period
        if block.family in ("customer", "mood", "calls"):
            found[month, place_of(block)][block.family].append(block)
    stages = [
        _stage(month, place, {family: total_of(own) for family, own in of.items()})
        for (month, place), of in found.items()
        if "customer" in of
    ]
    stages.sort(key=lambda one: (one.month, one.over == "queues", one.queue or "", one.touchpoint or "~"))
    return JourneyReport(
        team=team,
        first=asked.first.isoformat(),
        last=asked.last.isoformat(),
        limits=limits,
        months=tuple(dict.fromkeys(one.month for one in stages)),
        stages=tuple(stages),
    )


def _stage(month: str, place: Place, of: dict[str, Total]) -> Stage:
    customer, mood, calls = of["customer"], of.get("mood"), of.get("calls")
    pains = [
        round(sum(calls.sums.get(f"pain.{why}.q{q + 1}", 0.0) for q in range(QUARTERS))) if calls else 0
        for why in PAINS
    ]
    return Stage(
        month,
        *place,
        calls=customer.calls,
        agents_at_least=floor_of(customer.agents),
        start=round(customer.mean("start") or 0.0, 2),
        end=round(customer.mean("end") or 0.0, 2),
        change=round(customer.mean("change") or 0.0, 2),
        change_margin=round(customer.spread("change"), 2),
        began_low=round(customer.sums.get("began_low", 0.0)),
        recovered=round(customer.sums.get("recovered", 0.0)),
        mood=tuple(round(mood.mean(f"q{q + 1}") or 0.0, 2) for q in range(QUARTERS)) if mood else None,
        mood_calls=mood.calls if mood else 0,
        low=pains[0],
        escalated=pains[1],
        dead_air=pains[2],
        all_calls=calls.calls if calls else 0,
    )


COLUMNS = (
    *("month", "team", "queue", "touchpoint", "joined_over", "calls", "agents_at_least", "satisfaction_start"),
    *("satisfaction_end", "change", "change_margin", "began_low", "recovered", "recovered_share", "mood_q1", "mood_q2"),
    *("mood_q3", "mood_q4", "mood_calls", "low", "escalated", "dead_air", "all_calls"),
)


def journey_rows(report: JourneyReport) -> list[dict[str, Any]]:
    """A row for each queue, touchpoint and month, with `COLUMNS`."""
    rows = []
    for one in report.stages:
        mood = one.mood or (None,) * QUARTERS
        rows.append(
            {
                **dict.fromkeys(COLUMNS),
                "month": one.month,
                "team": report.team,
                "queue": one.queue,
                "touchpoint": one.touchpoint,
                "joined_over": one.over or None,
                "satisfaction_start": one.start,
                "satisfaction_end": one.end,
                "recovered_share": round(one.recovered / one.began_low, 3) if one.began_low else None,
                **{f"mood_q{index}": value for index, value in enumerate(mood, 1)},
                **{
                    name: getattr(one, name)
                    for name in ("calls", "agents_at_least", "change", "change_margin", "began_low", "recovered")
                },
                **{name: getattr(one, name) for name in ("mood_calls", "low", "escalated", "dead_air", "all_calls")},
            }
        )
    return rows


def journey_page(report: JourneyReport, language: Language, top: str = "") -> str:
    """top: HTML of a served page that stands under the title."""
    page = _Page(report, language)
    body = page.header(top) + (page.pictures() + page.table() if report.stages else page.nothing())
    title = text("journey.title", language)
    return page_of(title, f'<div class="broad">{body}</div>', page.footer(), language, forms=bool(top))


@dataclass(frozen=True)
class _Page:
    report: JourneyReport
    language: Language

    def t(self, key: str, **values: object) -> str:
        return escape(text(key, self.language, **values))

    def num(self, value: float, decimals: int = 1) -> str:
        return number(value, self.language, decimals)

    @property
    def limits(self) -> dict[str, object]:
        return {"agents": self.report.limits.agents, "calls": self.report.limits.calls}

    def header(self, top: str) -> str:
        report = self.report
        first, last = day_of(report.first, self.language), day_of(report.last, self.language)
        whose = escape(report.team) if report.team is not None else self.t("journey.house")
        return (
            f"<header><h1>{self.t('journey.title')}: {whose}</h1>"
            f'<p class="lead">{self.t("journey.lead")} {escape(first)} – {escape(last)}.</p>{top}</header>'
        )

    def nothing(self) -> str:
        return (
            f'<section class="plain-no" aria-labelledby="nothing"><h2 id="nothing">{self.t("team.nothing.title")}</h2>'
            f"<p>{self.t('team.nothing.text', **self.limits)}</p></section>"
        )

    def places(self) -> dict[tuple[str | None, str | None, str], list[Stage]]:
        places: dict[tuple[str | None, str | None, str], list[Stage]] = defaultdict(list)
        for one in self.report.stages:
            places[one.place].append(one)
        named = sorted(
            places, key=lambda place: (place[2] == "queues", place[0] is None, place[0] or "", place[2], place[1] or "")
        )
        return {place: places[place] for place in named}

    def name_of(self, place: tuple[str | None, str | None, str]) -> tuple[str, str]:
        return place_name(*place, self.language)

    def pictures(self) -> str:
        figures = []
        ends = [value for one in self.report.stages for value in (one.start, one.end)]
        reach = (floor(min(ends)), max(ceil(max(ends)), floor(min(ends)) + 4))
        names = {
            month: (_short(month, self.language), month[:4] if index == 0 or month.endswith("-01") else "")
            for index, month in enumerate(self.report.months)
        }
        for index, (place, stages) in enumerate(self.places().items()):
            name, under = self.name_of(place)
            by_month = {one.month: one for one in stages}
            last = stages[-1]
            calls = text("team.of_calls", self.language, count=sum(one.calls for one in stages))
            words = Words(
                f"place-{index}",
                f"{name}, {under}" if under else name,
                text(
                    "journey.chart_text",
                    self.language,
                    calls=calls,
                    start=self.num(last.start),
                    end=self.num(last.end),
                    month=month_name(last.month, self.language),
                ),
            )
            points = [(*names[month], *_ends(by_month.get(month))) for month in self.report.months]
            drawn = pictures.months(words, points, reach, lambda value: self.num(value, 0))
            figures.append(
                f'<figure><h3>{escape(name)}</h3><p class="note">{escape(" · ".join(filter(None, (under, calls))))}</p>'
                f"{drawn}</figure>"
            )
        return (
            f'<section aria-labelledby="pictures"><h2 id="pictures">{self.t("journey.pictures")}</h2>'
            f'<p class="lead">{self.t("journey.pictures_text")}</p>'
            f'<div class="multiples">{"".join(figures)}</div></section>'
        )

    def table(self) -> str:
        heads = "".join(
            f'<th scope="col">{escape(_short(month, self.language))}<br>{month[:4]}</th>'
            for month in self.report.months
        )
        rows = []
        for place, stages in self.places().items():
            name, under = self.name_of(place)
            by_month = {one.month: one for one in stages}
            cells = "".join(self._cell(by_month.get(month)) for month in self.report.months)
            small = f"<small>{escape(under)}</small>" if under else ""
            rows.append(f'<tr><th scope="row">{escape(name)}{small}</th>{cells}</tr>')
        title = self.t("journey.table")
        return (
            f'<section aria-labelledby="table"><h2 id="table">{title}</h2>'
            f'<p class="lead">{self.t("journey.table_text")}</p>'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table class="heat"><thead><tr>'
            f'<th scope="col">{self.t("team.falls.where")}</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
            f'</table></div><p class="note after">{self.t("journey.empty_text", **self.limits)}</p></section>'
        )

    def _cell(self, one: Stage | None) -> str:
        if one is None:
            return f'<td class="empty">{self.t("journey.empty")}</td>'
        recovered = ""
        if one.began_low:
            share = per_cent(one.recovered / one.began_low, self.language)
            recovered = f"<small>{self.t('journey.recovered', share=share)}</small>"
        return (
            f'<td class="{step_class(one.change)}"><b>{self.num(one.end)}</b>'
            f"<small>{signed(one.change, self.language)}</small>{recovered}</td>"
        )

    def footer(self) -> str:
        return (
            f"<h2>{self.t('report.how.title')}</h2><p>{self.t('team.quality.how', **self.limits)}</p>"
            f'<p class="made">{self.t("report.how.made_by")}</p>'
        )


def _ends(one: Stage | None) -> tuple[float | None, float | None]:
    return (None, None) if one is None else (one.start, one.end)


def _short(month: str, language: Language) -> str:
    return text(f"month.{int(month[5:])}", language)[:3]
