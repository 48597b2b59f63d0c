"""The command line as a person or a program meets it: processes, exit codes, stdout and stderr."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import pytest

from sampan.cli import calls
from sampan.cli.calls import Settings, split_settings
from sampan.core.events import VersionCommitted, new_id
from sampan.errors import NotFound, UsageError
from sampan.workspace.overview import Overview
from sampan.workspace.workspace import Workspace

Sampan = Callable[..., subprocess.CompletedProcess[str]]


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = calls.run(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_command_answers_on_stdout_and_names_the_next(sampan: Sampan, tmp_path: Path) -> None:
    done = sampan("status", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("next: sampan demo\nnext: sampan data add FILE\n")


def test_json_is_the_answers_fields(sampan: Sampan, tmp_path: Path) -> None:
    for arguments in (["--json", "status"], ["status", "--json"]):
        done = sampan(*arguments, cwd=tmp_path)

        assert json.loads(done.stdout)["next"] == ["sampan demo", "sampan data add FILE"]


def test_project_may_stand_before_and_after_the_verb(sampan: Sampan, tmp_path: Path) -> None:
    folder = tmp_path / "delays"
    folder.mkdir()

    for arguments in (["--project", str(folder), "status"], ["status", f"--project={folder}"]):
        assert sampan(*arguments, cwd=tmp_path).stdout.startswith("delays:")


def test_an_error_goes_to_stderr_with_what_to_do(sampan: Sampan, tmp_path: Path) -> None:
    done = sampan("lineage", "flights", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (NotFound.exit_code, "")
    assert done.stderr.startswith("error: ")
    assert "\x1b" not in done.stderr


def test_an_error_as_json_goes_to_stderr_with_its_code(sampan: Sampan, tmp_path: Path) -> None:
    done = sampan("log", "--limit", "many", "--json", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stdout == ""
    assert json.loads(done.stderr) == {
        "error": {
            "code": "parameter",
            "message": "--limit: 'many' is not a whole number",
            "hint": "expected a whole number of at least 1",
            "parameter": "limit",
        }
    }


def test_a_faulty_project_file_is_told_with_its_line(sampan: Sampan, tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_text("[project]\nownr = 'ops'\n")

    done = sampan("status", "--json", cwd=tmp_path)

    error = json.loads(done.stderr)["error"]
    assert (error["code"], error["line"], error["key"]) == ("project_file", 2, "project.ownr")
    assert "did you mean 'owner'?" in error["message"]


def test_a_broken_ledger_exits_with_the_code_of_integrity(sampan: Sampan, tmp_path: Path) -> None:
    import sqlite3

    with Workspace.open(tmp_path) as ws:
        ws.ledger.append(VersionCommitted(node=new_id(), kind="dataset", name="d", digest=""))
    with sqlite3.connect(tmp_path / ".sampan" / "sampan.db") as database:
        database.execute("UPDATE event SET actor = 'x'")
    database.close()

    done = sampan("audit", "verify", cwd=tmp_path)

    assert done.returncode == 8
    assert "broken at row 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["statsu"], "sampan has no command 'statsu'", "did you mean status"),
        (["audt", "log"], "sampan has no command 'audt'", "did you mean audit?"),
        (["audit", "verfy"], "sampan audit has no verb 'verfy'", "did you mean verify?"),
        (["audit", "xyz"], "sampan audit has no verb 'xyz'", "sampan audit --help lists what there is"),
        (["--jsn", "status"], "sampan has no option --jsn", ""),
        (["log", "--limt", "3"], "sampan log has no option --limt", "did you mean --limit?"),
        (["log", "a", "b"], "Got unexpected extra argument", "sampan log --help"),
        (["data", "add", "a.csv", "--key", "id", "day"], "unexpected extra argument", "again: --key id --key day"),
        (["log", "--limit"], "Option '--limit' requires an argument", "sampan log --help"),
        (["lineage"], "REF is missing", "expected text"),
        (["status", "--project"], "--project needs a folder", ""),
        (["status", "--project", "/nowhere"], "/nowhere does not exist", ""),
        (["ui", "--prt", "1"], "sampan ui has no option --prt", "did you mean --port?"),
        (["ui", "--port", "x"], "Invalid value for '--port'", "sampan ui --help"),
    ],
)
def test_a_mistyped_command_says_what_was_meant(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, hint: str) -> None:
    code, out, err = run_here(capsys, *arguments)

    assert (code, out) == (2, "")
    assert message in err
    assert hint in err


def test_a_noun_alone_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_here(capsys, "audit")
    assert code == 0
    assert "verify" in out
    assert "log" in out

    _, out, _ = run_here(capsys, "audit", "--json")
    assert [verb["verb"] for verb in json.loads(out)["verbs"]] == ["verify", "log"]


def test_help_of_a_verb_explains_arguments_options_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_here(capsys, "lineage", "--help")

    assert code == 0
    assert "REF  what to trace" in out
    assert "--down / --no-down" in out
    assert "(default: 50)" in out
    assert "--json" in out


def test_settings_are_found_anywhere_before_two_dashes() -> None:
    words, settings = split_settings(["run", "script", "--json", "train.py", "--project", "p", "--", "--json", "--project"])

    assert words == ["run", "script", "train.py", "--", "--json", "--project"]
    assert settings == Settings(project="p", as_json=True)
    with pytest.raises(UsageError):
        split_settings(["status", "--project"])


def test_a_bug_is_one_clear_line_and_the_traceback_is_a_variable_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @wraps(Overview.status)
    def explode(_self: object) -> None:
        raise ZeroDivisionError("at last")

    monkeypatch.setattr(Overview, "status", explode)
    monkeypatch.chdir(tmp_path)

    code, _, err = run_here(capsys, "status")
    assert code == 1
    assert "ZeroDivisionError: at last" in err
    assert "SAMPAN_DEBUG=1" in err
    assert "Traceback" not in err

    monkeypatch.setenv("SAMPAN_DEBUG", "1")
    assert "Traceback" in run_here(capsys, "status")[2]


def test_control_c_exits_as_shells_expect(tmp_path: Path) -> None:
    code = (
        "import time, sys; from sampan.workspace.overview import Overview; from sampan.cli.start import main\n"
        "def wait(self):\n print('ready', flush=True); time.sleep(30)\n"
        "Overview.status = wait\nfrom sampan.workspace import operation\n"
        "wait.__operation__ = operation.Declared(True, 'status', False); wait.__annotations__ = {'return': operation.Answer}\n"
        "sys.exit(main(['status']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read().strip() == "interrupted"


def test_a_read_only_folder_is_one_clear_error(sampan: Sampan, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        blocked = Path("/proc/1")  # root may write everywhere but here
    else:
        blocked = tmp_path / "locked"
        blocked.mkdir(mode=0o500)

    done = sampan("lineage", "flights", "--project", str(blocked), cwd=tmp_path)

    assert done.returncode == 7, done.stderr
    assert "Traceback" not in done.stderr


def test_an_ordinary_command_starts_within_half_a_second_of_cpu(sampan: Sampan, tmp_path: Path) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    sampan("audit", "verify", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5, f"{time.monotonic() - begun:.2f} s of wall time"
