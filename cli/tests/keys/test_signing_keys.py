"""`parley keys signing`: keys of a deployment, and the next key of one service."""

import stat
from pathlib import Path

import pytest

from parley_cli.__main__ import main
from parley_core.auth.service_keys import CALLING_SERVICES, ServiceKeys, SigningKey


def test_each_service_gets_a_private_key_and_all_of_them_a_set_of_public_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"
    assert main(["keys", "signing", "--to", str(folder)]) == 0
    names = [f"{service}-1" for service in CALLING_SERVICES]
    keys = [SigningKey.parse((folder / f"{name}.jwk").read_text()) for name in names]
    public = (folder / "service-keys.json").read_text()
    assert [*ServiceKeys.parse(public).by_id] == [key.id for key in keys] == names
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    output = capsys.readouterr().out
    assert output.split() == [str(folder / f"{n}.jwk") for n in names] + [
        str(folder / "service-keys.json")
    ]
    assert not any(key.to_jwk()["d"] in output + public for key in keys)


def test_the_next_key_of_a_service_stands_beside_the_first(tmp_path: Path) -> None:
    main(["keys", "signing", "--to", str(tmp_path)])
    first = (tmp_path / "gateway-1.jwk").read_text()
    assert main(["keys", "signing", "--to", str(tmp_path), "--next", "gateway"]) == 0
    public = ServiceKeys.parse((tmp_path / "service-keys.json").read_text())
    assert [*public.by_id][-1] == "gateway-2"
    assert {"gateway-1", "inference-1"} < {*public.by_id}
    assert SigningKey.parse((tmp_path / "gateway-2.jwk").read_text()).id == "gateway-2"
    assert (tmp_path / "gateway-1.jwk").read_text() == first


def test_a_run_that_ended_between_its_two_files_is_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["keys", "signing", "--to", str(tmp_path)])
    public = tmp_path / "service-keys.json"
    before = public.read_text()
    more = ["keys", "signing", "--to", str(tmp_path), "--next", "gateway"]
    main(more)
    written, private = public.read_text(), (tmp_path / "gateway-2.jwk").read_text()
    public.write_text(before)
    assert main(more) == 0
    assert public.read_text() == written
    assert (tmp_path / "gateway-2.jwk").read_text() == private
    public.write_text(before)
    for wrong in ("{}", (tmp_path / "inference-1.jwk").read_text()):
        (tmp_path / "gateway-2.jwk").write_text(wrong)
        assert main(more) == 1
        assert "gateway-2.jwk is wrong" in capsys.readouterr().err
    assert public.read_text() == before


@pytest.mark.parametrize(
    ("files", "more", "sentence"),
    [
        ({"service-keys.json": "{}"}, [], "exists: --next SERVICE"),
        ({"gateway-1.jwk": "{}"}, [], "exists: choose another folder"),
        ({}, ["--next", "gateway"], "is missing: without --next"),
        ({"service-keys.json": "{}"}, ["--next", "gateway"], "is wrong: it should be a JSON Web"),
    ],
)
def test_nothing_is_overwritten(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    more: list[str],
    sentence: str,
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert main(["keys", "signing", "--to", str(tmp_path), *more]) == 1
    assert sentence in capsys.readouterr().err
    for name, text in files.items():
        assert (tmp_path / name).read_text() == text


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["keys", "signing", "--to", str(tmp_path / "file" / "keys")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_next_key_of_an_unknown_service_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "signing", "--to", str(tmp_path), "--next", "session"])
    assert "expected one of gateway, inference, history, cli" in capsys.readouterr().err
