"""The report of one call: complete, closed in itself, readable by everyone, and within the policy."""

import csv
import io
import itertools
import random
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from math import sin

import msgspec
import pytest

from vocal import charts, texts
from vocal.answers import Reflection
from vocal.errors import UsageError
from vocal.policy import INFERRED_MEASURES
from vocal.record import journey_point, level_of, record_of, tempo_of
from vocal.reports import call as report
from vocal.reports.call import Served, call_report
from vocal.reports.call_export import CallReport, as_json, report_of, steps_csv
from vocal.reports.call_view import Said
from vocal.reports.page import PAGE_STYLE
from vocal.types import (
    ByRole,
    CallEnded,
    CallStarted,
    Channel,
    Conversation,
    Cue,
    Emotion,
    Event,
    Language,
    Metadata,
    Moment,
    Mood,
    Notice,
    Relative,
    Role,
    Satisfaction,
    Totals,
    Utterance,
)

CALL = "0199-b2"
SOURCE = "/srv/calls/2026-11/beschwerde_rechnung.wav"
MODEL = "vocal-emotion 1.0"
LANGUAGES: tuple[Language, ...] = texts.LANGUAGES

# who, from, to, syllables per second, level against the own baseline
TALK: tuple[tuple[Role, float, float, float, float], ...] = (
    ("agent", 0.6, 3.4, 5.1, 0.0),
    ("customer", 3.9, 10.2, 4.9, 0.4),
    ("agent", 10.0, 13.6, 5.7, 0.8),
    ("customer", 12.3, 19.4, 5.6, 2.6),
    ("agent", 19.7, 23.0, 5.8, 1.1),
    ("customer", 23.2, 30.6, 6.1, 5.2),
    ("agent", 29.2, 33.8, 5.4, -0.4),
    ("customer", 34.1, 35.0, 4.8, 1.0),
    ("agent", 39.6, 46.2, 4.7, -1.2),
    ("customer", 44.0, 44.5, 3.9, -1.0),
    ("customer", 46.9, 52.4, 5.0, 1.4),
    ("agent", 52.8, 58.5, 4.6, -1.6),
    ("customer", 59.0, 64.8, 4.6, -0.6),
    ("agent", 65.2, 70.4, 4.5, -1.1),
    ("customer", 70.8, 75.2, 4.4, -1.3),
    ("agent", 75.5, 78.6, 4.6, -0.8),
)


def valence_at(at_s: float) -> float:
    """Down until 0:30, then up: the call of a customer who recovers."""
    fall = 0.45 - 0.27 * min(at_s, 30.0) / 30.0
    rise = 0.58 * max(0.0, min(at_s - 34.0, 36.0)) / 36.0
    return fall + rise + 0.012 * sin(at_s * 1.7)


def emotion_of(valence: float, model: str) -> Emotion:
    return Emotion(
        valence=valence,
        arousal=0.6,
        stress=0.4,
        stress_terms={"level": 0.3},
        sentiment=2.0 * valence - 1.0,
        categories={"anger": 0.3, "neutral": 0.7},
        confidence=0.78,
        model=model,
    )


def utterance(index: int, role: Role, start_s: float, end_s: float, rate: float, level_db: float) -> Utterance:
    agent = role == "agent"
    spoken_s = end_s - start_s
    syllables = max(1, round(rate * spoken_s * 0.85))
    emotion = None
    if role == "customer":
        valence = valence_at(end_s)
        emotion = emotion_of(valence, MODEL)
    return Utterance(
        call=CALL,
        at_s=end_s + 0.3,
        channel=0 if agent else 1,
        role=role,
        index=index,
        start_s=start_s,
        end_s=end_s,
        detected_s=end_s + 0.3,
        syllables=syllables,
        articulation_rate_syll_s=rate,
        speech_rate_syll_s=rate * 0.85,
        level_dbov=(-24.0 if agent else -27.5) + level_db,
        loudness_lufs=-23.0,
        f0_median_hz=(196.0 if agent else 128.0) + 3 * level_db,
        f0_range_st=6.0,
        f0_slope_st_s=-0.4,
        voiced_share=0.6,
        jitter_pct=1.0,
        shimmer_pct=5.0,
        hnr_db=12.0,
        alpha_ratio_db=-4.0,
        relative=Relative(level_db, 0.5, 4.0) if start_s > 10.0 else Relative(),
        lost_s=0.0,
        bandwidth_hz=3100.0,
        snr_db=31.0 if agent else 22.0,
        clipped_share=0.0,
        clarity=0.86 if agent else 0.74,
        clarity_terms={"snr": 0.9},
        emotion=emotion,
    )


