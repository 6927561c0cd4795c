"""The commands. Composes rooms, formats what they gave, knows exit codes: 0 done, 1 failed, 2 wrong use."""

import argparse
import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from vocal import __version__
from vocal.commands import accounts, audit, bench, doctor, models, privacy, report, store, webhooks
from vocal.commands.screen import ERR, OUT, Bars, announce_compiling, language
from vocal.config import Config, load_config
from vocal.errors import InputError, UsageError, VocalError
from vocal.types import CallEnded, CallStarted, Event, Language, Metadata

if TYPE_CHECKING:
    from vocal.analysis import Failure, Opener
    from vocal.replays.pace import Faults
    from vocal.store.store import Store


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see '{self.prog} --help')")


def main(arguments: Sequence[str] | None = None) -> int:
    """`vocal`: parse, run, turn errors into one line and an exit code."""
    try:
        given = _parser().parse_args(arguments)
        return int(given.run(given))
    except VocalError as error:
        ERR.print(f"vocal: {error}", markup=False, soft_wrap=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader of a pipe has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        ERR.print("vocal: interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="vocal", description="Listens to telephone calls: tempo, loudness, pitch, overlaps, the customer's mood."
    )
    parser.add_argument("--version", action="version", version=f"vocal {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    analyze = commands.add_parser(
        "analyze",
        help="recordings in; utterances, conversation, cues and a report out",
        description="Analyse recorded calls. Two channels: 0 is the agent unless --agent-channel 1. One file a side: "
        "--agent A --customer C. One channel: --role. A folder: every recording in it.",
    )
    analyze.add_argument("files", nargs="*", metavar="FILE", help="recordings, or folders of them")
    analyze.add_argument("--agent", metavar="FILE", help="the agent's side, with --customer")
    analyze.add_argument("--customer", metavar="FILE", help="the customer's side, with --agent")
    analyze.add_argument(
        "--agent-channel", type=int, choices=(0, 1), default=0, help="channel of the agent (default 0)"
    )
    analyze.add_argument("--role", choices=("agent", "customer", "unknown"), help="whose side a one-channel file is")
    analyze.add_argument(
        "--notice",
        action="store_true",
        help="the customer was informed: their emotion may be inferred (never the agent's)",
    )
    analyze.add_argument("--consent", action="store_true", help="the customer was informed and agreed")
    analyze.add_argument("--json", action="store_true", help="events, one JSON object a line, on standard output")
    analyze.add_argument(
        "--report", metavar="OUT", help="write the report: a .html file, or a folder for several calls"
    )
    analyze.add_argument("--store", metavar="DIR", help="keep the events in DIR, a folder or a URL")
    _add_common(analyze)
    analyze.set_defaults(run=_analyze)

    demo = commands.add_parser(
        "demo",
        help="live pages of the staged call that comes with Vocal, or its report",
        description="Plays a call of 89 s that was staged with synthetic voices, live, until it is stopped.",
    )
    demo.add_argument("--report", metavar="OUT", help="serve nothing: analyse the call, write its report")
    demo.add_argument("--port", type=int, default=8765, help="default %(default)s; 0: any that is free")
    _add_common(demo)
    demo.set_defaults(run=_demo)

    serve = commands.add_parser(
        "serve",
        help="listen to calls while they happen: API, live events and media endpoints",
        description="Serves on this machine only, unless told otherwise. Nothing else has to be started.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve.add_argument("--port", type=int, default=8765, help="default %(default)s; 0: any that is free")
    serve.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="its key, PEM")
    serve.add_argument("--insecure", action="store_true", help="let others reach it without accounts or TLS")
    serve.add_argument("--accounts", metavar="FILE", help="accounts and tokens (see vocal accounts)")
    serve.add_argument("--sip", metavar="HOST:PORT", help="take calls by SIP and SIPREC, too: UDP and TCP")
    serve.add_argument(
        "--sip-tls", metavar="HOST:PORT", help="the same over TLS; wants --tls-cert, or [sip] certificate"
    )
    serve.add_argument("--store", metavar="DIR", help="keep the events in DIR, a folder or a URL")
    serve.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")
    serve.add_argument("--audiosocket", metavar="HOST:PORT", help="listen for AudioSocket of Asterisk there")
    serve.add_argument("--speed", type=float, default=1.0, help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)

    for one in (accounts, audit, privacy):
        one.add(commands)

    replay = commands.add_parser(
        "replay",
        help="play a recording as a live call to a server",
        description="Plays a recording in real time to ws://HOST:PORT (WebSockets; --dialect as the platform that you "
        "want to connect), whip:http://HOST:PORT (WebRTC), sip:, siprec: or rtp:HOST:PORT.",
    )
    replay.add_argument("file", metavar="FILE")
    replay.add_argument(
        "--to",
        metavar="URL",
        required=True,
        help="ws://127.0.0.1:8765, whip:http://127.0.0.1:8765, sip:127.0.0.1:5060, siprec:127.0.0.1:5060 (with "
        ";transport=tcp or tls, NAME:PASSWORD@) or rtp:127.0.0.1:20000 (next channel: 20002)",
    )
    replay.add_argument("--agent-channel", type=int, choices=(0, 1), default=0, help="channel of the agent (default 0)")
    replay.add_argument("--role", choices=("agent", "customer", "unknown"), help="whose side a one-channel file is")
    replay.add_argument("--notice", action="store_true", help="the customer was informed")
    replay.add_argument("--consent", action="store_true", help="the customer was informed and agreed")
    replay.add_argument("--speed", type=float, default=1.0, help="faster than people speak (default 1)")
    replay.add_argument("--call", help="the call's id; default: the server makes one")
    for what in ("agent", "team", "queue", "touchpoint"):
        replay.add_argument(f"--{what}", help=f"{what} in the call's metadata")
    replay.add_argument(
        "--encoding",
        choices=("pcm_s16le", "opus", "alaw", "mulaw", "g722"),
        help="default: what the dialect is wont to, pcm_s16le over our own, opus over WebRTC, alaw over RTP and SIP",
    )
    replay.add_argument(
        "--dialect",
        metavar="NAME",
        default="pcm",
        help="over WebSockets: pcm (default), twilio, signalwire, telnyx, plivo, exotel, voximplant, audiohook, "
        "jambonz, fork (mod_audio_fork, mod_audio_stream), vonage, asterisk; audiosocket over TCP",
    )
    replay.add_argument("--api-key", metavar="KEY", help="audiohook: the API key")
    replay.add_argument(
        "--secret", help="audiohook: the client secret, base64; twilio: the auth token (or VOCAL_SECRET)"
    )
    replay.add_argument("--audiosocket", metavar="HOST:PORT", help="audiosocket: where the server listens for it")
    replay.add_argument(
        "--connections", type=int, choices=(1, 2), default=1, help="over WebRTC: 2 for one a side (default 1)"
    )
    replay.add_argument("--loop", action="store_true", help="play it again and again, each time as a new call")
    replay.add_argument("--jitter", type=float, default=0.0, metavar="MS", help="hold packets back by up to MS")
    replay.add_argument(
        "--loss", type=float, default=0.0, metavar="SHARE", help="leave out packets, 0-1; silence over TCP"
    )
    replay.add_argument(
        "--reorder", type=float, default=0.0, metavar="SHARE", help="but over TCP: put behind the next, 0-1"
    )
    replay.add_argument("--dtx", action="store_true", help="over WebRTC: send nothing while nothing is said (Opus)")
    replay.add_argument("--drift", type=float, default=0.0, metavar="PPM", help="a clock that runs too fast, or slow")
    replay.add_argument("--token", help="an API token (or VOCAL_TOKEN)")
    replay.set_defaults(run=_replay)

    watch = commands.add_parser("watch", help="live calls in the terminal")
    watch.add_argument("url", nargs="?", default="http://127.0.0.1:8765", metavar="URL", help="default %(default)s")
    watch.add_argument("--call", help="one call only")
    watch.add_argument("--json", action="store_true", help="events, one JSON object a line, on standard output")
    watch.add_argument("--token", help="an API token (or VOCAL_TOKEN)")
    watch.add_argument("--lang", choices=("de", "en"), default=language(), help="language (default here: %(default)s)")
    watch.set_defaults(run=_watch)

    for command in (doctor, bench, models, report, store, webhooks):
        command.add(commands)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=("de", "en"), default=language(), help="language (default here: %(default)s)")
    parser.add_argument("--model", metavar="DIR", help="an emotion model of your own (or VOCAL_EMOTION_MODEL)")
    parser.add_argument("--config", metavar="FILE", help="settings, TOML (or VOCAL_CONFIG)")


