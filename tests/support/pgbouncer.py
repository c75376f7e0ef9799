"""PgBouncer in transaction mode, from Debian's package, with or without TLS."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from parley_cli.engines import free_port
from parley_cli.engines.health_probes import accepts_connections
from parley_cli.tls.local_authority import IssuedCertificate
from parley_testing.eventually import eventually
from tools.debian_packages import find_program, library_path

_PACKAGES = ("pgbouncer", "libevent-2.1-7", "libc-ares2")
# Two server connections, so that the transactions of a client change from one to the other.
_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
logfile = {folder}/log
"""
_TLS = """
client_tls_sslmode = require
client_tls_cert_file = {folder}/certificate.pem
client_tls_key_file = {folder}/key.pem
"""


@asynccontextmanager
async def pgbouncer(
    database: str, certificate: IssuedCertificate | None = None
) -> AsyncIterator[str]:
    """Run PgBouncer within the block; yields the URL of `database` through it.

    With a certificate it accepts only TLS.
    """
    program = await asyncio.to_thread(find_program, "pgbouncer", _PACKAGES)
    assert program, "PgBouncer is neither on the PATH nor a package of this machine"
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *_command(program, _configuration(Path(folder), urlsplit(database), port, certificate)),
            env=os.environ | library_path(program),
        )
        try:
            await eventually(lambda: accepts_connections(f"127.0.0.1:{port}"))
            url = urlsplit(database)
            yield url._replace(netloc=f"{url.username}@127.0.0.1:{port}", query="").geturl()
        finally:
            process.kill()
            await process.wait()


def _configuration(
    folder: Path, database: SplitResult, port: int, certificate: IssuedCertificate | None
) -> Path:
    configuration = folder / "pgbouncer.ini"
    if certificate:
        (folder / "certificate.pem").write_text(certificate.certificate)
        (folder / "key.pem").write_text(certificate.key)
    configuration.write_text(
        (_CONFIGURATION + _TLS * bool(certificate)).format(
            host=database.hostname,
            port=database.port,
            user=database.username,
            password=database.password or "",
            listen_port=port,
            folder=folder,
        )
    )
    folder.chmod(0o777)
    return configuration


def _command(program: Path, configuration: Path) -> list[str | Path]:
    # It refuses to run as root, and opens its log as the user that it becomes.
    user = ("-u", "nobody") if os.geteuid() == 0 else ()
    return [program, "-q", *user, configuration]
