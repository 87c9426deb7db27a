"""Markdown as HTML, by markdown-it: tables that scroll by themselves, headings that can be linked to, no raw HTML.

Each line of a block of code is an element of its own: where one is wrapped on a phone, its reader sees where the next
command begins.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from zlh_hooks.domain.wording import render_anchor

_PAGE = re.compile(r"([a-z-]+)\.md(#.*)?\Z")


def render_html(markdown: str) -> str:
    """The inside of a page."""
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False}).enable("table")
    parser.add_render_rule("fence", _render_block)
    tokens = parser.parse(markdown)
    _name_headings(tokens)
    for token in _all(tokens):
        _adapt(token)
    return str(parser.renderer.render(_wrap_tables(tokens), parser.options, {}))


def _render_block(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    """Whoever copies the block gets each line's end once."""
    lines = tokens[index].content.splitlines()
    return "<pre>" + "\n".join(f"<code>{escapeHtml(line)}</code>" for line in lines) + "</pre>\n"


def _all(tokens: Sequence[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *(token.children or ()))]


def _adapt(token: Token) -> None:
    """Header cells say what they head; links between pages lead to their HTML."""
    if token.type == "th_open":
        token.attrSet("scope", "col")
    if token.type == "link_open":
        match = _PAGE.match(str(token.attrGet("href")))
        if match:
            token.attrSet("href", f"{match[1]}.html{match[2] or ''}")


def _name_headings(tokens: Sequence[Token]) -> None:
    seen: dict[str, int] = {}
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            name = render_anchor(_text_of(inline))
            seen[name] = seen.get(name, -1) + 1
            opening.attrSet("id", f"{name}-{seen[name]}" if seen[name] else name)


def _text_of(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


def _wrap_tables(tokens: Sequence[Token]) -> list[Token]:
    """A table that is too wide scrolls within its own frame, which the keyboard reaches too."""
    wrapped: list[Token] = []
    for token in tokens:
        if token.type == "table_open":
            attributes: dict[str, str | int | float] = {
                "class": "table",
                "tabindex": "0",
                "role": "region",
                "aria-label": "Table",
            }
            wrapped.append(Token("frame_open", "div", 1, attrs=attributes, block=True))
        wrapped.append(token)
        if token.type == "table_close":
            wrapped.append(Token("frame_close", "div", -1, block=True))
    return wrapped