def _config(given: argparse.Namespace) -> Config:
    config = load_config(given.config)
    if given.model is None:
        return config
    return msgspec.structs.replace(config, emotion=msgspec.structs.replace(config.emotion, model=given.model))


# analyze and demo


def _analyze(given: argparse.Namespace) -> int:
    from vocal.transports.files import find_recordings, open_call, open_pair

    config = _config(given)
    if (given.agent is None) != (given.customer is None):
        raise UsageError("--agent and --customer go together: one recording for each side")
    if given.agent is not None:
        if given.files:
            raise UsageError("wanted either FILE... or --agent A --customer C, got both")
        return _run(given, config, [(given.agent, partial(open_pair, given.agent, given.customer))], [])
    if not given.files:
        raise UsageError("wanted a recording: vocal analyze FILE (or vocal demo for the staged call)")
    openers: list[tuple[str, Opener]] = []
    failures: list[Failure] = []
    for file in given.files:
        try:
            found = find_recordings(file) if Path(file).is_dir() else [file]
        except InputError as error:
            failures.append((file, error))
            continue
        openers += [(str(one), partial(open_call, one, given.agent_channel, given.role)) for one in found]
    return _run(given, config, openers, failures)


def _demo(given: argparse.Namespace) -> int:
    from vocal.demo import call_path
    from vocal.transports.files import open_call

    if not given.report:
        return _demo_live(given)
    given.json, given.store, given.notice, given.consent = False, None, True, True
    path = call_path()
    return _run(given, _config(given), [(str(path), partial(open_call, path))], [])


