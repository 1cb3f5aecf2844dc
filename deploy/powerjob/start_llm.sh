# PowerJob ShellProcessor: paste this file into the job's parameters (任务参数). See README.md beside it.
# The worker runs it with /bin/sh. It ends when the server is ready, or with the reason why it is not.
TRACETAIL=/opt/tracetail/bin/tracetail

# Not by exec: the command finds the instance id in the command line of this shell.
"$TRACETAIL" apply --params - <<'JSON'
{
  "action": "start",
  "modelName": "qwen-7b",
  "modelPath": "/data/models/qwen-7b",
  "port": 8000,
  "pythonBin": "/opt/llm/venv/bin/python",
  "readyTimeoutSec": 900,
  "callbackUrl": "https://your-test-platform/api/report/llm-start"
}
JSON
exit $?
