"""Kills a kernel in the middle of a phase, and goes on from the trace.

python resume.py FOLDER: with notebooks/cells in FOLDER; silent if what was observed before is still there.
"""

import os
import re
import signal
import sys

from jupyter_client.manager import start_new_kernel

IMPORTS = ':dep bedrock-tpm-cells = { path = "cells" }\nuse bedrock_tpm_cells::*;'
START = 'let mut tester: BedrockTpmTester = on_emulator(MechanismId::TokenBucket, 8_000, "trace-window.jsonl")?;'
PHASE = 'tester.begin_phase("fill");\ntester.wait_until_second(35)?;\ntester.consume_tpm_quota(12_000, 100)?;'
RESUME = 'let mut tester: BedrockTpmTester = resume("trace-window.jsonl")?;'
OBSERVED = re.compile(r"fill \d+")


def run(client, code):
    """Everything that a cell prints and shows."""
    shown = []

    def note(message):
        content = message["content"]
        shown.append(content.get("text") or str(content.get("data") or content.get("evalue") or ""))
        assert content.get("name") != "stderr" and message["msg_type"] != "error", content

    client.execute_interactive(code, timeout=60, output_hook=note)
    return "".join(shown)


def observed_until(client, count):
    """The names of the first observations that a running cell prints."""
    names = []
    while len(names) < count:
        content = client.get_iopub_msg(timeout=60)["content"]
        names += OBSERVED.findall(content.get("text", ""))
    return names


def main(folder):
    os.chdir(folder)
    manager, client = start_new_kernel(kernel_name="bedrock-tpm", startup_timeout=60)
    try:
        run(client, IMPORTS)
        run(client, START)
        client.execute(PHASE)
        before = observed_until(client, 5)
        os.killpg(manager.provisioner.process.pid, signal.SIGKILL)
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)

        run(client, IMPORTS)
        run(client, RESUME)
        kept = set(OBSERVED.findall(run(client, "tester.requests()")))
        assert set(before) <= kept, (before, kept)
        more = set(OBSERVED.findall(run(client, "tester.make_bedrock_request(100)?;\ntester.requests()")))
        assert len(more) == len(kept) + 1, (kept, more)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


main(*sys.argv[1:])
