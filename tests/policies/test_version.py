"""The version of a policy set, which approval digests cover."""

from enactor.domain.policy import PolicyMode
from enactor.policies import parsing
from enactor.policies.cedar import CedarPolicyEngine
from tests.policies.asking import AUTO_APPROVE, policies, question

ENGINE = CedarPolicyEngine()


def test_the_version_is_the_same_for_the_same_set() -> None:
    """Two engines agree, whoever set the text and whenever; no policies count as an empty text."""
    text = f"permit ({AUTO_APPROVE});"
    assert ENGINE.version(policies(text)) == CedarPolicyEngine().version(policies(text))
    assert ENGINE.version(None) == ENGINE.version(policies(""))


def test_the_version_changes_with_text_and_mode() -> None:
    """A blank more, or another mode, is another version."""
    texts = ["", " ", "// x", f"permit ({AUTO_APPROVE});", f"permit ({AUTO_APPROVE}); "]
    versions = [ENGINE.version(policies(text, mode)) for text in texts for mode in PolicyMode]
    assert len(set(versions)) == len(versions)
    assert all(len(version) == 32 for version in versions)


def test_the_version_changes_with_the_built_in_text() -> None:
    """The built-in text is part of the hash: an upgrade that changes it changes every version."""
    import hashlib

    parts = (parsing.built_in_text(), "x", "ENFORCE")
    joined = b"".join(hashlib.sha256(part.encode()).digest() for part in parts)
    assert ENGINE.version(policies("x")) == hashlib.sha256(joined).hexdigest()[:32]


def test_answers_carry_the_version() -> None:
    """An answer says which set it comes from, also when it is remembered from the other mode or is a refusal."""
    for text in (f"permit ({AUTO_APPROVE});", "not a policy"):
        for mode in (*PolicyMode, *PolicyMode):
            version = ENGINE.version(policies(text, mode))
            assert ENGINE.ask(question(), policies(text, mode)).policy_version == version
