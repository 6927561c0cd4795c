"""An agent's own view: figures against the own past, load with its terms, a page that is private, plain and gentle."""

import csv
import io
import random
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_calls import call_at, month_of_calls

from vocal.errors import UsageError
from vocal.own import LIMITS, MEASURES, OwnView, own_view
from vocal.policy import INNER_STATES
from vocal.record import CallRecord
from vocal.reports.own import Served, own_csv, own_report
from vocal.reports.start import Listed, share_page, start_page
from vocal.texts import LANGUAGES, catalogue, text
from vocal.types import Language

LAST = date(2026, 11, 20)
FIRST = LAST - timedelta(days=29)
MORNING = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
SERVED = Served(30, LAST)


def view_of(records: list[CallRecord], **more: Any) -> OwnView:
    return own_view(records, FIRST, LAST, UTC, **more)


def calls_every(lengths_and_gaps: list[tuple[float, float]], **more: Any) -> list[CallRecord]:
    """Calls one after another: how long, and how long until the next; numbered, for they may begin at once."""
    at, found = MORNING, []
    for number, (length_s, gap_s) in enumerate(lengths_and_gaps):
        found.append(call_at(at, length_s, call=f"c{number}", **more))
        at += timedelta(seconds=length_s + gap_s)
    return found


# ---- load


def test_a_days_load_is_what_its_calls_were() -> None:
    hard = {"stress_s": 45.0}
    calls = [
        call_at(MORNING, 1000.0, **hard),
        call_at(MORNING + timedelta(seconds=1030), 300.0),
        call_at(MORNING + timedelta(seconds=1400), 2400.0, **hard),
        call_at(MORNING + timedelta(seconds=4100), 60.0),
    ]
    (day,) = view_of(calls, voice=True).days
    load = day.load
    assert (load.calls, load.calls_s, load.stress_s) == (4, 3760.0, 100.0)
    assert (load.demanding, load.long) == (2, 2)
    assert load.close == 1  # 30 s, 70 s, 300 s
    assert load.after_demanding == 1
    assert load.unbroken is not None
    assert (load.unbroken.calls, load.unbroken.length_s) == (3, 3800.0)
    assert load.unbroken.start == "2026-11-20T08:00:00+00:00"
    assert (load.speaking_s, load.loud_s) == (pytest.approx(3760.0 * 0.4), 16.0)
    assert [span.demanding for span in day.spans] == [True, False, True, False]


def test_the_voice_is_counted_only_where_asked_for() -> None:
    view = view_of(month_of_calls(LAST, 5, 5))
    assert all(day.load.speaking_s is None and day.load.loud_s is None for day in view.days)
    assert b'loud_s":null' in msgspec.json.encode(view)
    for language in LANGUAGES:
        page = own_report(view, language, SERVED)
        assert text("own.terms.loud_s", language) not in page
        assert text("own.terms.loud_s", language) in own_report(view, language, SERVED, voice=True)
    assert "loud" not in own_csv(view)


def test_without_notice_there_is_no_stress_to_tell_of() -> None:
    view = view_of([call_at(MORNING, change=None)])
    assert view.days[0].load.stress_s is None
    assert view.trends[0].now is None
    assert view.began_low == view.recovered == 0
    assert text("own.trend.nothing", "de") in own_report(view, "de", SERVED)


def naive_unbroken_s(calls: list[CallRecord]) -> float:
    """Every stretch from one call's start to another's end: does a pause lie in it?"""
    spans = [(datetime.fromisoformat(one.started_at), datetime.fromisoformat(one.ended_at)) for one in calls]
    best = 0.0
    for first, _ in spans:
        inside = [span for span in spans if span[0] >= first]
        for _, last in inside:
            taken = [span for span in inside if span[1] <= last]
            if len(taken) < 2 or min(span[0] for span in taken) != first:
                continue
            ends = sorted({end for _, end in taken})
            is_whole = all(
                end == last
                or any(
                    start <= end < stop or 0 <= (start - end).total_seconds() < LIMITS.pause_s for start, stop in taken
                )
                for end in ends
            )
            if is_whole:
                best = max(best, (last - first).total_seconds())
    return best


