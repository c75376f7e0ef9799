"""Prices of models, what a reply may cost at most, and files that budgets cannot use."""

from pathlib import Path

import pytest

from parley_core.http.errors import NotFound
from parley_core.limits.rules import LimitRule, LimitRules
from parley_core.runtime.settings import InvalidSettings
from parley_events.values import Price, Usage
from parley_session.application.model_prices import ModelPrices, read_model_prices
from parley_session.storage.append.counted_usage import cost_of

BUDGET = LimitRules([LimitRule({"cost_per_day": 1})])
MODELS = """
servers: [{base_url: 'http://x', max_concurrency: 5}]
models:
  - {name: large, base_url: 'http://x', context_size: 100000, reply_tokens: 4000,
     price: {currency: USD, prompt: 3, completion: 10}, fallbacks: [small, long]}
  - {name: small, base_url: 'http://x', key_variable: KEY, context_size: 8000,
     price: {currency: USD, prompt: 1, completion: 11}}
  - {name: long, base_url: 'http://x', context_size: 100000,
     price: {currency: USD, prompt: 9007199254740992, completion: 0}}
"""


def read(tmp_path: Path, text: str, rules: LimitRules = BUDGET) -> ModelPrices:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    return read_model_prices(path, rules)


def test_a_reply_costs_at_most_its_prompt_and_the_longest_reply(tmp_path: Path) -> None:
    prices = read(tmp_path, MODELS)
    assert prices.currency == "USD"
    # A quarter of the context, where the model's entry has no limit.
    assert prices.highest_cost("small", 100, None) == 100 + 2_000 * 11
    assert prices.highest_cost("small", 100, 50) == 100 + 50 * 11
    assert prices.highest_cost("small", 100, 5_000) == 100 + 5_000 * 11
    assert prices.highest_cost("small", 0, 10**9) == 8_000 * 11
    assert prices.highest_cost("small", 100, 50, choices=3) == 100 + 150 * 11


def test_the_dearest_of_a_model_and_its_fallbacks_counts(tmp_path: Path) -> None:
    prices = read(tmp_path, MODELS.replace("[small, long]", "[small]"))
    assert prices.highest_cost("large", 1_000, None) == 3_000 + 4_000 * 10
    assert prices.highest_cost("large", 10, 100) == 10 + 100 * 11


def test_costs_are_exact_beyond_what_a_float_can_represent(tmp_path: Path) -> None:
    prices = read(tmp_path, MODELS)
    assert prices.highest_cost("long", 2**31 - 1, 1) == (2**31 - 1) * 2**53
    usage = Usage(prompt_tokens=3, completion_tokens=2**31 - 1)
    price = Price(currency="USD", prompt=1, completion=2**53 - 1)
    assert cost_of(usage, price) == 3 + (2**31 - 1) * (2**53 - 1)
    assert cost_of(usage, None) == cost_of(None, price) == 0


def test_the_cost_of_an_unknown_model_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read(tmp_path, MODELS).highest_cost("other", 1, 1)


def test_without_a_budget_no_prices_are_needed(tmp_path: Path) -> None:
    rules = LimitRules([LimitRule({"tokens_per_day": 1})])
    assert read_model_prices(None, rules).currency == ""
    assert read(tmp_path, "nonsense", rules).currency == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MODELS.replace("price: {currency: USD, prompt: 1, completion: 11}", ""), "small"),
        (MODELS.replace("USD, prompt: 1", "EUR, prompt: 1"), "EUR and USD"),
        (MODELS.replace("prompt: 1,", "prompt: -1,"), "line 7"),
        (MODELS.replace("prompt: 1,", "prompt: 0.5,"), "line 7"),
        (MODELS.replace("[small, long]", "[other]"), "fallback"),
        ("models: []", "no models"),
        ("models: 1", "line 1"),
    ],
)
def test_prices_that_budgets_cannot_use_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"^PARLEY_SESSION_MODELS_PATH is wrong: .*{reason}"):
        read(tmp_path, text)


def test_budgets_without_prices_are_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"^PARLEY_SESSION_MODELS_PATH is not set"):
        read_model_prices(None, BUDGET)
