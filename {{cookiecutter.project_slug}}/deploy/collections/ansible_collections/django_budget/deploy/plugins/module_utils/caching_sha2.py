"""Does a password belong to an `authentication_string` of MySQL's caching_sha2_password?

The server has no function that answers this, and setting the password again would be a change at
every run. The stored form is `$A$005$` + 20 bytes of salt + 43 characters: SHA-crypt of Ulrich
Drepper (https://www.akkadia.org/drepper/SHA-crypt.txt) with 5000 rounds and a salt longer than
crypt(3) takes.
"""

import hashlib
import hmac

ALPHABET = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = b"$A$"
SALT_BYTES = 20


def matches(stored, password):
    """Whether `password` (str) gives the authentication string `stored` (bytes)."""
    if not stored.startswith(PREFIX) or len(stored) != 7 + SALT_BYTES + 43:
        return False
    rounds = int(stored[3:6], 16) * 1000
    salt, digest = stored[7 : 7 + SALT_BYTES], stored[7 + SALT_BYTES :]
    return hmac.compare_digest(_sha256_crypt(password.encode(), salt, rounds), digest)


def _repeat(block, length):
    return (block * (length // len(block) + 1))[:length]


def _sha256_crypt(password, salt, rounds):
    def digest(data):
        return hashlib.sha256(data).digest()

    inner = digest(password + salt + password)
    mixed = password + salt + _repeat(inner, len(password))
    length = len(password)
    while length:
        mixed += inner if length & 1 else password
        length >>= 1
    state = digest(mixed)
    p = _repeat(digest(password * len(password)), len(password))
    s = _repeat(digest(salt * (16 + state[0])), len(salt))
    for number in range(rounds):
        data = p if number & 1 else state
        data += s if number % 3 else b""
        data += p if number % 7 else b""
        data += state if number & 1 else p
        state = digest(data)
    return _encode(state)


def _encode(state):
    out = bytearray()
    first, second, third = 0, 10, 20
    for _ in range(10):
        out += _characters(state[first] << 16 | state[second] << 8 | state[third], 4)
        first, second, third = third + 1, first + 1, second + 1
    out += _characters(state[31] << 8 | state[30], 3)
    return bytes(out)


def _characters(number, count):
    return bytes(ALPHABET[(number >> 6 * place) & 63] for place in range(count))
