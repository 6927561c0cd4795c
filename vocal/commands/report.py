"""`vocal report`: reports out of the store."""

import argparse
import getpass
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vocal.answers import Answers
from vocal.commands.evidence import me, open_evidence
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
        help="reports out of the store: of a call, of a team, of the customer journey, an agent's own",
        description="A call's report is its agent's, who alone shares it, and an agent's own view is private: where "
        "there are accounts, both ask for the agent's password. Figures of teams are sums over at least 5 agents and "
        "50 calls; what is smaller is left out. Days are widened to whole weeks; by default they are those of this "
        "month and the two before.",
    )
    report.add_argument(
        "--call", metavar="ID", help="one call; as csv its course in 24 steps. Not shared: with --agent"
    )
    report.add_argument("--team", metavar="NAME", help="a team's report; with --journey: the journey of its calls")
    report.add_argument("--journey", action="store_true", help="the customer journey by queue and touchpoint")
    report.add_argument("--agent", metavar="ID", help="an agent's own view of up to 31 days, as calls name the agent")
    report.add_argument("--voice", action="store_true", help="of --agent: also what was asked of the voice")
    report.add_argument("--from", dest="first", metavar="DAY", type=_day, help="from this day on, such as 2026-11-02")
    report.add_argument("--to", dest="last", metavar="DAY", type=_day, help="up to this day, with it")
    report.add_argument("--format", choices=("html", "json", "csv"), default="html", help="default %(default)s")
    report.add_argument("--out", metavar="FILE", help="default: standard output")
    report.add_argument("--store", metavar="DIR", help="a folder, or a URL such as s3://...; default: the settings'")
    report.add_argument("--accounts", metavar="FILE", help="accounts and answers (default: what the settings say)")
    report.add_argument("--lang", choices=("de", "en"), help="default: this terminal's")
    report.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")
    report.set_defaults(run=_report)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a day as 2026-11-22, got {text!r}") from None


def _report(given: argparse.Namespace) -> int:
    if not (given.call or given.journey or given.team or given.agent):
        raise UsageError("wanted --call ID, --team NAME, --journey or --agent ID")
    if given.agent and (given.journey or given.team):
        raise UsageError("--agent: an agent's own view stands for itself; wanted no --team and --journey")
    if given.call and (given.journey or given.team or given.first or given.last):
        raise UsageError(f"--call {given.call}: wanted it alone, without --team, --journey, --from and --to")
    if given.first is not None and given.last is not None and given.last < given.first:
        raise UsageError(f"--from and --to: wanted the earlier day first, got {given.first} and {given.last}")
    config = load_config(given.config)
    folder = given.store or config.store.folder
    if not folder:
        raise UsageError("--store: wanted a folder or URL, as the settings name none")

    if given.agent and not given.call:
        written = _own_view(given, config, folder)
        return _put(given, written, f"{given.first} to {given.last}")

    from vocal.figures import Limits
    from vocal.reports.team import asked_for  # pyarrow takes 0.2 s
    from vocal.store.reader import StoreReader

    reader = StoreReader(folder)
    if given.call:
        _note(given, config, "report.call", given.call, who=_reader_of(given, config))
        return _put(given, _call(given, reader, config), f"call {given.call}")
    limits = Limits(config.privacy.least_agents, config.privacy.least_calls)
    now = datetime.now(UTC)
    span = asked_for(given.first, given.last, now.date())
    act = "report.journey" if given.journey else "report.team"
    _note(given, config, act, given.team or "", first=span.first.isoformat(), last=span.last.isoformat())
    _catch_up(reader, config, now, limits)
    return _put(given, _written(given, reader, span, limits), f"{span.first} to {span.last}")


def _reader_of(given: argparse.Namespace, config: Config) -> str:
    """Who reads a call's report: where there are accounts, its agent, whose password that wants, or anybody once it is
    shared."""
    accounts = given.accounts or config.server.accounts
    path = config.server.answers or accounts
    if not accounts or not Path(accounts).exists() or not path or not Path(path).exists():
        return me()
    answers = Answers(path)
    try:
        if given.agent is None and not answers.is_shared(given.call):
            raise UsageError(
                f"--call {given.call}: not shared by its agent; wanted --agent ID beside it, and a password"
            )
        who = _signed_in(given.agent, accounts) if given.agent else me()
        if given.agent and not answers.owns(given.call, given.agent):
            raise UsageError(f"--call {given.call}: no call of agent {given.agent}")
    finally:
        answers.close()
    return who


