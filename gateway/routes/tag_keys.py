"""Tag keys as a database may see them: what only looks different may be the same row.

MySQL's usual collations compare without case and accents, skip invisible characters and ignore
trailing blanks, and MLflow's upsert of a tag goes by the database's comparison.
"""

from __future__ import annotations

import unicodedata

_IGNORED = frozenset({"Mn", "Me", "Cc", "Cf"})


def folded(key: str) -> str:
    """The key without case, accents, compatibility forms, invisible characters and outer blanks."""
    if key.isascii() and key.isprintable():
        return key.lower().strip()
    # Twice: folding the case of a compatibility form can give a character with an accent.
    for _ in range(2):
        plain = unicodedata.normalize("NFKD", key)
        key = "".join(c for c in plain if unicodedata.category(c) not in _IGNORED).casefold()
    return key.strip()