def started(source: str = SOURCE, notice: bool = True, **kwargs: object) -> CallStarted:
    values: dict[str, object] = {
        "started_at": "2026-11-20T14:05:00+01:00",
        "transport": "file",
        "channels": (Channel(0, "agent"), Channel(1, "customer")),
        "metadata": Metadata(queue="Rechnung", language="de", notice=notice),
    }
    return CallStarted(call=CALL, at_s=0.0, source=source, **(values | kwargs))  # type: ignore[arg-type]


def totals() -> Totals:
    return Totals(
        talk_share=ByRole(0.479, 0.521),
        talk_s=ByRole(34.9, 37.9),
        overlap_s=2.7,
        overlaps=2,
        interruptions=ByRole(1, 1),
        non_talk_s=4.6,
        longest_monologue_s=ByRole(6.6, 7.4),
        median_gap_s=ByRole(0.32, 0.46),
    )


def ended(**kwargs: object) -> CallEnded:
    values: dict[str, object] = {
        "reason": "hangup",
        "duration_s": 80.0,
        "conversation": totals(),
        "satisfaction": Satisfaction(4.1, 7.6, 3.5, {"start": (3.2, 5.0), "end": (6.8, 8.4)}),
        "moments": (
            Moment("pain", 12.0, 19.0, "customer_mood_low"),
            Moment("pain", 23.5, 31.0, "customer_escalated"),
            Moment("positive", 46.9, 58.0, "customer_recovered"),
            Moment("positive", 65.0, 77.0, "customer_mood_high"),
        ),
        "lost_share": 0.002,
    }
    return CallEnded(call=CALL, at_s=80.0, **(values | kwargs))  # type: ignore[arg-type]


def cue(at_s: float, audience: str, severity: str, said: tuple[str, str], evidence: dict[str, float]) -> Cue:
    return Cue(
        call=CALL,
        at_s=at_s,
        cue="tempo",
        audience=audience,  # type: ignore[arg-type]
        kind="tempo",
        severity=severity,  # type: ignore[arg-type]
        evidence=evidence,
        text_key="cue.tempo",
        text={"de": said[0], "en": said[1]},
        expires_s=at_s + 8.0,
    )


CUES = (
    cue(
        23.1,
        "agent",
        "hint",
        ("Tempo 5,8 Silben/s. Eine kurze Pause hilft.", "Tempo 5.8 syll/s. A short pause helps."),
        {"tempo_syll_s": 5.8, "confidence": 0.9},
    ),
    cue(
        30.4,
        "coach",
        "alert",
        ("Die Kundenseite klingt seit 10 s angespannter.", "The customer has sounded tenser for 10 s."),
        {"customer_stress": 0.71, "mood_trend": -0.18, "confidence": 0.82},
    ),
    cue(
        70.5,
        "agent",
        "info",
        ("Die Stimmung der Kundenseite hat sich erholt.", "The customer’s mood has recovered."),
        {"customer_valence": 0.72, "confidence": 0.8},
    ),
)


def recovering_call(**start: object) -> list[Event]:
    """80 s: a complaint falls until 0:30 and recovers; overlaps twice, one stretch without speech."""
    utterances = [utterance(i, *spoken) for i, spoken in enumerate(TALK)]
    moods = [
        Mood(
            call=CALL,
            at_s=float(second),
            role="customer",
            valence=valence_at(second),
            arousal=0.6,
            stress=0.3,
            trend=0.1,
            confidence=min(0.86, 0.55 + second / 120.0),
        )
        for role, start_s, end_s, _, _ in TALK
        if role == "customer"
        for second in range(int(start_s) + 1, int(end_s) + 1)
    ]
    return [started(**start), *utterances, *moods, *CUES, ended()]  # type: ignore[arg-type]


def silent_call() -> list[Event]:
    none = ByRole()
    nothing = Totals(none, ByRole(0.0, 0.0), 0.0, 0, ByRole(0, 0), 80.0, none, none)
    return [started(), ended(conversation=nothing, satisfaction=None, moments=())]


