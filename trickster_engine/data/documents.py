"""Documents in a stream of text: where each ends. Standard library only.

A text never contains a zero character (a file with a zero byte is refused as binary), so that one can end a document:
a stream with documents is plain text in which MARK follows each of them, the last one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trickster_engine.config.settings import STREAM

#: Ends a document in a stream of text. One character, counted as one, and one token of its own.
MARK = "\0"
#: Of `Reading.documents`: the text has its marks already.
MARKED = "marked"
#: What tokenizers call it.
END_OF_TEXT = "<|endoftext|>"
#: No part of a document where they stand before or after a separator.
_LINE_ENDS = "\r\n"


def mark_documents(chunks: Iterable[str], documents: str, separator: str) -> Iterator[str]:
    """Yield a file's text with MARK behind each document, which is what `data_config.documents` says; none in a stream.

    `separator` is that between documents that are `separated`.
    """
    if documents == "files":
        yield from whole_document(chunks)
    elif documents in (STREAM, MARKED):
        yield from chunks
    else:
        yield from separated_documents(chunks, separator if documents == "separated" else "\n")


def whole_document(chunks: Iterable[str]) -> Iterator[str]:
    """Yield a text and MARK; nothing where it is only white space."""
    held, begun = "", False
    for chunk in chunks:
        if begun:
            yield chunk
            continue
        held += chunk
        if held.strip():
            begun = True
            yield held
    if begun:
        yield MARK


def separated_documents(chunks: Iterable[str], separator: str) -> Iterator[str]:
    """Yield the documents between separators, each ended by MARK; what is only white space is no document.

    A separator is a text as it stands, at least one character. Line ends around it belong to it.
    """
    held, begun = "", False  # the end of what was read, which may be part of a separator or of the line ends before it
    for chunk in chunks:
        *whole, held = (held + chunk).split(separator)
        pieces = []
        for text in whole:
            if begun or text.strip():
                pieces += [text.rstrip(_LINE_ENDS) if begun else text.strip(_LINE_ENDS), MARK]
            begun = False
        sure = held[: max(0, len(held) - len(separator) + 1)].rstrip(_LINE_ENDS)
        if begun or sure.strip():
            pieces.append(sure if begun else sure.lstrip(_LINE_ENDS))
            held, begun = held[len(sure) :], True
        if pieces:
            yield "".join(pieces)
    if begun or held.strip():
        yield (held.rstrip(_LINE_ENDS) if begun else held.strip(_LINE_ENDS)) + MARK


def without_marks(chunks: Iterable[str]) -> Iterator[str]:
    """Yield the pieces of a stream between marks."""
    for chunk in chunks:
        yield from filter(None, chunk.split(MARK))
