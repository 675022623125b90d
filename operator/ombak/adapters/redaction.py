"""Takes secrets out of what a server says: it may quote our request, as it stands or in some encoding.

A secret is found whole in every mix of plain, percent-encoded (several times over), HTML-escaped and
backslash-escaped characters. One of three characters or fewer is replaced only where it stands alone: it would occur
by chance in every second sentence, and that short it protects nothing.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping

_ALWAYS_HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie"})
_SCHEMES = frozenset({"apikey", "basic", "bearer", "digest", "key", "token"})
_SHORT = 3
_ALONE_BEFORE = r"(?:(?<![^\W_])|(?<=%[0-9a-f]{2}))"
_ALONE_AFTER = r"(?![^\W_])"
_SEPARATORS = re.compile(r"[\s,;]+")
_PARTS = re.compile(r"[\s,;:=\"'<>]+")
_HTML = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def secrets_of_headers(headers: Mapping[str, str], public: Iterable[str]) -> set[str]:
    """Everything in the values of headers that must not be seen; the names in `public` have no secret values.

    The name of a scheme (`Bearer`) before something else is none either.
    """
    open_names = {name.lower() for name in public} - _ALWAYS_HIDDEN
    secret = [value.strip() for name, value in headers.items() if name.lower() not in open_names]
    return {found for value in secret for found in _of_value(value)} - {""}


def secrets_of_basic_auth(user: str, password: str) -> set[str]:
    """The password, and every form of it that a server may quote."""
    whole = f"{user}:{password}"
    return {password, whole, *_encoded(whole), *_encoded(password)}


def pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """What finds these secrets in a text, None if there is nothing to find; the longest wins."""
    ordered = sorted({secret for secret in secrets if secret}, key=lambda secret: (-len(secret), secret))
    return re.compile("|".join(map(_pattern, ordered)), re.IGNORECASE) if ordered else None


def _of_value(value: str) -> Iterator[str]:
    yield value
    words = _SEPARATORS.split(value)
    if len(words) > 1 and words[0].lower() in _SCHEMES:
        words = words[1:]
        yield " ".join(words)
    for word in words:
        yield word
        yield word.rstrip("=")
        yield from _PARTS.split(word)
        yield from _decoded_basic_auth(word)


def _decoded_basic_auth(word: str) -> set[str]:
    """What is in the value of `Basic`; nothing if it is not one."""
    try:
        user, colon, password = base64.b64decode(word, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return set()
    return secrets_of_basic_auth(user, password) if colon else set()


def _encoded(text: str) -> tuple[str, ...]:
    """In base64, in both alphabets; what pads it may be left out, so it is no part."""
    raw = text.encode()
    return base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _pattern(secret: str) -> str:
    found = "".join(map(_character, secret))
    return f"{_ALONE_BEFORE}{found}{_ALONE_AFTER}" if len(secret) <= _SHORT else found


def _character(character: str) -> str:
    """A character however it may be written; as itself last, for `%` and backslash begin the other forms.

    Repetitions are bounded and give nothing back, else a text full of `%25` or backslashes cost more than its length.
    """
    forms = (
        [r"%(?:25){1,8}+"]
        if character == "%"
        else ["".join(f"%(?:25){{0,8}}+{byte:02x}" for byte in character.encode())]
    )
    if not character.isalnum():
        before = r"\\" if character == "\\" else r"\\{1,8}+"
        forms += [before + re.escape(character), rf"\\{{1,8}}+u{ord(character):04x}"]
        forms += [f"&#0{{0,8}}+{ord(character)};", f"&#x0{{0,8}}+{ord(character):x};"]
    if character in _HTML:
        forms.append(f"&{_HTML[character]};")
    if character == " ":
        forms.append(r"\+")
    return f"(?:{'|'.join([*forms, re.escape(character)])})"
