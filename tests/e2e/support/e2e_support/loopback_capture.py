"""Captures the TCP traffic of this machine with itself, as `tcpdump -i lo` does."""

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

# Of Linux; the module `socket` does not name them.
_ALL_PROTOCOLS, _SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 3, 263, 6, 33
_BUFFER_BYTES = 64 * 1024 * 1024
_ETHERNET_BYTES, _MAX_PACKET_BYTES = 14, 1024 * 1024


class LoopbackCapture:
    """The bytes that each port sent to each port over IPv4, in order."""

    def __init__(self) -> None:
        self.sent: defaultdict[tuple[int, int], bytearray] = defaultdict(bytearray)

    def read(self, packets: socket.socket) -> None:
        """Read what has arrived."""
        with suppress(BlockingIOError):
            while True:
                packet, (_, _, direction, *_) = packets.recvfrom(_MAX_PACKET_BYTES)
                # Each packet of the interface is seen as it leaves, and as it arrives.
                if direction == socket.PACKET_OUTGOING:
                    self._add(packet[_ETHERNET_BYTES:])

    def _add(self, packet: bytes) -> None:
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        segment = packet[4 * (packet[0] & 15) :]
        self.sent[struct.unpack_from("!HH", segment)] += segment[4 * (segment[12] >> 4) :]


@asynccontextmanager
async def captured_loopback() -> AsyncIterator[LoopbackCapture]:
    """Capture within the block. Raises PermissionError without the right to do so."""
    capture, loop = LoopbackCapture(), asyncio.get_running_loop()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)) as packets:
        packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        packets.bind(("lo", 0))
        packets.setblocking(False)
        loop.add_reader(packets, capture.read, packets)
        try:
            yield capture
        finally:
            loop.remove_reader(packets)
        capture.read(packets)
        statistics = packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        _, dropped = struct.unpack("II", statistics)
        assert dropped == 0, f"{dropped} packets were not captured"
