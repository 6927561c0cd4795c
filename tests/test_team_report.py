"""The team report and the customer journey: in their order, of no one person, for those whose team it is."""

import csv
import io
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from figure_records import DAY, cue_given, moment, record, satisfied
from serving import Served, serving
from test_own_api import asked

from vocal.audit import Audit
from vocal.cli import main
from vocal.config import PrivacyConfig, ServerConfig
from vocal.figures import Block, Limits, span_of
from vocal.record import CallRecord
from vocal.reports import journey, team
from vocal.reports.journey import journey_page, journey_report, journey_rows
from vocal.reports.tables import as_csv
from vocal.reports.team import Asked, TeamReport, asked_for, floor_of, in_fives, team_report, team_rows
from vocal.reports.team_page import team_page
from vocal.store.figures import blocks_in, roll
from vocal.store.files import Files, part_name
from vocal.store.reader import StoreReader
from vocal.store.schema import table_of
from vocal.store.store import Store
from vocal.types import Language

LIMITS = Limits()
MODEL = "vocal-emotion 0.2.0"
QUEUES = {"Rechnung": -1.5, "Technik": -0.1}
"""How far mood falls from the first quarter of a call to the second."""


def calls_of(team: str | None, agents: int, count: int, at: datetime, names: str) -> Iterator[CallRecord]:
    for index in range(count):
        queue = list(QUEUES)[index % len(QUEUES)]
        start, end = 3.0 + index % 4, 6.0 + index % 3
        fall = QUEUES[queue]
        yield record(
            f"{names}-{team}-{index}",
            at + timedelta(minutes=7 * index),
            team=team,
            agent=f"A-{team}-{index // len(QUEUES) % agents}",
            queue=queue,
            touchpoint="Schaden" if queue == "Technik" else None,
            satisfaction=satisfied(start, end) if index % 10 else None,
            notice="given" if index % 10 else "none",
            mood_quarters=(start, start + fall, start + 1.0, end) if index % 10 else (None,) * 4,
            moments=(
                moment("positive", "customer_recovered", 200.0, 220.0),
                moment("pain", "customer_mood_low", 100.0, 120.0),
            )
            if index % 10
            else (),
            cues=(cue_given("tempo_high", tempo=-0.4 - index % 2 * 0.2, mood=0.5),) if index % 2 else (),
            agent_tempo_syll_s=4.0 + index % 8 * 0.25,
            model=MODEL if index % 10 else None,
        )


def filled(folder: Path, monday: datetime, weeks: int = 4) -> Files:
    """A store of some weeks: eight of Nord, four of Süd, calls without a team."""
    files = Files(folder)
    files.make()
    for week in range(weeks):
        at = monday + timedelta(days=7 * week + 1, hours=9)
        rows = [
            one
            for name, agents, count in (("Nord", 8, 160), ("Süd", 4, 120), (None, 6, 20))
            for one in calls_of(name, agents, count, at, f"w{week}")
        ]
        files.write_table(part_name("calls", at.date().isoformat(), f"w{week}"), table_of(CallRecord, rows))
    said = {(f"w{week}-Nord-{index}", 7): index % 4 > 1 for week in range(weeks) for index in range(1, 160, 2)}
    roll(StoreReader(folder), monday + timedelta(days=7 * weeks + 40), said, LIMITS)
    return files


MONDAY = datetime.combine(span_of("2026-09")[0], DAY.timetz())
ASKED = Asked(*span_of("2026-09"))


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[Block]:
    return blocks_in(filled(tmp_path_factory.mktemp("figures") / "store", MONDAY))


@pytest.fixture(scope="module")
def report(blocks: list[Block]) -> TeamReport:
    return team_report(blocks, "Nord", ASKED, LIMITS)


# ---- its values, by hand


