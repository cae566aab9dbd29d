"""Signals.start and stop, each in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .running import Done, ended, finish, line, program, python

# What each program begins with.
START = """
import os, signal, sys, time
from reflex_driver.signals import Signals

signals = Signals()
signals.start()

def ready():
    print("ready", flush=True)

def first():
    # The signal that the thread has heard of; it may be a moment behind.
    end = time.monotonic() + 10
    while not signals.first and time.monotonic() < end:
        time.sleep(0.001)
    return signals.first

def wait(seconds=20):
    # As a driver in C: no Python code runs meanwhile, but handlers do.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
"""


def start(text: str, directory: Path) -> subprocess.Popen[str]:
    return program(START + text, directory)


def send(text: str, directory: Path, *numbers: int) -> Done:
    """Run a program, and send it signals, one for each line that it prints."""
    process = start(text, directory)
    with ended(process):
        for number in numbers:
            assert line(process.stdout), process.stderr and process.stderr.read()
            process.send_signal(number)
        return finish(process)


@pytest.mark.parametrize(
    ("number", "raises", "status"),
    [
        (signal.SIGINT, "KeyboardInterrupt", None),
        (signal.SIGTERM, "SystemExit", 143),
        (signal.SIGHUP, "SystemExit", 129),
    ],
)
def test_the_first_signal_raises(
    number: signal.Signals, raises: str, status: int | None, tmp_path: Path
) -> None:
    text = """
try:
    ready()
    wait()
except BaseException as error:
    print(type(error).__name__, getattr(error, "code", None), first(), signals.raised)
"""
    done = send(text, tmp_path, number).check()
    assert done.stdout == f"{raises} {status} {number.value} {number.value}\n"


def test_the_second_ends_the_process(tmp_path: Path) -> None:
    """Whatever the project does with the first."""
    text = """
while True:
    try:
        ready()
        wait()
    except BaseException:
        pass
"""
    assert send(text, tmp_path, signal.SIGINT, signal.SIGTERM).check(143)


def test_the_second_ends_it_while_the_main_thread_runs_no_python(tmp_path: Path) -> None:
    """A driver in C that waits for its server gives the handler no chance to run."""
    text = """
import ctypes
lock = ctypes.CDLL(None).pthread_mutex_lock
mutex = ctypes.create_string_buffer(256)  # zeroes are PTHREAD_MUTEX_INITIALIZER
lock(mutex)
ready()
lock(mutex)  # waits for itself, and goes on waiting after a signal
"""
    with ended(start(text, tmp_path)) as process:
        assert line(process.stdout) == "ready"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) in (130, 143)


def test_what_listens_hears_of_the_first_on_a_thread(tmp_path: Path) -> None:
    text = """
import _thread
main = _thread.get_ident()
heard = []
signals.on_first = lambda: heard.append(_thread.get_ident() != main)
try:
    ready()
    wait()
except KeyboardInterrupt:
    first()
    while not heard:
        time.sleep(0.001)
    print(heard)
"""
    assert send(text, tmp_path, signal.SIGINT).check().stdout == "[True]\n"


def test_a_handler_of_the_projects_own_and_back_again(tmp_path: Path) -> None:
    """Two Ctrl-C were ignored where a library had put its own handler and ours back."""
    text = """
heard = []
ours = signal.signal(signal.SIGINT, lambda *_: heard.append("the project's"))
ready()
while not heard:
    time.sleep(0.01)
time.sleep(0.5)  # so that the thread has seen whose handler it was
assert not signals.first, "it is the project's"
signal.signal(signal.SIGINT, ours)
try:
    ready()
    wait()
except KeyboardInterrupt:
    print(heard, first())
"""
    done = send(text, tmp_path, signal.SIGINT, signal.SIGINT).check()
    assert done.stdout == '["the project\'s"] 2\n'


def test_two_signals_for_the_projects_own_handler(tmp_path: Path) -> None:
    text = """
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
for count in 1, 2:
    ready()
    while len(heard) < count:
        time.sleep(0.01)
print(heard, signals.first)
"""
    assert send(text, tmp_path, signal.SIGTERM, signal.SIGTERM).check().stdout == "[1, 1] 0\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_ignored_stays_ignored(number: signal.Signals, tmp_path: Path) -> None:
    """nohup, and jobs in the background."""
    text = f"""
import os
assert signal.getsignal({number.value}) is signal.SIG_IGN
os.kill(os.getpid(), {number.value})
time.sleep(0.1)
print(signals.first)
"""
    text = (
        START.replace(
            "signals.start()", f"signal.signal({number.value}, signal.SIG_IGN)\nsignals.start()"
        )
        + text
    )
    assert python(text, tmp_path).check().stdout == "0\n"


def test_the_wakeup_descriptor_is_hidden(tmp_path: Path) -> None:
    """The project sees its own only, and ours goes on where it has none."""
    text = """
import asyncio, socket
set_wakeup_fd = signal.set_wakeup_fd
assert set_wakeup_fd(-1) == -1
ours, theirs = socket.socketpair()
theirs.setblocking(False)
assert set_wakeup_fd(theirs.fileno()) == -1
assert set_wakeup_fd(theirs.fileno()) == theirs.fileno()
assert set_wakeup_fd(-1) == theirs.fileno()
asyncio.run(asyncio.sleep(0.01))
try:
    ready()
    wait()
