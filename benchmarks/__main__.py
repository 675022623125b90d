"""`python -m benchmarks`: all of them, one after another (about an hour on two cores).

Exits with 1 if one of them does: a count was over its target, or it failed. `--peer` and `--peer-crds` are handed on.
"""

import subprocess
import sys

MODULES = ("releases", "cold_start", "reaction", "config_maps", "alarms", "plan", "hub_simulated", "hub_real")

failed = []
for module in MODULES:
    options = sys.argv[1:] if module == "releases" else []
    if subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *options], check=False).returncode:
        failed.append(module)
if failed:
    sys.exit(f"over a target, or failed: {', '.join(failed)}")
