"""Write state of a turn's buffer: the text that Redis confirmed, and the text it may have."""

from parley_contracts.api_models import Turn
from parley_core.crypto.sealing import DataKey
from parley_core.streaming.turn_buffer import StreamHeader, TurnBufferSealer
from parley_core.streaming.turn_buffer_redis import BufferWrite, WriteOutcome
from parley_inference.streaming.live_turn import LiveTurn


class BufferWriteState:
    """Allows one write at a time; the TTLs of the buffer are in seconds."""

    def __init__(self, live: LiveTurn, key: DataKey, running_ttl: int, ended_ttl: int) -> None:
        self.live, self._sealer = live, TurnBufferSealer(live.id, key)
        self._running_ttl, self._ended_ttl = running_ttl, ended_ttl
        self._header: StreamHeader | None = None
        # Redis has the text up to `_confirmed`, and may have it up to `_attempted`.
        self._confirmed = self._attempted = 0
        self._rewrite = True
        self._end_written = False

    @property
    def finished(self) -> bool:
        """Whether the turn has ended here, so that its text grows no more."""
        return self.live.ended is not None or self.live.discarded

    def next_write(self) -> BufferWrite | None:
        """Return the next write, or None when nothing is new."""
        if self._end_written:
            return None
        live = self.live
        if live.ended is not None:
            return self._write_end(live.ended)
        if live.header is not None and live.header is not self._header:
            self._header, self._rewrite = live.header, True
        if self._header is None:
            return None
        if self._rewrite:
            return self._write_whole(self._header)
        # An entry that Redis may have is repeated unchanged, so that it is stored at most once.
        if self._attempted == self._confirmed:
            self._attempted = live.reply.length
        if self._attempted == self._confirmed:
            return None
        text = live.reply.since(self._confirmed)[: self._attempted - self._confirmed]
        return BufferWrite(self._sealer.name, [self._sealer.text(text, self._attempted)])

    def record(self, outcome: WriteOutcome) -> None:
        """Record the outcome of the last write."""
        match outcome:
            case "written":
                self._confirmed = self._attempted
            case "gone":
                self._rewrite = True
            case "unknown":
                pass

    def _write_end(self, ended: Turn) -> BufferWrite:
        assert ended.reply is not None
        self._end_written = True
        # The stored reply may be shorter than the streamed text.
        length = max(self._attempted, len(ended.reply.content))
        entry = self._sealer.end(length)
        return BufferWrite(self._sealer.name, [entry], ttl_seconds=self._ended_ttl)

    def _write_whole(self, header: StreamHeader) -> BufferWrite:
        reply = self.live.reply
        self._rewrite, self._confirmed, self._attempted = False, 0, reply.length
        entries = [self._sealer.header(header)]
        if self._attempted:
            entries.append(self._sealer.text(reply.since(0), self._attempted))
        return BufferWrite(self._sealer.name, entries, create=True, ttl_seconds=self._running_ttl)
