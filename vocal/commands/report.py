"""`vocal report`: reports out of the store."""

import argparse
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vocal.commands.screen import ERR, OUT, Commands, language
from vocal.config import Config, load_config
from vocal.errors import StoreError, UsageError
from vocal.types import Language

if TYPE_CHECKING:
    from vocal.figures import Limits
    from vocal.reports.team import Asked
    from vocal.store.reader import StoreReader


def add(commands: Commands) -> None:
    report = commands.add_parser(
        "report",
        help="reports out of the store: of a team, of the customer journey",
        description="Figures of teams are sums over at least 5 agents and 50 calls; what is smaller is left out. Days "
        "are widened to whole weeks; by default they are those of this month and the two before.",
    )
    report.add_argument("--team", metavar="NAME", help="a team's report; with --journey: the journey of its calls")
    report.add_argument("--journey", action="store_true", help="the customer journey by queue and touchpoint")
    report.add_argument("--from", dest="first", metavar="DAY", type=_day, help="from this day on, such as 2026-11-02")
    report.add_argument("--to", dest="last", metavar="DAY", type=_day, help="up to this day, with it")
    report.add_argument("--format", choices=("html", "json", "csv"), default="html", help="default %(default)s")
    report.add_argument("--out", metavar="FILE", help="default: standard output")
    report.add_argument("--store", metavar="DIR", help="a folder, or a URL such as s3://...; default: the settings'")
    report.add_argument("--lang", choices=("de", "en"), help="default: this terminal's")
    report.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")
    report.set_defaults(run=_report)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a day as 2026-11-22, got {text!r}") from None


def _report(given: argparse.Namespace) -> int:
    if not (given.journey or given.team):
        raise UsageError("wanted --team NAME or --journey")
    if given.first is not None and given.last is not None and given.last < given.first:
        raise UsageError(f"--from and --to: wanted the earlier day first, got {given.first} and {given.last}")
    config = load_config(given.config)
    folder = given.store or config.store.folder
    if not folder:
        raise UsageError("--store: wanted a folder or URL, as the settings name none")

    from vocal.figures import Limits
    from vocal.reports.team import asked_for  # pyarrow takes 0.2 s
    from vocal.store.reader import StoreReader

    reader = StoreReader(folder)
    limits = Limits(config.privacy.least_agents, config.privacy.least_calls)
    now = datetime.now(UTC)
    span = asked_for(given.first, given.last, now.date())
    _catch_up(reader, config, now, limits)
    written = _written(given, reader, span, limits)
    if given.out is None:
        OUT.file.write(written)
        return 0
    try:
        Path(given.out).write_text(written, "utf-8")
    except OSError as error:
        raise UsageError(f"--out {given.out}: cannot be written: {error.strerror}") from None
    ERR.print(f"{given.format}: {given.out}, {span.first} to {span.last}", markup=False, soft_wrap=True)
    return 0


def _catch_up(reader: "StoreReader", config: Config, now: datetime, limits: "Limits") -> None:
    """What a server does each hour. Where it cannot be written, what is there is shown."""
    from vocal.answers import Answers
    from vocal.store.figures import roll

    path = config.server.answers or config.server.accounts
    answers = Answers(path) if path and Path(path).exists() else Answers()
    try:
        roll(reader, now, answers.feedback_by_cue(), limits)
    except StoreError as error:
        ERR.print(f"vocal: figures may be out of date: {error}", markup=False, soft_wrap=True)
    finally:
        answers.close()


def _written(given: argparse.Namespace, reader: "StoreReader", span: "Asked", limits: "Limits") -> str:
    from vocal.reports import journey, team
    from vocal.reports.tables import as_csv
    from vocal.reports.team_page import team_page
    from vocal.store.figures import blocks_in

    spoken: Language = given.lang or language()
    blocks = blocks_in(reader.files, span.first, span.last)
    if given.journey:
        stages = journey.journey_report(blocks, given.team, span, limits)
        if given.format == "csv":
            return as_csv(journey.COLUMNS, journey.journey_rows(stages))
        return _json(stages) if given.format == "json" else journey.journey_page(stages, spoken)
    report = team.team_report(blocks, given.team, span, limits)
    if not report.calls:
        ERR.print(
            f"vocal: --team {given.team}: nothing of it stands on {limits.agents} agents and {limits.calls} calls from "
            f"{span.first} to {span.last}, or nobody took calls for it",
            markup=False,
            soft_wrap=True,
        )
    if given.format == "csv":
        return as_csv(team.COLUMNS, team.team_rows(report))
    return _json(report) if given.format == "json" else team_page(report, spoken)


def _json(report: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
