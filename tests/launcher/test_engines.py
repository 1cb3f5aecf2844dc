"""What each engine is started with."""

import json

import pytest

from tracetail.launcher import engines, params_input
from tracetail.launcher.keeper.phase_watch import PhaseWatch


def command(**given):
    params = params_input.from_object({"modelName": "qwen", "modelPath": "/models/qwen"} | given)
    return engines.load(params.engine).command(params)


def test_vllm_is_served_by_its_command_where_that_works(tmp_path):
    python = tmp_path / "bin" / "python"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "vllm").touch()
    built = command(pythonBin=str(python), port=8001, args=["--tensor-parallel-size", 2])
    assert built.argv[:4] == [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model"]
    (tmp_path / "lib" / "python3.11" / "site-packages" / "vllm-0.32.0.dist-info").mkdir(parents=True)
    built = command(pythonBin=str(python), port=8001, args=["--tensor-parallel-size", 2])
    assert built.argv == [
        *(str(tmp_path / "bin" / "vllm"), "serve", "/models/qwen", "--port", "8001"),
        *("--served-model-name", "qwen", "--tensor-parallel-size", "2"),
    ]


def test_vllm_gets_its_key_where_ps_does_not_show_it(tmp_path):
    (tmp_path / "key").write_text("secret\n")
    built = command(apiKeyFile=str(tmp_path / "key"), args=["--served-model-name", "other"])
    assert built.environ == {"VLLM_API_KEY": "secret"}
    assert "secret" not in " ".join(built.argv)
    assert built.argv.count("--served-model-name") == 1


def test_sglang_listens_where_the_platform_can_probe_it():
    built = command(engine="sglang", pythonBin="python3.11")
    assert built.argv[:5] == ["python3.11", "-m", "sglang.launch_server", "--model-path", "/models/qwen"]
    assert built.argv[built.argv.index("--host") + 1] == "0.0.0.0"
    assert built.argv[built.argv.index("--port") + 1] == "8000"


# As older versions of SGLang print them, and 0.5.23.
SGLANG_STARTS = {
    "older": [
        "[2026-11-22 13:12:10] server_args=ServerArgs(model_path='/models/qwen', port=8000)",
        "[2026-11-22 13:12:20 TP0] Load weight begin. avail mem=78.50 GB",
        "[2026-11-22 13:12:30 TP0] Load weight end. type=Qwen2ForCausalLM, dtype=torch.bfloat16, avail mem=64.00 GB",
        "[2026-11-22 13:12:31 TP0] KV Cache is allocated. #tokens: 900000, K size: 24.00 GB, V size: 24.00 GB",
        "[2026-11-22 13:12:40 TP0] Capture cuda graph end. Time elapsed: 8.10 s. avail mem=9.00 GB",
        "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)",
        "[2026-11-22 13:12:44] The server is fired up and ready to roll!",
    ],
    "0.5.23": [
        "[2026-11-22 13:12:10] server_args={'model_path': '/models/qwen', 'port': 8000}",
        "[2026-11-22 13:12:20 TP0] Load weight begin. avail mem=78.50 GB",
        "[2026-11-22 13:12:30 TP0] Load weight end. elapsed=9.81 s, type=Qwen2ForCausalLM, avail mem=64.00 GB",
        "[2026-11-22 13:12:31 TP0] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 900000, K size: 24.00 GB",
        "[2026-11-22 13:12:40 TP0] Capture target decode CUDA graph end. bs=[1, 2], elapsed=8.10 s",
        "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)",
        "[2026-11-22 13:12:44] The server is fired up and ready to roll!",
    ],
}


@pytest.mark.parametrize("version", SGLANG_STARTS)
def test_the_phases_of_sglang_are_seen(version):
    watch = PhaseWatch(engines.load("sglang").phases)
    seen = []
    for line in SGLANG_STARTS[version]:
        watch.search(line.encode() + b"\n")
        seen += watch.passed
        watch.passed.clear()
    assert seen == [
        "arguments read",
        "model load begun",
        "model loaded",
        "cache sized",
        "graphs captured",
        "server started",
        "warmed up",
    ]


def test_mindie_gets_a_configuration_for_port_model_and_devices(tmp_path, monkeypatch):
    base = tmp_path / "config.json"
    model = {"modelName": "x", "worldSize": 1, "backendType": "atb"}
    backend = {"npuDeviceIds": [[0]], "ModelDeployConfig": {"maxSeqLen": 2560, "ModelConfig": [model]}}
    base.write_text(json.dumps({"ServerConfig": {"port": 1, "httpsEnabled": True}, "BackendConfig": backend}))
    monkeypatch.setenv("MIES_CONFIG_JSON_PATH", str(base))
    monkeypatch.setenv("MIES_INSTALL_PATH", "/opt/mindie-service")
    built = command(engine="mindie", devices=[4, 5], args=["BackendConfig.ModelDeployConfig.maxSeqLen=4096"])
    assert built.argv == ["/opt/mindie-service/bin/mindieservice_daemon"]
    assert built.environ["MINDIE_LOG_TO_STDOUT"] == "1"
    assert built.environ["MIES_CONFIG_JSON_PATH"] == "{launchDir}/mindie.json"
    written = json.loads(built.files["mindie.json"])
    assert written["ServerConfig"] == {
        "port": 1025,
        "httpsEnabled": True,
        "ipAddress": "0.0.0.0",
        "allowAllZeroIpListening": True,
    }
    deploy = written["BackendConfig"]["ModelDeployConfig"]
    assert deploy["maxSeqLen"] == 4096
    assert deploy["ModelConfig"] == [
        {"modelName": "qwen", "worldSize": 2, "backendType": "atb", "modelWeightPath": "/models/qwen"}
    ]
    assert written["BackendConfig"]["npuDeviceIds"] == [[0, 1]]


def test_mindie_names_the_fault_in_its_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("MIES_CONFIG_JSON_PATH", str(tmp_path / "none.json"))
    with pytest.raises(engines.EngineError, match=r"none\.json cannot be read"):
        command(engine="mindie")


def test_mindie_starts_for_real_with_the_written_file(world, tmp_path):
    install = tmp_path / "mindie-service"
    daemon = install / "bin" / "mindieservice_daemon"
    daemon.parent.mkdir(parents=True)
    daemon.write_text('#!/bin/sh\ncat "$MIES_CONFIG_JSON_PATH"\necho "Daemon start success!"\nexec sleep 600\n')
    daemon.chmod(0o755)
    (install / "conf").mkdir()
    (install / "conf" / "config.json").write_text('{"BackendConfig": {}}')
    world.environ["MIES_INSTALL_PATH"] = str(install)
    started = world.run(
        "start", "--model-name", "m", "--model-path", str(tmp_path), "--engine", "mindie", "--port", "18999"
    )
    assert started.status == 0, started.stdout
    assert "daemon started" in started.stdout
    assert b'"port": 18999' in world.output(world.launch(started.result))
    assert world.run("stop", "--model-name", "m", "--port", "18999").status == 0


def test_custom_fills_placeholders_in_its_command():
    built = command(command=["serve", "--port={port}", "{modelPath}", "{other}"], port=9000)
    assert built.argv == ["serve", "--port=9000", "/models/qwen", "{other}"]
