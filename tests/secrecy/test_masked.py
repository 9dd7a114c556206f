"""What counts as a key where there is none to compare with, and that none is left in a text for people."""

from __future__ import annotations

import base64
import time

import pytest

from pytest_llamakey.secrecy.keylike import is_key, is_placeholder, names_key, tokens
from pytest_llamakey.secrecy.keys import DECOY, Secrets, fresh_canary
from pytest_llamakey.secrecy.masked import YOUR_OWN, for_a_test, header_for_a_test, masked, quoted

REAL = "sk-proj-q8Zk3LmP0vT7wYb2Nd5RfX9c"
AZURE = "9f3c2b7d8e1a4c6f9b2d7e8a1c4f6b3d"
SECRETS = Secrets("sk-llamakey-1", b"s" * 32, b"t" * 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", REAL),
        ("OPENAI_API_KEY", "sk-proj-NotARealKey0123456789abcdefghijklmnop"),
        ("OPENAI_API_KEY", "sk-baked-into-the-image"),
        ("OPENAI_API_KEY", DECOY),
        ("AZURE_OPENAI_API_KEY", AZURE),
        ("openai-key", AZURE),
        ("HF_TOKEN", "hf_aGk29dkLq03jdLw93kd8DkL20skdj"),
        ("ANYTHING", REAL),
    ],
)
def test_keys(name, value):
    assert is_key(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"),
        ("PYTHON_SHA256", "8fb5f9fbc7609fa822cb31549884575db7fd9657cbffb89510b5d7975963a83a"),
        ("SECRET_KEY", AZURE),
        ("OPENAI_API_KEY", ""),
        ("OPENAI_API_KEY", "EMPTY"),
        ("OPENAI_API_KEY", "not-needed"),
        ("OPENAI_API_KEY", "sk-your-key-here"),
        ("OPENAI_API_KEY", "sk-fake-key-for-tests"),
        ("OPENAI_API_KEY", "<your OpenAI key>"),
        ("OPENAI_API_KEY", "${OPENAI_API_KEY}"),
        ("OPENAI_API_KEY", "/run/secrets/openai"),
        ("OPENAI_API_KEY_FILE", AZURE),
        ("LLM_MAX_TOKENS", "4096"),
        ("AZURE_KEY_VAULT_URL", "https://v.vault.azure.net/9f3c2b7d8e1a4c6f"),
    ],
)
def test_no_keys(name, value):
    assert not is_key(name, value)


def test_names():
    assert all(map(names_key, ["OPENAI_API_KEY", "MISTRAL_API_KEY", "openai_key", "AZURE_OPENAI_APIKEY", "LLM_TOKEN"]))
    assert not any(map(names_key, ["GPG_KEY", "OPENAI_API_BASE", "OPENAI_API_TYPE", "LLM_TOKENIZER", "SSH_KEY"]))


@pytest.mark.parametrize("value", ["your-key-here", "sk-xxxxxxxx", "changeme", "<key>", "sk-...", "sk-1234567890"])
def test_placeholders(value):
    assert is_placeholder(value)


@pytest.mark.parametrize("value", [REAL, AZURE, "sk-proj-the-testers-own-key-0123456789", "hunter2", "", "äö"])
def test_no_placeholders(value):
    assert not is_placeholder(value)


def test_tokens_in_a_text():
    text = f"task-{AZURE} #sk-container-id-1 'sk-test-1234567890abcdef1234' {REAL}, {DECOY}"
    assert list(tokens(text)) == [REAL, DECOY]


@pytest.mark.parametrize(
    "text",
    [
        f"ENV OPENAI_API_KEY={REAL}",
        f"OPENAI_API_KEY='{REAL}'",
        f'"api_key": "{AZURE}",',
        f"curl -H 'Authorization: Bearer {AZURE}'",
        f"echo {REAL}>x",
        f"HF_TOKEN={AZURE} OPENAI_API_KEY={REAL}",
        f"ENV CREDENTIAL {AZURE}",
        f'Environment="OPENAI_API_KEY=hunter2" "AZURE_OPENAI_API_KEY={REAL}"',
        f"SetCredential=openai_api_key:{REAL}",
        f"command: sh -c 'AZURE_OPENAI_API_KEY=${{AZURE_OPENAI_API_KEY:-{AZURE}}} run'",
        f"OPENAI_TOKEN=https://x.example/?api-key={AZURE}",
    ],
)
def test_nothing_of_a_key_is_left(text):
    shown = masked(text, SECRETS, [AZURE])
    assert REAL not in shown
    assert AZURE not in shown
    assert "sk-…" in shown


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("INFO:root:AZURE_OPENAI_API_KEY=", ""),
        ('{"message":"client built with api_key=', '"}'),
        ('msg="using AZURE_OPENAI_API_KEY=', '"'),
        ('Environment="AZURE_OPENAI_API_KEY=', '" "OPENAI_API_KEY=EMPTY"'),
        ("${AZURE_OPENAI_API_KEY:-", "}"),
    ],
)
def test_a_key_assigned_within_the_value_of_a_harmless_name(before, after):
    shown = OURS.sight(AZURE).shown
    assert masked(before + AZURE + after, OURS) == before + shown + after
    assert quoted(before + AZURE + after, OURS) == before + shown + after


