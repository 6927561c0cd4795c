"""The documents in the box: both languages alike, every figure the code's or the card's, no HTML of their own."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Served, serving
from test_server import http_

from vocal import __version__
from vocal.access import ACCOUNT_ROLES
from vocal.config import Config, EmotionConfig, PrivacyConfig, RetentionConfig, ServerConfig, load_config
from vocal.documents import FIELD, NAMES, as_markdown, document, fields, raw
from vocal.policy import INNER_STATES, RETENTION
from vocal.reports.document import BLANK, document_page, documents_page, rendered
from vocal.rules import load_rules
from vocal.texts import LANGUAGES, text
from vocal.types import Language

ROOT = Path(__file__).parents[1]
EVERY = [(name, language) for name in NAMES for language in LANGUAGES]


def outline(markdown: str) -> list[int]:
    return [len(found) for found in re.findall(r"^(#+) ", markdown, re.M)]


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_parts(name: str) -> None:
    german, english = (raw(name, language) for language in LANGUAGES)
    assert outline(german) == outline(english)
    assert sorted(FIELD.findall(german)) == sorted(FIELD.findall(english))
    for mark in (r"^\|", r"^- ", r"^\d+\. ", r"^> "):
        assert len(re.findall(mark, german, re.M)) == len(re.findall(mark, english, re.M)), mark
    assert len(BLANK.findall(german)) == len(BLANK.findall(english))
    front = [
        re.match(r"---\ntitle: .+\nversion: \d+\ndate: \d{4}-\d\d-\d\d\nkind: (\w+)\n---\n", one)
        for one in (german, english)
    ]
    assert front[0]
    assert front[1]
    assert front[0][1] == front[1][1]


def test_every_document_is_named_and_told_of() -> None:
    for language in LANGUAGES:
        there = {path.stem for path in (ROOT / "vocal/documents" / language).iterdir()}
        assert there == set(NAMES)
        for name in NAMES:
            assert text(f"documents.about.{name}", language)


# Figures


def numbers(markdown: str) -> set[str]:
    """As the benchmark's pages write them: with a point, without a zero before it, and no date."""
    found = re.findall(r"(?<![\w.,/-])\d+[.,]\d+(?![\w-])", markdown)
    return {one.replace(",", ".").removeprefix("0") for one in found}


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_of_accuracy_are_those_of_the_card_and_the_kernels(language: Language) -> None:
    known = (ROOT / "models/emotion/CARD.md").read_text() + (ROOT / "kernels/README.md").read_text()
    known += "0.5 0.7 1.0"  # the scale's middle, and what counts as an overlap
    body = raw("measures", language)
    told = numbers(FIELD.sub("", body)) - {"29.6"}
    assert len(told) > 25
    assert not sorted(one for one in told if not re.search(rf"(?<!\d)0?{re.escape(one)}(?!\d)", known))
    whole = re.findall(r"(\d\d) %", body)
    for one in whole:
        assert re.search(rf"(?<!\d)({one}|\.{one})(?!\d)", known + " 82 88 90 95 80"), one


def test_what_the_code_knows_is_filled_in_and_not_written_down() -> None:
    for name, language in EVERY:
        source = raw(name, language)
        assert not re.search(r"\b(30|24|13|396) (Tage|Stunden|Monate|days|hours|months)\b", source), name
        assert not re.search(r"(mindestens|at least) \d", FIELD.sub("", source)), name
        assert "{{" not in document(name, language).markdown
        assert __version__ not in source


@pytest.mark.parametrize("language", LANGUAGES)
def test_fields_are_the_codes_values(language: Language) -> None:
    found = fields(language)
    assert found["utterances_h"] == f"{RETENTION.utterances / timedelta(hours=1):.0f}" == "24"
    assert found["calls_d"] == str(RETENTION.calls.days) == "30"
    assert (found["figures_months"], found["audit_months"]) == ("13", "24")
    assert (found["least_agents"], found["least_calls"]) == ("5", "50")
    book = load_rules()
    assert found["budget_most"] == f"{book.budget.most}"
    assert found["budget_apart_s"] == f"{book.budget.apart_s:.0f}"
    (rule,) = [one for one in book.rule if one.id == "tempo_high"]
    assert found["rule_tempo_high"].replace(",", ".") == f"{rule.when[0].above}"
    assert "vocal-emotion" in found["model"]


def test_documents_follow_the_settings_in_force(tmp_path: Path) -> None:
    config = Config(
        privacy=PrivacyConfig(basis="consent", least_agents=8), retention=RetentionConfig(calls_d=14, utterances_h=6)
    )
    german = document("works-agreement", "de", config).markdown
    assert "mindestens 8 Personen und 50 Gespräche" in german
    assert "| Gespräche und Berichte | 14 Tage |" in german
    assert "| einzelne Äußerungen | 6 Stunden |" in german
    kept = document("retention", "en", config).markdown
    assert re.search(r"\| 14 days \| 30 days \|", kept)
    assert "(set here: consent in each call)" in document("measures", "en", config).markdown
    other = msgspec.structs.replace(config, emotion=EmotionConfig(model=str(tmp_path)))
    assert "comes without a card" in document("model-card", "en", other).markdown


