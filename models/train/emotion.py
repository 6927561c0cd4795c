"""Train the emotion model, judge it on speakers and corpora left out, export it with its contract.

    python models/train/emotion.py --data DATA --out models/emotion [--folds FOLDS]
    python models/train/emotion.py --manifest MY.csv --out my-model

DATA holds emotion.csv (corpus, path, speaker, emotion, ...) and the recordings it names; only corpora in SHIPPABLE are
read from it unless --corpora names others, whose licence then says what may be done with the weights. A manifest of
your own needs the columns path, speaker and emotion. Every number comes from a seed; `training.json` beside the model
keeps all of them. Needs the extra `train`: scipy, onnx, soundfile, soxr, av.
"""

import argparse
import json
import platform
import sys
from datetime import date
from pathlib import Path

import numpy as np
import vocal_kernels as vk
from corpus import PLANE, SHIPPABLE, Corpus, read_corpus, read_table, rows
from export import export
from machine import Machine, fit, softmax
from numpy.typing import NDArray

VERSION = "0.2.0"
LINES = 18
LANDMARKS = 1500
FOUR = ["anger", "happiness", "neutral", "sadness"]
LOW, HIGH = {"boredom", "calm", "neutral", "sadness"}, {"anger", "fear", "happiness", "surprise"}
# A voice of another language lies farther off than one left out: it is let in, most sounds are not.
NEAREST_SHARE, NEAREST_MARGIN = 0.001, 0.75

Array = NDArray[np.float64]
Shown = tuple[Array, Array, Array]


def train(corpus: Corpus, among: NDArray[np.int64], landmarks: int, seed: int) -> Machine:
    """A machine on those utterances; each corpus counts alike within a category."""
    rng = np.random.default_rng(seed)
    x, centre, trust, which = rows(corpus, among, rng)
    labels, corpora = corpus.labels[which], corpus.corpora[which]
    weight = np.ones(len(which))
    for name in np.unique(corpora):
        for label in np.unique(labels):
            of = (corpora == name) & (labels == label)
            weight[of] = 1.0 / max(1, of.sum())
    return fit(x, centre, trust, labels, weight, len(corpus.categories), landmarks, rng)


def shown(corpus: Corpus, earlier: int, window: int = 0, seed: int = 99) -> Shown:
    """Every utterance over the plain line, each after so many others of its speaker."""
    rng = np.random.default_rng(seed)
    centres = [corpus.centre(0, corpus.earlier(row, rng, earlier)) for row in range(corpus.size)]
    centre, trust = np.array([c for c, _ in centres]), np.array([t for _, t in centres])[:, None]
    return corpus.functionals[0, window].astype(np.float64), centre, trust


