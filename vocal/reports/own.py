"""An agent's own view -> its page, and its days as CSV. Private: whoever serves it hands it to that agent alone.

The order is the point: the own impression first, then what went well, then trends against the own past, then what the
days asked and where a break would have been worth most; at the end how it stays private, and how to take it or end it.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape

from vocal import charts
from vocal.charts import Words
from vocal.own import RECENT_DAYS, Load, OwnDay, OwnMoment, OwnView, Suggestion, Trend
from vocal.reports.page import page_of
from vocal.texts import clock, has_text, length, number, per_cent, quantity, text
from vocal.types import Language

TERMS = ("calls", "calls_s", "stress_s", "demanding", "after_demanding", "close", "unbroken", "long")
VOICE_TERMS = ("speaking_s", "loud_s")
_DECIMALS = {"journey": 1, "tempo": 1, "talk_share": 0, "gap": 2, "overlap": 0, "interruptions": 1, "non_talk": 0}
_LEAST_SPAN = {"journey": 0.6, "tempo": 0.6, "talk_share": 10.0, "gap": 0.2, "overlap": 5.0, "interruptions": 1.0}
_HOURS = (8, 17)  # of a strip, at least


@dataclass(frozen=True)
class Served:
    """Where the page is served: what its forms and links need. keep_days: how long calls are kept; kept: whether there
    is a store; problem: what was wrong with the days that were asked for."""

    keep_days: int
    today: date
    is_local: bool = False
    deleted: bool = False
    kept: bool = True
    problem: str = ""


def own_report(view: OwnView, language: Language, served: Served | None = None, voice: bool = False) -> str:
    """The page in German or English; without `served` as a file for the agent's own disk, without forms and links.

    voice: with what was asked of the voice; it says nothing unless the view was made with it.
    """
    page = _Page(view, language, served, voice)
    sections = [page.header()]
    if view.calls:
        sections += [page.felt(), page.good(), page.trends(), page.load(), page.pauses(), page.terms()]
    else:
        sections.append(page.nothing())
    if served is not None:
        sections.append(page.keep())
    return page_of(page.title(), "".join(sections), page.footer(), language, forms=served is not None)


def own_csv(view: OwnView) -> str:
    """The days, one a row; plain numbers in the units of the columns' names."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\n")
    measures = {
        "journey": "journey_change_points",
        "tempo": "tempo_syll_s",
        "talk_share": "talk_share",
        "gap": "gap_s",
        "overlap": "overlap_s_in_10_min",
        "interruptions": "interruptions_in_10_min",
        "non_talk": "non_talk_s_in_10_min",
    }
    terms = (*TERMS, *(VOICE_TERMS if any(day.load.speaking_s is not None for day in view.days) else ()))
    rows.writerow(["day", *("unbroken_s" if term == "unbroken" else term for term in terms), *measures.values()])
    for day in view.days:
        values = [*(_term(day.load, term) for term in terms), *(day.measures[name] for name in measures)]
        rows.writerow([day.day, *("" if value is None else f"{value:g}" for value in values)])
    return written.getvalue()


def _term(load: Load, name: str) -> float | None:
    if name == "unbroken":
        return load.unbroken.length_s if load.unbroken else None
    value: float | None = getattr(load, name)
    return value


