"""The machine: processes, ports, devices."""
