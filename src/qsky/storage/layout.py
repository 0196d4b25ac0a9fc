"""Where everything lies under a root: the one place that spells paths. Pure; relative to the root, "/"-separated.

    public/<database>/revisions/000042.json
                      _qsky/<kind>-<digest>.<suffix>        side files that revisions name
                      _qsky/staging/<load>/...              parts of a load that is not settled yet
                      leases/<id>
                      <director>.hats/<table>/g0001/dataset/Norder=5/Dir=0/Npix=4711/<load>-<sequence>-<digest>.parquet
                      <table>.table/g0001/dataset/<load>-<sequence>-<digest>.parquet       replicated tables
"""

from __future__ import annotations

import re
from typing import Final

from qsky.catalog.model import Kind, Table
from qsky.errors import QskyError
