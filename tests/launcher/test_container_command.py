"""What a container is made with, from the parameters of its launch."""

import itertools

import pytest

from tracetail.launcher import engines, params_input
from tracetail.launcher.containers import create_command, machine_devices
from tracetail.launcher.containers.client import Client
from tracetail.launcher.params import ParametersError

IDS = {"TRACE_ID": "t-1"}


def params(container, **more):
    given = {"modelName": "qwen", "modelPath": "org/qwen", "traceId": "t-1", "container": container, **more}
    return params_input.from_object(given)


def command(container, tmp_path, **more):
    found = params(container, **more)
    return create_command.create(
        found,
        launch_dir=tmp_path / "20261127T024216-4bf92f",
        own_labels={"tracetail.launchId": "20261127T024216-4bf92f"},
        argv=engines.load(found.engine).container_command(found).argv,
        files=[],
        shown=IDS,
        inherited=[],
        work_dir=found.work_dir,
    )


def values(words, option):
    return [value for name, value in itertools.pairwise(words) if name == option]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "container.image is missing"),
        ({"imag": "a"}, "did you mean image?"),
        ("not an image", "is not the name of an image"),
        ({"image": "a", "runtime": "crio"}, "container.runtime: expected one of docker, podman"),
        ({"image": "a", "mounts": ["data:models"]}, "is not <host path>:<path>"),
        ({"image": "a", "mounts": ["./data:/models"]}, "must be absolute"),
        ({"image": "a", "args": ["--rm"]}, "--rm is not for tracetail"),
        ({"image": "a", "args": ["-e", "KEY=secret"]}, "use `environ`"),
        ({"image": "a", "shmSize": "much"}, "expected a size"),
        ({"image": "a", "gpus": "two of them"}, "expected all, none or indices"),
        ([], "container: expected an object"),
    ],
)
def test_what_cannot_be_a_container_is_named(given, message):
    with pytest.raises(ParametersError, match=message.replace("?", r"\?").replace("(", r"\(")):
        params(given)


def test_an_image_is_container_enough():
    assert params("vllm/vllm-openai:v0.11.0").container.image == "vllm/vllm-openai:v0.11.0"
    snake = params({"image": "a", "shm_size": 1024, "gpus": [0, 1], "runtime": "podman"}).container
    assert (snake.shm_size, snake.gpus, snake.runtime) == ("1024", "0,1", "podman")


def test_a_start_adds_to_the_container_of_its_service():
    services = {"a": {"modelPath": "org/a", "container": {"image": "a:1", "args": ["--memory=8g"]}}}
    given = {"modelName": "a", "service": "a", "container": {"image": "a:2"}}
    found = params_input.from_object(given, services).container
    assert (found.image, found.args) == ("a:2", ["--memory=8g"])


def test_a_model_on_the_machine_is_mounted_unless_a_mount_covers_it(tmp_path):
    model = tmp_path / "models" / "qwen"
    model.mkdir(parents=True)
    words = command("a", tmp_path, modelPath=str(model))
    assert values(words, "--volume") == [f"{model}:{model}:ro"]
    mount = f"{tmp_path}/models:/models"
    words = command({"image": "a", "mounts": [mount]}, tmp_path, modelPath="/models/qwen")
    assert values(words, "--volume") == [mount]
    assert create_command.host_path(params({"image": "a", "mounts": [mount]}).container, "/models/qwen") == model


def test_engines_run_behind_the_entrypoints_of_their_images(tmp_path):
    assert command("vllm/vllm-openai", tmp_path)[-7:] == [
        *("vllm/vllm-openai", "--model", "org/qwen", "--port", "8000", "--served-model-name", "qwen")
    ]
    ascend = command("quay.io/ascend/vllm-ascend:v0.13.0", tmp_path)
    assert ascend[ascend.index("quay.io/ascend/vllm-ascend:v0.13.0") + 1 :][:3] == ["vllm", "serve", "org/qwen"]
    sglang = command("lmsysorg/sglang", tmp_path, engine="sglang")
    assert sglang[sglang.index("lmsysorg/sglang") + 1 :][:3] == ["python3", "-m", "sglang.launch_server"]
    assert command("a", tmp_path, engine="custom", command=["serve", "{port}"], port=1)[-3:] == ["a", "serve", "1"]
    assert command("a", tmp_path, engine="custom")[-1] == "a"


