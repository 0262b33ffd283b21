"""Build the Maven project in this folder, and run Vespa's own Java code on an application package."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NEWEST, OLDEST = "8.700.24", "8.458.13"  # pom.xml describes them
JDK = 17
ABSENT = re.compile(r"[^\n]*(?:could not be resolved|Could not (?:resolve|find|transfer)|Cannot access)[^\n]*")


class MissingError(Exception):
    """One line with the requirements of the harness that this machine lacks."""


def jdk() -> Path:
    """The folder of the JDK that Maven uses; MissingError without either, or if it is too old."""
    if not shutil.which("mvn"):
        raise MissingError("mvn: expected Maven, found none")
    told = subprocess.run(["mvn", "-v"], capture_output=True, text=True).stdout
    java = re.search(r"Java version: (?:1\.)?(\d+).*, runtime: (.+)", told)
    if not java or int(java[1]) < JDK or not (Path(java[2]) / "bin/javac").exists():
        raise MissingError(f"mvn -v: expected a JDK of {JDK} or newer, found {java[0] if java else 'none'}")
    return Path(java[2])


def build(version: str = NEWEST) -> str:
    """Compile for a version of Vespa; return the class path. MissingError without the artifacts.

    MAVEN_ARGS may give the local repository (-Dmaven.repo.local); Maven reads it itself from 3.9 on.
    """
    options = [*shlex.split(os.environ.get("MAVEN_ARGS", "")), f"-Dvespa.version={version}"]
    maven = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *options, "process-classes"]
    built = subprocess.run(maven, capture_output=True, text=True)
    if built.returncode != 0:
        if absent := ABSENT.search(built.stdout):
            raise MissingError(f"mvn: expected Vespa {version} from Maven Central, found: {absent[0]}")
        raise RuntimeError(f"{shlex.join(maven)} gave {built.returncode}:\n{built.stdout}{built.stderr}")
    target = HERE / "target" / version
    return f"{target / 'classes'}{os.pathsep}{(target / 'classpath.txt').read_text()}"


def run(request: dict[str, dict[str, Any]], work: Path, version: str = NEWEST) -> dict[str, Any]:
    """Run each step of a request (harness.Main) in Vespa; return results by name. `work` is an empty folder.

    RuntimeError if a step throws, with its stack.
    """
    java, classes = str(jdk() / "bin/java"), build(version)
    (work / "request.json").write_text(json.dumps(request))
    (work / "tmp").mkdir()
    fakes = f"{HERE / 'fakebin'}{os.pathsep}{os.environ['PATH']}"  # for two C++ programs
    environment = {
        "PATH": fakes,
        "HARNESS_TARGET": str(work),
        "VESPA_HOSTNAME": "localhost",
        "OPT_OUT_TRACKING": "true",
    }
    # DJL unpacks its native library to the user's home. With one processor, a model has one thread, by whose time it is
    # measured.
    places = [f"-Djava.io.tmpdir={work / 'tmp'}", f"-Duser.home={work}"]
    files = [str(work / name) for name in ("request.json", "answer.json")]
    command = [java, "-Xmx2g", "-XX:ActiveProcessorCount=1", *places, "-cp", classes, "harness.Main", *files]
    ran = subprocess.run(command, cwd=work, env=os.environ | environment, capture_output=True, text=True, timeout=900)
    if ran.returncode != 0:
        raise RuntimeError(f"harness.Main gave {ran.returncode}:\n{ran.stdout[-5000:]}{ran.stderr[-5000:]}")
    answer: dict[str, Any] = json.loads((work / "answer.json").read_text())
    shutil.rmtree(work / "tmp")
    for name, found in answer.items():
        if "error" in found:
            raise RuntimeError(f"{name}: {found['error']}")
    print(*re.findall(r"(?m)^[^:\n]+: [\d.]+ s$", ran.stdout), sep="\n")
    return answer
