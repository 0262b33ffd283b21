"""Characters and stemmers that Vespa's BM25 and the first stage's BM25 share."""

import sys
import unicodedata

# Characters that Vespa refuses in a string field (com.yahoo.text.Text.isTextCharacter).
CONTROLS = [chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"]
_NO_CHARACTERS = [*range(0xFFFE, sys.maxunicode + 1, 0x10000), *range(0xFFFF, sys.maxunicode + 1, 0x10000)]
NOT_TEXT = frozenset([*CONTROLS, *map(chr, [*range(0xD800, 0xE000), *range(0xFDD0, 0xFDE0), *_NO_CHARACTERS])])
# Soft hyphens, zero-width spaces and other format characters, at which Vespa's tokenizer splits a word.
_NEWER = {0x890, 0x891, 0x8E2, 0x110CD, *range(0x13430, 0x13440)}  # BERT's normaliser leaves these
INVISIBLE = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) == "Cf" and ord(c) not in _NEWER]
# Dropped from documents and queries, not replaced by spaces, because BERT's normaliser drops them too: tokens stay the
# same. Exception: it turns noncharacters, which no text should have, into [UNK].
DROPPED = dict.fromkeys(map(ord, [*NOT_TEXT, *INVISIBLE]))

# Language -> Snowball algorithm in Vespa's OpenNlpTokenizer, which would stem all other languages as English.
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
    """The Snowball algorithm of a language tag, or None for a language without stemming.

    >>> stemmer_of("pt-br"), stemmer_of("pl")
    ('portuguese', None)
    """
    return STEMMERS.get(language.partition("-")[0])
