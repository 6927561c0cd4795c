"""The documents in the box as pages: a list of them, and each with its table of contents. Markdown in, HTML out."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from vocal.documents import Document
from vocal.reports.page import page_of
from vocal.reports.start import other_language
from vocal.texts import text
from vocal.types import Language

BLANK = re.compile(r"\[[^\]\n]+\]")
"""What whoever adapts a draft fills in."""

_TOGETHER = re.compile(r"(?:\d(?= (?:m?s|dB|LU|k?Hz|%)(?!\w))|(?:§|\b(?:No|Nr|Art|Abs)\.)(?= \d)) ")
"""A number and its unit, an article and its number: one line has both."""


def documents_page(documents: Sequence[Document], language: Language) -> str:
    """All of them, in their order."""

    def t(key: str, **values: object) -> str:
        return escape(text(f"documents.{key}", language, **values))

    tiles = "".join(
        f'<li><a href="/documents/{one.name}?lang={language}"><b>{escape(one.title)}</b>'
        f"<span>{t(f'about.{one.name}')}</span></a></li>"
        for one in documents
    )
    main = (
        f'<header><h1>{t("title")}</h1><p class="private">{t("lead")}</p>{other_language(language)}</header>'
        f'<p class="problem">{t("draft.list")}</p><ul class="rooms papers">{tiles}</ul>'
    )
    return page_of(text("documents.title", language), main, _footer(language), language)


def document_page(one: Document) -> str:
    language = one.language

    def t(key: str, **values: object) -> str:
        return escape(text(f"documents.{key}", language, **values))

    html, sections = rendered(one.markdown)
    contents = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in sections)
    main = (
        f'<article class="document"><header><h1>{escape(one.title)}</h1>'
        f'<p class="private">{t("stand", version=one.version, date=one.date, vocal=one.vocal)}</p>'
        f"{other_language(language)}</header>"
        f'<p class="problem">{t(f"draft.{one.kind}")}</p>'
        f'<p class="buttons"><a class="button" href="/documents/{one.name}.md?lang={language}">{t("download")}</a>'
        f'<a class="button" href="/documents?lang={language}">{t("all")}</a></p>'
        f'<nav class="contents" aria-labelledby="contents"><h2 id="contents">{t("contents")}</h2>'
        f"<ol>{contents}</ol></nav>{html}</article>"
    )
    return page_of(one.title, main, _footer(language), language)


def rendered(markdown: str) -> tuple[str, list[tuple[str, str]]]:
    """HTML, and the sections with the names by which one gets to them. No HTML of the text's own gets through."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("text", _text)
    parser.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    tokens = parser.parse(markdown)
    sections: list[tuple[str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            title = "".join(one.content for one in tokens[place + 1].children or [])
            sections.append((f"s{len(sections) + 1}", title))
            token.attrSet("id", sections[-1][0])
    html = str(parser.renderer.render(tokens, parser.options, {}))
    return html.replace("<th></th>", "<td></td>"), sections  # a heading has words


def _text(_: Any, tokens: Sequence[Token], place: int, *__: Any) -> str:
    kept = _TOGETHER.sub(lambda found: f"{found[0][:-1]}\N{NO-BREAK SPACE}", tokens[place].content)
    return BLANK.sub(lambda found: f"<mark>{found[0]}</mark>", escape(kept))


def _footer(language: Language) -> str:
    return f'<p class="made">{escape(text("report.how.made_by", language))}</p>'
