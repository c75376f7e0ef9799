"""What Redis has of a turn that this process runs: as it said, and as a lost answer may hide."""

from parley_contracts.api_models import Turn
from parley_core.crypto.sealing import DataKey
from parley_core.streaming.turn_buffer import StreamHeader, TurnBufferSealer
from parley_core.streaming.turn_buffer_redis import BufferWrite, WriteOutcome
from parley_inference.streaming.live_turn import LiveTurn


class BufferWriteState:
    """One write at a time; `keep_running` and `keep_ended` are the seconds that Redis keeps it."""

    def __init__(self, live: LiveTurn, key: DataKey, keep_running: int, keep_ended: int) -> None:
        self._live, self._buffer = live, TurnBufferSealer(live.id, key)
        self._keep_running, self._keep_ended = keep_running, keep_ended
        self._opening: StreamHeader | None = None
        # What is there up to `written`; up to `tried` it may be.
        self._written = self._tried = 0
        self._whole = True
        self._marked = False

    @property
    def over(self) -> bool:
        """Nothing more becomes readable here."""
        return self._live.ended is not None or self._live.abandoned

    def write(self) -> BufferWrite | None:
        """What is to be written now; None when nothing is new."""
        if self._marked:
            return None
        live = self._live
        if live.ended is not None:
            return self._mark(live.ended)
        if live.opening is not None and live.opening is not self._opening:
            self._opening, self._whole = live.opening, True
        if self._opening is None:
            return None
        if self._whole:
            return self._write_whole(self._opening)
        # What may be there already is written again as it was, and so at most once.
        if self._tried == self._written:
            self._tried = live.reply.length
        if self._tried == self._written:
            return None
        text = live.reply.since(self._written)[: self._tried - self._written]
        return BufferWrite(self._buffer.name, [self._buffer.text(text, self._tried)])

    def wrote(self, outcome: WriteOutcome) -> None:
        match outcome:
            case "written":
                self._written = self._tried
            case "gone":
                self._whole = True
            case "unknown":
                pass

    def _mark(self, ended: Turn) -> BufferWrite:
        assert ended.reply is not None
        self._marked = True
        # The stored reply may be shorter than what was streamed.
        length = max(self._tried, len(ended.reply.content))
        entry = self._buffer.end(length)
        return BufferWrite(self._buffer.name, [entry], ttl_seconds=self._keep_ended)

    def _write_whole(self, opening: StreamHeader) -> BufferWrite:
        reply = self._live.reply
        self._whole, self._written, self._tried = False, 0, reply.length
        entries = [self._buffer.header(opening)]
        if self._tried:
            entries.append(self._buffer.text(reply.since(0), self._tried))
        return BufferWrite(self._buffer.name, entries, create=True, ttl_seconds=self._keep_running)
