"""`python -m qsky`: the same command, where no `qsky` is on the path."""

from qsky.cli.entry import main

main()
