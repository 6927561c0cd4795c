"""A call's events -> its coaching report: one HTML page that needs no script and nothing from outside.

The order is the point: the reader's own view before any number, what went well before what turned, the customer's
journey before the measures of the voices. The page is the second place where the policy holds: whatever the events
carry, only the customer's mood is drawn, and only after notice.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median

from vocal import charts
from vocal.charts import Beam, Lane, Mark, MoodPoint, Series, Style, Timeline, Words
from vocal.errors import UsageError
from vocal.record import journey_point, level_of, mean_by_length, median_of, tempo_of
from vocal.reports.page import page_of
from vocal.texts import clock, date, has_text, length, number, per_cent, quantity, text
from vocal.types import (
    ByRole,
    CallEnded,
    CallStarted,
    Conversation,
    Cue,
    Event,
    Language,
    Moment,
    Mood,
    Role,
    Satisfaction,
    Totals,
    Utterance,
)

NON_TALK_S = 3.0  # nobody speaks for longer than this
OVERLAP_S = 1.0  # overlaps of at least this length are counted and marked
BACKCHANNEL_S = 0.7  # shorter utterances have no tempo worth drawing
REFERENCE_SYLL_S = (4.0, 5.2)  # the light band of the tempo chart
FAST_SYLL_S = 5.6
MONOLOGUE_S = 45.0

_MOST_MOODS = 240  # points drawn, however long the call is
_MOST_UTTERANCES = 40  # per side
_MOST_CUES = 40
_MOST_MOMENTS = 12  # of each kind
_STEPS = 12  # rows of the charts' table
_JOURNEY_LEGEND = (("mood", "line"), ("band", "band"), ("zero", "neutral"))
_FROM_MOOD = {"valence", "arousal", "stress", "trend", "sentiment", "mood"}  # a cue's evidence that needs notice
_CUSTOMER_MOMENT = "customer_"  # moments whose reason begins so were read from the customer's mood


@dataclass(frozen=True)
class Side:
    """Everything one participant said. Channels of the same role are one side; each unknown channel is its own."""

    role: Role
    channel: int
    style: Style
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True)
class CallView:
    """A call's events, sorted by what the page needs. Without notice there is no mood and no satisfaction in it."""

    started: CallStarted
    ended: CallEnded | None
    duration_s: float
    sides: tuple[Side, ...]
    moods: tuple[Mood, ...]
    cues: tuple[Cue, ...]
    totals: Totals | None
    satisfaction: Satisfaction | None
    good: tuple[Moment, ...]
    pain: tuple[Moment, ...]
    overlaps: tuple[tuple[float, float], ...]
    silences: tuple[tuple[float, float], ...]
    model: str | None

    @property
    def notice(self) -> bool:
        return self.started.metadata.notice

    @property
    def spoken(self) -> bool:
        return any(side.utterances for side in self.sides)

    @property
    def agent(self) -> Side | None:
        return next((side for side in self.sides if side.role == "agent"), None)

    @property
    def customer(self) -> Side | None:
        return next((side for side in self.sides if side.role == "customer"), None)


def call_report(events: Sequence[Event], language: Language) -> str:
    """One call's events as a self-contained HTML page in German or English.

    The events are those of one call, `call_started` among them; a call without `call_ended` is reported as far as it
    goes. Raises UsageError otherwise.
    """
    view = view_of(events)
    page = _Page(view, language)
    sections = [page.header()]
    if view.spoken:
        sections += [
            page.reflection(),
            page.good(),
            page.pain(),
            page.journey(),
            page.lanes(),
            page.voices(),
            page.numbers(),
            page.cues(),
        ]
        sections.append(page.next_question())
    else:
        sections.append(page.silence())
        if view.cues:
            sections.append(page.cues())
    title = f"{text('report.title', language)}: {page.name()}"
    return page_of(title, "".join(sections), page.footer(), language)


