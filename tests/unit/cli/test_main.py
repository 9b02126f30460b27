"""`doai`: exit codes and sentences before any API is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from doai.cli import exits
from doai.cli.main import main


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom doai.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for command in ("up", "run", "runs", "tasks", "story", "devices", "nodes", "workflows", "artifacts", "keys"):
        assert f"\n    {command}" in shown
    assert not {"httpx", "rich", "trio", "zmq", "litestar"} & set(shown.splitlines()[-1].split())


def test_no_api_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["runs", "--data-dir", str(tmp_path)]) == exits.CONFIG
    assert capsys.readouterr().err.startswith("doai: no API is known here")


def test_an_api_that_does_not_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOAI_TOKEN", "x")
    assert main(["runs", "--url", "http://127.0.0.1:1", "--data-dir", str(tmp_path)]) == exits.UNAVAILABLE
    assert "the API at http://127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_an_unknown_command_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["runn"])
    assert caught.value.code == exits.USAGE
    assert "there is no command 'runn': did you mean run?" in capsys.readouterr().err
