"""Free text as features, beside scikit-learn: the cost of a text in batch and in the graph, and how many rows of the two differ.

Texts are the messages of the programs that are installed here, in all their languages, or the lines of a file; a tenth of them again in
capitals, a tenth decomposed. Batch and graph have to agree in every bit.

    python benchmarks/text_features.py [FILE]
"""

from __future__ import annotations

import gettext
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import numpy as np
import onnxruntime
from sklearn.feature_extraction.text import TfidfVectorizer

from sampan.features import Columns, Letters, Words, feature, moment, number, text, view
from sampan.features.fitted import FittedView
from sampan.features.graph import feature_graph
from sampan.features.texts import TextColumns, TextEncoding, fit_text

MOST, TEXTS, ROUNDS, AT_ONCE = 1_000, 20_000, 3, 64
COLUMNS = Columns(at=moment(), note=text(), id=number())


def gathered(file: str) -> list[str]:
    rng = random.Random(0)
    if file:
        found = [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line]
    else:
        found = []
        for path in sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/*.mo")):
            try:
                with path.open("rb") as stream:
                    catalog = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
            except (OSError, IndexError, ValueError):  # some are not what they say they are
                continue
            found += [each for each in catalog.values() if isinstance(each, str) and each][:200]
    found = rng.sample(found, min(TEXTS, len(found)))
    tenth = found[: len(found) // 10]
    return sorted([*found, *(each.upper() for each in tenth), *(normalize("NFD", each) for each in tenth)], key=len)


def microseconds(call: Callable[[], object], n: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best / n * 1e6


def main(file: str) -> int:
    texts = gathered(file)
    print(f"{len(texts):,} texts, {MOST:,} columns; CPU us a text, best of {ROUNDS}\n")
    print("| | learn | batch | graph | scikit-learn: learn | transform, dense | rows that differ |\n|---|---|---|---|---|---|---|")
    n_off = 0
    jobs: dict[str, tuple[TextEncoding, TfidfVectorizer]] = {
        "words and pairs": (Words(most=MOST, longest=2), TfidfVectorizer(max_features=MOST, ngram_range=(1, 2))),
        "pieces of 2 to 4": (Letters(most=MOST), TfidfVectorizer(max_features=MOST, analyzer="char_wb", ngram_range=(2, 4))),
    }
    for name, (encoding, theirs) in jobs.items():
        features = {"note": feature(COLUMNS.note, encode=encoding)}
        notes = view("notes", on="notes", columns=COLUMNS, key=["id"], moment=COLUMNS.at, features=features)
        encoder = fit_text(encoding, texts)
        columns, options = TextColumns(encoder), onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        fitted = FittedView(notes, {}, {"note": encoder})
        session = onnxruntime.InferenceSession(feature_graph(fitted), options)
        composed = np.array([[normalize("NFC", each)] for each in texts], object)
        parts = [composed[at : at + AT_ONCE] for at in range(0, len(texts), AT_ONCE)]

        def by_graph(session: onnxruntime.InferenceSession = session, parts: list[np.ndarray] = parts) -> np.ndarray:
            return np.vstack([session.run(None, {"cat": part})[0] for part in parts])

        off = int((columns.apply(texts) != by_graph()).any(axis=1).sum())
        n_off += off
        theirs.fit(texts)
        costs = [
            microseconds(lambda encoding=encoding: fit_text(encoding, texts), len(texts)),
            microseconds(lambda columns=columns: columns.apply(texts), len(texts)),
            microseconds(by_graph, len(texts)),
            microseconds(lambda theirs=theirs: theirs.fit(texts), len(texts)),
            microseconds(lambda theirs=theirs: theirs.transform(texts).astype(np.float32).toarray(), len(texts)),
        ]
        print(f"| {name} | {' | '.join(f'{each:.1f}' for each in costs)} | {off} of {len(texts):,} |")
    return int(n_off > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
