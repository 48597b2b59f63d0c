"""Goals: of what is found in text that others wrote, 95 % of what has a shape is right, and 90 % of names; half of the names are found.

    python benchmarks/personal_data.py FOLDER [--presidio PYTHON]

FOLDER holds, each where it is there:

- `synth_dataset_v2.json` of github.com/microsoft/presidio-research (7622dec): 1,500 English texts, labeled. Rules were tuned on its odd
  templates; what is shown is of the even ones.
- `emerging.test.annotated` of github.com/leondz/emerging_entities_17 (e52a2d2), WNUT 2017: noisy English. Tuned on its training part.
- `en_ewt-ud-test.iob2` of github.com/UniversalNER/UNER_English-EWT (8ed072d): blogs, mails, reviews and answers. Tuned on its dev part.
- `vlsp2016_test.txt`, which is corpus/vlsp2016/test.txt of github.com/undertheseanlp/ner (8511565): Vietnamese news. Tuned on its dev part.
  Shown as it is and without its marks.
- `test_syllable.conll` of github.com/VinAIResearch/PhoNER_COVID19 (9af190a): only patients are labeled as names there, doctors and
  officials are not, so that nothing but recall can be read from it. Tuned on its training part.

The goals were set after the first measurement; those for names hold for text that is not posts. A find is right if it overlaps a labeled
piece of its class. `fit_names.py` fits the weights for names on the tuning parts. --presidio runs presidio-analyzer in another environment
(with spaCy's en_core_web_sm, installed there under any name) on the English texts, in the same way. Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from side_by_side import machine, versions

from sampan.governance.detection import find
from sampan.governance.patterns import plain

Span = tuple[int, int]
CLASSES = {
    "PERSON": "name",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "bank-account",
    "US_SSN": "national-id",
    "IP_ADDRESS": "ip",
    "STREET_ADDRESS": "address",
}
PRECISION_OF_SHAPES, PRECISION_OF_NAMES, RECALL_OF_NAMES = 0.95, 0.9, 0.5
POSTS, PRECISION_IN_POSTS = "WNUT 2017 test", 0.85  # posts whose names were picked because nobody had seen them before
OPENING, CLOSING = ("(", "“"), ",.!?;:)%”"


@dataclass(frozen=True, slots=True)
class Text:
    """A text with the pieces that are labeled, by class."""

    text: str
    labeled: Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Measured:
    """How often finds are right, and how many labeled pieces were found."""

    name: str
    precision: float
    recall: float
    n_found: int
    n_labeled: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presidio", type=Path, help="a Python in which presidio-analyzer and spaCy's small English model are installed")
    asked = parser.parse_args()
    print(machine(), versions("sampan"), sep="\n")
    missed = []
    for title, language, texts in sources(asked.folder):
        shown = [("sampan", _ours)]
        if asked.presidio and language == "en":
            shown.append(("presidio", lambda texts: _presidio(asked.presidio, texts)))
        for who, search in shown:
            begin = time.process_time(), time.perf_counter()
            found = search(texts)
            cpu, wall = time.process_time() - begin[0], time.perf_counter() - begin[1]
            spent = f"{1000 * (cpu if who == 'sampan' else wall) / len(texts):.2f} ms {'CPU' if who == 'sampan' else 'wall'} a text"
            print(f"\n{title}, {who} ({len(texts):,} texts, {spent})")
            measured = [measure(pii, texts, found) for pii in dict.fromkeys(pii for text in texts for pii in text.labeled)]
            for one in measured:
                figures = f"precision {one.precision:6.3f}  recall {one.recall:6.3f}"
                print(f"  {one.name:14} {figures}  ({one.n_found} found, {one.n_labeled} labeled)")
            if who == "sampan" and "patients" not in title:
                missed += [fault for one in measured for fault in faults(title, one)]
    print(f"\nmissed: {'; '.join(missed)}" if missed else "\nall goals reached")
    return 1 if missed else 0


def faults(title: str, one: Measured) -> Iterator[str]:
    """Say which goals a class misses in some texts."""
    least = PRECISION_OF_SHAPES if one.name != "name" else PRECISION_IN_POSTS if title == POSTS else PRECISION_OF_NAMES
    if one.precision < least:
        yield f"{title}: {one.name}: precision {one.precision:.3f}"
    if one.name == "name" and title != POSTS and one.recall < RECALL_OF_NAMES:
        yield f"{title}: {one.name}: recall {one.recall:.3f}"


def sources(folder: Path) -> Iterator[tuple[str, str, list[Text]]]:
    """Yield the title, language and texts of each source that is there."""
    if (file := folder / "synth_dataset_v2.json").exists():
        yield "presidio-research, even templates", "en", synthetic(file)
    if (file := folder / "emerging.test.annotated").exists():
        yield "WNUT 2017 test", "en", sentences(file, {"person": "name"})
    if (file := folder / "en_ewt-ud-test.iob2").exists():
        yield "UNER English EWT test", "en", documents(file)
    if (file := folder / "vlsp2016_test.txt").exists():
        texts = sentences(file, {"PER": "name"}, separator="\t")
        yield "VLSP 2016 test", "vi", texts
        yield "VLSP 2016 test, without marks", "vi", [Text(plain(each.text), each.labeled) for each in texts]
    if (file := folder / "test_syllable.conll").exists():
        yield "PhoNER test (patients alone are labeled)", "vi", sentences(file, {"NAME": "name"})


def synthetic(file: Path, *, odd: bool = False) -> list[Text]:
    """Read the texts of even templates, or of odd ones."""
    found = []
    for one in json.loads(file.read_text(encoding="utf-8")):
        text = one["full_text"]
        if one["template_id"] % 2 != odd or len(unicodedata.normalize("NFC", text)) != len(text):
            continue
        spans = [(CLASSES[s["entity_type"]], (s["start_position"], s["end_position"])) for s in one["spans"] if s["entity_type"] in CLASSES]
        found.append(Text(text, {pii: tuple(span for of, span in spans if of == pii) for pii in CLASSES.values()}))
    return found


def sentences(file: Path, kinds: Mapping[str, str], *, separator: str | None = None) -> list[Text]:
    """Read sentences of one word a line, its label last; words are put together as they are written."""
    found = []
    for block in file.read_text(encoding="utf-8").replace("\r", "").split("\n\n"):
        words = [line.split(separator) for line in block.splitlines() if line.strip()]
        if words:
            found.append(together([(word[0].replace("_", " "), word[-1].strip()) for word in words], kinds))
    return [each for each in found if unicodedata.is_normalized("NFC", each.text)]


def documents(file: Path) -> list[Text]:
    """Read the sentences of a file of Universal NER, each word with its number before and its label behind."""
    found = []
    for block in file.read_text(encoding="utf-8").split("\n\n"):
        words = [line.split("\t") for line in block.splitlines() if line and not line.startswith("#")]
        if words:
            found.append(together([(word[1], word[2]) for word in words], {"PER": "name"}))
    return [each for each in found if unicodedata.is_normalized("NFC", each.text)]


def together(words: list[tuple[str, str]], kinds: Mapping[str, str]) -> Text:
    """Join labeled words to a text and its labeled pieces."""
    text, spans, going = "", [], ""
    for word, label in words:
        text += "" if not text or word in CLOSING or text.endswith(OPENING) else " "
        begin = len(text)
        text += word
        head, _, kind = label.partition("-")
        if head == "B" and kind in kinds:
            spans.append((begin, len(text)))
        elif head == "I" and kind == going and spans:
            spans[-1] = (spans[-1][0], len(text))
        going = kind if head in ("B", "I") and kind in kinds else ""
    (pii,) = kinds.values()
    return Text(text, {pii: tuple(spans)})


Finds = list[list[tuple[str, int, int]]]


def _ours(texts: list[Text]) -> Finds:
    return [[(each.pii, each.start, each.end) for each in find(text.text)] for text in texts]


_PRESIDIO = """
import json, sys, spacy.util
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider
model = next(name for name in spacy.util.get_installed_models() if "sm" in name)
models = [{"lang_code": "en", "model_name": model}]
engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
classes = json.loads(sys.argv[1])
texts = json.load(sys.stdin)
found = [[(classes[r.entity_type], r.start, r.end) for r in analyzer.analyze(t, "en", entities=[*classes])] for t in texts]
json.dump(found, sys.stdout)
"""


def _presidio(python: Path, texts: list[Text]) -> Finds:
    classes = {name: pii for name, pii in CLASSES.items() if name != "STREET_ADDRESS"}  # it has no recognizer for streets
    command = [str(python), "-c", _PRESIDIO, json.dumps(classes)]
    done = subprocess.run(command, input=json.dumps([each.text for each in texts]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: Finds = json.loads(done.stdout)
    return found


def measure(pii: str, texts: list[Text], found: Finds) -> Measured:
    """Count finds that overlap a labeled piece, and labeled pieces that a find overlaps."""
    meets: Callable[[Span, Span], bool] = lambda one, other: one[0] < other[1] and other[0] < one[1]  # noqa: E731  # said once
    n_found = n_right = n_labeled = n_met = 0
    for text, finds in zip(texts, found, strict=True):
        spans = [(begin, end) for of, begin, end in finds if of == pii]
        gold = text.labeled.get(pii, ())
        n_found += len(spans)
        n_right += sum(any(meets(span, each) for each in gold) for span in spans)
        n_labeled += len(gold)
        n_met += sum(any(meets(span, each) for span in spans) for each in gold)
    return Measured(pii, n_right / n_found if n_found else 0.0, n_met / n_labeled if n_labeled else 0.0, n_found, n_labeled)


if __name__ == "__main__":
    sys.exit(main())
