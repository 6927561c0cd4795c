"""Rules and the cue budget: what is shown, and above all what is not."""

import itertools
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.conversation import Snapshot
from vocal.errors import ConfigError
from vocal.policy import INNER_STATES
from vocal.rules import DEFAULT_FILE, Budget, Condition, Rule, RuleBook, Rules, load_rules
from vocal.types import Cue, Metadata

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


# Links


def linked(link: object, said: Metadata = Metadata(), kind: str = "tempo") -> str | None:
    rules = Rules(RuleBook((a_rule("r1", kind=kind, link=link),)), said)
    (cue,) = rules.push(Snapshot(20.0, {"x": 2.0}, False), "call-7")
    return cue.link


def test_a_link_has_the_calls_fields_percent_encoded() -> None:
    said = Metadata(queue="Rechnung & Mahnung", touchpoint="Schadenfall/2", language="en-GB")
    link = "https://wissen.example/{queue}?step={touchpoint}&{kind}/{cue}/{language}#{call}"
    assert linked(link, said) == (
        "https://wissen.example/Rechnung%20%26%20Mahnung?step=Schadenfall%2F2&tempo/r1/en#call-7"
    )
    assert linked(link) == "https://wissen.example/?step=&tempo/r1/de#call-7"
    assert linked(None, said) is None


def test_a_link_for_each_language_follows_the_call() -> None:
    link = {"de": "https://wissen.example/de", "en": "https://wissen.example/en"}
    told = {language: linked(link, Metadata(language=language)) for language in (None, "de-AT", "DE", "en-US", "fr")}
    assert [str(one)[-2:] for one in told.values()] == ["de", "de", "de", "en", "en"]


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_field_leaves_its_place(queue: str, touchpoint: str) -> None:
    link = linked("https://wissen.example/a/{queue}/b?t={touchpoint}", Metadata(queue=queue, touchpoint=touchpoint))
    parts = urlsplit(str(link))
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "wissen.example", "")
    _, first, its, last = parts.path.split("/")
    assert (first, last) == ("a", "b")
    wanted = ["" if one[:200] in (".", "..") else one[:200] for one in (queue, touchpoint)]
    assert [unquote(its), unquote(parts.query.removeprefix("t="))] == wanted


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ('"javascript:alert(1)"', "https://HOST"),
        ('"http://wissen.example/"', "https://HOST"),
        ('"wissen.example/{queue}"', "https://HOST"),
        ('"https://{queue}.example/"', "behind the host"),
        ('"https://wissen.example{queue}"', "behind the host"),
        ('"https://ann:secret@wissen.example/"', "no password"),
        ('"https://[/{queue}"', "https://HOST"),
        ('"https://wissen.example/{qeue}"', "did you mean 'queue'"),
        ('"https://wissen.example/{queue.__class__}"', "unknown field"),
        ('"https://wissen.example/{queue!r}"', "alone"),
        ('"https://wissen.example/{queue:>9}"', "alone"),
        ('"https://wissen.example/{queue"', "wanted fields"),
        ('{ de = "https://wissen.example/" }', "'en'"),
        ('{ de = "https://wissen.example/", en = "https://x.example/{}" }', "unknown field"),
    ],
)
def test_a_bad_link_names_rule_and_remedy(tmp_path: Path, link: str, why: str) -> None:
    path = tmp_path / "rules.toml"
    head = (
        '[[rule]]\nid = "r7"\naudience = "agent"\nkind = "k"\nseverity = "hint"\nwhen = [{measure = "x", above = 1}]\n'
    )
    path.write_text(f'{head}text = {{de = "x", en = "x"}}\nlink = {link}\n')
    with pytest.raises(ConfigError, match=r"rules\.toml: rule 'r7': link: ") as told:
        load_rules(path)
    assert why in str(told.value)
    assert "\n" not in str(told.value)


def test_good_links_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    text = DEFAULT_FILE.read_text()
    path.write_text(text.replace('kind = "tempo"', 'link = "http://localhost:8080/?{{x}}={kind}"\nkind = "tempo"'))
    rules = Rules(load_rules(path))
    cues = rules.push(Snapshot(30.0, {"agent_tempo_syll_s": 7.0}, False), "c")
    assert [one.link for one in cues] == ["http://localhost:8080/?{x}=tempo"]
    assert all(rule.link is None for rule in load_rules().rule)
