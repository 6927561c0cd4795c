"""`vocal models`: what there is, and whether each keeps its contract."""

import argparse
from pathlib import Path

from rich.table import Table

from vocal.commands.screen import ERR, OUT, Commands
from vocal.errors import InputError, VocalError


def add(commands: Commands) -> None:
    models = commands.add_parser("models", help="the models: what there is, and whether each keeps its contract")
    kinds = models.add_subparsers(metavar="COMMAND", required=True)
    kinds.add_parser("ls", help="list them").set_defaults(run=_ls)
    check = kinds.add_parser(
        "check", help="load each model, run its own test vectors, say what it hears, gives and costs"
    )
    check.add_argument("folders", nargs="*", metavar="DIR", help="models' folders (default: the ones that ship)")
    check.set_defaults(run=_check)


def _ls(given: argparse.Namespace) -> int:
    from vocal.contract import models_folder, read_contract
    from vocal.emotion import find_models

    folders = find_models()
    if not folders:
        raise InputError(f"{models_folder()}: no models here; reinstall vocal")
    table = Table("model", "version", "date", "trained on", "size", "folder", title="models", title_justify="left")
    for folder in folders:
        contract = read_contract(folder)
        size_kb = (folder / "model.onnx").stat().st_size / 1024 if (folder / "model.onnx").exists() else 0.0
        corpora = ", ".join(map(str, contract.training.get("corpora", [])))
        table.add_row(contract.name, contract.version, contract.date, corpora, f"{size_kb:.0f} kB", str(folder))
    OUT.print(table)
    return 0


def _check(given: argparse.Namespace) -> int:
    from vocal.emotion import EmotionModel, find_models

    folders = [Path(folder) for folder in given.folders] or find_models()
    failed = 0
    for folder in folders:
        summary: dict[str, str] = {}
        try:
            model = EmotionModel(folder)
            faults = model.check()
            summary = {} if faults else model.describe()
        except VocalError as error:
            faults = [str(error)]
        for fault in faults:
            ERR.print(f"vocal: {fault}", markup=False, soft_wrap=True)
        OUT.print(f"{folder}: {'failed' if faults else 'keeps its contract'}", markup=False, soft_wrap=True)
        for what, found in summary.items():
            OUT.print(f"  {what:8} {found}", markup=False, soft_wrap=True)
        failed += bool(faults)
    return 1 if failed or not folders else 0
