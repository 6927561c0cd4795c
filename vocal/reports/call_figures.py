"""The pictures of a call's report, each with its legend and what it shows in words; and their numbers as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from vocal import charts
from vocal.adaptation import Adaptation
from vocal.charts import Beam, Lane, Mark, Own, Series, Timeline, Words
from vocal.reports.call_view import CallView, Side
from vocal.texts import clock, has_text, length, number, text
from vocal.types import Language, Moment

REFERENCE_SYLL_S = (4.0, 5.2)  # the light band of the tempo chart
_JOURNEY_LEGEND = (("mood", "line"), ("band", "band"), ("zero", "neutral"))


@dataclass(frozen=True)
class Figures:
    """All text that comes from outside passes `escape` on its way in."""

    view: CallView
    language: Language

    def t(self, key: str, **values: object) -> str:
        """A text of the catalogue, escaped."""
        return escape(text(key, self.language, **values))

    def num(self, value: float | None, decimals: int = 1, *, signed: bool = False) -> str:
        return number(value, self.language, decimals, signed=signed)

    def side_name(self, side: Side) -> str:
        return text(f"role.{side.role}", self.language, channel=side.channel)

    @property
    def whose(self) -> str:
        """Of the keys of texts about the agent's own view: for whom they are, the agent or whom it is shared with."""
        return ""

    def why(self, moment: Moment, part: str) -> str:
        """The key of a moment's reason; of one that is not known, that of its kind."""
        key = f"moment.{moment.why}.{part}"
        return key if has_text(key) else f"moment.{moment.kind}.{part}"

    def journey_figure(self) -> str:
        view, points = self.view, self.view.points
        lowest = min(points, key=lambda point: point.value)
        highest = max(points, key=lambda point: point.value)
        named = {"first": points[0], "lowest": lowest, "highest": highest, "last": points[-1]}
        values: dict[str, str] = {name: self.num(point.value) for name, point in named.items()}
        values |= {f"{name}_at": clock(point.at_s) for name, point in named.items()}
        marks = [
            Mark(m.kind, m.start_s, m.end_s, text(self.why(m, "short"), self.language), count)
            for count, m in enumerate((*view.good, *view.pain), 1)
        ]
        words = Words(
            "journey-chart",
            text("report.journey.chart", self.language),
            text("report.journey.chart_text", self.language, **values),
        )
        start = end = None
        if found := view.satisfaction:
            start = Beam(found.start, *found.interval["start"], self.num(found.start))
            end = Beam(found.end, *found.interval["end"], self.num(found.end))
        own = None
        if view.reflection:
            said = text(f"report.reflection.mark{self.whose}", self.language, score=view.reflection.score)
            own = Own(float(view.reflection.score), said)
        timeline = Timeline(view.record.duration_s)
        chart = charts.journey_chart(
            words, timeline, points, marks, start, end, lambda value: self.num(value, 0), clock, own
        )
        sure = view.confidence is not None
        legend = [(kind, self.t(f"report.journey.{name}")) for kind, name in _JOURNEY_LEGEND if sure or name != "band"]
        if own:
            legend.append(("own", self.t(f"report.reflection.line{self.whose}")))
        if view.good:
            legend.append(("stretch positive", charts.icon("positive") + self.t("moment.positive.title")))
        if view.pain:
            legend.append(("stretch pain", charts.icon("pain") + self.t("moment.pain.title")))
        caption = "report.journey.caption" if sure else "report.journey.caption_steps"
        return self.figure(chart, legend, words, self.t(caption))

    def lanes_figure(self) -> str:
        view = self.view
        lanes = [
            Lane(
                self.side_name(side),
                side.style,
                tuple((one.start_s, one.end_s) for one in side.utterances),
                ()
                if view.kept == "all"
                else tuple(
                    (one.start_s, one.end_s, min(1.0, one.talk_s / (one.end_s - one.start_s)))
                    for one in side.course
                    if one.end_s > one.start_s
                ),
            )
            for side in view.sides
        ]
        key = "report.lanes.side_text" if view.kept == "all" else "report.lanes.side_text_steps"
        said = [
            text(
                key,
                self.language,
                side=self.side_name(side),
                count=len(side.utterances),
                talk=length(side.talk_s, self.language),
            )
            for side in view.sides
        ]
        if len(lanes) > 1 and view.kept == "all":
            counts = {"overlaps": len(view.overlaps), "silences": len(view.silences)}
            said.append(text("report.lanes.both_text", self.language, **counts))
        words = Words("lanes-chart", text("report.lanes.chart", self.language), " ".join(said))
        timeline = Timeline(view.record.duration_s)
        chart = charts.lanes_chart(words, timeline, lanes, view.overlaps, view.silences, clock)
        legend = []
        if view.overlaps:
            legend.append(("both", self.t("report.lanes.overlap")))
        if view.silences:
            legend.append(("silence", self.t("report.lanes.non_talk")))
        caption = "report.lanes.caption" if view.kept == "all" else "report.lanes.caption_steps"
        if len(lanes) == 1:
            caption = "report.lanes.one_side"
        return self.figure(chart, legend, words, self.t(caption))

    def tempo_figure(self) -> str:
        drawn = [
            (side, [(one.start_s, one.end_s, one.tempo_syll_s) for one in side.course]) for side in self.view.sides
        ]
        low, high = REFERENCE_SYLL_S
        legend = [("reference", self.t("report.voices.tempo_band", low=self.num(low), high=self.num(high)))]
        return self._lines("tempo", drawn, self.view.tempo, legend, (low - 0.5, high + 0.5))

    def level_figure(self) -> str:
        drawn = [(side, [(one.start_s, one.end_s, one.level_db) for one in side.course]) for side in self.view.sides]
        legend = [("zero", self.t("report.voices.own_baseline"))]
        return self._lines("level", drawn, self.view.level, legend, (-3.0, 3.0))

    def _lines(
        self,
        measure: str,
        drawn: Sequence[tuple[Side, list[tuple[float, float, float | None]]]],
        adapted: Adaptation,
        legend: list[tuple[str, str]],
        shown: tuple[float, float],
    ) -> str:
        """One measure of each side, and between them their distance; `shown` are values that are always in view."""
        tempo = measure == "tempo"
        heading = f"<h3>{self.t(f'report.voices.{measure}')}</h3>"
        heard = [
            (side, [((start + end) / 2.0, value) for start, end, value in points if value is not None])
            for side, points in drawn
        ]
        heard = [(side, points) for side, points in heard if points]
        if not heard:
            return f"<figure>{heading}<p>{self.t('report.voices.too_little')}</p></figure>"
        series = [Series(side.style, tuple(points)) for side, points in heard]
        values = [value for line in series for _, value in line.points]
        ticks = charts.value_ticks(min(*values, *shown), max(*values, *shown))
        said = []
        for side, points in heard:
            own = sorted(value for _, value in points)
            written = [self.num(value, signed=not tempo) for value in (median(own), own[0], own[-1])]
            parts = dict(zip(("median", "low", "high"), written, strict=True))
            said.append(text("report.voices.series_text", self.language, side=self.side_name(side), **parts))
        words = Words(f"{measure}-chart", text(f"report.voices.{measure}_chart", self.language), " ".join(said))
        between = [((one.start_s + one.end_s) / 2.0, one.agent, one.customer) for one in adapted.pairs]
        chart = charts.lines_chart(
            words,
            Timeline(self.view.record.duration_s),
            series,
            ticks,
            lambda value: self.num(value, 0 if float(value).is_integer() else 1, signed=not tempo),
            clock,
            reference=REFERENCE_SYLL_S if tempo else None,
            zero=None if tempo else 0.0,
            between=between,
        )
        sides: list[tuple[str, str]] = [(side.style, escape(self.side_name(side))) for side, _ in heard]
        if len(between) > 1:
            legend = [("between", self.t("report.voices.between")), *legend]
        return self.figure(chart, sides + legend, words, self.t(f"report.voices.{measure}_caption"), heading)

    def steps(self) -> str:
        """The charts' values in equal stretches of the call, for readers who want or need numbers."""
        view = self.view
        heads = [self.t("report.steps.time")]
        if view.points:
            heads.append(self.t("report.steps.mood"))
        for side in view.sides:
            name = self.side_name(side)
            heads += [self.t("report.steps.tempo", side=name), self.t("report.steps.level", side=name)]
        rows = []
        for index, step in enumerate(view.record.steps):
            cells = [self.num(step.mood)] if view.points else []
            for side in view.sides:
                own = side.course[index]
                cells += [self.num(own.tempo_syll_s), self.num(own.level_db, signed=True)]
            row = "".join(f"<td>{cell}</td>" for cell in cells)
            end_s = (*view.record.steps, None)[index + 1]
            ends = view.record.duration_s if end_s is None else end_s.start_s
            rows.append(f'<tr><th scope="row">{clock(step.start_s)}–{clock(ends)}</th>{row}</tr>')
        head = "".join(f'<th scope="col">{name}</th>' for name in heads)
        title = self.t("report.steps.title")
        return (
            f"<details><summary>{title}</summary>"
            f'<div class="wide" role="region" tabindex="0" aria-label="{title}"><table class="steps">'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
        )

    def figure(
        self, chart: str, legend: Sequence[tuple[str, str]], words: Words, caption: str, heading: str = ""
    ) -> str:
        items = "".join(f"<li>{charts.key(kind)}<span>{name}</span></li>" for kind, name in legend)
        named = f'<ul class="legend">{items}</ul>' if items else ""
        return (
            f'<figure>{heading}<p class="chart-title">{escape(words.title)}</p>{named}{chart}'
            f'<figcaption><p>{escape(words.text)}</p><p class="more">{caption}</p></figcaption></figure>'
        )
