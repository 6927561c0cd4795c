"""The live table in the terminal, told event by event."""

import pytest
from rich.console import Console
from test_hub import ended, levels, mood, started

from vocal.types import Language, Notice
from vocal.watch import KEPT_ENDED, Board


@pytest.mark.parametrize(("language", "title"), [("de", "Laufende Gespräche"), ("en", "Live calls")])
def test_a_call_is_a_row_until_it_is_old(language: Language, title: str) -> None:
    console = Console(width=160, record=True, file=None, quiet=False)
    board = Board(language)
    for event in (started(), levels(), mood()):
        board.tell(event)
    with console.capture() as shown:
        console.print(board.table())
    assert title in shown.get()
    assert ("0,40" if language == "de" else "0.40") in shown.get()
    board.tell(Notice(call="c", at_s=2.0, given=False))
    with console.capture() as shown:
        console.print(board.table())
    assert "0,40" not in shown.get()
    assert "0.40" not in shown.get()
    for number in range(9):
        board.tell(started(f"call{number}"))
        board.tell(ended(f"call{number}"))
    assert board.table().row_count == KEPT_ENDED + 1