def test_what_stays_and_what_is_told_apart():
    text = "ENV A=1 OPENAI_API_KEY=$KEY OPENAI_API_KEY=your-key GPG_KEY=A035C8C1"
    assert masked(text, SECRETS, ["EMPTY"]) == text
    for text in ("K=${OPENAI_API_KEY:?set it}", "${OPENAI_API_KEY:-}", "./openai_key:/run/secrets/openai_key:ro"):
        assert masked(text, SECRETS) == text
    assert masked(f"K_API_KEY={DECOY} sk-llamakey-1", SECRETS) == f"K_API_KEY={YOUR_OWN} <key>"


OURS = Secrets("sk-llamakey-0123456789abcdef0123456789abcdef01234567", b"s" * 32, b"t" * 16)


@pytest.mark.parametrize(
    "text",
    [
        f"OPENAI_API_KEY={REAL}",
        f"Error: Incorrect API key provided: {REAL}",
        f"headers: [(b'api-key', b'{AZURE}')]",
        f'{{"message": "{{\\"api_key\\": \\"{AZURE}\\"}}"}}',
        f"using key {AZURE}",
        f"the token is {AZURE}.",
        "client = Groq(gsk_q8Zk3LmP0vT7wYb2Nd5RfX9cq8Zk3LmP)",
        "hf_aGk29dkLq03jdLw93kd8DkL20skdj",
    ],
)
def test_no_foreign_key_is_left_in_what_an_app_wrote(text):
    shown = quoted(text, OURS)
    assert all(part not in shown for part in (REAL[8:], AZURE, "q8Zk3LmP0vT7", "aGk29dkLq03j"))
    assert "sk-…" in shown


@pytest.mark.parametrize(
    "form",
    [
        OURS.canary,
        OURS.canary.upper(),
        OURS.canary.removeprefix("sk-llamakey-"),
        *(base64.b64encode(("x" * before + OURS.canary + "y").encode()).decode() for before in range(3)),
    ],
)
def test_the_key_under_test_is_told_in_any_form(form):
    shown = quoted(f"it is {form}!", OURS)
    assert "<key>" in shown
    assert "different" not in shown
    assert "sk-…" not in shown
    assert "456789abcdef" not in shown.lower()


def test_a_traceback_stays_readable():
    text = """Traceback (most recent call last):
  File "app.py", line 7, in <module>
    client = OpenAI(api_key=os.environ["OPENAI_KEY"], organization=org)
    llm = OpenAI(api_key=settings.key, model="gpt-4o")
KeyError: 'OPENAI_KEY'
commit 9f3c2b7d8e1a4c6f9b2d7e8a1c4f6b3d
"""
    assert quoted(text, OURS) == text


def test_a_users_test_sees_our_keys_and_no_others():
    ours = Secrets.fresh()
    text = for_a_test(f"key {ours.canary} and Bearer {REAL}, api-key: {AZURE}", ours)
    assert ours.canary in text
    assert REAL not in text
    assert AZURE not in text
    assert header_for_a_test(f"Bearer {ours.canary}", ours) == f"Bearer {ours.canary}"
    assert header_for_a_test(f"Bearer {ours.canary}\r", ours) == f"Bearer {ours.canary}\r"
    assert header_for_a_test("Bearer EMPTY", ours) == "Bearer EMPTY"
    assert header_for_a_test(f"Bearer {REAL}", ours).startswith("Bearer sk-…")
    assert header_for_a_test(AZURE, ours).startswith("sk-…")


def test_an_azure_key_without_a_name_beside_it():
    assert AZURE not in masked(f'A, B = "x", "{AZURE}"', SECRETS)


def test_a_coloured_key():
    assert REAL not in quoted(f"0\x1b[31m{REAL}\x1b[0m", OURS)


@pytest.mark.parametrize("cut", [3, 6, 7, 9, 20, 30])
def test_a_key_that_a_colour_parts(cut):
    key = "sk-proj-aB3dE6gH9kLmN2pQrStUvWx8yZ1c5F7hJ0kM3"
    told = quoted(f"using {key[:cut]}\x1b[1;36m{key[cut:]}\x1b[0m now", OURS)
    assert told.startswith("using sk-…")
    assert not any(key[at : at + 8] in told for at in range(len(key) - 8))
    own = fresh_canary()
    assert quoted(f"using {own[:cut]}\x1b[1m{own[cut:]}", Secrets.fresh(own)) == "using <key>"


@pytest.mark.parametrize("piece", ["x", "a=", "OPENAI_TOKEN=/", 'token="$', "a:'\""])
def test_the_search_of_a_line_of_megabytes_comes_to_an_end(piece):
    started = time.monotonic()
    quoted(piece * (2_000_000 // len(piece)), OURS)
    # A bound and no speed: what a pattern reads cannot be counted, and read anew for each name it would take minutes.
    assert time.monotonic() - started < 60