def one_sided_call(role: Role) -> list[Event]:
    heard = "agent" if role == "unknown" else role
    own = [utterance(i, role, *spoken[1:]) for i, spoken in enumerate(s for s in TALK if s[0] == heard)]
    alone = ByRole(1.0) if role == "agent" else ByRole(None, 1.0)
    sums = Totals(alone, ByRole(34.9), 0.0, 0, ByRole(), 0.0, ByRole(6.6), ByRole())
    return [started(channels=(Channel(0, role),)), *own, ended(conversation=sums, satisfaction=None, moments=())]


def long_call() -> list[Event]:
    """An hour with 1,000 utterances, cues and moments without measure."""
    rng = random.Random(7)
    events: list[Event] = [started()]
    at_s = 0.0
    for index in range(1000):
        role: Role = "agent" if index % 2 else "customer"
        end_s = at_s + rng.uniform(0.5, 5.5)
        events.append(utterance(index, role, at_s, end_s, rng.uniform(3.5, 6.5), rng.uniform(-4, 4)))
        if role == "customer":
            for second in range(int(at_s), int(end_s)):
                valence = 0.5 + 0.4 * sin(second / 300.0)
                mood = Mood(
                    call=CALL,
                    at_s=float(second),
                    role="customer",
                    valence=valence,
                    arousal=0.5,
                    stress=0.1,
                    trend=0.0,
                    confidence=0.8,
                )
                events.append(mood)
        at_s = end_s + rng.uniform(-0.2, 1.4)
    events += [cue(60.0 * i, "coach", "alert", ("Lange Leitung.", "Long line."), {"snr_db": 6.0}) for i in range(200)]
    moments = tuple(Moment("pain", 30.0 * i, 30.0 * i + 20.0, "customer_mood_low") for i in range(100))
    return [*events, ended(duration_s=at_s + 1.0, moments=moments)]


CALLS = {
    "recovering": recovering_call(),
    "no_notice": recovering_call(notice=False),
    "silent": silent_call(),
    "agent_only": one_sided_call("agent"),
    "customer_only": one_sided_call("customer"),
    "unknown": one_sided_call("unknown"),
    "long": long_call(),
}


@pytest.fixture(params=[(name, language) for name in CALLS for language in LANGUAGES], ids="-".join)
def page(request: pytest.FixtureRequest) -> str:
    name, language = request.param
    return call_report(CALLS[name], language)


def svgs(page: str) -> list[ElementTree.Element]:
    """Outer drawings only; the nested ones come with them."""
    found, depth, begin = [], 0, 0
    for tag in re.finditer(r"<svg\b|</svg>", page):
        if tag.group() == "<svg":
            begin = tag.start() if depth == 0 else begin
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                found.append(ElementTree.fromstring(page[begin : tag.end()]))
    assert depth == 0
    return found


def visible(page: str) -> str:
    """The page's text without tags and styles."""
    body = page.split("</head>", 1)[1]
    return (
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))
        .replace("\N{NO-BREAK SPACE}", " ")
        .replace("\N{WORD JOINER}", "")
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


# ---- every page


