"""The client as a program uses it: it ends when it is closed, and where the server does."""

import threading

import pytest
from serving import serving

from vocal.client import Client
from vocal.errors import InputError


def reading(client: Client, comes_back: bool) -> tuple[threading.Thread, list[BaseException | None]]:
    """A thread that reads events until they end; how they did."""
    ends: list[BaseException | None] = []

    def read() -> None:
        try:
            for _ in client.events(comes_back=comes_back):
                pass
            ends.append(None)
        except InputError as error:
            ends.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread, ends


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_client_that_is_closed_ends_its_events(comes_back: bool) -> None:
    with serving() as served:
        client = served.client()
        thread, ends = reading(client, comes_back)
        while not client.hello:
            assert thread.is_alive()
            thread.join(0.01)
        client.close()
        thread.join(5.0)
        assert ends == [None]


def test_a_client_that_does_not_come_back_says_that_the_server_is_gone() -> None:
    with serving() as served:
        client = served.client()
        thread, ends = reading(client, False)
        while not client.hello:
            assert thread.is_alive()
            thread.join(0.01)
    thread.join(10.0)
    assert isinstance(ends[0], InputError)
