"""What the policy tests share: questions and tenants' policies in few words."""

from typing import Any

from enactor.domain.action_type import RiskClass
from enactor.domain.policy import PolicyAction, PolicyMode, PolicyQuestion, PolicySet

ANY = "principal, action, resource"
AUTO_APPROVE = 'principal, action == Enactor::Action::"auto_approve", resource'


def question(action: PolicyAction | str = PolicyAction.AUTO_APPROVE, *roles: str, **fields: Any) -> PolicyQuestion:
    """A program's question about a LOW refund in tenant acme; `fields` say what is different."""
    action = PolicyAction(action)
    defaults: dict[str, Any] = {
        "tenant_id": "acme",
        "principal_id": "https://id.example#planner",
        "principal_human": False,
        "account_id": "ACC-1",
        "action_type": "REFUND_PAYMENT",
        "action_intent_id": "ai_1",
        "connector_id": "payments",
        "risk_class": RiskClass.LOW,
        "target_type": "payment",
        "target_id": "pay_77",
        "scope": "tenant:acme" if action is PolicyAction.SWITCH else "",
    }
    return PolicyQuestion(action=action, principal_roles=roles, **{**defaults, **fields})


def policies(text: str, mode: PolicyMode = PolicyMode.ENFORCE) -> PolicySet:
    """A tenant's policies."""
    return PolicySet(tenant_id="acme", version=1, text=text, mode=mode, set_by="", set_at="")


def permit(condition: str, scope: str = AUTO_APPROVE, name: str = "bound") -> PolicySet:
    """One permit."""
    return policies(f'@id("{name}") permit ({scope}) when {{ {condition} }};')
