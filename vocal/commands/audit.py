"""`vocal audit`: who saw what and what was changed, and whether the log of it is whole."""

import argparse
import sys

import msgspec
from rich.table import Table

from vocal.commands.evidence import add_places, audit_of, me
from vocal.commands.screen import ERR, OUT, Commands
from vocal.errors import UsageError


def add(commands: Commands) -> None:
    audit = commands.add_parser("audit", help="who saw what and what was changed; whether that log is whole")
    kinds = audit.add_subparsers(metavar="COMMAND", required=True)
    ls = kinds.add_parser("ls", help="entries, the newest first")
    ls.add_argument("--act", default="", help="these only, such as report.team, or all of report")
    ls.add_argument("--who", default="", help="of one account only")
    ls.add_argument("--subject", default="", help="about one call or team only")
    ls.add_argument("--from", dest="first", default="", metavar="DAY", help="from this day on, 2026-11-22")
    ls.add_argument("--to", dest="last", default="", metavar="DAY", help="up to this day, and with it")
    ls.add_argument("--most", type=int, default=50, help="default %(default)s")
    ls.add_argument("--json", action="store_true", help="one JSON object a line, on standard output")
    verify = kinds.add_parser(
        "verify",
        help="whether each entry stands as it was written, and none is missing; exit code 1 where not",
        description="Prints the head of the log. Who notes it down can prove later, by --noted, that all up to there "
        "is still the same: even against somebody who has the keys.",
    )
    verify.add_argument("--noted", metavar="SEQ:HASH", help="a head that was noted earlier")
    for kind, run in ((ls, _ls), (verify, _verify)):
        add_places(kind)
        kind.set_defaults(run=run)


def _ls(given: argparse.Namespace) -> int:
    from vocal.audit import check_days

    check_days(given.first, given.last)
    audit = audit_of(given)
    found = audit.entries(given.act, given.who, given.subject, given.first, given.last, given.most)
    audit.append(me(), "audit.read", entries=len(found))
    if given.json:
        for entry in found:
            sys.stdout.write(msgspec.json.encode(entry).decode() + "\n")
        return 0
    table = Table("no.", "at (UTC)", "who", "act", "subject", "detail", title="audit log", title_justify="left")
    for entry in found:
        detail = msgspec.json.encode(entry.detail).decode() if entry.detail else ""
        shown = f"{entry.at[:10]} {entry.at[11:19]}"
        table.add_row(str(entry.seq), shown, entry.who, entry.act, entry.subject, detail[:200])
    OUT.print(table)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from vocal.audit import read_head

    noted = None if given.noted is None else read_head(given.noted)
    audit = audit_of(given)
    if audit.path is not None and not audit.path.is_file():
        raise UsageError(f"{audit.path}: no audit log is there yet")
    verdict = audit.verify(noted)
    for note in verdict.notes:
        ERR.print(f"note: {note}", markup=False, soft_wrap=True)
    if verdict.broken is not None:
        place = f"line {verdict.broken.line}"
        ERR.print(f"vocal: {audit.path}: broken at {place}: {verdict.broken.why}", markup=False, soft_wrap=True)
        return 1
    OUT.print(f"{verdict.entries} entries, whole; head {verdict.head}", markup=False, soft_wrap=True)
    return 0
