"""The container part of a launch's plan, and the checks of runtime, image and devices before it.

What stands in the plan makes the keeper, and every keeper after it, use the same engine of the runtime.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracetail.contract.accelerators import ASCEND, CUDA, visible_devices_variable
from tracetail.contract.record import LaunchDir, Record
from tracetail.launcher import engines
from tracetail.launcher.containers import client, create_command, labels, machine_devices
from tracetail.launcher.containers.client import Client, RuntimeProblemError
from tracetail.launcher.params import Container, Params
from tracetail.launcher.plan import Plan
from tracetail.launcher.result import PREFLIGHT_FAILED, Refusal

Image = Mapping[str, Any]
"""What `image inspect` says."""


def check(params: Params) -> Image | None:
    """Return the image if it is on this machine. Raises Refusal if runtime, image or devices cannot be used."""
    container = params.container
    assert container is not None
    used = Client(container.runtime)
    try:
        used.check()
        found = used.image(container.image)
    except RuntimeProblemError as problem:
        raise refusal(problem) from problem
    if found is None and container.pull == "never":
        how = f"{container.runtime} pull {container.image}"
        raise Refusal(
            PREFLIGHT_FAILED,
            f"image {container.image} is not on this machine, and container.pull is never",
            f"pull it ({how}), or leave container.pull out",
            "image_missing",
            (
                f"本机没有镜像 {container.image}，且 container.pull 为 never",
                f"先拉取（{how}），或去掉 container.pull",
            ),
        )
    for mount in container.mounts:
        _check_mount(mount)
    problem_of_devices = machine_devices.problem(params)
    if problem_of_devices is not None:
        cause, hint, cause_zh, hint_zh = problem_of_devices
        raise Refusal(PREFLIGHT_FAILED, cause, hint, "devices_not_visible", (cause_zh, hint_zh))
    return found


def refusal(problem: RuntimeProblemError) -> Refusal:
    """Return the refusal for a runtime that cannot be used."""
    return Refusal(PREFLIGHT_FAILED, problem.cause, problem.hint, problem.code, problem.zh)


def within_container(
    settings: Plan,
    params: Params,
    command: engines.Command,
    launch: LaunchDir,
    draft: Record,
    image: Image | None,
    ids: Mapping[str, str],
) -> Plan:
    """Return the plan of a launch with its server in a container; the draft of its record names the container.

    Args:
        settings: the plan as it is without a container.
        params: the parameters; completed.
        command: of the engine, for the container.
        launch: the launch.
        draft: of its record.
        image: if it is on this machine.
        ids: the variables by which a server knows its launch: they hold no secret.

    """
    container = params.container
    assert container is not None
    state_dir = launch.path.parent.parent
    here = {"launchDir": str(launch.path)}
    own = {name: engines.fill(value, here) for name, value in command.environ.items()}
    secrets = {name: value for name, value in (params.environ | own).items() if name not in ids}
    visible = machine_devices.visible_devices(params)
    if visible:
        variable = ASCEND if machine_devices.uses_ascend(params) else visible_devices_variable() or CUDA
        secrets[variable] = visible
    several_lines = {name: value for name, value in secrets.items() if "\n" in value}
    environ = client.environment(os.environ)
    create = create_command.create(
        params,
        launch_dir=launch.path,
        own_labels=labels.of_launch(draft, state_dir),
        argv=[engines.fill(word, here) for word in command.argv],
        files=list(command.files),
        shown=ids,
        inherited=several_lines,
        work_dir=params.work_dir,
    )
    draft["container"] = {
        "runtime": container.runtime,
        "name": labels.name(draft["launchId"]),
        "image": container.image,
    }
    if image is not None and container.pull != "always":
        draft["container"]["imageDigest"] = create_command.registry_digest(image)
    return {
        **settings,
        "argv": [container.runtime, "start", "--attach"],
        # Of the client. It carries the launch's tag, too, so that a stop finds it.
        "environ": {**environ, **several_lines, **ids},
        # Of preStart and the client: that of the parameters is a directory in the container.
        "workDir": os.getcwd() if settings["workDir"] == params.work_dir else settings["workDir"],  # noqa: PTH109
        "container": {
            "runtime": container.runtime,
            "client": environ,
            "image": container.image,
            "labels": labels.owner(draft["launchId"], state_dir),
            "pull": _pull(container, image),
            "create": create,
            "secrets": {name: value for name, value in secrets.items() if name not in several_lines},
        },
    }


def _pull(container: Container, image: Image | None) -> list[str]:
    if container.pull == "always" or (image is None and container.pull == "missing"):
        return create_command.pull(container)
    return []


def _check_mount(mount: str) -> None:
    """Raise Refusal for a directory that does not exist: docker would make an empty one, as root."""
    source = mount.partition(":")[0]
    if source.startswith("/") and not Path(source).exists():
        raise Refusal(
            PREFLIGHT_FAILED,
            f"container.mounts: {source} does not exist on this machine",
            "create it or change container.mounts",
            zh=(f"container.mounts：本机不存在 {source}", "创建它，或修改 container.mounts"),
        )
