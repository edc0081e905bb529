"""Writes `deploy/aws/template.yaml` and `deploy/aws/definition.json` out of the code they describe.

python scripts/aws_template.py          exit status 1 and the names of the files that are behind, if any
python scripts/aws_template.py --write  brings them up to date
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deploy.aws.generator.rules import definition_faults, kept_faults, policy_faults  # noqa: E402 - as its neighbour
from deploy.aws.generator.template import template  # noqa: E402 - found through the path above
from enactor.engines.stepfunctions.definition import FUNCTIONS, definition  # noqa: E402 - as its neighbour


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        """YAML's references are no part of what CloudFormation reads well."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def files() -> dict[Path, str]:
    """The generated files with what is in them."""
    shown = yaml.dump(template(), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    machine = definition({name: f"${{{name}}}" for name in FUNCTIONS.values()})
    return {
        ROOT / "deploy/aws/template.yaml": shown,
        ROOT / "deploy/aws/definition.json": json.dumps(machine, indent=2) + "\n",
    }


def main() -> int:
    """Writes, or says what is behind."""
    behind = [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--write" in sys.argv:
        for path in behind:
            path.write_text(files()[path], encoding="utf-8")
        return 0
    faults = [f"{path.relative_to(ROOT)} is behind; run: python scripts/aws_template.py --write" for path in behind]
    made, machine = template(), definition({name: name for name in FUNCTIONS.values()})
    faults += [*definition_faults(machine), *policy_faults(made), *kept_faults(made)]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
