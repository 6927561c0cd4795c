"""Who may be analysed for what, what may be kept, for how long. The law behind it: EU AI Act, Art. 5(1)(f), 50(3).

The emotion of an employee is never inferred: `may_infer_emotion` knows the customer's role only. One setting reaches
it, `privacy.basis`, which can only want more of the customer's side. A channel whose role is unknown counts as an
employee's.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import msgspec

from vocal.types import Basis, Cue, EventBase, Metadata, Mood, Role, Utterance

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

# No text about the agent's side may name an inner state; a test holds every text against these.
INNER_STATES = {
    "de": (
        "angespannt",
        "ängstlich",
        "aggressiv",
        "emotion",
        "empathisch",
        "frustriert",
        "gelangweilt",
        "genervt",
        "gereizt",
        "gestresst",
        "gleichgültig",
        "glücklich",
        "lustlos",
        "müde",
        "nervös",
        "stimmung",
        "traurig",
        "überfordert",
        "unfreundlich",
        "unsicher",
        "verärgert",
        "wütend",
        "zufrieden",
    ),
    "en": (
        "aggressive",
        "angry",
        "annoyed",
        "anxious",
        "bored",
        "emotion",
        "empathetic",
        "frustrated",
        "happy",
        "indifferent",
        "irritated",
        "mood",
        "nervous",
        "overwhelmed",
        "sad",
        "satisfied",
        "stressed",
        "tense",
        "tired",
        "unfriendly",
        "unsure",
        "upset",
    ),
}
