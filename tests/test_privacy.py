"""Who may see what of the evidence: the page, the API, and the commands for the two holders."""

import csv
import http.client
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving import Served, serving

from vocal import cli
from vocal.access import Access, Principal
from vocal.audit import Audit, Broken, Entry, Verdict
from vocal.config import Config, OidcConfig, PrivacyConfig, RetentionConfig, ServerConfig, SipConfig
from vocal.inforce import changes, in_force
from vocal.pseudonyms import Pseudonyms, Sharing
from vocal.reports.privacy import Asked, Kept, PrivacyView, privacy_page
from vocal.texts import catalogue

CLOSED = ServerConfig(closed=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("evidence")
    audit = Audit(folder / "audit.jsonl", folder / "keys")
    for number in range(5):
        audit.append("lea", "report.call", f"c{number}", format="html")
    audit.append("=cmd()", "report.team", "<b>North</b>")
    with serving(server=CLOSED, audit=audit, access=Access(pseudonyms=Pseudonyms(folder / "keys"))) as one:
        yield one


def token(served: Served, role: str) -> str:
    return served.service.access.issue(Principal(f"the-{role}", role, "a17", "t1"), "token")  # type: ignore[arg-type]


def ask(served: Served, path: str, role: str | None = None) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20.0)
    headers = {} if role is None else {"Authorization": f"Bearer {token(served, role)}"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def newest(served: Served, act: str) -> Entry:
    return served.service.audit.entries(act, most=1)[0]


def test_the_rules_are_for_everybody_and_the_evidence_for_auditors(served: Served) -> None:
    for role, sees_state, sees_entries in (
        ("agent", False, False),
        ("lead", False, False),
        ("operator", True, False),
        ("auditor", True, True),
    ):
        status, headers, page = ask(served, "/privacy?lang=en", role)
        assert status == 200
        assert headers["cache-control"] == "no-store"
        assert "How long things stay" in page
        assert ("The chain is whole." in page) == sees_state
        assert ("What applies now" in page) == sees_state
        assert ("report.call" in page) == sees_entries
        found = json.loads(ask(served, "/v1/privacy", role)[2])
        assert found["basis"] == "notice"
        assert (found["verdict"] is not None) == (found["settings"] is not None) == sees_state
        assert "entries" not in found
        for path in ("/v1/audit", "/v1/audit?format=csv"):
            assert ask(served, path, role)[0] == (200 if sees_entries else 403)
        assert ask(served, "/v1/audit/verify", role)[0] == (200 if sees_state else 403)
    assert ask(served, "/v1/privacy", "ingest")[0] == 403
    status, headers, _ = ask(served, "/privacy?lang=en")
    assert (status, headers["location"]) == (303, "/?to=%2Fprivacy%3Flang%3Den")
    assert ask(served, "/v1/audit")[0] == 401


def test_whoever_reads_the_evidence_stands_in_it(served: Served) -> None:
    ask(served, "/v1/audit?act=report&who=lea", "auditor")
    read = newest(served, "audit.read")
    assert (read.who, read.detail) == ("the-auditor", {"act": "report", "who": "lea"})
    ask(served, "/privacy", "auditor")
    assert newest(served, "audit.read").seq > read.seq


def test_entries_are_filtered_and_come_as_tables(served: Served) -> None:
    found = json.loads(ask(served, "/v1/audit?act=report.call", "auditor")[2])
    assert [one["subject"] for one in found] == ["c4", "c3", "c2", "c1", "c0"]
    assert len(json.loads(ask(served, "/v1/audit?act=report&most=2", "auditor")[2])) == 2
    assert json.loads(ask(served, "/v1/audit?act=report&to=2020-01-01", "auditor")[2]) == []
    _, headers, text = ask(served, "/v1/audit?act=report.team&format=csv", "auditor")
    assert headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["act"], row["who"]) for row in rows] == [("report.team", "'=cmd()")]
    for odd in ("from=x", "from=2026-11-22&to=2026-11-21", "most=0", "format=xml", "to=2026-13-01"):
        status, _, text = ask(served, f"/v1/audit?{odd}", "auditor")
        assert status == 422, odd
    assert "wrong way round" in ask(served, "/privacy?from=2026-11-22&to=2026-11-21", "auditor")[2]
    assert ask(served, "/privacy?lang=fr", "auditor")[0] == 422
    page = ask(served, "/privacy?act=report&lang=en", "auditor")[2]
    assert "&lt;b&gt;North&lt;/b&gt;" in page
    assert "<b>North</b>" not in page
    assert "Audit log read" not in page.split('id="entries"')[1]


