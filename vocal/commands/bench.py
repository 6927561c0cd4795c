"""`vocal bench`: measures on this machine."""

import argparse
import importlib
from pathlib import Path

from vocal.commands.screen import ERR, Commands, announce_compiling
from vocal.errors import UsageError

TARGETS = Path(__file__).parents[1] / "benchmarks" / "targets.yaml"


def add(commands: Commands) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure speed, capacity, latency and accuracy on this machine, beside the known peers",
        description="Measures on one core, capacity and latency on all; peers too, where installed: "
        "pip install 'vocal[peers]'.",
    )
    bench.add_argument(
        "part",
        choices=("speed", "capacity", "latency", "accuracy", "all", "page"),
        help="what to measure; page: what saved runs say, their targets as a table in Markdown, with --html as a page",
    )
    bench.add_argument(
        "topics",
        nargs="*",
        metavar="TOPIC",
        help="of accuracy: pitch, speech, tempo, level, clarity, emotion, calls, loss; of capacity: tick, packets, "
        "sip, websocket, twilio, webrtc (default: all); of page: RUN.json...",
    )
    bench.add_argument("--data", metavar="DIR", help="corpora with truth; without it, what Vocal makes itself")
    bench.add_argument("--peers", action="store_true", help="measure what peers are installed, too")
    bench.add_argument("--folds", metavar="DIR", help="emotion models by held-out speaker, for emotion and the calls")
    bench.add_argument("--model", metavar="DIR", help="judge an emotion model of your own")
    bench.add_argument(
        "--targets", metavar="FILE", help=f"other numbers to reach, in place of some of {TARGETS}".replace("%", "%%")
    )
    bench.add_argument("--quick", action="store_true", help="less of everything: about two minutes")
    bench.add_argument("--calls", type=int, metavar="N", help="capacity: N calls, not as many as are carried")
    bench.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of --calls (default: %(default)g)")
    bench.add_argument(
        "--loss", type=float, default=0.0, metavar="PERCENT", help="capacity: of the packets, by SIP or WebRTC"
    )
    bench.add_argument("--jitter", type=float, default=0.0, metavar="MS", help="capacity: of the packets, by SIP")
    bench.add_argument(
        "--talkspurts", action="store_true", help="capacity: by SIP, nothing is sent while nobody speaks"
    )
    bench.add_argument(
        "--budget", type=float, metavar="SECONDS", help="begin nothing after that; what is left is named"
    )
    bench.add_argument("--save", metavar="RUN.json", help="keep the run: machine, versions, settings, every repeat")
    bench.add_argument("--compare", metavar="OLD.json", help="say what changed since a saved run; exit code 1 if worse")
    bench.add_argument("--html", metavar="OUT", help="write a page with tables and plots, too")
    bench.add_argument("--json", action="store_true", help="one JSON object a figure, on standard output")
    bench.set_defaults(run=_bench)


def _page(given: argparse.Namespace) -> int:
    if not given.topics:
        raise UsageError("wanted saved runs: vocal bench page RUN.json... [--html OUT]")
    results, page, table = (
        importlib.import_module(f"vocal.benchmarks.{name}") for name in ("results", "page", "table")
    )
    run = results.merged([results.read(Path(one)) for one in given.topics])
    html = _writable("html", given.html)
    print(table.markdown(run), end="")
    if html is not None:
        html.write_text(page.page(run), "utf-8")
        ERR.print(f"page: {html}", markup=False, soft_wrap=True)
    return 0


def _bench(given: argparse.Namespace) -> int:
    if given.part == "page":
        return _page(given)
    folders = {"data": "a folder of corpora", "folds": "a folder of models", "model": "a model's folder"}
    data, folds, model = (_folder(option, getattr(given, option), wanted) for option, wanted in folders.items())
    if given.topics and given.part not in ("accuracy", "capacity"):
        raise UsageError(f"{given.topics[0]}: topics are of accuracy and capacity: vocal bench accuracy TOPIC")
    if given.calls is not None and (given.part != "capacity" or given.calls < 1):
        raise UsageError(f"--calls {given.calls}: wanted vocal bench capacity sip --calls N, N at least 1")
    if given.part != "capacity" and (given.loss or given.jitter or given.talkspurts):
        raise UsageError("--loss, --jitter and --talkspurts: wanted vocal bench capacity sip")
    if not given.minutes > 0.0:
        raise UsageError(f"--minutes: wanted more than 0, got {given.minutes:g}")
    if given.budget is not None and given.budget <= 0.0:
        raise UsageError(f"--budget: wanted more than 0 s, got {given.budget:g}")
    bench, asking, comparing, results = (
        importlib.import_module(f"vocal.benchmarks.{name}")  # benchmarks/, installed beside the rooms
        for name in ("bench", "asked", "compare", "results")
    )
    aims = Path(given.targets) if given.targets else None
    faults = given.loss / 100.0, given.jitter, given.talkspurts
    bench.check(given.part, given.topics, aims, *faults)
    old = results.read(Path(given.compare)) if given.compare else None
    html, save = (_writable(option, getattr(given, option)) for option in ("html", "save"))
    announce_compiling()
    parts = bench.PARTS if given.part == "all" else (given.part,)
    asked = asking.Asked(
        parts,
        given.topics,
        data,
        given.peers,
        folds,
        model,
        given.quick,
        given.budget,
        given.calls or 0,
        given.minutes,
        *faults,
        aims,
    )
    try:
        run = bench.run(asked, given.json, html, save)
    finally:
        # Of a run that was broken off, too: what was measured until then is in them.
        for what, path in (("page", html), ("run", save)):
            if path is not None and path.stat().st_size:
                ERR.print(f"{what}: {path}", markup=False, soft_wrap=True)
    if not run.rows:
        return 1
    if old is None:
        return 0
    changes = comparing.compare(old, run)
    comparing.show(changes, comparing.doubts(old, run), ERR)
    return int(any(change.verdict in ("worse", "gone") for change in changes))


def _folder(option: str, name: str | None, wanted: str) -> Path | None:
    if name is not None and not Path(name).is_dir():
        raise UsageError(f"--{option} {name}: wanted {wanted}")
    return Path(name) if name else None


def _writable(option: str, name: str | None) -> Path | None:
    """Before minutes are spent on what cannot be kept."""
    if name is None:
        return None
    path = Path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise UsageError(f"--{option} {name}: cannot be written: {error.strerror}") from None
    return path