def _demo_live(given: argparse.Namespace) -> int:
    from vocal.access import LINK_S, Access, Principal
    from vocal.live import Live
    from vocal.running import run
    from vocal.server import build_app
    from vocal.service import Service, load_live_emotion

    config = load_config(given.config)
    announce_compiling()
    emotion = load_live_emotion(config)
    access = Access()

    def on_ready(port: int) -> None:
        # Two names of this machine, so that one browser can be both: a name has one login.
        agent = access.issue(Principal("demo agent", "agent", DEMO.agent, DEMO.team), "link", LINK_S)
        coach = access.issue(Principal("demo coach", "lead", team=DEMO.team), "link", LINK_S)
        asked = f"?lang={given.lang}"
        for name, page in (
            ("Agent's page", f"localhost:{port}/login/{agent}?to=/agent{asked}"),
            ("Coach's wall", f"127.0.0.1:{port}/login/{coach}?to=/coach{asked}"),
            ("Softphone", f"127.0.0.1:{port}/softphone{asked}"),
            ("Reports", f"localhost:{port}/reports{asked}"),
        ):
            OUT.print(f"{name:<13} http://{page}", markup=False, soft_wrap=True)
        OUT.print("A staged call runs again and again. Each of the first two links logs in once; Ctrl-C ends.")
        OUT.print("Its reports are the agent's, whom the first link logs in, and go when the demo ends.")
        threading.Thread(target=_play_again_and_again, args=(f"http://127.0.0.1:{port}",), daemon=True).start()

    with tempfile.TemporaryDirectory(prefix="vocal-demo-") as folder:
        service = Service(config, access, lambda sink: Live(sink, config, emotion), _store(config, folder))
        run(build_app(service), "127.0.0.1", given.port, None, None, on_ready)
    return 0


