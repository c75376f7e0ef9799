"""A Secret as the kubelet mounts it."""

from pathlib import Path


class MountedSecret:
    """file -> ..data/file, and ..data -> a folder, which is another one after each change."""

    def __init__(self, folder: Path, content: str) -> None:
        """`folder` is made if it is missing."""
        folder.mkdir(exist_ok=True)
        self._folder, self._version = folder, 0
        self.path = folder / "secret"
        self.replace(content)
        self.path.symlink_to("..data/secret")

    def replace(self, content: str) -> None:
        self._version += 1
        version = self._folder / f"..{self._version}"
        version.mkdir()
        (version / "secret").write_text(content)
        (self._folder / "..new").symlink_to(version.name)
        (self._folder / "..new").rename(self._folder / "..data")
