"""The law in the engine: an employee's emotion is never inferred, and no text speaks of it."""

import itertools

from vocal.config import Config
from vocal.policy import INNER_STATES, RETENTION, may_infer_emotion
from vocal.texts import catalogue
from vocal.types import Metadata


def test_only_an_informed_customer() -> None:
    allowed = [
        (role, notice)
        for role, notice in itertools.product(("agent", "customer", "unknown"), (False, True))
        if may_infer_emotion(role, Metadata(notice=notice), "notice")  # type: ignore[arg-type]
    ]
    assert allowed == [("customer", True)]


def test_no_setting_reaches_it() -> None:
    names = [name for room in Config.__struct_fields__ for name in type(getattr(Config(), room)).__struct_fields__]
    found = [name for name in names if "agent" in name or "role" in name or "notice" in name]
    assert found == ["least_agents"]  # of how many a figure of teams must be: it can only be raised


def test_no_text_about_the_agent_names_an_inner_state() -> None:
    for key, texts in catalogue().items():
        for language, words in INNER_STATES.items():
            text = texts[language].lower()  # type: ignore[index]
            mine = [sentence for sentence in text.replace(";", ".").split(".") if "agent" in sentence]
            for sentence in mine:
                customers = "kund" in sentence or "customer" in sentence
                never = " nie " in sentence or "never" in sentence or "nicht" in sentence or "not " in sentence
                found = [word for word in words if word in sentence]
                assert not found or customers or never, f"{key}: {sentence!r} says {found}"


def test_retention_grows_with_distance_from_the_person() -> None:
    assert RETENTION.utterances < RETENTION.calls < RETENTION.team_figures
