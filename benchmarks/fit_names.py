"""Fit the weights by which names of people are told in English and Vietnamese text, and print `sampan/governance/name_weights.py`.

    python benchmarks/fit_names.py FOLDER

FOLDER holds what `personal_data.py` does not show: `synth_dataset_v2.json` (its odd templates are taken), `wnut17train.conll` of
github.com/leondz/emerging_entities_17 (e52a2d2) and `en_ewt-ud-dev.iob2` of github.com/UniversalNER/UNER_English-EWT (8ed072d) and
`vlsp2016_dev.txt`, corpus/vlsp2016/dev.txt of github.com/undertheseanlp/ner (8511565). Tweets weigh half. On the error stream: precision
and recall at several limits, each text judged by weights that the others gave (five parts; Vietnamese forty sentences at a time).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from personal_data import Text, documents, sentences, synthetic
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from sampan.governance.english_names import Candidate, candidates
from sampan.governance.name_tokens import Token, tokens_of
from sampan.governance.patterns import plain
from sampan.governance.vietnamese_evidence import vietnamese_candidates

Seek = Callable[[str, Sequence[Token]], Iterable[Candidate]]

LIMITS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
FEWEST, LEAST = 8, 0.1  # candidates that have a sign, and a weight, to be kept
Judged = list[tuple[tuple[str, ...], bool]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    vietnamese = sentences(folder / "vlsp2016_dev.txt", {"PER": "name"}, separator="\t")
    print('"""How much each sign says for or against a name of a person; written by `benchmarks/fit_names.py`. "" is counted always."""')
    print("\nfrom typing import Final\n")
    fit(
        "ENGLISH",
        {
            "presidio-research, odd templates": synthetic(folder / "synth_dataset_v2.json", odd=True),
            "WNUT 2017 train": sentences(folder / "wnut17train.conll", {"person": "name"}),
            "UNER English EWT dev": documents(folder / "en_ewt-ud-dev.iob2"),
        },
        candidates,
    )
    fit("VIETNAMESE", {"VLSP 2016 dev": vietnamese}, lambda text, tokens: vietnamese_candidates(text, tokens, marked=True))
    fit(
        "BARE_VIETNAMESE",
        {"VLSP 2016 dev, without marks": [Text(plain(each.text), each.labeled) for each in vietnamese]},
        lambda text, tokens: vietnamese_candidates(text, tokens, marked=False),
    )
    return 0


def fit(name: str, sets: Mapping[str, list[Text]], seek: Seek) -> None:
    """Print the weights of candidates in some texts."""
    signs: list[dict[str, int]] = []
    right: list[bool] = []
    of_text: list[str] = []
    weight: list[float] = []
    for title, texts in sets.items():
        judged = [(f"{title} {i // 40 if len(sets) == 1 else i}", *one) for i, text in enumerate(texts) for one in judge(text, seek)]
        of_text += [text for text, _, _ in judged]
        signs += [dict.fromkeys(told, 1) for _, told, _ in judged]
        right += [is_name for _, _, is_name in judged]
        weight += [(0.5 if title.startswith("WNUT") else 1.0) / len(judged)] * len(judged)
    truth, shares = np.array(right), np.array(weight) * len(right)
    show(sets, of_text, truth, crossed(signs, truth, shares, of_text))
    vectors = DictVectorizer()
    model = LogisticRegression(C=0.5, max_iter=3000).fit(vectors.fit_transform(signs), truth, sample_weight=shares)
    counts = np.asarray(vectors.transform(signs).sum(axis=0)).ravel()
    print(f'{name}: Final = {{\n    "": {model.intercept_[0]:.2f},')
    for sign, n, value in sorted(zip(vectors.feature_names_, counts, model.coef_[0], strict=True), key=lambda one: -one[2]):
        if n >= FEWEST and abs(value) >= LEAST:
            print(f"    {json.dumps(sign, ensure_ascii=False)}: {value:.2f},")
    print("}")


def judge(text: Text, seek: Seek) -> Judged:
    """Return the signs of each candidate, and whether it overlaps a labeled name."""
    tokens = tokens_of(text.text)
    found = []
    for first, n, told in seek(text.text, tokens):
        begin, end = tokens[first].start, tokens[first + n - 1].end
        found.append((told, any(begin < stop and start < end for start, stop in text.labeled.get("name", ()))))
    return found


def crossed(signs: list[dict[str, int]], truth: np.ndarray, shares: np.ndarray, of_text: list[str]) -> np.ndarray:
    """Return each candidate's probability by weights that other texts gave."""
    found = np.zeros(len(truth))
    for others, own in GroupKFold(5).split(signs, truth, of_text):
        vectors = DictVectorizer()
        model = LogisticRegression(C=0.5, max_iter=3000)
        model.fit(vectors.fit_transform([signs[i] for i in others]), truth[others], sample_weight=shares[others])
        found[own] = model.predict_proba(vectors.transform([signs[i] for i in own]))[:, 1]
    return found


def show(sets: Mapping[str, list[Text]], of_text: list[str], truth: np.ndarray, probability: np.ndarray) -> None:
    """Tell how precision and recall (of the candidates and of all names) go with the limit."""
    for name, texts in sets.items():
        own = np.array([text.startswith(name) for text in of_text])
        n_labeled = sum(len(text.labeled.get("name", ())) for text in texts)
        for limit in LIMITS:
            taken = own & (probability >= limit)
            precision, recall = truth[taken].mean(), truth[taken].sum() / n_labeled
            print(f"{name:34} from {limit:.2f}  precision {precision:.3f}  recall about {recall:.3f}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