LENGTHS = st.integers(10, 2400).map(float)
GAPS = st.sampled_from((-20.0, 0.0, 20.0, 59.0, 60.0, 61.0, 299.0, 300.0, 301.0, 1200.0))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LENGTHS, GAPS), min_size=1, max_size=9))
def test_the_longest_stretch_is_the_one_a_slow_search_finds(lengths_and_gaps: list[tuple[float, float]]) -> None:
    calls = calls_every(lengths_and_gaps)
    (day,) = view_of(calls).days
    found = day.load.unbroken.length_s if day.load.unbroken else 0.0
    assert found == naive_unbroken_s(calls)
    gaps = [gap for _, gap in lengths_and_gaps[:-1]]
    if min(gaps, default=0.0) >= 0.0:
        assert day.load.close == sum(gap < LIMITS.close_s for gap in gaps)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 30), st.integers(1, 12))
def test_days_add_up_and_order_says_nothing(seed: int, days: int, calls: int) -> None:
    records = month_of_calls(LAST, days, calls, seed)
    view = view_of(records)
    shuffled = records.copy()
    random.Random(seed).shuffle(shuffled)
    assert view_of(shuffled) == view
    assert sum(day.load.calls for day in view.days) == view.calls == len(records)
    assert sum(day.load.calls_s for day in view.days) == pytest.approx(view.calls_s)
    for day in view.days:
        assert day.load.after_demanding <= min(day.load.close, day.load.demanding)
        assert all(0.0 <= span.start_s < span.end_s <= 86400.0 for span in day.spans)
    assert msgspec.json.decode(msgspec.json.encode(view), type=OwnView) == view
    for language in LANGUAGES:
        ElementTree.fromstring(well_formed(own_report(view, language, SERVED)))


def test_suggestions_say_when_and_what_to_do() -> None:
    hard = calls_every([(1000.0, 20.0)] * 5, stress_s=90.0)
    kinds = [one.kind for one in view_of(hard, voice=True).suggestions]
    assert kinds == ["after_demanding", "unbroken", "demanding_day", "long_calls"]
    page = own_report(view_of(hard), "de", SERVED)
    assert "4-mal begann nach einem fordernden Gespräch" in page
    assert "08:00 bis 09:24: 5 Gespräche" in page
    loud = view_of([call_at(MORNING, 3000.0, agent_loud_s=700.0)], voice=True).suggestions
    assert [(one.kind, one.length_s) for one in loud] == [("loud", 700.0)]
    quiet = view_of([call_at(MORNING), call_at(MORNING + timedelta(hours=1))])
    assert quiet.suggestions == ()
    assert text("own.pause.none", "en") in own_report(quiet, "en", SERVED)
    # What was weeks ago is no reason for a break now.
    assert view_of(calls_every([(1000.0, 20.0)] * 5, stress_s=90.0)).suggestions
    past = [msgspec.structs.replace(one, started_at=one.started_at.replace("11-20", "11-02")) for one in hard]
    assert not view_of(past).suggestions


# ---- trends


def steady(tempo: dict[int, float], calls: int = 3) -> list[CallRecord]:
    """Days ago -> the tempo of that day's calls."""
    return [
        call_at(MORNING - timedelta(days=back) + timedelta(hours=hour), agent_tempo_syll_s=value)
        for back, value in tempo.items()
        for hour in range(calls)
    ]


def test_now_is_read_against_the_own_past_and_nothing_else() -> None:
    past = {back: 5.0 + 0.1 * (back % 3) for back in range(8, 20)}
    for now, verdict in ((4.8, "lower"), (5.1, "usual"), (5.4, "higher")):
        trend = {one.measure: one for one in view_of(steady({**past, 1: now, 2: now})).trends}["tempo"]
        assert (trend.now, trend.verdict) == (pytest.approx(now), verdict)
        assert trend.low is not None
        assert trend.high is not None
        assert 5.0 <= trend.low <= trend.high <= 5.2


