"""Names of the environment variables that mark the processes of a launch."""

LAUNCH_TAG = "TRACETAIL_LAUNCH_ID"
"""Set for the server of a launch, and inherited by its children: the launchId."""
KEEPER_TAG = "TRACETAIL_KEEPER"
"""Set for a keeper and for the children that work for it: the launchId. No launch ends another launch's keeper."""
