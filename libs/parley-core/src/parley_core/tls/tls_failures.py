"""Reasons of TLS failures, for the log: callers learn only that the service is unavailable."""

import logging
import ssl
from time import monotonic

_LOG_INTERVAL_SECONDS = 60.0

_log = logging.getLogger(__name__)


class TlsFailureLog:
    """Logs a line a minute at most: every call fails until somebody corrects a certificate."""

    def __init__(self, callee: str) -> None:
        self._callee, self._next_log = callee, 0.0

    def report(self, error: BaseException | None) -> None:
        """Log the reason if TLS failed.

        Why a server refuses a certificate is only in the log of that server.
        """
        reason = reason_of(error)
        if reason is not None and (now := monotonic()) >= self._next_log:
            self._next_log = now + _LOG_INTERVAL_SECONDS
            _log.error("TLS with the %s service fails: %s", self._callee, reason)


def reason_of(error: BaseException | None) -> str | None:
    """Why TLS failed; None if neither the error nor one that caused it is of TLS."""
    while error is not None:
        # Errors of aiohttp are of these classes too, but only their causes have the reason.
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "verify_message", None) or getattr(error, "reason", None)
            if reason:
                return str(reason)
        error = error.__cause__ or error.__context__
    return None