except KeyboardInterrupt:
    print(first())
"""
    assert send(text, tmp_path, signal.SIGINT).check().stdout == "2\n"


def test_stop_takes_everything_back(tmp_path: Path) -> None:
    text = """
import threading
signals.stop()
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
assert signal.set_wakeup_fd is set_wakeup_fd
signals.stop()
ready()
wait()
"""
    text = f"import signal\nset_wakeup_fd = signal.set_wakeup_fd\n{START}{text}"
    with ended(program(text, tmp_path)) as process:
        assert line(process.stdout) == "ready", process.communicate()
        process.send_signal(signal.SIGTERM)
        assert finish(process).status == -signal.SIGTERM


def test_stop_leaves_what_the_project_has_set(tmp_path: Path) -> None:
    text = """
def handler(*_): pass
signal.signal(signal.SIGTERM, handler)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signals.stop()
assert signal.getsignal(signal.SIGTERM) is handler
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    python(START + text, tmp_path).check()


def test_a_forked_child_is_any_program(tmp_path: Path) -> None:
    """Its handlers, its mask and its descriptors."""
    text = """
before = sorted(os.listdir("/dev/fd"))
pid = os.fork()
if pid == 0:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    after = sorted(os.listdir("/dev/fd"))
    assert len(after) == len(before) - 2, (before, after)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == -signal.SIGTERM, status
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
assert not signals.first
try:
    os.kill(os.getpid(), signal.SIGINT)
    wait()
except KeyboardInterrupt:
    print("and the parent goes on")
"""
    assert python(START + text, tmp_path).check().stdout == "and the parent goes on\n"


def test_a_mask_of_the_projects_own_is_inherited(tmp_path: Path) -> None:
    text = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
pid = os.fork()
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
if pid == 0:
    os._exit(mask != {signal.SIGUSR1})
assert mask == {signal.SIGUSR1}
assert os.waitpid(pid, 0)[1] == 0
"""
    python(START + text, tmp_path).check()


def test_a_child_that_is_started_has_the_signals_of_any(tmp_path: Path) -> None:
    text = """
import subprocess
look = "import signal; print(signal.getsignal(2).__name__, signal.getsignal(15).value, "
look += "signal.pthread_sigmask(signal.SIG_BLOCK, []))"
subprocess.run([sys.executable, "-c", look], check=True)
"""
    assert python(START + text, tmp_path).check().stdout == "default_int_handler 0 set()\n"


def test_a_fork_that_is_hit_at_once_does_not_unwind_the_parents_stack(tmp_path: Path) -> None:
    text = """
import os
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(20)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
print("whole")
"""
    assert python(START + text, tmp_path).check().stdout == "whole\n"


def test_descriptors_are_out_of_the_way(tmp_path: Path) -> None:
    """The project's first file is number 3, and no program inherits ours."""
    text = """
import subprocess
numbers = {int(name) for name in os.listdir("/dev/fd")}
file = open(os.devnull)
assert file.fileno() == 3, numbers
ours = {signals._read, signals._write}
assert min(ours) > 200, ours
assert not any(os.get_inheritable(number) for number in ours)
"""
    python(START + text, tmp_path).check()


def test_no_high_descriptor_is_free(tmp_path: Path) -> None:
    text = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n" + START
    text += "assert max(signals._read, signals._write) < 32"
    python(text, tmp_path).check()


def test_the_project_sees_its_own_threads_only(tmp_path: Path) -> None:
    python(START + "import threading\nassert threading.active_count() == 1", tmp_path).check()


def test_no_warning_of_our_thread_when_the_project_forks(tmp_path: Path) -> None:
    text = "import warnings; warnings.simplefilter('error')\n" + START
    text += "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)"
    assert python(text, tmp_path).check().stderr == ""


def test_descriptors_that_the_project_closes(tmp_path: Path) -> None:
    """As a daemon does it: the signal still ends the run."""
    text = """
os.closerange(3, 4096)
try:
    ready()
    wait()
except KeyboardInterrupt:
    print("interrupted")
"""
    assert "interrupted" in send(text, tmp_path, signal.SIGINT).check().stdout


def test_a_task_of_a_loop_is_cancelled(tmp_path: Path) -> None:
    text = """
import asyncio
async def main():
    try:
        ready()
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
try:
    asyncio.run(main())
except BaseException as error:
    print(type(error).__name__, getattr(error, "code", None), signals.cancelled)
"""
    done = send(text, tmp_path, signal.SIGTERM).check()
    assert done.stdout == "cancelled\nSystemExit 143 True\n"
    assert "KeyboardInterrupt" in send(text, tmp_path, signal.SIGINT).check().stdout


def test_an_ending_that_hangs_is_ended(tmp_path: Path) -> None:
    text = """
signals.on_first = signals.end
while True:
    try:
        ready()
        wait()
    except KeyboardInterrupt:
        pass
"""
    done = send(text, tmp_path, signal.SIGINT).check(130)
    assert done.stderr == "Error: interrupted\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_the_names_of_the_signals() -> None:
    from reflex_driver.signals import VERBS

    assert VERBS[signal.SIGHUP] == "hung up"
    assert VERBS[signal.SIGINT] == "interrupted"
    assert VERBS[signal.SIGTERM] == "terminated"
    assert os.name == "posix"
