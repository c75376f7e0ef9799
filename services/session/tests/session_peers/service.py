"""A running session process (in this one), and a client of it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from parley_session.app import create_app
from parley_session.settings import SessionSettings
from parley_testing.peers import SECRET
from parley_testing.serving import client_session, serving
from session_peers.client import Client

MASTER_KEY = "k1:" + base64.b64encode(b"m" * 32).decode()
# Where nothing listens: most tests need no log.
NO_KAFKA = "127.0.0.1:1"


@dataclass
class Service(Client):
    settings: SessionSettings


@asynccontextmanager
async def serve_session(database: str, **settings: Any) -> AsyncIterator[Service]:
    given = {
        "session_database": database,
        "kafka": NO_KAFKA,
        "internal_secret": SECRET,
        "master_key": MASTER_KEY,
        "model": "demo",
        "relay_publish_seconds": 2,
    }
    read = SessionSettings(**given | settings)
    async with serving(create_app(read)) as served, client_session() as http:
        yield Service(served.url, http, read)