def test_a_head_that_was_noted_is_checked(served: Served) -> None:
    head = json.loads(ask(served, "/v1/audit/verify", "auditor")[2])["head"]
    ask(served, "/v1/audit", "auditor")
    assert json.loads(ask(served, f"/v1/audit/verify?noted={head}", "auditor")[2])["broken"] is None
    forged = f"{head.partition(':')[0]}:{'0' * 64}"
    broken = json.loads(ask(served, f"/v1/audit/verify?noted={forged}", "auditor")[2])["broken"]
    assert broken["kind"] == "noted"
    assert ask(served, "/v1/audit/verify?noted=x", "auditor")[0] == 422


def test_an_auditor_sees_no_call_and_no_live_event(served: Served) -> None:
    with served.client(served.token("ingest")) as client:
        call = client.request("POST", "/v1/calls", {"metadata": {"team": "t1", "agent": "a17"}})["call"]
    assert json.loads(ask(served, "/v1/calls", "auditor")[2]) == []
    assert ask(served, f"/v1/calls/{call}", "auditor")[0] == 404
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    url = served.url.replace("http", "ws") + "/v1/live"
    with connect(url, additional_headers={"Authorization": f"Bearer {token(served, 'auditor')}"}) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5.0)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_sign_ins_of_those_who_see_more_than_their_own_are_logged(served: Served) -> None:
    access = served.service.access
    for role in ("agent", "lead", "auditor"):
        link = access.issue(Principal(f"linked-{role}", role, "a17", "t1"), "link")  # type: ignore[arg-type]
        assert ask(served, f"/login/{link}")[0] == 303
    served.service.audit.flush()
    who = {entry.who for entry in served.service.audit.entries("login")}
    assert {"linked-lead", "linked-auditor"} <= who
    assert "linked-agent" not in who


def test_tokens_are_logged_before_they_are_made(served: Served) -> None:
    with served.client(token(served, "operator")) as client:
        client.request("POST", "/v1/tokens", {"name": "crm", "role": "auditor"})
    made = newest(served, "token.made")
    assert (made.who, made.subject, made.detail["role"]) == ("the-operator", "crm", "auditor")


def test_where_the_log_cannot_be_written_nothing_is_read_and_calls_go_on(served: Served) -> None:
    from vocal.errors import AuditError

    def full(*_: Any, **__: Any) -> None:
        raise AuditError("audit.jsonl: the audit log cannot be written: No space left on device")

    before = served.service.audit.append
    served.service.audit.append = full  # type: ignore[method-assign,assignment]
    try:
        status, headers, text = ask(served, "/v1/audit", "auditor")
        assert (status, headers["retry-after"]) == (503, "10")
        assert "cannot be written" in text
        with served.client(served.token("ingest")) as client:
            assert client.request("POST", "/v1/calls", {})["state"] == "waiting"
    finally:
        served.service.audit.append = before  # type: ignore[method-assign]


def test_what_runs_and_what_has_changed_is_logged_and_no_secret(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "log", tmp_path / "keys")
    hidden = OidcConfig(client_secret="hush-hush")
    config = Config(oidc=hidden, sip=SipConfig(passwords={"pbx": "hush-hush"}), retention=RetentionConfig(calls_d=14))
    before = in_force(config, audit.mark)
    assert before["retention.calls_d"] == "14"
    assert "vocal-emotion" in before["model"]
    assert "sha256" in before["rules"]
    assert "hush" not in str(before)
    other = Config(oidc=OidcConfig(client_secret="other"), sip=config.sip, retention=RetentionConfig(calls_d=7))
    changed = changes(before, in_force(other, audit.mark))
    assert set(changed) == {"oidc.client_secret", "retention.calls_d"}
    assert changed["retention.calls_d"] == ["14", "7"]
    for basis in ("notice", "consent"):
        with serving(audit=audit, privacy=PrivacyConfig(basis=basis)):  # type: ignore[arg-type]
            pass
    acts = [entry.act for entry in reversed(audit.entries())]
    assert acts == ["server.start", "server.stop", "server.start", "settings.changed", "server.stop"]
    assert audit.entries("settings")[0].detail["changed"] == {"privacy.basis": [None, '"consent"']}
    assert audit.verify().broken is None


# The page


