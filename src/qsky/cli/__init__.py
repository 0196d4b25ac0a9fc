"""The command line. `main` is what the `qsky` command runs."""

from qsky.cli.entry import main as main
