"""`ombak` as it is, on a machine whose clock is wrong by the seconds in a file, which is read at the start.

Run as a file in the place of `python -m ombak`, with the name of that file before all else.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ombak.adapters.clock import SystemClock
from ombak.cli.main import main

if __name__ == "__main__":
    wrong_by = timedelta(seconds=float(Path(sys.argv.pop(1)).read_text()))
    SystemClock.now = lambda _: datetime.now(UTC) + wrong_by  # type: ignore[method-assign]
    main()