def a_view(**more: Any) -> PrivacyView:
    fields: dict[str, Any] = {
        "basis": "consent",
        "agreement": "",
        "kept": (
            Kept("audio", 16.0, "fixed"),
            Kept("live", 600.0, "fixed"),
            Kept("utterances", 43_200.0, "shorter", "2026-11-21", "2026-11-22", "2026-11-23", 3_200_000),
            Kept("names", 604_800.0, "fixed"),
            Kept("calls", 60 * 86_400.0, "longer", "2026-11-22", "2026-11-22", "2027-01-22", 900),
            Kept("figures", 396 * 86_400.0, "default"),
            Kept("audit", 731 * 86_400.0, "default"),
        ),
        "notices": {"consent": 6, "notice": 2, "none": 1, "withdrawn": 1},
        "week": "2026-W47",
        "sharings": (Sharing("1", "2026-W40", ("Ada", "B<n")), Sharing("0", "2026-W10", ("Ada", "Cem"), "2026-W39")),
    }
    return PrivacyView(**{**fields, **more})


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_page_says_it_in_plain_words(language: Any) -> None:
    broken = Verdict("2026-11-22T14:00:00.000Z", 3, None, Broken(4, 7, "missing", "3 entries are missing"))
    entry = Entry(3, "2026-11-22T14:00:00.000Z", "lea", "settings.changed", "x", {"changed": {"a.b": [None, "2"]}}, "0")
    odd = Entry(4, "2026-11-22T14:00:00.000Z", "lea", "some.thing", "x", {"names": ["a", "b"], "n": 3}, "0")
    page = privacy_page(
        a_view(
            verdict=broken, entries=(entry, odd), groups=("report", "some"), settings={"a.b": "2"}, agreement="BV 1"
        ),
        language,
    )
    said = {
        "de": (
            "höchstens 16 Sekunden",
            "12 Stunden",
            "7 Tage",
            "60 Tage",
            "13 Monate",
            "24 Monate",
            "zerrissen",
            "BV 1",
        ),
        "en": ("at most 16 seconds", "12 hours", "7 days", "60 days", "13 months", "24 months", "is broken", "BV 1"),
    }
    for words in (
        *said[language],
        "Ada, B&lt;n",
        "2026-W39",
        "a.b: – → 2",
        "names: a, b · n: 3",
        "some.thing",
        "<b>6</b>",
    ):
        assert words in page, words
    assert catalogue()["privacy.chain.why.missing"][language] in page
    assert "style=" not in page  # the policy of content allows none
    assert not re.search(r"<script|src=|https?://(?!www\.w3)", page)


KINDS = "no_entry altered taken_out anchor missing order noted head_gone cut_off last before_noted"


@pytest.mark.parametrize("kind", KINDS.split())
def test_every_kind_of_break_has_words(kind: str) -> None:
    assert f'"{kind}"' in Path(__file__).parents[1].joinpath("vocal/audit.py").read_text()
    assert f"privacy.chain.why.{kind}" in catalogue()


def test_the_page_says_where_nothing_is_there_yet() -> None:
    page = privacy_page(a_view(notices={}, sharings=(), entries=(), asked=Asked(act="x")), "en")
    for words in ("No call has ended", "no shares of the key were given out", "There is no such entry"):
        assert words in page
    past = privacy_page(a_view(sharings=(Sharing("0", "2026-W10", ("Ada", "Cem"), "2026-W39"),)), "en")
    assert "reach only so far" in past


# The commands


def vocal(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vocal.cli", *arguments], input=text, capture_output=True, text=True, check=False
    )


