"""Starts programs for a test: Billhook's own binary, and localstripe. Everything listens on 127.0.0.1 and ends with the test.

BILLHOOK_BINARY names the program; `cargo xtask test` sets it.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

START_SECONDS_MAX = 60
CONDITION_SECONDS_MAX = 60

BINARY = os.environ.get("BILLHOOK_BINARY")
if not BINARY:
    sys.exit("BILLHOOK_BINARY must name the program: run these tests with `cargo xtask test`")


def directory(test: unittest.TestCase) -> str:
    """A directory that is removed after the test."""
    made = tempfile.TemporaryDirectory(prefix="billhook-python-")
    test.addCleanup(made.cleanup)
    return made.name


def command(test: unittest.TestCase, arguments: list[str], environment: dict[str, str], where: str) -> str:
    """Runs a command of the program to its end and gives its standard output; a failure fails the test."""
    done = subprocess.run(
        [BINARY, *arguments],
        cwd=where,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    test.assertEqual(done.returncode, 0, f"billhook {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def listening(test: unittest.TestCase, arguments: list[str], environment: dict[str, str]) -> str:
    """Starts a command of the program that serves, and gives its base URL once it listens."""
    child = subprocess.Popen(
        [BINARY, *arguments],
        cwd=directory(test),
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log: list[str] = []
    found: list[str] = []
    spoke = threading.Event()

    def collect() -> None:
        for line in child.stderr:
            log.append(line)
            address = re.search(r"127\.0\.0\.1:\d+", line) if "listening" in line else None
            if address and not found:
                found.append(f"http://{address.group()}")
                spoke.set()
        spoke.set()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()

    def stop() -> None:
        child.kill()
        child.wait()
        thread.join()
        child.stderr.close()

    test.addCleanup(stop)
    spoke.wait(START_SECONDS_MAX)
    test.assertTrue(found, f"the program does not listen:\n{''.join(log)}")
    return found[0]


def localstripe(test: unittest.TestCase) -> str:
    """Starts localstripe on loopback alone (its own command binds every interface), and gives its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "import sys; from aiohttp import web; from localstripe.server import app; "
        "web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(port)],
        cwd=directory(test),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> None:
        child.kill()
        child.wait()

    test.addCleanup(stop)

    def answers() -> bool:
        test.assertIsNone(child.poll(), "localstripe ended at its start")
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    until(test, "localstripe listens", answers)
    return f"http://127.0.0.1:{port}"


def until(test: unittest.TestCase, what: str, condition):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + CONDITION_SECONDS_MAX
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            test.fail(f"waited {CONDITION_SECONDS_MAX} s in vain: {what}")
        time.sleep(0.02)