def test_what_a_team_is_told(report: TeamReport) -> None:
    assert report.calls == 640
    assert report.agents_at_least == 5  # eight, and the number itself is not told
    assert report.journey is not None
    assert report.journey.calls == 576
    own = [one for one in calls_of("Nord", 8, 160, MONDAY, "w") if one.satisfaction]
    ends = [one.satisfaction for one in own if one.satisfaction]
    assert report.journey.start == round(sum(one.start for one in ends) / len(ends), 2)
    assert report.journey.change == round(sum(one.change for one in ends) / len(ends), 2)
    assert report.journey.began_low == 4 * sum(one.start < 5.0 for one in ends)
    assert report.journey.recovered == 4 * sum(one.recovered or False for one in own)
    assert sum(report.journey.start_counts) == sum(report.journey.end_counts) == 576
    assert {voice.measure for voice in report.voices} >= {"agent_tempo", "overlap_share", "non_talk_share"}
    assert all(sum(voice.counts) == 640 for voice in report.voices)


def test_where_mood_falls_is_a_queue_and_a_step(report: TeamReport) -> None:
    assert report.falls[0].over == "all"
    assert [(fall.queue, fall.touchpoint, fall.steps[0]) for fall in report.falls[1:]] == [
        ("Rechnung", None, -1.5),
        ("Technik", "Schaden", -0.1),
    ]
    assert report.falls[1].fell[0] == 1.0
    assert [(pain.why, pain.calls) for pain in report.pains] == [("customer_mood_low", (0, 576, 0, 0))]
    assert report.question.kind == "falls"
    assert report.question.values == {"queue": "Rechnung", "touchpoint": None, "from": 1, "to": 2, "points": 1.5}


def test_effect_of_cues(report: TeamReport) -> None:
    (cue,) = report.cues
    assert (cue.rule, cue.calls, cue.answered) == ("tempo_high", 320, 320)
    assert cue.tempo_change_syll_s == -0.6
    assert cue.mood_change == 0.5
    assert cue.does_not_fit == 0.5


def test_good_moments_are_shared_by_many(report: TeamReport) -> None:
    assert len(report.good) == 3
    assert {story.why for story in report.good} == {"customer_recovered"}
    assert all(story.calls >= 5 for story in report.good)
    assert report.good[0].before == "low"


def test_what_the_figures_are_worth(report: TeamReport) -> None:
    quality = report.quality
    assert (quality.calls, quality.without_notice, quality.judged) == (640, 0.1, 0.9)
    assert quality.models == {MODEL: 576}
    assert quality.waits == ()
    assert quality.cells == 10  # eight, in fives


def test_a_question_comes_from_the_process_then_the_cues_then_what_went_well(report: TeamReport) -> None:
    falls = tuple(msgspec.structs.replace(fall, steps=(0.1, 0.2, 0.3)) for fall in report.falls)
    assert team._question(falls, report.cues, report.good).kind == "cue"
    assert team._question(falls, (), report.good).kind == "good"
    assert team._question(falls, (), ()).kind == "any"


def test_numbers_of_people_and_of_cells_are_rough() -> None:
    assert [floor_of(count) for count in (4, 5, 9, 10, 19, 20, 250)] == [0, 5, 5, 10, 10, 20, 100]
    assert [in_fives(count) for count in (0, 1, 5, 6)] == [0, 5, 5, 10]


def test_a_team_of_four_is_told_why_there_is_nothing(blocks: list[Block]) -> None:
    for name in ("Süd", "nobody's"):
        report = team_report(blocks, name, ASKED, LIMITS)
        assert report.calls == 0
        empty = (report.good, report.falls, report.pains, report.voices, report.cues, report.journey)
        assert not any(empty)
        page = team_page(report, "de")
        assert "mindestens 5 Personen und 50 Gesprächen" in page
        assert "vier Personen bleiben auch in einem Jahr vier" in page
        assert "<table" not in page


