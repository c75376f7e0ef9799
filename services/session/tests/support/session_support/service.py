"""The session service in this process, and a client of it."""

import base64
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch

from parley_core.crypto.master_keys import MasterKeys
from parley_core.runtime.settings import setting_fields
from parley_session import app, wiring
from parley_session.app import create_app
from parley_session.key_management.keyring import Keyring
from parley_session.relay.relay import RelayLimits
from parley_session.settings import SessionSettings
from parley_testing.peers import SERVICE_KEYS
from parley_testing.serving import client_session, serving
from session_support.client import Client

MASTER_KEY = "k1:" + base64.b64encode(b"m" * 32).decode()
# Nothing listens there: most tests need no log.
NO_KAFKA = "127.0.0.1:1"


def keyring_of(setting: str = MASTER_KEY) -> Keyring:
    """A keyring of local master keys."""
    return Keyring(MasterKeys.parse(setting))


@dataclass
class Service(Client):
    settings: SessionSettings


@asynccontextmanager
async def serve_session(database: str, **given: Any) -> AsyncIterator[Service]:
    """Lower-case names are settings, such as `session_database_url`; others are constants."""
    constants = {"RELAY_LIMITS": RelayLimits(publish_timeout_seconds=2)} | {
        name: value for name, value in given.items() if name.isupper()
    }
    settings = session_settings(
        session_database_url=database,
        **{name: value for name, value in given.items() if not name.isupper()},
    )
    with ExitStack() as patches:
        for name, value in constants.items():
            patches.enter_context(patch.object(_module_with(name), name, value))
        async with serving(create_app(settings)) as served, client_session() as http:
            yield Service(served.url, http, settings)


def session_settings(**given: Any) -> SessionSettings:
    """Settings by the names of their variables, in lower case and without `PARLEY_`."""
    values = {
        "kafka_bootstrap_servers": NO_KAFKA,
        "service_keys": SERVICE_KEYS,
        "master_key": MASTER_KEY,
        "session_default_model": "demo",
    } | given
    nested: dict[str, Any] = {}
    for setting in setting_fields(SessionSettings):
        name = setting.variable.removeprefix("PARLEY_").lower()
        if name in values:
            *groups, field = setting.path
            group = nested
            for each in groups:
                group = group.setdefault(each, {})
            group[field] = values.pop(name)
    assert not values, f"unknown settings: {[*values]}"
    return SessionSettings(**nested)


def _module_with(constant: str) -> ModuleType:
    return wiring if hasattr(wiring, constant) else app
