"""A start that fails, in Chinese: cause, hint, phases and events. The line for schedulers has both languages."""

import json

ERROR = (
    "ValueError: User-specified max_model_len (99999) is greater than the derived max_model_len "
    "(max_position_embeddings=2048 or model_max_length=None in model's config.json).\n"
)
STEPS = [
    ["text", "INFO 11-22 13:12:10 [x.py:1] non-default args: {}\n"],
    ["text", ERROR],
    ["exit", 1],
]
CHINESE = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8", "PYTHONUTF8": "1"}


def test_a_failed_start_its_state_and_its_log_are_printed_in_chinese(world):
    started = world.run("start", "--params", world.params(STEPS), environ=CHINESE)
    lines = started.stdout.splitlines()
    assert started.status == 10
    assert any(line.startswith("读取参数 ") and line.endswith(" 秒") for line in lines)
    assert "原因：--max-model-len 99999 超过了模型的上限 2048" in lines
    assert "提示：减小 --max-model-len" in lines
    assert (started.result["cause"], started.result["hint"]) == (
        "--max-model-len 99999 is more than the model's 2048",
        "lower --max-model-len",
    )
    assert started.result["causeZh"] == "--max-model-len 99999 超过了模型的上限 2048"
    launch_id = started.result["launchId"]
    assert "：启动失败\n" in world.run("status", "--launch", launch_id, environ=CHINESE).stdout
    listed = world.run("ps", "-a", environ=CHINESE).stdout
    assert "超过了模型的上限" in listed
    assert [line.split()[2] for line in listed.splitlines()] == ["状态", "启动失败"]
    printed = world.run("logs", "--local", launch_id, environ=CHINESE).stdout
    assert "启动失败 " in printed
    assert "causeZh" not in printed
    raw = world.run("logs", "--local", "--json", launch_id, environ=CHINESE).stdout
    assert any(json.loads(line)["text"].startswith("failed ") for line in raw.splitlines())


def test_a_refused_start_says_in_both_languages_why(world, free_port):
    refused = world.run(
        "--lang", "zh", "start", "--params", '{"modelName": "m", "modelPath": "/nowhere/m", "pythonBin": "python3"}'
    )
    assert refused.status == 15
    assert "错误：modelPath /nowhere/m 不存在；" in refused.stderr
    assert refused.result["cause"] == "modelPath /nowhere/m does not exist"
    assert refused.result["causeZh"] == "modelPath /nowhere/m 不存在"
