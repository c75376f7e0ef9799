"""A real child process in place of a service: it answers /readyz, and can be told to misbehave."""

from pathlib import Path

from parley_cli.engines import free_port
from parley_cli.stack.supervision.service_process import ProcessSpec, ServiceProcess

MODULE = """
import http.server, os, signal, sys, time

def end(number, frame):
    with open(os.environ["ENDS"], "a") as ends:
        ends.write(os.environ["NAME"] + "\\n")
    sys.exit(0)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(os.environ.get("STATUS", "200"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"missing":["event store"]}' if status != 200 else b"{}")

    def log_message(self, *_):
        pass

if words := os.environ.get("LAST_WORDS"):
    sys.exit(words if os.environ.get("CODE") is None else print(words) or int(os.environ["CODE"]))
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("DEAF") else end)
print("it runs", flush=True)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
server.serve_forever()
"""


class SmallServices:
    """`ends` has the name of each that was stopped in order, in that order."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self._modules, self._ends = folder / "modules", folder / "ends"
        self._modules.mkdir()
        self._ends.touch()
        (self._modules / "small.py").write_text(MODULE)

    def one(self, name: str, **behaviour: str) -> ServiceProcess:
        return ServiceProcess(self.spec(name, **behaviour), self.data)

    def spec(self, name: str, **behaviour: str) -> ProcessSpec:
        port = free_port()
        environment = {"PYTHONPATH": str(self._modules), "ENDS": str(self._ends), "NAME": name}
        return ProcessSpec(name, ("small", str(port)), environment | behaviour, f"127.0.0.1:{port}")

    @property
    def ends(self) -> list[str]:
        return self._ends.read_text().split()
