"""`vocal store`: what is kept of calls, whether it is whole, and how it goes."""

import argparse
import os
import sys
import time
from collections.abc import Collection
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
from rich.prompt import Confirm
from rich.table import Table

from vocal.commands.evidence import me, open_evidence
from vocal.commands.screen import ERR, OUT, Bars, Commands
from vocal.config import Config, load_config
from vocal.errors import StoreError, UsageError

if TYPE_CHECKING:
    from vocal.store.erasure import Proof, What
    from vocal.store.files import Files
    from vocal.store.listing import Listing
    from vocal.store.rewrite import Changed
    from vocal.store.store import Store

ERASING_S = 600.0
"""How long a server is waited for: it reads the whole store twice."""

WHAT: "tuple[What, ...]" = ("call", "agent", "source")


def add(commands: Commands) -> None:
    store = commands.add_parser("store", help="what is kept of calls: list, verify, prune, erase, export")
    kinds = store.add_subparsers(metavar="COMMAND", required=True)

    ls = kinds.add_parser("ls", help="what there is, how old, and what is due to go")
    ls.set_defaults(run=_ls)

    verify = kinds.add_parser(
        "verify",
        help="read everything; is it whole?",
        description="Reads every file, says what is wrong with which, and changes nothing. A server may run meanwhile.",
    )
    verify.set_defaults(run=_verify)

    prune = kinds.add_parser(
        "prune",
        help="take out what has been kept for its time",
        description="What a server does on start and each hour. For how long: [retention] in the settings.",
    )
    prune.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    prune.set_defaults(run=_prune)

    erase = kinds.add_parser(
        "erase",
        help="take a call, or all of a person's, out of log, Parquet and exports, with a proof",
        description="Prints the proof and writes it to the audit log. Sums over teams stay: they lead to nobody. While "
        "a server writes to the store it is the one to do it: --server.",
    )
    which = erase.add_mutually_exclusive_group(required=True)
    which.add_argument("--call", metavar="ID", help="one call")
    which.add_argument(
        "--agent", metavar="ID", help="an agent, as calls name them, or a pseudonym of theirs; their own answers, too"
    )
    which.add_argument(
        "--source", metavar="PEER", help="a customer's side: an address, or its mark; a recording's name"
    )
    erase.add_argument("--yes", action="store_true", help="do not ask")
    erase.add_argument("--server", metavar="URL", help="let the server do it that writes to the store")
    erase.add_argument("--token", help="an operator's API token, for --server (or VOCAL_TOKEN)")
    erase.set_defaults(run=_erase)

    export = kinds.add_parser(
        "export",
        help="tables for others to work on, as Parquet or CSV",
        description="Writes a file a table into a folder. The store remembers where, so that an erasure reaches it.",
    )
    export.add_argument("out", metavar="OUT", help="a folder that is empty, or not there yet")
    export.add_argument("--format", choices=("parquet", "csv"), default="parquet", help="default %(default)s")
    export.add_argument(
        "--from", dest="first", metavar="DAY", type=_day, help="calls that began from this day on (UTC)"
    )
    export.add_argument("--to", dest="last", metavar="DAY", type=_day, help="up to this day, with it")
    export.add_argument("--tables", metavar="NAME,...", default="", help="calls, utterance, mood, ... (default: all)")
    export.add_argument(
        "--names",
        action="store_true",
        help="with agents' pseudonyms and peers' marks; that is written to the audit log",
    )
    export.set_defaults(run=_export)

    for kind in (prune, erase, export):
        kind.add_argument("--accounts", metavar="FILE", help="accounts and tokens (default: what the settings say)")
    for kind in (ls, verify, prune, erase, export):
        kind.add_argument("--store", metavar="DIR", help="a folder, or a URL such as s3://...; default: the settings'")
        kind.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")
        kind.add_argument("--json", action="store_true", help="as JSON, on standard output")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a day as 2026-11-22, got {text!r}") from None


def _settings(given: argparse.Namespace) -> Config:
    """With the store that the command line names."""
    config = load_config(given.config)
    folder = given.store or config.store.folder
    if not folder:
        raise UsageError("wanted --store DIR, or `folder` under [store] in the settings")
    return msgspec.structs.replace(config, store=msgspec.structs.replace(config.store, folder=folder))


def _files(config: Config) -> "tuple[Files, Files]":
    """The store's files, and where its log is."""
    from vocal.store.files import Files

    files = Files(config.store.folder)
    if not files.is_there:
        raise StoreError(f"{files.where}: wanted a store, and there is no such folder")
    return files, Files(config.store.spool) if config.store.spool else files


