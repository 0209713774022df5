"""The five steps of CONTRIBUTING.md, taken by the letter in a copy of the repository: a new endpoint works there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).parents[2]
TEXT = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = TEXT.partition("## Add an endpoint in five steps")[2]
COPIED = ("airflow_provider_braze", "docs", "tests", "pyproject.toml", "README.md")
BIN = Path(sys.executable).parent
EXAMPLE = json.loads((REPO / "tests/contract/examples/post_campaigns_duplicate.json").read_text())
USE = """
import json, sys
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.emulator import BrazeEmulator
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.operators.duplicate import BrazeDuplicateCampaignOperator
import airflow_provider_braze, os
print(os.path.dirname(airflow_provider_braze.__file__))
body = json.loads(sys.argv[1])
model = ENDPOINTS["campaigns_duplicate"].request
assert model.model_validate(body).model_dump(mode="json", exclude_none=True) == body
with BrazeEmulator() as emulator:
    os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"] = emulator.connection_json()
    assert BrazeHook().call("campaigns_duplicate", body) == {}
    task = BrazeDuplicateCampaignOperator(task_id="copy", campaign_id=body["campaign_id"], name="By the operator")
    assert task.execute({}) == {}
    names = [campaign["name"] for campaign in BrazeHook().campaigns()]
    assert {body["name"], "By the operator"} <= set(names), names
    asked = len(emulator.requests())
    for broken in ({"name": None}, {"campaign_id": ""}, {"name": 7}, {"tag_names": ["a"]}):
        try:
            BrazeHook().call("campaigns_duplicate", {**body, **broken})
        except Exception as error:
            assert "breaks Braze's rules, nothing was sent" in str(error), error
        else:
            raise AssertionError(f"accepted: {broken}")
    assert len(emulator.requests()) == asked
    trial = {**json.loads(emulator.connection_json()), "extra": {"test_recipients": ["tester"]}}
    os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"] = json.dumps(trial)
    assert BrazeHook().call("campaigns_duplicate", body) == {}
print("works")
"""


class Block(NamedTuple):
    """A block of the page, with the sentence above it."""

    language: str
    text: str
    sentence: str


def blocks():
    """The blocks of the five steps; the sentence is the paragraph's last one."""
    for found in re.finditer(
        r"(?P<above>[^\n]+(?:\n[^\n]+)*)\n\n```(?P<kind>\w+)\n(?P<text>.*?)^```", STEPS, re.M | re.S
    ):
        sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(found["above"].split()))[-1]
        yield Block(found["kind"], found["text"], sentence)


class Checkout:
    """A copy of the repository, in which somebody follows the page."""

    def __init__(self, folder):
        self.folder = folder
        self.touched = []
        for name in COPIED:
            source = REPO / name
            ignored = shutil.ignore_patterns("__pycache__", "_build")
            shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)

    def run(self, *command):
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def follow(self, block):
        """Do what a sentence says with the block below it."""
        if block.language == "console":
            for line in block.text.splitlines():
                self.run("sh", "-ec", line.removeprefix("$ ").replace(".venv/bin/", f"{BIN}/"))
            return
        path = self.folder / re.search(r"`([\w/]+\.\w+)`", block.sentence)[1]
        self.touched += [path] if path.suffix == ".py" else []
        if block.sentence.startswith("New file"):
            assert not path.exists()
            path.write_text(block.text, encoding="utf-8")
            return
        text = path.read_text(encoding="utf-8")
        imports, code = split(block.text) if path.suffix == ".py" else ("", block.text)
        if where := re.search(r"into `(\w+)`", block.sentence):
            text = into(text, where[1], code)
        elif where := re.search(r"below `([^`]+)`", block.sentence):
            [line] = [line for line in text.splitlines() if line.strip() == where[1]]
            text = text.replace(f"{line}\n", f"{line}\n{indented(code, line)}")
        else:
            assert block.sentence.startswith("At the end of"), block.sentence
            text += f"\n\n{code}"
        path.write_text(with_imports(text, imports), encoding="utf-8")


def split(text):
    """The imports at the head of a block, and the rest."""
    head = re.match(r"(?:(?:import|from) [^\n]+\n|\n)*", text)[0]
    return (head, text[len(head) :]) if "import" in head else ("", text)


def with_imports(text, imports):
    """Put imports before the file's own; ruff sorts them."""
    if not imports:
        return text
    place = re.search(r"^(?:import|from) (?!__future__)", text, re.M).start()
    return text[:place] + imports.strip() + "\n" + text[place:]


def into(text, name, code):
    """Put entries at the end of a table of the module."""
    found = re.search(rf"^{name}\b[^=\n]*= [({{]\n.*?(?=^[)}}])", text, re.M | re.S)
    assert found, name
    return text[: found.end()] + indented(code, "    x") + text[found.end() :]


def indented(code, line):
    margin = line[: len(line) - len(line.lstrip())]
    return "".join(f"{margin}{one}\n" if one else "\n" for one in code.strip("\n").splitlines())


def test_the_page_has_five_steps_and_each_has_something_to_do():
    assert re.findall(r"^### (\d)\.", STEPS, re.M) == ["1", "2", "3", "4", "5"]
    parts = re.split(r"^### ", STEPS, flags=re.M)[1:]
    assert all("```" in part for part in parts)
    assert len(list(blocks())) == STEPS.count("```") // 2
    assert max(len(block.text.splitlines()) for block in blocks()) <= 35


def test_the_paths_and_commands_of_the_page_exist():
    for path in re.findall(r"`((?:airflow_provider_braze|tests|docs|operators|api)/[\w/.]+)`", TEXT):
        if path != "airflow_provider_braze/operators/duplicate.py":
            assert (REPO / path).exists() or (REPO / "airflow_provider_braze" / path).exists(), path
    targets = set(re.findall(r"^([\w-]+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"`make ([\w-]+)`", TEXT)) <= targets


def test_the_endpoint_is_not_here_yet():
    """Else the steps would prove nothing: take another example."""
    from airflow_provider_braze.api.endpoints import ENDPOINTS

    assert "campaigns_duplicate" not in ENDPOINTS


def test_whoever_follows_the_five_steps_has_a_new_endpoint(tmp_path):
    checkout = Checkout(tmp_path)
    # Among what the page says to run are the tests of contract, table, emulator and operators.
    for block in blocks():
        checkout.follow(block)

    said = checkout.run(sys.executable, "-c", USE, json.dumps(EXAMPLE["valid_request_invented"])).splitlines()
    assert [line for line in said if line.startswith("/")] == [str(tmp_path / "airflow_provider_braze")]
    assert said[-1] == "works"

    page = (tmp_path / "docs/endpoints.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if "POST /campaigns/duplicate" in line]
    for word in ("`BrazeDuplicateCampaignOperator`", "`campaigns.duplicate`", "100 a minute", "| no |"):
        assert word in line

    checkout.run(BIN / "ruff", "check", *checkout.touched)
    checkout.run(BIN / "ruff", "format", "--check", *checkout.touched)
    checkout.run(sys.executable, "-m", "pytest", "-q", "tests/gates/test_gate_arrows.py")
