"""Is the store whole? Everything in it is read, nothing is changed; a server may go on writing meanwhile."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

import msgspec

from vocal.errors import StoreError
from vocal.store.erasure import PROOFS, Proof
from vocal.store.export import LOCK, REGISTER, Exports
from vocal.store.files import HALF, LOG, Entry, Files, GoneError, Lock, day_of
from vocal.store.log import is_of_log, read, segments
from vocal.store.parts import valid_parts
from vocal.store.rewrite import reading
from vocal.store.schema import KINDS, check_schema, kind_name, schema_of

AGAIN_S = 1.0
"""Between two looks at a day in which something is wrong: it may just be being written."""


class Finding(msgspec.Struct, frozen=True):
    """fault: the store is not whole; else it is worth knowing."""

    name: str
    what: str
    fault: bool = True


class Verdict(msgspec.Struct, frozen=True):
    """What was read, and what was found."""

    files: int
    rows: int
    calls: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> list[Finding]:
        return [one for one in self.findings if one.fault]


def verify(
    files: Files, log_files: Files | None = None, on_progress: Callable[[int, int], None] = lambda done, whole: None
) -> Verdict:
    """log_files: where the log is, if not there."""
    look = _Look(files, log_files or files)
    entries = files.entries()
    days: set[date] = set()
    for entry in entries:
        look.name(entry)
        day = day_of(entry.name)
        if day is not None and entry.name.partition("/")[0] in _KINDS:
            days.add(day)
    for done, day in enumerate(sorted(days)):
        on_progress(done, len(days))
        findings = look.day(day)
        if findings:
            time.sleep(AGAIN_S)
            findings = look.day(day)
        look.findings += findings
    on_progress(len(days), len(days))
    look.log()
    look.exports()
    return Verdict(look.files, look.rows, look.calls, tuple(look.findings))


_KINDS = {kind_name(kind): kind for kind in KINDS}
_FIGURES = ("figures", "held")


class _Look:
    def __init__(self, files: Files, log_files: Files) -> None:
        self._files, self._log_files = files, log_files
        self.findings: list[Finding] = []
        self.files = self.rows = self.calls = 0
        self._erased = self._proofs()

    def name(self, entry: Entry) -> None:
        """Whether a file belongs here, by its name."""
        top, _, rest = entry.name.partition("/")
        if entry.name.endswith(HALF):
            what = "half written by a process that was killed, or being written now; the next start takes it away"
            self.findings.append(Finding(entry.name, what, False))
        elif top in _KINDS:
            if day_of(entry.name) is None or not entry.name.endswith(".parquet"):
                self._foreign(entry.name, f"wanted {top}/day=YYYY-MM-DD/NAME.parquet")
        elif top in _FIGURES:
            self._figures(entry.name)
        elif entry.name not in _OWN and not (rest and top == PROOFS) and not is_of_log(entry.name):
            self._foreign(entry.name, f"wanted {', '.join(_KINDS)}, {LOG} or {PROOFS}")

    def _foreign(self, name: str, wanted: str) -> None:
        self.findings.append(Finding(name, f"a foreign file: {wanted}; it is not read, and nothing here deletes it"))

    def _figures(self, name: str) -> None:
        try:
            with reading(self._files, name) as parquet:
                self.rows += parquet.read().num_rows
                self.files += 1
        except GoneError:
            pass
        except (StoreError, ValueError) as error:
            self.findings.append(Finding(name, _why(error)))

    # A day's parts

    def day(self, day: date) -> list[Finding]:
        """What is wrong with the parts of a day, whatever kind they are of."""
        found: list[Finding] = []
        calls: dict[str, Counter[str]] = {}
        files = rows = 0
        whole = True
        for table, kind in _KINDS.items():
            seen: Counter[str] = Counter()
            keys: Counter[tuple[str, int]] = Counter()
            valid, _ = valid_parts(self._files, table, day, day)
            for entry in self._files.parts(table, day, day):
                if entry not in valid:
                    what = "not filed yet, or merged into another; not read, and the next start takes it away"
                    found.append(Finding(entry.name, what, False))
                    continue
                try:
                    columns = self._part(entry.name, kind, day, found)
                except GoneError:
                    continue
                except (StoreError, ValueError) as error:
                    found.append(Finding(entry.name, _why(error)))
                    whole = False
                    continue
                files, rows = files + 1, rows + len(columns["call"])
                seen.update(columns["call"])
                if "seq" in columns:
                    keys.update(zip(columns["call"], columns["seq"], strict=True))
                if again := self._erased & set(columns["call"]):
                    found.append(Finding(entry.name, f"calls that were erased are here: {_some(again)}"))
            doubles = {call for (call, _), count in keys.items() if count > 1}
            if doubles:
                found.append(Finding(f"{table}/day={day}", f"events are in it twice, of calls {_some(doubles)}"))
            calls[table] = seen
        if whole:
            found += _counts(day, calls)
        if not any(one.fault for one in found):
            self.files, self.rows, self.calls = self.files + files, self.rows + rows, self.calls + len(calls["calls"])
        return found

    def _part(self, name: str, kind: type[msgspec.Struct], day: date, found: list[Finding]) -> dict[str, list[Any]]:
        with reading(self._files, name) as parquet:
            if why := check_schema(kind, parquet.schema_arrow, f"{self._files.where}/{name}"):
                raise ValueError(why)
            strange = set(parquet.schema_arrow.names) - set(schema_of(kind).names)
            if strange:
                found.append(Finding(name, f"columns that this Vocal does not know: {_some(strange)}"))
            columns: dict[str, list[Any]] = {"call": []}
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group)  # every page, with its checksum
                for column in ("call", "seq", "started_at"):
                    if column in table.column_names:
                        columns.setdefault(column, []).extend(table[column].to_pylist())
        other = {at[:10] for at in columns.get("started_at", ())} - {day.isoformat()}
        if other:
            found.append(Finding(name, f"calls of another day: {_some(other)}"))
        return columns

    # What stands beside

    def _proofs(self) -> set[str]:
        calls: set[str] = set()
        for entry in self._files.entries(PROOFS):
            try:
                content = self._files.read(entry.name)
                proof = msgspec.json.decode(content, type=Proof)
            except (StoreError, msgspec.DecodeError) as error:
                self.findings.append(Finding(entry.name, f"wanted the proof of an erasure: {error}"))
                continue
            if entry.name != f"{PROOFS}/{hashlib.sha256(content).hexdigest()}.json":
                self.findings.append(Finding(entry.name, "the proof of an erasure was altered: its hash is another"))
            calls.update(proof.calls)
        return calls

    def log(self) -> None:
        if not self._log_files.is_local:
            return
        for segment in segments(self._log_files):
            try:
                held = read(self._log_files, segment)
            except GoneError:
                continue
            except (StoreError, ValueError) as error:
                self.findings.append(Finding(segment.name, _why(error)))
                continue
            self.files, self.rows = self.files + 1, self.rows + sum(len(batch.rows) for batch in held.batches)
            if held.damage.batches:
                what = f"{held.damage.batches} batches do not fit their checksums"
                self.findings.append(Finding(segment.name, what))
            if held.damage.bytes and not Lock.is_running(self._log_files.folder / LOG, segment.run):
                what = (
                    f"a torn end of {held.damage.bytes} bytes, of a process that was killed; the next start cuts it off"
                )
                self.findings.append(Finding(segment.name, what, False))

    def exports(self) -> None:
        try:
            exports = Exports(self._files).all()
        except StoreError as error:
            self.findings.append(Finding(REGISTER, _why(error)))
            return
        for one in exports:
            own = Files(one.folder)
            if not one.done:
                self.findings.append(Finding(one.folder, "an export that is being written, or was not finished", False))
            for name, digest in one.files.items():
                try:
                    if own.digest(name) != digest:
                        self.findings.append(Finding(f"{one.folder}/{name}", "an export that was altered since", False))
                except StoreError:
                    what = "an export that is not there any more: where it is now, no erasure reaches it"
                    self.findings.append(Finding(f"{one.folder}/{name}", what, False))


_OWN = (REGISTER, LOCK)


def _counts(day: date, calls: dict[str, Counter[str]]) -> Iterable[Finding]:
    """One record for each call, and none without: but for what went earlier, by retention."""
    records = calls["calls"]
    doubles = {call for call, count in records.items() if count > 1}
    if doubles:
        yield Finding(f"calls/day={day}", f"{len(doubles)} calls have more than one record: {_some(doubles)}")
    for table, seen in calls.items():
        if without := set(seen) - set(records):
            yield Finding(f"{table}/day={day}", f"events of {len(without)} calls without a record: {_some(without)}")
    for table in ("call_started",):
        if missing := set(records) - set(calls[table]):
            yield Finding(f"calls/day={day}", f"{len(missing)} records without {table}: {_some(missing)}")
    ends = {call for call, count in calls["call_ended"].items() if count > 1}
    if ends:
        yield Finding(f"call_ended/day={day}", f"{len(ends)} calls end more than once: {_some(ends)}")


def _some(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return f"{first} and {len(rest)} more" if rest else first


def _why(error: Exception) -> str:
    """Without the name of the file, which stands before it."""
    return str(error).partition(": ")[2] if isinstance(error, StoreError) else str(error)
