"""The page on what this server keeps of whom and for how long, who can find out a name, and who has looked at what."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

import msgspec

from vocal import texts
from vocal.audit import Entry, Verdict
from vocal.pseudonyms import Sharing
from vocal.reports.page import page_of
from vocal.types import Basis, Language

Change = Literal["fixed", "default", "shorter", "longer"]

MINUTE_S, HOUR_S, DAY_S, MONTH_S, YEAR_S = 60.0, 3600.0, 86_400.0, 2_629_800.0, 31_557_600.0
FIRST_S, LAST_S = 10.0, 3.0 * YEAR_S
TICKS = {"minute": MINUTE_S, "hour": HOUR_S, "day": DAY_S, "month": MONTH_S, "year": YEAR_S}
SPANS = (
    ("months", MONTH_S, 2.0 * MONTH_S),
    ("days", DAY_S, 2.0 * DAY_S),
    ("hours", HOUR_S, HOUR_S),
    ("minutes", MINUTE_S, MINUTE_S),
    ("seconds", 1.0, 0.0),
)
"""In what unit a time is said: its length, and from which time on."""

STATES = ("consent", "notice", "none", "withdrawn")
MOST_DETAIL = 200


class Kept(msgspec.Struct, frozen=True):
    """One kind of what there is, and how long. limit_s: by settings; first, last: days of what is kept now; due: the
    day on which the oldest goes."""

    kind: str
    limit_s: float
    change: Change
    first: str | None = None
    last: str | None = None
    due: str | None = None
    bytes: int | None = None


class Asked(msgspec.Struct, frozen=True):
    """What of the audit log is to be shown. first, last: days."""

    act: str = ""
    who: str = ""
    subject: str = ""
    first: str = ""
    last: str = ""


class PrivacyView(msgspec.Struct, frozen=True):
    """What somebody may see of it. notices: calls since the server began, by state. entries, groups and settings: None
    for whom the evidence is not."""

    basis: Basis
    agreement: str
    kept: tuple[Kept, ...]
    notices: dict[str, int]
    week: str
    sharings: tuple[Sharing, ...]
    verdict: Verdict | None = None
    settings: dict[str, str] | None = None
    entries: tuple[Entry, ...] | None = None
    groups: tuple[str, ...] = ()
    asked: Asked = Asked()


def privacy_page(view: PrivacyView, language: Language) -> str:
    return _Page(view, language).html()


class _Page:
    def __init__(self, view: PrivacyView, language: Language) -> None:
        self.view = view
        self.language = language

    def t(self, key: str, **values: object) -> str:
        return escape(texts.text(f"privacy.{key}", self.language, **values))

    def html(self) -> str:
        view = self.view
        other: Language = "en" if self.language == "de" else "de"
        switch = f'<a href="?lang={other}" hreflang="{other}" lang="{other}">{self._of("web.language")}</a>'
        main = f'<header><h1>{self.t("title")}</h1><p class="private">{self.t("lead")}</p>'
        main += f'<p class="note">{switch}</p></header>{self._lives()}{self._basis()}{self._names()}'
        if view.verdict is not None:
            main += self._chain(view.verdict)
        if view.entries is not None:
            main += self._entries(view.entries)
        if view.settings is not None:
            main += self._settings(view.settings)
        documents = f'<a href="/documents?lang={self.language}">{self.t("documents")}</a>'
        footer = (
            f'<p>{documents} · <a href="/v1/privacy">JSON</a></p><p class="made">{self._of("report.how.made_by")}</p>'
        )
        title = texts.text("privacy.title", self.language)
        return page_of(title, f'<div class="privacy">{main}</div>', footer, self.language, forms=True)

    def _of(self, key: str) -> str:
        return escape(texts.text(key, self.language))

    def _section(self, name: str, body: str) -> str:
        return f'<section aria-labelledby="{name}"><h2 id="{name}">{self.t(f"{name}.title")}</h2>{body}</section>'

    # How long what lives

    def _lives(self) -> str:
        rows = "".join(self._life(one) for one in self.view.kept)
        ticks = "".join(f'<span class="at-{name}">{self.t(f"lives.tick.{name}")}</span>' for name in TICKS)
        rows += f'<li class="axis" aria-hidden="true"><div>{ticks}</div></li>'
        agreed = self.view.agreement
        note = self.t("lives.agreement", agreement=agreed) if agreed else self.t("lives.note")
        body = f'<p>{self.t("lives.lead")}</p><ol class="lives">{rows}</ol><p class="note">{note}</p>'
        return self._section("lives", body)

    def _life(self, kept: Kept) -> str:
        lines = "".join(f"M{1000.0 * _place(at_s):.1f} 0v16" for at_s in TICKS.values())
        width, look = 1000.0 * _place(kept.limit_s), "fleeting" if kept.change == "fixed" else "calls"
        strip = (
            '<svg class="strip" viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="1000" height="16"/><path class="hour" d="{lines}"/>'
            f'<rect class="{look}" y="3" width="{width:.1f}" height="10"/></svg>'
        )
        said = [self.t(f"lives.{kept.kind}.text")]
        if kept.change != "fixed":
            said.append(self.t(f"lives.{kept.change}"))
        if kept.first is not None and kept.last is not None:
            first, last = self._day(kept.first), self._day(kept.last)
            days = first if first == last else texts.text("privacy.lives.days", self.language, first=first, last=last)
            said.append(self.t("lives.now", days=days))
            if kept.due is not None:
                said.append(self.t("lives.due", day=self._day(kept.due)))
        if kept.bytes:
            said.append(escape(self._size(kept.bytes)))
        name = f"<b>{self.t(f'lives.{kept.kind}.name')}</b> <span>{escape(self._span(kept.limit_s))}</span>"
        return f'<li><p class="name">{name}</p>{strip}<p class="note">{" · ".join(said)}</p></li>'

    def _span(self, seconds: float) -> str:
        unit, length_s = next((unit, length_s) for unit, length_s, least_s in SPANS if seconds >= least_s)
        count = seconds / length_s
        whole = round(count) if unit == "months" else round(count, 1)
        written = texts.number(whole, self.language, 0 if whole == int(whole) else 1)
        return texts.text(f"privacy.span.{unit}", self.language, count=written)

    def _day(self, day: str) -> str:
        year, month, number = day.split("-")
        name = texts.text(f"month.{int(month)}", self.language)
        return texts.text("privacy.day", self.language, day=int(number), month=name, year=year)

    def _size(self, count: int) -> str:
        unit, size = ("MB", count / 1e6) if count >= 1e6 else ("kB", count / 1e3)
        return f"{texts.number(size, self.language)}\N{NO-BREAK SPACE}{unit}"

    # What a customer's mood depends on

    def _basis(self) -> str:
        counts = self.view.notices
        whole = sum(counts.values())
        body = f"<p>{self.t(f'basis.{self.view.basis}')}</p>"
        if not whole:
            return self._section("basis", f'{body}<p class="note">{self.t("basis.no_calls")}</p>')
        parts, rows, x = "", "", 0.0
        for state in STATES:
            share = counts.get(state, 0) / whole
            if share:
                parts += f'<rect class="{state}" x="{x:.1f}" width="{1000.0 * share:.1f}" height="28"/>'
            x += 1000.0 * share
            count = f"<b>{counts.get(state, 0)}</b> ({escape(texts.per_cent(share, self.language))})"
            rows += f'<li><i class="dot {state}" aria-hidden="true"></i>{self.t(f"basis.state.{state}")} {count}</li>'
        bar = f'<svg class="shares" viewBox="0 0 1000 28" preserveAspectRatio="none" aria-hidden="true">{parts}</svg>'
        title = self.t("basis.since", count=whole)
        return self._section("basis", f'{body}<p class="chart-title">{title}</p>{bar}<ul class="states">{rows}</ul>')

    # Names for a week

    def _names(self) -> str:
        body = f"<p>{self.t('names.text', week=self.view.week)}</p>"
        if not self.view.sharings:
            return self._section("names", f"{body}<p>{self.t('names.nobody')}</p>")
        items = ""
        for one in self.view.sharings:
            key = "names.holders" if one.until is None else "names.holders_past"
            items += f"<li>{self.t(key, holders=', '.join(one.holders), week=one.week, until=one.until)}</li>"
        can = any(one.until is None for one in self.view.sharings)
        lead = self.t("names.two" if can else "names.nobody_now")
        return self._section("names", f'{body}<p>{lead}</p><ul class="plain">{items}</ul>')

    # The evidence

    def _chain(self, verdict: Verdict) -> str:
        at, broken = texts.date(verdict.at, self.language), verdict.broken
        if broken is not None:
            place, why = self.t("chain.broken", line=broken.line, at=at), self.t(f"chain.why.{broken.kind}")
            body = f'<p class="problem" role="alert"><b>\N{BALLOT X} {place}</b> {why}</p>'
        else:
            found = self.t("chain.verified", count=verdict.entries, at=at)
            body = f'<p class="done"><b>\N{CHECK MARK} {self.t("chain.whole")}</b> {found}</p>'
        if verdict.head is not None:
            body += f"<p>{self.t('chain.head')}</p><p><code>{escape(str(verdict.head))}</code></p>"
        return self._section("chain", f"<p>{self.t('chain.lead')}</p>{body}")

    def _entries(self, entries: Sequence[Entry]) -> str:
        asked = self.view.asked
        options = f'<option value="">{self.t("entries.all")}</option>'
        for group in self.view.groups:
            chosen = " selected" if group == asked.act else ""
            options += f'<option value="{escape(group)}"{chosen}>{escape(self._word("group", group))}</option>'
        fields = f'<label>{self.t("entries.act")}<select name="act">{options}</select></label>'
        for kind, name, value in (
            ("text", "who", asked.who),
            ("text", "subject", asked.subject),
            ("date", "from", asked.first),
            ("date", "to", asked.last),
        ):
            given = f'type="{kind}" name="{name}" value="{escape(value)}" maxlength="200"'
            fields += f"<label>{self.t(f'entries.{name}')}<input {given}></label>"
        form = (
            '<form class="days" method="get" action="/privacy#entries">'
            f'<input type="hidden" name="lang" value="{self.language}">{fields}<p class="buttons">'
            f'<button class="first">{self.t("entries.show")}</button>'
            '<button formaction="/v1/audit" name="format" value="csv">CSV</button></p></form>'
        )
        rows = "".join(self._entry(one) for one in entries)
        found = f'<ol class="entries">{rows}</ol>' if rows else f"<p>{self.t('entries.none')}</p>"
        return self._section("entries", f"<p>{self.t('entries.lead')}</p>{form}{found}")

    def _entry(self, entry: Entry) -> str:
        at = f"{self._day(entry.at[:10])}, {entry.at[11:19]} UTC"
        about = f' <span class="about">{escape(entry.subject)}</span>' if entry.subject else ""
        detail = _in_words(entry.detail)
        more = f'<p class="note">{escape(detail)}</p>' if detail else ""
        by = f'{escape(entry.who)} <span class="note">· {escape(entry.act)} · {entry.seq}</span>'
        what = f"<b>{escape(self._word('act', entry.act))}</b>{about}"
        return f'<li><p class="when">{escape(at)}</p><div><p>{what}</p><p class="by">{by}</p>{more}</div></li>'

    def _word(self, kind: str, name: str) -> str:
        key = f"privacy.{kind}.{name.replace('.', '_')}"
        return texts.text(key, self.language) if texts.has_text(key) else name

    def _settings(self, settings: Mapping[str, str]) -> str:
        rows = ""
        for name, value in settings.items():
            rows += f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        return self._section("settings", f'<p>{self.t("settings.lead")}</p><dl class="settings">{rows}</dl>')


def _in_words(detail: Mapping[str, object]) -> str:
    parts = []
    for name, value in detail.items():
        if isinstance(value, dict):
            parts += [f"{key}: {_plain(one)}" for key, one in value.items()]
        else:
            parts.append(f"{name}: {_plain(value)}")
    written = " · ".join(parts)
    return written if len(written) <= MOST_DETAIL else f"{written[:MOST_DETAIL]} …"


def _place(seconds: float) -> float:
    """Where a time stands on the axis, 0-1."""
    inside = min(max(seconds, FIRST_S), LAST_S)
    return math.log(inside / FIRST_S) / math.log(LAST_S / FIRST_S)


def _plain(value: object) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{_plain(value[0])} → {_plain(value[1])}"
    if isinstance(value, str):
        return value
    return "–" if value is None else msgspec.json.encode(value).decode()
