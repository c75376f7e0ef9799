"""Settings of aiokafka's producers and consumers, which Parley's guarantees depend on."""

from typing import Any

from parley_core.log.aiokafka_internals import install_header_escaping

install_header_escaping()

REQUEST_TIMEOUT_MS = 5_000

PRODUCER_SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,
    "compression_type": "lz4",
    # Throughput collapses under many senders at the default of 16 KiB (aiokafka issue 528).
    "max_batch_size": 512 * 1024,
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
}

CONSUMER_SETTINGS: dict[str, Any] = {
    "enable_auto_commit": False,
    # "latest" would silently skip records, "earliest" repeat them.
    "auto_offset_reset": "none",
    "max_poll_records": 2_000,
    # Bounds the time until a recreated topic is noticed; the default is five minutes.
    "metadata_max_age_ms": 10_000,
}
