"""The stack of these tests: TLS, a small context window, few turns and tokens, generated titles.

It starts with the sessions of simulated people, which only an empty store accepts.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_support.model_server import MODEL, ModelServer
from e2e_support.simulated_people import GENERATE_OPTIONS
from e2e_support.stack import Stack, new_stack

# In tokens: about ten messages of `test_titles_and_summaries`.
CONTEXT_TOKENS = 1_000
# A micro-unit for a prompt token, ten for a token of a reply.
PRICE = "{currency: USD, prompt: 1000000, completion: 10000000}"
# Less than the longest reply, a quarter of the context, costs.
BUDGET = 2_000


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def stack(
    model_server: ModelServer, engine_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    models = tmp_path_factory.mktemp("small-models") / "models.yaml"
    models.write_text(
        f"models: [{{name: {MODEL}, base_url: '{model_server.url}', "
        f"context_size: {CONTEXT_TOKENS}, price: {PRICE}}}]"
    )
    limits = models.with_name("limits.yaml")
    limits.write_text(
        "limits: [{scope: limited, tokens_per_day: 1, requests_per_minute: 10000},"
        f"{{scope: budgeted, cost_per_day: {BUDGET}}}]"
    )
    settings = {
        "PARLEY_LIMITS_FILE": str(limits),
        "PARLEY_MODELS": str(models),
        "PARLEY_MODEL": MODEL,
        "PARLEY_INFERENCE_TITLES": "true",
        "PARLEY_INFERENCE_MAX_TURNS": "4",
        "PARLEY_SESSION_TURN_MAX_PERSON_SHARE": "0.5",
    }
    async with new_stack(engine_cache) as stack, stack.running("--tls", **settings):
        await stack.stdout_of("log", "generate", *GENERATE_OPTIONS, "--stack")
        yield stack
