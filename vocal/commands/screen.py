"""What the commands write on: two consoles, progress bars, the language of whoever reads."""

import argparse
import os
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from vocal.types import Language

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""What a command's `add` adds itself to."""

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


class Bars:
    """A progress bar for each recording, on a terminal only."""

    def __init__(self, is_quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        hidden = is_quiet or not ERR.is_terminal
        self.progress = Progress(*columns, console=ERR, transient=True, disable=hidden)
        self._tasks: dict[str, TaskID] = {}

    def show(self, name: str, done_s: float, whole_s: float | None) -> None:
        if name not in self._tasks:
            self._tasks[name] = self.progress.add_task(Path(name).name, total=whole_s)
        self.progress.update(self._tasks[name], completed=done_s, visible=whole_s is None or done_s < whole_s)


def announce_compiling() -> None:
    from vocal_kernels import is_compiled

    if not is_compiled():
        ERR.print("Compiling the kernels for this machine: once, about 15 s.")


def language() -> Language:
    spoken = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "en" if spoken.startswith("en") else "de"
