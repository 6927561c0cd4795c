"""What has been kept for its time goes: `policy.RETENTION`, or less where the settings say so.

A call's time counts from its beginning, so nothing is kept for longer than said; it is looked at on start and each
hour. Parquet of a day that is over goes as a whole file, what lies in between by rows.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time, timedelta

import msgspec

from vocal.policy import Retention
from vocal.record import CallRecord
from vocal.store import figures
from vocal.store.erasure import PROOFS, Proof
from vocal.store.files import Entry, Files, GoneError, day_of
from vocal.store.rewrite import Changed, reading, without_calls
from vocal.store.schema import KINDS, kind_name
from vocal.store.store import Store
from vocal.types import Conversation, Utterance

LOG = logging.getLogger("vocal")
DAY = timedelta(days=1)


class Due(msgspec.Struct, frozen=True):
    """A file whose time has come. calls: those of it that are due; None: all, the file goes."""

    name: str
    size: int
    calls: frozenset[str] | None


def kept_for(kind: type[msgspec.Struct], retention: Retention) -> timedelta:
    return retention.utterances if kind in (Utterance, Conversation) else retention.calls


def due(files: Files, retention: Retention, now: datetime) -> list[Due]:
    """What is to go now. Records come last: they say when each call began."""
    found: list[Due] = []
    began: dict[str, list[tuple[str, datetime]]] = {}
    for kind in KINDS:
        limit = now - kept_for(kind, retention)
        for entry in files.parts(kind_name(kind)):
            day = day_of(entry.name)
            assert day is not None
            start = datetime.combine(day, time(), UTC)
            if start + DAY <= limit:
                found.append(Due(entry.name, entry.size, None))
            elif start < limit:
                key = day.isoformat()
                if key not in began:
                    began[key] = list(_beginnings(files, files.parts(kind_name(CallRecord), day, day)))
                # A call without a record goes with its day.
                calls = frozenset(call for call, at in began[key] if at <= limit)
                if calls:
                    found.append(Due(entry.name, entry.size, calls))
    return found


def prune(
    files: Files,
    retention: Retention,
    now: datetime,
    on_progress: Callable[[int, int], None] = lambda done, whole: None,
) -> list[Changed]:
    """Takes out what is due. Wants the store for itself. Raises StoreError where it cannot be written."""
    changed: list[Changed] = []
    dues = due(files, retention, now)
    for done, one in enumerate(dues):
        on_progress(done, len(dues))
        try:
            if one.calls is None:
                changed.append(Changed(one.name, _rows(files, one.name), files.digest(one.name), None))
                files.delete(one.name)
            elif (change := without_calls(files, one.name, one.calls)) is not None:
                changed.append(change)
        except GoneError:
            continue
        except ValueError as error:
            LOG.warning("%s: it goes with its day: %s", one.name, error)
    on_progress(len(dues), len(dues))
    figures.prune(files, (now - retention.team_figures).date())
    for entry in files.entries(PROOFS):
        if _told_at(files, entry) <= now - retention.audit:
            files.delete(entry.name)
    return changed


def keep(
    store: Store,
    retention: Retention,
    first: Callable[[], object],
    told: Callable[[list[Changed]], object],
) -> None:
    """Has the store prune itself, now and each hour. first: what is to be done before that; told(changed): what went,
    where anything did."""

    def work() -> None:
        first()
        changed = prune(store.files, retention, datetime.now(UTC))
        if changed:
            told(changed)

    store.hourly(work)


def _told_at(files: Files, entry: Entry) -> datetime:
    try:
        return datetime.fromisoformat(msgspec.json.decode(files.read(entry.name), type=Proof).at)
    except (msgspec.DecodeError, GoneError):
        return datetime.max.replace(tzinfo=UTC)  # `verify` has more to say of it


def _beginnings(files: Files, entries: Iterable[Entry]) -> Iterable[tuple[str, datetime]]:
    for entry in entries:
        try:
            with reading(files, entry.name) as parquet:
                table = parquet.read(["call", "started_at"])
        except (GoneError, ValueError):
            continue  # it goes with its day
        for call, at in zip(table["call"].to_pylist(), table["started_at"].to_pylist(), strict=True):
            yield call, datetime.fromisoformat(at)


def _rows(files: Files, name: str) -> int:
    try:
        with reading(files, name) as parquet:
            return int(parquet.metadata.num_rows)
    except ValueError:
        return 0
