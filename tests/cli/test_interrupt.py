"""Ctrl-C ends the command within half a second, whatever the main thread is doing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

WATCHED = """
import hashlib, sys, threading, time
from qsky.cli.interrupt import end_now, end_on_interrupt
end_on_interrupt()
try:
    print("ready", flush=True)
    {work}
except KeyboardInterrupt:
    end_now()
"""
COMPILED = "hashlib.pbkdf2_hmac('sha256', b'', b'', 1 << 30)"
WITH_THREADS = "threading.Thread(target=time.sleep, args=(60,)).start(); time.sleep(60)"


@pytest.mark.parametrize("work", ["time.sleep(60)", COMPILED, WITH_THREADS], ids=["python", "compiled", "threads"])
def test_ctrl_c_ends_at_once(work: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(work=work)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    status = process.wait(timeout=10)
    seconds = time.perf_counter() - started
    assert process.stderr is not None
    assert (status, process.stderr.read()) == (130, "\nStopped.\n")
    assert seconds < 0.5
