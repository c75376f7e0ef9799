"""Session services with budgets."""

from pathlib import Path
from typing import Any

import pytest
from session_support.budgets import MODELS, Budgeted
from session_support.service import Service


@pytest.fixture
def budgeted(serve: Any, tmp_path: Path) -> Budgeted:
    """Starts a session service with these rules."""
    models = tmp_path / "models.yaml"
    models.write_text(MODELS)

    async def start(rules: str) -> Service:
        path = tmp_path / "limits.yaml"
        path.write_text(f"limits: [{rules}]")
        service: Service = await serve(limits_file=path, session_models_path=models)
        return service

    return start