def test_the_model_card_is_the_models_own() -> None:
    card = (ROOT / "models/emotion/CARD.md").read_text()
    for language in LANGUAGES:
        told = document("model-card", language).markdown
        assert [line for line in card.splitlines()[1:] if "](" not in line and line.strip() and line not in told] == []
        assert "](../" not in told


# Words


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_each_is_marked_as_a_draft_that_wants_a_lawyer(name: str, language: Language) -> None:
    one = document(name, language)
    for made in (document_page(one), as_markdown(one)):
        assert ("Entwurf, keine Rechtsberatung" if language == "de" else "Draft, not legal advice") in made
        assert ("anwaltlich" if language == "de" else "lawyer") in made
        assert one.date in made
    if BLANK.search(one.markdown) and name != "model-card":
        assert "<mark>[" in document_page(one)


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_no_sentence_says_how_agents_feel(name: str, language: Language) -> None:
    """Sentences with an inner state are about customers, or deny it of agents."""
    side = {"de": r"Agent|Beschäftigt|Mitarbeit", "en": r"[Aa]gent|[Ee]mployee|staff"}[language]
    denied = {
        "de": r"\b(nicht|kein\w*|verboten|nie|Kundenseite|Hochrisiko|Anrufende\w*)\b|R2",
        "en": r"\b(not|no|never|forbidden|customer\w*|caller\w*|high-risk)\b|R2",
    }[language]
    for sentence in re.split(r"(?<=[.:!?])\s|\n", raw(name, language)):
        if any(word in sentence.lower() for word in INNER_STATES[language]) and re.search(side, sentence):
            assert re.search(denied, sentence), sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_german_is_set_as_german_and_english_as_english(language: Language) -> None:
    for name in NAMES:
        prose = re.sub(
            r"`[^`]*`", "", document(name, language).markdown if name != "model-card" else raw(name, language)
        )
        if language == "de":
            assert '"' not in prose, name
            assert not re.search(r"\d\.\d\d? %", prose), name
            assert prose.count("„") == prose.count("“")
        else:
            assert not re.search(r"[„»«]", prose), name
            assert not re.search(r"\d,\d\d? %", prose), name


# Pages


@given(st.text())
def test_no_html_gets_through(markdown: str) -> None:
    html, _ = rendered(markdown + "\n\n<script>alert(1)</script> [x](javascript:alert(1)) <b onclick=x>y</b>")
    assert "<script" not in html
    assert "<b " not in html
    assert 'href="javascript' not in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_contents_lead_to_the_sections(language: Language) -> None:
    for name in NAMES:
        page = document_page(document(name, language))
        assert re.findall(r'href="#(s\d+)"', page) == re.findall(r'<h2 id="(s\d+)"', page)
        assert f'<html lang="{language}"' in page
        assert "<script" not in page
    assert documents_page([document(name, language) for name in NAMES], language).count("/documents/") == len(NAMES)


@pytest.fixture(scope="module")
def closed() -> object:
    with serving(server=ServerConfig(closed=True)) as served:
        yield served


def test_everybody_who_is_signed_in_reads_them(closed: Served) -> None:
    status, headers, _ = http_(closed, "GET", "/documents/measures?lang=de")
    assert (status, headers["location"]) == (303, "/?to=%2Fdocuments%2Fmeasures%3Flang%3Dde")
    for role in ACCOUNT_ROLES:
        if role == "local":
            continue
        token = {"Authorization": f"Bearer {closed.token(role, 'a' if role == 'agent' else None, 't')}"}
        assert http_(closed, "GET", "/documents?lang=de", **token)[0] == 200
    status, headers, body = http_(closed, "GET", "/documents/works-agreement.md?lang=de", **token)
    assert status == 200
    assert headers["content-disposition"] == 'attachment; filename="vocal-works-agreement-de.md"'
    assert headers["content-type"] == "text/markdown; charset=utf-8"
    assert body.decode().startswith("# Betriebsvereinbarung")
    status, _, body = http_(closed, "GET", "/documents/model-card?lang=en", **token)
    assert (status, b"eGeMAPS" in body) == (200, True)
    status, _, body = http_(closed, "GET", "/documents/../../policy.py", **token)
    assert status == 404
    status, _, body = http_(closed, "GET", "/documents/measure", **token)
    assert status == 404
    assert b"works-agreement" in body


def test_a_document_that_is_none() -> None:
    with pytest.raises(KeyError):
        raw("../policy", "de")
    assert load_config(None, {}) == Config()
