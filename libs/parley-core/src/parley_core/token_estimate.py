"""Estimates how many tokens a text has, where neither a tokenizer nor a server counted them."""

# English has about four bytes of UTF-8 a token, Chinese three.
_BYTES_PER_TOKEN = 4
_FEWEST_BYTES_PER_TOKEN = 3


def estimate_tokens(text_bytes: int, *, cautious: bool = False) -> int:
    """Return the estimated tokens of a text of so many UTF-8 bytes, rounded up.

    A `cautious` estimate errs on the high side, for deciding whether a text fits a limit.
    """
    bytes_per_token = _FEWEST_BYTES_PER_TOKEN if cautious else _BYTES_PER_TOKEN
    return -(-text_bytes // bytes_per_token)
