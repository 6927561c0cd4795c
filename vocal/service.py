"""What the server's parts share: the live engine, who listens to it, and who may.

media ─► Live ─► (one hand-over a tick) ─► Service ─► Hub ─► WS /v1/live
                                              ├─────► protect ─► Store
                                              ├─────► Webhooks
                                              └─────► Audit
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import vocal_kernels as vk

from vocal.access import LOCAL, Access, Principal, seen_by
from vocal.answers import Answers
from vocal.audit import Audit, Verdict
from vocal.config import Config
from vocal.emotion import EmotionModel
from vocal.errors import AccessError, AuditError, StoreError, UsageError, VocalError
from vocal.figures import Limits
from vocal.guard import RateLimit, Scope, header
from vocal.inforce import changes, in_force
from vocal.live import Live
from vocal.oidc import Provider
from vocal.policy import stated
from vocal.sinks.hub import Hub
from vocal.sinks.webhook import Webhooks
from vocal.store.figures import roll
from vocal.store.reader import StoreReader
from vocal.store.retention import keep
from vocal.store.rewrite import Changed
from vocal.store.store import Store
from vocal.types import Call, CallEnded, CallStarted, Channel, Event, LiveEvent, Metadata, Notice

LOG = logging.getLogger("vocal")
COOKIE = "vocal_session"
PROGRAM = "vocal"
"""Who did what nobody asked for, in the audit log."""

HOUR_S = 3600.0
PROTOCOL = "vocal"
"""Of WebSockets; beside it a browser's page elsewhere may offer `vocal.token.TOKEN`, for it can send no header."""


