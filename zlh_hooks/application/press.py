"""The pages of a policy, drawn and put where people read them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zlh_hooks.domain.handbook import Page

Draw = Callable[[Page, tuple[Page, ...]], str]
"""A page's text; the second are the pages that it may lead to."""


@dataclass(frozen=True, slots=True)
class Press:
    """Draws ``pages`` and writes them. ``suffix`` is that of their files, e.g. ``.md``."""

    pages: tuple[Page, ...]
    suffix: str
    draw: Draw
    write: Callable[[Path, str], None]

    def render(self, page: Page) -> str:
        """One page."""
        return self.draw(page, self.pages)

    def publish(self, place: Path) -> Iterator[Path]:
        """Write each page, replacing what is there; a single one may name its file. Yields what was written."""
        into_folder = len(self.pages) > 1 or place.is_dir() or place.suffix != self.suffix
        for page in self.pages:
            path = place / f"{page}{self.suffix}" if into_folder else place
            self.write(path, self.render(page))
            yield path
