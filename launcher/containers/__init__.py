"""A launch whose server runs in a container: docker's or podman's command line, and the proof of its end.

A container belongs to a launch by its labels, never by its name alone. The keeper imports what is here, but for
`container_input` and `create_command`: the standard library only.
"""
