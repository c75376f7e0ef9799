"""`parley keys signing`: makes the signing keys of a deployment, in files for its operator."""

import json
from pathlib import Path

from parley_cli.engines.private_file import write_private
from parley_cli.errors import CommandError
from parley_cli.stack.secret_store import SERVICE_KEYS, key_set
from parley_core.auth.service_keys import (
    CALLING_SERVICES,
    ServiceKeys,
    SigningKey,
    generate_signing_key,
)


def make_signing_keys(folder: Path, service: str | None) -> int:
    """Make a key of each service, or another one of `service`. Raises CommandError."""
    public = folder / f"{SERVICE_KEYS}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if service is None:
            _make_all(folder, public)
        else:
            _add(folder, public, service)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written ({error.strerror}).") from None
    return 0


def _make_all(folder: Path, public: Path) -> None:
    if public.exists():
        raise CommandError(f"{public} exists: --next SERVICE makes another key of a service.")
    keys = [generate_signing_key(service, 1) for service in CALLING_SERVICES]
    for key in keys:
        _write(folder, key)
    write_private(public, key_set(keys))
    print(public)


def _add(folder: Path, public: Path, service: str) -> None:
    if not public.exists():
        raise CommandError(f"{public} is missing: without --next, keys of all services are made.")
    try:
        text = public.read_text()
        known = ServiceKeys.parse(text).by_id
    except ValueError as invalid:
        raise CommandError(f"{public} is wrong: {invalid}.") from None
    numbers = [int(id.rpartition("-")[2]) for id in known if id.startswith(f"{service}-")]
    key = _next_key(folder, service, max(numbers, default=0) + 1)
    keys = [*json.loads(text)["keys"], key.public_jwk()]
    write_private(public, json.dumps({"keys": keys}, indent=1) + "\n")
    print(public)


def _next_key(folder: Path, service: str, number: int) -> SigningKey:
    """A new key, or that of a run which ended before it wrote the set of public keys."""
    path = folder / f"{service}-{number}.jwk"
    if not path.exists():
        key = generate_signing_key(service, number)
        _write(folder, key)
        return key
    try:
        key = SigningKey.parse(path.read_text())
    except ValueError as invalid:
        raise CommandError(f"{path} is wrong: {invalid}.") from None
    if key.id != path.stem:
        raise CommandError(f"{path} is wrong: it has the key {key.id}.")
    print(path)
    return key


def _write(folder: Path, key: SigningKey) -> None:
    path = folder / f"{key.id}.jwk"
    if path.exists():
        raise CommandError(f"{path} exists: choose another folder.")
    write_private(path, json.dumps(key.to_jwk()) + "\n")
    print(path)
