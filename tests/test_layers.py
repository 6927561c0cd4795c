"""Imports flow one way, and policy is by construction. Read off the sources, nothing is run."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from vocal.config import Config
from vocal.policy import may_infer_emotion
from vocal.types import Metadata

ROOT = Path(__file__).parents[1]

# Each room and what it may know: only rooms above it in this table. A new module needs a row.
ROOMS: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "policy": {"types"},
    "config": {"types", "errors", "policy"},
    "texts": {"types"},
    "guard": set(),
    "urls": {"errors", "guard"},
    "charts": set(),
    "pictures": {"charts"},
    "playout": {"config"},
    "transports": set(),
    "transports.files": {"types", "errors"},
    "urgency": set(),
    "bank": {"config", "playout", "urgency"},
    "utterance": {"types", "bank"},
    "contract": {"errors"},
    "emotion": {"types", "errors", "utterance", "contract"},
    "estimates": {"types", "emotion", "utterance"},
    "conversation": {"types", "config"},
    "rules": {"types", "errors", "conversation", "urls"},
    "sinks": set(),
    "record": {"types", "errors", "policy"},
    "store": set(),
    "store.files": {"errors"},
    "store.schema": {"types", "errors", "record"},
    "store.log": {"types", "errors", "policy", "store.files"},
    "store.parts": {"types", "errors", "record", "store.files", "store.log", "store.schema"},
    "store.reader": {"types", "errors", "record", "store.files", "store.log", "store.parts", "store.schema"},
    "store.store": {
        *("types", "errors", "policy"),
        *("store.files", "store.log", "store.parts", "store.reader", "store.schema"),
    },
    "figures": {"policy"},
    "store.figures": {"errors", "figures", "record", "store.files", "store.reader", "store.schema"},
    "answers": {"errors", "policy"},
    "adaptation": {"record"},
    "keys": set(),
    "audit": {"errors", "keys"},
    "pseudonyms": {"types", "errors", "keys"},
    "reports": set(),
    "reports.page": {"types", "charts", "pictures"},
    "reports.privacy": {"types", "texts", "audit", "pseudonyms", "reports.page"},
    "reports.call_view": {"types", "errors", "policy", "charts", "record", "adaptation", "answers"},
    "reports.call_figures": {"types", "texts", "charts", "adaptation", "reports.call_view"},
    "reports.call": {
        *("types", "texts", "charts", "record", "adaptation"),
        *("reports.page", "reports.call_view", "reports.call_figures"),
    },
    "reports.call_export": {
        *("types", "texts", "record", "adaptation", "answers"),
        *("reports.call_view", "reports.call"),
    },
    "own": {"errors", "record"},
    "reports.own": {"types", "texts", "charts", "own", "reports.page"},
    "reports.start": {"types", "texts", "answers", "record", "reports.page"},
    "documents": {"types", "errors", "config", "contract", "policy", "rules", "texts"},
    "reports.document": {"types", "texts", "documents", "reports.page", "reports.start"},
    "reports.tables": set(),
    "reports.team": {"figures", "record"},
    "reports.team_page": {"types", "texts", "charts", "pictures", "figures", "reports.page", "reports.team"},
    "reports.journey": {
        *("types", "texts", "charts", "pictures", "figures", "record", "reports.page", "reports.team"),
        "reports.team_page",
    },
    "terminal": {"types", "texts"},
    "sinks.kept": {"types", "policy"},
    "sinks.hub": {"types", "sinks.kept"},
    "inforce": {"config", "contract", "errors", "rules"},
    "store.rewrite": {"store.files"},
    "store.export": {"errors", "store.files", "store.parts", "store.rewrite", "store.schema"},
    "store.erasure": {
        *("types", "errors", "record", "answers", "audit", "pseudonyms", "store.export", "store.figures"),
        *("store.files", "store.log", "store.rewrite", "store.schema", "store.store"),
    },
    "store.retention": {
        *("types", "policy", "record", "store.erasure", "store.figures", "store.files", "store.rewrite"),
        *("store.schema", "store.store"),
    },
    "store.listing": {
        *("errors", "policy", "store.erasure", "store.export", "store.files", "store.log", "store.parts"),
        *("store.retention", "store.rewrite", "store.schema"),
    },
    "store.verify": {
        *("errors", "store.erasure", "store.export", "store.files", "store.log", "store.parts", "store.rewrite"),
        "store.schema",
    },
    "access": {"types", "errors", "pseudonyms"},
    "signatures": {"errors"},
    "sinks.outbox": {"types", "errors", "policy"},
    "sinks.webhook": {"types", "config", "errors", "policy", "signatures", "sinks.outbox", "urls"},
    "transports.dialect": {"types", "errors"},
    "transports.pcm": {"types", "errors", "transports.dialect"},
    "transports.twilio": {"errors", "transports.dialect"},
    "transports.audiohook": {"types", "errors", "transports.dialect"},
    "transports.chan_websocket": {"errors", "transports.dialect"},
    "transports.audiosocket": {"errors", "transports.dialect"},
    "doors": set(),
    "replays": set(),
    "replays.dialects": {"types", "errors", "signatures", "transports.audiosocket", "transports.pcm"},
    "oidc": {"config", "errors", "access", "urls"},
    "transports.codecs": {"errors"},
    "transports.offers": {"errors"},
    "transports.opus": {"errors"},
    "transports.ice": {"errors"},
    "transports.webrtc": {
        "errors",
        "playout",
        "transports.codecs",
        "transports.ice",
        "transports.offers",
        "transports.opus",
    },
    "transports.srtp": {"errors"},
    "transports.rtp": {"config", "errors", "playout", "transports.codecs", "transports.opus", "transports.srtp"},
    "transports.sip_message": set(),
    "transports.sip_dialog": {"transports.sip_message"},
    "transports.sip": {"transports.sip_dialog", "transports.sip_message"},
    "transports.sip_net": {"transports.sip_dialog", "transports.sip_message"},
    "transports.sdp": {"errors", "transports.srtp"},
    "transports.siprec": {"errors", "transports.sip_message"},
    "client": {"types", "errors"},
    "replays.pace": {"types"},
    "replays.websocket": {"types", "errors", "client", "replays.dialects", "replays.pace", "transports.pcm"},
    "replays.whip": {
        *("types", "errors", "replays.dialects", "replays.pace"),
        *("transports.offers", "transports.opus", "transports.webrtc"),
    },
    "replays.rtp": {"errors", "replays.dialects", "replays.pace", "transports.rtp", "transports.srtp"},
    "replays.sip": {
        *("types", "errors", "replays.rtp", "replays.pace", "transports.rtp", "transports.sdp", "transports.sip"),
        *("transports.sip_dialog", "transports.sip_message", "transports.sip_net"),
    },
    "watch": {"types", "texts", "client"},
    "demo": set(),
    "demo.stage": {"errors"},  # makes the bundled call; nothing imports it
}
# They put the rooms together, so they may know any; but only the composers above them.
COMPOSERS = (
    *(
        "engine",
        "analysis",
        "doctor",
        "live",
        "service",
        "doors.webrtc",
        "doors.voices",
        "doors.sip",
        "doors.websocket",
    ),
    *("api", "api.gate", "api.login", "api.calls", "api.feed", "api.documents", "api.figures", "api.pages", "api.own"),
    "api.call_reports",
    *("api.store", "api.team", "api.privacy", "api.webhooks", "api.papers"),
    *("running", "server"),
    *("commands", "commands.screen", "commands.evidence", "commands.doctor", "commands.bench", "commands.models"),
    *(
        "commands.accounts",
        "commands.audit",
        "commands.privacy",
        "commands.report",
        "commands.store",
        "commands.webhooks",
        "cli",
    ),
)
# What is installed into the package from elsewhere in the repository.
BESIDE = {"commands.bench": {"benchmarks.bench"}}
# The package's own face: lazily, for `vocal.analyze` and `vocal.Engine`.
FACE = {"": {"analysis", "engine"}}

# Where a library may be imported. `typing only` means under TYPE_CHECKING, as a name in an annotation.
HOMES: dict[str, dict[str, str]] = {
    "onnxruntime": {"emotion": "run"},
    "soundfile": {"transports.files": "run", "demo.stage": "run", "doctor": "run"},
    "soxr": {
        **dict.fromkeys(("replays.rtp", "transports.files", "transports.pcm", "demo.stage", "emotion"), "run"),
    },
    "http_message_signatures": {"signatures": "run"},
    "fastapi": {
        **dict.fromkeys(("api.gate", "api.login", "api.calls", "api.feed", "api.documents", "api.figures"), "run"),
        **dict.fromkeys(("api.own", "api.call_reports", "api.team", "api.pages", "api.privacy", "api.store"), "run"),
        **dict.fromkeys(("doors.webrtc", "doors.websocket", "server"), "run"),
        **dict.fromkeys(("api.webhooks", "api.papers"), "run"),
    },
    "aiortc": {"transports.ice": "run", "transports.webrtc": "run"},
    "pylibsrtp": {"transports.srtp": "run", "transports.webrtc": "run"},
    "uvicorn": {"running": "run"},
    "markdown_it": {"reports.document": "run"},
    "httpx": dict.fromkeys(("oidc", "client", "replays.whip", "sinks.webhook"), "run"),
    "prometheus_client": {"api.figures": "run"},
    "joserfc": {"oidc": "run"},
    "argon2": {"access": "run"},
    "websockets": {"client": "run", "replays.websocket": "run"},
    "av": {
        **dict.fromkeys(("transports.files", "transports.codecs", "transports.opus"), "run"),
        **dict.fromkeys(("replays.rtp", "doctor"), "run"),
    },
    "pyarrow": {
        **dict.fromkeys(("store.files", "store.log", "store.parts", "store.reader", "store.schema", "doctor"), "run"),
        **dict.fromkeys(("store.rewrite", "store.export", "store.erasure"), "run"),
        "store.figures": "run",
        "analysis": "typing only",
    },
    "rich": {
        **dict.fromkeys(("terminal", "watch", "cli"), "run"),
        **dict.fromkeys(("commands.screen", "commands.doctor", "commands.models"), "run"),
        **dict.fromkeys(
            ("commands.accounts", "commands.audit", "commands.privacy", "commands.store", "commands.webhooks"), "run"
        ),
    },
    "numba": {},
    "llvmlite": {},
    "librosa": {},
    "scipy": {},
}
KERNELS_KNOW = {"numpy", "numba", "llvmlite"}


class Import(NamedTuple):
    name: str  # absolute, with the module only: `vocal.types`, `pyarrow.parquet`
    typing_only: bool
    line: int


def module_of(file: Path, package: Path) -> str:
    parts = file.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


VOCAL = {module_of(file, ROOT / "vocal"): file for file in sorted((ROOT / "vocal").rglob("*.py"))}
KERNELS = sorted((ROOT / "kernels/vocal_kernels").rglob("*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def imports(tree: ast.AST, package: str, known: set[str], typing_only: bool = False) -> Iterator[Import]:
    """Every import anywhere in a file, in functions too, and `import_module` of a plain name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, typing_only, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or package == "vocal_kernels", f"line {node.lineno}: wanted vocal's full name"
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield Import(name if name.partition(".")[2] in known else base, typing_only, node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield Import(str(argument.value), typing_only, node.lineno)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(ast.Module(node.body, []), package, known, True)
            yield from imports(ast.Module(node.orelse, []), package, known, typing_only)
        else:
            yield from imports(node, package, known, typing_only)


@cache
def imports_of(module: str) -> list[Import]:
    return list(imports(parsed(VOCAL[module]), "vocal", set(VOCAL)))


def rooms_imported(module: str) -> set[tuple[str, int]]:
    return {
        (found.name.partition(".")[2], found.line)
        for found in imports_of(module)
        if found.name.split(".")[0] == "vocal"
    }


def test_table_flows_one_way() -> None:
    above: set[str] = set()
    for room, known in ROOMS.items():
        assert known <= above, f"{room} may not know {known - above}, which are below it"
        above.add(room)


def test_every_module_has_a_row() -> None:
    unknown = set(VOCAL) - set(ROOMS) - set(COMPOSERS) - set(FACE)
    assert not unknown, f"say in ROOMS what {unknown} may import"
    gone = set(ROOMS) - set(VOCAL)
    assert not gone, f"take {gone} out of ROOMS"


@pytest.mark.parametrize("module", sorted(set(VOCAL)), ids=lambda module: module or "vocal")
def test_imports_flow_one_way(module: str) -> None:
    if module in COMPOSERS:
        allowed = set(ROOMS) | set(COMPOSERS[: COMPOSERS.index(module)]) | {""} | BESIDE.get(module, set())
    else:
        allowed = ROOMS.get(module, FACE.get(module, set()))
    for room, line in rooms_imported(module):
        assert room in allowed, f"vocal/{module.replace('.', '/')}.py:{line} imports vocal.{room}"


def test_table_allows_no_more_than_is_used() -> None:
    for module, allowed in ROOMS.items():
        used = {room for room, _ in rooms_imported(module)}
        assert allowed <= used, f"{module} does not import {allowed - used} any more: take it out of ROOMS"


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_at_home(library: str) -> None:
    for module in VOCAL:
        for found in imports_of(module):
            if found.name.split(".")[0] == library:
                how = HOMES[library].get(module)
                assert how, f"vocal/{module.replace('.', '/')}.py:{found.line} imports {library}"
                assert how == "run" or found.typing_only, f"{module}: {library} is for TYPE_CHECKING only"


def test_kernels_know_nothing_of_calls() -> None:
    assert KERNELS
    for file in KERNELS:
        for found in imports(parsed(file), "vocal_kernels", set()):
            top = found.name.split(".")[0]
            assert top != "vocal", f"{file.name}:{found.line}"
            assert top in KERNELS_KNOW | {"vocal_kernels"} | sys.stdlib_module_names, f"{file.name}:{found.line}: {top}"


# --- policy ----------------------------------------------------------------------------------------------------------


def names_in(module: str) -> list[str]:
    found = []
    for node in ast.walk(parsed(VOCAL[module])):
        if isinstance(node, ast.Name):
            found.append(node.id)
        elif isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.alias):
            found += [node.name.split(".")[-1], node.asname or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_only_a_customer_who_knows_and_agreed_where_that_is_wanted() -> None:
    roles = ("agent", "customer", "unknown", "", "supervisor")
    for role, notice, consent, basis in product(roles, (True, False), (True, False), ("notice", "consent")):
        said = consent or (notice and basis == "notice")
        allowed = may_infer_emotion(role, Metadata(notice=notice, consent=consent), basis)  # type: ignore[arg-type]
        assert allowed == (role == "customer" and said)


def test_only_the_engine_asks_and_asks_of_role_and_what_the_customer_knows_alone() -> None:
    assert [module for module in VOCAL if "may_infer_emotion" in names_in(module)] == ["engine"]
    calls = [
        node
        for node in ast.walk(parsed(VOCAL["engine"]))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "may_infer_emotion"
    ]
    assert [[ast.unparse(argument) for argument in call.args] for call in calls] == [
        ["channel.role", "call.metadata", "self._config.privacy.basis"]
    ]


def test_the_basis_can_only_want_more() -> None:
    """The one setting that reaches policy: whatever is allowed where consent is wanted is so where notice is enough."""
    for role, notice, consent in product(("agent", "customer", "unknown"), (True, False), (True, False)):
        said = Metadata(notice=notice, consent=consent)
        assert may_infer_emotion(role, said, "notice") >= may_infer_emotion(role, said, "consent")  # type: ignore[arg-type]
    used = [module for module in VOCAL if "may_infer_of_customer" in names_in(module)]
    assert set(used) == {"policy", "analysis"}  # which loads no model where none is asked


def test_its_answer_is_the_only_way_to_an_emotion_stage() -> None:
    """In engine.py the answer may only be narrowed (`and`) on its way to the Speaker; nothing else switches it on."""
    tree = parsed(VOCAL["engine"])
    stages = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "Speaker"]
    assert [ast.unparse(stage.args[2]) for stage in stages] == ["allowed"]
    answers = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["allowed"]
    ]
    assert len(answers) == 1
    answer = answers[0]
    assert isinstance(answer, ast.BoolOp)
    assert isinstance(answer.op, ast.And)
    assert any(ast.unparse(term).startswith("may_infer_emotion(") for term in answer.values)
    # Audio is kept only where that answer was yes, and only by the bank.
    asked = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "keep_audio" in ast.unparse(n)]
    (question,) = asked
    assert ast.unparse(question.test).startswith("allowed and ")
    assert ast.unparse(tree).count("keep_audio") == 1
    assert [module for module in VOCAL if "keep_audio" in names_in(module)] == ["engine"]
    for module in VOCAL:
        assert module == "engine" or "Speaker" not in names_in(module) or module == "utterance"
        for node in ast.walk(parsed(VOCAL[module])):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr == "infers_emotion":
                    assert module == "utterance"
                    assert isinstance(node, ast.Assign)
                    assert ast.unparse(node.value) in ("infers_emotion", "False")
        assert "setattr" not in names_in(module)


def test_only_the_engine_asks_the_model() -> None:
    assert [module for module in VOCAL if "estimate" in names_in(module) and module != "emotion"] == ["estimates"]
    assert [module for module in VOCAL if "Estimates" in names_in(module) and module != "estimates"] == ["engine"]


def test_no_setting_reaches_it() -> None:
    words = ("agent", "role", "notice", "customer", "employee", "policy", "infer", "allow", "consent", "enable")
    settings = [
        f"{room}.{field}"
        for room in Config.__struct_fields__
        for field in type(getattr(Config(), room)).__struct_fields__
    ]
    assert len(settings) > 10
    found = [setting for setting in settings if any(word in setting for word in words)]
    assert found == ["privacy.least_agents"]  # of whom a figure must be: it can only be raised
    # And policy itself reads nothing: no configuration, no environment, no file.
    known = {found.name.split(".")[0] for found in imports_of("policy")}
    assert known <= {"dataclasses", "datetime", "msgspec", "typing", "vocal"}
    assert not {"open", "environ", "getenv", "Path"} & set(names_in("policy"))
