# ruff: noqa: INP001  (a script for a job's parameters)
"""PowerJob PythonProcessor: paste this file into the job's parameters (任务参数). See README.md beside it.

It ends when the server is ready, or with the reason why it is not.
"""

import json
import subprocess
import sys

TRACETAIL = "/opt/tracetail/bin/tracetail"
PARAMS = {
    "action": "start",
    "modelName": "qwen-7b",
    "modelPath": "/data/models/qwen-7b",
    "port": 8000,
    "pythonBin": "/opt/llm/venv/bin/python",
    "readyTimeoutSec": 900,
    "callbackUrl": "https://your-test-platform/api/report/llm-start",
}

command = [TRACETAIL, "apply", "--params", "-"]
sys.exit(subprocess.run(command, input=json.dumps(PARAMS), text=True, check=False).returncode)
