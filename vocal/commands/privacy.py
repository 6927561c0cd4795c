"""`vocal privacy`: who can find out, and how, which agent had a name in a week."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vocal.commands.evidence import add_places, me, wanted_places
from vocal.commands.screen import ERR, OUT, Commands
from vocal.errors import UsageError

if TYPE_CHECKING:
    from vocal.pseudonyms import Share


def add(commands: Commands) -> None:
    privacy = commands.add_parser(
        "privacy",
        help="agents' names of a week: split the key between two persons, or release one name with them",
        description="Agents appear under a name that changes each week. Its key moves on one way, so that nobody can "
        "say who had a name in an earlier week; unless the key was split between two persons, who can together.",
    )
    kinds = privacy.add_subparsers(metavar="COMMAND", required=True)
    setup = kinds.add_parser(
        "setup",
        help="split this week's key: any two holders can release names from this week on",
        description="Each holder's share is shown once and kept nowhere. Holders are persons who trust is laid in by "
        "both sides, such as one of the works council and the data protection officer.",
    )
    setup.add_argument("--holder", action="append", default=[], metavar="NAME", help="a holder; at least two")
    setup.add_argument("--out", metavar="DIR", help="write a file for each into DIR, in place of the screen")
    renew = kinds.add_parser("renew", help="a new key: the shares given out lead to no name from now on")
    release = kinds.add_parser(
        "release",
        help="who had a name in a week: wants two shares and a reason, and is written to the audit log",
        description="Shares are asked for unless they are given as files. Prints whose name it was, of the candidates.",
    )
    release.add_argument("pseudonym", metavar="PSEUDONYM", help="such as A-1f3a9c12")
    release.add_argument("--week", required=True, metavar="WEEK", help="of the call, such as 2026-W47")
    release.add_argument(
        "--candidates", required=True, metavar="FILE", help="agents' ids, one a line, of whom it may be"
    )
    release.add_argument("--reason", required=True, help="why; stands in the audit log")
    release.add_argument("--share", action="append", default=[], metavar="FILE", help="a holder's share; twice")
    ls = kinds.add_parser("ls", help="which week it is, and who holds shares of which")
    for kind, run in ((setup, _setup), (renew, _renew), (release, _release), (ls, _ls)):
        add_places(kind)
        kind.set_defaults(run=run)


def _setup(given: argparse.Namespace) -> int:
    from vocal.audit import Audit
    from vocal.pseudonyms import Pseudonyms

    keys, log = wanted_places(given)
    audit, pseudonyms = Audit(log, keys), Pseudonyms(keys)
    folder = _folder(given.out)
    shares = pseudonyms.share(given.holder)
    audit.append(me(), "privacy.setup", shares[0].id, week=shares[0].week, holders=given.holder)
    texts = [_share_text(share, name, len(shares)) for share, name in zip(shares, given.holder, strict=True)]
    if folder is not None:
        for name, text in zip(given.holder, texts, strict=True):
            file = folder / f"{''.join(one if one.isalnum() else '-' for one in name)}.share.txt"
            try:
                file.touch(0o600, exist_ok=False)
                file.write_text(text, "utf-8")
            except OSError as error:
                raise UsageError(f"{file}: cannot be written: {error.strerror}; set up anew") from None
            ERR.print(f"{name}: {file}", markup=False, soft_wrap=True)
        return 0
    for number, text in enumerate(texts, 1):
        if OUT.is_terminal:
            OUT.clear()
        OUT.print(text, markup=False, soft_wrap=True)
        if OUT.is_terminal:
            more = "then hand over to the next: Enter " if number < len(texts) else "Enter clears the screen "
            OUT.input(f"Copy it down, {more}")
            OUT.clear()
    return 0


def _folder(out: str | None) -> Path | None:
    if out is None:
        return None
    try:
        Path(out).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be made: {error.strerror}") from None
    return Path(out)


def _share_text(share: "Share", name: str, count: int) -> str:
    return (
        f"Share {share.number} of {count}, for {name}.\n"
        f"With any one other it releases agents' names from week {share.week} on. Keep it where no other share is.\n\n"
        f"{share}\n"
    )


def _renew(given: argparse.Namespace) -> int:
    from vocal.audit import Audit
    from vocal.pseudonyms import Pseudonyms

    keys, log = wanted_places(given)
    audit = Audit(log, keys)
    pseudonyms = Pseudonyms(keys)
    audit.append(me(), "privacy.renew", pseudonyms.week)
    pseudonyms.renew()
    OUT.print(f"Names have a new key from {pseudonyms.week} on; no share leads to it.")
    return 0


def _release(given: argparse.Namespace) -> int:
    from vocal.audit import Audit
    from vocal.pseudonyms import Pseudonyms, release

    if not given.reason.strip():
        raise UsageError("--reason: wanted why the name is to be released")
    try:
        lines = Path(given.candidates).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--candidates {given.candidates}: wanted a text file: {error}") from None
    candidates = [line.strip() for line in lines if line.strip()]
    keys, log = wanted_places(given)
    audit = Audit(log, keys)
    shares = _shares(given.share)
    known = {one.id: one.holders for one in Pseudonyms(keys).sharings}
    holders = [
        known[share.id][share.number - 1] if share.number <= len(known.get(share.id, ())) else f"holder {share.number}"
        for share in shares
    ]
    asked = {"week": given.week, "reason": given.reason, "holders": holders, "candidates": len(candidates)}
    try:
        found = release(shares, given.pseudonym, given.week, candidates)
    except UsageError as error:
        audit.append(me(), "privacy.release_refused", given.pseudonym, **asked, why=str(error))
        raise
    audit.append(me(), "privacy.release", given.pseudonym, **asked, found=len(found))
    if not found:
        ERR.print(f"{given.pseudonym}: nobody of the {len(candidates)} candidates had that name in {given.week}")
        return 1
    for one in found:
        OUT.print(one, markup=False, soft_wrap=True)
    return 0


def _shares(files: list[str]) -> "list[Share]":
    import getpass

    from vocal.pseudonyms import read_share

    shares = []
    for file in files:
        try:
            text = Path(file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--share {file}: cannot be read: {error}") from None
        shares.append(read_share(next((line for line in reversed(text.splitlines()) if line.strip()), "")))
    while len(shares) < 2:
        asked = f"share of holder {len(shares) + 1}: "
        line = getpass.getpass(asked) if sys.stdin.isatty() else sys.stdin.readline()
        shares.append(read_share(line))
    return shares


def _ls(given: argparse.Namespace) -> int:
    from rich.table import Table

    from vocal.pseudonyms import Pseudonyms

    pseudonyms = Pseudonyms(wanted_places(given)[0])
    OUT.print(f"week {pseudonyms.week}; keys in {pseudonyms.folder}", markup=False, soft_wrap=True)
    if not pseudonyms.sharings:
        OUT.print("No shares were given out: nobody can release a name of an earlier week (vocal privacy setup).")
        return 0
    table = Table("holders", "from", "to", title="any two of", title_justify="left")
    for one in pseudonyms.sharings:
        table.add_row(", ".join(one.holders), one.week, one.until or "")
    OUT.print(table)
    return 0
