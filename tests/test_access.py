"""Accounts, tokens and what each role sees."""

import sqlite3
import stat
from pathlib import Path

import pytest
from test_hub import cue, levels, mood, started, utterance

from vocal import cli
from vocal.access import LOCAL, Access, Principal, may_handle, may_see, metadata_for, seen_by
from vocal.conversation import Conversation
from vocal.errors import AccessError, UsageError
from vocal.policy import INFERRED_MEASURES
from vocal.types import (
    AlertsMuted,
    AlertsSeen,
    ChannelLevels,
    Emotion,
    HelpAnswered,
    HelpOffered,
    Levels,
    LiveEvent,
    Metadata,
    Utterance,
)

ANN = Principal("ann", "agent", "ann", "t1")
LEAD = Principal("lea", "lead", None, "t1")
CALL = Metadata(team="t1", agent="ann", notice=True)


def test_the_file_holds_neither_passwords_nor_tokens(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    access = Access(path)
    access.add(ANN, "correct horse battery")
    token = access.issue(ANN, "token", 1000.0)
    access.close()
    raw = path.read_bytes()
    assert b"correct horse" not in raw
    assert token.encode() not in raw
    assert token.partition(".")[0].encode() not in raw
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Access(path)
    assert again.check(token) == ANN
    assert again.login("ann", "correct horse battery") == ANN
    again.remove("ann")
    with pytest.raises(AccessError):
        again.check(token)


def test_tokens_expire_and_are_of_their_kind() -> None:
    now = [1000.0]
    access = Access(clock=lambda: now[0])
    session, link = access.issue(ANN, lasts_s=10.0), access.issue(ANN, "link", 10.0)
    assert access.check(session) == ANN
    with pytest.raises(AccessError):
        access.check(link)
    assert access.redeem(link) == ANN
    with pytest.raises(AccessError):
        access.redeem(link)
    now[0] += 11.0
    with pytest.raises(AccessError):
        access.check(session)


def test_a_signature_alone_opens_nothing_and_neither_does_a_row() -> None:
    access = Access()
    token = access.issue(ANN)
    access.revoke(token)
    with pytest.raises(AccessError):
        access.check(token)
    for odd in ("", ".", "a.b", token + "x", token.replace("vs_", "vt_"), "\N{SNOWMAN}.\N{SNOWMAN}"):
        with pytest.raises(AccessError):
            access.check(odd)


def test_wrong_use_is_said_at_once(tmp_path: Path) -> None:
    access = Access()
    with pytest.raises(UsageError, match="at least 10 characters"):
        access.add(ANN, "short")
    with pytest.raises(UsageError, match="wants the agent's id"):
        access.add(Principal("x", "agent"), "correct horse battery")
    with pytest.raises(UsageError, match="wants a team"):
        access.issue(Principal("x", "lead"))
    (tmp_path / "no.db").write_text("no database at all, but a text of some length")
    with pytest.raises(UsageError, match="cannot be used for accounts"):
        Access(tmp_path / "no.db")
    assert sqlite3.sqlite_version


def test_what_each_role_sees() -> None:
    access = Access()
    theirs: list[LiveEvent] = [started(), mood(), cue(), levels(), utterance()]
    assert may_see(ANN, CALL)
    assert may_handle(ANN, CALL)
    assert may_see(LEAD, CALL)
    assert not may_handle(LEAD, CALL)
    assert not may_see(Principal("b", "agent", "bob", "t1"), CALL)
    assert not may_see(Principal("i", "ingest"), CALL)
    assert not may_see(ANN, Metadata())
    assert [seen_by(LOCAL, event, CALL, access) for event in theirs] == theirs
    assert [seen_by(ANN, event, CALL, access) for event in theirs] == theirs
    lead = [seen_by(LEAD, event, CALL, access) for event in theirs]
    assert lead[1] == theirs[1]
    assert lead[2] is None  # a cue for the agent
    assert lead[4] == theirs[4]
    agents = Utterance(**{**{f: getattr(utterance(), f) for f in Utterance.__struct_fields__}, "role": "agent"})
    assert seen_by(LEAD, agents, CALL, access) is None
    sides = tuple(ChannelLevels(n, role, 0.0, None, None, None) for n, role in enumerate(("agent", "customer")))  # type: ignore[arg-type]
    narrowed = seen_by(LEAD, Levels(call="c", at_s=0.0, channels=sides), CALL, access)
    assert isinstance(narrowed, Levels)
    assert [one.role for one in narrowed.channels] == ["customer"]
    assert metadata_for(LEAD, CALL, access).agent == access.pseudonym("ann")
    assert metadata_for(ANN, CALL, access).agent == "ann"
    beside: list[LiveEvent] = [
        HelpOffered(call="c", at_s=1.0),
        HelpAnswered(call="c", at_s=2.0, wanted=True),
        AlertsSeen(call="c", at_s=3.0, last=4, by="lea"),
        AlertsMuted(call="c", at_s=4.0, until_s=9.0, by="lea"),
    ]
    assert [seen_by(ANN, event, CALL, access) is not None for event in beside] == [True, True, False, False]
    assert [seen_by(LEAD, event, CALL, access) for event in beside] == beside
    assert [seen_by(Principal("l", "lead", None, "t2"), event, CALL, access) for event in beside] == [None] * 4
    operator = Principal("o", "operator")
    assert [seen_by(operator, event, CALL, access) is not None for event in theirs] == [True, *[False] * 4]


def test_every_measure_that_is_inferred_is_named() -> None:
    conversation = Conversation()
    emotion = Emotion(0.3, 0.7, 0.4, {}, -0.4, {}, 0.9, "m")
    for at_s in (1.0, 20.0, 40.0):
        conversation.mood.update(at_s, 3.0, emotion, True)
    assert set(conversation._mood_values(41.0)) == INFERRED_MEASURES


def test_accounts_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    file = str(tmp_path / "a.db")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    add = ["accounts", "add", "ann", "--role", "agent", "--agent", "ann", "--team", "t1", "--accounts", file]
    assert cli.main(add) == 0
    assert Access(file).login("ann", "correct horse battery") == ANN
    assert cli.main(["accounts", "token", "acd", "--role", "ingest", "--accounts", file]) == 0
    token = capsys.readouterr().out.strip()
    assert Access(file).check(token) == Principal("acd", "ingest")
    assert cli.main(["accounts", "ls", "--accounts", file]) == 0
    assert "ann" in capsys.readouterr().out
    assert cli.main(["accounts", "remove", "ann", "--accounts", file]) == 0
    assert not Access(file).has_accounts
    assert cli.main(["accounts", "ls"]) == 2
    assert cli.main(["serve", "--host", "0.0.0.0", "--accounts", file]) == 2
