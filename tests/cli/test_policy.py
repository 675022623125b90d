"""The admission policy as a file: it is what the operator compares with, and the operator may read it."""

from __future__ import annotations

import pathlib

import yaml
from click.testing import CliRunner

from ombak.api import override_policy
from ombak.cli.generate import POLICY_FILE, policy_file
from ombak.cli.main import main

CHARTS = pathlib.Path(__file__).parents[2] / "charts"


def test_the_shipped_policy_is_the_one_that_the_operator_looks_for() -> None:
    """Else every Override would be void. After a change: another `NAME`, and `ombak policy --write charts`."""
    text = (CHARTS / POLICY_FILE).read_text(encoding="utf-8")

    assert text == policy_file()
    assert tuple(yaml.safe_load_all(text)) == override_policy.manifests()


def test_the_operator_may_read_it_and_nobody_needs_more() -> None:
    """By name, so no other policy."""
    rules = next(yaml.safe_load_all((CHARTS / "rbac.yaml").read_text(encoding="utf-8")))["rules"]
    found = [rule for rule in rules if rule["apiGroups"] == ["admissionregistration.k8s.io"]]

    assert [(rule["resourceNames"], rule["verbs"]) for rule in found] == [([override_policy.NAME], ["get"])]


def test_the_command_writes_the_file(tmp_path: pathlib.Path) -> None:
    """Or prints it."""
    runner = CliRunner()

    assert runner.invoke(main, ["policy"]).output == policy_file()
    assert runner.invoke(main, ["policy", "--write", str(tmp_path)]).exit_code == 0
    assert (tmp_path / POLICY_FILE).read_text(encoding="utf-8") == policy_file()