def test_a_month_that_is_cut_is_named(blocks: list[Block]) -> None:
    first, last = span_of("2026-09")
    report = team_report(blocks, "Nord", Asked(first + timedelta(days=7), last), LIMITS)
    assert report.calls == 480
    assert report.quality.waits == ("2026-09",)
    assert "September 2026" in team_page(report, "de")


# ---- the pages

ORDER = ("good", "journey", "falls", "voices", "cues", "question", "quality")


class Tags(HTMLParser):
    """Every tag opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert "style" not in given, "the policy of the pages allows no style here"
        assert tag != "script"
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "section":
            self.sections.append(given["class"] or "" if "class" in given else "")
        if tag not in ("meta", "input", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "style" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert len(set(tags.ids)) == len(tags.ids)
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawn)
        assert "nan" not in drawn
        assert "inf" not in re.sub(r"<(title|desc)[^>]*>.*?</\1>|aria-label=\"[^\"]*\"|<text.*?</text>", "", drawn)
    return tags


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_page_has_its_order(report: TeamReport, language: Language) -> None:
    tags = parsed(team_page(report, language))
    assert tuple(tags.sections) == ORDER


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_page_is_whole(blocks: list[Block], language: Language) -> None:
    for name in ("Nord", "Süd", "<b>&'\""):
        page = team_page(team_report(blocks, name, ASKED, LIMITS), language)
        parsed(page)
        assert "<b>&" not in page
    for name in (None, "Nord", "Süd"):
        parsed(journey_page(journey_report(blocks, name, ASKED, LIMITS), language))


def test_a_page_tells_of_no_one(report: TeamReport) -> None:
    page = team_page(report, "de")
    told = json.dumps(msgspec.to_builtins(report))
    for written in (page, told):
        assert not re.search(r"A-Nord|w\d-Nord|\d\d:\d\d", written)


def test_names_from_outside_are_text(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.make()
    rows = [
        msgspec.structs.replace(one, queue="<script>x</script>", touchpoint='"=1+1')
        for one in calls_of("Nord", 8, 160, MONDAY, "w")
    ]
    files.write_table(part_name("calls", "2026-09-01", "w"), table_of(CallRecord, rows))
    roll(StoreReader(tmp_path), MONDAY + timedelta(days=80), {}, LIMITS)
    found = blocks_in(files)
    parsed(team_page(team_report(found, "Nord", ASKED, LIMITS), "de"))
    parsed(journey_page(journey_report(found, None, ASKED, LIMITS), "de"))


# ---- the journey


def test_the_journey_by_queue_and_touchpoint(blocks: list[Block]) -> None:
    found = journey_report(blocks, None, ASKED, LIMITS)
    assert found.months == ("2026-09",)
    # Süd's four are in nothing, also not joined with the six without a team: one might have more than half.
    places = [(stage.queue, stage.touchpoint, stage.over) for stage in found.stages]
    assert places[:2] == [("Rechnung", None, ""), ("Technik", "Schaden", "")]
    assert found.stages[0].mood is not None
    assert found.stages[0].mood[1] - found.stages[0].mood[0] == pytest.approx(-1.5, abs=0.02)
    (row, *_) = journey_rows(found)
    assert tuple(row) == journey.COLUMNS
    assert row["recovered_share"] == round(found.stages[0].recovered / found.stages[0].began_low, 3)


def test_columns_are_documented() -> None:
    said = (Path(__file__).parents[1] / "docs/team-report.md").read_text("utf-8")
    for column in {*journey.COLUMNS, *team.COLUMNS}:
        assert f"`{column}`" in said, column


def test_csv_is_for_spreadsheets(report: TeamReport) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(team.COLUMNS, team_rows(report)))))
    assert {row["section"] for row in rows} == {"good", "journey", "falls", "voices", "cues", "quality"}
    assert next(row for row in rows if row["measure"] == "change")["value"] == str(report.journey.change)  # type: ignore[union-attr]
    assert as_csv(("a", "b"), [{"a": "=SUM(1)", "b": None}, {"a": -1.5}]) == "a,b\n'=SUM(1),\n-1.5,\n"


# ---- who gets at what


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served") / "store"
    filled(folder, NOW_MONDAY)
    with serving(server=ServerConfig(closed=True), store=Store(folder), audit=Audit()) as running:
        yield running


NOW_MONDAY = datetime.combine(span_of("2026-09")[0], DAY.timetz())
while NOW_MONDAY + timedelta(days=120) < datetime.now(UTC):
    NOW_MONDAY += timedelta(days=7)
SPAN = {"from": f"{NOW_MONDAY.date()}", "to": f"{NOW_MONDAY.date() + timedelta(days=27)}"}


def query(**given: str) -> str:
    return urlencode({**SPAN, **given})


def test_a_lead_gets_the_own_team(closed: Served) -> None:
    lead = closed.token("lead", team="Nord")
    status, headers, body = asked(closed, "GET", f"/v1/reports/team?{query()}", lead)
    assert status == 200
    assert json.loads(body)["team"] == "Nord"
    assert json.loads(body)["calls"] == 640
    assert headers["cache-control"] == "no-store"
    assert asked(closed, "GET", f"/v1/reports/team?{query(team='Nord')}", lead)[0] == 200
    status, _, body = asked(closed, "GET", f"/reports/team?{query(lang='en')}", lead)
    assert status == 200
    tags = parsed(body.decode())
    assert tuple(section for section in tags.sections if section) == ORDER
    journey = json.loads(asked(closed, "GET", f"/v1/reports/journey?{query()}", lead)[2])
    assert journey["team"] == "Nord"
    assert journey["stages"]


def test_another_team_is_not_there_for_a_lead(closed: Served) -> None:
    lead = closed.token("lead", team="Nord")
    before = closed.service.refused.get("team", 0)
    answers = [
        asked(closed, "GET", f"{path}?{query(team=name)}", lead)
        for path in ("/v1/reports/team", "/v1/reports/journey", "/reports/team", "/reports/journey")
        for name in ("Süd", "West")
    ]
    assert {status for status, _, _ in answers} == {404}
    assert {body.replace("Süd".encode(), b"West") for _, _, body in answers} == {b'{"detail":"no team \'West\'"}'}
    assert closed.service.refused["team"] == before + 8


def test_agents_and_systems_get_none(closed: Served) -> None:
    for role, who in (("agent", "a17"), ("ingest", None)):
        token = closed.token(role, who, "Nord")
        for path in ("/v1/reports/team", "/v1/reports/journey", "/reports/team", "/reports/journey"):
            assert asked(closed, "GET", f"{path}?{query()}", token)[0] == 403
    assert asked(closed, "GET", "/v1/reports/team")[0] == 401
    status, headers, _ = asked(closed, "GET", "/reports/team?lang=de")
    assert (status, headers["location"]) == (303, "/?to=%2Freports%2Fteam%3Flang%3Dde")


@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_who_looks_after_the_house_gets_every_team(closed: Served, role: str) -> None:
    token = closed.token(role)
    for name, calls in (("Nord", 640), ("Süd", 0), ("West", 0)):
        found = json.loads(asked(closed, "GET", f"/v1/reports/team?{query(team=name)}", token)[2])
        assert (found["team"], found["calls"]) == (name, calls)
    status, _, body = asked(closed, "GET", "/reports/team", token)
    assert status == 200
    assert "Nord" in body.decode()
    assert "Süd" not in body.decode().replace("Südd", "")
    assert asked(closed, "GET", f"/v1/reports/team?{query()}", token)[0] == 422
    assert json.loads(asked(closed, "GET", f"/v1/reports/journey?{query()}", token)[2])["team"] is None


def test_days_the_wrong_way_round(closed: Served) -> None:
    token = closed.token("lead", team="Nord")
    status, _, body = asked(closed, "GET", "/v1/reports/team?from=2026-10-01&to=2026-09-01", token)
    assert status == 422
    assert "2026-10-01" in body.decode()
    assert "2026-09-01" in body.decode()


def test_who_reads_is_written_down(closed: Served) -> None:
    token = closed.token("lead", team="Nord")
    asked(closed, "GET", f"/reports/team?{query()}", token)
    entry = closed.service.audit.entries("report.team", most=1)[0]
    assert (entry.who, entry.subject) == ("lead-Nord", "Nord")
    assert entry.detail["first"] == SPAN["from"]


def test_data_comes_as_files(closed: Served) -> None:
    token = closed.token("lead", team="Nord")
    for path, columns in (("team", team.COLUMNS), ("journey", journey.COLUMNS)):
        _, headers, body = asked(closed, "GET", f"/reports/{path}?{query(format='csv')}", token)
        assert headers["content-type"] == "text/csv; charset=utf-8"
        assert headers["content-disposition"].startswith(f'attachment; filename="vocal-{path}-')
        assert body.decode().splitlines()[0] == ",".join(columns)


def test_stricter_settings_hold_for_what_is_there(tmp_path: Path) -> None:
    filled(tmp_path / "store", NOW_MONDAY, 1)
    with serving(store=Store(tmp_path / "store"), privacy=PrivacyConfig(least_agents=9)) as served:
        found = json.loads(asked(served, "GET", f"/v1/reports/team?{query(team='Nord')}")[2])
        assert found["calls"] == 0
        assert found["limits"] == {"agents": 9, "calls": 50}


# ---- the command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(tmp_path / "store")
    filled(Path(store), NOW_MONDAY)
    span = ["--from", SPAN["from"], "--to", SPAN["to"], "--store", store]
    assert main(["report", "--team", "Nord", "--format", "json", *span]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 640
    assert main(["report", "--journey", "--format", "csv", *span]) == 0
    assert capsys.readouterr().out.startswith("month,team,queue,touchpoint")
    out = tmp_path / "team.html"
    assert main(["report", "--team", "Nord", "--lang", "en", "--out", str(out), *span]) == 0
    assert SPAN["from"] in capsys.readouterr().err
    parsed(out.read_text("utf-8"))
    assert main(["report", "--team", "Süd", "--format", "csv", *span]) == 0
    assert "nothing of it stands on 5 agents and 50 calls" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "wanted --call ID, --team NAME, --journey or --agent ID"),
        (["--team", "Nord"], "--store"),
        (["--team", "Nord", "--from", "2026-10-01", "--to", "2026-09-01"], "2026-10-01 and 2026-09-01"),
        (["--team", "Nord", "--from", "yesterday"], "wanted a day as 2026-11-22"),
        (["--team", "Nord", "--store", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_use_says_what_was_wanted(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *given]) in (1, 2)
    assert said in capsys.readouterr().err


def test_a_store_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    filled(tmp_path / "store", NOW_MONDAY)

    replace = os.replace

    def refused(source: Any, target: Any) -> None:
        if Path(target).is_relative_to(tmp_path / "store"):
            raise OSError(30, "Read-only file system")
        replace(source, target)

    (tmp_path / "store/held/cells.parquet").unlink()
    monkeypatch.setattr("vocal.store.files.os.replace", refused)
    span = ["--from", SPAN["from"], "--to", SPAN["to"], "--store", str(tmp_path / "store")]
    assert main(["report", "--team", "Nord", "--format", "json", *span]) == 0
    told = capsys.readouterr()
    assert "figures may be out of date" in told.err
    assert json.loads(told.out)["calls"] == 640


def test_by_default_whole_months_are_asked_for() -> None:
    span = asked_for(None, None, date(2026, 11, 22))
    assert [span_of(month)[0] for month in ("2026-09",)] == [span.first]
