"""Exceptions of the database, and those that mean that it is unavailable, as opposed to a bug."""

import asyncpg

DATABASE_UNAVAILABLE: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # Raised on a connection that was lost a moment ago.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    # A standby answers with it until it is promoted.
    asyncpg.ReadOnlySQLTransactionError,
)

DATABASE_ERRORS: tuple[type[Exception], ...] = (*DATABASE_UNAVAILABLE, asyncpg.PostgresError)