def view_of(events: Sequence[Event]) -> CallView:
    """Sort a call's events for reading; what policy forbids to show does not get in."""
    started = next((event for event in events if isinstance(event, CallStarted)), None)
    if started is None:
        raise UsageError(f"Expected a call's events with call_started among them, but got {len(events)} without")
    others = {event.call for event in events} - {started.call}
    if others:
        raise UsageError(f"Expected the events of call {started.call} alone, but got also {', '.join(sorted(others))}")
    ended = next((event for event in events if isinstance(event, CallEnded)), None)
    utterances = sorted((event for event in events if isinstance(event, Utterance)), key=lambda event: event.start_s)
    duration_s = ended.duration_s if ended else max(event.at_s for event in events)
    sides = _sides(started, utterances)
    notice = started.metadata.notice
    customer = any(side.role == "customer" for side in sides)
    moods = [event for event in events if isinstance(event, Mood) and event.role == "customer" and notice]
    moments = [
        moment
        for moment in (ended.moments if ended else ())
        if (notice and customer) or not moment.why.startswith(_CUSTOMER_MOMENT)
    ]
    cues = [event for event in events if isinstance(event, Cue) and (notice or not _FROM_MOOD & event.evidence.keys())]
    spans = [[(one.start_s, one.end_s) for one in side.utterances] for side in sides]
    both = len(sides) > 1
    return CallView(
        started=started,
        ended=ended,
        duration_s=max(duration_s, max((one.end_s for one in utterances), default=0.0)),
        sides=sides,
        moods=tuple(sorted(moods, key=lambda mood: mood.at_s)),
        cues=tuple(sorted(cues, key=lambda cue: cue.at_s)),
        totals=_totals(events, ended),
        satisfaction=ended.satisfaction if ended and notice and customer else None,
        good=_first_moments(moments, "positive"),
        pain=_first_moments(moments, "pain"),
        overlaps=tuple(_overlaps(spans)) if both else (),
        silences=tuple(_silences(spans, duration_s)) if both else (),
        model=next((u.emotion.model for u in utterances if u.emotion and u.role == "customer" and notice), None),
    )


def _sides(started: CallStarted, utterances: Iterable[Utterance]) -> tuple[Side, ...]:
    said: dict[tuple[Role, int], list[Utterance]] = {}
    declared = [(channel.role, channel.channel) for channel in started.channels]
    for role, channel in sorted(declared, key=lambda one: (("agent", "customer", "unknown").index(one[0]), one[1])):
        said.setdefault((role, channel if role == "unknown" else -1), [])
    for one in utterances:
        said.setdefault((one.role, one.channel if one.role == "unknown" else -1), []).append(one)
    sides: list[Side] = []
    unknown: tuple[Style, Style] = ("third", "fourth")
    for (role, channel), own in said.items():
        style: Style = unknown[sum(side.role == "unknown" for side in sides) % 2] if role == "unknown" else role
        sides.append(Side(role, channel, style, tuple(own)))
    return tuple(sides)


def _totals(events: Sequence[Event], ended: CallEnded | None) -> Totals | None:
    if ended is not None:
        return ended.conversation
    last = max((e for e in events if isinstance(e, Conversation)), key=lambda event: event.at_s, default=None)
    return None if last is None else Totals(**{name: getattr(last, name) for name in Totals.__struct_fields__})


def _first_moments(moments: Iterable[Moment], kind: str) -> tuple[Moment, ...]:
    own = sorted((moment for moment in moments if moment.kind == kind), key=lambda moment: moment.start_s)
    return tuple(own[:_MOST_MOMENTS])


