"""Secrets of the approval page: made once, kept as hashes, found in constant time."""

import hmac
import secrets
from hashlib import sha256


class Keys:
    """Secrets of this process, at most `most` of them; the oldest is dropped for a new one."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._meanings: dict[bytes, str] = {}

    def new(self, meaning: str = "") -> str:
        """Make a secret that stands for something."""
        while len(self._meanings) >= self._most:
            del self._meanings[next(iter(self._meanings))]
        secret = secrets.token_urlsafe(32)
        self._meanings[_hash(secret)] = meaning
        return secret

    def find(self, secret: str) -> bytes | None:
        """Return the kept hash of a secret, or None; every kept one is compared."""
        given, found = _hash(secret), None
        for kept in self._meanings:
            if hmac.compare_digest(kept, given):
                found = kept
        return found

    def use(self, secret: str) -> str | None:
        """Return what a secret stands for and forget it, or None."""
        kept = self.find(secret)
        return None if kept is None else self._meanings.pop(kept)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "replace")).digest()
