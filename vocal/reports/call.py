"""A call's report: one HTML page that needs no script and nothing from outside, and prints to two pages of A4.

The order is the point: the reader's own view before any number, what went well before what turned, the process before
the person, the customer's journey before the measures of the voices.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from vocal import charts
from vocal.adaptation import LEAST_PAIRS, LEAST_S, Adaptation
from vocal.record import CUE_LOOKS_S, CallRecord, is_inferred, mean_by_length, median_of
from vocal.reports.call_figures import REFERENCE_SYLL_S, Figures
from vocal.reports.call_view import NOTHING_SAID, CallView, CueShown, Said, Side, view_of
from vocal.reports.page import page_of
from vocal.texts import clock, date, has_text, length, number, per_cent, quantity, text
from vocal.types import ByRole, Event, Language, Moment, Satisfaction, Utterance

FAST_SYLL_S = 5.6
MONOLOGUE_S = 45.0
NON_TALK_WORTH_S = 5.0
LOST_WORTH = 0.01
CLARITY_WORTH = 0.6

API_PATH = "/v1"

_MOST_CUES = 8
_MOST_ON_PAPER = 3  # CALL_STYLE hides the others


@dataclass(frozen=True)
class Served:
    """What a page that a server gives out has beyond a file: ways on, and forms where the call is the reader's own.

    path: of the page. note: of the agent who shares the call.
    """

    path: str
    own: bool
    shared: bool
    note: str = ""


def call_report(
    events: Sequence[Event],
    language: Language,
    record: CallRecord | None = None,
    said: Said = NOTHING_SAID,
    served: Served | None = None,
) -> str:
    """One call as a self-contained HTML page in German or English.

    events: what is kept of them; record: of the store, without which it is made of the events; a call without
    `call_ended` is reported as far as it goes. Raises UsageError where neither record nor `call_started` is there.
    """
    return page(view_of(events, record, said), language, served)


def page(view: CallView, language: Language, served: Served | None = None) -> str:
    made = _Page(view, language, served)
    first, second = [made.ways(), made.header(), made.reflection()], []
    if view.spoken:
        first.append(f'<div class="story">{made.good()}{made.journey()}{made.pain()}</div>')
        second.append(made.voices() + made.lanes())
        second.append(f'<div class="twins">{made.cues()}{made.numbers()}{made.next_question()}</div>')
    else:
        first.append(made.silence())
        if view.cues:
            second.append(made.cues())
        second.append(made.next_question())
    body = f'<div class="sheet">{"".join(first)}</div><div class="sheet">{"".join(second)}</div>'
    title = f"{text('report.title', language)}: {made.name()}"
    return page_of(title, f'<div class="call">{body}</div>', made.footer(), language, served is not None and served.own)


@dataclass(frozen=True)
class _Page(Figures):
    """The sections of a call's report."""

    served: Served | None = None

    @property
    def whose(self) -> str:
        return "_shared" if self.served is not None and not self.served.own else ""

    def name(self) -> str:
        """The file's name alone, without its folder; of a live call no address, for it may be a person's number."""
        source, transport = self.view.record.source, self.view.record.transport
        if not transport.startswith("file") or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source):
            return text("transport.live", self.language, transport=transport)
        return PurePosixPath(source.replace("\\", "/")).name or text("transport.file", self.language)

    # The first sheet: how it went

    def ways(self) -> str:
        if self.served is None:
            return ""
        asked, path = f"lang={self.language}", self.served.path
        ways = [(f"/reports?{asked}", self.t("report.ways.all"))]
        if self.served.own:
            key = "report.ways.shared" if self.served.shared else "report.ways.share"
            ways.append((f"{path}/share?{asked}", self.t(key)))
        ways += [(f"{API_PATH}{path}?format={kind}&{asked}", kind.upper()) for kind in ("json", "csv")]
        links = "".join(f'<a href="{escape(url)}">{name}</a>' for url, name in ways)
        return f'<nav class="ways" aria-label="{self.t("report.ways.name")}">{links}</nav>'

    def header(self) -> str:
        view, record = self.view, self.view.record
        facts = [
            (self.t("report.file"), escape(self.name())),
            (self.t("report.date"), escape(date(view.started_at, self.language))),
            (self.t("report.duration"), escape(f"{clock(record.duration_s)} min")),
            (self.t("report.sides"), escape(", ".join(self.side_name(side) for side in view.sides))),
        ]
        if record.queue:
            facts.append((self.t("report.queue"), escape(record.queue)))
        if record.touchpoint:
            facts.append((self.t("report.touchpoint"), escape(record.touchpoint)))
        facts.append((self.t("report.notice"), self._notice()))
        rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        measured = "report.measured_text_mood" if view.points else "report.measured_text"
        notes = []
        if record.interrupted:
            notes.append(self.t("report.incomplete", at=clock(record.duration_s)))
        if view.kept == "record":
            notes.append(self.t("report.kept_record"))
        if self.served and self.served.shared:
            notes.append(self._shared(self.served))
        incomplete = "".join(f'<p class="note">{note}</p>' for note in notes)
        return (
            f'<header><h1>{self.t("report.title")}</h1><dl class="facts">{rows}</dl>'
            f'<dl class="scope"><div><dt>{self.t("report.measured")}</dt><dd>{self.t(measured)}</dd></div>'
            f"<div><dt>{self.t('report.not_measured')}</dt><dd>{self.t('report.not_measured_text')}</dd></div></dl>"
            f"{incomplete}</header>"
        )

    def _shared(self, served: Served) -> str:
        said = self.t("report.share.is" if served.own else "report.share.with_you")
        return f"{said} {self.t('report.share.note', note=served.note)}" if served.note else said

    def _notice(self) -> str:
        if self.view.record.notice != "given":
            key = "report.notice_withdrawn" if self.view.record.notice == "withdrawn" else "report.notice_no"
            return f'<span aria-hidden="true">○</span> {self.t(key)}'
        key = "report.notice_yes" if self.view.points else "report.notice_yes_no_mood"
        return f'<span aria-hidden="true">●</span> {self.t(key)}'

    def reflection(self) -> str:
        """The agent's own view, before any number; where there is none yet, the way to say it: a form, or on paper."""
        given, served = self.view.reflection, self.served
        if given is None and served is not None and not served.own:
            return ""  # the agent keeps it to themselves
        if given is not None:
            words = f"<blockquote>{escape(given.text)}</blockquote>" if given.text.strip() else ""
            score = self.t("report.reflection.score", score=given.score)
            change = ""
            if served is not None and served.own:
                summary = self.t("report.reflection.change")
                change = f"<details><summary>{summary}</summary>{self._form(served, given.score, given.text)}</details>"
            body = f'<p class="own-score"><b>{given.score}</b><span class="note">{score}</span></p>{words}{change}'
        elif served is not None:
            body = self._form(served)
        else:
            body = f'{self._scale()}<p class="note">{self.t("report.reflection.note")}</p>'
        title = self.t(f"report.reflection.title{self.whose}")
        return (
            f'<section class="reflection" aria-labelledby="reflection"><h2 id="reflection">{title}</h2>{body}</section>'
        )

    def _scale(self, chosen: int | None = None) -> str:
        boxes = "".join(
            f'<label><input type="radio" name="score" value="{value}" required{" checked" * (value == chosen)}>'
            f"<span>{value}</span></label>"
            for value in range(1, 11)
        )
        return (
            f"<fieldset><legend>{self.t('report.reflection.question')}</legend>"
            f'<div class="scale">{boxes}</div><p class="ends"><span>1 = {self.t("report.reflection.low")}</span>'
            f"<span>10 = {self.t('report.reflection.high')}</span></p></fieldset>"
        )

    def _form(self, served: Served, chosen: int | None = None, words: str = "") -> str:
        return (
            f'<form method="post" action="{escape(served.path)}/reflection?lang={self.language}">{self._scale(chosen)}'
            f'<label class="words"><span>{self.t("report.reflection.words")}</span>'
            f'<textarea name="text" rows="2" maxlength="2000">{escape(words)}</textarea></label>'
            f'<p class="note">{self.t("report.reflection.yours")}</p>'
            f'<button class="first">{self.t("report.reflection.keep")}</button></form>'
        )

    def silence(self) -> str:
        said = self.t("report.silence.text", duration=length(self.view.record.duration_s, self.language))
        return self._section(
            "silence", self.t("report.silence.title"), f"<p>{said}</p><p>{self.t('report.silence.advice')}</p>"
        )

    def good(self) -> str:
        body = self._moments(self.view.good, 1) or f"<p>{self.t('report.good.none')}</p>"
        strengths = self._strengths()
        if strengths:
            items = "".join(f"<li>{item}</li>" for item in strengths)
            body += f'<h3>{self.t("report.good.measures")}</h3><ul class="plain">{items}</ul>'
        return self._section("good", self.t("report.good.title"), body)

    def pain(self) -> str:
        moments = self._moments(self.view.pain, len(self.view.good) + 1)
        if not moments:
            return self._section("pain", self.t("report.pain.title"), f"<p>{self.t('report.pain.none')}</p>")
        items = "".join(f"<li>{item}</li>" for item in self._process())
        process = f'<h3>{self.t("report.pain.process")}</h3><p class="note">{self.t("report.pain.note")}</p>'
        listed = f'<ul class="plain">{items}</ul>' if items else ""
        return self._section("pain", self.t("report.pain.title"), moments + process + listed)

    def _process(self) -> list[str]:
        """What was measured and is nobody's doing: the queue, waiting, the line."""
        record = self.view.record
        found = []
        if record.queue or record.touchpoint:
            where = ", ".join(escape(part) for part in (record.queue, record.touchpoint) if part)
            found.append(f"{self.t('report.pain.queue')} {where}.")
        if record.non_talk_s >= NON_TALK_WORTH_S:
            found.append(self.t("report.pain.non_talk", length=length(record.non_talk_s, self.language)))
        if record.lost_share >= LOST_WORTH:
            found.append(self.t("report.pain.lost", share=per_cent(record.lost_share, self.language, 1)))
        if record.customer_clarity is not None and record.customer_clarity < CLARITY_WORTH:
            found.append(self.t("report.pain.clarity", clarity=self.num(record.customer_clarity, 2)))
        return found

    def _moments(self, moments: Sequence[Moment], first: int) -> str:
        items = "".join(
            f'<li class="{m.kind}">{charts.icon(m.kind)}<b>{count}</b>'
            f'<span class="when">{clock(m.start_s)}–{clock(m.end_s)}</span> '
            f"<span>{self.t(self.why(m, 'text'))}{self._passage(m)}</span></li>"
            for count, m in enumerate(moments, first)
        )
        return f'<ol class="moments">{items}</ol>' if items else ""

    def _passage(self, moment: Moment) -> str:
        """How the agent spoke in a good moment and the 20 s before it."""
        since_s = max(0.0, moment.start_s - CUE_LOOKS_S)
        agent, customer = self.view.side("agent"), self.view.side("customer")
        if moment.kind != "positive" or agent is None or customer is None:
            return ""
        near = [one for one in agent.course if one.end_s > since_s and one.start_s < moment.end_s and one.talk_s > 0.0]
        theirs = [one.talk_s for one in customer.course if one.end_s > since_s and one.start_s < moment.end_s]
        own_s, rated = sum(one.talk_s for one in near), [one for one in near if one.tempo_syll_s is not None]
        if not rated or own_s < LEAST_S:
            return ""
        tempo = sum((one.tempo_syll_s or 0.0) * one.talk_s for one in rated) / sum(one.talk_s for one in rated)
        said = self.t(
            "report.good.passage",
            start=clock(since_s),
            tempo=quantity(tempo, "syll_s", self.language),
            share=per_cent(own_s / (own_s + sum(theirs)), self.language),
        )
        return f'<span class="note passage">{said}</span>'

    def _strengths(self) -> list[str]:
        """Up to three things that went well by the measures alone, whatever the mood."""
        view, totals = self.view, self.view.totals
        agent, customer = view.side("agent"), view.side("customer")
        found = []
        if agent is None or agent.talk_s == 0.0:
            return []
        if customer and customer.talk_s > 0.0:
            if totals.interruptions.agent == 0:
                found.append(self.t("report.good.no_interruptions"))
            gap = totals.median_gap_s.agent
            if gap is not None and 0.0 <= gap <= 1.0:
                found.append(self.t("report.good.gap", gap=length(gap, self.language)))
            if totals.non_talk_s == 0.0:
                found.append(self.t("report.good.no_non_talk"))
        tempo = agent.tempo_syll_s
        if tempo is not None and REFERENCE_SYLL_S[0] <= tempo <= REFERENCE_SYLL_S[1]:
            found.append(self.t("report.good.tempo", tempo=quantity(tempo, "syll_s", self.language)))
        return found[:3]

    def journey(self) -> str:
        view = self.view
        if view.record.notice == "withdrawn":
            body = f"<p>{self.t('report.journey.withdrawn')}</p>"
        elif not view.notice:
            body = f"<p>{self.t('report.journey.no_notice')}</p>"
        elif view.side("customer") is None:
            body = f"<p>{self.t('report.journey.no_customer')}</p>"
        elif not view.points:
            body = f"<p>{self.t('report.journey.too_little')}</p>"
        else:
            body = self._satisfaction() + self.journey_figure()
        return self._section("journey", self.t("report.journey.title"), body)

    def _satisfaction(self) -> str:
        satisfaction = self.view.satisfaction
        if satisfaction is None:
            return f"<p>{self.t('report.journey.no_satisfaction')}</p>"
        start, end = satisfaction.interval["start"], satisfaction.interval["end"]
        figures = [
            ("", "journey.start", self.num(satisfaction.start), self._interval(*start)),
            ("", "journey.end", self.num(satisfaction.end), self._interval(*end)),
            ("", "journey.change", self.num(satisfaction.change, signed=True), self.t("report.journey.points")),
        ]
        if given := self.view.reflection:
            figures.append(
                (' class="own"', f"reflection.line{self.whose}", str(given.score), self.t("report.reflection.beside"))
            )
        items = "".join(
            f"<div{style}><dt>{self.t(f'report.{name}')}</dt>"
            f'<dd><b>{value}</b> <span class="note">{below}</span></dd></div>'
            for style, name, value, below in figures
        )
        return f'<h3>{self.t("report.journey.satisfaction")}</h3><dl class="big">{items}</dl>'

    def _interval(self, low: float, high: float, *, signed: bool = False) -> str:
        key = "report.journey.interval_signed" if signed else "report.journey.interval"
        return self.t(key, low=self.num(low, signed=signed), high=self.num(high, signed=signed))

    # The second sheet: how it was spoken

    def voices(self) -> str:
        view = self.view
        several = len(view.sides) > 1
        title = self.t("report.voices.title" if several else "report.voices.title_one")
        said = ""
        if view.side("agent") and view.side("customer"):
            words = (self._adapted("tempo", view.tempo), self._adapted("level", view.level))
            said = "".join(f'<p class="told">{one}</p>' for one in words)
        body = f'{said}<div class="measures">{self.tempo_figure()}{self.level_figure()}</div>{self.steps()}'
        return self._section("voices", title, body)

    def _adapted(self, measure: str, found: Adaptation) -> str:
        """How both sides adapted to each other, in a sentence."""
        unit = "syll_s" if measure == "tempo" else "db"

        def written(value: float | None) -> str:
            return number(value, self.language, signed=measure == "level")

        values = {
            "pairs": len(found.pairs),
            "least": LEAST_PAIRS,
            "start": number(found.distance_start, self.language),
            "end": quantity(found.distance_end, unit, self.language),
            "correlation": number(found.synchrony, self.language, 2, signed=True),
            "agent_start": written(found.agent_start),
            "agent_end": written(found.agent_end),
            "customer_start": written(found.customer_start),
            "customer_end": written(found.customer_end),
        }
        verdict = "few" if len(found.pairs) < LEAST_PAIRS else found.verdict
        return self.t(f"report.adapt.{verdict}", measure=text(f"report.voices.{measure}", self.language), **values)

    def lanes(self) -> str:
        return self._section("lanes", self.t("report.lanes.title"), self.lanes_figure())

    def numbers(self) -> str:
        view, record, totals = self.view, self.view.record, self.view.totals
        sides = view.sides
        conversation = [
            self._by_role("talk_share", totals.talk_share, lambda v: per_cent(v, self.language)),
            self._by_role("talk", totals.talk_s, lambda v: length(v, self.language)),
            self._by_role("monologue", totals.longest_monologue_s, lambda v: length(v, self.language)),
        ]
        both = []
        if len(sides) > 1:
            conversation += [
                self._by_role("gap", totals.median_gap_s, lambda v: quantity(v, "s", self.language, 2)),
                self._by_role("interruptions", totals.interruptions, lambda v: self.num(v, 0)),
            ]
            both = [
                self._of_call("overlap", length(totals.overlap_s, self.language)),
                self._of_call("overlaps", self.num(totals.overlaps, 0)),
                self._of_call("non_talk", length(totals.non_talk_s, self.language)),
            ]
        voices = [
            self._by_side("articulation_rate", lambda side: quantity(side.tempo_syll_s, "syll_s", self.language)),
            self._by_side("level", lambda side: quantity(side.level_dbov, "dbov", self.language)),
        ]
        clarity = {"agent": record.agent_clarity, "customer": record.customer_clarity}
        line = [self._by_side("clarity", lambda side: self.num(clarity.get(side.role, _clarity(side.utterances)), 2))]
        if any(side.utterances for side in sides):
            voices.append(
                self._by_side(
                    "f0",
                    lambda side: quantity(median_of(u.f0_median_hz for u in side.utterances), "hz", self.language, 0),
                )
            )
            line.append(
                self._by_side(
                    "snr", lambda side: quantity(median_of(u.snr_db for u in side.utterances), "db", self.language, 0)
                )
            )
        if not record.interrupted:
            both.append(self._of_call("lost", per_cent(record.lost_share, self.language, 1)))
        groups = [("conversation", conversation), ("voices", voices), ("line", line), ("both", both)]
        if view.satisfaction:
            groups.append(("satisfaction", self._satisfaction_rows(view.satisfaction)))
        heads = "".join(f'<th scope="col">{escape(self.side_name(side))}</th>' for side in sides)
        body = "".join(
            f'<tbody class="{name}"><tr><th scope="rowgroup" colspan="{len(sides) + 1}">'
            f"{self.t(f'report.numbers.{name}')}</th></tr>{''.join(rows)}</tbody>"
            for name, rows in groups
            if rows
        )
        table = (
            f'<table class="numbers"><thead><tr><th scope="col">{self.t("report.numbers.measure")}</th>{heads}</tr>'
            f"</thead>{body}</table>"
        )
        return self._section("numbers", self.t("report.numbers.title"), table)

    def _satisfaction_rows(self, satisfaction: Satisfaction) -> list[str]:
        start, end = satisfaction.interval["start"], satisfaction.interval["end"]
        between = self._interval(end[0] - start[1], end[1] - start[0], signed=True)
        change = f"{self.num(satisfaction.change, signed=True)} ({between})"
        return [
            self._of_call("satisfaction_start", f"{self.num(satisfaction.start)} ({self._interval(*start)})"),
            self._of_call("satisfaction_end", f"{self.num(satisfaction.end)} ({self._interval(*end)})"),
            self._of_call("satisfaction_change", change),
        ]

    def _by_role(self, name: str, values: ByRole, write: Callable[[float | None], str]) -> str:
        own = {"agent": values.agent, "customer": values.customer}
        return self._row(name, "".join(f"<td>{write(own.get(side.role))}</td>" for side in self.view.sides))

    def _by_side(self, name: str, write: Callable[[Side], str]) -> str:
        return self._row(name, "".join(f"<td>{write(side)}</td>" for side in self.view.sides))

    def _of_call(self, name: str, written: str) -> str:
        return self._row(name, f'<td colspan="{len(self.view.sides)}">{written}</td>')

    def _row(self, name: str, cells: str) -> str:
        """A measure with its values, and below, over the whole width, its definition. Units may wrap on telephones."""
        definition = f'<td colspan="{len(self.view.sides) + 1}">{self.t(f"measure.{name}.text")}</td>'
        return (
            f'<tr><th scope="row">{self.t(f"measure.{name}.name")}</th>{cells}</tr>'.replace("\N{NO-BREAK SPACE}", " ")
            + f'<tr class="definition">{definition}</tr>'
        )

    def cues(self) -> str:
        view = self.view
        title = self.t("report.cues.title" if view.is_file else "report.cues.title_live")
        if not view.cues:
            return self._section("cues", title, f"<p>{self.t('report.cues.none')}</p>")
        items = "".join(self._cue(cue) for cue in view.cues[:_MOST_CUES])
        more = len(view.cues) - _MOST_CUES
        rest = f'<p class="note on-screen">{self.t("report.cues.more", count=more)}</p>' if more > 0 else ""
        if (hidden := len(view.cues) - _MOST_ON_PAPER) > 0:
            rest += f'<p class="note on-paper">{self.t("report.cues.more_on_screen", count=hidden)}</p>'
        if any(self._after(cue) for cue in view.cues[:_MOST_CUES]):
            rest += f'<p class="note">{self.t("report.cues.after_note")}</p>'
        return self._section("cues", title, f'<ol class="cues">{items}</ol>{rest}')

    def _cue(self, shown: CueShown) -> str:
        given = shown.given
        key = f"report.cue.{given.kind}"
        said = shown.said.get(self.language) or next(iter(shown.said.values()), "")
        words = escape(said) if said else self.t(key) if has_text(key) else escape(given.kind)
        evidence = ", ".join(self._evidence(name, value) for name, value in shown.evidence.items())
        proof = f'<p class="note proof">{self.t("report.cues.evidence")}: {escape(evidence)}</p>' if evidence else ""
        after = self._after(shown)
        changed = f'<p class="note">{after}</p>' if after else ""
        if shown.link:
            target = f'href="{escape(shown.link)}" target="_blank" rel="noopener noreferrer"'
            words += f" <a {target}>{self.t('web.more', host=urlsplit(shown.link).netloc)}</a>"
        rated = ""
        if shown.helpful is not None:
            key = "report.cues.helpful" if shown.helpful else "report.cues.not_fitting"
            rated = f'<span class="rated {"yes" if shown.helpful else "no"}">{self.t(key)}</span>'
        return (
            f'<li><span class="when">{clock(given.at_s)}</span><div><span class="tag">'
            f"{self.t(f'severity.{given.severity}')} {self.t(f'audience.{given.audience}')}</span>{rated}"
            f"<p>{words}</p>{proof}{changed}</div></li>"
        )

    def _after(self, shown: CueShown) -> str:
        """What changed from the 20 s before the cue to the 20 s after; a change is not yet an effect."""
        parts = []
        if (tempo := shown.given.tempo_change_syll_s) is not None:
            value = quantity(tempo, "syll_s", self.language, signed=True)
            parts.append(self.t("report.cues.after_tempo", value=value))
        if (mood := shown.given.mood_change) is not None and self.view.notice:
            parts.append(self.t("report.cues.after_mood", value=self.num(mood, signed=True)))
        return f"{self.t('report.cues.after')}: {'; '.join(parts)}" if parts else ""

    def _evidence(self, name: str, value: float) -> str:
        """A measure with its value; the unit stands at the end of the measure's name."""
        bare = name.removeprefix("customer_")
        keys = (f"evidence.live.{name}", f"evidence.customer.{bare}", f"evidence.{name}", f"evidence.{bare}")
        key = next((key for key in keys if has_text(key)), None)
        known = text(key, self.language) if key else name.replace("_", " ")
        return f"{known} {self._with_unit(name, value)}"

    def _with_unit(self, name: str, value: float) -> str:
        if name.endswith("_share") or name == "talk_share":
            return per_cent(value, self.language)
        if name.endswith("_pct"):
            return per_cent(value / 100.0, self.language)
        for unit in ("syll_s", "dbov", "lufs", "db", "hz", "st", "s"):
            if name.endswith(f"_{unit}"):
                return quantity(value, unit, self.language)
        whole = float(value).is_integer() and abs(value) >= 1.0
        return self.num(value, 0 if whole else 2)

    def next_question(self) -> str:
        lines = '<div class="lines" aria-hidden="true"><i></i><i></i><i></i></div>'
        asked = escape(question(self.view, self.language))
        body = f'<p class="question">{asked}</p><p class="note">{self.t("report.next.notes")}</p>{lines}'
        return self._section("next", self.t("report.next.title"), body)

    def footer(self) -> str:
        record = self.view.record
        if record.model and self.view.confidence is not None:
            confidence = self.num(self.view.confidence, 2)
            model = self.t("report.how.model", model=record.model, confidence=confidence)
        elif record.model and self.view.notice:
            model = self.t("report.how.model_plain", model=record.model)
        else:
            model = self.t("report.how.no_model")
        limits = f"<p>{self.t('report.how.limits')}</p>" if record.model and self.view.notice else ""
        adapted = ""
        if self.view.side("agent") and self.view.side("customer") and self.view.spoken:
            adapted = f"<p>{self.t('report.how.adapt')}</p>"
        return (
            f"<h2>{self.t('report.how.title')}</h2><p>{self.t('report.how.measures')}</p>{adapted}<p>{model}</p>{limits}"
            f"<p>{self.t('report.how.purpose')}</p>"
            f'<p class="made">{self.t("report.how.made_by")} · '
            f"{self.t('report.how.call_id', call=record.call)}</p>"
        )

    def _section(self, name: str, title: str, body: str) -> str:
        return f'<section class="{name}" aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'


def _clarity(utterances: Sequence[Utterance]) -> float | None:
    return mean_by_length(utterances, lambda one: one.clarity)


def question(view: CallView, language: Language) -> str:
    """One question to take along: from what went well where there is something, else from what the measures show."""
    totals, agent = view.totals, view.side("agent")
    if view.good:
        if is_inferred(view.good[-1]):
            return text("report.next.recovered", language, at=clock(view.good[-1].start_s))
        return text("report.next.keep", language)
    if view.pain:
        return text("report.next.fell", language, at=clock(view.pain[0].start_s))
    if agent:
        monologue_s = totals.longest_monologue_s.agent
        if monologue_s is not None and monologue_s >= MONOLOGUE_S:
            return text("report.next.monologue", language, length=length(monologue_s, language))
        if (totals.interruptions.agent or 0.0) >= 2.0:
            return text("report.next.interruptions", language)
        if (agent.tempo_syll_s or 0.0) >= FAST_SYLL_S:
            return text("report.next.tempo", language)
    return text("report.next.keep", language)