@dataclass(frozen=True)
class _Page:
    """The sections. All text that comes from outside passes `escape` on its way in."""

    view: OwnView
    language: Language
    served: Served | None
    voice: bool

    def t(self, key: str, **values: object) -> str:
        return escape(text(f"own.{key}", self.language, **values))

    def num(self, value: float | None, decimals: int = 0, *, signed: bool = False) -> str:
        return number(value, self.language, decimals, signed=signed)

    def day(self, day: date, *, as_word: bool = False) -> str:
        month = text(f"month.{day.month}", self.language) if as_word else str(day.month)
        name = text(f"own.name.{day.weekday()}", self.language)
        return text("own.day_word" if as_word else "own.weekday", self.language, name=name, day=day.day, month=month)

    def at(self, moment: str) -> str:
        began = datetime.fromisoformat(moment)
        return f"{self.day(began.date())} {began:%H:%M}"

    def long(self, seconds: float | None) -> str:
        """Hours and minutes; under two minutes seconds, too."""
        if seconds is None or seconds < 120.0:
            return length(seconds, self.language)
        hours, minutes = divmod(round(seconds / 60.0), 60)
        return text("own.hours" if hours else "own.minutes", self.language, hours=hours, minutes=minutes)

    def title(self) -> str:
        return text("own.title", self.language)

    # 1

    def header(self) -> str:
        view = self.view
        first, last = (self.day(day, as_word=True) for day in (view.first, view.last))
        how = f' <a href="#keep">{self.t("private_how")}</a>' if self.served else ""
        numbers = []
        if view.calls:
            numbers = [(str(view.calls), self.t("calls")), (escape(self.long(view.calls_s)), self.t("time"))]
        if view.began_low:
            said = self.t("recovered_of", recovered=view.recovered, began=view.began_low)
            numbers.append((said, self.t("recovered")))
        big = "".join(f"<p><b>{value}</b>{name}</p>" for value, name in numbers)
        big = f'<div class="big">{big}</div>' if big else ""
        done = (
            f'<p class="done" role="status">{self.t("keep.deleted")}</p>' if self.served and self.served.deleted else ""
        )
        return (
            f'<header class="own"><h1>{escape(self.title())}</h1>{done}'
            f'<p class="private"><span aria-hidden="true">●</span> <b>{self.t("private")}</b>{how}</p>'
            f"<p>{self.t('span', first=first, last=last)}</p>{self._form()}"
            f"{big}</header>"
        )

    def _form(self) -> str:
        if self.served is None:
            return ""
        view = self.view
        checked = " checked" if self.voice else ""
        shorter = ""
        for key, days in (("form.week", RECENT_DAYS), ("form.month", 30)):
            first = self.served.today - timedelta(days=days - 1)
            is_this = (view.first, view.last) == (first, self.served.today)
            current = ' aria-current="true"' if is_this else ""
            to = f"?from={first}&amp;to={self.served.today}&amp;lang={self.language}"
            shorter += f'<a href="{to}"{current}>{self.t(key)}</a>'
        problem = f'<p class="problem" role="alert">{escape(self.served.problem)}</p>' if self.served.problem else ""
        is_open = " open" if self.served.problem or self.voice else ""
        return (
            f'{problem}<nav class="shorter" aria-label="{self.t("form.title")}">{shorter}</nav>'
            f"<details{is_open}><summary>{self.t('form.other')}</summary>"
            f'<form class="days" method="get"><input type="hidden" name="lang" value="{self.language}">'
            f'<label>{self.t("form.first")}<input type="date" name="from" value="{view.first}" required></label>'
            f'<label>{self.t("form.last")}<input type="date" name="to" value="{view.last}" required></label>'
            f'<label class="tick"><input type="checkbox" name="voice" value="yes" aria-describedby="voice"{checked}>'
            f"<span>{self.t('form.voice')}</span></label>"
            f'<p class="note" id="voice">{self.t("form.voice_text")}</p><button>{self.t("form.show")}</button></form>'
            "</details>"
        )

    def nothing(self) -> str:
        if self.served and not self.served.kept:
            return f'<section class="nothing"><p>{escape(text("reports.no_store", self.language))}</p></section>'
        more = f"<p>{self.t('none_text', days=self.served.keep_days)}</p>" if self.served else ""
        return f'<section class="nothing"><p>{self.t("none")}</p>{more}</section>'

    # 2

    def felt(self) -> str:
        felt = self.view.felt
        if not felt:
            return self._section("felt", f"<p>{self.t('felt.none')}</p>")
        said = "; ".join(
            text(
                "own.felt.row",
                self.language,
                date=self.at(one.started_at),
                own=one.own,
                theirs=self.num(one.measured, 1),
            )
            for one in felt
        )
        words = Words("felt-chart", text("own.felt.chart", self.language), said)
        chart = charts.pairs_chart(words, [(self.at(one.started_at), one.own, one.measured) for one in felt], self.num)
        keys = self._keys(("agent", self.t("felt.own")), ("customer", self.t("felt.theirs")))
        caption = f"<figcaption>{self.t('felt.caption')}</figcaption>"
        return self._section("felt", f"<figure>{self._chart_title(words)}{keys}{chart}{caption}</figure>")

    # 3

    def good(self) -> str:
        view = self.view
        said = ""
        if view.recovered:
            key = "good.recovered_one" if view.recovered == view.began_low == 1 else "good.recovered"
            said = f"<p>{self.t(key, recovered=view.recovered, began=view.began_low)}</p>"
        groups: dict[str, list[OwnMoment]] = {}
        for one in view.good:
            groups.setdefault(one.why if has_text(f"moment.{one.why}.text") else "positive", []).append(one)
        items = "".join(
            f'<li class="positive">{charts.icon("positive")}<span>{escape(text(f"moment.{why}.text", self.language))}'
            f"</span><ul>{''.join(self._moment(one) for one in found)}</ul></li>"
            for why, found in groups.items()
        )
        none = "" if items or said else f"<p>{self.t('good.none')}</p>"
        return self._section("good", said + (f'<ol class="moments of-days">{items}</ol>' if items else none))

    def _moment(self, one: OwnMoment) -> str:
        when = f"{self.at(one.started_at)}{f' · {one.queue}' if one.queue else ''} · {clock(one.start_s)} min"
        if self.served is None:
            return f'<li class="when">{escape(when)}</li>'
        name = self.t("good.open_of", date=when)
        to = f"/reports/calls/{escape(one.call)}?lang={self.language}"
        return f'<li><a href="{to}" aria-label="{name}">{escape(when)}</a></li>'

    # 4

    def trends(self) -> str:
        view = self.view
        keys = ""
        if any(trend.low is not None for trend in view.trends):
            keys = self._keys(
                ("now", self.t("trend.now")), ("past", self.t("trend.past")), ("reference", self.t("trend.band"))
            )
        parts = "".join(self._trend(trend) for trend in view.trends)
        return self._section("trend", f"<p>{self.t('trend.lead')}</p>{keys}<div class='trends'>{parts}</div>")

    def _trend(self, trend: Trend) -> str:
        view, name = self.view, trend.measure
        count = (view.last - view.first).days + 1
        points = [
            ((one.day - view.first).days, self._scaled(name, value))
            for one in view.days
            if (value := one.measures[name]) is not None
        ]
        usual = None
        verdict = self.t("trend.no_range")
        if trend.low is not None and trend.high is not None:
            usual = (self._scaled(name, trend.low), self._scaled(name, trend.high))
            verdict = self.t(
                "trend.range", low=self._write(name, trend.low, False), high=self._write(name, trend.high, False)
            )
            if trend.verdict:
                verdict = f"{self.t(f'trend.{trend.verdict}')} · {verdict}"
        head = (
            f'<h3>{self.t(f"measure.{name}.name")}</h3><p class="value"><b>{escape(self._write(name, trend.now))}</b>'
            f' <span class="note">{self.t("trend.now")}</span></p>'
        )
        if not points:
            return f'<div class="trend">{head}<p class="note">{self.t("trend.nothing")}</p></div>'
        values = [value for _, value in points]
        low, high = min(*values, *(usual or values)), max(*values, *(usual or values))
        middle, least = (low + high) / 2.0, _LEAST_SPAN.get(name, 5.0) / 2.0
        ticks = charts.value_ticks(min(low, middle - least), max(high, middle + least), 4, 0.1)
        said = text(
            "own.trend.text",
            self.language,
            count=len(points),
            low=self._write(
                name, min(one.measures[name] or 0.0 for one in view.days if one.measures[name] is not None)
            ),
            high=self._write(
                name, max(one.measures[name] or 0.0 for one in view.days if one.measures[name] is not None)
            ),
        )
        words = Words(f"trend-{name}", text(f"own.measure.{name}.name", self.language), said)
        marks = [0, count - 1] if count > 2 else [0]
        labels = [(mark, self._short(view.first + timedelta(days=mark))) for mark in marks]
        recent = count - RECENT_DAYS
        chart = charts.days_chart(
            words, points, count, recent, usual, ticks, lambda value: self._tick(name, value), labels
        )
        return (
            f'<div class="trend">{head}<p class="note">{verdict}</p>{chart}'
            f'<p class="note">{self.t(f"measure.{name}.text")}</p></div>'
        )

    def _short(self, day: date) -> str:
        return f"{day.day}.{day.month}." if self.language == "de" else f"{day.day}/{day.month}"

    def _scaled(self, name: str, value: float) -> float:
        return value * 100.0 if name == "talk_share" else value

    def _tick(self, name: str, value: float) -> str:
        return self.num(value, 0 if float(value).is_integer() else 1, signed=name == "journey")

    def _write(self, name: str, value: float | None, unit: bool = True) -> str:
        decimals = _DECIMALS[name]
        if value is None:
            return text("format.none", self.language)
        if name == "talk_share":
            return per_cent(value, self.language) if unit else self.num(value * 100.0)
        written = number(value, self.language, decimals, signed=name == "journey")
        if not unit:
            return written
        if name in ("tempo", "gap"):
            return quantity(value, "syll_s" if name == "tempo" else "s", self.language, decimals)
        key = {"journey": "points", "interruptions": "per_ten"}.get(name, "per_ten_s")
        return text(f"own.{key}", self.language, value=written)

    # 5

    def load(self) -> str:
        view, limits = self.view, self.view.limits
        minutes = round(limits.unbroken_s / 60.0)
        hours = self._hours()
        marks = "".join(f"<span>{hour}</span>" for hour in (hours[0], (hours[0] + hours[1]) // 2, hours[1]))
        keys = self._keys(
            ("calls", self.t("load.call")),
            ("demanding", self.t("load.demanding")),
            ("unbroken", self.t("load.unbroken", minutes=minutes)),
        )
        rows = f'<li class="clock" aria-hidden="true"><span></span><div>{marks}</div><span></span></li>'
        rows += "".join(self._strip(one, hours) for one in view.days)
        caption = self.t("load.caption", demanding=self.num(limits.demanding_call_s))
        return self._section(
            "load",
            f"<p>{self.t('load.lead')}</p><figure><p class='chart-title'>{self.t('load.strips')}</p>{keys}"
            f'<ol class="strips">{rows}</ol><figcaption>{caption}</figcaption></figure>',
        )

    def _hours(self) -> tuple[int, int]:
        spans = [span for day in self.view.days for span in day.spans]
        first = min(int(span.start_s // 3600) for span in spans)
        last = max(-int(-span.end_s // 3600) for span in spans)
        return min(first, _HOURS[0]), max(last, _HOURS[1])

    def _strip(self, one: OwnDay, hours: tuple[int, int]) -> str:
        load, run = one.load, None
        if load.unbroken and load.unbroken.length_s >= self.view.limits.unbroken_s:
            start_s = _since_midnight_s(load.unbroken.start)
            run = (start_s, min(start_s + load.unbroken.length_s, hours[1] * 3600.0))
        said = self.t("load.day_one" if load.calls == 1 else "load.day", calls=load.calls)
        if load.demanding:
            said += f", {self.t('load.day_more', demanding=load.demanding)}"
        plain = [(span.start_s, span.end_s) for span in one.spans if not span.demanding]
        more = [(span.start_s, span.end_s) for span in one.spans if span.demanding]
        strip = charts.day_strip(plain, more, run, hours)
        week = ' class="week"' if one.day.weekday() == 0 else ""
        return f"<li{week}><b>{escape(self.day(one.day))}</b><div>{strip}</div><span>{said}</span></li>"

    # 6

    def pauses(self) -> str:
        view = self.view
        items = "".join(f"<li>{self._suggestion(one)}</li>" for one in view.suggestions)
        if not items:
            return self._section("pause", f"<p>{self.t('pause.none')}</p>")
        busiest = ""
        if view.busiest_hour is not None:
            hour, after = f"{view.busiest_hour:02d}", f"{(view.busiest_hour + 1) % 24:02d}"
            busiest = f"<p>{self.t('pause.busiest', hour=hour, next=after)}</p>"
        return self._section("pause", f'<ol class="pauses">{items}</ol>{busiest}')

    def _suggestion(self, one: Suggestion) -> str:
        limits = self.view.limits
        values: dict[str, object] = {
            "day": self.day(one.day, as_word=True),
            "count": one.count,
            "length": self.long(one.length_s),
            "close": self.num(limits.close_s),
            "pause": self.num(limits.pause_s / 60.0),
            "long": self.num(limits.long_call_s / 60.0),
        }
        if one.start and one.end:
            values["start"], values["end"] = (f"{datetime.fromisoformat(at):%H:%M}" for at in (one.start, one.end))
        key = f"pause.{one.kind}"
        if one.kind == "after_demanding" and one.count == 1:
            key += "_one"
        often = f" {self.t('pause.often', days=one.days)}" if one.days > 1 else ""
        return f"<p><b>{self.t(f'pause.{one.kind}_do')}</b></p><p class='note'>{self.t(key, **values)}{often}</p>"

    # 7

    def terms(self) -> str:
        view, limits = self.view, self.view.limits
        recent = view.last - timedelta(days=RECENT_DAYS)
        now = [one.load for one in view.days if one.day > recent]
        past = [one.load for one in view.days if one.day <= recent]
        names = (*TERMS, *(VOICE_TERMS if self.voice else ()))
        marks = {
            "stress_s": {"minutes": limits.demanding_day_s / 60.0},
            "demanding": {"seconds": limits.demanding_call_s},
            "after_demanding": {"seconds": limits.close_s},
            "close": {"seconds": limits.close_s},
            "unbroken": {"pause": limits.pause_s / 60.0, "minutes": limits.unbroken_s / 60.0},
            "long": {"minutes": limits.long_call_s / 60.0, "count": limits.long_calls},
            "loud_s": {"minutes": limits.loud_day_s / 60.0},
        }
        rows = ""
        for name in names:
            mark = {key: self.num(value) for key, value in marks.get(name, {}).items()}
            cells = "".join(f"<td>{escape(self._mean(loads, name))}</td>" for loads in (now, past))
            rows += (
                f'<tr><th scope="row">{self.t(f"terms.{name}")}</th>{cells}</tr>'
                f'<tr class="definition"><td colspan="3">{self.t(f"terms.{name}_text", **mark)}</td></tr>'
            )
        heads = "".join(f'<th scope="col">{self.t(f"terms.{name}")}</th>' for name in ("term", "now", "past"))
        return self._section(
            "terms",
            f'<p>{self.t("terms.note")}</p><table class="numbers"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>'
            f"</table>{self._days(names)}",
        )

    def _mean(self, loads: Sequence[Load], name: str) -> str:
        known = [value for load in loads if (value := _term(load, name)) is not None]
        return self._amount(name, sum(known) / len(known) if known else None, 0 if name == "calls" else 1)

    def _amount(self, name: str, value: float | None, decimals: int = 0) -> str:
        if name.endswith("_s") or name == "unbroken":
            return self.long(value)
        return self.num(value, decimals)

    def _days(self, names: Sequence[str]) -> str:
        title = self.t("terms.days")
        heads = "".join(f'<th scope="col">{self.t(f"terms.{name}")}</th>' for name in ("date", *names))
        rows = "".join(
            f'<tr><th scope="row">{escape(self.day(one.day))}</th>'
            + "".join(f"<td>{escape(self._amount(name, _term(one.load, name)))}</td>" for name in names)
            + "</tr>"
            for one in self.view.days
        )
        return (
            f'<details><summary>{title}</summary><div class="wide" role="region" tabindex="0" aria-label="{title}">'
            f'<table class="steps"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>'
        )

    # 8

    def keep(self) -> str:
        served = self.served
        assert served is not None
        view, days = self.view, served.keep_days
        points = [
            "sign_in",
            "index",
            "computed",
            "gone",
            "shared",
            "logged",
            "limit_local" if served.is_local else "limit",
        ]
        if served.is_local:
            points = [point for point in points if point not in ("sign_in", "logged")]
        items = "".join(f"<li>{self.t(f'keep.{point}', days=days)}</li>" for point in points)
        asked = f"from={view.first}&amp;to={view.last}&amp;lang={self.language}" + (
            "&amp;voice=yes" if self.voice else ""
        )
        ways = (
            ("keep.zip", "/v1/reports/own/export"),
            ("keep.json", f"/v1/reports/own?format=json&amp;{asked}"),
            ("keep.csv", f"/v1/reports/own?format=csv&amp;{asked}"),
        )
        links = "".join(f'<a class="button" href="{to}" download>{self.t(key)}</a>' for key, to in ways)
        return self._section(
            "keep",
            f'<ul class="plain">{items}</ul><h3>{self.t("keep.take")}</h3><p>{self.t("keep.take_text")}</p>'
            f'<p class="buttons">{links}</p><h3>{self.t("keep.delete")}</h3>'
            f"<p>{self.t('keep.delete_text', days=days)}</p>"
            f'<form class="delete" method="post" action="/reports/own/delete?lang={self.language}">'
            f'<label class="tick"><input type="checkbox" name="confirm" value="yes" required>'
            f"<span>{self.t('keep.delete_sure')}</span></label><button>{self.t('keep.delete')}</button></form>",
        )

    # 9

    def footer(self) -> str:
        return (
            f"<h2>{escape(text('report.how.title', self.language))}</h2>"
            f"<p>{self.t('how.measures', zone=self.view.zone)}</p><p>{self.t('how.limits')}</p>"
            f"<p>{self.t('how.purpose')}</p>"
            f'<p class="made">{escape(text("report.how.made_by", self.language))}</p>'
        )

    def _section(self, name: str, body: str) -> str:
        title = self.t(f"{name}.title")
        return f'<section class="{name}" aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'

    def _keys(self, *named: tuple[str, str]) -> str:
        items = "".join(f"<li>{charts.key(kind)}<span>{name}</span></li>" for kind, name in named)
        return f'<ul class="legend">{items}</ul>'

    def _chart_title(self, words: Words) -> str:
        return f'<p class="chart-title">{escape(words.title)}</p>'


def _since_midnight_s(at: str) -> float:
    began = datetime.fromisoformat(at)
    return began.hour * 3600.0 + began.minute * 60.0 + began.second