def _overlaps(spans: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Stretches of at least OVERLAP_S in which two sides speak."""
    found = []
    for index, ours in enumerate(spans):
        for theirs in spans[index + 1 :]:
            first = 0
            for start, end in ours:
                while first < len(theirs) and theirs[first][1] <= start:
                    first += 1
                for other_start, other_end in theirs[first:]:
                    if other_start >= end:
                        break
                    if min(end, other_end) - max(start, other_start) >= OVERLAP_S:
                        found.append((max(start, other_start), min(end, other_end)))
    return sorted(found)


def _silences(spans: Sequence[Sequence[tuple[float, float]]], duration_s: float) -> list[tuple[float, float]]:
    """Stretches over NON_TALK_S in which no side speaks."""
    edges = [(0.0, 0.0), *sorted(span for own in spans for span in own), (duration_s, duration_s)]
    found, spoken_until = [], 0.0
    for start, end in edges:
        if start - spoken_until > NON_TALK_S:
            found.append((spoken_until, start))
        spoken_until = max(spoken_until, end)
    return found


def _journey_points(moods: Sequence[Mood], duration_s: float) -> list[MoodPoint]:
    """The curve with its band: half a width of 4.5 points at no confidence, none at full confidence."""
    values = charts.thinned([(m.at_s, journey_point(m.valence), 1.0) for m in moods], _MOST_MOODS, duration_s)
    widths = charts.thinned([(m.at_s, 4.5 * (1.0 - m.confidence), 1.0) for m in moods], _MOST_MOODS, duration_s)
    return [
        MoodPoint(at, value, max(1.0, value - half), min(10.0, value + half))
        for (at, value), (_, half) in zip(values, widths, strict=True)
    ]


# ---- the page


@dataclass(frozen=True)
class _Page:
    """The sections of a call's report. All text that comes from outside passes `escape` on its way in."""

    view: CallView
    language: Language

    def t(self, key: str, **values: object) -> str:
        """A text of the catalogue, escaped."""
        return escape(text(key, self.language, **values))

    def num(self, value: float | None, decimals: int = 1, *, signed: bool = False) -> str:
        return number(value, self.language, decimals, signed=signed)

    def side_name(self, side: Side) -> str:
        return text(f"role.{side.role}", self.language, channel=side.channel)

    def name(self) -> str:
        """The file's name alone, without its folder; of a live call no address, for it may be a person's number."""
        source, transport = self.view.started.source, self.view.started.transport
        if not transport.startswith("file") or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source):
            return text("transport.live", self.language, transport=transport)
        return PurePosixPath(source.replace("\\", "/")).name or text("transport.file", self.language)

    # 1

    def header(self) -> str:
        view, metadata = self.view, self.view.started.metadata
        facts = [
            (self.t("report.file"), escape(self.name())),
            (self.t("report.date"), escape(date(view.started.started_at, self.language))),
            (self.t("report.duration"), escape(f"{clock(view.duration_s)} min")),
            (self.t("report.sides"), escape(", ".join(self.side_name(side) for side in view.sides))),
        ]
        if metadata.queue:
            facts.append((self.t("report.queue"), escape(metadata.queue)))
        facts.append((self.t("report.notice"), self._notice()))
        rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        measured = "report.measured_text_mood" if view.moods else "report.measured_text"
        incomplete = ""
        if view.ended is None:
            incomplete = f'<p class="note">{self.t("report.incomplete", at=clock(view.duration_s))}</p>'
        return (
            f'<header><h1>{self.t("report.title")}</h1><dl class="facts">{rows}</dl>'
            f'<dl class="scope"><div><dt>{self.t("report.measured")}</dt><dd>{self.t(measured)}</dd></div>'
            f"<div><dt>{self.t('report.not_measured')}</dt><dd>{self.t('report.not_measured_text')}</dd></div></dl>"
            f"{incomplete}</header>"
        )

    def _notice(self) -> str:
        if not self.view.notice:
            return f'<span aria-hidden="true">○</span> {self.t("report.notice_no")}'
        key = "report.notice_yes" if self.view.moods else "report.notice_yes_no_mood"
        return f'<span aria-hidden="true">●</span> {self.t(key)}'

    # 8, but first: the own view comes before the numbers

    def reflection(self) -> str:
        boxes = "".join(
            f'<label><input type="radio" name="reflection" value="{value}"><span>{value}</span></label>'
            for value in range(1, 11)
        )
        return (
            f'<section class="reflection" aria-labelledby="reflection"><h2 id="reflection">'
            f"{self.t('report.reflection.title')}</h2>"
            f"<fieldset><legend>{self.t('report.reflection.question')}</legend>"
            f'<div class="scale">{boxes}</div><p class="ends"><span>1 = {self.t("report.reflection.low")}</span>'
            f"<span>10 = {self.t('report.reflection.high')}</span></p></fieldset>"
            f'<p class="note">{self.t("report.reflection.note")}</p></section>'
        )

    def silence(self) -> str:
        said = self.t("report.silence.text", duration=length(self.view.duration_s, self.language))
        return self._section(
            "silence", self.t("report.silence.title"), f"<p>{said}</p><p>{self.t('report.silence.advice')}</p>"
        )

    # 2

    def good(self) -> str:
        body = self._moments(self.view.good, 1) or f"<p>{self.t('report.good.none')}</p>"
        strengths = self._strengths()
        if strengths:
            items = "".join(f"<li>{item}</li>" for item in strengths)
            body += f'<h3>{self.t("report.good.measures")}</h3><ul class="plain">{items}</ul>'
        return self._section("good", self.t("report.good.title"), body)

    def pain(self) -> str:
        moments = self._moments(self.view.pain, len(self.view.good) + 1)
        note = f'<p class="note">{self.t("report.pain.note")}</p>'
        body = moments + note if moments else f"<p>{self.t('report.pain.none')}</p>"
        return self._section("pain", self.t("report.pain.title"), body)

    def _moments(self, moments: Sequence[Moment], first: int) -> str:
        items = "".join(
            f'<li class="{m.kind}">{charts.icon(m.kind)}<b>{count}</b>'
            f'<span class="when">{clock(m.start_s)}–{clock(m.end_s)}</span> '
            f"<span>{self.t(self._why(m, 'text'))}</span></li>"
            for count, m in enumerate(moments, first)
        )
        return f'<ol class="moments">{items}</ol>' if items else ""

    def _why(self, moment: Moment, part: str) -> str:
        key = f"moment.{moment.why}.{part}"
        return key if has_text(key) else f"moment.{moment.kind}.{part}"

    def _strengths(self) -> list[str]:
        """Up to three things that went well by the measures alone, whatever the mood."""
        view, totals = self.view, self.view.totals
        found = []
        if totals is None or view.agent is None or not view.agent.utterances:
            return []
        if view.customer and view.customer.utterances:
            if totals.interruptions.agent == 0:
                found.append(self.t("report.good.no_interruptions"))
            gap = totals.median_gap_s.agent
            if gap is not None and 0.0 <= gap <= 1.0:
                found.append(self.t("report.good.gap", gap=length(gap, self.language)))
            if totals.non_talk_s == 0.0:
                found.append(self.t("report.good.no_non_talk"))
        tempo = tempo_of(view.agent.utterances)
        if tempo is not None and REFERENCE_SYLL_S[0] <= tempo <= REFERENCE_SYLL_S[1]:
            found.append(self.t("report.good.tempo", tempo=quantity(tempo, "syll_s", self.language)))
        return found[:3]

    # 3

    def journey(self) -> str:
        view = self.view
        points = _journey_points(view.moods, view.duration_s)
        if not view.notice:
            body = f"<p>{self.t('report.journey.no_notice')}</p>"
        elif view.customer is None:
            body = f"<p>{self.t('report.journey.no_customer')}</p>"
        elif not points:
            body = f"<p>{self.t('report.journey.too_little')}</p>"
        else:
            body = self._satisfaction() + self._journey_figure(points)
        return self._section("journey", self.t("report.journey.title"), body)

    def _satisfaction(self) -> str:
        satisfaction = self.view.satisfaction
        if satisfaction is None:
            return f"<p>{self.t('report.journey.no_satisfaction')}</p>"
        start, end = satisfaction.interval["start"], satisfaction.interval["end"]
        figures = (
            ("start", self.num(satisfaction.start), self._interval(*start)),
            ("end", self.num(satisfaction.end), self._interval(*end)),
            ("change", self.num(satisfaction.change, signed=True), self.t("report.journey.points")),
        )
        items = "".join(
            f"<div><dt>{self.t(f'report.journey.{name}')}</dt>"
            f'<dd><b>{value}</b> <span class="note">{below}</span></dd></div>'
            for name, value, below in figures
        )
        return f'<h3>{self.t("report.journey.satisfaction")}</h3><dl class="big">{items}</dl>'

    def _interval(self, low: float, high: float, *, signed: bool = False) -> str:
        key = "report.journey.interval_signed" if signed else "report.journey.interval"
        return self.t(key, low=self.num(low, signed=signed), high=self.num(high, signed=signed))

    def _journey_figure(self, points: Sequence[MoodPoint]) -> str:
        view = self.view
        lowest = min(points, key=lambda point: point.value)
        highest = max(points, key=lambda point: point.value)
        named = {"first": points[0], "lowest": lowest, "highest": highest, "last": points[-1]}
        values: dict[str, str] = {name: self.num(point.value) for name, point in named.items()}
        values |= {f"{name}_at": clock(point.at_s) for name, point in named.items()}
        marks = [
            Mark(m.kind, m.start_s, m.end_s, text(self._why(m, "short"), self.language), count)
            for count, m in enumerate((*view.good, *view.pain), 1)
        ]
        words = Words(
            "journey-chart",
            text("report.journey.chart", self.language),
            text("report.journey.chart_text", self.language, **values),
        )
        beams: list[Beam | None] = [None, None]
        if view.satisfaction:
            ends = (view.satisfaction.start, view.satisfaction.end)
            intervals = (view.satisfaction.interval["start"], view.satisfaction.interval["end"])
            beams = [
                Beam(value, low, high, self.num(value)) for value, (low, high) in zip(ends, intervals, strict=True)
            ]
        chart = charts.journey_chart(
            words,
            Timeline(view.duration_s),
            points,
            marks,
            beams[0],
            beams[1],
            lambda value: self.num(value, 0),
            clock,
        )
        legend = [(kind, self.t(f"report.journey.{name}")) for kind, name in _JOURNEY_LEGEND]
        if view.good:
            legend.append(("stretch positive", charts.icon("positive") + self.t("moment.positive.title")))
        if view.pain:
            legend.append(("stretch pain", charts.icon("pain") + self.t("moment.pain.title")))
        return self._figure(chart, legend, words, self.t("report.journey.caption"))

    # 4

    def lanes(self) -> str:
        view = self.view
        lanes = [
            Lane(self.side_name(side), side.style, tuple((one.start_s, one.end_s) for one in side.utterances))
            for side in view.sides
        ]
        said = [
            text(
                "report.lanes.side_text",
                self.language,
                side=self.side_name(side),
                count=len(side.utterances),
                talk=length(self._talk_s(side), self.language),
            )
            for side in view.sides
        ]
        counts = {"overlaps": len(view.overlaps), "silences": len(view.silences)}
        if len(lanes) > 1:
            said.append(text("report.lanes.both_text", self.language, **counts))
        words = Words("lanes-chart", text("report.lanes.chart", self.language), " ".join(said))
        chart = charts.lanes_chart(words, Timeline(view.duration_s), lanes, view.overlaps, view.silences, clock)
        legend = []
        if view.overlaps:
            legend.append(("both", self.t("report.lanes.overlap")))
        if view.silences:
            legend.append(("silence", self.t("report.lanes.non_talk")))
        caption = self.t("report.lanes.caption" if len(lanes) > 1 else "report.lanes.one_side")
        return self._section("lanes", self.t("report.lanes.title"), self._figure(chart, legend, words, caption))

    def _talk_s(self, side: Side) -> float:
        totals = self.view.totals
        known = {"agent": totals.talk_s.agent, "customer": totals.talk_s.customer} if totals else {}
        talk_s = known.get(side.role)
        return sum(one.end_s - one.start_s for one in side.utterances) if talk_s is None else talk_s

    # 5

    def voices(self) -> str:
        title = self.t("report.voices.title" if len(self.view.sides) > 1 else "report.voices.title_one")
        return self._section("voices", title, self._tempo_figure() + self._level_figure() + self._steps())

    def _tempo_figure(self) -> str:
        drawn: list[tuple[Side, list[tuple[float, float, float]]]] = [
            (
                side,
                [
                    ((one.start_s + one.end_s) / 2.0, one.articulation_rate_syll_s, max(one.syllables, 1))
                    for one in side.utterances
                    if one.articulation_rate_syll_s and one.end_s - one.start_s >= BACKCHANNEL_S
                ],
            )
            for side in self.view.sides
        ]
        low, high = REFERENCE_SYLL_S
        span = {"low": self.num(low), "high": self.num(high)}
        legend = [("reference", self.t("report.voices.tempo_band", **span))]
        return self._lines("tempo", drawn, 1, self.t("report.voices.tempo_caption"), legend, (low - 0.5, high + 0.5))

    def _level_figure(self) -> str:
        relative = any(one.relative.level_db is not None for side in self.view.sides for one in side.utterances)
        drawn: list[tuple[Side, list[tuple[float, float, float]]]] = []
        for side in self.view.sides:
            points = []
            for one in side.utterances:
                level = one.relative.level_db if relative else one.level_dbov
                if level is not None:
                    points.append(((one.start_s + one.end_s) / 2.0, level, one.end_s - one.start_s))
            drawn.append((side, points))
        if relative:
            legend = [("zero", self.t("report.voices.own_baseline"))]
            return self._lines("level", drawn, 1, self.t("report.voices.level_caption"), legend, (-3.0, 3.0))
        return self._lines("level_absolute", drawn, 0, self.t("report.voices.level_caption_absolute"), [], None)

    def _lines(
        self,
        measure: str,
        drawn: Sequence[tuple[Side, list[tuple[float, float, float]]]],
        decimals: int,
        caption: str,
        legend: list[tuple[str, str]],
        shown: tuple[float, float] | None,
    ) -> str:
        """A chart of one measure of each side; `shown` is the stretch of values that is always in view."""
        tempo, relative = measure == "tempo", measure == "level"
        heading = f"<h3>{self.t('report.voices.tempo' if tempo else 'report.voices.level')}</h3>"
        heard = [(side, points) for side, points in drawn if points]
        if not heard:
            return f"{heading}<p>{self.t('report.voices.too_little')}</p>"
        series = [
            Series(side.style, tuple(charts.thinned(points, _MOST_UTTERANCES, self.view.duration_s)))
            for side, points in heard
        ]
        values = [value for line in series for _, value in line.points]
        ticks = charts.value_ticks(min(*values, *(shown or values)), max(*values, *(shown or values)))
        said = []
        for (side, _), line in zip(heard, series, strict=True):
            own = sorted(value for _, value in line.points)
            written = [self.num(value, decimals, signed=relative) for value in (median(own), own[0], own[-1])]
            parts = dict(zip(("median", "low", "high"), written, strict=True))
            said.append(text("report.voices.series_text", self.language, side=self.side_name(side), **parts))
        name = {"tempo": "tempo_chart", "level": "level_chart"}.get(measure, "level_chart_absolute")
        words = Words(f"{measure}-chart", text(f"report.voices.{name}", self.language), " ".join(said))
        chart = charts.lines_chart(
            words,
            Timeline(self.view.duration_s),
            series,
            ticks,
            lambda value: self.num(value, 0 if float(value).is_integer() else 1, signed=relative),
            clock,
            reference=REFERENCE_SYLL_S if tempo else None,
            zero=0.0 if relative else None,
        )
        sides: list[tuple[str, str]] = [(side.style, escape(self.side_name(side))) for side, _ in heard]
        return heading + self._figure(chart, sides + legend, words, caption)

    def _steps(self) -> str:
        """The charts' values in equal stretches of the call, for readers who want or need numbers."""
        view = self.view
        edges = [view.duration_s * step / _STEPS for step in range(_STEPS + 1)]
        heads = [self.t("report.steps.time")]
        if view.moods:
            heads.append(self.t("report.steps.mood"))
        for side in view.sides:
            name = self.side_name(side)
            heads += [self.t("report.steps.tempo", side=name), self.t("report.steps.level", side=name)]
        rows = []
        for start, end in pairwise(edges):
            cells = []
            if view.moods:
                felt = [journey_point(mood.valence) for mood in view.moods if start < mood.at_s <= end]
                cells.append(self.num(sum(felt) / len(felt) if felt else None))
            for side in view.sides:
                own = [one for one in side.utterances if start < (one.start_s + one.end_s) / 2.0 <= end]
                cells += [self.num(tempo_of(own)), self.num(level_of(own), 0)]
            row = "".join(f"<td>{cell}</td>" for cell in cells)
            rows.append(f'<tr><th scope="row">{clock(start)}–{clock(end)}</th>{row}</tr>')
        head = "".join(f'<th scope="col">{name}</th>' for name in heads)
        title = self.t("report.steps.title")
        return (
            f"<details><summary>{title}</summary>"
            f'<div class="wide" role="region" tabindex="0" aria-label="{title}"><table class="steps">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
        )

    # 6

    def numbers(self) -> str:
        view, totals = self.view, self.view.totals
        sides = view.sides
        conversation, both = [], []
        if totals:
            conversation += [
                self._by_role("talk_share", totals.talk_share, lambda v: per_cent(v, self.language)),
                self._by_role("talk", totals.talk_s, lambda v: length(v, self.language)),
                self._by_role("monologue", totals.longest_monologue_s, lambda v: length(v, self.language)),
            ]
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
            self._by_side("articulation_rate", lambda own: quantity(tempo_of(own), "syll_s", self.language)),
            self._by_side("level", lambda own: quantity(level_of(own), "dbov", self.language)),
            self._by_side("f0", lambda own: quantity(median_of(u.f0_median_hz for u in own), "hz", self.language, 0)),
        ]
        line = [
            self._by_side("snr", lambda own: quantity(median_of(u.snr_db for u in own), "db", self.language, 0)),
            self._by_side("clarity", lambda own: self.num(mean_by_length(own, lambda u: u.clarity), 2)),
        ]
        if view.ended:
            both.append(self._of_call("lost", per_cent(view.ended.lost_share, self.language, 1)))
        groups = [("conversation", conversation), ("voices", voices), ("line", line), ("both", both)]
        if view.satisfaction:
            groups.append(("satisfaction", self._satisfaction_rows(view.satisfaction)))
        heads = "".join(f'<th scope="col">{escape(self.side_name(side))}</th>' for side in sides)
        body = "".join(
            f'<tbody><tr><th scope="rowgroup" colspan="{len(sides) + 1}">{self.t(f"report.numbers.{name}")}</th></tr>'
            f"{''.join(rows)}</tbody>"
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

    def _by_side(self, name: str, write: Callable[[Sequence[Utterance]], str]) -> str:
        return self._row(name, "".join(f"<td>{write(side.utterances)}</td>" for side in self.view.sides))

    def _of_call(self, name: str, written: str) -> str:
        return self._row(name, f'<td colspan="{len(self.view.sides)}">{written}</td>')

    def _row(self, name: str, cells: str) -> str:
        """A measure with its values, and below, over the whole width, its definition. Units may wrap on telephones."""
        definition = f'<td colspan="{len(self.view.sides) + 1}">{self.t(f"measure.{name}.text")}</td>'
        return (
            f'<tr><th scope="row">{self.t(f"measure.{name}.name")}</th>{cells}</tr>'.replace("\N{NO-BREAK SPACE}", " ")
            + f'<tr class="definition">{definition}</tr>'
        )

    # 7

    def cues(self) -> str:
        view = self.view
        title = self.t("report.cues.title" if view.started.transport.startswith("file") else "report.cues.title_live")
        if not view.cues:
            return self._section("cues", title, f"<p>{self.t('report.cues.none')}</p>")
        items = "".join(self._cue(cue) for cue in view.cues[:_MOST_CUES])
        more = len(view.cues) - _MOST_CUES
        rest = f'<p class="note">{self.t("report.cues.more", count=more)}</p>' if more > 0 else ""
        return self._section("cues", title, f'<ol class="cues">{items}</ol>{rest}')

    def _cue(self, cue: Cue) -> str:
        said = cue.text.get(self.language) or next(iter(cue.text.values()), cue.text_key)
        evidence = ", ".join(self._evidence(name, value) for name, value in cue.evidence.items())
        proof = ""
        if evidence:
            proof = f'<span class="note">{self.t("report.cues.evidence")}: {escape(evidence)}</span>'
        return (
            f'<li><span class="when">{clock(cue.at_s)}</span><div><span class="tag">'
            f"{self.t(f'severity.{cue.severity}')} {self.t(f'audience.{cue.audience}')}</span>"
            f"<p>{escape(said)}</p>{proof}</div></li>"
        )

    def _evidence(self, name: str, value: float) -> str:
        """A measure with its value; the unit stands at the end of the measure's name."""
        key = f"evidence.{name}"
        known = text(key, self.language) if has_text(key) else name.replace("_", " ")
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

    # 8

    def next_question(self) -> str:
        lines = '<div class="lines" aria-hidden="true"><i></i><i></i><i></i></div>'
        body = f'<p class="question">{self._question()}</p><p class="note">{self.t("report.next.notes")}</p>{lines}'
        return self._section("next", self.t("report.next.title"), body)

    def _question(self) -> str:
        """One question: from what went well where there is something, else from what the measures show first."""
        view, totals = self.view, self.view.totals
        if view.good:
            if view.good[-1].why.startswith(_CUSTOMER_MOMENT):
                return self.t("report.next.recovered", at=clock(view.good[-1].start_s))
            return self.t("report.next.keep")
        if view.pain:
            return self.t("report.next.fell", at=clock(view.pain[0].start_s))
        if totals and view.agent:
            monologue_s = totals.longest_monologue_s.agent
            if monologue_s is not None and monologue_s >= MONOLOGUE_S:
                return self.t("report.next.monologue", length=length(monologue_s, self.language))
            if (totals.interruptions.agent or 0.0) >= 2.0:
                return self.t("report.next.interruptions")
            if (tempo_of(view.agent.utterances) or 0.0) >= FAST_SYLL_S:
                return self.t("report.next.tempo")
        return self.t("report.next.keep")

    # 9

    def footer(self) -> str:
        view = self.view
        if view.model and view.moods:
            confidence = self.num(sum(mood.confidence for mood in view.moods) / len(view.moods), 2)
            model = self.t("report.how.model", model=view.model, confidence=confidence)
        elif view.model:
            model = self.t("report.how.model_plain", model=view.model)
        else:
            model = self.t("report.how.no_model")
        limits = f"<p>{self.t('report.how.limits')}</p>" if view.model else ""
        return (
            f"<h2>{self.t('report.how.title')}</h2><p>{self.t('report.how.measures')}</p><p>{model}</p>{limits}"
            f"<p>{self.t('report.how.purpose')}</p>"
            f'<p class="made">{self.t("report.how.made_by")} · '
            f"{self.t('report.how.call_id', call=view.started.call)}</p>"
        )

    def _section(self, name: str, title: str, body: str) -> str:
        return f'<section class="{name}" aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'

    def _figure(self, chart: str, legend: Sequence[tuple[str, str]], words: Words, caption: str) -> str:
        items = "".join(f"<li>{charts.key(kind)}<span>{name}</span></li>" for kind, name in legend)
        named = f'<ul class="legend">{items}</ul>' if items else ""
        return (
            f'<figure><p class="chart-title">{escape(words.title)}</p>{named}{chart}'
            f"<figcaption><p>{escape(words.text)}</p><p>{caption}</p></figcaption></figure>"
        )
