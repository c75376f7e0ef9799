"""Redis with TLS, from Debian's package: that of PyPI is built without."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_cli.engines import free_port
from parley_cli.engines.health_probes import accepts_connections
from parley_cli.tls.local_authority import IssuedCertificate
from parley_testing.eventually import eventually
from tools.debian_packages import find_program, library_path

_PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")
PASSWORD = "a-password-of-the-tests"


@asynccontextmanager
async def redis_with_tls(certificate: IssuedCertificate) -> AsyncIterator[str]:
    """Run Redis within the block, which accepts only TLS; yields its `host:port`."""
    program = await asyncio.to_thread(find_program, "redis-server", _PACKAGES)
    assert program, "Redis is neither on the PATH nor a package of this machine"
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "certificate.pem").write_text(certificate.certificate)
        (folder / "key.pem").write_text(certificate.key)
        options = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", "certificate.pem", "--tls-key-file", "key.pem"]
        options += ["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
        process = await asyncio.create_subprocess_exec(
            program, *options, cwd=folder, env=os.environ | library_path(program)
        )
        try:
            await eventually(lambda: accepts_connections(f"127.0.0.1:{port}"))
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            await process.wait()
