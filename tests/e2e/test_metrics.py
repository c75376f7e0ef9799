"""Metrics of every process: their names, types and labels are a contract, and they leak nothing."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from e2e_support.stack import Stack
from prometheus_client.parser import text_string_to_metric_families

from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOLDEN = Path(__file__).with_name("metrics.golden.txt")
PROCESSES = ("gateway", "session", "inference", "history-serve", "history-project")
# Of prometheus_client; they differ by platform.
FOREIGN = ("process_", "python_")
MAX_SERIES = 2_000


async def exposition(stack: Stack, process: str) -> str:
    response = await stack.fetch(f"http://{stack.management(process)}/metrics")
    assert response.status_code == 200
    return response.text


async def listed(stack: Stack) -> dict[str, tuple[str, set[str]]]:
    """`process name` of each family, with its type and the labels of its samples."""
    found = {}
    for process in PROCESSES:
        for family in text_string_to_metric_families(await exposition(stack, process)):
            if not family.name.startswith(FOREIGN):
                labels = {label for sample in family.samples for label in sample.labels} - {"le"}
                found[f"{process} {family.name}"] = family.type, labels
    return found


def golden() -> dict[str, tuple[str, set[str]]]:
    lines = [line.split() for line in GOLDEN.read_text().splitlines() if line[:1] != "#"]
    return {f"{p} {name}": (kind, set(labels)) for p, name, kind, *labels in lines}


def write_golden(found: dict[str, tuple[str, set[str]]]) -> None:
    known = golden() if GOLDEN.exists() else {}
    lines = ["# process, metric, type, labels; UPDATE_GOLDEN=1 pytest tests/e2e/test_metrics.py"]
    for name, (kind, labels) in sorted(found.items()):
        lines.append(" ".join((name, kind, *sorted(labels or known.get(name, ("", set()))[1]))))
    GOLDEN.write_text("\n".join(lines) + "\n")


async def test_every_process_has_the_metrics_of_the_golden_list(stack: Stack) -> None:
    user = stack.user("metrics")
    session_id = await user.start_session()
    await user.send(session_id, "Hello?")
    if os.environ.get("UPDATE_GOLDEN"):
        await asyncio.sleep(5)  # The watchdog of the projector has read its first numbers by then.
        write_golden(await listed(stack))
    expected = golden()

    async def all_are_listed() -> bool:
        return (await listed(stack)).keys() == expected.keys()

    try:
        await eventually(all_are_listed)
    except TimeoutError:
        found = await listed(stack)
        missing, new = expected.keys() - found.keys(), found.keys() - expected.keys()
        pytest.fail(f"missing: {sorted(missing)}, not in {GOLDEN.name}: {sorted(new)}")
    for name, (kind, labels) in (await listed(stack)).items():
        # A family with labels has none of them before its first sample.
        assert (kind, labels or expected[name][1]) == expected[name], name


async def test_no_metric_log_line_or_status_contains_a_person_or_a_text(stack: Stack) -> None:
    secret, person = "xylophone-of-secrets", "sherlock-metrics"
    user = stack.user(person)
    session_id = await user.start_session()
    await user.send(session_id, f"{secret} please")
    await user.post("/search", {"query": secret})
    for process in PROCESSES:
        text = await exposition(stack, process)
        assert len([line for line in text.splitlines() if line[:1] != "#"]) < MAX_SERIES
        status = (await stack.fetch(f"http://{stack.management(process)}/status")).text
        assert json.loads(status)["status"] == "ok"
        for seen in (text, status, stack.log(process)):
            assert secret not in seen
            assert person not in seen
            assert session_id not in text


async def test_a_request_id_is_found_in_the_log_of_every_service_that_served_it(
    stack: Stack,
) -> None:
    request_id, user = "find-me-42", stack.user("metrics")
    session_id = await user.start_session()
    headers = {"x-request-id": request_id}
    await user.request(
        "POST", f"/sessions/{session_id}/messages", json={"content": "Hello?"}, headers=headers
    )
    await user.request("GET", f"/history/{session_id}", headers=headers)

    def is_logged() -> bool:
        services = ("gateway", "session", "inference", "history-serve")
        return all(request_id in stack.log(name) for name in services)

    await eventually(is_logged)
