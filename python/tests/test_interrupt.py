"""Ctrl-C, errors in what is called, and other threads meanwhile."""

import signal
import subprocess
import sys
import threading
import time

import pytest

import circuitcheck as cc

LONG = """
import signal
import circuitcheck as cc
# What a shell starts in the background ignores the signal otherwise.
signal.signal(signal.SIGINT, signal.default_int_handler)
model = cc.load()
print("begun", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("stopped", flush=True)
print(model.ask("1+1").answer, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(
    "call", ["model.verify()", "model.represents()", "model.graph(measure=True, trials=1_000_000)"]
)
def test_ctrl_c_stops_a_long_call(call: str) -> None:
    program = [sys.executable, "-c", LONG.format(call=call)]
    child = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    # The model still answers.
    assert child.communicate(timeout=60)[0] == "stopped\n+000002\n"


def test_what_progress_raises_stops_the_work(model: cc.Model) -> None:
    def refuse(what: str, done: int, of: int) -> None:
        raise RuntimeError(what)

    with pytest.raises(RuntimeError, match="baseline"):
        model.verify(progress=refuse)


def test_other_threads_run_meanwhile(add: cc.Model) -> None:
    counted, ended = 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not ended.is_set():
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    add.verify(nodes="P17L0H1")
    ended.set()
    thread.join()
    assert counted > 20
