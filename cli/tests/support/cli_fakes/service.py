"""Fake services: small child processes that answer /readyz and can be made to misbehave."""

from pathlib import Path

from parley_cli.engines import free_port
from parley_cli.stack.supervision.service_process import ProcessSpec, ServiceProcess, python_module

MODULE = """
import http.server, os, signal, sys, time

def stop(number, frame):
    with open(os.environ["STOPPED"], "a") as stopped:
        stopped.write(os.environ["NAME"] + "\\n")
    sys.exit(0)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = int(os.environ.get("STATUS", "200"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"missing":["event store"]}' if status != 200 else b"{}")

    def log_message(self, *_):
        pass

if message := os.environ.get("FAIL_WITH"):
    print(message)
    sys.exit(int(os.environ.get("CODE", "1")))
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("IGNORE_SIGTERM") else stop)
print("running", flush=True)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


class FakeServices:
    """`stopped` lists the services that ended by SIGTERM, in that order."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self._modules, self._stopped = folder / "modules", folder / "stopped"
        self._modules.mkdir()
        self._stopped.touch()
        (self._modules / "fake_service.py").write_text(MODULE)

    def create(self, name: str, **behaviour: str) -> ServiceProcess:
        return ServiceProcess(self.spec(name, **behaviour), self.data)

    def spec(self, name: str, **behaviour: str) -> ProcessSpec:
        port = free_port()
        environment = {
            "PYTHONPATH": str(self._modules),
            "STOPPED": str(self._stopped),
            "NAME": name,
        }
        command = python_module("fake_service", str(port))
        return ProcessSpec(name, command, environment | behaviour, f"127.0.0.1:{port}")

    @property
    def stopped(self) -> list[str]:
        return self._stopped.read_text().split()
