"""The watchdog, in processes of its own: it ends them."""

import subprocess
import sys
import threading
import time

from tsn.workers.watchdog import HUNG, watched

HANGING = """
import ctypes, sys, time
from tsn.workers.watchdog import watched

def items():
    yield 0
    yield 1
    ctypes.CDLL(None).sleep(60)

items = watched(items(), 0.3)
print(next(items), next(items), flush=True)
time.sleep(0.9)  # what becomes of an item may take its time
print("hanging", flush=True)
next(items)
"""


def test_a_call_that_hangs_ends_its_process() -> None:
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (HUNG, "0 1\nhanging\n"), done.stderr
    assert time.monotonic() - start < 30


def test_items_come_as_they_are_and_no_thread_stays() -> None:
    before = set(threading.enumerate())
    assert list(watched(iter("abc"), 60.0)) == ["a", "b", "c"]
    next(watched(iter("abc"), 60.0))
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before


SLOW = """
import time
from tsn.workers.watchdog import watched

def items():
    for number in range(100):
        time.sleep(0.1)
        yield number

for number in watched(items(), 60.0, in_all=0.5):
    time.sleep(0.05)
"""


def test_items_that_take_too_long_together_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True)
    assert done.returncode == HUNG, done.stderr
