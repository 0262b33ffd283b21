"""Lay a real OpenSearch out in a folder of its own, start it on a free port of this machine, and ask it."""

import json
import os
import platform
import pwd
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from engines.harness import ABSENT, MissingError, jdk

HERE = Path(__file__).parent
VERSION = "2.19.1"
TOO_NEW = 24  # Java that has no security manager; by the server's own documentation 11, 17 and 21 will do
MODULES = {"lang-painless": "painless.PainlessPlugin", "analysis-common": "analysis.common.CommonAnalysisPlugin"}
SECONDS = 180  # that a start or a restart may take
POLICY = """grant {
  permission java.lang.RuntimePermission "createClassLoader";
  permission java.lang.RuntimePermission "getClassLoader";
};
"""


class Server:
    """OpenSearch in `folder`, new and readable by every user, because the server refuses to run as root.

    `close` stops it and removes the folder. MissingError without Maven, its JDK or the artifacts.
    """

    def __init__(self) -> None:
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise MissingError(f"expected Linux on x86_64, whose libtorch pom.xml names, found {platform.platform()}")
        self.java = jdk()
        if int(re.findall(r'JAVA_VERSION="(\d+)', (self.java / "release").read_text())[0]) >= TOO_NEW:
            raise MissingError(f"{self.java}: expected Java 17 or 21 for OpenSearch {VERSION}, found a newer one")
        root = os.geteuid() == 0
        self.user = "nobody" if root else None
        self.folder = Path(tempfile.mkdtemp(prefix="opensearch-", dir="/var/tmp" if root else None))
        self.folder.chmod(0o755)
        self.home = self.folder / f"opensearch-{VERSION}"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.lay_out()
        except BaseException:
            self.close()
            raise

    def lay_out(self) -> None:
        """Fetch and unpack, and write what the server's own installer and its configuration would have."""
        maven = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *shlex.split(os.environ.get("MAVEN_ARGS", ""))]
        built = subprocess.run([*maven, f"-Dserver={self.folder}", "package"], capture_output=True, text=True)
        if built.returncode != 0:
            if absent := ABSENT.search(built.stdout):
                raise MissingError(f"mvn: expected OpenSearch {VERSION} from Maven Central, found: {absent[0]}")
            raise RuntimeError(f"{shlex.join(maven)} gave {built.returncode}:\n{built.stdout}{built.stderr}")
        for name, kind in MODULES.items():
            about = {"name": name, "description": name, "version": VERSION, "opensearch.version": VERSION}
            about |= {"java.version": "11", "classname": f"org.opensearch.{kind}"}
            if name != "lang-painless":
                about["extended.plugins"] = "lang-painless"
            lines = "".join(f"{key}={value}\n" for key, value in about.items())
            (self.home / "modules" / name / "plugin-descriptor.properties").write_text(lines)
        (self.home / "modules/lang-painless/plugin-security.policy").write_text(POLICY)
        ports = free_ports()
        self.url = f"http://127.0.0.1:{ports[0]}"
        settings: dict[str, str | int] = {"discovery.type": "single-node", "network.host": "127.0.0.1"}
        settings |= {"http.port": ports[0], "transport.port": ports[1]}
        for name, value in {"native_memory": 100, "jvm_heap_memory": 100, "disk_free_space": -1}.items():
            settings[f"plugins.ml_commons.{name}_threshold"] = value  # a busy machine refuses no model
        (self.home / "config/opensearch.yml").write_text(json.dumps(settings))  # JSON is YAML
        options = "-Xms1g\n-Xmx1g\n-XX:TieredStopAtLevel=1\n-Doffline=true\n"  # compiling less, it starts sooner
        options += f"-DPYTORCH_LIBRARY_PATH={self.home / 'natives'}\n"
        (self.home / "config/jvm.options.d/harness.options").write_text(options)
        (self.folder / "tmp").mkdir()

    def start(self) -> None:
        """Start, and wait until it has its indexes; RuntimeError with the end of its log if it does not."""
        if self.user:
            subprocess.run(["chown", "-R", self.user, self.folder], check=True)
        work = str(self.folder / "tmp")
        environment = os.environ | {"JAVA_HOME": str(self.java), "OPENSEARCH_TMPDIR": work, "HOME": work}
        group = pwd.getpwnam(self.user).pw_gid if self.user else None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.home / "bin/opensearch"], cwd=self.folder, env=environment, stdout=log, stderr=log,
                user=self.user, group=group, extra_groups=[] if self.user else None,
            )  # fmt: skip
        end = time.time() + SECONDS
        while time.time() < end and self.process.poll() is None:
            try:
                if self("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.5)
        raise RuntimeError(f"OpenSearch did not start:\n{(self.folder / 'log').read_text()[-5000:]}")

    def stop(self) -> int:
        """Stop; returns the most memory that it has had, in bytes."""
        if self.process is None or self.process.poll() is not None:
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.terminate()
        self.process.wait(SECONDS)
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", status)[0])

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer; a body that is text is sent as it is."""
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        asked = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


def free_ports(count: int = 2) -> list[int]:
    """Ports that no program listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
