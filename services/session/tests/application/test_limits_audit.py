"""A change of the limits file is recorded once, by the process that loads it first."""

import hashlib
from pathlib import Path
from typing import Any

from session_support.service import Service

from parley_core.storage.postgres_pool import Pool
from parley_testing.eventually import eventually

RECORDED = """
SELECT data -> 'objects' -> 0 ->> 'id' FROM audit_records WHERE action = 'limits.changed'
ORDER BY sequence
"""


def digest_of(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


async def test_a_changed_file_of_limits_is_recorded_once(
    serve: Any, pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "limits.yaml"
    expected: list[str] = []

    async def recorded() -> list[str]:
        return [row[0] for row in await pool.fetch(RECORDED)]

    async def is_recorded() -> bool:
        return await recorded() == expected

    for turns in (5, 6):
        file.write_text(f"limits: [{{turns_per_minute: {turns}}}]")
        expected.append(digest_of(file))
        for _ in range(2):
            async with serve.stoppable(limits_file=str(file)) as session:
                await eventually(is_recorded, within=30)
                await session.start()
    async with serve.stoppable():
        expected.append("none")
        await eventually(is_recorded, within=30)
    assert await recorded() == expected


async def test_without_a_file_of_limits_nothing_is_recorded(session: Service, pool: Pool) -> None:
    await session.start()
    assert await pool.fetch(RECORDED) == []
