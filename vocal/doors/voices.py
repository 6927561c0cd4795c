"""The voices of SIP calls: which media lines of an offer are taken, on which channel, and by whose right."""

import time
from collections.abc import Callable, Sequence

from vocal.errors import UsageError
from vocal.service import Service
from vocal.transports.rtp import Coding, MediaEvent, MediaPlane, RtpStream
from vocal.transports.sdp import Chosen, Media, Origin, answer_media, choose, offer_media, parse_sdp
from vocal.transports.sip_dialog import Dialog, Flow
from vocal.transports.siprec import Participant, Recording, sides
from vocal.transports.srtp import SrtpKeys
from vocal.types import Role
from vocal.urgency import RECEIVING

_ROLES: dict[bool | None, Role] = {True: "agent", False: "customer", None: "unknown"}


class Refused(Exception):
    """A request that gets another answer than 200."""

    def __init__(self, status: int, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class Voice:
    """One media line that is taken. sender: who speaks on it, as an address; is_away: now it is somebody whose role is
    not that of its channel."""

    def __init__(self, channel: int, role: Role, stream: RtpStream, chosen: Chosen, sender: str = "") -> None:
        self.channel, self.role, self.stream, self.chosen, self.sender = channel, role, stream, chosen, sender
        self.is_held = self.is_away = False


class Leg:
    """One dialog's part in a call. voices: of each media line, in order; None: it was refused."""

    def __init__(self, call: str, is_recording: bool, origin: Origin) -> None:
        self.call, self.is_recording, self.origin = call, is_recording, origin
        self.dialog: Dialog | None = None
        self.voices: list[Voice | None] = []
        self.media: tuple[Media, ...] = ()
        self.recording = Recording()
        self.party: Participant | None = None
        self.said = b""
        self.awaits_answer = False
        self.since_s = time.monotonic()


class Voices:
    """Opens, moves, holds and closes the streams of legs. of: all legs of a call."""

    def __init__(self, service: Service, of: Callable[[str], list[Leg]]) -> None:
        self._service, self._live, self._config = service, service.live, service.config.sip
        self._plane: MediaPlane | None = None
        self.of = of
        self._held: set[str] = set()  # calls on which nothing needs to come
        self.counts = dict.fromkeys(("holds", "away", "extra_streams", "keys", "media_timeouts"), 0)

    def start(self) -> None:
        self._plane = MediaPlane(self._service.config.rtp, self._live.media_clock)
        self._live.urgency.take_in(self._plane.numbers, RECEIVING)

    def stop(self) -> None:
        plane, self._plane = self._plane, None
        if plane is not None:
            self._live.urgency.forget(plane.numbers)
            plane.close()

    def look(self) -> None:
        """What happened on streams is counted. A call on hold is not idle: session timers look after its peer."""
        events: list[MediaEvent] = [] if self._plane is None else self._plane.take_events()
        self.counts["keys"] += sum(one.kind == "key" for one in events)
        self.counts["media_timeouts"] += sum(one.kind == "timeout" for one in events)
        self._held = {call for call in self._held if self._live.call(call) is not None}
        for call in self._held:
            self._live.touch(call)

    def close(self, leg: Leg) -> None:
        for voice in leg.voices:
            self.drop(voice)
        leg.voices = []

    def sender(self, leg: Leg, media: Media) -> Participant | None:
        return None if media.label is None else leg.recording.sender(media.label, self._config.in_order)

    def negotiate(self, leg: Leg, media: Sequence[Media] | None, flow: Flow) -> bytes:
        """What we say to an offer, with streams opened, moved, held and closed as it wants; without one, our offer."""
        if media is None:
            return self._offer(leg, flow)
        changed: list[Voice | None] = []
        try:
            sections = [self._line(leg, place, offered, changed, flow) for place, offered in enumerate(media)]
            if not any(changed) and leg.dialog is None:
                raise Refused(488)
        except BaseException:
            for voice in changed:
                if voice not in leg.voices:
                    self.drop(voice)
            raise
        for voice in leg.voices:
            if voice not in changed:
                self.drop(voice)
        leg.voices, leg.media = changed, tuple(media)
        self.check(leg)
        leg.said = leg.origin.sdp("".join(sections))
        return leg.said

    def _line(self, leg: Leg, place: int, offered: Media, changed: list[Voice | None], flow: Flow) -> str:
        """What we say to one media line; its voice goes to `changed`."""
        voice = leg.voices[place] if place < len(leg.voices) else None
        chosen = choose(offered, self._config.codecs)
        if chosen is None:
            changed.append(None)
            return answer_media(offered, None, 0)
        if voice is not None and voice.chosen.ours is not None and chosen.ours is not None:
            # The key that we send with stays: only theirs may change.
            chosen = chosen._replace(ours=chosen.ours._replace(key=voice.chosen.ours.key))
        voice = self._moved(leg, voice, offered, chosen, flow, [*changed, *leg.voices[place + 1 :]])
        changed.append(voice)
        return answer_media(offered, chosen if voice else None, voice.stream.port if voice else 0)

    def _moved(
        self, leg: Leg, voice: Voice | None, offered: Media, chosen: Chosen, flow: Flow, others: Sequence[Voice | None]
    ) -> Voice | None:
        """A line's voice as the offer has it now: a new stream, or the one before, moved. None: there is no place."""
        if voice is None:
            voice = self._opened(leg, offered, chosen, flow, others)
        else:
            moved = voice.chosen != chosen
            payloads, keys = (_payloads(chosen), _keys(chosen)) if moved else (None, None)
            try:
                voice.stream.update(remote=offered.remote, payloads=payloads, keys=keys)
            except (ValueError, RuntimeError) as error:
                raise UsageError(f"RTP from {offered.host}: {error}") from None
            voice.chosen = chosen
        if voice is not None:
            self.counts["holds"] += offered.is_held and not voice.is_held
            voice.is_held = offered.is_held
        return voice

    def _opened(
        self, leg: Leg, offered: Media, chosen: Chosen, flow: Flow, others: Sequence[Voice | None]
    ) -> Voice | None:
        state = self._live.call(leg.call)
        if state is None or self._plane is None:
            raise UsageError("the call has ended")
        taken = {one.channel for one in others if one is not None}
        free = [one for one in state.call.channels if one.channel not in taken]
        sender = self.sender(leg, offered)
        if leg.is_recording:
            role = self.roles(leg, [offered])[0]
            free = [one for one in free if one.role == role] or [one for one in free if one.role == "unknown"]
        elif len(state.call.channels) == 2 and leg.party is not None:
            free = [one for one in free if one.role == leg.party.id]
        if not free:
            self.counts["extra_streams"] += 1
            return None
        playout = self._live.attach(leg.call, free[0].channel)
        stream = self._plane.open(
            playout,
            _payloads(chosen),
            host=self._bind_host(flow),
            remote=offered.remote,
            keys=_keys(chosen),
            mux=offered.is_muxed,
        )
        return Voice(free[0].channel, free[0].role, stream, chosen, sender.aor if sender is not None else "")

    def _bind_host(self, flow: Flow) -> str:
        """Where media come in: at the address that we have, which need not be the one that peers see."""
        if not self._config.address:
            return flow.local[0]
        return "::" if ":" in flow.local[0] else "0.0.0.0"

    def roles(self, leg: Leg, media: Sequence[Media]) -> tuple[Role, ...]:
        """Whose voices lines have, as all that is known of the session says it."""
        lines = [self.sender(leg, one) for one in media]
        labels = dict.fromkeys(leg.recording.labels.values())
        everybody = [leg.recording.sender(label, self._config.in_order) for label in labels]
        known = sides([*lines, *everybody], self._config.internal, self._config.external)
        return tuple(_ROLES[one] for one in known[: len(lines)])

    def _offer(self, leg: Leg, flow: Flow) -> bytes:
        """Our offer, to an INVITE that has none; the answer comes with its ACK."""
        leg.awaits_answer = True
        if leg.dialog is not None:
            return leg.said
        state = self._live.call(leg.call)
        if state is None or self._plane is None:
            raise UsageError("the call has ended")
        role = leg.party.id if leg.party is not None and len(state.call.channels) == 2 else state.call.channels[0].role
        channel = next(one for one in state.call.channels if one.role == role)
        codings = tuple(dict.fromkeys(self._config.codecs))
        section = offer_media(1, codings)
        offered = parse_sdp(b"v=0\r\n" + section.encode()).media[0]
        chosen = choose(offered, codings)
        assert chosen is not None
        everything = Chosen(offered.codecs, None, None)
        playout = self._live.attach(leg.call, channel.channel)
        stream = self._plane.open(playout, _payloads(everything), host=self._bind_host(flow))
        leg.voices = [Voice(channel.channel, channel.role, stream, everything)]
        leg.said = leg.origin.sdp(offer_media(stream.port, codings))
        return leg.said

    def drop(self, voice: Voice | None) -> None:
        if voice is not None:
            voice.stream.close()

    def check(self, leg: Leg) -> None:
        """A stream is taken as long as its sender has the role that its channel was opened with; and where none is, the
        call is on hold."""
        for offered, voice in zip(leg.media, leg.voices, strict=False):
            if voice is not None:
                if leg.is_recording and voice.role != "unknown":
                    self._check_sender(leg, offered, voice)
                voice.stream.update(is_held=voice.is_held or voice.is_away)
        voices = [voice for one in {leg, *self.of(leg.call)} for voice in one.voices if voice is not None]
        if self._live.call(leg.call) is not None and voices:
            is_held = all(one.is_held or one.is_away for one in voices)
            (self._held.add if is_held else self._held.discard)(leg.call)
            self._live.hold(leg.call, is_held)
            self._live.touch(leg.call)

    def answered(self, leg: Leg, media: Sequence[Media]) -> None:
        """What the peer answers to our offer."""
        for voice, line in zip(leg.voices, media, strict=False):
            chosen = choose(line, self._config.codecs)
            if voice is not None and chosen is not None:
                voice.stream.update(remote=line.remote, payloads=_payloads(chosen))
                voice.is_held = line.is_held
        if len(media) >= len(leg.voices):
            leg.media = tuple(media[: len(leg.voices)])
        self.check(leg)

    def _check_sender(self, leg: Leg, offered: Media, voice: Voice) -> None:
        sender = self.sender(leg, offered)
        address = "" if sender is None else sender.aor
        is_away = address != voice.sender or sender is None
        if is_away and self.roles(leg, [offered])[0] == voice.role:
            voice.sender, is_away = address, False
        self.counts["away"] += is_away and not voice.is_away
        voice.is_away = is_away


def _payloads(chosen: Chosen) -> dict[int, Coding]:
    return {one.payload: Coding(one.coding, one.clock_hz) for one in chosen.codecs}


def _keys(chosen: Chosen) -> SrtpKeys | None:
    if chosen.crypto is None or chosen.ours is None:
        return None
    return SrtpKeys(chosen.crypto.key, chosen.ours.key, chosen.crypto.suite)
