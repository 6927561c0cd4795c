"""Rules and the cue budget: what is shown, and above all what is not."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.conversation import Snapshot
from vocal.errors import ConfigError
from vocal.policy import INNER_STATES
from vocal.rules import Budget, Condition, Rule, RuleBook, Rules, load_rules
from vocal.types import Cue

TEXT = {"de": "{x} hoch. Eine Pause hilft.", "en": "{x} high. A pause helps."}


def a_rule(name: str = "r", **changes: object) -> Rule:
    fields: dict[str, object] = {
        "id": name,
        "audience": "agent",
        "kind": name,
        "severity": "hint",
        "when": (Condition("x", above=1.0),),
        "text": TEXT,
    }
    return Rule(**(fields | changes))  # type: ignore[arg-type]


def cues_over(rules: list[Rule], seconds: int, speaks: bool = False, **values: float) -> list[Cue]:
    engine = Rules(RuleBook(tuple(rules)))
    found: list[Cue] = []
    for second in range(seconds + 1):
        found += engine.push(Snapshot(float(second), values, speaks), "c")
    return found


def test_none_in_the_first_twenty_seconds() -> None:
    assert [cue.at_s for cue in cues_over([a_rule()], 30, x=2.0)] == [20.0]


def test_the_same_kind_not_again_within_two_minutes_and_four_a_call() -> None:
    assert [cue.at_s for cue in cues_over([a_rule()], 900, x=2.0)] == [20.0, 140.0, 260.0, 380.0]


def test_two_kinds_stand_forty_five_seconds_apart() -> None:
    cues = cues_over([a_rule("a"), a_rule("b")], 70, x=2.0)
    assert [(cue.cue, cue.at_s) for cue in cues] == [("a", 20.0), ("b", 65.0)]


def test_none_while_the_agent_speaks() -> None:
    assert cues_over([a_rule()], 60, speaks=True, x=2.0) == []


def test_none_below_the_confidence() -> None:
    rule = a_rule(confidence="sure")
    assert cues_over([rule], 60, x=2.0, sure=0.69) == []
    assert cues_over([rule], 60, x=2.0) == []
    assert len(cues_over([rule], 60, x=2.0, sure=0.7)) == 1


def test_a_condition_must_hold_for_its_time() -> None:
    rules = Rules(RuleBook((a_rule(when=(Condition("x", above=1.0, for_s=5.0),)),)))
    fired = []
    for second in range(20, 60):
        x = 0.0 if second == 23 else 2.0
        fired += [cue.at_s for cue in rules.push(Snapshot(float(second), {"x": x}, False), "c")]
    assert fired[:1] == [29.0]


def test_praise_once_a_call() -> None:
    assert len(cues_over([a_rule(once=True)], 900, x=2.0)) == 1


def test_the_coach_has_no_budget_but_no_repetition_either() -> None:
    alerts = cues_over([a_rule(audience="coach")], 130, speaks=True, x=2.0)
    assert [cue.at_s for cue in alerts] == [0.0, 120.0]


def test_a_missing_measure_fires_nothing() -> None:
    assert cues_over([a_rule()], 60, y=2.0) == []


def test_text_is_filled_in_each_languages_numbers() -> None:
    (cue,) = cues_over([a_rule()], 25, x=5.84)
    assert cue.text == {"de": "5,8 hoch. Eine Pause hilft.", "en": "5.8 high. A pause helps."}
    assert cue.evidence == {"x": 5.84}
    assert cue.expires_s == 28.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3), st.booleans(), st.floats(0, 1)), min_size=30, max_size=400))
def test_the_budget_holds_whatever_happens(seconds: list[tuple[float, float, bool, float]]) -> None:
    budget = Budget()
    rules = Rules(
        RuleBook(
            (
                a_rule("a"),
                a_rule("b", confidence="sure"),
                a_rule("c", when=(Condition("y", below=1.0),), text={"de": "", "en": ""}),
            )
        )
    )
    shown: list[Cue] = []
    for second, (x, y, speaks, sure) in enumerate(seconds):
        cues = rules.push(Snapshot(float(second), {"x": x, "y": y, "sure": sure}, speaks), "c")
        assert len(cues) <= 1
        assert not (cues and speaks)
        shown += cues
    assert len(shown) <= budget.most
    times = [cue.at_s for cue in shown]
    assert all(later - earlier >= budget.apart_s for earlier, later in itertools.pairwise(times))
    assert all(time >= budget.quiet_start_s for time in times)


def test_the_rules_that_ship() -> None:
    book = load_rules()
    assert len(book.rule) >= 10
    assert book.budget == Budget()
    agents = [rule for rule in book.rule if rule.audience == "agent"]
    for rule in agents:
        for language in ("de", "en"):
            text = rule.text[language].format(**{condition.measure: "9.9" for condition in rule.when})
            assert len(text) <= 90
            if not rule.id.startswith(("mood_", "customer_")):
                assert not [word for word in INNER_STATES[language] if word in text.lower()]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("rule = 3", "wanted a file of rules"),
        ("[[rule]]\nid='a'", "wanted a file of rules"),
        ("[[rule", "wanted a file of rules"),
        (
            "[[rule]]\nid='a'\naudience='boss'\nkind='k'\nseverity='hint'\nwhen=[]\ntext={de='',en=''}",
            "wanted a file of rules",
        ),
        (
            "[[rule]]\nid='a'\naudience='agent'\nkind='k'\nseverity='hint'\nwhen=[{measure='x',above=1}]\ntext={de='x'}",
            "no text in 'en'",
        ),
        (
            "[[rule]]\nid='a'\naudience='agent'\nkind='k'\nseverity='hint'\nwhen=[{measure='x',above=1}]\n"
            "text={de='{y}',en='x'}",
            "may name only measures",
        ),
        (
            "[[rule]]\nid='a'\naudience='agent'\nkind='k'\nseverity='hint'\nwhen=[{measure='x'}]\ntext={de='',en=''}",
            "each with above or below",
        ),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(body)
    with pytest.raises(ConfigError, match=message) as error:
        load_rules(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_rules("nowhere.toml")
