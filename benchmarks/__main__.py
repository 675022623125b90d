"""`python -m benchmarks`: all of them, one after another (about an hour on two cores)."""

import subprocess
import sys

for module in ("releases", "cold_start", "reaction", "config_maps", "alarms", "hub_simulated", "hub_real"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
