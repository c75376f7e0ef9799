"""How clients reach the embedded engines of a running stack."""

from pathlib import Path

from parley_cli.engines import KafkaAccess, redis_url
from parley_cli.stack.certificates import StackCertificates
from parley_cli.stack.secret_store import KAFKA_PASSWORD, REDIS_PASSWORD, SecretStore
from parley_cli.stack.state_file import RunningProcess, RunningStack


def embedded_kafka(data: Path, stack: RunningStack | None, address: str) -> KafkaAccess:
    """Raises SecretLost."""
    has_tls = stack is not None and stack.has_tls
    authority_file = StackCertificates(data).authority_file if has_tls else None
    return KafkaAccess(address, SecretStore(data).existing(KAFKA_PASSWORD), authority_file)


def embedded_redis_url(data: Path, redis: RunningProcess) -> str:
    """Raises SecretLost."""
    return redis_url(redis.address, SecretStore(data).existing(REDIS_PASSWORD))
