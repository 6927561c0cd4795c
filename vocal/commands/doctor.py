"""`vocal doctor`: what works on this machine."""

import argparse

from rich.table import Table

from vocal.commands.screen import OUT, Commands


def add(commands: Commands) -> None:
    doctor = commands.add_parser("doctor", help="what works on this machine, what is missing, how to get it")
    doctor.set_defaults(run=_doctor)


def _doctor(given: argparse.Namespace) -> int:
    from vocal.doctor import examine

    table = Table("", "what", "found", "what to do", title="vocal doctor", title_justify="left")
    findings = examine()
    for finding in findings:
        sign = "[green]ok[/]" if finding.works else "[red]missing[/]"
        table.add_row(sign, finding.what, finding.found, finding.remedy)
    OUT.print(table)
    return 0 if all(finding.works for finding in findings) else 1
