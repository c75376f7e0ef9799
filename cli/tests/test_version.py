"""`parley --version`."""

from importlib.metadata import version

import pytest

from parley_cli.__main__ import main


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"parley {version('parley-cli')}\n"
