from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.text_files import MAX_BYTES
from parley_events.values import Price
from parley_inference.models.catalogue_file import read_catalogue, single_model_catalogue
from parley_inference.models.model_catalogue import ModelCatalogue, ServerLimits

LIMITS = ServerLimits(max_concurrency=100)
KEY = "sk-never-to-be-seen"
WHOLE = """
models:
  - name: large
    upstream_name: large-2026-11
    base_url: https://models.example.com/v1
    key_variable: LARGE_KEY
    context_size: 200000
    price: {currency: USD, prompt: 400000, completion: 1600000}
  - {name: local, base_url: "http://127.0.0.1:8000/v1", context_size: 8192}
"""


Read = Callable[..., ModelCatalogue]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: str | bytes, environment: Mapping[str, str] | None = None) -> ModelCatalogue:
        file = tmp_path / "models.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_catalogue(file, (environment or {}).get, LIMITS)

    return read


def test_a_file_defines_models_with_server_and_price(read: Read) -> None:
    catalogue = read(WHOLE, {"LARGE_KEY": KEY})
    large, local = catalogue
    assert catalogue.get("large") is large
    assert (large.upstream_name, large.key) == ("large-2026-11", KEY)
    assert large.price == Price(currency="USD", prompt=400_000, completion=1_600_000)
    assert (local.upstream_name, local.key, local.price) == ("local", None, None)
    assert local.context_size == 8192
    assert catalogue.get("other") is None


def test_the_prompt_budget_is_the_context_less_the_reply(read: Read) -> None:
    sizes = ", ".join(
        f"{{name: m{n}, base_url: 'http://a', context_size: {size}{more}}}"
        for n, (size, more) in enumerate(
            [(1_000, ""), (200_000, ""), (1_000, ", reply_tokens: 100")]
        )
    )
    catalogue = read(f"models: [{sizes}]")
    assert catalogue.prompt_budgets == {"m0": 750, "m1": 200_000 - 16_384, "m2": 900}
    assert [model.reply_tokens for model in catalogue] == [None, None, 100]


SERVERS = """
servers:
  - {base_url: "http://a", max_concurrency: 3, wait_seconds: 0.5, first_token_seconds: 120}
models:
  - {name: a, base_url: "http://a", context_size: 8000, fallbacks: [c, b]}
  - {name: b, base_url: "http://b", context_size: 800}
  - {name: c, base_url: "http://b", context_size: 80, fallbacks: [a]}
"""


def test_a_server_entry_overrides_the_default_limits(read: Read) -> None:
    a, b, _ = read(SERVERS)
    assert a.limits == LIMITS.model_copy(
        update={"max_concurrency": 3, "wait_seconds": 0.5, "first_token_seconds": 120}
    )
    assert b.limits == LIMITS


def test_fallbacks_without_room_for_the_prompt_are_skipped(read: Read) -> None:
    catalogue = read(SERVERS)
    a, b, c = catalogue
    assert catalogue.candidates(a, 60) == [a, c, b]
    assert catalogue.candidates(a, 61) == [a, b]
    assert catalogue.candidates(a, 6_000) == [a]
    assert catalogue.candidates(c, 6_001) == [c]


def test_the_repr_of_a_model_hides_its_key(read: Read) -> None:
    [large, _] = read(WHOLE, {"LARGE_KEY": KEY})
    assert KEY not in repr(large)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "Expected `object`"),
        ("models: []", "it has no models"),
        ("models: [{name: a}]", "missing required field `base_url`"),
        ("models: [{name: a, base_url: 'http://a', context_size: many}]", "Expected `int`"),
        ("models: [{name: a, base_url: 'http://a', context_size: 0}]", "`int` >= 1"),
        ("models: [{name: a, base_url: 'http://a', context_size: 1, key: b}]", "field `key`"),
        (
            "models: [{name: a, base_url: 'http://a', context_size: 9, reply_tokens: 9}]",
            "reply_tokens of a should be less",
        ),
        ("models: [{name: a, base_url: 'ftp://a', context_size: 1}]", "base_url of a should be"),
        ("models: [{name: a, base_url: 'http://', context_size: 1}]", "base_url of a should be"),
        ("models: [{name: a, base_url: 'http://me:pw@a', context_size: 1}]", "without a password"),
        ("models: [{name: '', base_url: 'http://a', context_size: 1}]", "length >= 1"),
        ("models:\n  - [", "it is not valid YAML (line"),
        (b"\xff", "it is not valid YAML"),
        (b"#" * (MAX_BYTES + 1), "it is over"),
        (
            "models:\n"
            "  - {name: a, base_url: 'http://a', context_size: 1}\n"
            "  - {name: a, base_url: 'http://b', context_size: 1}",
            "two models have the same name",
        ),
        (
            "models:\n"
            "  - {name: a, base_url: 'http://a', context_size: 1,"
            " price: {currency: dollars, prompt: 1, completion: 1}}",
            "^[A-Z]{3}$",
        ),
        (SERVERS.replace("[c, b]", "[d]"), "fallbacks of a should be names of models"),
        (SERVERS.replace("[c, b]", "[b, b]"), "every other model at most once"),
        (SERVERS.replace("[c, b]", "[a]"), "every other model at most once"),
        (
            SERVERS.replace('"http://a", max', '"http://c", max'),
            "is used by no model",
        ),
        (SERVERS.replace("models:", '  - {base_url: "http://a"}\nmodels:'), "the same base_url"),
        (SERVERS.replace("max_concurrency: 3", "max_concurrency: 0"), "`int` >= 1"),
        (SERVERS.replace("0.5", "0"), "`float` > 0"),
    ],
)
def test_an_invalid_file_is_rejected_with_the_reason(read: Read, content: str, reason: str) -> None:
    with pytest.raises(InvalidSettings) as error:
        read(content)
    assert str(error.value).startswith("PARLEY_INFERENCE_MODELS_PATH is wrong: ")
    assert reason in str(error.value)


def test_a_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_catalogue(tmp_path / "none.yaml", lambda _: None, LIMITS)


def test_an_unset_key_variable_is_named_with_its_model(read: Read) -> None:
    with pytest.raises(InvalidSettings, match=r"LARGE_KEY is not set.*the model large"):
        read(WHOLE)


def test_without_a_file_the_catalogue_has_one_model() -> None:
    [model] = single_model_catalogue(
        LIMITS, base_url="http://127.0.0.1:8090/v1", key=None, model="demo"
    )
    assert (model.name, model.upstream_name, model.key) == ("demo", "demo", None)


@pytest.mark.parametrize("model", [None, ""])
def test_without_a_file_a_model_is_required(model: str | None) -> None:
    with pytest.raises(
        InvalidSettings, match=r"PARLEY_MODEL is not set.*PARLEY_INFERENCE_MODELS_PATH"
    ):
        single_model_catalogue(LIMITS, base_url="http://a/v1", key=None, model=model)


def test_an_invalid_base_url_is_rejected_without_quoting_it() -> None:
    with pytest.raises(InvalidSettings) as error:
        single_model_catalogue(LIMITS, base_url=f"https://{KEY}@a/v1", key=None, model="demo")
    assert str(error.value).startswith("OPENAI_BASE_URL is wrong.")
    assert KEY not in str(error.value)
