"""Logs unexpected exceptions without their message, which may contain user content."""

import logging
import traceback


def log_unexpected_error(log: logging.Logger, what: str, error: BaseException) -> None:
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s: %s\n%s", what, type(error).__name__, frames)
