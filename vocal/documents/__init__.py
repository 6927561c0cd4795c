"""The documents in the box: what is measured, notices, drafts and the model card, in German and English.

    documents/LANGUAGE/NAME.md    front matter (title, version, date, kind), then Markdown

`{{name}}` is filled with what the code and the settings say, so that no figure can be another than what is done.
`[in brackets]` is for whoever adapts a draft.
"""

import importlib.metadata
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from vocal.config import Config
from vocal.contract import models_folder, read_contract
from vocal.errors import ModelError
from vocal.policy import RETENTION
from vocal.rules import load_rules
from vocal.texts import number, text
from vocal.types import Language

NAMES = (
    "measures",
    "model-card",
    "known-errors",
    "notice-texts",
    "impact-assessment",
    "works-agreement",
    "retention",
)
"""In the order in which one reads them."""

FIELD = re.compile(r"\{\{([a-z0-9_]+)\}\}")
_FRONT = re.compile(r"---\n(.*?)\n---\n", re.S)
_DAYS_OF_A_MONTH = 30.44


class Document(msgspec.Struct, frozen=True):
    """kind: a draft to be adapted, or a description of the software. vocal: its version. markdown: without the title,
    its fields filled.
    """

    name: str
    language: Language
    title: str
    version: str
    date: str
    kind: str
    vocal: str
    markdown: str


def raw(name: str, language: Language) -> str:
    """A document as it is kept. Raises KeyError for a name that is none."""
    if name not in NAMES:
        raise KeyError(name)
    return files("vocal").joinpath(f"documents/{language}/{name}.md").read_text("utf-8")


def document(name: str, language: Language, config: Config = Config()) -> Document:
    """A document, filled with the settings in force. Raises KeyError."""
    source = raw(name, language)
    front = _FRONT.match(source)
    assert front is not None
    said = dict(line.split(": ", 1) for line in front[1].splitlines())
    known = fields(language, config)
    body = FIELD.sub(lambda found: known[found[1]], source[front.end() :].strip())
    return Document(
        name, language, said["title"], said["version"], said["date"], said["kind"], known["vocal_version"], body
    )


def as_markdown(one: Document) -> str:
    """For download: whole, with what says that it is a draft."""
    head = text("documents.stand", one.language, version=one.version, date=one.date, vocal=one.vocal)
    draft = text(f"documents.draft.{one.kind}", one.language)
    return f"# {one.title}\n\n{head}\n\n> {draft}\n\n{one.markdown}\n"


def fields(language: Language, config: Config = Config()) -> Mapping[str, str]:
    """What documents may say of the software as it runs here: every figure by its name."""
    times, privacy = config.retention.times, config.privacy
    book = load_rules(config.rules.file)
    folder = Path(config.emotion.model) if config.emotion.model else models_folder() / "emotion"
    firsts = {rule.id: rule.when[0].above or rule.when[0].below or 0.0 for rule in load_rules().rule}
    thresholds = {f"rule_{name}": number(value, language, _places(value)) for name, value in firsts.items()}
    budget = {
        name: number(value, language, _places(value)) for name, value in msgspec.structs.asdict(book.budget).items()
    }
    return {
        **thresholds,
        **{f"budget_{name}": value for name, value in budget.items()},
        "vocal_version": importlib.metadata.version("vocal"),
        "utterances_h": number(times.utterances.total_seconds() / 3600.0, language, 0),
        "calls_d": number(times.calls.days, language, 0),
        "figures_months": _months(times.team_figures.days, language),
        "audit_months": _months(times.audit.days, language),
        "longest_utterances_h": number(RETENTION.utterances.total_seconds() / 3600.0, language, 0),
        "longest_calls_d": number(RETENTION.calls.days, language, 0),
        "longest_figures_months": _months(RETENTION.team_figures.days, language),
        "longest_audit_months": _months(RETENTION.audit.days, language),
        "least_agents": str(privacy.least_agents),
        "least_calls": str(privacy.least_calls),
        "basis": text(f"documents.basis.{privacy.basis}", language),
        "webhook_tries": str(config.webhooks.tries),
        "model": _model(folder),
        "model_card": _card(folder, language),
    }


def _places(value: float) -> int:
    return 0 if float(value).is_integer() else 1 if round(value, 1) == value else 2


def _months(days: int, language: Language) -> str:
    return number(days / _DAYS_OF_A_MONTH, language, 0)


def _model(folder: Path) -> str:
    try:
        contract = read_contract(folder)
    except ModelError:
        return folder.name
    return f"{contract.name} {contract.version}"


def _card(folder: Path, language: Language) -> str:
    """The model's own card, its headings one lower and without links that lead nowhere from here."""
    try:
        card = folder.joinpath("CARD.md").read_text("utf-8")
    except OSError:
        return text("documents.no_card", language, folder=folder.name)
    card = re.sub(r"\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", card)
    return re.sub(r"^# (.*)$", r"*\1*", card, count=1, flags=re.M).strip()
