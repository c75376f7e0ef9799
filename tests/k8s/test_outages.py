"""Each engine, and some services, at zero replicas for a minute: the others go on."""

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from k8s_support.load import Load
from k8s_support.trial import Trial, until

OUTAGE_SECONDS = 60
# Until every kind of request succeeds again: the pod starts, connections back off, Kafka elects.
RECOVERY_SECONDS = 120
LOAD = ("--turns", "3", "--streams", "2", "--sdk", "2", "--facts", "0")


class Outage(NamedTuple):
    stopped: tuple[str, ...]
    # Kinds of requests that go on, all of them successful; the others may fail with these codes.
    go_on: frozenset[str]
    codes: frozenset[str]


CHAT = frozenset({"turn", "stream", "sdk"})
UNAVAILABLE = frozenset(
    {"503 session_unavailable", "503 history_unavailable", "503 inference_unavailable"}
)
OUTAGES = {
    "redis": Outage(("deploy/parley-redis",), CHAT | {"history"}, frozenset()),
    "kafka": Outage(("sts/parley-kafka",), CHAT, frozenset({"503 projection_behind"})),
    "history": Outage(
        ("deploy/parley-history-serve", "deploy/parley-history-project"),
        CHAT,
        UNAVAILABLE | {"503 projection_behind"},
    ),
    # Without Postgres or session a reply that ran is committed when they are back; a client that
    # waits for 35 s gives up before.
    "postgres": Outage(
        ("sts/parley-postgres",),
        frozenset(),
        UNAVAILABLE | {"503 event_store_unavailable", "ReadTimeout: "},
    ),
    "model": Outage(
        ("deploy/parley-model",),
        frozenset({"history"}),
        frozenset({"upstream_unavailable", "503 upstream_unavailable"}),
    ),
    "session": Outage(("deploy/parley-session",), frozenset(), UNAVAILABLE | {"ReadTimeout: "}),
}


@pytest.mark.parametrize("name", OUTAGES)
def test_what_does_not_need_it_goes_on(
    name: str, trial: Trial, image: str, show: Callable[[str], None]
) -> None:
    outage = OUTAGES[name]
    replicas = {each: len(trial.pods(_workload(each))) for each in outage.stopped}
    restarts = trial.restarts()
    stopped = {_workload(each) for each in outage.stopped}
    with Load.running(trial, image, *LOAD) as load:
        _wait_for_all_kinds(load, 0)
        for each in outage.stopped:
            trial.scale(each, 0)
        try:
            begin, deadline = len(load.outcomes), time.monotonic() + OUTAGE_SECONDS
            while time.monotonic() < deadline:
                assert trial.unready() <= stopped
                time.sleep(2)
            during = load.outcomes[begin:]
        finally:
            for each, count in replicas.items():
                trial.scale(each, count)
        again = len(load.outcomes)
        recovered = until(lambda: _all_succeed(load, again), RECOVERY_SECONDS)
        trial.wait_until_ready()
        load.stop()
    lines = sorted({f"{each['kind']} {each['code']}" for each in during if "code" in each})
    show(f"without {name}: {', '.join(lines)}\nall kinds succeed {recovered:.0f} s after its start")
    assert [each for each in during if each["kind"] in outage.go_on and not each["ok"]] == []
    assert {each["kind"] for each in during} >= outage.go_on
    codes = {each["code"] for each in during if not each["ok"]}
    assert codes <= outage.codes
    # A stopped pod takes its earlier restarts along.
    assert trial.restarts().items() <= restarts.items()
    (audit,) = load.of("audit")
    assert audit["ok"], audit
    trial.verify_log()


def _wait_for_all_kinds(load: Load, since: int) -> None:
    until(lambda: _all_succeed(load, since), 90)


def _all_succeed(load: Load, since: int) -> bool:
    return all(any(each["ok"] for each in load.of(kind, since)) for kind in CHAT | {"history"})


def _workload(kind_and_name: str) -> str:
    return kind_and_name.partition("/")[2]
