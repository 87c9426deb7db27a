"""Reference pages that are printed from the code say what the code says."""

from pathlib import Path

from zlh_hooks.domain.steps import ROLLOUT_TABLE, TARGET_TABLE, render_diagram

STATES = Path(__file__).parents[1] / "docs" / "reference" / "states.md"


def render_states() -> str:
    """The page as it should be. Print it: ``python -m tests.test_reference > docs/reference/states.md``."""
    rollout, target = (f"```mermaid\n{render_diagram(table)}\n```\n" for table in (ROLLOUT_TABLE, TARGET_TABLE))
    return (
        "# States\n\nPrinted from the tables in `zlh_hooks/domain/steps.py`; nothing else decides a state.\n"
        f"\n## A rollout\n\n{rollout}\n## A target\n\n{target}"
    )


def test_the_page_of_states_shows_the_tables_that_decide() -> None:
    assert STATES.read_text() == render_states()


if __name__ == "__main__":
    print(render_states(), end="")
