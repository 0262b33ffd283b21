"""Words as both BM25s read them, Vespa's and the first stage's that is measured in its place."""

import sys
import unicodedata

# What Vespa takes for no text and refuses in a string field: by com.yahoo.text.Text.isTextCharacter.
CONTROLS = [chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"]
_NO_CHARACTERS = [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)]
NOT_TEXT = frozenset([*CONTROLS, *map(chr, [*range(0xD800, 0xE000), *range(0xFDD0, 0xFDE0), *_NO_CHARACTERS])])
# Soft hyphens, spaces of no width and the like, at which Vespa's tokenizer parts a word.
_NEWER = {
    0x890,
    0x891,
    0x8E2,
    0x110CD,
    *range(0x13430, 0x13440),
}  # BERT's normaliser leaves these
INVISIBLE = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Cf" and ord(c) not in _NEWER]
# Dropped from documents and queries, not made spaces, as BERT's normaliser drops them: the tokens stay those of the
# whole text. Of code points that are no characters, which no text should have, it makes [UNK].
DROPPED = dict.fromkeys(map(ord, [*NOT_TEXT, *INVISIBLE]))

# Snowball's algorithm of each language that Vespa's OpenNlpTokenizer stems by it; all others it would stem as English.
STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hu": "hungarian",
    "id": "indonesian",
    "it": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}


def stemmer_of(language: str) -> str | None:
    """Snowball's algorithm for a language's tag; none where words stay as they are.

    >>> stemmer_of("pt-br"), stemmer_of("pl")
    ('portuguese', None)
    """
    return STEMMERS.get(language.partition("-")[0])
