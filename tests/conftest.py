"""For every run of tests: how a failure is run alone, and the profile in which properties draw the same each time."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.reproducing import told

settings.register_profile("same", derandomize=True, database=None, print_blob=True)
"""`--hypothesis-profile=same`: what a run does is a function of the tree."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    failed = {each.nodeid: set(getattr(each, "keywords", ())) for each in reports}
    if failed:
        terminalreporter.section("to run what failed alone")
        for line in told(failed, os.environ):
            terminalreporter.write_line(line)
