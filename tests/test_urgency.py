"""Threads that go before others, as the system says of them."""

import os
import threading
from pathlib import Path

import pytest

from vocal.config import Config, RtpConfig
from vocal.live import Live
from vocal.transports.rtp import MediaPlane
from vocal.urgency import PRIORITY, RECEIVING, Urgency


def seen(wanted: bool, *sets: bool) -> tuple[int, int, bool]:
    """Policy and priority of a thread that joined, and whether it is said to be urgent."""
    urgency = Urgency(wanted)
    found: list[tuple[int, int]] = []

    def work() -> None:
        urgency.join()
        for one in sets:
            urgency.set(one)
        found.append((os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return *found[0], urgency.is_urgent


def test_threads_go_before_others_where_the_system_permits_it_and_stand_back() -> None:
    if not seen(True)[2]:
        pytest.skip("this user may not have real-time priority")
    assert seen(True) == (os.SCHED_RR, PRIORITY, True)
    assert seen(True, False) == (os.SCHED_OTHER, 0, False)
    assert seen(True, False, True) == (os.SCHED_RR, PRIORITY, True)


def test_who_does_not_want_it_has_it_never() -> None:
    assert seen(False, True) == (os.SCHED_OTHER, 0, False)


def test_what_the_system_does_not_permit_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert seen(True, True) == (os.SCHED_OTHER, 0, False)


def test_a_thread_that_has_ended_is_no_error() -> None:
    urgency = Urgency(True)
    thread = threading.Thread(target=urgency.join)
    thread.start()
    thread.join()
    urgency.set(False)


def test_who_receives_goes_behind_the_clock_until_it_is_forgotten() -> None:
    if not seen(True)[2]:
        pytest.skip("this user may not have real-time priority")
    config = Config()
    live = Live(lambda events: None, config)
    plane = MediaPlane(RtpConfig(first_port=0, threads=2), live.media_clock)

    def priorities() -> list[int]:
        return [os.sched_getparam(number).sched_priority for number in plane.numbers]

    try:
        assert len(set(plane.numbers)) == 2
        assert [Path(f"/proc/self/task/{one}/comm").read_text("ascii") for one in plane.numbers] == ["vocal-rtp\n"] * 2
        live.urgency.take_in(plane.numbers, RECEIVING)
        assert priorities() == [RECEIVING] * 2
        assert 0 < RECEIVING < PRIORITY
        live.urgency.set(False)
        assert priorities() == [0, 0]
        live.urgency.forget(plane.numbers)
        live.urgency.set(True)
        assert priorities() == [0, 0]
    finally:
        plane.close()
        live.stop()


def test_children_are_like_any_other() -> None:
    urgency = Urgency(True)
    found: list[int] = []

    def child() -> None:
        found.append(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK)

    def work() -> None:
        urgency.join()
        thread = threading.Thread(target=child)
        thread.start()
        thread.join()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [os.SCHED_OTHER]
