"""What the start of `parley` imports."""

import subprocess
import sys


def test_arguments_are_parsed_without_the_modules_of_the_commands() -> None:
    script = (
        "import sys\n"
        "from parley_cli.main import build_parser\n"
        "build_parser().parse_args(['log', 'tail', '--since', '1h'])\n"
        "slow = {'pydantic', 'msgspec', 'jwt', 'cryptography', 'aiokafka', 'asyncpg', 'httpx2'}\n"
        "assert not slow & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
