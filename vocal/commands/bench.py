"""`vocal bench`: measures on this machine."""

import argparse
import importlib
from pathlib import Path

from vocal.commands.screen import ERR, Commands, announce_compiling
from vocal.errors import UsageError


def add(commands: Commands) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure speed, latency and accuracy on this machine, beside the known peers",
        description="Measures on one core, live calls and latency on all; peers too, where installed: "
        "pip install 'vocal[peers]'.",
    )
    bench.add_argument("part", choices=("speed", "live", "latency", "rtp", "accuracy", "all"))
    bench.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help="of accuracy: pitch, speech, tempo, level, clarity, emotion, calls, loss (default: all)",
    )
    bench.add_argument("--data", metavar="DIR", help="corpora with truth; without it, what Vocal makes itself")
    bench.add_argument("--peers", action="store_true", help="measure what peers are installed, too")
    bench.add_argument("--folds", metavar="DIR", help="emotion models by held-out speaker, for emotion and the calls")
    bench.add_argument("--html", metavar="OUT", help="write a page with tables and plots, too")
    bench.add_argument("--json", action="store_true", help="one JSON object a figure, on standard output")
    bench.set_defaults(run=_bench)


def _bench(given: argparse.Namespace) -> int:
    data, folds = (Path(folder) if folder else None for folder in (given.data, given.folds))
    for option, folder, wanted in (("--data", data, "corpora"), ("--folds", folds, "models")):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder}: wanted a folder of {wanted}")
    if given.topics and given.part != "accuracy":
        raise UsageError(f"{given.topics[0]}: topics are of accuracy: vocal bench accuracy {' '.join(given.topics)}")
    bench = importlib.import_module("vocal.benchmarks.bench")  # benchmarks/, installed beside the rooms
    bench.check(given.topics, data)
    html = Path(given.html) if given.html else None
    if html is not None:
        try:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.open("a").close()
        except OSError as error:
            raise UsageError(f"--html {html}: cannot be written: {error.strerror}") from None
    announce_compiling()
    parts = bench.PARTS if given.part == "all" else (given.part,)
    bench.run(bench.Asked(parts, given.topics, data, given.peers, folds), given.json, html)
    if html is not None:
        ERR.print(f"page: {html}", markup=False, soft_wrap=True)
    return 0
