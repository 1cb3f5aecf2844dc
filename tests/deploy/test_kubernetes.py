"""deploy/kubernetes: the manifests are valid and fit together, and the DaemonSet's configuration follows a node."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess
from support.container_runtimes import PODMAN_PROGRAMS, podman_storage

from tracetail.cli.configuration import load
from tracetail.cli.main import main
from tracetail.launcher import params

DIRECTORY = Path(__file__).parents[2] / "deploy" / "kubernetes"
MANIFESTS = sorted(path for path in DIRECTORY.glob("base/*/*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATIONS = sorted(DIRECTORY.glob("**/kustomization.yaml"))
OVERLAYS = sorted(DIRECTORY.glob("overlays/*"))
VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version().rpartition(".")[0])
"""The first with native sidecars on by default, one in between, and the newest that the schemas have."""


BUILDS = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="needs kubectl, which has kustomize; Debian has no package of it"
)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def document(name):
    (found,) = documents((DIRECTORY / name).read_text())
    return found


def built(overlay):
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_manifest_is_valid_for_kubernetes(path, version):
    for one in documents(path.read_text()):
        kubernetes_validate.validate(one, version, strict=True)


def test_the_check_finds_what_is_wrong():
    """So that a change of the validator cannot make the tests above empty."""
    wrong = document("base/sidecar/deployment.yaml")
    wrong["spec"]["template"]["spec"]["containers"][0]["restart_policy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="restart_policy"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_a_kustomization_names_is_there(path):
    found = yaml.safe_load(path.read_text())
    assert found["kind"] == "Kustomization"
    for resource in found["resources"]:
        assert (path.parent / resource).exists(), resource
    for file in itertools.chain.from_iterable(one.get("files", ()) for one in found.get("configMapGenerator", ())):
        assert (path.parent / file).is_file(), file
    if "images" in found:
        used = {
            container["image"]
            for manifest in MANIFESTS
            for one in documents(manifest.read_text())
            for kind in ("containers", "initContainers")
            for container in one["spec"].get("template", {}).get("spec", {}).get(kind, ())
        }
        assert {image["name"] for image in found["images"]} == used


@BUILDS
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_builds_and_is_valid(overlay):
    found = built(overlay)
    for one in found:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    text = json.dumps(found)
    names = {one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap"}
    for name in re.findall(r'"configMap(?:Ref)?": {"name": "([^"]+)"}', text):
        assert name in names
    assert "registry.example" in text


@BUILDS
def test_the_test_overlay_puts_its_trace_and_its_loki_in():
    found = {one["kind"]: one for one in built(DIRECTORY / "overlays" / "test")}
    template = found["Deployment"]["spec"]["template"]
    assert template["metadata"]["annotations"] == {"tracetail/trace-id": "t-1"}
    (agent,) = template["spec"]["initContainers"]
    assert agent["image"] == "registry.example/tracetail:1.0"
    name = agent["envFrom"][0]["configMapRef"]["name"]
    maps = [one for one in built(DIRECTORY / "overlays" / "test") if one["kind"] == "ConfigMap"]
    (loki,) = (one["data"] for one in maps if one["metadata"]["name"] == name)
    load(None, {**loki, **values_of(agent)})


def values_of(container):
    """Return the environment that a container gets, with a node's name."""
    given = {one["name"]: one.get("value", "node-1") for one in container["env"]}
    return {name: value.replace("$(NODE_NAME)", "node-1") for name, value in given.items()}


def test_the_agent_is_a_native_sidecar_that_shares_the_state_with_the_server():
    spec = document("base/sidecar/deployment.yaml")["spec"]["template"]["spec"]
    (agent,), (server,) = spec["initContainers"], spec["containers"]
    assert agent["restartPolicy"] == "Always"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for container in (agent, server):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= set(volumes)
        assert "emptyDir" in volumes[mounts[values_of(container)["TRACETAIL_STATE_DIR"]]]
        assert container["securityContext"]["readOnlyRootFilesystem"]
    assert spec["securityContext"]["runAsNonRoot"]
    stop = float(values_of(server)["TRACETAIL_RUN_STOP_TIMEOUT_SEC"])
    assert spec["terminationGracePeriodSeconds"] >= stop + 15  # the kill, the end of the log, the last callback
    probe = server["startupProbe"]
    ready = float(values_of(server)["TRACETAIL_RUN_READY_TIMEOUT_SEC"])
    assert probe["periodSeconds"] * probe["failureThreshold"] > ready  # tracetail gives up first, and says why


