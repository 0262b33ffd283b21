"""Audit the pinned packages with pip-audit, and count those that its database covers.

python -m scripts.audit_packages constraints.txt
"""

import json
import subprocess
import sys
from pathlib import Path

COMMAND = ["-m", "pip_audit", "--progress-spinner", "off", "--timeout", "5", "--disable-pip", "--no-deps", "-f", "json"]


def main() -> None:
    pins = sys.argv[1]
    count = sum("==" in line for line in Path(pins).read_text(encoding="utf-8").splitlines())
    audit = subprocess.run([sys.executable, *COMMAND, "-r", pins], capture_output=True, text=True)
    try:
        packages = json.loads(audit.stdout)["dependencies"]
    except ValueError:  # pip-audit could not reach its database
        packages = []
        print(audit.stderr.strip().splitlines()[-1] if audit.stderr else "pip-audit: no answer", file=sys.stderr)
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        known = ", ".join(found["id"] for found in package["vulns"])
        print(f"pip-audit: {package['name']} {package['version']}: {known}")
    unknown = count - sum("vulns" in package for package in packages)
    print(f"pip-audit: {len(vulnerable)} of {count} packages vulnerable; {unknown} could not be audited from here")
    sys.exit(bool(vulnerable))


if __name__ == "__main__":
    main()
