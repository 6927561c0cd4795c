"""How many are carried: the count is doubled until it fails, then halved in between."""

from typing import NamedTuple


class Tried(NamedTuple):
    count: int
    is_carried: bool


class Search:
    """`next` says what is to be tried, None once it is known; `tell` what came of it.

    first: tried first; ceiling: no more are tried; step: found to so many, as a share of them, and tried in multiples
    of `grain`. tries: a count that fails is tried so often, as others on the machine can only make it fail: once
    carried is carried.
    """

    def __init__(self, first: int, ceiling: int, step: float, grain: int = 1, tries: int = 1) -> None:
        self._ceiling, self._step, self._grain, self._tries = ceiling, step, grain, tries
        self.tried: list[Tried] = []
        self.carried = 0
        """The most that were."""

        self.failed: int | None = None
        """The fewest that were not."""

        self.next: int | None = min(first, ceiling)

    def tell(self, is_carried: bool) -> None:
        assert self.next is not None
        count = self.next
        self.tried.append(Tried(count, is_carried))
        if is_carried:
            self.carried = max(self.carried, count)
        elif sum(one.count == count for one in self.tried) >= self._tries:
            self.failed = count if self.failed is None else min(self.failed, count)
        else:
            return
        self.next = self._following()

    def _following(self) -> int | None:
        if self.failed is None:
            return None if self.carried >= self._ceiling else min(2 * self.carried, self._ceiling)
        if self.failed - self.carried <= max(self._grain, self._step * self.carried):
            # One is tried even where all that was tried is too much.
            return None if self.carried or self.failed == 1 else max(1, self.failed // 2)
        middle = (self.carried + self.failed) // 2
        rounded = middle // self._grain * self._grain
        return rounded if rounded > self.carried else middle
