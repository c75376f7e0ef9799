"""Looks for secrets in the files of the repository, by the patterns of detect-secrets.

Run `python -m tools.secret_scan`, or `make check`. It finds what has a form of its own: private
keys, and tokens and keys of common services. It does not guess by entropy or by names such as
`password`, which the tests are full of.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

DETECTORS: tuple[type[RegexBasedDetector], ...] = (
    *(AWSKeyDetector, AzureStorageKeyDetector, GitHubTokenDetector, GitLabTokenDetector),
    *(JwtTokenDetector, NpmDetector, OpenAIDetector, PrivateKeyDetector, PypiTokenDetector),
    *(SendGridDetector, SlackDetector, StripeDetector, TwilioKeyDetector),
)
# The ticket of the API's examples: its signature is the text `sig`.
EXAMPLES = ("eyJhbGciOiJIUzI1NiJ9.e30.",)


class Finding(NamedTuple):
    line: int
    kind: str


def main() -> int:
    listed = subprocess.check_output(("git", "ls-files", "-z"))  # noqa: S607 - of the developer
    found = 0
    for name in listed.decode().split("\0")[:-1]:
        path = Path(name)
        if path.is_symlink() or not path.is_file():
            continue
        for line, kind in secrets_in(path.read_text("utf-8", errors="replace")):
            found += 1
            # Not the secret itself: this output may be public.
            print(f"{path}:{line}: looks like a secret: {kind}", file=sys.stderr)
    if found:
        print("Remove and revoke it; it stays in the history of the repository.", file=sys.stderr)
    return 1 if found else 0


def secrets_in(text: str) -> Iterator[Finding]:
    for detector in _DETECTORS:
        for pattern in detector.denylist:
            for match in pattern.finditer(text):
                if match[0] not in EXAMPLES:
                    yield Finding(text.count("\n", 0, match.start()) + 1, detector.secret_type)


_DETECTORS = [detector() for detector in DETECTORS]


if __name__ == "__main__":
    sys.exit(main())
