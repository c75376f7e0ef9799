from pathlib import Path

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_core.runtime.yaml_file import MAX_BYTES
from parley_events.values import Price
from parley_inference.models.catalogue_file import default_catalogue, read_catalogue
from parley_inference.models.model_catalogue import ServerLimits

LIMITS = ServerLimits(100, 5, 5, 60, 30, 600)
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


@pytest.fixture
def read(tmp_path: Path):
    def read(content, environment=None):
        file = tmp_path / "models.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_catalogue(file, (environment or {}).get, LIMITS)

    return read


def test_a_file_names_models_their_servers_and_their_prices(read):
    catalogue = read(WHOLE, {"LARGE_KEY": KEY})
    large, local = catalogue
    assert catalogue.get("large") is large
    assert (large.upstream_name, large.key) == ("large-2026-11", KEY)
    assert large.price == Price(currency="USD", prompt=400_000, completion=1_600_000)
    assert (local.upstream_name, local.key, local.price) == ("local", None, None)
    assert local.context_size == 8192
    assert catalogue.get("other") is None


def test_a_prompt_may_have_what_a_reply_leaves_of_the_context(read):
    sizes = ", ".join(
        f"{{name: m{n}, base_url: 'http://a', context_size: {size}{more}}}"
        for n, (size, more) in enumerate(
            [(1_000, ""), (200_000, ""), (1_000, ", reply_tokens: 100")]
        )
    )
    catalogue = read(f"models: [{sizes}]")
    assert catalogue.budgets == {"m0": 750, "m1": 200_000 - 16_384, "m2": 900}
    assert [model.reply_tokens for model in catalogue] == [None, None, 100]


SERVERS = """
servers:
  - {base_url: "http://a", at_once: 3, wait_seconds: 0.5, first_token_seconds: 120}
models:
  - {name: a, base_url: "http://a", context_size: 8000, fallbacks: [c, b]}
  - {name: b, base_url: "http://b", context_size: 800}
  - {name: c, base_url: "http://b", context_size: 80, fallbacks: [a]}
"""


def test_a_server_may_have_limits_of_its_own(read):
    a, b, _ = read(SERVERS)
    assert a.limits == ServerLimits(3, 0.5, 5, 120, 30, 600)
    assert b.limits == LIMITS


def test_fallbacks_follow_their_model_where_the_prompt_has_room(read):
    catalogue = read(SERVERS)
    a, b, c = catalogue
    assert catalogue.line(a, 60) == [a, c, b]
    assert catalogue.line(a, 61) == [a, b]
    assert catalogue.line(a, 6_000) == [a]
    assert catalogue.line(c, 6_001) == [c]


def test_a_key_is_not_shown(read):
    [large, _] = read(WHOLE, {"LARGE_KEY": KEY})
    assert KEY not in repr(large)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Expected `object`"),
        ("models: []", "it names no model"),
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
        ("models:\n  - [", "it is no YAML (line"),
        (b"\xff", "it is no YAML"),
        (b"#" * (MAX_BYTES + 1), "it is over"),
        (
            "models:\n"
            "  - {name: a, base_url: 'http://a', context_size: 1}\n"
            "  - {name: a, base_url: 'http://b', context_size: 1}",
            "two of its models have the same name",
        ),
        (
            "models:\n"
            "  - {name: a, base_url: 'http://a', context_size: 1,"
            " price: {currency: dollars, prompt: 1, completion: 1}}",
            "^[A-Z]{3}$",
        ),
        (SERVERS.replace("[c, b]", "[d]"), "fallbacks of a should be names of its models"),
        (SERVERS.replace("[c, b]", "[b, b]"), "each other model once at most"),
        (SERVERS.replace("[c, b]", "[a]"), "each other model once at most"),
        (SERVERS.replace('"http://a", at', '"http://c", at'), "a base_url that none of its models"),
        (SERVERS.replace("models:", '  - {base_url: "http://a"}\nmodels:'), "the same base_url"),
        (SERVERS.replace("at_once: 3", "at_once: 0"), "`int` >= 1"),
        (SERVERS.replace("0.5", "0"), "`float` > 0"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(read, content, why):
    with pytest.raises(InvalidSettings) as wrong:
        read(content)
    assert str(wrong.value).startswith("PARLEY_MODELS is wrong: ")
    assert why in str(wrong.value)


def test_a_file_that_is_not_there_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InvalidSettings, match="cannot be read"):
        read_catalogue(tmp_path / "none.yaml", {}.get, LIMITS)


def test_a_key_variable_that_is_not_set_is_named_with_its_model(read):
    with pytest.raises(InvalidSettings, match=r"LARGE_KEY is not set.*the model large"):
        read(WHOLE)


def test_without_a_file_there_is_one_model():
    [model] = default_catalogue(LIMITS, base_url="http://127.0.0.1:8090/v1", key=None, model="demo")
    assert (model.name, model.upstream_name, model.key) == ("demo", "demo", None)


@pytest.mark.parametrize("model", [None, ""])
def test_without_a_file_and_without_a_model_the_start_is_refused(model):
    with pytest.raises(InvalidSettings, match=r"PARLEY_MODEL is not set.*PARLEY_MODELS"):
        default_catalogue(LIMITS, base_url="http://a/v1", key=None, model=model)


def test_a_base_url_that_is_none_is_refused_without_repeating_it():
    with pytest.raises(InvalidSettings) as wrong:
        default_catalogue(LIMITS, base_url=f"https://{KEY}@a/v1", key=None, model="demo")
    assert str(wrong.value).startswith("OPENAI_BASE_URL is wrong.")
    assert KEY not in str(wrong.value)
