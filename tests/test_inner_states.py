"""No text that people see says what an agent feels: every text of the project, word by word.

A sentence with a word for an inner state must speak of the customer, or say that something is not done; where it also
speaks of the agent, it must say that it is not done. Rooms of texts that are the customer's throughout, and single
sentences that stay, are listed here, each with its reason.
"""

import argparse
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from vocal import cli
from vocal.api.documents import asyncapi_document, event_schema
from vocal.config import Config
from vocal.policy import INNER_STATES
from vocal.rules import load_rules
from vocal.server import build_app
from vocal.service import Service
from vocal.texts import catalogue

ROOT = Path(__file__).parents[1]
WORDS = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, chain(*INNER_STATES.values())))})\w*", re.IGNORECASE)
STAFF = re.compile(r"\bagent|\bmitarbeit|\bbeschäftigt|\bemployee|\bworker|\bstaff\b|\bteam\b", re.IGNORECASE)
READER = re.compile(r"(?i:\byou\b|\byour\b|\bown (?:side|voice|tempo)|\beigene)|\bIhre?[nmrs]?\b|\bSie\b")
CUSTOMERS = re.compile(r"kund|customer|\bcaller|anruf", re.IGNORECASE)
NOT = re.compile(
    r"\b(?:nie|niemals|niemand\w*|nicht|nichts|kein\w*|ohne|verboten\w*|never|not|no|none|nobody|nothing|without|cannot|"
    r"prohibit\w*|forbid\w*)\b|n['’]t\b",
    re.IGNORECASE,
)

# What is about customers throughout: who reads there is none of the staff, or what is named is nobody's but theirs.
CUSTOMERS_OWN = {
    r"texts: web\.mood\.": "the customer's mood, and how sure the estimate is",
    r"texts: web\.coach\.stress": "of the customer, on the coach's card",
    r"texts: moment\.customer_": "of the customer",
    r"texts: report\.journey\.": "of the customer",
    r"texts: (?:team\.(?:good|journey|falls|quality)|journey)\.": "of customers, in the team report",
    r"texts: report\.measured_text_mood": "of the customer",
    r"texts: terminal\.(?:stress|satisfaction)": "of the customer",
    r"web: agent\.js: mood card": "a class of the style, of the card with the customer's mood",
    r"document: docs/live-pages\.md: (?:\| (?:very )?tense|then a mood)": "the customer's mood, and its shapes",
    r"document: docs/models\.md": "how to bring a model, which runs on the customer's channel alone, and its labels",
    r"document: models/emotion/CARD\.md": "the model's own labels and figures; it runs on the customer's channel alone",
    r"document: vocal/documents/../(?:measures|model-card|known-errors)\.md": "the same, for readers of the documents",
    r"document: vocal/documents/../notice-texts\.md": "what customers are told: `you` are they",
    r"document: vocal/documents/../retention\.md": "what is kept of customers",
    r"document: docs/(?:call|team)-report\.md: ": "names of fields and columns that only the customer's side has",
    r"document: docs/webhooks\.md": "names of events and fields that only the customer's side has",
    r"document: docs/benchmarks\.md": "how the model is measured",
    r"document: README\.md: (?:The emotion model is|Speakers that|`vocal bench|\| )": "the model, its figures",
    r"document: README\.md: ``` vocal/": "the rooms of the code, by name",
    r"api: events: ": "names of events and fields that only the customer's side has; the last test looks at those",
    r"command line: .*emotion": "the model, by name",
    r"command line: calls, utterance, mood": "names of tables",
}
ALLOWED = {
    r"document: README\.md: it measures the tempo": "the customer's mood; the cues are for the agent",
    r"document: README\.md: the customer's mood as a shape": "the customer's mood; the own tempo",
    r"document: vocal/documents/../(?:impact-assessment|works-agreement)\.md: (?:Die Agentin|The agent|"
    r"Im Gespräch sehen|During the call employees)": "what of the customer's mood they see",
    r"document: vocal/documents/../impact-assessment\.md: (?:Ursachen|To find causes|\| Anrufende|\| Callers|"
    r"(?:\| )?c \||\| Annex)": "of the customer: what is processed and what is permitted",
    r"document: vocal/documents/../impact-assessment\.md: (?:Ob die Stimmung|Whether a person)": "a question of law",
    r"document: vocal/documents/../impact-assessment\.md: \| R2": "the risk itself, which the table says is met",
    r"document: vocal/documents/../impact-assessment\.md: (?:Forint|The balancing)": "what an authority fined",
    r"document: vocal/documents/../works-agreement\.md: .*(?:Persönlichkeitsrecht|personality rights)": "a right",
}


def sentences(text: str) -> Iterator[str]:
    """Roughly: what stands between stops; a line that goes on belongs to the one before."""
    for block in re.split(r"\n\s*\n|\n(?=\s*[-*|#>]|\d+\.)", text):
        yield from (one.strip() for one in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split())) if one.strip())


