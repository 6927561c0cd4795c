"""Rules as data over snapshots: what holds becomes a cue or an alert, as far as the budget allows.

A cue the agent does not need is worse than none: one at a time, 8 s, 45 s apart, four in a call, none in the first
20 s, none while the agent speaks, none that is not sure enough (design section 9).
"""

import tomllib
from pathlib import Path

import msgspec

from vocal.conversation import Snapshot
from vocal.errors import ConfigError
from vocal.types import Audience, Cue, Language, Metadata, Severity
from vocal.urls import check_template, filled

DEFAULT_FILE = Path(__file__).with_name("rules.toml")
LINK_FIELDS = ("queue", "touchpoint", "kind", "cue", "language", "call")


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    measure: str
    above: float | None = None
    below: float | None = None
    for_s: float = 0.0

    def holds(self, values: dict[str, float]) -> bool:
        value = values.get(self.measure)
        if value is None:
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """link: an address to read more at, one for all or one for each language, with fields of `LINK_FIELDS`."""

    id: str
    audience: Audience
    kind: str
    severity: Severity
    when: tuple[Condition, ...]
    text: dict[Language, str]
    once: bool = False
    confidence: str | None = None
    least_confidence: float | None = None
    link: str | dict[Language, str] | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often an agent may be spoken to, in seconds of the call."""

    visible_s: float = 8.0
    apart_s: float = 45.0
    repeat_s: float = 120.0
    most: int = 4
    quiet_start_s: float = 20.0
    least_confidence: float = 0.7


class RuleBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: tuple[Rule, ...]
    budget: Budget = Budget()


def load_rules(file: str | Path = "") -> RuleBook:
    """The rules of a TOML file, the default ones without. Raises ConfigError that names file and place."""
    path = Path(file) if file else DEFAULT_FILE
    try:
        book = msgspec.convert(tomllib.loads(path.read_text("utf-8")), RuleBook)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: wanted a file of rules: {error}") from None
    for rule in book.rule:
        for language in ("de", "en"):
            if language not in rule.text:
                raise ConfigError(f"{path}: rule {rule.id!r} has no text in {language!r}")
            try:
                rule.text[language].format(**{condition.measure: "" for condition in rule.when})
            except (KeyError, IndexError, ValueError):
                raise ConfigError(
                    f"{path}: rule {rule.id!r}: its text may name only measures of its conditions"
                ) from None
        if not rule.when or any(c.above is None and c.below is None for c in rule.when):
            raise ConfigError(f"{path}: rule {rule.id!r}: wanted conditions, each with above or below")
        _check_link(rule, f"{path}: rule {rule.id!r}: link")
    return book


def _check_link(rule: Rule, what: str) -> None:
    links = rule.link if isinstance(rule.link, dict) else {"de": rule.link, "en": rule.link}
    for language in ("de", "en"):
        if language not in links:
            raise ConfigError(f"{what}: wanted one in {language!r} too, or one for all")
    for link in links.values():
        if link is not None:
            check_template(what, link, LINK_FIELDS)


def _said(rule: Rule, evidence: dict[str, float]) -> dict[Language, str]:
    english = {name: f"{value:.1f}" for name, value in evidence.items()}
    german = {name: value.replace(".", ",") for name, value in english.items()}
    return {"de": rule.text["de"].format(**german), "en": rule.text["en"].format(**english)}


class Rules:
    """The rules of one call, and what of the budget is spent."""

    def __init__(self, book: RuleBook, metadata: Metadata = Metadata()) -> None:
        self._book = book
        self._holds_since: dict[tuple[str, int], float] = {}
        self._last_cue_s = float("-inf")
        self._shown = 0
        self._fired: set[str] = set()
        self._kind_last_s: dict[tuple[Audience, str], float] = {}
        self._metadata = metadata

    def push(self, snapshot: Snapshot, call: str) -> list[Cue]:
        """The cues of this second: at most one for the agent, and the coach's alerts."""
        due = [rule for rule in self._book.rule if self._is_due(rule, snapshot)]
        agent = next((rule for rule in due if rule.audience == "agent" and self._may_show(rule, snapshot)), None)
        firing = [
            rule for rule in due if rule is agent or (rule.audience == "coach" and self._is_fresh(rule, snapshot))
        ]
        return [self._cue(rule, snapshot, call) for rule in firing]

    def _is_due(self, rule: Rule, snapshot: Snapshot) -> bool:
        """Whether every condition has held long enough; keeps each one's time even when another fails."""
        ready = True
        for number, condition in enumerate(rule.when):
            key = (rule.id, number)
            if not condition.holds(snapshot.values):
                self._holds_since.pop(key, None)
                ready = False
            elif snapshot.at_s - self._holds_since.setdefault(key, snapshot.at_s) < condition.for_s:
                ready = False
        return ready and not (rule.once and rule.id in self._fired) and self._is_sure(rule, snapshot)

    def _is_sure(self, rule: Rule, snapshot: Snapshot) -> bool:
        if rule.confidence is None:
            return True
        least = self._book.budget.least_confidence if rule.least_confidence is None else rule.least_confidence
        return snapshot.values.get(rule.confidence, 0.0) >= least

    def _is_fresh(self, rule: Rule, snapshot: Snapshot) -> bool:
        last = self._kind_last_s.get((rule.audience, rule.kind), float("-inf"))
        return snapshot.at_s - last >= self._book.budget.repeat_s

    def _may_show(self, rule: Rule, snapshot: Snapshot) -> bool:
        budget = self._book.budget
        return (
            snapshot.at_s >= budget.quiet_start_s
            and self._shown < budget.most
            and snapshot.at_s - self._last_cue_s >= budget.apart_s
            and not snapshot.agent_speaks
            and self._is_fresh(rule, snapshot)
        )

    def _cue(self, rule: Rule, snapshot: Snapshot, call: str) -> Cue:
        if rule.audience == "agent":
            self._last_cue_s = snapshot.at_s
            self._shown += 1
        self._fired.add(rule.id)
        self._kind_last_s[rule.audience, rule.kind] = snapshot.at_s
        evidence = {c.measure: round(snapshot.values[c.measure], 2) for c in rule.when}
        if rule.confidence is not None:
            evidence["confidence"] = round(snapshot.values[rule.confidence], 2)
        return Cue(
            call=call,
            at_s=snapshot.at_s,
            cue=rule.id,
            audience=rule.audience,
            kind=rule.kind,
            severity=rule.severity,
            evidence=evidence,
            text_key=f"cue.{rule.id}",
            text=_said(rule, evidence),
            expires_s=snapshot.at_s + self._book.budget.visible_s,
            link=self._link(rule, call),
        )

    def _link(self, rule: Rule, call: str) -> str | None:
        """For the language of the call: German where it says none, English where it says another."""
        language = (self._metadata.language or "de").partition("-")[0].lower()
        link = rule.link.get("de" if language == "de" else "en") if isinstance(rule.link, dict) else rule.link
        if link is None:
            return None
        said = {"kind": rule.kind, "cue": rule.id, "language": language, "call": call}
        return filled(link, {**said, "queue": self._metadata.queue, "touchpoint": self._metadata.touchpoint})
