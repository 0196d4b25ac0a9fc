"""The command line. `main` is what the `qsky` command runs."""

from qsky.cli.app import main as main
