"""The values that pass between rooms, and the events that leave the engine.

Values, no behaviour. Units stand in the names: `_s` seconds since the call began, `_hz`, `_db`, `_dbov`, `_lufs`,
`_st` semitones, `_syll_s` syllables per second, `_pct` per cent, `_share` 0-1. A measure that could not be taken
is None, never NaN. `Event` is the tagged union that goes over the wire and into the store (version `v` = 1).

None of them can be part of a circle, so the collector need not look at them: a server keeps hundreds of thousands, and
each of its long looks would hold up the clock.
"""

from typing import Literal

import msgspec

Role = Literal["agent", "customer", "unknown"]
Language = Literal["de", "en"]
PersonRole = Literal["agent", "lead", "auditor", "operator"]
"""What somebody may be who signs in. auditor: works council or data protection officer, for whom the evidence is."""

Audience = Literal["agent", "coach"]
Severity = Literal["info", "hint", "warning", "alert"]
Basis = Literal["notice", "consent"]
"""What must be so before a customer's emotion is inferred: they were informed, or they agreed."""

NoEstimate = Literal["too_short", "bad_line", "overlap", "not_voice", "model", "busy"]
"""Why a customer's utterance has no emotion.

too_short: under 0.6 s of speech. bad_line: too noisy, clipped or lost. overlap: the other side speaks and is much
louder, so that it may be theirs. not_voice: nothing that the model knows as a voice. model: it gave no numbers.
busy: the model was behind with other calls.
"""

SCHEMA_VERSION = 1


class Channel(msgspec.Struct, frozen=True, gc=False):
    """One participant's audio in a call. `channel` is its number there, from 0."""

    channel: int
    role: Role


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """What the call centre said about the call.

    notice: the customer was informed of the analysis. touchpoint: where in their journey with the house the customer
    calls, such as `claim` or `renewal`. consent: the customer was informed and agreed.
    """

    queue: str | None = None
    team: str | None = None
    agent: str | None = None
    language: str | None = None
    notice: bool = False
    touchpoint: str | None = None
    consent: bool = False


class Call(msgspec.Struct, frozen=True, gc=False):
    """A conversation as it was opened. `source` is a file path or a peer, `started_at` is ISO 8601 with a zone."""

    call: str
    source: str
    transport: str
    started_at: str
    channels: tuple[Channel, ...]
    metadata: Metadata = Metadata()


class ByRole(msgspec.Struct, frozen=True, gc=False):
    """One number for each side; None where that side has none."""

    agent: float | None = None
    customer: float | None = None


class Emotion(msgspec.Struct, frozen=True, gc=False):
    """What the model inferred of one stretch of the customer's speech.

    valence, arousal, stress: 0-1, 0.5 neutral (stress: 0 none). stress_terms: what it was made of, each 0-1. sentiment:
    -1..1. categories: probabilities that sum to 1; empty where the model tells none. confidence: 0-1. model: name and
    version.
    """

    valence: float
    arousal: float
    stress: float
    stress_terms: dict[str, float]
    sentiment: float
    categories: dict[str, float]
    confidence: float
    model: str


class Relative(msgspec.Struct, frozen=True, gc=False):
    """Measures against the speaker's own baseline in this call; None until 5 s of speech were heard."""

    level_db: float | None = None
    f0_st: float | None = None
    tempo_pct: float | None = None


class Satisfaction(msgspec.Struct, frozen=True, gc=False):
    """Start and end of the call on the 1-10 journey scale; each interval is (low, high).

    terms: what they were made of, in points of the scale: mood_start and mood_end, and what dead_air and being
    interrupted take off the end.
    """

    start: float
    end: float
    change: float
    interval: dict[Literal["start", "end"], tuple[float, float]]
    terms: dict[str, float] = {}


class Moment(msgspec.Struct, frozen=True, gc=False):
    """A stretch of the call worth hearing again. `why` is a text key, `customer_recovered` for example."""

    kind: Literal["positive", "pain"]
    start_s: float
    end_s: float
    why: str


class Totals(msgspec.Struct, frozen=True, gc=False):
    """The conversation so far, as `Conversation` reports it."""

    talk_share: ByRole
    talk_s: ByRole
    overlap_s: float
    overlaps: int
    interruptions: ByRole
    non_talk_s: float
    longest_monologue_s: ByRole
    median_gap_s: ByRole


class EventBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """What every event carries: `seq` counts the events of a call from 0, `at_s` is the call's clock."""

    v: int = SCHEMA_VERSION
    call: str
    seq: int = 0
    at_s: float


