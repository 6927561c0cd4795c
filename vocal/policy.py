"""Who may be analysed for what, what may be kept, for how long. The law behind it: EU AI Act, Art. 5(1)(f), 50(3).

The emotion of an employee is never inferred: `may_infer_emotion` knows the customer's role only. One setting reaches
it, `privacy.basis`, which can only want more of the customer's side. A channel whose role is unknown counts as an
employee's.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec

from vocal.types import (
    Audience,
    Basis,
    ByRole,
    CallEnded,
    Conversation,
    Cue,
    Event,
    EventBase,
    Metadata,
    Mood,
    Role,
    Totals,
    Utterance,
)

E = TypeVar("E", bound=EventBase)


def may_infer_emotion(role: Role, metadata: Metadata, basis: Basis) -> bool:
    """Whether a channel is admitted with an emotion stage: the customer's, once they were informed or have agreed."""
    return role == "customer" and may_infer_of_customer(metadata, basis)


def may_infer_of_customer(metadata: Metadata, basis: Basis) -> bool:
    """Who agreed was informed; where consent is wanted, information alone is not enough."""
    return metadata.consent or (metadata.notice and basis == "notice")


def stated(metadata: Metadata, given: bool, basis: Basis) -> Metadata:
    """What is so after somebody said so in mid-call. Whatever is withdrawn, neither stands any more."""
    return msgspec.structs.replace(metadata, notice=given, consent=given and (basis == "consent" or metadata.consent))


# What rules may look at that was inferred of the customer; a cue's evidence names it.
INFERRED_MEASURES = frozenset(
    ("customer_valence", "customer_stress", "mood_trend", "mood_confidence", "mood_change", "mood_recovery")
)


def without_inferred(event: E) -> E | None:
    """What is left of an event once the notice is withdrawn; None: nothing."""
    if isinstance(event, Mood):
        return None
    if isinstance(event, Cue) and not INFERRED_MEASURES.isdisjoint(event.evidence):
        return None
    if isinstance(event, Utterance) and event.emotion is not None:
        return msgspec.structs.replace(event, emotion=None)
    return event


# The agent's own numbers that a rule may look at. The line's (`agent_snr_db`) are nobody's.
OWN_MEASURES = frozenset(("agent_tempo_syll_s", "tempo_difference_syll_s", "agent_monologue_s"))

_NO_SIDE = ByRole()


def for_others(event: Event, audiences: tuple[Audience, ...], inferred: bool) -> Event | None:
    """What another system is told of an event; None: nothing.

    The agent's own measures and cues go only to one that speaks for the agent, what was inferred of the customer only
    to one that is to have it.
    """
    seen: Event | None = event if inferred else without_inferred(event)
    if isinstance(seen, CallEnded) and not inferred:
        kept = tuple(one for one in seen.moments if not one.why.startswith("customer_"))
        seen = msgspec.structs.replace(seen, satisfaction=None, moments=kept)
    if isinstance(seen, Cue):
        return seen if seen.audience in audiences and ("agent" in audiences or _is_nobodys_own(seen)) else None
    if seen is None or "agent" in audiences:
        return seen
    if isinstance(seen, Conversation) or (isinstance(seen, Utterance) and seen.role != "customer"):
        return None
    if isinstance(seen, CallEnded):
        sides = {
            name: _NO_SIDE for name in Totals.__struct_fields__ if isinstance(getattr(seen.conversation, name), ByRole)
        }
        return msgspec.structs.replace(seen, conversation=msgspec.structs.replace(seen.conversation, **sides))
    return seen


def _is_nobodys_own(cue: Cue) -> bool:
    return OWN_MEASURES.isdisjoint(cue.evidence)


LEAST_AGENTS, LEAST_CALLS = 5, 50
"""Of how many agents and calls a figure must be, to be told of a team or a house. The settings may raise them."""


@dataclass(frozen=True)
class Retention:
    """How long each kind is kept at most. Audio is not kept at all."""

    utterances: timedelta = timedelta(hours=24)
    calls: timedelta = timedelta(days=30)
    team_figures: timedelta = timedelta(days=396)
    audit: timedelta = timedelta(days=731)


RETENTION = Retention()

# No text about the agent's side may name an inner state; a test holds every text that people see against these, at the
# beginnings of words.
INNER_STATES = {
    "de": (
        "abgelenkt",
        "aggressiv",
        "angespannt",
        "angst",
        "ausgeglichen",
        "begeistert",
        "besorgt",
        "depress",
        "desinteress",
        "emotion",
        "empath",
        "engagiert",
        "entspannt",
        "enttäusch",
        "erschöpf",
        "euphor",
        "freundlich",
        "froh",
        "frust",
        "fröhlich",
        "furcht",
        "gefühl",
        "gelangweilt",
        "gelassen",
        "genervt",
        "gereizt",
        "gestresst",
        "gleichgültig",
        "glücklich",
        "hilflos",
        "höflich",
        "interessiert",
        "laune",
        "lustlos",
        "motivation",
        "motiviert",
        "müde",
        "nervös",
        "panik",
        "persönlichkeit",
        "selbstsicher",
        "stimmung",
        "stress",
        "sympath",
        "temperament",
        "traurig",
        "unfreundlich",
        "ungeduld",
        "unglücklich",
        "unhöflich",
        "unmotiviert",
        "unsicher",
        "unterforder",
        "verunsicher",
        "verzweifel",
        "verängstigt",
        "verärger",
        "wut",
        "wütend",
        "zufrieden",
        "ängstlich",
        "ärger",
        "überforder",
        "überlastet",
    ),
    "en": (
        "aggressive",
        "angry",
        "annoyed",
        "anxious",
        "apathetic",
        "attitude",
        "bored",
        "boredom",
        "burnout",
        "cheerful",
        "courteous",
        "depress",
        "disappointed",
        "disengaged",
        "distracted",
        "emotion",
        "empath",
        "engaged",
        "enthusias",
        "exhausted",
        "fear",
        "feeling",
        "friendly",
        "frustrat",
        "grumpy",
        "happy",
        "hostile",
        "impatient",
        "impolite",
        "indifferent",
        "irritated",
        "mood",
        "moody",
        "motivat",
        "nervous",
        "overwhelmed",
        "panic",
        "personality",
        "polite",
        "rude",
        "sad",
        "satisf",
        "self-confident",
        "sentiment",
        "stress",
        "sympathetic",
        "temperament",
        "tense",
        "tired",
        "unfriendly",
        "unhappy",
        "unmotivated",
        "unsure",
        "upset",
        "worried",
    ),
}
