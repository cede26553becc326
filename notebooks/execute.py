"""Runs every cell of a notebook in its kernel: execute.py NAME.ipynb EXECUTED.ipynb, with the environment's Python."""

import sys
from pathlib import Path
from queue import Empty

import nbformat
from nbclient import NotebookClient

# Of a panic evcxr only writes to standard error, which may reach the client after the cell has ended.
QUIET_S = 0.3


async def take_late_outputs(cell, cell_index, execute_reply):
    try:
        while True:
            message = await client.kc.iopub_channel.get_msg(timeout=QUIET_S)
            if message["parent_header"].get("msg_id") == execute_reply["parent_header"]["msg_id"]:
                client.process_message(message, cell, cell_index)
    except Empty:
        pass


notebook, executed = map(Path, sys.argv[1:])
content = nbformat.read(notebook, as_version=4)
resources = {"metadata": {"path": notebook.parent}}
client = NotebookClient(content, timeout=None, allow_errors=True, resources=resources,
                        on_cell_executed=take_late_outputs)
client.execute()
nbformat.write(content, executed)