def test_page_is_closed_in_itself(page: str) -> None:
    assert len(page.encode()) < 150_000
    assert not re.search(r"<script|javascript:|@import|\son\w+=", page, re.IGNORECASE)
    assert not re.search(r"""(?:src|href|srcset|action)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"url\((?!#)", page)
    assert "http:" not in page
    assert "https:" not in page


def test_page_is_well_formed_and_accessible(page: str) -> None:
    seen = tags(page)
    ids = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [name for _, attributes in seen for name in (attributes.get("aria-labelledby") or "").split()]
    wanted += [(attributes["href"] or "")[1:] for tag, attributes in seen if tag == "use"]
    assert set(wanted) <= set(ids)
    headings = [int(tag[1]) for tag, _ in seen if tag in ("h1", "h2", "h3")]
    assert headings.count(1) == 1
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    assert all("scope" in attributes for tag, attributes in seen if tag == "th")
    assert next(attributes["lang"] for tag, attributes in seen if tag == "html") in LANGUAGES


def test_charts_are_xml_with_title_and_description(page: str) -> None:
    drawn = svgs(page)
    shown = [svg for svg in drawn if svg.get("role") == "img"]
    assert all(svg.get("role") == "img" or svg.get("aria-hidden") == "true" for svg in drawn)
    for svg in shown:
        assert (svg[0].tag, svg[1].tag) == ("title", "desc")
        assert svg[0].text
        assert svg[1].text
        for element in svg.iter():
            for name in ("x", "y", "width", "height", "cx", "cy", "x1", "x2", "y1", "y2"):
                value = element.get(name)
                assert value is None or float(value.rstrip("%")) >= -5.0, (element.tag, name, value)
    assert "nan" not in page.lower().replace("finanz", "").replace("einander", "")
    assert "None" not in page


# ---- the recovering call


def test_order_of_the_page() -> None:
    page = call_report(CALLS["recovering"], "de")
    names = ("reflection", "good", "journey", "pain", "voices", "lanes", "cues", "numbers", "next")
    assert re.findall(r'<section class="(\w+)"', page) == list(names)
    assert page.index("<h1>") < page.index('<section class="reflection"')
    assert page.index("</main>") < page.index("<footer>")


@pytest.mark.parametrize(
    ("language", "wanted"),
    [
        ("de", ("4,1", "Bereich 3,2–5,0", "+3,5", "20. November 2026, 14:05 Uhr (UTC+1)", "5,8 Silben/s", "48 %")),
        ("en", ("4.1", "interval 3.2–5.0", "+3.5", "20 November 2026, 14:05 (UTC+1)", "5.8 syll/s", "48%")),
    ],
)
def test_numbers_by_language(language: Language, wanted: tuple[str, ...]) -> None:
    shown = visible(call_report(CALLS["recovering"], language))
    for part in wanted:
        assert part in shown


def test_german_has_no_decimal_point_and_english_no_comma() -> None:
    german = visible(call_report(CALLS["recovering"], "de")).replace(MODEL, "")
    assert not re.search(r"\d\.\d", german)
    assert not re.search(r"\d,\d", visible(call_report(CALLS["recovering"], "en")))


def test_source_is_the_file_name_alone() -> None:
    assert "beschwerde_rechnung.wav" in call_report(CALLS["recovering"], "de")
    assert "/srv/calls" not in call_report(CALLS["recovering"], "de")
    windows = call_report(recovering_call(source="C:\\Anrufe\\a.wav"), "de")
    assert "Anrufe" not in windows
    assert "a.wav" in windows
    live = call_report(recovering_call(source="sip:+49301234567@host", transport="sip"), "de")
    assert "49301234567" not in live
    assert "Live-Gespräch (sip)" in live


def test_moments_carry_number_icon_and_words_in_list_and_chart() -> None:
    page = call_report(CALLS["recovering"], "de")
    journey = next(svg for svg in svgs(page) if "Stimmung" in (svg[0].text or ""))
    labels = {"".join(t.itertext()) for t in journey.iter("text")}
    assert {"1 erholt", "2 Hoch", "3 Tief", "4 eskaliert"} <= labels
    icons = [use.get("href") for use in journey.iter("use")]
    assert icons.count("#m-positive") == 2
    assert icons.count("#m-pain") == 2
    assert page.index("Was gut lief") < page.index("0:47–0:58") < page.index("Wendepunkte") < page.index("0:12–0:19")


def test_unknown_reason_falls_back_to_the_kind() -> None:
    events = [*recovering_call()[:-1], ended(moments=(Moment("pain", 3.0, 6.0, "<b>new</b>"),))]
    page = call_report(events, "en")
    assert texts.text("moment.pain.text", "en") in page
    assert "new" not in page


def test_overlaps_and_silences_are_those_of_the_definitions() -> None:
    view = report.view_of(CALLS["recovering"])
    assert view.overlaps == ((12.3, 13.6), (29.2, 30.6))
    assert view.silences == ((35.0, 39.6),)
    assert "Überlappungen ab 1,0 s: 2. Stellen über 3 s ohne Sprache: 1." in visible(
        call_report(CALLS["recovering"], "de")
    )


def test_tempo_of_a_side_weighs_utterances_by_their_speech() -> None:
    short, long = utterance(0, "agent", 0.0, 1.0, 8.0, 0.0), utterance(1, "agent", 2.0, 12.0, 4.0, 0.0)
    assert tempo_of([short, long]) == pytest.approx(4.4, abs=0.1)
    assert tempo_of([]) is None
    assert level_of([short, long]) == pytest.approx(-24.0)


@pytest.mark.parametrize(("valence", "point"), [(0.0, 1.0), (0.5, 5.5), (1.0, 10.0), (1.2, 10.0)])
def test_journey_scale(valence: float, point: float) -> None:
    assert journey_point(valence) == pytest.approx(point)


# ---- what others wrote


def test_hostile_text_is_escaped() -> None:
    bad = "<script>alert(1)</script>\"'&.wav"
    evil = cue(5.0, "agent", "hint", ("<img src=x onerror=alert(2)>", "<b>"), {"<i>x</i>_s": 1.0})
    metadata = Metadata(queue="</dd><script>", notice=True)
    start = started(f"/tmp/{bad}", metadata=metadata, started_at="<u>now</u>")
    spoken = utterance(0, "customer", 1.0, 3.0, 5.0, 0.0)
    assert spoken.emotion
    model = emotion_of(0.5, "<svg/onload=alert(3)>")
    fields = {name: getattr(spoken, name) for name in Utterance.__struct_fields__} | {"emotion": model}
    for language in LANGUAGES:
        page = call_report([start, Utterance(**fields), evil, ended()], language)
        for raw in ("<script", "<img", "<svg/", "<i>x", "<u>now"):
            assert raw not in page
        tags(page)
        svgs(page)
    assert "&lt;script&gt;alert(1)&lt;" not in page  # the folder part ends at the last slash, inside `</script>`
    assert "script&gt;&quot;&#x27;&amp;.wav" in page


# ---- policy


def test_without_notice_there_is_no_mood_and_it_says_why() -> None:
    for language in LANGUAGES:
        page = call_report(CALLS["no_notice"], language)
        assert texts.text("report.journey.no_notice", language) in page
        assert "journey-chart" not in page
        assert 'class="big"' not in page
        for why in ("customer_recovered", "customer_escalated"):
            assert texts.text(f"moment.{why}.text", language) not in page
        assert MODEL not in page
        assert [one.given.at_s for one in report.view_of(CALLS["no_notice"]).cues] == [23.1]


def test_mood_of_an_agent_is_never_drawn() -> None:
    rogue = Mood(call=CALL, at_s=40.0, role="agent", valence=1.0, arousal=1.0, stress=1.0, trend=0.0, confidence=1.0)
    assert call_report([*CALLS["recovering"], rogue], "de") == call_report(CALLS["recovering"], "de")


INNER_STATES = re.compile(
    r"stress|gelangweilt|langweil|freundlich|wütend|wut\b|ärger|genervt|nervös|müde|traurig|fröhlich|glücklich|angst|"
    r"ängstlich|frustr|gereizt|aggressiv|unsicher|motivier|engagiert|empath|lustlos|überforder|unterforder|\bgelassen|"
    r"entspann|anspann|angespannt|zufrieden|stimmung\b|laune|gefühl|emotion|erregung|bored|boredom|friendly|angry|anger|"
    r"annoy|nervous|tired|\bsad\b|happy|anxious|irritat|aggress|overwhelm|calm|relax|tens(?:e|er|ion)\b|satisf|mood|"
    r"feeling|arousal|burnout|boreout",
    re.IGNORECASE,
)
AGENT = re.compile(r"[Aa]gent|[Ee]igene|\b[Oo]wn\b|\bSie\b|\bIhr|\b[Yy]ou")
NEVER = "report.not_measured_text"  # the one place that may name both, to say that it is not done


def test_no_word_for_an_inner_state_on_the_agents_side() -> None:
    for key, both in texts.catalogue().items():
        for language, said in both.items():
            for sentence in re.split(r"(?<=[.;:?!])\s", said):
                if INNER_STATES.search(sentence) and key != NEVER:
                    assert not AGENT.search(sentence), (key, language, sentence)


def test_page_of_an_agent_alone_names_no_inner_state_but_to_say_none_is_read() -> None:
    for language in LANGUAGES:
        shown = visible(call_report(CALLS["agent_only"], language))
        for key in (NEVER, "report.journey.no_customer", "report.notice_yes_no_mood", "report.how.no_model"):
            shown = shown.replace(texts.text(key, language), "")
        assert not INNER_STATES.search(shown), INNER_STATES.search(shown)


def test_no_red() -> None:
    for red, green, blue in re.findall(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})\b", PAGE_STYLE):
        assert not (int(red, 16) > 150 and int(green, 16) < 90 and int(blue, 16) < 90)


# ---- calls that lack something


def test_silence_is_said_plainly() -> None:
    for language in LANGUAGES:
        page = call_report(CALLS["silent"], language)
        assert texts.text("report.silence.title", language) in page
        assert 'role="img"' not in page
        assert "<table" not in page


def test_one_channel() -> None:
    page = call_report(CALLS["agent_only"], "de")
    assert texts.text("report.lanes.one_side", "de") in page
    assert texts.text("report.journey.no_customer", "de") in page
    assert texts.text("measure.overlap.name", "de") + "<" not in page
    assert "Kanal 0 (Rolle unbekannt)" in call_report(CALLS["unknown"], "de")


def test_call_without_end_is_reported_as_far_as_it_goes() -> None:
    page = call_report(CALLS["recovering"][:-1], "de")
    assert "hat in den Daten kein Ende" in page
    tags(page)


def test_wrong_events_are_refused() -> None:
    with pytest.raises(UsageError, match="call_started"):
        call_report([ended()], "de")
    other = Mood(call="other", at_s=0.0, role="customer", valence=0, arousal=0, stress=0, trend=0, confidence=0)
    with pytest.raises(UsageError, match="other"):
        call_report([started(), other], "de")


# ---- a day later, and what others said of the call


def after_a_day(events: list[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Utterance | Conversation)]


def test_the_record_tells_the_story_when_the_utterances_are_gone() -> None:
    whole, record = CALLS["recovering"], record_of(CALLS["recovering"])
    page = call_report(after_a_day(whole), "de", record)
    assert texts.text("report.kept_record", "de") in page
    assert texts.text("report.kept_record", "de") not in call_report(whole, "de", record)
    for part in ("0:47–0:58", "4,1", "Bereich 3,2–5,0", "48 %", "5,8 Silben/s", "20. November 2026, 14:05 Uhr (UTC+1)"):
        assert part in visible(page), part
    for chart in ("journey", "tempo", "level", "lanes"):
        assert f'id="{chart}-chart-t"' in page
    before, after = report.view_of(whole, record), report.view_of(after_a_day(whole), record)
    assert (before.kept, after.kept) == ("all", "record")
    for name in ("points", "totals", "good", "pain", "tempo", "level", "satisfaction", "cues"):
        assert getattr(before, name) == getattr(after, name), name
    assert [side.course for side in before.sides] == [side.course for side in after.sides]


def test_a_record_alone_is_enough() -> None:
    record = record_of(CALLS["recovering"])
    view = report.view_of([], record)
    assert [side.role for side in view.sides] == ["agent", "customer"]
    assert [point.value for point in view.points] == [step.mood for step in record.steps if step.mood is not None]
    page = call_report([], "en", record)
    assert texts.text("report.journey.caption_steps", "en") in page
    assert texts.text("report.cue.tempo", "en") in page  # of a cue without its text
    tags(page)
    svgs(page)


@pytest.mark.parametrize("name", CALLS)
def test_every_call_has_a_page_of_its_record_alone(name: str) -> None:
    for language in LANGUAGES:
        tags(call_report([], language, record_of(CALLS[name])))


def test_what_the_agent_said_stands_beside_the_curve_and_before_every_number() -> None:
    felt = Reflection(CALL, 7, "Am Anfang <zäh>.\nDann gut.", "2026-11-20T14:10:00+00:00")
    page = call_report(CALLS["recovering"], "de", said=Said(reflection=felt))
    assert page.index("Am Anfang &lt;zäh&gt;.") < page.index('<section class="good"')
    assert 'type="radio"' not in page
    journey = next(svg for svg in svgs(page) if "Stimmung" in (svg[0].text or ""))
    (line,) = [one for one in journey.iter("line") if one.get("class") == "own"]
    grid = {"".join(t.itertext()): float(t.get("y") or 0) - 4 for t in journey.iter("text")}
    assert float(line.get("y1") or 0) == pytest.approx(grid["7"])


def test_cues_tell_how_they_were_rated_and_what_changed() -> None:
    events = [*CALLS["recovering"]]
    for number, event in enumerate(events):
        if isinstance(event, Cue):
            fields = {name: getattr(event, name) for name in Cue.__struct_fields__} | {"seq": number}
            events[number] = Cue(**fields)
    rated = [event.seq for event in events if isinstance(event, Cue)]
    page = call_report(events, "de", said=Said({rated[0]: True, rated[2]: False}))
    listed = re.findall(r"<li><span class=\"when\">.*?</li>", page)
    assert [("hilfreich" in one, "passt nicht" in one) for one in listed] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    record = record_of(events)
    change = texts.quantity(record.cues[0].tempo_change_syll_s, "syll_s", "de", signed=True)
    assert f"Tempo der Agentenseite {change}" in listed[0]


def test_a_notice_that_is_withdrawn_takes_all_that_was_inferred() -> None:
    objected = Notice(call=CALL, at_s=70.0, given=False)
    page = call_report([*CALLS["recovering"][:-1], objected, CALLS["recovering"][-1]], "de")
    assert texts.text("report.journey.withdrawn", "de") in page
    assert texts.text("report.notice_withdrawn", "de") in page
    assert "journey-chart" not in page
    for why in ("customer_recovered", "customer_escalated"):
        assert texts.text(f"moment.{why}.text", "de") not in page
    view = report.view_of([*CALLS["recovering"][:-1], objected, CALLS["recovering"][-1]])
    assert [one.given.at_s for one in view.cues] == [23.1]
    told = as_json(view)
    for name in (*INFERRED_MEASURES, "customer_recovered", "customer_escalated", "customer_mood_low"):
        assert name not in told.replace('"mood_change": null', "")


def test_process_comes_before_persons() -> None:
    metadata = Metadata(queue="Rechnung", touchpoint="Mahnung", notice=True)
    page = call_report([*recovering_call(metadata=metadata)[:-1], ended(lost_share=0.04)], "de")
    pain = page[page.index('<section class="pain"') : page.index('<section class="voices"')]
    assert (
        pain.index("Zuerst der Vorgang")
        < pain.index("Rechnung, Mahnung")
        < pain.index("4,0\N{NO-BREAK SPACE}% des Tons")
    )


def test_a_served_page_has_the_form_only_for_the_agent() -> None:
    own = Served("/reports/calls/a%22b", own=True, shared=False)
    page = call_report(CALLS["recovering"], "en", served=own)
    assert '<form method="post" action="/reports/calls/a%22b/reflection?lang=en">' in page
    assert "form-action 'self'" in page
    assert 'href="/reports/calls/a%22b/share?lang=en"' in page
    lead = call_report(CALLS["recovering"], "en", served=Served("/x", own=False, shared=True, note="<see> 1:12"))
    assert "<form" not in lead
    assert 'id="reflection"' not in lead
    assert "&lt;see&gt; 1:12" in lead
    tags(page)
    tags(lead)


# ---- for other programs


@pytest.mark.parametrize("name", CALLS)
def test_json_is_what_is_documented(name: str) -> None:
    view = report.view_of(CALLS[name])
    read = msgspec.json.decode(as_json(view), type=CallReport)
    assert read == report_of(view)
    assert read.record == view.record
    assert set(read.question) == set(LANGUAGES)


def test_csv_is_the_course() -> None:
    view = report.view_of(CALLS["recovering"])
    head, *rows = csv.reader(io.StringIO(steps_csv(view)))
    assert head[:3] == ["start_s", "end_s", "mood"]
    assert len(rows) == len(view.record.steps)
    assert [row[1] for row in rows[:-1]] == [row[0] for row in rows[1:]]
    assert float(rows[-1][1]) == 80.0
    tempos = [row[head.index("agent_tempo_syll_s")] for row in rows]
    assert [float(one) if one else None for one in tempos] == [
        None if step.agent_tempo_syll_s is None else pytest.approx(step.agent_tempo_syll_s, abs=1e-3)
        for step in view.record.steps
    ]


# ---- texts


def test_every_text_is_in_both_languages_with_the_same_names() -> None:
    assert texts.catalogue()
    for key, both in texts.catalogue().items():
        assert list(both) == list(LANGUAGES), key
        names = [sorted(re.findall(r"{(\w+)}", said)) for said in both.values()]
        assert names[0] == names[1], key
        assert all(said.strip() for said in both.values()), key


def test_every_moment_has_a_short_and_a_long_text() -> None:
    keys = texts.catalogue()
    moments = {key.split(".")[1] for key in keys if key.startswith("moment.")}
    assert {"positive", "pain", "customer_recovered"} <= moments
    assert all(f"moment.{name}.{part}" in keys for name in moments for part in ("short", "text"))
    assert all(len(both) <= 14 for key in keys if key.endswith(".short") for both in keys[key].values())


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "de"),
    [
        (4.06, 1, False, "4,1"),
        (-0.04, 1, True, "0,0"),
        (3.5, 1, True, "+3,5"),
        (-2.0, 0, False, "−2"),
        (None, 1, False, "–"),
    ],
)
def test_number(value: float | None, decimals: int, signed: bool, de: str) -> None:
    assert texts.number(value, "de", decimals, signed=signed) == de
    assert texts.number(value, "en", decimals, signed=signed) == de.replace(",", ".")
    assert texts.number(float("nan"), "de") == "–"


def test_times() -> None:
    assert [texts.clock(s) for s in (0.0, 59.6, 80.0, 3725.0)] == ["0:00", "1:00", "1:20", "62:05"]
    assert texts.length(75.0, "de") == "1:15\N{NO-BREAK SPACE}min"
    assert texts.date("2026-03-01T09:05:00Z", "de") == "1. März 2026, 09:05 Uhr (UTC)"
    assert texts.date("2026-03-01T09:05:00-03:30", "en") == "1 March 2026, 09:05 (UTC−3:30)"
    assert texts.date("gestern", "de") == "gestern"


def test_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        texts.text("report.nothing", "de")


# ---- drawing


def test_ticks_are_round_and_few() -> None:
    for duration_s in (0.4, 7.0, 80.0, 600.0, 3600.0, 20_000.0):
        ticks = charts.time_ticks(duration_s)
        assert 1 <= len(ticks) <= 7
        assert ticks[0] == 0.0
        assert ticks[-1] <= duration_s
    assert charts.value_ticks(3.5, 6.1)[0] <= 3.5
    assert charts.value_ticks(3.5, 6.1)[-1] >= 6.1
    assert charts.value_ticks(2.0, 2.0)[-1] > charts.value_ticks(2.0, 2.0)[0]


def test_thinning_keeps_the_mean_and_bounds_the_number() -> None:
    points = [(i + 0.5, float(i % 5), 1.0) for i in range(1000)]
    thin = charts.thinned(points, 50, 1000.0)
    assert len(thin) == 50
    assert sum(value for _, value in thin) / 50 == pytest.approx(2.0)


def test_crowded_moments_give_up_their_labels_before_they_touch() -> None:
    words = charts.Words("id", "title", "text")

    def drawn(count: int, apart_s: float) -> tuple[int, int]:
        marks = [charts.Mark("pain", i * apart_s, i * apart_s + 1.0, "fällt", i + 1) for i in range(count)]
        timeline = charts.Timeline(100.0)
        svg = ElementTree.fromstring(charts.journey_chart(words, timeline, [], marks, None, None, str, texts.clock))
        labels = ["".join(text.itertext()) for text in svg.iter("text") if "pain" in (text.get("class") or "")]
        return len(labels), max((len(label) for label in labels), default=0)

    assert drawn(4, 20.0) == (4, 7)
    assert drawn(12, 4.0) == (12, 2)
    assert drawn(12, 0.2) == (0, 0)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_aa(theme: int) -> None:
    block = re.findall(r":root\{(--paper.*?)\}", PAGE_STYLE, re.DOTALL)[theme]
    colours = {name: value if len(value) > 4 else "#ffffff" for name, value in re.findall(r"--([\w-]+):(#\w+)", block)}
    for name in ("ink", "muted", "blue", "amber", "slate"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for text_colour, ground in (("blue", "blue-wash"), ("amber", "amber-wash"), ("muted", "blue-wash")):
        assert contrast(colours[text_colour], colours[ground]) >= 4.5, (text_colour, ground)
    assert contrast(colours["slate"], colours["slate-wash"]) >= 3.0


def test_a_cue_leads_to_where_one_can_read_more() -> None:
    link = "https://kb.example/pauses?queue=Rechnung&kind=<x>"
    events = [msgspec.structs.replace(one, link=link) if isinstance(one, Cue) else one for one in CALLS["recovering"]]
    page = call_report(events, "en")
    assert 'href="https://kb.example/pauses?queue=Rechnung&amp;kind=&lt;x&gt;" target="_blank"' in page
    assert "More on this: kb.example" in page
