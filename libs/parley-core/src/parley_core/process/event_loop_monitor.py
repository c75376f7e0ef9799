"""Event loop monitor: measures how late the loop runs what is due, and shows that it runs."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Histogram

from parley_core.process.process_state import ProcessState

INTERVAL_SECONDS = 0.25
_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class EventLoopMonitor:
    def __init__(self, registry: CollectorRegistry, state: ProcessState) -> None:
        self._state = state
        self._lag = Histogram(
            "parley_event_loop_lag_seconds",
            "How late the event loop ran a timer.",
            buckets=_BUCKETS,
            registry=registry,
        )

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self._state.tick()
            due = time.monotonic() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._lag.observe(max(0.0, time.monotonic() - due))