def test_two_holders_release_a_name_and_it_stands_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ["--store", str(tmp_path / "store")]
    shares = tmp_path / "shares"
    assert cli.main(["privacy", "ls", *store]) == 0
    assert "nobody can release" in capsys.readouterr().out
    assert cli.main(["privacy", "setup", "--holder", "Ada", *store]) == 2
    assert "at least two holders" in capsys.readouterr().err
    assert cli.main(["privacy", "setup", "--holder", "Ada", "--holder", "Ben", "--out", str(shares), *store]) == 0
    files = sorted(shares.iterdir())
    assert [file.name for file in files] == ["Ada.share.txt", "Ben.share.txt"]
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    # Where the folder is there already, nobody's share is written over.
    assert cli.main(["privacy", "setup", "--holder", "Ada", "--holder", "Ben", "--out", str(shares), *store]) == 2
    names = Pseudonyms(tmp_path / "store.keys")
    people = tmp_path / "people.txt"
    people.write_text("ann\nbob\n\n")
    given = ["--week", names.week, "--candidates", str(people), "--reason", "complaint of 12 Nov", *store]
    one, two = (["--share", str(file)] for file in files)
    capsys.readouterr()
    assert cli.main(["privacy", "release", names.pseudonym("bob"), *given, *one, *two]) == 0
    assert capsys.readouterr().out.strip() == "bob"
    assert cli.main(["privacy", "release", "A-00000000", *given, *one, *two]) == 1
    assert cli.main(["privacy", "release", names.pseudonym("bob"), *given, *one, *one]) == 2
    # Read from the keyboard, one after the other.
    lines = [file.read_text().splitlines()[-1] for file in files]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    capsys.readouterr()
    assert cli.main(["privacy", "release", names.pseudonym("ann"), *given]) == 0
    assert capsys.readouterr().out.strip() == "ann"
    blank = ["--week", names.week, "--candidates", str(people), "--reason", " ", *store]
    assert cli.main(["privacy", "release", "A-1", *blank]) == 2
    assert cli.main(["privacy", "renew", *store]) == 0
    audit = Audit(tmp_path / "store.audit.jsonl", tmp_path / "store.keys")
    found = [(entry.act, entry.detail.get("found"), entry.detail.get("holders")) for entry in reversed(audit.entries())]
    assert found == [
        ("privacy.setup", None, ["Ada", "Ben"]),
        ("privacy.setup", None, ["Ada", "Ben"]),
        ("privacy.release", 1, ["Ada", "Ben"]),
        ("privacy.release", 0, ["Ada", "Ben"]),
        ("privacy.release_refused", None, ["Ada", "Ada"]),
        ("privacy.release", 1, ["Ada", "Ben"]),
        ("privacy.renew", None, None),
    ]
    assert audit.entries("privacy.release")[0].detail["reason"] == "complaint of 12 Nov"
    assert "bob" not in (tmp_path / "store.audit.jsonl").read_text()
    capsys.readouterr()
    assert cli.main(["privacy", "ls", *store]) == 0
    assert "Ada, Ben" in capsys.readouterr().out


def test_the_log_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", str(tmp_path / "store")]
    assert cli.main(["audit", "verify", *store]) == 2
    log = tmp_path / "store.audit.jsonl"
    audit = Audit(log, tmp_path / "store.keys")
    for number in range(3):
        audit.append("lea", "report.call", f"c{number}")
    capsys.readouterr()
    assert cli.main(["audit", "ls", "--act", "report", "--json", *store]) == 0
    assert [json.loads(line)["subject"] for line in capsys.readouterr().out.splitlines()] == ["c2", "c1", "c0"]
    assert cli.main(["audit", "ls", *store]) == 0
    assert "audit.read" in capsys.readouterr().out
    assert cli.main(["audit", "ls", "--from", "2026-12-01", "--to", "2026-11-01", *store]) == 2
    assert "wrong way round" in capsys.readouterr().err
    assert cli.main(["audit", "verify", *store]) == 0
    head = re.findall(r"\d+:[0-9a-f]{64}", capsys.readouterr().out)[0]
    assert cli.main(["audit", "verify", "--noted", head, *store]) == 0
    assert cli.main(["audit", "verify", "--noted", "3:abc", *store]) == 2
    log.write_text(log.read_text().replace('"subject":"c1"', '"subject":"c9"'))
    capsys.readouterr()
    assert cli.main(["audit", "verify", *store]) == 1
    assert "broken at line 2: the entry was altered" in capsys.readouterr().err
    assert cli.main(["audit", "ls"]) == 2
    assert "wanted --store DIR" in capsys.readouterr().err


def test_accounts_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "a.db")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert cli.main(["accounts", "add", "petra", "--role", "auditor", "--accounts", file]) == 0
    assert cli.main(["accounts", "token", "crm", "--role", "ingest", "--accounts", file]) == 0
    assert cli.main(["accounts", "remove", "petra", "--accounts", file]) == 0
    audit = Audit(f"{file}.audit.jsonl", f"{file}.keys")
    acts = [(entry.act, entry.subject, entry.detail.get("role")) for entry in reversed(audit.entries())]
    assert acts == [
        ("account.added", "petra", "auditor"),
        ("token.made", "crm", "ingest"),
        ("account.removed", "petra", None),
    ]
    assert "correct horse" not in Path(f"{file}.audit.jsonl").read_text()
    # Nothing is told of what is not done.
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert cli.main(["accounts", "add", "petra", "--role", "auditor", "--accounts", file]) == 2
    assert len(audit.entries()) == 3
