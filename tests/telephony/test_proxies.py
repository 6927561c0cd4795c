"""Kamailio in the path of calls, and sipsak that asks whether we are there."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from telephony.programs import HERE, Sipp, ended_calls, free_port, need, running, sip_port, until

pytestmark = pytest.mark.flaky(reruns=2)
MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules", "/usr/lib/aarch64-linux-gnu/kamailio/modules")


def test_behind_a_proxy_that_stays_in_the_path(
    served: Served, told: list[Any], sipp: Sipp, alaw: tuple[Path, Path], tmp_path: Path
) -> None:
    """ACK, re-INVITE, INFO and BYE come by the Record-Route that we gave back; our own BYE goes by it."""
    since, port = len(told), free_port()
    text = (HERE / "kamailio.cfg").read_text("utf-8")
    modules = next((one for one in MODULES if Path(one).is_dir()), MODULES[0])
    for key, value in (("PORT", str(port)), ("TO", str(sip_port(served))), ("MODULES", modules)):
        text = text.replace(f"@{key}@", value)
    (tmp_path / "kamailio.cfg").write_text(text, "utf-8")
    program = [need("kamailio"), "-f", str(tmp_path / "kamailio.cfg"), "-m", "32", "-M", "4"]
    with running([*program, "-Y", str(tmp_path), "-P", str(tmp_path / "pid"), "-DD", "-E"], tmp_path):
        until(lambda: _answers(port))
        keys = {"RECORDING": str(alaw[1]), "PLAY_MS": "2000", "AFTER_MS": "100"}
        sipp(port, "call", calls=5, rate=5.0, keys=keys)
        found = ended_calls(told, 5, since)
    assert {events[-1].reason for events in found} == {"hangup"}


def _answers(port: int) -> bool:
    asked = [need("sipsak"), "-s", f"sip:ping@127.0.0.1:{port}"]
    return subprocess.run(asked, capture_output=True, timeout=30.0).returncode in (0, 1)


def test_options(served: Served) -> None:
    asked = [need("sipsak"), "-vv", "-s", f"sip:vocal@127.0.0.1:{sip_port(served)}"]
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=30.0)
    assert ran.returncode == 0
    assert "SIP/2.0 200 OK" in ran.stdout
    assert "Allow: INVITE" in ran.stdout
