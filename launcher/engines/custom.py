"""Any command. It often wraps vLLM (in a container, by a script), so vLLM's phases are used."""

from tracetail.launcher.engines import Command, Engine, EngineError, Service, fill, vllm


def command(service: Service) -> Command:
    """Return the given command with `{port} {modelPath} {modelName}` filled in."""
    if not service.command and service.container is None:
        raise EngineError('engine custom needs `command`: a list of arguments, for instance ["python", "serve.py"]')
    values = {
        "port": "" if service.port is None else str(service.port),
        "modelPath": service.model_path,
        "modelName": service.model_name,
    }
    return Command([fill(word, values) for word in [*service.command, *service.args]])


ENGINE = Engine(
    name="custom",
    default_port=None,
    ready_path="/health",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
    container_command=command,
    phases=vllm.ENGINE.phases,
)
