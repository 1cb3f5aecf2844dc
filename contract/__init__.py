"""What the parts of tracetail agree on: formats, names and rules that more than one of them uses.

The bottom layer: every part imports it; it imports no part, and not `tracetail.loki`. A module is here if two parts
would otherwise repeat it:
- the files of a launch: identity, record, logline, events, outbox, shipped, state
- its processes and devices: process_tag, processes, launch_processes, accelerators, nvml, npu
- its stream in Loki: labels
- what inference servers print: engine_lines (header, header_forms, json_header), tracebacks, engine_stats
- secrets: masking, redaction, secret_file
- servers and clients: access, http_headers, request_time, backoff

The modules are pure, or read and write one small file, or read the state of the machine. They import the standard
library only, so that the keeper stays small; the exceptions are `redaction`, which needs google-re2, and
`request_time`, which needs aiohttp: the keeper imports neither.
"""
