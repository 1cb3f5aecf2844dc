"""`tracetail keep --adopt`: the agent calls it for a live server whose keeper has ended."""

import click

from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.language import both
from tracetail.cli.launch import parameters


@click.command()
@click.option("--adopt", "launch_id", metavar="LAUNCH", required=True, help="The launch to take over.")
def keep(launch_id: str) -> None:
    """Start a keeper for a launch whose keeper has ended. Returns as soon as the keeper runs."""
    from tracetail.contract import state
    from tracetail.contract.identity import is_launch_id
    from tracetail.contract.record import LaunchDir
    from tracetail.launcher.operations import as_owner, rescue

    state_dir = parameters.state_dir()
    launch = LaunchDir(state.launches_dir(state_dir) / launch_id)
    if not is_launch_id(launch_id) or not launch.record_path.exists():
        english = f"there is no launch {launch_id!r} in {state_dir}"
        fail(both(english, f"{state_dir} 中没有启动 {launch_id!r}"), BAD_USAGE)
    as_owner.go_on_as_owner(launch)
    if not launch.ours:
        english = f"launch {launch_id} belongs to another user, who alone (and root) starts a keeper for it"
        fail(both(english, f"启动 {launch_id} 属于另一个用户，只有该用户（和 root）可以为它启动守护进程"))
    if not rescue.rescue(launch):
        english = f"no keeper came up for launch {launch_id}: see {launch.path / 'keeper.log'}"
        fail(both(english, f"启动 {launch_id} 的守护进程没有启动：查看 {launch.path / 'keeper.log'}"))
