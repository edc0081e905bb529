"""Whether a tenant's policy text may be set: it parses, is named well and speaks of things that exist."""

from __future__ import annotations

import json
import re
from typing import Final

import cedarpy

from enactor.domain.errors import InvalidPolicy
from enactor.policies.parsing import Policy, schema, tenant_policies
from enactor.policies.stand_ins import calls, mentions_arguments, without_arguments

_SHOWN_PROBLEMS: Final = 20
_ABOUT_POLICY: Final = re.compile(r"^for policy `[^`]*`[,:] ")


def check_text(text: str) -> None:
    """Raises `InvalidPolicy` unless `text` can be a tenant's policies.

    The message is about the first problem; `details["problems"]` lists the first 20 with `line`, `column`, `policy`
    and `problem`.
    """
    found = [
        {"line": policy.place.line, "column": policy.place.column, "policy": policy.name, "problem": problem}
        for policy in tenant_policies(text)
        for problem in _problems(policy)
    ]
    if found:
        first, more = found[0], len(found) - 1
        raise InvalidPolicy(
            f'Line {first["line"]}, policy "{first["policy"]}": {first["problem"]}.'
            + (f" ({more} more)" if more else ""),
            line=first["line"],
            column=first["column"],
            problems=found[:_SHOWN_PROBLEMS],
        )


def _problems(policy: Policy) -> list[str]:
    text = policy.text
    if calls(policy.tree, "unknown"):
        # Only for partial evaluation; here it would make every answer no.
        return ["`unknown` is not a valid function"]
    if mentions_arguments(policy.tree):
        tree = without_arguments(policy.tree)
        if tree is None:
            return ["it is nested too deeply to be checked; split it"]
        document = {"staticPolicies": {"policy0": tree}, "templates": {}, "templateLinks": []}
        text = cedarpy.policies_from_json_str(json.dumps(document))
    result = cedarpy.validate_policies(text, schema())
    # One problem comes once for each kind of principal and resource it concerns.
    return sorted({_ABOUT_POLICY.sub("", error.error) for error in result.errors})
