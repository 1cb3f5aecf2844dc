"""What the keeper (and, where noted, the agent) says in a launch's log, beside the server's own lines.

An event is a line with the mark `event` whose text is logfmt: a name, then fields. Together they carry everything
of the record that a reader elsewhere needs: the panel knows launches from Loki alone. Fields that are not known are
left out. `seconds` are decimal; times of events are the times of their lines.

| event | fields |
|---|---|
| started | launchId, service, env, engine, model, servedName, host, port, pid, jobId, command |
| phase | name, seconds |
| ready | seconds, pid, port, url |
| failed | seconds, exitCode, signal, exitStatus, cause, hint, evidence: the start ended without a ready server |
| stopping | reason |
| exited | state, seconds, exitCode, signal, cause, hint, evidence: the last word of every launch |
| adopted | keeperPid: another keeper goes on where the first one died |
| rotated | next: the file name of the segment that goes on; a segment's last line |
| dropped | lines, bytes, reason: what the disk could not take, or gc had to delete |
| refused | exitStatus, cause, hint, and the fields of started that are known: there never was a server |
| restarted | launchId, attempt: the launch that follows this one after a crash |
| receipt | lines, bytes, rejected, redacted: by the agent, once the launch has ended and all of it is acknowledged |
| reported | event, eventId, model, port, pid, logFile, launchId, jobId, host, state: a callback that the panel got |
| gap | file, from, to, reason: by the agent, bytes of a file that were lost before they could be read |
"""

STARTED = "started"
PHASE = "phase"
READY = "ready"
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
