"""`python -m ombak`."""

from ombak.cli.main import main

main()
