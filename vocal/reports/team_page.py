"""The team report as a page: HTML that needs no script and nothing from outside, in German or English."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from vocal import pictures
from vocal.charts import Words
from vocal.figures import month_of, span_of, week_of
from vocal.pictures import Bars
from vocal.reports.page import page_of
from vocal.reports.team import CueEffect, Fall, Journey, Question, Story, TeamReport, Voice
from vocal.texts import has_text, number, per_cent, quantity, text
from vocal.types import Language

REFERENCE_SYLL_S = (4.0, 5.2)
ERRORS_OF = "vocal-emotion 0.2"
"""The model whose known errors the texts tell (models/emotion/CARD.md)."""

_LEVEL = {"low": 0.15, "middle": 0.5, "high": 0.9}
_STEPS = (0.15, 0.5, 1.0)
"""Points of mood from which a step is coloured a little, more, and most."""


def team_page(report: TeamReport, language: Language, top: str = "") -> str:
    """top: HTML of a served page that stands under the title."""
    page = _Page(report, language)
    body = [page.header(top)]
    if report.calls:
        body += [page.good(), page.journey(), page.falls(), page.voices(), page.cues(), page.question(), page.quality()]
    else:
        body.append(page.nothing())
    title = f"{text('team.title', language)}: {report.team}"
    return page_of(title, "".join(body), page.footer(), language, forms=bool(top))


def choice_page(teams: Sequence[tuple[str, str]], language: Language) -> str:
    """Names of teams of which there is something to show, with where that is."""
    items = "".join(f'<li><a href="{escape(where)}"><b>{escape(name)}</b></a></li>' for name, where in teams)
    title = text("team.title", language)
    said = text("team.which" if teams else "team.nobody", language)
    listed = f'<nav aria-label="{escape(title)}"><ul class="rooms">{items}</ul></nav>' if teams else ""
    main = f'<header><h1>{escape(title)}</h1><p class="lead">{escape(said)}</p></header>{listed}'
    return page_of(title, main, f'<p class="made">{escape(text("report.how.made_by", language))}</p>', language)


def day_of(iso: str, language: Language) -> str:
    at = date.fromisoformat(iso)
    return text("team.day", language, day=at.day, month=text(f"month.{at.month}", language), year=at.year)


def month_name(month: str, language: Language) -> str:
    return f"{text(f'month.{int(month[5:])}', language)} {month[:4]}"


def place_name(queue: str | None, touchpoint: str | None, over: str, language: Language) -> tuple[str, str]:
    """A queue's and a touchpoint's name, and what stands for them where they were joined or never told."""
    if over == "all":
        return text("team.falls.all", language), ""
    if over == "queues":
        return text("team.falls.queues", language), ""
    named = queue or text("team.falls.no_queue", language)
    if over == "touchpoints":
        return named, text("team.falls.touchpoints", language)
    return named, touchpoint or text("team.falls.no_touchpoint", language)


def step_class(step: float) -> str:
    """How strongly a step of mood is marked: `down3` to `up3`."""
    strength = sum(abs(step) >= least for least in _STEPS)
    return f"{'down' if step < 0 else 'up'}{strength}" if strength else "level"


def signed(step: float, language: Language) -> str:
    """With an arrow, so that the sign is not told by colour or by a thin stroke alone."""
    sign = "▼" if step <= -0.05 else "▲" if step >= 0.05 else "="
    return f'<span aria-hidden="true">{sign}</span> {number(step, language, signed=True)}'


@dataclass(frozen=True)
class _Page:
    report: TeamReport
    language: Language

    def t(self, key: str, **values: object) -> str:
        return escape(text(key, self.language, **values))

    def say(self, key: str, **values: object) -> str:
        return text(key, self.language, **values)

    def num(self, value: float | None, decimals: int = 1, *, sign: bool = False) -> str:
        return number(value, self.language, decimals, signed=sign)

    def share(self, value: float | None) -> str:
        return per_cent(value, self.language)

    def of_calls(self, count: int) -> str:
        return self.say("team.of_calls", count=count)

    def header(self, top: str) -> str:
        report = self.report
        weeks = self.t(
            "team.weeks",
            first=day_of(report.first, self.language),
            last=day_of(report.last, self.language),
            from_week=date.fromisoformat(report.first).isocalendar().week,
            to_week=date.fromisoformat(report.last).isocalendar().week,
        )
        facts = [(self.t("team.period"), weeks)]
        if report.calls:
            facts.append((self.t("team.calls"), str(report.calls)))
            facts.append((self.t("team.people"), self.t("team.at_least", count=report.agents_at_least)))
        rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        limits = {"agents": report.limits.agents, "calls": report.limits.calls}
        return (
            f'<header><h1>{self.t("team.title")}: {escape(report.team)}</h1><dl class="facts team">{rows}</dl>'
            f'<dl class="scope"><div><dt>{self.t("team.rule")}</dt><dd>{self.t("team.rule_text", **limits)}</dd></div>'
            f"<div><dt>{self.t('team.use')}</dt><dd>{self.t('team.use_text')}</dd></div></dl>{top}</header>"
        )

    def nothing(self) -> str:
        limits = {"agents": self.report.limits.agents, "calls": self.report.limits.calls}
        last = date.fromisoformat(self.report.last)
        ends = span_of(month_of(week_of(last)))[1]
        reasons = [
            self.t("team.nothing.wait", day=day_of(ends.isoformat(), self.language)),
            *(self.t(f"team.nothing.{why}") for why in ("wider", "together", "uneven", "named")),
        ]
        items = "".join(f"<li>{reason}</li>" for reason in reasons)
        return (
            f'<section class="plain-no" aria-labelledby="nothing"><h2 id="nothing">{self.t("team.nothing.title")}</h2>'
            f"<p>{self.t('team.nothing.text', **limits)}</p><h3>{self.t('team.nothing.would')}</h3>"
            f'<ul class="plain">{items}</ul><p class="note">{self.t("team.nothing.own")}</p></section>'
        )

    # 1

    def good(self) -> str:
        stories = self.report.good
        if not stories:
            return self._section("good", self.t("team.good.title"), f"<p>{self.t('team.good.none')}</p>")
        cards = "".join(f"<li>{self._story(story, index)}</li>" for index, story in enumerate(stories))
        body = f'<ul class="cards">{cards}</ul><p class="note after">{self.t("team.good.note")}</p>'
        return self._section("good", self.t("team.good.title"), body)

    def _story(self, story: Story, index: int) -> str:
        before, after = self.say(f"team.good.{story.before}"), self.say(f"team.good.{story.after}")
        quarter = self.say("team.quarter", number=story.quarter)
        words = Words(
            f"good-{index}",
            self.say("team.good.chart"),
            self.say("team.good.chart_text", quarter=quarter, before=before, after=after),
        )
        names = [self.say("team.quarter", number=n).split()[0 if self.language == "de" else 1] for n in range(1, 5)]
        names[story.quarter - 1] = quarter
        drawn = pictures.story(words, story.quarter, _LEVEL[story.before], _LEVEL[story.after], names)
        key = f"team.good.{story.why}"
        count = self.say("team.in_calls", count=story.calls)
        way = "team.good.way_same" if story.before == story.after else "team.good.way"
        values = {"after": after, "count": count} | ({} if story.before == story.after else {"before": before})
        return (
            f"{drawn}<p>{self.t(key if has_text(key) else 'team.good.positive')}</p>"
            f'<p class="note">{self.t(way, **values)}</p>'
        )

    # 2

    def journey(self) -> str:
        found = self.report.journey
        title = self.t("team.journey.title")
        if found is None:
            return self._section("journey", title, f"<p>{self.t('team.journey.none')}</p>")
        words = Words(
            "journey-way",
            self.say("team.journey.chart"),
            self.say(
                "team.journey.chart_text",
                start=self.num(found.start),
                end=self.num(found.end),
                change=self.num(found.change, sign=True),
                margin=self.num(found.change_margin, 2),
                calls=self.of_calls(found.calls),
            ),
        )
        drawn = pictures.journey(
            words,
            (found.start, found.start_counts),
            (found.end, found.end_counts),
            (self.say("team.journey.start"), self.say("team.journey.end")),
            lambda value: self.num(value, 0 if value.is_integer() else 1),
        )
        figure = (
            f'<figure><p class="chart-title">{escape(words.title)}</p>{drawn}<figcaption><p>{escape(words.text)}</p>'
            f"<p>{self.t('team.journey.caption')}</p></figcaption></figure>"
        )
        return self._section("journey", title, f'<div class="pair">{figure}{self._recovered(found)}</div>')

    def _recovered(self, journey: Journey) -> str:
        heading = f"<h3>{self.t('team.journey.recovered')}</h3>"
        if not journey.began_low:
            return f"<div>{heading}<p>{self.t('team.journey.recovered_none')}</p></div>"
        part = journey.recovered / journey.began_low
        said = self.say(
            "team.journey.recovered_text", low=journey.began_low, count=journey.recovered, share=self.share(part)
        )
        words = Words("journey-recovered", self.say("team.journey.recovered"), said)
        return (
            f'<div class="recovered">{heading}<p class="large">{self.share(part)}</p>'
            f"{pictures.dots(words, round(part * 20))}<p>{escape(said)}</p>"
            f'<p class="note">{self.t("team.journey.recovered_note")}</p></div>'
        )

    # 3

    def falls(self) -> str:
        report, title = self.report, self.t("team.falls.title")
        if not report.falls:
            body = f"<p>{self.t('team.falls.none')}</p>"
        else:
            heads = "".join(
                f'<th scope="col">{self.t("team.from_to", **{"from": n, "to": n + 1})}</th>' for n in range(1, 4)
            )
            worst = min(min(fall.steps) for fall in report.falls)
            rows = "".join(self._fall(fall, worst) for fall in report.falls)
            body = (
                f'<p class="lead">{self.t("team.falls.lead")}</p><div class="scroll" tabindex="0" role="region" '
                f'aria-label="{title}"><table class="heat"><thead><tr><th scope="col">{self.t("team.falls.where")}</th>'
                f'<th scope="col" class="course">{self.t("team.falls.course")}</th>{heads}</tr></thead>'
                f'<tbody>{rows}</tbody></table></div><p class="note after">{self.t("team.falls.caption")}</p>'
            )
        return self._section("falls", title, body + self._pains())

    def _fall(self, fall: Fall, worst: float) -> str:
        name, under = place_name(fall.queue, fall.touchpoint, fall.over, self.language)
        small = f"{under} · " if under else ""
        deepest = min(range(len(fall.steps)), key=lambda index: fall.steps[index])
        cells = "".join(
            f'<td class="{step_class(step)}{" worst" if step == worst and step < 0 else ""}">'
            f"<b>{signed(step, self.language)}</b>"
            f"<small>{self.t('team.falls.fell', share=self.share(fell))}</small></td>"
            for step, fell in zip(fall.steps, fall.fell, strict=True)
        )
        moods = [value for one in self.report.falls for value in one.quarters]
        reach = (min(moods) - 0.2, max(moods) + 0.2)
        course = pictures.spark(fall.quarters, reach, deepest if fall.steps[deepest] <= -_STEPS[0] else None)
        return (
            f'<tr{" class=all" if fall.over == "all" else ""}><th scope="row">{escape(name)}'
            f"<small>{escape(small)}{escape(self.of_calls(fall.calls))}</small></th>"
            f'<td class="spark">{course}<span class="hidden">'
            f"{' → '.join(self.num(value) for value in fall.quarters)}</span></td>{cells}</tr>"
        )

    def _pains(self) -> str:
        pains = self.report.pains
        heading = f"<h3>{self.t('team.falls.pains')}</h3>"
        if not pains:
            return f"{heading}<p>{self.t('team.falls.pains_none')}</p>"
        panels = []
        for pain in pains:
            name = self.say(f"team.pain.{pain.why}")
            counts = ", ".join(
                f"{self.say('team.quarter', number=index)}: {count}" for index, count in enumerate(pain.calls, 1)
            )
            words = Words(f"pain-{pain.why}", name, counts)
            panels.append(
                f'<figure><p class="chart-title">{escape(name)}</p>'
                f"{pictures.columns(words, pain.calls, [str(n) for n in range(1, 5)])}</figure>"
            )
        return f'{heading}<div class="panels">{"".join(panels)}</div>'

    # 4

    def voices(self) -> str:
        report, title = self.report, self.t("team.voices.title")
        found = {voice.measure: voice for voice in report.voices}
        if not found:
            return self._section("voices", title, f"<p>{self.t('team.voices.none')}</p>")
        tempo = self._panel(
            "tempo", [found["agent_tempo"], found["customer_tempo"]], lambda v: self.num(v), REFERENCE_SYLL_S
        )
        shares = ("talk_share", "overlap_share", "non_talk_share")
        rest = "".join(self._panel(name, [found[name]], self.share) for name in shares)
        last = self._panel("interruptions", [found["interruptions"]], lambda v: self.num(v, 0 if v.is_integer() else 1))
        caption = self.t("team.voices.caption", calls=self.of_calls(report.voice_calls))
        body = (
            f'<p class="lead">{self.t("team.voices.lead")}</p><div class="panels">{tempo}{rest}{last}</div>'
            f'<p class="note after">{caption}</p>'
        )
        return self._section("voices", title, body)

    def _panel(
        self, name: str, voices: Sequence[Voice], write: pictures.Write, band: tuple[float, float] | None = None
    ) -> str:
        title = self.say(f"team.voices.{name}")
        said = []
        for voice in voices:
            low, high = _middle_half(voice)
            side = f"{self.say('role.' + voice.measure.partition('_')[0])}: " if len(voices) > 1 else ""
            about = self.say("team.voices.chart_text", mean=write(voice.mean), low=write(low), high=write(high))
            said.append(side + about)
        words = Words(f"voice-{name}", title, " ".join(said))
        bars = [
            Bars(
                voice.counts,
                voice.mean,
                self.say("team.voices.mean", mean=write(voice.mean)),
                "customer" if voice.measure == "customer_tempo" else "agent",
            )
            for voice in voices
        ]
        labels, width = (4, 500.0) if band else (4 if name == "interruptions" else 2, 240.0)
        drawn = pictures.histogram(
            words, voices[0].low, voices[0].width, bars, write, band=band, labels=labels, width=width
        )
        note = self.t(f"team.voices.{name}_note")
        wide = ' class="double"' if band else ""
        return f'<figure{wide}><div><h3>{escape(title)}</h3><p class="note">{note}</p></div>{drawn}</figure>'

    # 5

    def cues(self) -> str:
        report, title = self.report, self.t("team.cues.title")
        if not report.cues:
            return self._section("cues", title, f"<p>{self.t('team.cues.none')}</p>")
        heads = "".join(
            f'<th scope="col">{self.t(f"team.cues.{name}")}</th>' for name in ("cue", "tempo", "mood", "no_fit")
        )
        rows = "".join(self._cue(cue) for cue in report.cues)
        body = (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table class="effects"><thead><tr>'
            f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
            f'<p class="note after">{self.t("team.cues.caption")}</p>'
        )
        return self._section("cues", title, body)

    def _cue(self, cue: CueEffect) -> str:
        few = f'<span class="note">{self.t("team.cues.few")}</span>'
        tempo = mood = no_fit = few
        if cue.tempo_change_syll_s is not None:
            label = quantity(cue.tempo_change_syll_s, "syll_s", self.language, 2, signed=True)
            tempo = pictures.change(cue.tempo_change_syll_s, cue.tempo_margin or 0.0, 1.0, label)
        if cue.mood_change is not None:
            mood = pictures.change(
                cue.mood_change, cue.mood_margin or 0.0, 2.0, self.num(cue.mood_change, 2, sign=True)
            )
        if cue.does_not_fit is not None:
            said = f"{self.share(cue.does_not_fit)} {self.say('team.cues.answered', count=cue.answered)}"
            no_fit = pictures.share(cue.does_not_fit, said)
        shown = self.t("team.in_calls", count=cue.calls) if cue.calls else self.t("team.cues.few")
        return (
            f'<tr><th scope="row">{escape(self.rule_name(cue.rule))}<small>{shown}</small></th>'
            + "".join(
                f'<td data-label="{self.t(f"team.cues.{name}")}">{cell}</td>'
                for name, cell in (("tempo", tempo), ("mood", mood), ("no_fit", no_fit))
            )
            + "</tr>"
        )

    def rule_name(self, rule: str) -> str:
        key = f"team.cue.{rule}"
        return self.say(key) if has_text(key) else rule.replace("_", " ")

    # 6

    def question(self) -> str:
        said = escape(self._question(self.report.question))
        return self._section("question", self.t("team.question.title"), f'<p class="ask">{said}</p>')

    def _question(self, question: Question) -> str:
        values = dict(question.values)
        if question.kind.startswith("falls"):
            named = [str(one) for one in (values.pop("queue"), values.pop("touchpoint")) if one]
            values["points"] = self.num(float(values["points"] or 0.0))
            if named:
                values["place"] = ", ".join(named)
        elif question.kind == "cue":
            values = {"rule": self.rule_name(str(values["rule"])), "share": self.share(float(values["share"] or 0.0))}
        return self.say(f"team.question.{question.kind}", **values)

    # 7

    def quality(self) -> str:
        quality = self.report.quality
        hidden = "hidden_some" if quality.hidden else "hidden_none"
        models = ", ".join(sorted(quality.models)) or self.say("team.quality.model_none")
        facts = [
            ("calls", str(quality.calls)),
            ("without_notice", self.t("team.quality.without_notice_text", share=self.share(quality.without_notice))),
            ("judged", self.share(quality.judged)),
            ("interrupted", str(quality.interrupted)),
            ("lost", per_cent(quality.lost_share, self.language, 1)),
            (
                "cells",
                self.t(
                    "team.quality.cells_text",
                    cells=quality.cells,
                    hidden=self.say(f"team.quality.{hidden}", **({"count": quality.hidden} if quality.hidden else {})),
                ),
            ),
            ("model", escape(models)),
        ]
        rows = "".join(f"<div><dt>{self.t(f'team.quality.{name}')}</dt><dd>{value}</dd></div>" for name, value in facts)
        waits = ""
        if quality.waits:
            months = ", ".join(month_name(month, self.language) for month in quality.waits)
            waits = f'<p class="note after">{self.t("team.quality.waits", months=months)}</p>'
        known = any(name.startswith(ERRORS_OF) for name in quality.models)
        errors = "errors" if known else "errors_unknown"
        told = f'<p class="note after">{self.t(f"team.quality.{errors}")}</p>' if quality.models else ""
        return self._section(
            "quality", self.t("team.quality.title"), f'<dl class="facts quality">{rows}</dl>{waits}{told}'
        )

    def footer(self) -> str:
        limits = {"agents": self.report.limits.agents, "calls": self.report.limits.calls}
        return (
            f"<h2>{self.t('report.how.title')}</h2><p>{self.t('team.quality.how', **limits)}</p>"
            f'<p class="made">{self.t("report.how.made_by")}</p>'
        )

    def _section(self, name: str, title: str, body: str) -> str:
        return f'<section class="{name}" aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'


def _middle_half(voice: Voice) -> tuple[float, float]:
    """About where the first and the third quarter of the calls end."""

    def at(part: float) -> float:
        wanted, before = sum(voice.counts) * part, 0
        for index, count in enumerate(voice.counts):
            if count and before + count >= wanted:
                return voice.low + voice.width * (index + (wanted - before) / count)
            before += count
        return voice.low

    return at(0.25), at(0.75)
