import sys
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.programs import run, wait_until


def test_a_program_gets_its_input_as_text_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("from a file")
    assert run(["cat"], stdin="from text") == "from text"
    assert run(["cat"], stdin=tmp_path / "input") == "from a file"
    assert run(["cat"]) == ""


def test_a_failure_carries_the_words_of_the_program() -> None:
    with pytest.raises(Failed, match="no such thing"):
        run([sys.executable, "-c", "import sys; sys.exit('no such thing')"])


def test_a_silent_failure_carries_the_exit_code() -> None:
    with pytest.raises(Failed, match="exit code 7"):
        run([sys.executable, "-c", "raise SystemExit(7)"])


def test_a_missing_program_is_named_with_what_installs_it() -> None:
    with pytest.raises(Failed, match="no-such-program is not installed") as failure:
        run(["no-such-program"])
    assert failure.value.problem.advice == "Run bin/setup."


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(Failed, match="not done within"):
        run([sys.executable, "-c", "import signal; signal.pause()"], deadline_s=0.05)


def test_waiting_ends_when_it_holds_and_fails_when_it_never_does() -> None:
    answers = iter([False, False, True])
    wait_until("the third answer", lambda: next(answers), deadline_s=60)
    with pytest.raises(Failed, match="a wonder: not within 0 s"):
        wait_until("a wonder", lambda: False, deadline_s=0)