def test_too_little_is_compared_with_nothing() -> None:
    few_days = {one.measure: one for one in view_of(steady({1: 5.0, 2: 5.0, 9: 4.0, 10: 4.0})).trends}["tempo"]
    assert (few_days.low, few_days.verdict) == (None, None)
    few_calls = {one.measure: one for one in view_of(steady({1: 9.0, **dict.fromkeys(range(8, 20), 5.0)}, 1)).trends}
    assert few_calls["tempo"].low == pytest.approx(5.0)
    assert few_calls["tempo"].verdict is None
    for language in LANGUAGES:
        assert text("own.trend.no_range", language) in own_report(view_of(steady({1: 5.0})), language, SERVED)


def test_measures_are_what_they_say() -> None:
    calls = [
        call_at(MORNING, 600.0, talk_agent_s=100.0, talk_customer_s=300.0, agent_tempo_syll_s=6.0, overlap_s=10.0),
        call_at(
            MORNING,
            600.0,
            talk_agent_s=300.0,
            talk_customer_s=100.0,
            agent_tempo_syll_s=4.0,
            gap_agent_s=1.4,
            change=2.5,
        ),
    ]
    assert MEASURES["tempo"](calls) == pytest.approx(4.5)
    assert MEASURES["talk_share"](calls) == pytest.approx(0.5)
    assert MEASURES["overlap"](calls) == pytest.approx((10.0 + 12.0) / 2.0)
    assert MEASURES["interruptions"](calls) == pytest.approx(1.0)
    assert MEASURES["gap"](calls) == pytest.approx(0.9)
    assert MEASURES["journey"](calls) == pytest.approx(1.5)
    assert all(of([]) is None for of in MEASURES.values())


# ---- days and zones


def test_a_day_is_the_zones_not_the_stores() -> None:
    late = [call_at(datetime(2026, 11, 19, 23, 30, tzinfo=UTC))]
    assert own_view(late, LAST, LAST, ZoneInfo("Europe/Berlin")).calls == 1
    assert own_view(late, LAST, LAST, UTC).calls == 0
    (day,) = own_view(late, LAST, LAST, ZoneInfo("Europe/Berlin")).days
    assert day.spans[0].start_s == 1800.0
    assert own_view(late, LAST, LAST, timezone(timedelta(hours=1))).zone == "UTC+01:00"
    assert own_view([], LAST, LAST).zone


def test_days_that_cannot_be_are_named() -> None:
    with pytest.raises(UsageError, match="from 2026-11-20 and to 2026-11-19"):
        own_view([], LAST, LAST - timedelta(days=1))
    with pytest.raises(UsageError, match="at most 31 days, got 32"):
        own_view([], LAST - timedelta(days=31), LAST)


def test_the_own_impression_stands_beside_the_estimate() -> None:
    calls = month_of_calls(LAST, 3, 4)
    felt = {calls[0].call: 8, calls[-1].call: 3, "not mine": 1}
    view = view_of(calls, felt=felt)
    assert [(one.call, one.own) for one in view.felt] == [(calls[-1].call, 3), (calls[0].call, 8)]
    satisfaction = calls[-1].satisfaction
    assert satisfaction is not None
    assert view.felt[0].measured == satisfaction.end


# ---- the page


def well_formed(page: str) -> str:
    """HTML of ours as XML, to be read strictly: void elements closed, entities and bare attributes made plain."""
    page = re.sub(r"<!DOCTYPE html>", "", page)
    page = re.sub(r"<(meta|input|br)\b([^>]*)>", r"<\1\2/>", page)
    return re.sub(r" (checked|required|open|download|formnovalidate)(?=[ />])", r' \1="\1"', page)


