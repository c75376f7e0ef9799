"""An object store in memory that speaks as much of the S3 API as pyarrow needs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LIST = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>logs</Name>'
    "<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
)
STARTED = (
    "<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
)
DENIED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class ObjectStore:
    """`refuses` makes every request fail with 403."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.refuses = False
        self.address = ""

    def url(self, prefix: str) -> str:
        return f"s3://logs/{prefix}?endpoint_override={self.address}&scheme=http&region=us-east-1"


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    store = ObjectStore()

    class Handler(_Handler):
        objects = store

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    objects: ObjectStore
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        key, query = self._target()
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            found = [each for each in sorted(self.objects.objects) if each.startswith(prefix)]
            contents = "".join(
                f"<Contents><Key>{each}</Key><Size>{len(self.objects.objects[each])}</Size>"
                "<LastModified>2026-11-24T12:00:00.000Z</LastModified></Contents>"
                for each in found
            )
            self._answer(200, LIST.format(contents=contents).encode())
        else:
            self._object(key)

    def do_HEAD(self) -> None:
        key, _ = self._target()
        if key:
            self._object(key)
        else:
            self._answer(200, b"")

    def do_PUT(self) -> None:
        key, query = self._target()
        content = self._body()
        if "partNumber" in query:
            upload = query["uploadId"][0]
            self.objects.parts[upload][int(query["partNumber"][0])] = content
        elif not self.objects.refuses:
            self.objects.objects[key] = content
        self._answer(200, b"")

    def do_POST(self) -> None:
        key, query = self._target()
        self._body()
        if "uploads" in query:
            self.objects.parts[key] = {}
            self._answer(200, STARTED.format(upload=key).encode())
        elif "uploadId" in query:
            parts = self.objects.parts.pop(query["uploadId"][0])
            self.objects.objects[key] = b"".join(parts[each] for each in sorted(parts))
            self._answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def do_DELETE(self) -> None:
        key, _ = self._target()
        self.objects.objects.pop(key, None)
        self._answer(204, b"")

    def _target(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix("/logs").lstrip("/")
        return key, parse_qs(parts.query, keep_blank_values=True)

    def _object(self, key: str) -> None:
        if (content := self.objects.objects.get(key)) is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        first, last = 0, len(content) - 1
        if requested := self.headers.get("range"):
            start, _, end = requested.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        self._answer(206 if requested else 200, content[first : last + 1], len(content), first)

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if "aws-chunked" not in (self.headers.get("content-encoding") or ""):
            return body
        content = b""
        while (size := body.partition(b"\r\n")[0].split(b";")[0]) and int(size, 16):
            body = body.partition(b"\r\n")[2]
            content, body = content + body[: int(size, 16)], body[int(size, 16) + 2 :]
        return content

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _answer(self, status: int, body: bytes, size: int | None = None, first: int = 0) -> None:
        if self.objects.refuses:
            status, body = 403, DENIED.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"0"')
        self.send_header("last-modified", "Tue, 24 Nov 2026 12:00:00 GMT")
        if status == 206:
            self.send_header("content-range", f"bytes {first}-{first + len(body) - 1}/{size}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
