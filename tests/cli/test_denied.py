"""A user who may not read the files of another gets one line that says whose they are, from every command."""

import grp
import os
import pwd

import pytest
from support.other_user import NOBODY, needs_root, run_tracetail_as, shared_directory

from tracetail.cli.denied import denied


@pytest.fixture
def open_tmp():
    with shared_directory() as path:
        yield path


@needs_root
@pytest.mark.parametrize(
    "command",
    [["ps"], ["gc"], ["status", "--trace-id", "a"], ["stop", "--trace-id", "a"], ["logs", "--trace-id", "a"]],
    ids=" ".join,
)
def test_a_state_directory_of_another_user_is_named_with_its_owner(command, open_tmp):
    state = open_tmp / "state"
    (state / "launches").mkdir(parents=True)
    state.chmod(0o700)
    environ = {"TRACETAIL_STATE_DIR": str(state), "TRACETAIL_LOKI_URL": "http://127.0.0.1:9"}
    done = run_tracetail_as(NOBODY, *command, environ=environ)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    if command[0] != "logs":
        assert "Permission denied" in done.stderr
        assert f"{state} belongs to user {pwd.getpwuid(os.geteuid()).pw_name}" in done.stderr


@needs_root
def test_an_agent_that_may_not_write_its_journal_names_the_owner(open_tmp):
    """As in a container whose user was changed: its volume is still the other one's."""
    state = open_tmp / "state"
    (state / "agent").mkdir(parents=True)
    (state / "agent").chmod(0o755)
    environ = {
        "TRACETAIL_STATE_DIR": str(state),
        "TRACETAIL_AGENT_OPEN": "true",
        "TRACETAIL_AGENT_LISTEN": "127.0.0.1:0",
    }
    done = run_tracetail_as(NOBODY, "agent", environ=environ)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert (done.returncode, "Errno" in done.stderr) == (1, False)
    assert f"{state}/agent/journal.lock: Permission denied; {state}/agent belongs to user {owner}" in done.stderr
    assert f": run this as {owner}" in done.stderr


@needs_root
@pytest.mark.parametrize(
    "command",
    [
        ["ps"],
        ["doctor"],
        ["verify", "--trace-id", "a"],
        ["gc"],
        ["logs", "--trace-id", "a"],
        ["config", "check"],
        ["up"],
    ],
    ids=" ".join,
)
def test_an_unreadable_configuration_is_named(command, open_tmp):
    config = open_tmp / "home" / "tracetail" / "tracetail.toml"
    config.parent.mkdir(parents=True)
    config.write_text("")
    config.parent.chmod(0o700)
    environ = {"TRACETAIL_STATE_DIR": str(open_tmp / "none"), "XDG_CONFIG_HOME": str(open_tmp / "home")}
    done = run_tracetail_as(NOBODY, *command, environ=environ)
    if command == ["ps"] and done.returncode == 0:
        return  # ps reads no configuration
    assert done.returncode in (1, 2)
    printed = done.stdout if command == ["doctor"] else done.stderr
    assert f"the configuration cannot be read: {config}: Permission denied" in printed
    assert "Traceback" not in done.stderr


@needs_root
def test_a_group_that_may_read_is_the_advice(open_tmp):
    group = grp.getgrnam("games")
    state = open_tmp / "state"
    state.mkdir()
    os.chown(state, 0, group.gr_gid)
    state.chmod(0o750)
    done = run_tracetail_as(NOBODY, "ps", environ={"TRACETAIL_STATE_DIR": str(state)})
    assert "join that group (usermod -aG games nobody, then log in again)" in done.stderr


def test_an_error_without_a_file_is_its_own_text():
    assert denied(PermissionError(1, "Operation not permitted")) == "Operation not permitted"
