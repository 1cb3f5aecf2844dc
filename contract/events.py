"""The events that the keeper (and, where noted, another part) writes into a launch's log, beside the server's lines.

An event is a line with the mark `event` whose text is logfmt: a name, then fields. Together the events contain what
the panel, which reads Loki only, needs of the record. Fields without a value are left out. `seconds` are decimal; the
time of an event is the time of its line.

| event | fields |
|---|---|
| started | launchId, service, env, engine, model, servedName, host, port, nodes … role, pid, jobId, image, container, command |
| phase | name, seconds |
| ready | seconds, pid, port, url |
| unhealthy | cause, hint, causeZh, hintZh, seconds: since ready; the server runs, but fails its probes |
| recovered | seconds: for how long it was unhealthy |
| failed | seconds, exitCode, signal, exitStatus, evidence and why: the start ended without a ready server |
| stopping | reason, and who asked: user, pid, command |
| exited | state, seconds, exitCode, signal, evidence and why: the last event of every launch |
| adopted | keeperPid: a new keeper continues after the one before died |
| rotated | next: the file name of the next segment; the last line of a segment |
| dropped | lines, bytes, reason: lines that were not written, or a segment that was deleted before it was shipped |
| refused | exitStatus, why, and the known fields of started: no server was started |
| restarted | launchId, attempt: the launch that restarts this one after a crash |
| receipt | lines, bytes, rejected, redacted: by the agent, after the launch has ended and its log is acknowledged |
| reported | event, eventId, model, port, pid, logFile, launchId, jobId, host, state, cause, causeCode: a callback |
| gap | file, from, to, reason: by the agent, bytes of a file that were lost before it could read them |

`nodes … role` are nodes, nodeRank and role, of several machines that serve one model together.
Why are the fields cause, hint, causeCode, causeKind, causeZh and hintZh, as in record.Exit.
"""  # noqa: E501  (a row of a table)

STARTED = "started"
PHASE = "phase"
READY = "ready"
UNHEALTHY = "unhealthy"
RECOVERED = "recovered"
FAILED = "failed"
STOPPING = "stopping"
EXITED = "exited"
ADOPTED = "adopted"
ROTATED = "rotated"
DROPPED = "dropped"
REFUSED = "refused"
RESTARTED = "restarted"
RECEIPT = "receipt"
REPORTED = "reported"
GAP = "gap"
