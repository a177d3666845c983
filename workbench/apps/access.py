"""Who may open the apps from elsewhere: a file of users with hashed passwords, and a sign-in page of our own.

The file holds one ``user:scrypt$n$r$p$salt$hash`` a line. Add a user with ``python -m workbench.apps.access FILE USER``.
"""

from __future__ import annotations

import asyncio
import base64
import getpass
import hashlib
import hmac
import ipaddress
import os
import secrets
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from workbench.contracts import ParameterError, PermissionDenied

N, R, P = 2**14, 8, 1
USERS_VARIABLE = "WORKBENCH_USERS"
MIN_LENGTH = 10


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach ``address``; an empty address means every interface."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def hash_password(password: str) -> str:
    """Return a salted scrypt hash.

    Raises
    ------
    ParameterError
        If the password is shorter than :data:`MIN_LENGTH` characters.
    """
    if len(password) < MIN_LENGTH:
        raise ParameterError("the password is too short", got=f"{len(password)} characters", allowed=f"at least {MIN_LENGTH}")
    salt = secrets.token_bytes(16)
    return "$".join(["scrypt", str(N), str(R), str(P), _text(salt), _text(_derived(password, salt, N, R, P))])


def password_fits(password: str, stored: str) -> bool:
    """Return whether a password belongs to a stored hash."""
    scheme, n, r, p, salt, wanted = stored.split("$")
    return scheme == "scrypt" and hmac.compare_digest(_derived(password, _bytes(salt), int(n), int(r), int(p)), _bytes(wanted))


def read_users(file: Path) -> dict[str, str]:
    """Return the hash of each user.

    Raises
    ------
    ParameterError
        If the file is not there, holds no user, or a line has another form (its number is named, never its text).
    """
    if not file.is_file():
        raise ParameterError("no file of users", got=str(file), next_step=f"make one: python -m workbench.apps.access {file.name} USER")
    users = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, stored = line.strip().partition(":")
        if not colon or not name or stored.count("$") != 5 or not stored.startswith("scrypt$"):
            raise ParameterError(
                "a line of the file of users has another form", where=f"{file}, line {number}", allowed="user:scrypt$n$r$p$salt$hash"
            )
        users[name] = stored
    if not users:
        raise ParameterError("the file of users holds no user", where=str(file), next_step=f"python -m workbench.apps.access {file} USER")
    return users


def may_enter(users: Path, name: str, password: str) -> bool:
    """Return whether the password is this user's; an unknown user costs the same time as a known one."""
    stored = read_users(users).get(name)
    fits = password_fits(password, stored or _NOBODY)
    return fits and stored is not None


def check_binding(address: str, users: Path | None) -> Path | None:
    """Return the file of users that applies, or None where none is needed.

    Raises
    ------
    PermissionDenied
        If others could reach the address and there is no file of users.
    """
    file = users or (Path(os.environ[USERS_VARIABLE]) if os.environ.get(USERS_VARIABLE) else None)
    if file is not None:
        read_users(file)
        return file
    if not is_loopback(address):
        raise PermissionDenied(
            "an address that others can reach needs a sign-in",
            got=address or "every interface",
            allowed="127.0.0.1, or any address together with a file of users",
            next_step=f"python -m workbench.apps.access users.txt YOURNAME, then name the file or set {USERS_VARIABLE}",
        )
    return None


def provider(users: Path) -> Any:
    """Return a Panel sign-in provider over a file of users, with our own page (Panel's asks a CDN)."""
    from panel.auth import BasicAuthProvider, BasicLoginHandler

    class SignIn(BasicLoginHandler):  # type: ignore[misc]
        """Sign-in against scrypt hashes; the file is read anew each time, so a removed user is out."""

        _fits = False

        async def post(self) -> None:
            name, password = self.get_argument("username", ""), self.get_argument("password", "", strip=False)
            # off the event loop: a hash takes a while, and guessing must not stop the others
            self._fits = await asyncio.get_running_loop().run_in_executor(None, may_enter, users, name, password)
            if self._fits:
                super().post()
                return
            await asyncio.sleep(0.5)
            self.redirect(f"{self._login_endpoint}?error=1")

        def _validate(self, username: str, password: str) -> bool:
            return self._fits

    class Provider(BasicAuthProvider):  # type: ignore[misc]
        @property
        def login_handler(self) -> Any:
            SignIn._login_endpoint, SignIn._login_template = self._login_endpoint, self._login_template
            return SignIn

    with as_file(files("workbench.apps").joinpath("templates", "login.html")) as page:
        return Provider(login_template=str(page))


def _derived(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=32)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


_NOBODY = "$".join(["scrypt", str(N), str(R), str(P), _text(b"\0" * 16), _text(b"\0" * 32)])


def main(argv: list[str]) -> int:
    """Add a user to a file, or change the password of one."""
    if len(argv) != 2:
        sys.stderr.write("usage: python -m workbench.apps.access FILE USER\n")
        return 2
    file, user = Path(argv[0]), argv[1]
    if not user or any(c in user for c in ":\r\n#"):
        sys.stderr.write("a user name holds no colon, hash sign or line break\n")
        return 2
    try:
        stored = hash_password(getpass.getpass("password: "))
        others = {k: v for k, v in (read_users(file) if file.is_file() else {}).items() if k != user}
    except ParameterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    partial = file.with_name(f".{file.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text("".join(f"{k}:{v}\n" for k, v in {**others, user: stored}.items()), encoding="utf-8")
    partial.replace(file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