DEMO = Metadata("Rechnung", "Demo", "demo", "de", notice=True, consent=True)
BETWEEN_DEMOS_S = 20.0


def _play_again_and_again(url: str) -> None:
    from vocal.demo import call_path
    from vocal.replays.websocket import replay
    from vocal.replays.whip import replay_whip
    from vocal.transports.files import open_call

    while True:
        try:
            with open_call(call_path()) as source:
                replay_whip(source, f"whip:{url}", DEMO, coding="pcma")
        except InputError:
            # No network but the loopback, over which WebRTC finds no way; or the server has stopped.
            with contextlib.suppress(InputError), open_call(call_path()) as source:
                replay(source, url, DEMO)
        time.sleep(BETWEEN_DEMOS_S)


def _run(
    given: argparse.Namespace,
    config: Config,
    openers: "list[tuple[str, Opener]]",
    failures: "list[Failure]",
) -> int:
    from vocal.analysis import run
    from vocal.terminal import call_tables, calls_table

    count = len(openers) + len(failures)
    several = count > 1
    report = _ReportWriter(given.report, several, given.lang)
    store = _store(config, given.store)
    announce_compiling()
    keep_utterances = not given.json or given.report
    open_calls: dict[str, list[Event]] = {}
    summaries: list[list[Event]] = []

    def on_event(event: Event) -> None:
        if given.json:
            sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
        if store is not None:
            store(event)
        if not keep_utterances:
            return
        events = open_calls.setdefault(event.call, [])
        events.append(event)
        if isinstance(event, CallEnded):
            del open_calls[event.call]
            report(events)
            if not given.json:
                summaries.append(events if not several else _ends(events))

    bars = Bars(given.json)
    metadata = Metadata(notice=given.notice, consent=given.consent)
    with store or contextlib.nullcontext(), bars.progress:
        failures += run(openers, on_event, config, metadata, bars.show, _note)
    sys.stdout.flush()
    if not given.json and summaries:
        if several:
            OUT.print(calls_table(summaries, given.lang))
        else:
            for table in call_tables(summaries[0], given.lang):
                OUT.print(table)
    for path in report.written:
        ERR.print(f"report: {path}", markup=False, soft_wrap=True)
    if not failures:
        return 0
    for name, error in failures:
        shown = str(error) if Path(name).name in str(error) else f"{name}: {error}"
        ERR.print(f"vocal: {shown}", markup=False, soft_wrap=True)
    if several:
        ERR.print(f"vocal: {len(failures)} of {count} failed, the others are done")
    return max(error.exit_code for _, error in failures)


def _store(config: Config, folder: str | None) -> "Store | None":
    folder = folder or config.store.folder
    if not folder:
        return None
    from vocal.store.store import Store  # pyarrow takes 0.2 s

    return Store(folder, config.store.spool)


def _ends(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, (CallStarted, CallEnded))]


def _note(name: str, note: str) -> None:
    ERR.print(f"vocal: {name}: {note}", markup=False, soft_wrap=True)


class _ReportWriter:
    """Writes each call's page as soon as the call has ended."""

    def __init__(self, out: str | None, several: bool, language: Language) -> None:
        self._out = Path(out) if out else None
        self._language = language
        self._is_folder = self._out is not None and (several or self._out.is_dir())
        self.written: list[Path] = []
        if self._out is None:
            return
        if several and self._out.suffix.lower() in (".html", ".htm"):
            raise UsageError(f"--report {out}: several calls need a folder, not one page")
        try:
            (self._out if self._is_folder else self._out.parent).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--report {out}: cannot be made: {error.strerror}") from None

    def __call__(self, events: list[Event]) -> None:
        if self._out is None:
            return
        from vocal.reports.call import call_report

        path = self._out
        if self._is_folder:
            stem = Path(next(event.source for event in events if isinstance(event, CallStarted))).stem
            path = self._out / f"{stem}.html"
            number = 2
            while path in self.written:
                path = self._out / f"{stem}-{number}.html"
                number += 1
        try:
            path.write_text(call_report(events, self._language), "utf-8")
        except OSError as error:
            raise InputError(f"{path}: cannot write the report: {error.strerror}") from None
        self.written.append(path)