class CallStarted(EventBase, frozen=True, kw_only=True, tag="call_started"):
    started_at: str
    transport: str
    source: str
    channels: tuple[Channel, ...]
    metadata: Metadata


class Utterance(EventBase, frozen=True, kw_only=True, tag="utterance"):
    """One channel's speech between pauses. `detected_s` is when its end was known; `index` counts on its channel."""

    channel: int
    role: Role
    index: int
    start_s: float
    end_s: float
    detected_s: float
    syllables: int
    articulation_rate_syll_s: float | None
    speech_rate_syll_s: float | None
    level_dbov: float | None
    loudness_lufs: float | None
    f0_median_hz: float | None
    f0_range_st: float | None
    f0_slope_st_s: float | None
    voiced_share: float
    jitter_pct: float | None
    shimmer_pct: float | None
    hnr_db: float | None
    alpha_ratio_db: float | None
    relative: Relative
    lost_s: float
    bandwidth_hz: float | None
    snr_db: float | None
    clipped_share: float
    clarity: float
    clarity_terms: dict[str, float]
    emotion: Emotion | None = None
    no_estimate: NoEstimate | None = None


class Mood(EventBase, frozen=True, kw_only=True, tag="mood"):
    """The customer's smoothed mood, each second of their speech and at its end. trend: valence per 30 s."""

    role: Role
    valence: float
    arousal: float
    stress: float
    trend: float
    confidence: float


class Conversation(EventBase, frozen=True, kw_only=True, tag="conversation"):
    """Both sides so far, every 5 s and at the end; definitions as `Totals`."""

    talk_share: ByRole
    talk_s: ByRole
    overlap_s: float
    overlaps: int
    interruptions: ByRole
    non_talk_s: float
    longest_monologue_s: ByRole
    median_gap_s: ByRole


class Cue(EventBase, frozen=True, kw_only=True, tag="cue"):
    """What a rule says: to the agent (one thing to do) or to the coach (an alert). `cue` is the rule's id.

    link: where to read more, as the rules say.
    """

    cue: str
    audience: Audience
    kind: str
    severity: Severity
    evidence: dict[str, float]
    text_key: str
    text: dict[Language, str]
    expires_s: float
    link: str | None = None


class Notice(EventBase, frozen=True, kw_only=True, tag="notice"):
    """The customer was informed in mid-call (`given`), or agreed where the basis is consent; or objected: then what was
    inferred of them is deleted, whatever the basis."""

    given: bool
    basis: Basis = "notice"


class CallEnded(EventBase, frozen=True, kw_only=True, tag="call_ended"):
    """`satisfaction` is None without notice, or where the customer said too little to tell."""

    reason: str
    duration_s: float
    conversation: Totals
    satisfaction: Satisfaction | None
    moments: tuple[Moment, ...]
    lost_share: float


class ChannelLevels(msgspec.Struct, frozen=True, gc=False):
    """How a channel sounds now. speech: mean score of 200 ms; level: 400 ms; tempo: 10 s, from 3 s of speech on."""

    channel: int
    role: Role
    speech: float
    level_dbov: float | None
    f0_hz: float | None
    tempo_syll_s: float | None


class Levels(EventBase, frozen=True, kw_only=True, tag="levels"):
    """Five a second, for the pages of a running call. Never stored, and `seq` does not count them."""

    channels: tuple[ChannelLevels, ...]


class HelpOffered(EventBase, frozen=True, kw_only=True, tag="help_offered"):
    """A coach offers help with a running call."""

    text: str = ""


class HelpAnswered(EventBase, frozen=True, kw_only=True, tag="help_answered"):
    """The agent wants the help that was offered, or does not."""

    wanted: bool


class AlertsSeen(EventBase, frozen=True, kw_only=True, tag="alerts_seen"):
    """A coach (`by`) has acknowledged the call's alerts up to the one whose `seq` is `last`, for the whole team."""

    last: int
    by: str


class AlertsMuted(EventBase, frozen=True, kw_only=True, tag="alerts_muted"):
    """A coach (`by`) wants no alerts of the call until `until_s` of its clock; what has passed already unmutes."""

    until_s: float
    by: str


Event = CallStarted | Utterance | Mood | Conversation | Cue | Notice | CallEnded
"""What leaves the engine in the order of the call."""

Aside = HelpOffered | HelpAnswered | AlertsSeen | AlertsMuted
"""What an agent and the coaches tell each other beside a call. Never stored, and `seq` does not count it."""

LiveEvent = Event | Levels | Aside
"""What goes over the wire."""
