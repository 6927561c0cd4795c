"""`vocal watch`: live calls as a table in the terminal."""

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table

from vocal.client import Client
from vocal.texts import clock, number, text
from vocal.types import CallEnded, CallStarted, Conversation, Cue, Language, Levels, LiveEvent, Mood, Notice

KEPT_ENDED = 5


class Board:
    """What is known of each call, told event by event."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._calls: dict[str, dict[str, Any]] = {}

    def tell(self, event: LiveEvent) -> None:
        call = self._calls.setdefault(event.call, {"at_s": 0.0})
        call["at_s"] = max(call["at_s"], event.at_s)
        if isinstance(event, CallStarted):
            call["started"] = event
        elif isinstance(event, Levels):
            for one in event.channels:
                call[f"{one.role}_tempo"] = one.tempo_syll_s
                call[f"{one.role}_level"] = one.level_dbov
        elif isinstance(event, Mood):
            call["mood"] = event
        elif isinstance(event, Conversation):
            call["talk"] = event.talk_share.agent
        elif isinstance(event, Cue):
            call["cue"] = event
        elif isinstance(event, Notice) and not event.given:
            call.pop("mood", None)
        elif isinstance(event, CallEnded):
            call["ended"] = True
            ended = [name for name, one in self._calls.items() if one.get("ended")]
            for name in ended[:-KEPT_ENDED]:
                del self._calls[name]

    def table(self) -> Table:
        def t(key: str) -> str:
            return text(f"watch.{key}", self._language)

        def num(value: float | None, decimals: int = 1) -> str:
            return number(value, self._language, decimals)

        table = Table(title=t("title"), title_justify="left")
        for column in ("call", "time", "agent_tempo", "customer_tempo", "agent_level", "customer_level"):
            table.add_column(t(column), justify="left" if column == "call" else "right")
        for column in ("talk_share", "mood", "trend", "cue"):
            table.add_column(t(column), justify="left" if column == "cue" else "right")
        for name, call in self._calls.items():
            mood, cue = call.get("mood"), call.get("cue")
            talk = call.get("talk")
            table.add_row(
                name[:12],
                clock(call["at_s"]),
                num(call.get("agent_tempo")),
                num(call.get("customer_tempo")),
                num(call.get("agent_level"), 0),
                num(call.get("customer_level"), 0),
                "–" if talk is None else f"{num(100.0 * talk, 0)} %",
                num(mood.valence, 2) if mood else "–",
                num(mood.trend, 2) if mood else "–",
                cue.text[self._language] if cue and call["at_s"] < cue.expires_s + 5.0 else "",
                style="dim" if call.get("ended") else "",
            )
        return table


def watch(url: str, token: str | None, call: str | None, as_json: bool, language: Language, out: Console) -> None:
    """Until interrupted. as_json: one event a line instead of the table."""
    with Client(url, token) as client:
        client.request("GET", "/v1/me")  # who is not let in hears it at once
        events = client.events(call, since=0)
        if as_json:
            for _, event in events:
                sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
                sys.stdout.flush()
            return
        board = Board(language)
        with Screen(board.table(), console=out, refresh_per_second=5) as screen:
            for _, event in events:
                board.tell(event)
                screen.update(board.table())
