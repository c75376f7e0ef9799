"""Form of the URL of a Postgres database."""

import re
from urllib.parse import urlsplit

PORT = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]\d{4}|[1-9]\d{0,3})"
_HOST = re.compile(rf"(\[[0-9A-Fa-f:.]+\]|[^][:]*)(:{PORT})?")


def check_database_url(url: str) -> str:
    """Return the URL; raises ValueError, which never repeats its password."""
    # Validated here because the error of a client that cannot parse the URL may quote its password.
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    options = parts.query.split("&") if parts.query else []
    if (
        parts.scheme not in ("postgresql", "postgres")
        or not all(_HOST.fullmatch(host) for host in hosts)
        or not all("=" in option for option in options)
        or "@" in parts.path
        or parts.fragment
    ):
        raise ValueError(
            "it should be a URL such as postgresql://user:password@host:5432/database, "
            "in which a password's own / ? # @ and % are written as %2F %3F %23 %40 and %25"
        )
    return url
