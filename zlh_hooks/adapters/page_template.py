"""Pages from their templates, by Jinja. What the policy says is text: it never becomes structure of a page.

Templates lie in ``shipped/pages``. Every value that a template prints is escaped for Markdown, except code spans (a
text between single backticks) and what a filter of this file has made.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zlh_hooks.domain.handbook import TITLES, Handbook, Page
from zlh_hooks.domain.wording import render_anchor, render_capital, render_leads, render_length, render_list

FOLDER = Path(__file__).parents[1] / "shipped" / "pages"
_STRUCTURE = re.compile(r"[\\*_\[\]<&|~$]")
_AT_START = re.compile(r"^( ?)(?:([-+=>#:])|(\d+)(?=[.)](?:\s|$)))")
_CODE = re.compile(r"`([^`]+)`")


def render_markdown(page: Page, handbook: Handbook) -> str:
    """The page as Markdown (CommonMark with tables)."""
    environment = _open_environment(autoescape=False)
    environment.finalize = escape_markdown
    environment.filters.update(FILTERS)
    text = environment.get_template(f"{page}.md").render(
        book=handbook,
        policy=handbook.policy,
        title=TITLES[page],
        unconfirmed=handbook.list_unconfirmed(page),
        first_data_path=handbook.first_data_path,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def render_frame(page: Page, handbook: Handbook, body: str, others: Sequence[Page]) -> str:
    """A whole HTML document around ``body``, which is HTML already. Customers' pages lead to no others."""
    pages = [] if page is Page.CUSTOMER else [(f"{one}.html", TITLES[one], one is page) for one in others]
    frame = _open_environment(autoescape=True).get_template("frame.html")
    title = f"{handbook.platform}: {TITLES[page].lower()}" if handbook.platform else TITLES[page]
    shown = pages if len(pages) > 1 else []
    return frame.render(title=title, body=Markup(body), name=page, pages=shown) + "\n"  # noqa: S704


def _open_environment(autoescape: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        autoescape=autoescape,  # noqa: S701 -- Markdown is escaped by escape_markdown
        trim_blocks=True,
        lstrip_blocks=True,
    )


def escape_markdown(value: object) -> str:
    """Text that Markdown shows as it is, on one line; what is Markdown already passes."""
    if isinstance(value, Markup):
        return value
    text = _flatten(str(value))
    if text.count("`") % 2:
        return _escape(text.replace("`", "'"))
    pieces = _CODE.split(text)
    return "".join(render_code(piece) if number % 2 else _escape(piece) for number, piece in enumerate(pieces))


def escape_cell(value: object) -> Markup:
    """Text for a table's cell: without code spans, in which a bar could not be escaped."""
    return Markup(escape_markdown(str(value).replace("`", "'")))  # noqa: S704


def _flatten(text: str) -> str:
    """On one line, without signs that nobody sees."""
    return "".join(one for one in re.sub(r"\s+", " ", text) if one.isprintable())


def _escape(text: str) -> str:
    return _AT_START.sub(_mask, _STRUCTURE.sub(r"\\\g<0>", text))


def _mask(start: re.Match[str]) -> str:
    """A list's number keeps its digits: the dot behind it is what makes the list."""
    return f"{start[1]}{start[3]}\\" if start[3] else f"{start[1]}\\{start[2]}"


def render_code(text: str) -> Markup:
    """A code span, on one line."""
    inner = _flatten(text)
    longest = max((len(run) for run in re.findall("`+", inner)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    return Markup(f"{fence}{padding}{inner}{padding}{fence}")  # noqa: S704


def render_block(text: str, language: str = "sh") -> Markup:
    """A block of code, its fence longer than any in it."""
    lines = "\n".join("".join(one for one in line if one.isprintable()) for line in text.strip().splitlines())
    longest = max((len(run) for run in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}{language}\n{lines}\n{fence}")  # noqa: S704


def render_link(address: str) -> Markup:
    """An address as its own link; the policy has checked that it is one."""
    return Markup(f"<{address}>")  # noqa: S704


def render_plain(text: str) -> Markup:
    """Text inside a block of code that the template itself opens: on one line, and unable to end the block."""
    return Markup(_flatten(text).replace("`", "'"))  # noqa: S704


FILTERS = {
    "anchor": render_anchor,
    "block": render_block,
    "capital": render_capital,
    "cell": escape_cell,
    "duration": render_length,
    "leads": render_leads,
    "link": render_link,
    "plain": render_plain,
    "words": render_list,
}
