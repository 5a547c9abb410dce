"""When the octets of a stream came, so that a request that stood behind others is known to be old when its turn comes.  Sans-io."""

from collections import deque

TOGETHER_S = 0.05  # octets that come within it share a time, the earliest: what drips in must not fill the memory


class Arrivals:
    """Octets are noted as they come and taken in the same order, never more than came."""

    def __init__(self) -> None:
        self.taken = 0
        self._came = 0
        self._marks: deque[tuple[int, float]] = deque()  # where in the stream octets end, and when the first of them came

    def came(self, size: int, now_s: float) -> None:
        if self.taken == self._came:
            self._marks.clear()
        self._came += size
        if self._marks and now_s - self._marks[-1][1] < TOGETHER_S:
            now_s = self._marks.pop()[1]
        self._marks.append((self._came, now_s))

    def take(self, size: int) -> float:
        """When the last of the next ``size`` octets came."""
        self.taken += size
        while self._marks[0][0] < self.taken:
            self._marks.popleft()
        return self._marks[0][1]