class Service:
    """One event loop owns it."""

    def __init__(
        self,
        config: Config = Config(),
        access: Access | None = None,
        live: Callable[[Callable[[Sequence[LiveEvent]], None]], Live] | None = None,
        store: Store | Callable[[Event], None] | None = None,
        is_tls: bool = False,
        is_local: bool = True,
        answers: Answers | None = None,
        audit: Audit | None = None,
    ) -> None:
        self.config = config
        self.access = access or Access()
        self.answers = answers or Answers()
        self.audit = audit or Audit()
        self.provider = Provider(config.oidc) if config.oidc.issuer else None
        self._noting = ThreadPoolExecutor(1, "answers")
        self.hub = Hub()
        self.webhooks = Webhooks(config.webhooks, self.protect, config.retention.times.calls)
        self.is_tls = is_tls
        self.is_local = is_local
        self.is_ready = False
        self.store = store if isinstance(store, Store) else None
        if self.store is not None:
            self.store.protect = self.protect
        self._told = store if self.store is None else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closers: dict[str, list[Callable[[str], None]]] = {}
        make = live or (lambda sink: Live(sink, config, load_live_emotion(config)))
        self.live = make(self._hand_over)
        self.logins = RateLimit(config.server.logins_burst, config.server.logins_per_s)
        self.opens = RateLimit(config.server.opens_burst, config.server.opens_per_s)
        self.refused: dict[str, int] = {}
        self.listening: dict[str, str] = {}
        """Where else than for HTTP, by what is spoken there."""

        self.in_force: dict[str, str] = {}
        self.verdict: Verdict | None = None
        """What the last look at the audit log found: at the start, each hour, and when somebody asks."""

        self.hourly: list[Callable[[], object]] = [
            self._tell_notices,
            self._keep_audit,
            self.answers.forget_old,
        ]
        """What is done at the start and each hour, by a thread of its own."""

        self.keeping: asyncio.Task[None] | None = None
        self.notices: Counter[str] = Counter()
        """Calls since the start, by what was so of their customers at the end: none, notice, consent or withdrawn."""

        self._told_notices: Counter[str] = Counter()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        vk.warmup()
        self._tell_start()
        self.keeping = self._loop.create_task(self._keep())
        self.webhooks.start()
        self.live.start()
        if self.store is not None:
            keep(self.store, self.config.retention.times, self.roll_figures, self._tell_pruned)
        self.is_ready = True

    async def stop(self) -> None:
        self.is_ready = False
        if self.keeping is not None:
            self.keeping.cancel()
        await asyncio.to_thread(self.live.stop)
        await asyncio.sleep(0)  # the last hand-over
        if self.store is not None:
            try:
                await asyncio.to_thread(self.store.close)
            except StoreError as error:
                LOG.error("%s", error)
        self.hub.close()
        await asyncio.to_thread(self.webhooks.stop)
        self._noting.shutdown()
        self._tell_notices()
        self.audit.note(PROGRAM, "server.stop")
        await asyncio.to_thread(self.audit.close)

    def _tell_start(self) -> None:
        self.in_force = in_force(self.config, self.audit.mark)
        try:
            before = self.audit.entries("server.start", most=1)
        except AuditError as error:
            LOG.error("%s", error)
            before = []
        self.audit.note(PROGRAM, "server.start", settings=self.in_force)
        changed = changes(before[0].detail["settings"], self.in_force) if before else {}
        if changed:
            self.audit.note(PROGRAM, "settings.changed", changed=changed)

    def _tell_pruned(self, changed: Sequence[Changed]) -> None:
        self.audit.note(PROGRAM, "store.prune", files=len(changed), rows=sum(one.rows for one in changed))

    async def _keep(self) -> None:
        while True:
            for work in list(self.hourly):
                try:
                    await asyncio.to_thread(work)
                except VocalError as error:
                    self.count("hourly")
                    LOG.error("%s", error)
            await asyncio.sleep(HOUR_S)

    def _keep_audit(self) -> None:
        self.audit.prune(self.config.retention.audit_d)
        self.verify_audit()

    def verify_audit(self) -> Verdict:
        """Some milliseconds for each thousand entries: not on the event loop."""
        self.verdict = self.audit.verify()
        if self.verdict.broken is not None:
            LOG.error("audit log: broken at line %s: %s", self.verdict.broken.line, self.verdict.broken.why)
        return self.verdict

    def _tell_notices(self) -> None:
        new = self.notices - self._told_notices
        if new:
            self._told_notices = self.notices.copy()
            self.audit.note(PROGRAM, "notice.states", calls=new)

    def _hand_over(self, events: Sequence[LiveEvent]) -> None:
        """In the clock's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, events)

    def take(self, events: Sequence[LiveEvent]) -> None:
        self.hub.take(events)
        self.webhooks.take(events)
        self.live.levels_of = self.hub.levels_of
        if self.store is not None:
            self.store.take(events)
        for event in events:
            if isinstance(event, Notice | CallEnded):
                self._heed_notice(event)
            if isinstance(event, CallStarted):
                self._noting.submit(self._note_owner, event.call, event.metadata.agent)
            if self._told is not None and isinstance(event, Event):
                self._told(self.protect(event))
            if isinstance(event, CallEnded):
                for close in self._closers.pop(event.call, []):
                    close(event.reason)

    def _heed_notice(self, event: Notice | CallEnded) -> None:
        started = self.hub.started(event.call)
        if started is None:
            return
        if isinstance(event, Notice):
            said = "given" if event.given else "withdrawn"
            self.audit.note(PROGRAM, f"notice.{said}", event.call, basis=event.basis, transport=started.transport)
            return
        metadata, is_withdrawn = started.metadata, False
        for notice in self.hub.events_of(event.call):
            if isinstance(notice, Notice):
                metadata, is_withdrawn = stated(metadata, notice.given, notice.basis), not notice.given
        said = "consent" if metadata.consent else "notice" if metadata.notice else "none"
        self.notices["withdrawn" if is_withdrawn else said] += 1

    def _note_owner(self, call: str, agent: str | None) -> None:
        """In a thread of its own: the file waits for the disk."""
        try:
            self.answers.keep_own(call, agent)
        except VocalError as error:
            self.count("answers")
            LOG.error("%s", error)

    @property
    def keeps(self) -> bool:
        return self.store is not None

    @property
    def reader(self) -> StoreReader | None:
        """What is kept of calls; None: nothing is."""
        return None if self.store is None else self.store.reader()

    @property
    def limits(self) -> Limits:
        """Of how many agents and calls a figure of teams must be."""
        return Limits(self.config.privacy.least_agents, self.config.privacy.least_calls)

    def roll_figures(self) -> None:
        """Sum up what days, weeks and months that are over leave behind, before their calls are pruned."""
        if (reader := self.reader) is not None:
            try:
                roll(reader, datetime.now(UTC), self.answers.feedback_by_cue(), self.limits)
            except StoreError as error:
                self.count("figures")  # the store's own work goes on
                LOG.error("%s", error)

    def protect(self, event: Event) -> Event:
        """An event as it may be stored: without an agent's name, without a peer's address."""
        return self.access.pseudonyms.protect(event)

    def on_end(self, call: str, close: Callable[[str], None]) -> None:
        """`close(reason)` is called on the loop when a call has ended, whoever ended it."""
        self._closers.setdefault(call, []).append(close)

    def count(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1

    # Who is it?

    def principal(self, scope: Scope) -> Principal:
        """Whoever a request is from. Raises AccessError."""
        given = header(scope, b"authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer":
                raise AccessError("authorization: wanted a bearer token")
            return self.access.check(token.strip())
        for offered in scope.get("subprotocols", ()):
            if offered.startswith(f"{PROTOCOL}.token."):
                return self.access.check(offered.removeprefix(f"{PROTOCOL}.token."))
        cookie = session_of(scope)
        if cookie is not None:
            try:
                return self.access.check(cookie, ("session",))
            except AccessError:
                if not self.is_open:
                    raise
        if self.is_open:
            return LOCAL
        raise AccessError("not logged in")

    @property
    def is_framed_elsewhere(self) -> bool:
        """Whether a session is to hold in frames of other sites: only over TLS, else browsers would not keep it."""
        return self.is_tls and bool(set(self.config.server.frame_ancestors) - {"'self'", "'none'"})

    @property
    def is_open(self) -> bool:
        """Without accounts this machine's user may do everything; such a server listens on this machine only."""
        return not (self.config.server.closed or self.provider or self.access.has_accounts)

    # Calls

    def open_call(
        self,
        principal: Principal,
        transport: str,
        source: str,
        channels: tuple[Channel, ...],
        metadata: Metadata,
        call: str | None = None,
    ) -> Call:
        """A new call, as a transport asks for it on somebody's behalf. Agents open calls of their own only.

        Raises AccessError, CapacityError, UsageError.
        """
        if principal.role not in ("local", "ingest", "agent"):
            raise AccessError(f"{principal.role}: may not open calls")
        if principal.role == "agent":
            metadata = msgspec.structs.replace(metadata, agent=principal.agent, team=principal.team)
        if call is not None and self.hub.started(call) is not None:
            raise UsageError(f"call {call!r} was there already")
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        opened = Call(call or uuid.uuid4().hex, source, transport, started, channels, metadata)
        self.live.open(opened)
        return opened

    def metadata_of(self, call: str) -> Metadata | None:
        """What was said of a call that is open or ended lately."""
        state = self.live.call(call)
        if state is not None:
            return state.call.metadata
        started = self.hub.started(call)
        return None if started is None else started.metadata

    def view(self, principal: Principal, as_coach: bool = False) -> Callable[[LiveEvent], LiveEvent | None]:
        """What somebody may see. as_coach: this machine's user, who may see all, sees no more than a coach would."""

        def view(event: LiveEvent) -> LiveEvent | None:
            started = self.hub.started(event.call)
            if started is None:
                return None
            viewer = principal
            if as_coach and principal.role == "local":
                viewer = Principal("coach", "lead", team=started.metadata.team or "")
                if started.metadata.team is None:
                    started = msgspec.structs.replace(
                        started, metadata=msgspec.structs.replace(started.metadata, team="")
                    )
            return seen_by(viewer, event, started.metadata, self.access)

        return view


def load_live_emotion(config: Config) -> EmotionModel:
    return EmotionModel(Path(config.emotion.model) if config.emotion.model else None, config.emotion.threads)


def session_of(scope: Scope) -> str | None:
    """The session that a browser sends along."""
    for pair in (header(scope, b"cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None
