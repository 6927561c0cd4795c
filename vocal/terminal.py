"""Calls as tables on a terminal."""

from pathlib import Path
from typing import Any

from rich.table import Table

from vocal.texts import clock, number, text
from vocal.types import CallEnded, CallStarted, Cue, Event, Language, Utterance

SHORT_CALL_ROWS = 60
"""More utterances than this are summed up, not listed."""


def call_tables(events: list[Event], language: Language) -> list[Table | str]:
    def num(value: float | None, decimals: int = 1) -> str:
        return "–" if value is None else number(value, language, decimals)

    def t(key: str) -> str:
        return text(f"terminal.{key}", language)

    utterances = [event for event in events if isinstance(event, Utterance)]
    ended = next(event for event in events if isinstance(event, CallEnded))
    tables: list[Table | str] = []
    if not utterances:
        tables.append(t("no_speech"))
    elif len(utterances) <= SHORT_CALL_ROWS:
        table = Table(title=t("utterances"), title_justify="left", padding=(0, 0, 0, 1))
        table.add_column(t("time"), justify="right", no_wrap=True)
        table.add_column(t("who"), no_wrap=True)
        for column in ("length", "tempo", "level", "f0", "clarity", "mood", "arousal", "stress"):
            table.add_column(t(column), justify="right")
        for u in utterances:
            table.add_row(
                clock(u.start_s),
                t(u.role),
                num(u.end_s - u.start_s),
                num(u.articulation_rate_syll_s),
                num(u.level_dbov),
                num(u.f0_median_hz, 0),
                num(u.clarity, 2),
                text(f"no_estimate.{u.no_estimate}", language)
                if u.no_estimate
                else num(u.emotion.valence if u.emotion else None, 2),
                num(u.emotion.arousal if u.emotion else None, 2),
                num(u.emotion.stress if u.emotion else None, 2),
                style="bold" if u.role == "customer" else "",
            )
        tables.append(table)
    cues = [event for event in events if isinstance(event, Cue)]
    if cues:
        table = Table(t("time"), t("for_whom"), t("cue"), title=t("cues"), title_justify="left")
        for cue in cues:
            table.add_row(clock(cue.at_s), t(cue.audience), cue.text[language])
        tables.append(table)
    table = Table(t("measure"), t("agent"), t("customer"), title=t("call"), title_justify="left")
    totals = ended.conversation

    def both(key: str, values: Any, decimals: int = 1, scale: float = 1.0) -> None:
        shown = [None if v is None else v * scale for v in (values.agent, values.customer)]
        table.add_row(t(key), num(shown[0], decimals), num(shown[1], decimals))

    both("talk_share", totals.talk_share, 0, 100.0)
    both("talk_s", totals.talk_s)
    both("interruptions", totals.interruptions, 0)
    both("longest_monologue_s", totals.longest_monologue_s)
    both("median_gap_s", totals.median_gap_s, 2)
    tables.append(table)
    line = Table(show_header=False, box=None)
    line.add_row(t("duration"), f"{num(ended.duration_s)} s")
    line.add_row(t("overlap_s"), f"{num(totals.overlap_s)} s")
    line.add_row(t("non_talk_s"), f"{num(totals.non_talk_s)} s")
    if ended.satisfaction is not None:
        s = ended.satisfaction
        line.add_row(t("satisfaction"), f"{num(s.start)} → {num(s.end)}")
    tables.append(line)
    return tables


def calls_table(calls: list[list[Event]], language: Language) -> Table:
    def t(key: str) -> str:
        return text(f"terminal.{key}", language)

    table = Table(title=t("calls"), title_justify="left")
    table.add_column(t("source"))
    for column in ("duration", "talk_share", "overlap_s", "non_talk_s", "satisfaction"):
        table.add_column(t(column), justify="right")
    starts = {e.call: e for events in calls for e in events if isinstance(e, CallStarted)}
    ends = [e for events in calls for e in events if isinstance(e, CallEnded)]
    for ended in sorted(ends, key=lambda e: starts[e.call].source):
        totals, s = ended.conversation, ended.satisfaction
        share = totals.talk_share.agent
        table.add_row(
            Path(starts[ended.call].source).name,
            f"{number(ended.duration_s, language, 1)} s",
            "–" if share is None else f"{number(100 * share, language, 0)} %",
            f"{number(totals.overlap_s, language, 1)} s",
            f"{number(totals.non_talk_s, language, 1)} s",
            "–" if s is None else f"{number(s.start, language, 1)} → {number(s.end, language, 1)}",
        )
    return table
