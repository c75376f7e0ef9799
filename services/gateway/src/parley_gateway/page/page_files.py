"""Files of the built chat page, held in memory with their compressed forms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

INDEX = "index.html"
# A wheel of the gateway contains the built page; a checkout does not.
PACKAGED = Path(__file__).with_name("dist")
ASSETS = "assets/"
# Compressed by the build; the order is that of preference.
SUFFIX_BY_CODING = {"br": ".br", "gzip": ".gz"}
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """`bodies` has one body for each content coding, `identity` among them."""

    media_type: str
    digest: str
    is_immutable: bool
    bodies: Mapping[str, bytes]


class PageFiles:
    """The files by path, such as `index.html` or `assets/index-4f1c.js`.

    Read when the first one is requested and the folder exists: `parley up --build-page` builds the
    page while the gateway serves already, and publishes the folder complete.
    """

    def __init__(self, folder: Path | None) -> None:
        """Without a folder, the files of the package, if it has any."""
        self._folder = folder or (PACKAGED if PACKAGED.is_dir() else None)
        self._files: Mapping[str, PageFile] = {}

    @property
    def is_expected(self) -> bool:
        """Whether a folder is configured, which may not be built yet."""
        return self._folder is not None

    def find(self, path: str) -> PageFile | None:
        if not self._files and self._folder is not None and (self._folder / INDEX).is_file():
            self._files = dict(_read(self._folder))
        return self._files.get(path)

    @property
    def build(self) -> str | None:
        """A name of the build, which changes with every file of it."""
        index = self.find(INDEX)
        return index.digest if index else None


def _read(folder: Path) -> Iterator[tuple[str, PageFile]]:
    for file in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(file.suffix)
        if media_type is None or not file.is_file():
            continue  # Source maps and the manifest are not served.
        path = file.relative_to(folder).as_posix()
        bodies = {"identity": file.read_bytes()}
        for coding, suffix in SUFFIX_BY_CODING.items():
            compressed = file.with_name(file.name + suffix)
            if compressed.is_file():
                bodies[coding] = compressed.read_bytes()
        digest = sha256(bodies["identity"]).hexdigest()[:16]
        yield path, PageFile(media_type, digest, path.startswith(ASSETS), bodies)
