"""Budgets in a file that changes: a wrong file leaves the budgets and prices that there are."""

from pathlib import Path
from typing import Any

import pytest
from session_support.budgets import MODELS, Budgeted, opened, reserved_by_one, standing
from session_support.client import EVE
from session_support.process import variables

from parley_core.process import settings_reloader
from parley_core.runtime.settings import InvalidSettings
from parley_testing.eventually import eventually


def replace(path: Path, text: str) -> None:
    """At once: a reload never finds half of the text."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


async def test_a_wrong_file_keeps_the_budgets_and_the_prices(
    budgeted: Budgeted, runtime_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, models = tmp_path / "limits.yaml", tmp_path / "models.yaml"
    files = {"limits_file": limits, "session_models_path": models}
    for name, value in variables(runtime_database, **files).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(settings_reloader, "CHECK_INTERVAL_SECONDS", 0.01)
    session = await budgeted("{cost_per_day: 1500}")

    async def reloads(outcome: str) -> float:
        return (await session.metrics(outcome)).get("parley_config_reloads_total", 0)

    async def after(outcome: str, count: int) -> None:
        async def is_reloaded() -> bool:
            return await reloads(outcome) == count

        await eventually(is_reloaded)

    wrong: list[tuple[Path, str]] = [
        (limits, "limits:\n  - {cost_per_day: 1}\n  - {cost_per_day: 2}\n"),
        (limits, "limits: [{cost_per_day: 1000000000000000000}]"),
    ]
    for number, (path, text) in enumerate(wrong, start=1):
        replace(path, text)
        await after("failed", number)
    assert (await opened(session)).status == 201
    assert (await opened(session)).status == 429
    cost = await reserved_by_one(session)

    replace(limits, "limits: [{cost_per_day: 9000}]")
    await after("ok", 1)
    unpriced = MODELS.replace("price:", "unknown:")
    replace(models, unpriced)
    await after("failed", len(wrong) + 1)
    assert (await opened(session, EVE)).status == 201
    assert await standing(session, EVE) == {"cost_per_day": (0, cost)}

    replace(models, MODELS.replace("10000000", "20000000"))
    await after("ok", 2)
    assert (await opened(session, EVE)).status == 201
    assert await reserved_by_one(session, EVE) == 2 * cost + 1_000


async def test_a_budget_without_prices_ends_the_start(serve: Any, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text("limits: [{cost_per_day: 1}]")
    with pytest.raises(InvalidSettings, match="PARLEY_SESSION_MODELS_PATH"):
        await serve(limits_file=limits)