def test_the_key_of_sglang_is_in_no_command_line(tmp_path):
    (tmp_path / "key").write_text("sk-secret")
    found = params("lmsysorg/sglang", engine="sglang", apiKeyFile=str(tmp_path / "key"))
    built = engines.load("sglang").container_command(found)
    assert "sk-secret" not in " ".join(built.argv)
    assert "sk-secret" in built.environ.values()


def test_a_port_is_published_in_a_network_of_its_own(tmp_path):
    assert "--publish" not in command("a", tmp_path)
    assert values(command({"image": "a", "network": "bridge"}, tmp_path), "--publish") == ["8000:8000"]
    inside = command({"image": "a", "network": "bridge"}, tmp_path, host="127.0.0.1")
    assert values(inside, "--publish") == ["127.0.0.1:8000:8000"]
    assert "--publish" not in command({"image": "a", "network": "container:other"}, tmp_path)


def test_what_people_read_has_no_bookkeeping(tmp_path):
    readable = create_command.readable(command({"image": "a", "user": "1000"}, tmp_path, engine="custom"))
    assert readable == [
        *("docker", "run", "--name", "tracetail-20261127T024216-4bf92f", "--init"),
        *("--network", "host", "--user", "1000", "a"),
    ]


def npus(root):
    """Make the files of a machine with NPUs."""
    for name in (
        "dev/davinci0",
        "dev/davinci1",
        "dev/davinci10",
        "dev/davinci_manager",
        "dev/devmm_svm",
        "dev/hisi_hdc",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "usr/local/Ascend/driver/lib64").mkdir(parents=True)


def test_a_container_for_npus_gets_all_of_them_and_the_driver(tmp_path):
    npus(tmp_path)
    found = params("mindie:2.2", engine="mindie", devices=[0, 1])
    words = machine_devices.options(found, tmp_path)
    assert values(words, "--device") == [
        *("/dev/davinci0", "/dev/davinci1", "/dev/davinci10"),
        *("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"),
    ]
    assert values(words, "--volume") == ["/usr/local/Ascend/driver/lib64:/usr/local/Ascend/driver/lib64:ro"]
    assert machine_devices.visible_devices(found) == "0,1"
    assert machine_devices.problem(found, tmp_path) is None
    assert "davinci_manager" in machine_devices.problem(found, tmp_path / "nothing")[0]


def test_gpus_are_those_of_devices_unless_they_are_named(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert machine_devices.options(params("a"), tmp_path) == ["--gpus", "all"]
    assert machine_devices.options(params("a", devices=[2, 3]), tmp_path) == ["--gpus", '"device=2,3"']
    assert machine_devices.visible_devices(params("a", devices=[2, 3])) == ""
    named = params({"image": "a", "gpus": "4,5"}, devices=[0])
    assert machine_devices.options(named, tmp_path) == ["--gpus", '"device=4,5"']
    assert machine_devices.visible_devices(named) == "0"
    assert machine_devices.options(params({"image": "a", "gpus": "none"}), tmp_path) == []
    assert machine_devices.options(params("a", engine="custom"), tmp_path) == []
    podman = params({"image": "a", "runtime": "podman", "gpus": "0,1"})
    assert machine_devices.options(podman, tmp_path) == [
        *("--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=1")
    ]
    assert "/etc/cdi" in machine_devices.problem(podman, tmp_path)[0]
    (tmp_path / "etc" / "cdi").mkdir(parents=True)
    (tmp_path / "etc" / "cdi" / "nvidia.yaml").touch()
    assert machine_devices.problem(podman, tmp_path) is None


# As docker 20.10.24 with client 28.2.2 prints them.
DENIED = (
    "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: "
    'Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/containers/json": dial unix /var/run/docker.sock: connect: '
    "permission denied"
)
AWAY = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("stderr", "code"),
    [
        (DENIED, "container_runtime_denied"),
        (AWAY, "container_runtime_away"),
        ("Error response from daemon: No such container: x", "container_not_started"),
    ],
)
def test_a_runtime_that_cannot_be_used_says_what_to_do(stderr, code):
    problem = Client("docker", {}).problem(stderr)
    assert problem.code == code
    assert problem.hint or code == "container_not_started"


def test_a_runtime_that_is_not_installed_is_named(tmp_path):
    with pytest.raises(Exception, match="podman is not installed"):
        Client("podman", {"PATH": str(tmp_path)}).check()
