"""Who may open the apps: this machine freely, others only behind a sign-in."""

from __future__ import annotations

import pytest

from workbench.apps.access import check_binding, hash_password, is_loopback, main, may_enter, password_fits, read_users
from workbench.apps.serving import serve
from workbench.contracts import ParameterError, PermissionDenied

ADDRESSES = [
    ("127.0.0.1", True),
    ("127.9.9.9", True),
    ("::1", True),
    ("localhost", True),
    ("0.0.0.0", False),
    ("::", False),
    ("", False),
    ("192.168.1.20", False),
    ("example.org", False),
]


@pytest.mark.parametrize(("address", "local"), ADDRESSES)
def test_what_counts_as_this_machine(address, local, monkeypatch):
    monkeypatch.delenv("WORKBENCH_USERS", raising=False)
    assert is_loopback(address) is local
    if local:
        assert check_binding(address, None) is None
    else:
        with pytest.raises(PermissionDenied, match="needs a sign-in"):
            check_binding(address, None)


def test_serve_refuses_before_it_binds(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_USERS", raising=False)
    with pytest.raises(PermissionDenied):
        serve(tmp_path, 0, "0.0.0.0", start=False)


def test_hash_fits_only_its_password_and_is_salted():
    stored = hash_password("correct horse battery")
    assert password_fits("correct horse battery", stored)
    assert not password_fits("correct horse batterY", stored)
    assert hash_password("correct horse battery") != stored
    with pytest.raises(ParameterError, match="too short"):
        hash_password("short")


BROKEN = [("", "holds no user"), ("wang:secret", "another form"), ("wang scrypt", "another form")]


@pytest.mark.parametrize(("text", "why"), BROKEN)
def test_a_broken_file_of_users_is_refused_without_telling_its_text(tmp_path, text, why):
    file = tmp_path / "users.txt"
    file.write_text(text)
    with pytest.raises(ParameterError, match=why) as error:
        read_users(file)
    assert "secret" not in str(error.value)
    with pytest.raises(ParameterError):
        check_binding("127.0.0.1", file)


def test_users_are_added_and_replaced(tmp_path, monkeypatch):
    file = tmp_path / "users.txt"
    monkeypatch.setattr("getpass.getpass", lambda _: "a long password")
    assert main([str(file), "wang"]) == 0
    assert main([str(file), "li"]) == 0
    monkeypatch.setattr("getpass.getpass", lambda _: "another password")
    assert main([str(file), "wang"]) == 0
    users = read_users(file)
    assert set(users) == {"wang", "li"}
    assert may_enter(file, "wang", "another password")
    assert not may_enter(file, "wang", "a long password")
    assert not may_enter(file, "nobody", "another password")
    assert password_fits("another password", users["wang"])
    assert file.stat().st_mode & 0o077 == 0
    assert main([str(file), "a:b"]) == 2
    assert main([]) == 2
