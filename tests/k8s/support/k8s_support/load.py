"""Load on the gateway's Service, from a pod in the cluster."""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from k8s_support.trial import NAMESPACE, Trial, until

Outcome = dict[str, Any]

_SCRIPTS = Path(__file__).parents[2] / "pod"
# The longest stream, then the time in which every acknowledged message must be readable.
_END_SECONDS = 300


class Load:
    """What a pod with `chat.py` did so far."""

    def __init__(self, trial: Trial, log: "subprocess.Popen[str]") -> None:
        self.outcomes: list[Outcome] = []
        self._trial, self._log = trial, log
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextmanager
    def running(cls, trial: Trial, image: str, *options: str) -> Iterator[Self]:
        """Runs until the block ends, or `stop`; the pod has the trial's image and its secret."""
        trial.kubectl("delete", "pod,configmap", "parley-load", "--ignore-not-found", "--now")
        trial.kubectl("apply", "-f", "-", given=json.dumps(_pod(trial, image, options)))
        trial.kubectl("wait", "--for=condition=Ready", "pod/parley-load", "--timeout=60s")
        log = trial.cluster.start("-n", NAMESPACE, "logs", "-f", "parley-load")
        load = cls(trial, log)
        try:
            yield load
        finally:
            log.terminate()
            log.wait()
            load._reader.join()
            assert log.stdout is not None
            log.stdout.close()
            trial.kubectl("delete", "pod", "parley-load", "--now")

    def stop(self) -> None:
        """Let what runs finish, and wait until everything acknowledged was read."""
        self._trial.kubectl("exec", "parley-load", "--", "sh", "-c", "kill -INT 1")
        self.wait_for_end()

    def wait_for_end(self) -> None:
        until(lambda: self.of("ended") or not self._reader.is_alive(), _END_SECONDS)
        assert self.of("ended"), self.outcomes[-5:]

    def of(self, kind: str, since: int = 0) -> list[Outcome]:
        return [each for each in [*self.outcomes][since:] if each["kind"] == kind]

    def failures(self) -> list[Outcome]:
        """What failed or broke; a stream that was handed over to another gateway did not."""
        return [each for each in self.outcomes if not each["ok"] or each.get("breaks")]

    def figures(self) -> str:
        counts = Counter(f"{each['kind']} {each.get('code', '')}".strip() for each in self.outcomes)
        handovers = sum(each.get("handovers", 0) for each in self.outcomes)
        counts.update(f"broken: {why}" for each in self.outcomes for why in each.get("breaks", ()))
        lines = [f"{count:6} {what}" for what, count in sorted(counts.items())]
        return "\n".join([*lines, f"{handovers:6} handovers"])

    def _read(self) -> None:
        assert self._log.stdout is not None
        for line in self._log.stdout:
            # A warning of Python is no outcome; a traceback ends the pod, and `wait_for_end` fails.
            if line.startswith("{"):
                self.outcomes.append(json.loads(line))
            else:
                print(line, end="")


def _pod(trial: Trial, image: str, options: tuple[str, ...]) -> dict[str, Any]:
    (secret,) = (
        each["metadata"]["name"]
        for each in trial.cluster.get("-n", NAMESPACE, "secrets")["items"]
        if each["metadata"]["name"].startswith("parley-trial-tokens")
    )
    scripts = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "parley-load"},
        "data": {each.name: each.read_text() for each in _SCRIPTS.glob("*.py")},
    }
    key = {"secretKeyRef": {"name": secret, "key": "jwt-secret"}}
    container = {
        "name": "load",
        "image": image,
        "command": ["python", "/load/chat.py", *options],
        "env": [{"name": "PARLEY_JWT_SECRET", "valueFrom": key}],
        "volumeMounts": [{"name": "script", "mountPath": "/load"}],
        "resources": {"requests": {"cpu": "25m"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "parley-load", "labels": {"app.kubernetes.io/name": "parley-load"}},
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "script", "configMap": {"name": "parley-load"}}],
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [scripts, pod]}
