"""`python -m benchmarks`: all of them, one after another (about 30 minutes on two cores)."""

import subprocess
import sys

for module in ("releases", "cold_start", "reaction", "config_maps", "alarms"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
