"""What a sender keeps of a stream until the receiver has it: a lost connection costs no more than that. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_BYTES = 16 << 20
"""The most that is on its way and not acknowledged: what is sent again, at most, when a connection is lost. A link of
1 Gbit/s is kept busy over 100 ms there and back."""


class Window:
    """Offsets count the bytes of the stream from its beginning."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._next = 0
        self.taken = 0
        """The receiver has everything before this."""
        self.sent = 0
        """Everything before this was given to the connection that there is now."""
        self.read = 0
        """So much came from the source."""
        self.again_bytes = 0
        """Given to a connection more than once."""
        self._skipped = 0

    @property
    def is_full(self) -> bool:
        return self.read - self.taken >= WINDOW_BYTES

    def skip(self, offset: int) -> None:
        """The receiver has `offset` bytes of this stream from a sender that is no more."""
        self._skipped = self.taken = self.sent = offset

    def add(self, piece: bytes) -> None:
        """The next bytes from the source. What the receiver had before is dropped."""
        began, self.read = self.read, self.read + len(piece)
        if piece := piece[max(0, self._skipped - began) :]:
            self._pieces.append(piece)

    def next_piece(self) -> bytes | None:
        """What to send now; None: everything that was read is on its way."""
        if self._next == len(self._pieces):
            return None
        piece = self._pieces[self._next]
        self._next += 1
        self.sent += len(piece)
        return piece

    def take(self, offset: int) -> None:
        """The receiver has everything before `offset`."""
        while self._pieces and self.taken < offset:
            piece = self._pieces.popleft()
            rest = piece[offset - self.taken :]
            if rest:
                self._pieces.appendleft(rest)
            else:
                self._next = max(0, self._next - 1)
            self.taken += len(piece) - len(rest)

    def resume(self, offset: int) -> bool:
        """Goes back to `offset`, on a new connection. False: what comes after it is not here any more."""
        if not self.taken <= offset <= self.sent:
            return False
        self.take(offset)
        self.again_bytes += self.sent - self.taken
        self.sent, self._next = self.taken, 0
        return self.taken == offset
