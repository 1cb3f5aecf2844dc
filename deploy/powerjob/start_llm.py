# ruff: noqa: INP001  (a script for a job's parameters)
"""Starts an inference server; ends when it is ready, or with the reason why it is not.

PowerJob PythonProcessor: paste this file into the job's parameters (任务参数), with the PARAMS of the job.
As a script it takes their place from its arguments, JSON first, further flags of `tracetail apply` behind:

    start_llm.py --model-name qwen-7b --model-path /data/models/qwen-7b --port 8000 [--callback-url URL]
    start_llm.py '{"modelName": "qwen-7b", "modelPath": "/data/models/qwen-7b", "port": 8000}'
"""

import json
import signal
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
OF_THE_MACHINE = ("pythonBin", "readyTimeoutSec")  # kept when the arguments name the model

arguments = sys.argv[1:]
if arguments:
    PARAMS = {name: PARAMS[name] for name in OF_THE_MACHINE if name in PARAMS}
    if arguments[0].lstrip().startswith("{"):
        try:
            PARAMS |= json.loads(arguments.pop(0))
        except ValueError as error:
            sys.stderr.write(f"error: the parameters are not valid JSON: {error}\n")
            sys.exit(2)

command = [TRACETAIL, "apply", "--params", "-", *arguments]
with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # whoever ends this script ends the start
    process.communicate(json.dumps(PARAMS))
sys.exit(process.returncode)