def _opened(config: Config) -> "Store":
    """The store for ourselves. Raises StoreError where a server has it."""
    from vocal.store.store import Store

    _files(config)
    return Store(config.store.folder, config.store.spool)


def _now() -> datetime:
    return datetime.now(UTC)


def _put(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n")


# ls and verify


def _ls(given: argparse.Namespace) -> int:
    from vocal.store.listing import listing

    config = _settings(given)
    found = listing(*_files(config), config.retention.times, _now())
    if given.json:
        _put(found)
    else:
        _show(found)
    return 0


def _show(found: "Listing") -> None:
    table = Table("table", "files", "rows", "size", "oldest", "newest", "due", title=found.store, title_justify="left")
    for column in (1, 2, 3, 6):
        table.columns[column].justify = "right"
    for one in found.tables:
        table.add_row(
            one.table,
            str(one.files),
            f"{one.rows:,}",
            _size(one.bytes),
            one.oldest or "",
            one.newest or "",
            f"{one.due} files" if one.due else "",
        )
    OUT.print(table)
    each = f", {_size(found.bytes // found.calls)} a call" if found.calls else ""
    OUT.print(f"{found.calls:,} calls on {found.days} days, {_size(found.bytes)}{each}")
    writer = "a process writes to it" if found.is_written else "nobody writes to it"
    waiting = f"{found.log_calls} calls in {found.segments} segments, {_size(found.log_bytes)}"
    OUT.print(f"log: {waiting}; {writer}")
    if found.figures_bytes:
        OUT.print(f"figures: {_size(found.figures_bytes)}")
    if found.erasures:
        OUT.print(f"erasures: {found.erasures}")
    if found.unreadable:
        OUT.print(f"{found.unreadable} files cannot be read: see vocal store verify")
    for export in found.exports:
        span = f"{export.first or '...'} to {export.last or '...'}" if export.first or export.last else "all days"
        state = "" if export.done else ", not finished"
        OUT.print(
            f"export: {export.folder} ({export.format}, {span}, {export.at}{state})", markup=False, soft_wrap=True
        )


def _size(size: int) -> str:
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000.0:
            break
        value, unit = value / 1000.0, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _verify(given: argparse.Namespace) -> int:
    from vocal.store.verify import verify

    config = _settings(given)
    files, spool = _files(config)
    bars = Bars(given.json)
    with bars.progress:
        verdict = verify(files, spool, partial(bars.show, "days"))
    if given.json:
        _put(verdict)
    else:
        for one in verdict.findings:
            sign = "fault" if one.fault else "note"
            OUT.print(f"{sign}: {one.name}: {one.what}", markup=False, soft_wrap=True)
        OUT.print(f"{verdict.files} files, {verdict.rows:,} rows, {verdict.calls:,} calls read")
    if verdict.faults:
        ERR.print(f"vocal: {files.where}: {len(verdict.faults)} faults", markup=False, soft_wrap=True)
        return 1
    return 0


# prune, erase and export


def _prune(given: argparse.Namespace) -> int:
    from vocal.answers import Answers
    from vocal.figures import Limits
    from vocal.store.figures import roll
    from vocal.store.retention import due, prune

    config = _settings(given)
    retention = config.retention.times
    if given.dry_run:
        dues = due(_files(config)[0], retention, _now())
        if given.json:
            _put(dues)
        for one in () if given.json else dues:
            what = "all" if one.calls is None else f"{len(one.calls)} calls"
            OUT.print(f"{one.name}: {what}", markup=False, soft_wrap=True)
        return 0
    bars = Bars(given.json)
    with _opened(config) as store, bars.progress:
        answers = Answers(config.server.answers or given.accounts or config.server.accounts or ":memory:")
        limits = Limits(config.privacy.least_agents, config.privacy.least_calls)

        def work() -> "list[Changed]":
            # What is to go is summed up first.
            try:
                roll(store.reader(), _now(), answers.feedback_by_cue(), limits)
            except StoreError as error:
                ERR.print(f"vocal: figures may be out of date: {error}", markup=False, soft_wrap=True)
            return prune(store.files, retention, _now(), partial(bars.show, "prune"))

        changed = store.exclusively(work).result()
    if changed:
        _, audit = open_evidence(config, given.store, given.accounts)
        audit.append(me(), "store.prune", files=len(changed), rows=sum(one.rows for one in changed))
    if given.json:
        _put(changed)
    else:
        gone = sum(one.after is None for one in changed)
        OUT.print(f"{sum(one.rows for one in changed):,} rows taken out of {len(changed)} files, {gone} files deleted")
    return 0


def _erase(given: argparse.Namespace) -> int:
    what: What = next(name for name in WHAT if getattr(given, name) is not None)
    name: str = getattr(given, what)
    if not name:
        raise UsageError(f"--{what}: wanted a name, got an empty one")
    if not given.yes:
        _ask(f"Erase all that is kept of {what} {name}, for good?")
    proof = _erased_by_server(given, what, name) if given.server else _erased_here(given, what, name)
    if given.json:
        _put(proof)
    else:
        _show_proof(proof)
    return 0 if proof.holds else 1


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("wanted --yes, or a terminal to ask on")
    if not Confirm.ask(question, console=ERR, default=False):
        raise UsageError("nothing was erased")


def _erased_by_server(given: argparse.Namespace, what: "What", name: str) -> "Proof":
    from vocal.client import Client
    from vocal.store.erasure import Proof

    with Client(given.server, given.token or os.environ.get("VOCAL_TOKEN")) as client:
        path = f"/v1/store/{what}s/{quote(name, safe='')}"
        return msgspec.convert(client.request("DELETE", path, timeout_s=ERASING_S), Proof)


def _erased_here(given: argparse.Namespace, what: "What", name: str) -> "Proof":
    from vocal.answers import Answers
    from vocal.sinks.outbox import Outbox
    from vocal.store.erasure import asked_for, erase

    config = _settings(given)
    pseudonyms, audit = open_evidence(config, given.store, given.accounts)
    try:
        store = _opened(config)
    except StoreError as error:
        hint = "; or let the server that has it do it: --server URL" if "another process" in str(error) else ""
        raise StoreError(f"{error}{hint}") from None
    path = config.server.answers or given.accounts or config.server.accounts
    answers = Answers(path or ":memory:")
    bars = Bars(given.json)

    def elsewhere(calls: Collection[str]) -> int:
        waiting = 0
        if config.webhooks.folder and Path(config.webhooks.folder).is_dir():
            outbox = Outbox(config.webhooks.folder, time.time)
            waiting = sum(map(outbox.erase, calls))
            outbox.close()
        return answers.forget_calls(calls) + waiting

    with store, bars.progress:
        asked = asked_for(what, name, pseudonyms, answers)
        return erase(store, asked, me(), audit, elsewhere, bars.show)


def _show_proof(proof: "Proof") -> None:
    table = Table("file", "rows", "SHA-256 before", "after", title="erased", title_justify="left")
    table.columns[1].justify = "right"
    for one in proof.removed:
        table.add_row(one.name, str(one.rows), one.before[:16], (one.after or "file deleted")[:16])
    OUT.print(table)
    OUT.print(f"{len(proof.calls)} calls; stays: {proof.stays}", soft_wrap=True)
    read = proof.reread
    OUT.print(f"read again: {read.files} files, {read.rows:,} rows, {read.found} of erased calls")
    if proof.elsewhere:
        OUT.print(f"rows of answers, and of what waited for webhooks: {proof.elsewhere}")
    for folder in proof.gone:
        OUT.print(f"an export that is not there any more: {folder}", markup=False, soft_wrap=True)
    for call in proof.running:
        ERR.print(f"vocal: call {call} is running, and stays; erase it once it is over", markup=False, soft_wrap=True)
    for why in proof.failed:
        ERR.print(f"vocal: not erased: {why}", markup=False, soft_wrap=True)


def _export(given: argparse.Namespace) -> int:
    from vocal.store.export import Exports, exporting

    config = _settings(given)
    files, spool = _files(config)
    tables = [table.strip() for table in given.tables.split(",") if table.strip()]
    export = Exports(files)
    export.check(given.out, tables, given.first, given.last)
    _, audit = open_evidence(config, given.store, given.accounts)
    days = {"from": given.first, "to": given.last}
    audit.append(
        me(), "store.export", given.out, tables=tables, names=given.names, **{k: str(v) for k, v in days.items() if v}
    )
    bars = Bars(given.json)
    with exporting(spool), bars.progress:
        done = export.write(given.out, given.format, tables, given.first, given.last, given.names, bars.show)
    if given.json:
        _put(done)
        return 0
    for name in done.files:
        OUT.print(f"{done.folder}/{name}", markup=False, soft_wrap=True)
    names = "with" if done.names else "without"
    OUT.print(f"{done.rows:,} rows, {names} agents' pseudonyms and peers' marks. An erasure reaches them there only.")
    return 0
