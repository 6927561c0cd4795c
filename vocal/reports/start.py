"""Where reports begin: the page that leads on to each, and the page on which an agent shares a call."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

import msgspec

from vocal.answers import Share
from vocal.record import CallRecord
from vocal.reports.page import page_of
from vocal.texts import date, length, text
from vocal.types import Language

ROOMS = {
    "own": "/reports/own",
    "team": "/reports/team",
    "journey": "/reports/journey",
    "privacy": "/privacy",
    "documents": "/documents",
}


class Listed(msgspec.Struct, frozen=True):
    """A call in a list. agent: the pseudonym, for a coach; note: what its agent says to it."""

    call: str
    started_at: str
    duration_s: float
    queue: str | None
    touchpoint: str | None
    interrupted: bool
    shared: bool
    reflected: bool | None = None
    agent: str | None = None
    note: str | None = None


def start_page(
    rooms: Sequence[str], whose: str, calls: Sequence[Listed], language: Language, page: int, more: bool, kept: bool
) -> str:
    """rooms: keys of `ROOMS`. whose: own, shared or all; empty: no list. more: there are older calls; kept: there is a
    store."""

    def t(key: str, **values: object) -> str:
        return escape(text(f"reports.{key}", language, **values))

    tiles = "".join(
        f'<li><a href="{ROOMS[room]}?lang={language}"><b>{t(f"room.{room}")}</b>'
        f"<span>{t(f'room.{room}_text')}</span></a></li>"
        for room in rooms
    )
    main = f'<header><h1>{t("title")}</h1><p class="private">{t("lead")}</p>{other_language(language)}</header>'
    main += f'<nav aria-label="{t("rooms")}"><ul class="rooms">{tiles}</ul></nav>'
    if whose:
        days: dict[str, list[Listed]] = {}
        for one in calls:
            days.setdefault(_here(one.started_at)[:10], []).append(one)
        none = "calls.none_shared" if whose == "shared" else "calls.none"
        body = "" if days else f"<p>{t(none if kept else 'no_store')}</p>"
        for own in days.values():
            items = "".join(_listed(one, whose, language) for one in own)
            body += f'<h3>{escape(_day(own[0], language))}</h3><ol class="listed">{items}</ol>'
        turns = [("newer", page - 1)] if page else []
        turns += [("older", page + 1)] if more else []
        links = "".join(
            f'<a class="button" href="?page={number}&amp;lang={language}">{t(f"calls.{key}")}</a>'
            for key, number in turns
        )
        turn = f'<p class="buttons">{links}</p>' if links else ""
        main += (
            f'<section aria-labelledby="calls"><h2 id="calls">{t(f"calls.{whose}")}</h2>'
            f'<p class="note">{t(f"calls.{whose}_note")}</p>{body}{turn}</section>'
        )
    return page_of(text("reports.title", language), main, _made(language), language)


def _listed(one: Listed, whose: str, language: Language) -> str:
    def t(key: str, **values: object) -> str:
        return escape(text(f"reports.calls.{key}", language, **values))

    at = _here(one.started_at)[11:16]
    when = f"{_day(one, language)}, {at}"
    about = [part for part in (one.queue, one.touchpoint, length(one.duration_s, language)) if part]
    marks = [
        t(f"is_{name}")
        for name, is_so in (
            ("shared", one.shared and whose != "shared"),
            ("reflected", one.reflected),
            ("interrupted", one.interrupted),
        )
        if is_so
    ]
    written = f' · <span class="marks">{" · ".join(marks)}</span>' if marks else ""
    quote = f'<span class="quote">{t("note", note=one.note)}</span>' if one.note else ""
    head = f"{at} · {one.agent}" if one.agent and whose == "shared" else at
    ways = [("open", f"/reports/calls/{one.call}")]
    if whose == "own":
        ways.append(("change" if one.shared else "share", f"/reports/calls/{one.call}/share"))
    links = ""
    for key, to in ways:
        name = t("of", what=text(f"reports.calls.{key}", language), date=when)
        links += f'<a href="{escape(to)}?lang={language}" aria-label="{name}">{t(key)}</a>'
    return (
        f'<li><div><b>{escape(head)}</b><span class="note">{escape(" · ".join(about))}{written}</span>{quote}</div>'
        f'<div class="to">{links}</div></li>'
    )


def share_page(record: CallRecord, share: Share | None, reflected: bool, language: Language, keep_days: int) -> str:
    """What the coach will see and what not, before the agent decides. share: as it stands; reflected: whether the agent
    said how the call felt."""

    def t(key: str, **values: object) -> str:
        return escape(text(f"share.{key}", language, **values))

    def points(*keys: str) -> str:
        return f'<ul class="plain">{"".join(f"<li>{t(key)}</li>" for key in keys)}</ul>'

    about = [
        date(_here(record.started_at), language, with_zone=False),
        record.queue,
        length(record.duration_s, language),
    ]
    hidden = ["not_answers", "not_others", *(["not_reflection"] if reflected else [])]
    since = ""
    if share is not None:
        said = t("since", date=date(_here(share.at), language, with_zone=False))
        since = f'<p class="done" role="status">{said}</p>'
    checked = " checked" if share is not None and share.with_reflection else ""
    felt = ""
    if reflected:
        felt = (
            f'<label class="tick"><input type="checkbox" name="with_reflection" value="yes"{checked}>'
            f"<span>{t('reflection')}</span></label>"
        )
    note = escape(share.note) if share is not None else ""
    do = t("do" if share is None else "change")
    stop = f'<button name="shared" value="no" formnovalidate>{t("stop")}</button>' if share is not None else ""
    main = (
        f'<header><h1>{t("title")}</h1><p class="private">{escape(" · ".join(filter(None, about)))}</p>{since}'
        f"<p>{t('lead')}</p></header>"
        f'<section aria-labelledby="sees"><h2 id="sees">{t("sees")}</h2>'
        f"{points('sees_report', 'sees_pseudonym', 'sees_note')}</section>"
        f'<section aria-labelledby="not"><h2 id="not">{t("not")}</h2>{points(*hidden)}</section>'
        f'<section class="share"><form method="post" action="?lang={language}">{felt}'
        f'<label>{t("note")}<textarea name="note" maxlength="500" aria-describedby="hint">{note}</textarea></label>'
        f'<p class="note" id="hint">{t("note_hint")}</p><p class="buttons">'
        f'<button class="first" name="shared" value="yes">{do}</button>{stop}</p>'
        f'</form><p class="note">{t("until", days=keep_days)}</p>'
        f'<p><a href="/reports/calls/{escape(record.call)}?lang={language}">{t("to_report")}</a> · '
        f'<a href="/reports?lang={language}">{escape(text("reports.back", language))}</a></p></section>'
    )
    return page_of(text("share.title", language), main, _made(language), language, forms=True)


def other_language(language: Language) -> str:
    """The link to the same page in the other language."""
    other = "en" if language == "de" else "de"
    said = escape(text("web.language", language))
    return f'<p class="note"><a href="?lang={other}" hreflang="{other}" lang="{other}">{said}</a></p>'


def _day(one: Listed, language: Language) -> str:
    began = datetime.fromisoformat(_here(one.started_at))
    name, month = text(f"own.name.{began.weekday()}", language), text(f"month.{began.month}", language)
    return text("own.day_word", language, name=name, day=began.day, month=month)


def _here(at: str) -> str:
    """In this machine's zone."""
    return datetime.fromisoformat(at).astimezone().isoformat()


def _made(language: Language) -> str:
    return f'<p class="made">{escape(text("report.how.made_by", language))}</p>'
