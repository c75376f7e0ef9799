"""Estimates how many tokens a text has, where neither a tokenizer nor a server counted them."""

from typing import Any

# English has about four bytes of UTF-8 a token, Chinese three.
_BYTES_PER_TOKEN = 4
_FEWEST_BYTES_PER_TOKEN = 3


def estimate_tokens(text_bytes: int, *, cautious: bool = False) -> int:
    """Return the estimated tokens of a text of so many UTF-8 bytes, rounded up.

    A `cautious` estimate errs on the high side, for deciding whether a text fits a limit.
    """
    bytes_per_token = _FEWEST_BYTES_PER_TOKEN if cautious else _BYTES_PER_TOKEN
    return -(-text_bytes // bytes_per_token)


def content_bytes(content: Any) -> int:
    """Bytes of the text of a chat message; an image's tokens do not depend on its bytes."""
    if isinstance(content, str):
        return len(content.encode(errors="surrogatepass"))
    if isinstance(content, list):
        return sum(content_bytes(part.get("text")) for part in content if isinstance(part, dict))
    return 0
