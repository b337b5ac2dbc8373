"""The end of a program that has started others: it is heard, and then not disturbed."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, signal, time
from worker.demo.ending import unwound

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

with unwound():
    try:
        Swallows()
        print("goes on", flush=True)
        time.sleep(30)
        print("was not heard", flush=True)
    finally:
        time.sleep(1.2)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.1)
        print("given back", flush=True)
"""


def test_what_is_told_in_the_midst_of_giving_something_back_is_heard_and_giving_back_is_not_interrupted():
    command = [sys.executable, "-W", "ignore", "-c", _PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert done.stdout.split("\n") == ["goes on", "given back", ""], done.stderr
    assert done.returncode == 143