def recall(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """Unweighted average recall."""
    return float(np.mean([np.mean(guess[truth == label] == label) for label in np.unique(truth)]))


def area(truth: NDArray[np.bool_], value: Array) -> float:
    """Area under the ROC curve, by ranks."""
    order = np.argsort(np.argsort(value, kind="stable"), kind="stable") + 1.0
    n = int(truth.sum())
    return float((order[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def figures(corpus: Corpus, p: Array) -> dict[str, float]:
    """UAR over all and over four categories, arousal and anger; calibration error in ten bins."""
    names = np.array(corpus.categories)[corpus.labels]
    found = {"uar": recall(corpus.labels, p.argmax(1))}
    index = [corpus.categories.index(name) for name in FOUR if name in corpus.categories]
    four = np.isin(corpus.labels, index)
    if len(index) == len(FOUR):
        found["uar4"] = recall(corpus.labels[four], np.array(index)[p[four][:, index].argmax(1)])
    plane = p @ np.array([PLANE[name] for name in corpus.categories])
    extreme, high = np.isin(names, sorted(LOW | HIGH)), np.isin(names, sorted(HIGH))
    if 0 < high[extreme].sum() < extreme.sum():
        found["arousal_auc"] = area(high[extreme], plane[extreme, 1])
    if "anger" in corpus.categories:
        found["anger_auc"] = area(names == "anger", p[:, corpus.categories.index("anger")])
    sure, right = p.max(1), p.argmax(1) == corpus.labels
    bins = np.clip((sure * 10).astype(int), 0, 9)
    error = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * np.mean(bins == b) for b in np.unique(bins))
    return found | {"calibration_error": float(error)}


def calibrated(votes: Array, labels: NDArray[np.int64]) -> float:
    """The factor on votes under which held-out labels are likeliest."""
    factors = np.geomspace(0.2, 8.0, 120)
    costs = [-np.log(softmax(factor * votes)[np.arange(len(labels)), labels]).mean() for factor in factors]
    return float(factors[int(np.argmin(costs))])


def leave_one_out(
    corpus: Corpus, groups: NDArray[np.str_], landmarks: int, seed: int
) -> tuple[dict[str, Machine], dict[str, dict[str, float]], float, float]:
    """By each group its machine that never heard it; figures over all of them; the factor that calibrates them, and
    how near to the landmarks nearly all of them lie."""
    cases = {
        "first utterance": shown(corpus, 0),
        "1 to 3 s of it": shown(corpus, 0, window=2),
        "after eight": shown(corpus, 8),
        "after all others": shown(corpus, corpus.size),
    }
    votes = {case: np.zeros((corpus.size, len(corpus.categories))) for case in cases}
    near = np.zeros((len(cases), corpus.size))
    machines = {}
    for group in np.unique(groups):
        machine = train(corpus, np.flatnonzero(groups != group), landmarks, seed)
        out = groups == group
        for number, (case, given) in enumerate(cases.items()):
            x, centre, trust = given
            votes[case][out], near[number, out] = machine.votes(x[out], centre[out], trust[out])
        machines[str(group)] = machine
        print(f"left out {group}: done", file=sys.stderr)
    both = ("first utterance", "after eight")
    sharp = calibrated(np.concatenate([votes[case] for case in both]), np.tile(corpus.labels, len(both)))
    held = {case: figures(corpus, softmax(sharp * votes[case])) for case in cases}
    return machines, held, sharp, NEAREST_MARGIN * float(np.quantile(near, NEAREST_SHARE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with emotion.csv")
    source.add_argument("--manifest", type=Path, help="a CSV of your own: path, speaker, emotion, corpus if you like")
    parser.add_argument("--corpora", nargs="+", metavar="NAME", help="which of DATA (default: those that may ship)")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--folds", type=Path, help="keep the machines that left a speaker or a corpus out here")
    parser.add_argument("--corpora-only", action="store_true", help="of several corpora leave out each, no speakers")
    parser.add_argument("--lines", type=int, default=LINES, help=f"telephone lines an utterance ({LINES})")
    parser.add_argument("--landmarks", type=int, default=LANDMARKS, help=f"rows kept ({LANDMARKS})")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    manifest: Path = given.manifest or given.data / "emotion.csv"
    wanted = None if given.manifest else given.corpora or list(SHIPPABLE)
    table = read_table(manifest, wanted)
    named = sorted({row["corpus"] for row in table})
    ships = given.data is not None and set(named) <= set(SHIPPABLE)
    licence = "Apache-2.0" if ships else "as the recordings allow"
    sounds = given.data if given.data is not None and (given.data / "noise/esc10").is_dir() else None
    categories = sorted({row["emotion"] for row in table})
    corpus = read_corpus(manifest.parent, table, sounds, given.lines, categories, given.seed)
    machines: dict[str, Machine] = {}
    held: dict[str, dict[str, float]] = {}
    across: dict[str, dict[str, float]] = {}
    if len(named) > 1:
        left, across, sharp, nearest = leave_one_out(corpus, corpus.corpora, given.landmarks, given.seed)
        machines |= {f"all-but-{name}": machine for name, machine in left.items()}
    if len(named) == 1 or not given.corpora_only:
        left, held, sharp, nearest = leave_one_out(corpus, corpus.speakers, given.landmarks, given.seed)
        machines |= left
    for name, machine in machines.items() if given.folds else ():
        machine.sharp = sharp
        export(machine, given.folds / name.replace("/", "-"), corpus, VERSION, licence, nearest)
    machine = train(corpus, np.arange(corpus.size), given.landmarks, given.seed)
    machine.sharp = sharp
    export(machine, given.out, corpus, VERSION, licence, nearest)
    everything = {
        "date": date.today().isoformat(),
        "version": VERSION,
        "corpora": {name: SHIPPABLE.get(name, "") for name in named},
        "utterances": corpus.size,
        "speakers": len(np.unique(corpus.speakers)),
        "categories": dict(zip(categories, np.bincount(corpus.labels).tolist(), strict=True)),
        "lines": given.lines,
        "landmarks": given.landmarks,
        "seed": given.seed,
        "sharpness": sharp,
        "nearest": nearest,
        "left_out_speaker": held,
        "left_out_corpus": across,
        "made_with": {"python": platform.python_version(), "numpy": np.__version__, "vocal_kernels": vk.FUNCTIONALS},
    }
    (given.out / "training.json").write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    print(json.dumps({"left_out_speaker": held, "left_out_corpus": across}, indent=1))


if __name__ == "__main__":
    main()
