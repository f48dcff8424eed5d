"""Secrets planted in the settings: none is repeated by a `repr`, a refusal, a log or a command."""

import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app import log
from app.runtime import ring_of
from app.secrets import BadKeys
from app.settings import Settings
from tests.canaries import listening

ROOT = Path(__file__).parents[2]
CANARY = "CanaryThatNobodyMaySee01"
NOBODY_LISTENS = "postgresql://perennial:a-password@127.0.0.1:9/perennial"
GOOD = {
    "DATABASE_URL": f"postgresql://perennial:{CANARY}@127.0.0.1:9/perennial",
    "REDIS_URL": f"redis://:{CANARY}@127.0.0.1:9/0",
    "PERENNIAL_ADMIN_KEY": CANARY,
    "PERENNIAL_SECRET_KEYS": CANARY,
    "PERENNIAL_TAX_ENGINE_SECRET": f"{CANARY}, and a little more of it",
}
"""Where secrets belong."""
WRONG = [
    ("DATABASE_URL", CANARY),
    ("DATABASE_URL", f"mysql://perennial:{CANARY}@127.0.0.1/perennial"),
    ("DATABASE_URL", f"postgresql://perennial:{CANARY}#2@127.0.0.1/perennial"),
    ("DATABASE_URL", f"postgresql://perennial:12/{CANARY}@127.0.0.1/perennial"),
    ("DATABASE_URL", f"postgresql://perennial:{CANARY}@127.0.0.1:{CANARY}/perennial"),
    ("DATABASE_URL", f"postgresql://perennial:{CANARY}@[127.0.0.1/perennial"),
    ("REDIS_URL", CANARY),
    ("REDIS_URL", f"redis://:{CANARY}/2@127.0.0.1/0"),
    ("REDIS_URL", f"https://:{CANARY}@127.0.0.1/0"),
    ("PERENNIAL_TAX_ENGINE_SECRET", CANARY),
    ("PERENNIAL_PUBLIC_URL", CANARY),
    ("PERENNIAL_LOG_LEVEL", CANARY),
    ("PERENNIAL_POOL_SIZE", CANARY),
    ("PERENNIAL_SECRET_KEYS_FILE", f"/nowhere/{CANARY}"),
    ("PERENNIAL_SECRET_KEYS", f"{CANARY},{CANARY}"),
]
"""Secrets that are misspelt, and secrets in the wrong place."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)  # no .env here
    for name in (*GOOD, *dict(WRONG)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_settings_show_no_secret(environment: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        environment.setenv(name, value)
    chosen = Settings()
    shown = f"{chosen!r} {chosen} {chosen.model_dump()} {chosen.model_dump_json()}"
    assert CANARY not in shown
    assert chosen.model_fields_set >= {"database_url", "redis_url", "admin_key", "secret_keys"}
    assert CANARY in chosen.secrets


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_setting_that_does_not_fit_is_refused_and_not_repeated(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises((ValidationError, BadKeys)) as refused:
        ring_of(Settings())
    said = "".join(traceback.format_exception(refused.value))
    assert CANARY not in said
    assert "2@127" not in said


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://postgres:a%23b@/perennial?host=/run/postgresql",
        "postgresql+asyncpg://perennial@db.example:5432/perennial",
        "postgres://perennial:secret@[::1]:5432/perennial?sslmode=require",
    ],
)
def test_addresses_as_they_are_written_are_taken(address: str) -> None:
    assert Settings(database_url=SecretStr(address)).database_url.get_secret_value() == address


def test_no_log_repeats_what_the_deployment_keeps_secret(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "CONCEALED_ALWAYS", set())
    stranger, handler = logging.getLogger("somebody.elses"), logging.StreamHandler(sys.stderr)
    monkeypatch.setattr(stranger, "handlers", [handler])
    with listening(capfd) as logged:
        log.configure("debug", "json", {CANARY})
        log.get(__name__).error("said", text=f"key {CANARY}", deep=[{CANARY: {"x": (CANARY,)}}])
        log.get(__name__).error("shown", odd=SecretStr(CANARY), seen={f"x{CANARY}"})
        try:
            int(CANARY)
        except ValueError:
            log.get(__name__).exception("raised")
            stranger.exception("and %s, by the card 4111111111111111.", CANARY)
        said = logged()
    assert all(word in said for word in ("said", "shown", "raised", "invalid literal"))
    assert CANARY not in said
    assert "4111111111111111" not in said


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["migrate"], "DATABASE_URL", f"postgresql://perennial:{CANARY}#2@127.0.0.1/perennial"),
        (["migrate"], "DATABASE_URL", f"postgresql://perennial:{CANARY}@127.0.0.1:9/perennial"),
        (["audit"], "PERENNIAL_TAX_ENGINE_SECRET", CANARY),
        (["audit"], "PERENNIAL_SECRET_KEYS_FILE", f"/nowhere/{CANARY}"),
        (["worker", "--no-supervise"], "REDIS_URL", f"redis://:{CANARY}/2@127.0.0.1/0"),
        (["worker", "--no-supervise"], "REDIS_URL", f"redis://:{CANARY}@127.0.0.1:9/0"),
        (["api", "--port", "1"], "PERENNIAL_SECRET_KEYS", CANARY),
    ],
)
def test_a_command_that_cannot_work_says_so_without_the_secret(
    tmp_path: Path, words: list[str], name: str, value: str
) -> None:
    given = {"PYTHONPATH": str(ROOT), "DATABASE_URL": NOBODY_LISTENS} | {name: value}
    run = subprocess.run(
        [sys.executable, "-m", "app.cli", *words],
        cwd=tmp_path,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode != 0, said
    assert said
    assert CANARY not in said