def fault(sentence: str, is_customers_own: bool = False) -> str | None:
    """The word that may not stand there."""
    word = WORDS.search(sentence)
    if word is None or NOT.search(sentence):
        return None
    plain = re.sub(r"(?i)team ?lead\w*|coach\w*", "", sentence)
    if STAFF.search(plain) or (READER.search(plain) and not is_customers_own):
        return word[0]
    return None if is_customers_own or CUSTOMERS.search(sentence) else word[0]


def texts() -> Iterator[tuple[str, str]]:
    for key, both in catalogue().items():
        for language, text in both.items():
            yield f"texts: {key} {language}", text
    for rule in load_rules().rule:
        for language, text in rule.text.items():
            yield f"rules: {rule.id} {language}", text
    for file in sorted((ROOT / "vocal/web").glob("*.js")):
        for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`', file.read_text("utf-8")):
            if " " in (text := "".join(literal)) and not re.search(r"[<>{}=]", text):
                yield f"web: {file.name}", text
    documents = sorted(chain((ROOT / "vocal").rglob("documents/**/*.md"), (ROOT / "docs").glob("*.md")))
    for file in [*documents, ROOT / "README.md", *sorted((ROOT / "models").glob("*/CARD.md"))]:
        if file.exists():
            yield f"document: {file.relative_to(ROOT)}", file.read_text("utf-8")
    yield from (("api", text) for text in described(build_app_openapi()))
    yield from (("api: events", text) for text in described({**asyncapi_document(), "schema": event_schema()}))
    yield from (("command line", text) for text in helps(cli._parser()))


def build_app_openapi() -> dict[str, object]:
    service = Service(Config())
    app = build_app(service)
    found = []
    # The application lies inside of guards; its routes are what FastAPI describes.
    waiting, seen = [app], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if hasattr(one, "openapi"):
            found.append(one.openapi())
            continue
        inside = [*vars(one).values()] if hasattr(one, "__dict__") else []
        inside += [cell.cell_contents for cell in getattr(one, "__closure__", None) or ()]
        waiting += [part for part in inside if callable(part)]
    (openapi,) = found
    return openapi


def described(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("description", "summary", "title") and isinstance(value, str):
                yield value
            else:
                yield from described(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            yield from described(value)


def helps(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from filter(None, (parser.description, parser.epilog))
    for action in parser._actions:
        if action.help and action.help is not argparse.SUPPRESS:
            yield action.help
        if isinstance(action, argparse._SubParsersAction):
            yield from (choice.help for choice in action._choices_actions if choice.help)
            for child in action.choices.values():
                yield from helps(child)


def test_no_text_says_what_an_agent_feels() -> None:
    found, used, count = [], set(), 0
    for place, text in texts():
        for sentence in sentences(text):
            count += 1
            if fault(sentence) is None:
                continue
            said = f"{place}: {sentence}"
            own = next((one for one in CUSTOMERS_OWN if re.match(one, said)), None)
            word = fault(sentence, own is not None)
            reason = own if word is None else next((one for one in ALLOWED if re.match(one, said)), None)
            if reason is None:
                found.append(f"{said[:200]!r}: {word!r}")
            else:
                used.add(reason)
    assert count > 2000
    assert not found, "\n".join(found)
    away = [name for name in ("vocal/documents", "docs/webhooks") if not list(ROOT.glob(f"{name}*"))]
    away += [] if any(key.startswith("team.") for key in catalogue()) else ["team"]
    unused = {one for one in {*CUSTOMERS_OWN, *ALLOWED} - used if not any(name in one for name in away)}
    assert not unused, "nothing is allowed by these any more: take them out"


@pytest.mark.parametrize(
    "sentence",
    [
        "Der Agent klingt gestresst.",
        "The agent sounds bored.",
        "Ihre Stimmung war gut.",
        "You were friendly to the customer.",
        "Das Team ist zufrieden.",
        "Sie wirken müde.",
        "Ungeduldig.",
        "Empathy of the agent: 0.7",
        "The agent was angrily interrupted by the customer and got nervous",
        "Kundin beruhigt, Agentin überfordert",
    ],
)
def test_it_can_fail(sentence: str) -> None:
    assert fault(sentence) is not None


@pytest.mark.parametrize(
    "sentence",
    [
        "Die Kundin klingt angespannt.",
        "The customer sounds tense.",
        "The agent's emotion is never inferred.",
        "Über Ihre Stimmung sagt Vocal nichts.",
        "Tempo 5,8 Silben/s. Eine kurze Pause hilft.",
    ],
)
def test_what_may_be_said(sentence: str) -> None:
    assert fault(sentence) is None


def test_fields_that_name_an_inner_state_are_of_the_customers_alone() -> None:
    """On the wire: the fields that would say it, by name; that they stay empty on the agent's side tests/test_engine.py
    shows."""
    built = msgspec.json.encode(event_schema()).decode()
    names = set(re.findall(r'"([a-z_]+)":', built))
    customers = {"emotion", "mood", "stress", "stress_terms", "sentiment", "satisfaction"}
    assert {name for name in names if WORDS.match(name)} == customers
