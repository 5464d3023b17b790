"""What counts as text, in every kind of metadata.

Text may be read by people, and by nothing else: a field that holds a file, an encoding of one
or a program is no text. Every field also has a bound of its own. Words can still carry a
message, as any text can.
"""

from __future__ import annotations

import re
import unicodedata

#: The most characters of a long text, such as a description, and of a short one, such as a name.
LONG, SHORT = 2000, 256
#: The most bytes of text that a file keeps of one kind that has no bound by its fields:
#: all comments, all IPTC records, and all XMP properties.
MOST = 16384

# Control characters except tab and line ends, lone surrogates, private use, and unassigned:
# bytes that are no text almost always have some of these
_NEVER = frozenset({"Cc", "Cs", "Co", "Cn"})
_SPACES = frozenset("\t\n\r")
# Words that are too long for any language are base64, hexadecimal or the like
_WORD, _LONGEST_WORD = re.compile(r"[0-9A-Za-z]+"), 40
_RUN, _LONGEST_RUN = re.compile(r"[!-~]+"), 128  # such as an address
# Words that mix digits, small and capital letters: lines of base64 are made of them, and so
# are hexadecimal and decimal bytes
_MIXED = re.compile(r"(?<![0-9A-Za-z])(?!(?:[A-Z]?[a-z]+|[A-Z]+)(?![0-9A-Za-z]))[0-9A-Za-z]+")
_MOST_MIXED = 128  # letters of such words, if they are more than half of a text
# Tags, declarations and programs of HTML, XML and PHP; addresses that are programs; the
# beginnings of PDF, PostScript, RTF and scripts
_PROGRAM = re.compile(r"<[A-Za-z/!?%]|(?i:javascript|vbscript):|%PDF|%!PS|\{\\rtf|#!/")
_ADDRESS = re.compile(r"<[\w.+-]{1,64}@[\w.-]{1,255}>")  # as in "Jane Doe <jane@example.org>"


def is_text(value: str, most: int = LONG) -> bool:
    """Return whether a field of at most `most` characters holds text and nothing else."""
    return (
        len(value) <= most
        and "\ufffd" not in value  # which stands for what could not be decoded
        and not any(unicodedata.category(letter) in _NEVER for letter in set(value) - _SPACES)
        and not is_code(value)
    )


def is_code(value: str) -> bool:
    """Return whether a string holds something encoded, markup or a program."""
    return is_encoded(value) or _PROGRAM.search(_ADDRESS.sub("", value)) is not None


def is_encoded(value: str) -> bool:
    """Return whether a string, or several that are joined with spaces, hold bytes as letters."""
    mixed = len("".join(_MIXED.findall(value)))
    return (
        any(len(word) > _LONGEST_WORD for word in _WORD.findall(value))
        or any(len(run) > _LONGEST_RUN for run in _RUN.findall(value))
        or (mixed > _MOST_MIXED and 2 * mixed > len("".join(value.split())))
    )


def decoded(value: bytes) -> str | None:
    """Return bytes as text: UTF-8, or else Latin-1, in which 0xFF stands for no letter."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None if b"\xff" in value else value.decode("latin-1")


def kept(value: bytes, most: int = LONG) -> bytes | None:
    """Return text of at most `most` bytes up to its first NUL, or None if it is no text."""
    value = value[: most + 1].partition(b"\0")[0]
    text = decoded(value)
    return value if len(value) <= most and text is not None and is_text(text, most) else None