# serve, replay and watch


def _serve(given: argparse.Namespace) -> int:
    from vocal.access import Access
    from vocal.answers import Answers
    from vocal.commands.evidence import open_evidence
    from vocal.doors.sip import check_sip
    from vocal.live import Live
    from vocal.running import check_exposure, run
    from vocal.server import build_app
    from vocal.service import Service, load_live_emotion

    config = _with_sip(load_config(given.config), given)
    if given.audiosocket is not None:
        media = msgspec.structs.replace(config.media, audiosocket=given.audiosocket)
        config = msgspec.structs.replace(config, media=media)
    if (given.tls_cert is None) != (given.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    for file in filter(None, (given.tls_cert, given.tls_key)):
        if not os.access(file, os.R_OK):
            raise UsageError(f"{file}: cannot be read")
    check_sip(config.sip)
    accounts = given.accounts or config.server.accounts or ":memory:"
    pseudonyms, audit = open_evidence(config, given.store, given.accounts)
    access = Access(accounts, pseudonyms=pseudonyms)
    is_tls = given.tls_cert is not None or bool(config.server.proxies)
    check_exposure(given.host, access.has_accounts or bool(config.oidc.issuer), is_tls, given.insecure)
    announce_compiling()
    emotion = load_live_emotion(config)
    service = Service(
        config,
        access,
        lambda sink: Live(sink, config, emotion, speed=given.speed),
        _store(config, given.store),
        is_tls,
        given.host in LOOPBACK_NAMES and not config.server.proxies,
        Answers(config.server.answers or accounts, keep=config.retention.times.calls),
        audit,
    )

    def on_ready(port: int) -> None:
        # What stands now stays. The collector's long looks at all of it would make ticks late.
        gc.collect()
        gc.freeze()
        scheme = "https" if given.tls_cert else "http"
        OUT.print(f"Vocal listens on {scheme}://{given.host}:{port}", markup=False, soft_wrap=True)
        for what, where in service.listening.items():
            OUT.print(f"{what} on {where}", markup=False, soft_wrap=True)

    run(build_app(service), given.host, given.port, given.tls_cert, given.tls_key, on_ready, config.server.proxies)
    return 0


def _with_sip(config: Config, given: argparse.Namespace) -> Config:
    """The settings, with what the command line says of SIP."""
    replace = msgspec.structs.replace
    sip = config.sip
    if given.sip:
        sip = replace(sip, listen=given.sip)
    if given.sip_tls:
        certificate, key = sip.certificate or given.tls_cert or "", sip.key or given.tls_key or ""
        sip = replace(sip, tls_listen=given.sip_tls, certificate=certificate, key=key)
    return replace(config, sip=sip)


MOST_DRIFT_PPM = 10_000.0
OVER_UDP = ("whip", "rtp", "sip", "siprec")
OVER = "whip:http://HOST:PORT, rtp: or sip:"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


def _replay(given: argparse.Namespace) -> int:
    while True:
        _replay_once(given)
        if not given.loop:
            return 0


def _replay_once(given: argparse.Namespace) -> None:
    from vocal.replays.dialects import encodings_of
    from vocal.replays.pace import Faults
    from vocal.replays.websocket import replay
    from vocal.transports.files import open_call

    for name in ("loss", "reorder"):
        if not 0.0 <= getattr(given, name) <= 1.0:
            raise UsageError(f"--{name}: wanted a share, 0 to 1, got {getattr(given, name)}")
    if given.jitter < 0.0:
        raise UsageError(f"--jitter: wanted 0 ms or more, got {given.jitter}")
    if abs(given.drift) > MOST_DRIFT_PPM:
        raise UsageError(f"--drift: wanted at most {MOST_DRIFT_PPM:.0f} ppm, got {given.drift}")
    is_whip = given.to.startswith("whip:")
    scheme = given.to.partition(":")[0]
    if given.reorder and scheme not in OVER_UDP:
        raise UsageError(f"--reorder: TCP keeps the order of what is sent; wanted {OVER}, got {given.to}")
    for name, is_given in (("dtx", given.dtx), ("connections", given.connections > 1)):
        if is_given and not is_whip:
            raise UsageError(f"--{name}: that is for WebRTC; wanted whip:http://HOST:PORT, got {given.to}")
    if scheme in OVER_UDP and given.dialect != "pcm":
        raise UsageError(f"--dialect {given.dialect}: wanted ws://HOST:PORT, got {given.to}")
    encodings: tuple[str, ...] = ("opus", "alaw", "mulaw") if is_whip else encodings_of(given.dialect)
    if scheme in ("rtp", "sip", "siprec"):
        encodings = ("alaw", "mulaw", "g722")
    encoding = given.encoding or encodings[0]
    if encoding not in encodings:
        what = given.dialect if scheme in ("ws", "wss") else given.to
        raise UsageError(f"--encoding {encoding}: wanted {', '.join(encodings)} for {what}")
    faults = Faults(given.jitter, given.loss, given.drift, given.reorder)
    said = (given.queue, given.team, given.agent, None, given.notice, given.touchpoint)
    metadata = Metadata(*said, consent=given.consent)
    token = given.token or os.environ.get("VOCAL_TOKEN")
    if scheme in ("rtp", "sip", "siprec"):
        _replay_native(given, faults, metadata)
        return
    with open_call(given.file, given.agent_channel, given.role) as source:
        bars = Bars(False)
        show = partial(bars.show, given.file, whole_s=source.duration_s)
        common: dict[str, Any] = {"call": given.call, "speed": given.speed, "faults": faults, "token": token}
        with bars.progress:
            if is_whip:
                from vocal.replays.whip import replay_whip  # aiortc takes 0.4 s

                coding = {"alaw": "pcma", "mulaw": "pcmu"}.get(encoding, encoding)
                call, lost = replay_whip(
                    source,
                    given.to,
                    metadata,
                    coding=coding,  # type: ignore[arg-type]
                    connections=given.connections,
                    dtx=given.dtx,
                    on_progress=show,
                    **common,
                )
                if lost:
                    ERR.print(f"packets left out: {lost}")
            else:
                call = replay(
                    source,
                    given.to,
                    metadata,
                    encoding=encoding,  # type: ignore[arg-type]
                    dialect=given.dialect,
                    api_key=given.api_key,
                    secret=given.secret or os.environ.get("VOCAL_SECRET"),
                    audiosocket=given.audiosocket,
                    on_progress=show,
                    **common,
                )
    ERR.print(f"call: {call}", markup=False, soft_wrap=True)


def _replay_native(given: argparse.Namespace, faults: "Faults", metadata: Metadata) -> None:
    from vocal.replays.rtp import replay_rtp
    from vocal.replays.sip import replay_sip
    from vocal.transports.files import open_call

    if given.speed != 1.0:
        raise UsageError("--speed: RTP is sent as people speak, 1")
    coding: Any = {"mulaw": "pcmu", "g722": "g722"}.get(given.encoding, "pcma")
    with open_call(given.file, given.agent_channel, given.role) as source:
        bars = Bars(False)
        show = partial(bars.show, given.file, whole_s=source.duration_s)
        with bars.progress:
            if given.to.startswith("rtp:"):
                counts = replay_rtp(source, given.to, coding=coding, faults=faults, on_progress=show)
            else:
                call, lost = replay_sip(source, given.to, metadata, coding=coding, faults=faults, on_progress=show)
    if given.to.startswith("rtp:"):
        ERR.print(f"packets sent: {counts.packets}, left out: {counts.lost}, reports that came: {counts.reports}")
        return
    if lost:
        ERR.print(f"packets left out: {lost}")
    ERR.print(f"call: {call}", markup=False, soft_wrap=True)


def _watch(given: argparse.Namespace) -> int:
    from vocal.watch import watch

    watch(given.url, given.token or os.environ.get("VOCAL_TOKEN"), given.call, given.json, given.lang, OUT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