def test_the_commands_and_variables_are_those_of_tracetail():
    server = document("base/sidecar/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    assert server["command"][:2] == ["tracetail", "run"]
    run = main.get_command(None, "run")
    flags = {f"TRACETAIL_RUN_{param.name.upper()}" for param in run.params}
    overlay = yaml.safe_load((DIRECTORY / "overlays/ascend/kustomization.yaml").read_text())
    named = re.findall(r"TRACETAIL_RUN_\w+", json.dumps([server, overlay]))
    assert named
    assert set(named) <= flags
    assert set(params.flag_types()) >= {"stop_timeout_sec"}


def test_the_daemonset_asks_nothing_of_the_cluster():
    spec = document("base/daemonset/daemonset.yaml")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    (agent,) = spec["containers"]
    mounts = {mount["name"]: mount for mount in agent["volumeMounts"]}
    for volume in spec["volumes"]:
        if "hostPath" in volume and volume["name"] != "state":
            assert mounts[volume["name"]]["readOnly"], volume
    config = DIRECTORY / "base/daemonset/tracetail.toml"
    loaded = load(str(config), values_of(agent))
    assert loaded.agent.labels == {"host": "node-1"}
    roots = [mount["mountPath"] for mount in mounts.values()]
    (source,) = loaded.agent.sources
    assert any(source.glob.startswith(root) for root in roots)
    assert any(source.labels_file.startswith(root) for root in roots)


UID = "0f7b3a52-8f0e-4a35-9d6e-2f1f7c1d9a10"
ANNOTATIONS = r"""kubernetes.io/config.seen="2026-11-26T14:31:20.1Z"
tracetail/instance-id="1008611"
tracetail/model-name="Qwen/Qwen3-8B \"fast\""
tracetail/trace-id="4bf92f3577b34da6a3ce929d0e0e4736"
"""
"""As a kubelet writes the annotations of a pod into the volume of the downward API."""


def node(root, uid=UID, annotations=ANNOTATIONS):
    """Make what a kubelet makes for a pod on its node; return the path of its container's first log."""
    volume = root / "var/lib/kubelet/pods" / uid / "volumes/kubernetes.io~downward-api/tracetail"
    (volume / "..2026_11_26").mkdir(parents=True)
    (volume / "..2026_11_26" / "annotations").write_text(annotations)
    (volume / "..data").symlink_to("..2026_11_26")
    (volume / "annotations").symlink_to("..data/annotations")
    log = root / f"var/log/pods/llm-test_server-7c9f-abcde_{uid}/llm-server/0.log"
    log.parent.mkdir(parents=True)
    return log


def configuration(root):
    """Return the DaemonSet's own configuration, for a node whose files are beneath a directory."""
    text = (DIRECTORY / "base/daemonset/tracetail.toml").read_text()
    assert "[[agent.sources]]" in text
    return text.replace('"/var/', f'"{root}/var/')


@pytest.mark.needs(*PODMAN_PROGRAMS)
async def test_the_daemonsets_configuration_follows_what_podman_writes_as_a_kubelet_does(tmp_path):
    log = node(tmp_path)
    script = "echo '(EngineCore pid=7) ERROR 11-26 14:31:25 [core.py:7] boom'; printf unfinished"
    with podman_storage() as podman:
        podman(
            "run", "--rm", "--network=host", "--log-driver", "k8s-file", "--log-opt", f"path={log}",
            "busybox-static", "sh", "-c", script,
        )  # fmt: skip
    assert re.match(r"\d{4}-\d\d-\d\dT\S+ stdout F \(EngineCore", log.read_text())
    loki = LokiStandIn()
    await loki.start()
    agent = AgentProcess(tmp_path / "state", loki.url, configuration(tmp_path))
    try:
        await agent.start()
        await loki.until(lambda: len(loki.stored) >= 2)
    finally:
        await agent.stop()
        await loki.stop()
    first, *_ = loki.entries()
    assert first.line.endswith("[core.py:7] boom")
    for label in (
        'traceId="4bf92f3577b34da6a3ce929d0e0e4736"',
        'instanceId="1008611"',
        'service_name="Qwen/Qwen3-8B \\"fast\\""',
        'namespace="llm-test"',
        'pod="server-7c9f-abcde"',
        'container="llm-server"',
        'env="test"',
    ):
        assert label in first.labels, label
    assert dict(first.metadata)["level"] == "error"


def test_the_values_for_lokis_chart_say_the_same_as_our_own_configuration():
    values = document("loki-values.yaml")["loki"]
    ours = yaml.safe_load((DIRECTORY.parent / "loki" / "loki-single.yaml").read_text())
    for name, value in values["limits_config"].items():
        assert ours["limits_config"][name] == value, name
    (schema,), (own,) = values["schemaConfig"]["configs"], ours["schema_config"]["configs"]
    assert str(own.pop("from")) == schema.pop("from")
    assert schema == own