def _note(
    given: argparse.Namespace, config: Config, act: str, subject: str, who: str | None = None, **detail: str
) -> None:
    """Who looks is written down before there is anything to see."""
    _, audit = open_evidence(config, given.store, given.accounts)
    audit.append(who or me(), act, subject, format=given.format, **detail)
    audit.close()


def _put(given: argparse.Namespace, written: str, what: str) -> int:
    if given.out is None:
        OUT.file.write(written)
        return 0
    try:
        Path(given.out).write_text(written, "utf-8")
    except OSError as error:
        raise UsageError(f"--out {given.out}: cannot be written: {error.strerror}") from None
    ERR.print(f"{given.format}: {given.out}, {what}", markup=False, soft_wrap=True)
    return 0


def _call(given: argparse.Namespace, reader: "StoreReader", config: Config) -> str:
    from vocal.reports.call import page
    from vocal.reports.call_export import as_json, steps_csv
    from vocal.reports.call_view import Said, view_of

    record = reader.record(given.call)
    if record is None:
        raise UsageError(f"--call {given.call}: the store has no such call, or not any more")
    answers = _answers(config)
    try:
        # How the call felt is its agent's, and is shown where they are signed in.
        view = view_of(reader.events(given.call), record, Said(answers.feedback_of(given.call)))
    finally:
        answers.close()
    if given.format == "csv":
        return steps_csv(view)
    return as_json(view) if given.format == "json" else page(view, given.lang or language())


def _answers(config: Config) -> Answers:
    path = config.server.answers or config.server.accounts
    return Answers(path) if path and Path(path).exists() else Answers()


def _own_view(given: argparse.Namespace, config: Config, folder: str) -> str:
    """Private here, too: where there are accounts, the agent's password opens it."""
    from vocal.own import DAYS, check_days, own_records, own_view
    from vocal.reports.own import own_csv, own_report
    from vocal.store.reader import StoreReader

    accounts = given.accounts or config.server.accounts
    path = config.server.answers or accounts
    if not path or not Path(path).exists():
        raise UsageError(f"--agent {given.agent}: wanted --accounts FILE, in which it stands whose calls are whose")
    given.last = given.last or datetime.now().astimezone().date()
    given.first = given.first or given.last - timedelta(days=DAYS - 1)
    check_days(given.first, given.last)
    reader = StoreReader(folder)
    who = _signed_in(given.agent, accounts)
    _, audit = open_evidence(config, given.store, given.accounts)
    audit.append(who, "report.own", first=str(given.first), last=str(given.last))
    audit.close()
    answers = Answers(path, keep=config.retention.times.calls)
    felt = {one.call: one.score for one in answers.reflections(given.agent)}
    records = own_records(reader, answers.own_calls(given.agent), given.first, given.last)
    answers.close()
    view = own_view(records, given.first, given.last, None, felt, given.voice)
    if given.format == "csv":
        return own_csv(view)
    return _json(view) if given.format == "json" else own_report(view, given.lang or language(), voice=given.voice)


def _signed_in(agent: str, accounts: str) -> str:
    """Whose account it is, once its password was right; without accounts, whoever works at this machine."""
    from vocal.access import Access

    access = Access(accounts) if accounts and Path(accounts).exists() else None
    if access is None or not access.has_accounts:
        return me()
    name = next((one.name for one in access.accounts() if one.role == "agent" and one.agent == agent), None)
    if name is None:
        raise UsageError(f"--agent {agent}: no account is this agent's; it is theirs alone to see")
    asked = f"password for {name}: "
    password = getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline().strip()
    return access.login(name, password).name


def _catch_up(reader: "StoreReader", config: Config, now: datetime, limits: "Limits") -> None:
    """What a server does each hour. Where it cannot be written, what is there is shown."""
    from vocal.store.figures import roll

    answers = _answers(config)
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
