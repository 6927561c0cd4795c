"""Settings: one frozen class per room, read once from TOML and the environment.

    [boundary]                      VOCAL_BOUNDARY_HANGOVER_MS=400
    hangover_ms = 400

The environment wins over the file, the file over the defaults. An unknown key is an error that names its nearest
neighbour. The emotion stage has no switch for agents here: policy.py decides, and `privacy.basis` alone reaches it,
which can only want more before a customer's emotion is inferred.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from vocal.errors import ConfigError, unknown
from vocal.policy import LEAST_AGENTS, LEAST_CALLS, RETENTION, Retention
from vocal.types import Basis, PersonRole


class PlayoutConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long packets wait to be put in order, in ms; it grows to `most_lag_ms` where they come late.

    stream_lag_ms: the same over TCP. hold_ms: where packets stop, audio counts as lost for so long, then as not sent.
    """

    lag_ms: float = 60.0
    most_lag_ms: float = 200.0
    stream_lag_ms: float = 100.0
    hold_ms: float = 200.0


class BoundaryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When speech begins and ends on a channel. Scores 0-1; times in ms, in steps of 10.

    detector: what gives the score; webrtcvad is the plain fallback, which says 0 or 1 and takes noise for speech.
    webrtcvad_mode: 0 hears most, 3 is the strictest.
    """

    detector: Literal["network", "webrtcvad"] = "network"
    webrtcvad_mode: Annotated[int, msgspec.Meta(ge=0, le=3)] = 2
    onset_score: float = 0.7
    offset_score: float = 0.4
    onset_ms: int = 80
    hangover_ms: int = 300
    pre_roll_ms: int = 30
    longest_s: float = 15.0


class EmotionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model; empty: the one that ships. threads: for onnxruntime."""

    model: str = ""
    threads: int = 1


class ConversationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as what between two voices, in seconds."""

    overlap_counted_s: float = 1.0
    backchannel_s: float = 0.7
    non_talk_s: float = 3.0
    mood_memory_s: float = 3.0
    trend_s: float = 30.0
    report_every_s: int = 5


class RulesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules' TOML file; empty: the one that ships."""

    file: str = ""


class LiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls are taken while others run.

    most_calls: open at once. most_busy: share of a tick that its work may take, 0-1. idle_s: a call on which nothing
    came for so long is ended. threads: over which a tick's work is shared out; 0: one for each core, at most 4.
    real_time: these threads, and behind them those that receive RTP, go before all others of the machine, where the
    system permits it.
    """

    most_calls: int = 1000
    most_busy: float = 0.75
    idle_s: float = 120.0
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    real_time: bool = True


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may connect, and how much.

    accounts: SQLite file of accounts and tokens; empty: none, and only this machine's user is served. answers: SQLite
    file of what agents answered; empty: the accounts' file. closed: wants a login even where there are no accounts.
    origins: of pages elsewhere that may call and connect; hosts: names this server goes by; frame_ancestors: pages that
    may embed ours, as in a content security policy. proxies: addresses of those that speak TLS to clients in our place;
    what their X-Forwarded-For and X-Forwarded-Proto say is believed. Rates are for each address. most_body: bytes of a
    request. hello_s: until a media connection must have said what comes.
    """

    accounts: str = ""
    answers: str = ""
    closed: bool = False
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ("'self'",)
    proxies: tuple[str, ...] = ()
    logins_burst: float = 10.0
    logins_per_s: float = 0.1
    opens_burst: float = 200.0
    opens_per_s: float = 50.0
    most_body: int = 65_536
    hello_s: float = 10.0


class OidcConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Signing in by OpenID Connect; issuer empty: not offered.

    issuer: URL, as the provider calls itself. client_id, client_secret: as it knows this server; without a secret PKCE
    alone protects. redirect_url: our /login/oidc/callback as the provider knows it; empty: as the browser sees this
    server. name: what the button calls the provider. scopes: asked for beside openid. groups_claim: where the groups
    stand, a path with dots in nested claims; groups: what each makes somebody, the first that fits. id_claim: the id
    by which calls name somebody; team_claim: their team.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    redirect_url: str = ""
    name: str = "OpenID Connect"
    scopes: tuple[str, ...] = ("profile",)
    groups_claim: str = "groups"
    groups: dict[str, PersonRole] = {}
    id_claim: str = "sub"
    team_claim: str = "team"


class WebrtcConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls by WebRTC, in seconds.

    connect_s: until a connection must stand. gone_s: nothing came for so long: it is lost. grace_s: until a lost one
    must be back, else its call ends. invite_s: how long an invitation serves. most_connecting: connections that do not
    stand yet.

    Where media come in: addresses: of this machine that are offered; none: all, or loopback alone where the server
    listens there. ports: first and last UDP port. public: the address that others know this machine by, where a NAT
    passes these ports through. stun: of servers that tell us that address, such as stun:HOST:PORT; none are asked
    unless named. turn: of a relay, such as turn:HOST:3478?transport=udp, for us and for the softphone; with turn_user
    and turn_password, or the turn_secret of which it and we make them for a day.
    """

    connect_s: float = 15.0
    gone_s: float = 15.0
    grace_s: float = 10.0
    invite_s: float = 900.0
    most_connecting: int = 200
    addresses: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None
    public: str = ""
    stun: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    turn_user: str = ""
    turn_password: str = ""
    turn_secret: str = ""


SipCodec = Literal["pcma", "pcmu", "g722", "l16", "opus", "g729"]


class SipConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls by SIP, and SIPREC recordings.

    listen: HOST:PORT for UDP and TCP; empty: no SIP. tls_listen, with certificate and key, PEM files. address: what we
    call ourselves, where peers do not see the address that we have. networks: who may come, as 10.0.0.0/8 or one
    address. passwords: by name; whoever calls must know one, where there are any. codecs: taken, of pcma, pcmu, g722,
    l16, opus, g729.

    internal: who belongs to the house: `7000-7999`, a glob such as `8??` or `*@pbx.example`, or NAME=GLOB for a header
    or an element of the metadata; external: who may be a caller of theirs. Where nobody of a call is known to be of the
    house, nobody's role in it is known. in_order: where metadata do not say who sends which stream, they do in order.
    one_leg: whose voice a call of one leg has; side_by: a header that says `internal` or `external` instead. joined_by:
    a header that two legs of one call have in common. informed_by, agreed_by, queue_by, touchpoint_by, language_by:
    headers, or elements of the metadata, with the notice and the consent (`yes`), the queue, the touchpoint and the
    language.

    most_call_s: no call is longer. most_connections: by TCP and TLS.
    """

    listen: str = ""
    tls_listen: str = ""
    certificate: str = ""
    key: str = ""
    address: str = ""
    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    realm: str = "vocal"
    passwords: dict[str, str] = {}
    codecs: tuple[SipCodec, ...] = ("pcma", "pcmu", "g722", "l16", "opus", "g729")
    internal: tuple[str, ...] = ("Vocal-Side=internal",)
    external: tuple[str, ...] = ("*",)
    in_order: bool = False
    one_leg: Literal["agent", "customer", "unknown"] = "unknown"
    side_by: str = "Vocal-Side"
    joined_by: str = "Vocal-Call"
    informed_by: str = "Vocal-Notice"
    agreed_by: str = "Vocal-Consent"
    queue_by: str = "Vocal-Queue"
    touchpoint_by: str = "Vocal-Touchpoint"
    language_by: str = "Vocal-Language"
    most_call_s: float = 14_400.0
    most_connections: int = 1000


class RtpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where RTP comes in.

    first_port, last_port: of our UDP ports, even ones for RTP, the odd ones above them for RTCP; first_port 0: any.
    threads: that receive; 0: one for each core, at most 4. latches: packets are taken from where they come, as from
    behind a NAT; else only from where signalling says. timeout_s: nothing came for so long. report_s: between our
    reports to a sender; 0: none. receive_bytes: that wait at a port.
    """

    first_port: Annotated[int, msgspec.Meta(ge=0, le=65534)] = 20_000
    last_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 29_999
    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    latches: bool = True
    timeout_s: float = 30.0
    report_s: float = 5.0
    receive_bytes: int = 65_536


class MediaConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls over WebSockets and AudioSocket, by dialect: twilio, telnyx, audiohook, jambonz, ...

    tracks: whose voice each track of a dialect is, such as {"twilio": {"inbound": "customer", "outbound": "agent"}}; a
    track that is not named is of unknown role. names: what peers call our metadata (queue, touchpoint, team, agent,
    language, notice, consent, call), where it is not that. codings: of peers whose messages mislead: ulaw, alaw,
    s16le, l16. url: this server as peers call it, wss://HOST, where a proxy stands before it: signatures cover it.
    audiohook_keys: the client secret (base64, empty: none) of each API key. twilio_tokens: auth tokens of the accounts
    that may connect. signature_age_s: how old a signature may be. audiosocket: HOST:PORT to listen on; empty: nowhere.
    In the environment tables and lists are JSON.
    """

    tracks: dict[str, dict[str, Literal["agent", "customer", "unknown"]]] = {}
    names: dict[str, str] = {}
    codings: dict[str, Literal["ulaw", "alaw", "s16le", "l16"]] = {}
    url: str = ""
    audiohook_keys: dict[str, str] = {}
    twilio_tokens: tuple[str, ...] = ()
    signature_age_s: float = 10.0
    audiosocket: str = ""


EventKind = Literal["call_started", "utterance", "mood", "conversation", "cue", "notice", "call_ended"]


class PrivacyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted before a customer's emotion is inferred, and where secrets and evidence lie.

    basis: "notice": that they were informed; "consent": that they agreed as well, call by call. keys: folder of the
    keys of pseudonyms, of marks and of the audit log, not in the store; empty: beside the store, STORE.keys. audit: the
    audit log's file; empty: beside the store, STORE.audit.jsonl. Where there is no store both lie beside the accounts'
    file, and where there is none either, in memory. least_agents, least_calls: of how many a figure of teams must be;
    they can only be raised.
    """

    basis: Basis = "notice"
    keys: str = ""
    audit: str = ""
    least_agents: Annotated[int, msgspec.Meta(ge=LEAST_AGENTS)] = LEAST_AGENTS
    least_calls: Annotated[int, msgspec.Meta(ge=LEAST_CALLS)] = LEAST_CALLS

    def places(self, store: str, accounts: str, spool: str = "") -> tuple[Path, Path] | None:
        """The keys' folder and the audit log's file; None: in memory. Raises ConfigError."""
        local = store.removeprefix("file://") if "://" not in store or store.startswith("file://") else spool
        beside = local or accounts
        if not (self.keys or beside):
            if store:
                raise ConfigError(f"[privacy] keys: wanted a folder of this machine, as the store is at {store}")
            return None
        keys = Path(self.keys or f"{Path(beside)}.keys")
        audit = Path(self.audit or (f"{Path(beside)}.audit.jsonl" if beside else keys.with_name("audit.jsonl")))
        for what, path in (("keys", keys), ("audit", audit)):
            if local and path.absolute().is_relative_to(Path(local).absolute()):
                raise ConfigError(f"[privacy] {what}: wanted a place outside the store {local}, got {path}")
        return keys, audit


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long each kind is kept: utterances_h hours, the others days. Shorter freely.

    agreement: names what has been agreed with the works council, such as "BV 12/2026"; longer times want it.
    """

    utterances_h: float = RETENTION.utterances / timedelta(hours=1)
    calls_d: float = RETENTION.calls / timedelta(days=1)
    figures_d: float = RETENTION.team_figures / timedelta(days=1)
    audit_d: float = RETENTION.audit / timedelta(days=1)
    agreement: str = ""

    @property
    def times(self) -> Retention:
        """Raises ConfigError for a time that is none, or longer than is allowed without an agreement."""
        given = Retention(
            timedelta(hours=self.utterances_h),
            timedelta(days=self.calls_d),
            timedelta(days=self.figures_d),
            timedelta(days=self.audit_d),
        )
        names = ("utterances_h", "calls_d", "figures_d", "audit_d")
        for name, time, most in zip(names, astuple(given), astuple(RETENTION), strict=True):
            shown = f"[retention] {name}: wanted"
            value, limit = getattr(self, name), getattr(RetentionConfig(), name)
            if time <= timedelta():
                raise ConfigError(f"{shown} more than 0, got {value:g}")
            if time > most and not self.agreement.strip():
                raise ConfigError(
                    f"{shown} at most {limit:g}, got {value:g}; longer wants `agreement`, the name of the works "
                    "agreement that says so"
                )
        return given


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are kept; empty: nowhere.

    folder: of this machine, or a URL that pyarrow knows, such as s3://BUCKET/FOLDER. spool: folder of this machine for
    the log, where `folder` is elsewhere.
    """

    folder: str = ""
    spool: str = ""


class WebhookEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another system that is told of calls.

    url: https, or http to this machine; insecure: http to any. secrets: `whsec_...`, the newest first; each signs.
    name: what commands and figures call it; empty: its host. events: kinds of them. queues: of these only; none: of
    all. audience: whose cues; `agent` also opens the agent's own measures. severity: of cues, at least. inferred: it
    gets what was inferred of customers. ca: a PEM file of who vouches for it, beside those of this machine.
    """

    url: str
    secrets: tuple[str, ...]
    name: str = ""
    events: tuple[EventKind, ...] = ("cue", "call_ended")
    queues: tuple[str, ...] = ()
    audience: tuple[Literal["agent", "coach"], ...] = ("coach",)
    severity: Literal["info", "hint", "warning", "alert"] = "info"
    inferred: bool = False
    insecure: bool = False
    ca: str = ""


class WebhooksConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Other systems that are told of calls while they happen.

    folder: where what they have not got yet waits. source: what this server calls itself in events (CloudEvents).
    tries: of an event, then it goes to dead.jsonl. first_wait_s, most_wait_s: after a failed try; it doubles each time.
    answer_s: until an answer must be there. most_waiting: events of one endpoint; more go to dead.jsonl at once.
    """

    folder: str = ""
    source: str = "/vocal"
    endpoints: tuple[WebhookEndpoint, ...] = ()
    tries: Annotated[int, msgspec.Meta(ge=1)] = 16
    first_wait_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    most_wait_s: float = 3600.0
    answer_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    most_waiting: Annotated[int, msgspec.Meta(ge=1)] = 10_000


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    playout: PlayoutConfig = PlayoutConfig()
    boundary: BoundaryConfig = BoundaryConfig()
    emotion: EmotionConfig = EmotionConfig()
    conversation: ConversationConfig = ConversationConfig()
    rules: RulesConfig = RulesConfig()
    live: LiveConfig = LiveConfig()
    server: ServerConfig = ServerConfig()
    oidc: OidcConfig = OidcConfig()
    webrtc: WebrtcConfig = WebrtcConfig()
    sip: SipConfig = SipConfig()
    rtp: RtpConfig = RtpConfig()
    media: MediaConfig = MediaConfig()
    store: StoreConfig = StoreConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    retention: RetentionConfig = RetentionConfig()
    webhooks: WebhooksConfig = WebhooksConfig()


def _check_keys(given: Mapping[str, Any], wanted: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in wanted:
            raise ConfigError(f"{where}: {unknown('key', key, wanted)}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    rooms = Config.__struct_fields__
    for name, value in environment.items():
        room, _, key = name.removeprefix("VOCAL_").lower().partition("_")
        if name.startswith("VOCAL_") and key and room in rooms:
            found.setdefault(room, {})[key] = _plain(name, value)
    return found


def _plain(name: str, value: str) -> Any:
    """Tables and lists are JSON there."""
    if not value.startswith(("{", "[")):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise ConfigError(f"environment: {name}: wanted JSON: {error}") from None


def load_config(path: str | os.PathLike[str] | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The settings of this process.

    Raises ConfigError for a file that cannot be read, an unknown room or key, or a value of the wrong kind.
    """
    path = path or environment.get("VOCAL_CONFIG") or None
    given: dict[str, Any] = {}
    where = "environment"
    if path is not None:
        where = str(path)
        try:
            given = tomllib.loads(Path(path).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{where}: wanted a TOML file of settings: {error}") from None
    for room, values in _from_environment(environment).items():
        given.setdefault(room, {}).update(values)
    _check_keys(given, Config.__struct_fields__, where)
    for room, values in given.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{where}: wanted a table [{room}], got {values!r}")
        _check_keys(values, type(getattr(Config(), room)).__struct_fields__, f"{where} [{room}]")
    try:
        config = msgspec.convert(given, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    try:
        _ = config.retention.times
    except (ConfigError, OverflowError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None
    return config
