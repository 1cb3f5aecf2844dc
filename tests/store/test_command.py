"""`tracetail store` as a process: start, stop, settings, access."""

import os
import signal
import socket

from support import commands
from support.store_process import StoreProcess


def run_store(state_dir, **settings):
    store = StoreProcess(state_dir, **settings)
    return commands.run("store", env=store.environment(), text=True, timeout=60)


def test_a_second_store_on_the_same_database_refuses(store):
    second = run_store(store.state_dir)
    assert second.returncode == 1
    assert "another store already uses" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_store_without_a_secret_does_not_listen_beyond_loopback(tmp_path):
    refused = run_store(tmp_path, listen="0.0.0.0:0")
    assert refused.returncode == 1
    assert "secret_file" in refused.stderr


def test_an_address_in_use_is_reported_in_one_line(store, tmp_path):
    refused = run_store(tmp_path / "other", listen=store.url.removeprefix("http://"))
    assert refused.returncode == 1
    assert "cannot listen" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_an_invalid_setting_gives_exit_status_2(tmp_path):
    assert run_store(tmp_path, retention_days="-1").returncode == 2
    assert run_store(tmp_path, listen="nowhere").returncode == 2


def test_sigint_stops_the_store_with_status_0(store):
    store.process.send_signal(signal.SIGINT)
    assert store._ended() == 0


def test_every_request_except_ready_needs_the_secret(make_store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    store = make_store(secret_file=secret)
    assert store.call("GET", "/ready").status == 200
    assert store.call("GET", "/loki/api/v1/labels").status == 401
    assert store.call("GET", "/loki/api/v1/labels", headers={"Authorization": "Bearer s3cret"}).status == 200
    assert store.call("GET", "/loki/api/v1/labels", headers={"Authorization": "Bearer S3cret"}).status == 401


def test_a_rotated_secret_is_used_without_a_restart(make_store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    store = make_store(secret_file=secret)

    def status(token):
        return store.call("GET", "/loki/api/v1/labels", headers={"Authorization": f"Bearer {token}"}).status

    assert (status("one"), status("two")) == (200, 401)
    secret.write_text("two\n")
    assert (status("one"), status("two")) == (401, 200)
    secret.unlink()
    assert status("two") == 200, "a rotation that is half done locks nobody out"
    assert store.errors.read_text().count("store.secret_file cannot be read") == 1


def test_a_header_that_is_not_text_is_refused(make_store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    store = make_store(secret_file=secret)
    assert store.call("GET", "/loki/api/v1/labels", headers={"Authorization": "Bearer \xff"}).status == 401


def test_pages_of_other_sites_can_neither_push_nor_tail(store):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        headers |= {"Content-Type": "text/plain"}
        assert store.call("POST", "/loki/api/v1/push", body=b"\x0a\x00", headers=headers).status == 403
        assert store.call("GET", "/loki/api/v1/tail", {"query": '{a="b"}'}, headers=headers).status == 403
    own = {"Origin": "http://localhost:8900", "Sec-Fetch-Site": "same-origin"}
    assert store.call("GET", "/loki/api/v1/labels", headers=own).status == 200


def test_without_a_secret_proxies_and_foreign_names_are_refused(store):
    assert store.call("GET", "/loki/api/v1/labels", headers={"Host": "evil.example"}).status == 403
    assert store.call("GET", "/loki/api/v1/labels", headers={"X-Forwarded-For": "10.0.0.1"}).status == 403


def test_the_database_and_its_backup_are_for_owner_and_group(tmp_path):
    store = StoreProcess(tmp_path / "state")
    old = os.umask(0o000)
    try:
        with store:
            commands.run("store", "backup", str(tmp_path / "copy.db"), env=store.environment(), check=True)
    finally:
        os.umask(old)
    for path in (store.database, tmp_path / "copy.db"):
        assert path.stat().st_mode & 0o777 == 0o640, path


def test_a_request_that_is_not_http_is_one_line_in_the_log(store):
    host, _, port = store.url.removeprefix("http://").partition(":")
    for garbage in (b"GET / HTTP/x\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(garbage)
            assert b" 400 " in client.recv(4096)
    lines = store.errors.read_text().splitlines()
    assert "Traceback" not in "\n".join(lines)
    assert sum("not HTTP" in line for line in lines) == 2
