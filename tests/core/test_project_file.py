import sys
from pathlib import Path

import pytest

from sampan.core.project import Project, load_project, parse_project
from sampan.errors import ProjectFileError

GOOD = """
[project]
name = "delays"
owner = "ops"

[store]
database = "postgresql://db/sampan"

[datasets.flights]
source = "flights.csv"
key = ["carrier", "flight"]
time = "time_hour"
contract = "contracts/flights.yaml"

[datasets."plane types"]
source = "planes.parquet"
key = "tailnum"
"""


def test_a_folder_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert load_project(tmp_path) == Project()


def test_without_a_file_tomllib_is_not_imported(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys, pathlib as p; from sampan.core.project import load_project; load_project(p.Path()); sys.exit('tomllib' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path)

    assert done.returncode == 0


def test_a_whole_file_is_read_into_typed_sections() -> None:
    project = parse_project(GOOD)

    assert project.project.owner == "ops"
    assert project.store.database == "postgresql://db/sampan"
    assert project.datasets["flights"].key == ("carrier", "flight")
    assert project.datasets["plane types"].key == ("tailnum",)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse_project("\ufeff" + GOOD) == parse_project(GOOD)


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("[store]\ndatabse = ''\n", 2, "store.databse", "unknown key 'databse' in [store]; did you mean 'database'?"),
        ("\n[projct]\n", 2, "projct", "unknown key 'projct' in sampan.toml; did you mean 'project'?"),
        ("[project]\nname = 3\n", 2, "project.name", "name = 3: expected text in quotes"),
        ("[project]\nname = true\n", 2, "project.name", "name = true: expected text in quotes"),
        ("[datasets.flights]\nkey = 'id'\n", 1, "datasets.flights", "[datasets.flights] has no 'source'"),
        ("[datasets.flights]\nsource = 'f.csv'\nkey = 7\n", 3, "datasets.flights.key", "key = 7: expected a list of texts"),
        ("datasets = 3\n", 1, "datasets", "datasets = 3: expected tables like [datasets.NAME]"),
        ("[datasets]\nflights = 'f.csv'\n", 2, "datasets.flights", "datasets.flights = 'f.csv': expected a table"),
        ("[datasets.'a@b']\nsource = 'f.csv'\n", 1, "datasets.a@b", "'a@b' cannot be a name"),
        ("store.databse = ''\n", 1, "store.databse", "did you mean 'database'?"),
    ],
)
def test_a_fault_names_line_key_value_and_remedy(text: str, line: int, key: str, says: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        parse_project(text, file="/p/sampan.toml")

    assert (caught.value.line, caught.value.key, caught.value.file) == (line, key, "/p/sampan.toml")
    assert says in caught.value.message
    assert caught.value.message.startswith(f"/p/sampan.toml:{line}: ")


def test_all_faults_of_a_file_come_in_one_error() -> None:
    with pytest.raises(ProjectFileError) as caught:
        parse_project("[store]\ndatabse = ''\n[project]\nnme = ''\nowner = 5\n")

    assert [text.split(":")[1] for text in caught.value.message.splitlines()] == ["2", "4", "5"]


def test_a_key_inside_a_multi_line_text_is_not_taken_for_a_line() -> None:
    text = '[project]\ndescription = """\nowner = 1\n"""\nowner = 2\n'

    with pytest.raises(ProjectFileError) as caught:
        parse_project(text)

    assert caught.value.line == 5


def test_what_is_no_toml_is_shown_with_its_line() -> None:
    with pytest.raises(ProjectFileError) as caught:
        parse_project("[project]\nname = \n")

    assert caught.value.line == 2
    assert "'name ='" in caught.value.message


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_bytes(b"[project]\nname = '\xff'\n")

    with pytest.raises(ProjectFileError) as caught:
        load_project(tmp_path)

    assert caught.value.line == 2


def test_a_folder_in_place_of_the_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").mkdir()

    with pytest.raises(ProjectFileError, match="Is a directory"):
        load_project(tmp_path)
