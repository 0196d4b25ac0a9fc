"""The version of Qsky, which revisions carry."""

from typing import Final

VERSION: Final = "0.1.0"
