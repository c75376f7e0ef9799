"""Durations are exposed exactly as prometheus_client's histogram exposes them."""

import random
from itertools import chain

from prometheus_client import CollectorRegistry, Histogram

from parley_core.process.durations import Durations

BUCKETS = (0.005, 0.01, 0.25, 1, 60)
LABELS = ["method", "route"]


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    every = chain.from_iterable(metric.samples for metric in registry.collect())
    return {
        (each.name, frozenset(each.labels.items())): round(each.value, 9)
        for each in every
        if not each.name.endswith("_created")
    }


def test_durations_are_exposed_like_a_histogram() -> None:
    expected, registry = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("d_seconds", "Help.", LABELS, buckets=BUCKETS, registry=expected)
    durations = Durations("d_seconds", "Help.", LABELS, buckets=BUCKETS)
    registry.register(durations)
    assert samples(registry) == samples(expected)
    choice = random.Random(1)
    for _ in range(500):
        labels = choice.choice([("GET", "/a"), ("POST", "/a"), ("GET", "/b")])
        seconds = choice.choice([*BUCKETS, 0, 61, choice.random(), choice.random() / 100])
        histogram.labels(*labels).observe(seconds)
        durations.observe(labels, seconds)
    assert samples(registry) == samples(expected)
    assert len(samples(registry)) == 3 * (len(BUCKETS) + 1 + 2)