def visible(page: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_for_how_the_agent_is(language: Language) -> None:
    """Customers' stress and mood may be named, in sentences that name the customers."""
    pages = [
        own_report(view_of(month_of_calls(LAST), voice=True, felt={}), language, SERVED, voice=True),
        own_report(view_of([]), language, SERVED),
        share_page(call_at(MORNING), None, True, language, 30),
        start_page(("own", "team", "journey", "privacy", "documents"), "own", (), language, 0, False, True),
    ]
    for page in pages:
        for sentence in re.split(r"[.;:?!]\s|<[^>]+>", re.sub(r"<style>.*?</style>", "", page, flags=re.S)):
            found = [word for word in INNER_STATES[language] if re.search(rf"\b{word}", sentence.lower())]
            assert not found or "kund" in sentence.lower() or "customer" in sentence.lower(), sentence
    judging = r"\b(zu (schnell|langsam|laut|leise|viel|wenig)|too (fast|slow|loud|much)|schlechter|worse|score|rang)\b"
    for key, both in catalogue().items():
        if key.startswith(("own.", "share.", "reports.")):
            assert not re.search(judging, both[language].lower()), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_says_what_counts_and_from_where_on(language: Language) -> None:
    """Each limit stands on the page with its unit, so a changed limit changes the page."""
    view = view_of(month_of_calls(LAST), voice=True)
    before = visible(own_report(view, language, SERVED, voice=True))
    for name, value in msgspec.structs.asdict(LIMITS).items():
        moved = msgspec.structs.replace(LIMITS, **{name: value * 2})
        page = visible(own_report(msgspec.structs.replace(view, limits=moved), language, SERVED, voice=True))
        assert page != before, name
    for term in ("stress_s", "after_demanding", "unbroken", "long", "loud_s"):
        assert re.search(
            r"\d\s*(s|min)\b", text(f"own.terms.{term}_text", language, minutes=5, seconds=5, pause=5, count=5)
        )


def test_the_page_needs_nothing_from_outside_and_no_script() -> None:
    page = own_report(view_of(month_of_calls(LAST)), "de", SERVED)
    assert "<script" not in page
    assert "http:" not in page
    assert "https:" not in page
    assert "form-action 'self'" in page
    assert "style=" not in page
    alone = own_report(view_of(month_of_calls(LAST)), "de")
    assert "<form" not in alone
    assert "<a " not in alone
    assert "form-action 'none'" in alone


def test_a_month_of_many_calls_is_a_page_of_a_size() -> None:
    page = own_report(view_of(month_of_calls(LAST, 30, 40)), "de", SERVED)
    assert len(page) < 150_000
    assert page.count('class="strip"') == 22
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"', page):
        assert target in ids


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_yet_is_said_kindly(language: Language) -> None:
    page = own_report(view_of([]), language, SERVED)
    assert text("own.none", language) in page
    assert text("own.none_text", language, days=30) in page
    assert 'role="img"' not in page
    unkept = own_report(view_of([]), language, Served(30, LAST, kept=False))
    assert "vocal serve --store" in unkept
    ElementTree.fromstring(well_formed(page))


def test_hostile_names_are_escaped() -> None:
    evil = '<script>alert("x")</script>'
    calls = month_of_calls(LAST, 1, 3)
    calls = [msgspec.structs.replace(one, queue=evil, call=evil, touchpoint=evil) for one in calls]
    told = next(one.moments for one in month_of_calls(LAST) if one.moments)
    calls[0] = msgspec.structs.replace(calls[0], moments=told)
    row = Listed(evil, calls[0].started_at, 60.0, evil, evil, True, True, True, evil, evil)
    for page in (
        own_report(view_of(calls), "de", SERVED),
        own_report(view_of(calls), "de", Served(30, LAST, problem=evil)),
        share_page(calls[0], None, True, "de", 30),
        start_page(("own",), "shared", [row], "de", 0, True, True),
        start_page(("own",), "own", [row], "en", 1, True, True),
    ):
        assert "<script" not in page
        ElementTree.fromstring(well_formed(page))


def test_csv_holds_the_days() -> None:
    view = view_of(month_of_calls(LAST, 10, 6), voice=True)
    rows = list(csv.DictReader(io.StringIO(own_csv(view))))
    assert [row["day"] for row in rows] == [str(day.day) for day in view.days]
    assert [int(row["calls"]) for row in rows] == [day.load.calls for day in view.days]
    tempo = view.days[0].measures["tempo"]
    assert float(rows[0]["tempo_syll_s"]) == pytest.approx(tempo, rel=1e-4)
    assert float(rows[0]["loud_s"]) == pytest.approx(view.days[0].load.loud_s, rel=1e-4)
