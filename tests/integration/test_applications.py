"""The applications of docs/applications.md, made of its files and run: real servers, a real database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from blnk_relay import Relay
from tests.support.prometheus import free_port
from tests.support.stages import lasting_stage
from tests.support.waiting import wait_until
from worker.demo.stage import Stage, as_environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "applications.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))

#: What any project of Django has besides: its settings, and where its addresses lead.
PROJECT = {
    "shop/settings.py": """
from pathlib import Path

SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("shop.db")}}
""",
    "shop/urls.py": """
from django.http import JsonResponse
from django.urls import path

from blnk_relay import InvalidIntent
from shop.payments import place


def order(request, wallet, cents):
    try:
        return JsonResponse({"order": place(wallet, cents).pk})
    except InvalidIntent as error:
        return JsonResponse(error.errors, status=422)


urlpatterns = [path("order/<wallet>/<int:cents>", order)]
""",
    "shop/__init__.py": "",
    "shop/migrations/__init__.py": "",
}

#: Longest wait for a command, and for what a worker has to do.
WAIT_S = 60.0
INSTALL_S = 300.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory) -> Path:
    """A folder with what applications are built with; nothing else here needs it, so no other test has it."""
    folder = tmp_path_factory.mktemp("frameworks")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "--constraint", "constraints.txt"]
    subprocess.run([*install, "django", "fastapi"], cwd=ROOT, check=True, timeout=INSTALL_S)
    return folder


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with lasting_stage(faults=None) as running:
        running.start_worker()
        yield running


class Project:
    """Files in a folder, and the programs that run there with the settings of a stage."""

    def __init__(self, folder: Path, files: Mapping[str, str], stage: Stage, frameworks: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            **as_environment(stage.settings),
            "PYTHONPATH": str(frameworks),
            "DJANGO_SETTINGS_MODULE": "shop.settings",
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")

    def run(self, *words: str, code: int = 0) -> str:
        """What a Python program says there, that ends as it should."""
        ran = subprocess.run(
            [sys.executable, *words],
            check=False,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        assert ran.returncode == code, ran.stderr
        return ran.stdout

    @contextmanager
    def serving(self, *words: str) -> Iterator[str]:
        """A server there; its address, once it answers."""
        port = free_port()
        command = [sys.executable, *words, str(port)]
        server = subprocess.Popen(command, cwd=self._folder, env=self._environment, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url), WAIT_S, "the application to listen")
            yield url
        finally:
            server.terminate()
            server.wait(WAIT_S)


def answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return False
    return True


def json_of(method: str, url: str, **options: Any) -> tuple[int, Any]:
    answer = requests.request(method, url, timeout=20, **options)
    return answer.status_code, answer.json()


@pytest.fixture
def shop(tmp_path, stage, frameworks) -> Project:
    project = Project(tmp_path, PROJECT | FILES, stage, frameworks)
    project.run("-m", "django", "makemigrations", "shop")
    project.run("-m", "django", "migrate")
    return project


def orders(shop: Project) -> list[str]:
    """Of each order whether it has a receipt, and its outcome."""
    program = (
        "import django; django.setup(); from shop.models import Order\n"
        "for order in Order.objects.order_by('pk'): print(order.pk, bool(order.receipt), order.outcome or '-')"
    )
    return shop.run("-c", program).splitlines()


def test_a_shop_of_django_hands_over_sweeps_and_hears(shop, stage):
    with shop.serving("-m", "django", "runserver", "--noreload") as url:
        assert json_of("GET", f"{url}/order/@ann/1050") == (200, {"order": 1})
        assert orders(shop) == ["1 True -"]
        # What cannot be paid is no order.
        assert json_of("GET", f"{url}/order/@shop/7")[0] == 422
        stage.valkey.halt()
        assert json_of("GET", f"{url}/order/@bob/2000") == (200, {"order": 2}), "an order is taken while Redis is away"
        assert orders(shop)[1:] == ["2 False -"]
        shop.run("-m", "django", "hand_over", code=1)
        stage.valkey.start()
        for _ in range(2):
            shop.run("-m", "django", "hand_over")
        assert orders(shop) == ["1 True -", "2 True -"]
    with Relay(stage.settings) as relay:
        for key in ("order-1", "order-2"):
            assert relay.wait(key, timeout_s=WAIT_S).outcome == "applied"
    shop.run("-m", "django", "outcomes")
    assert orders(shop) == ["1 True applied", "2 True applied"]
    assert stage.sandbox.books().violations() == []


def test_an_application_of_fastapi_answers_with_what_the_relay_says(tmp_path, stage, frameworks):
    paid = {"wallet": "@ann", "amount": "10.50"}
    with Project(tmp_path, FILES, stage, frameworks).serving("-m", "uvicorn", "pay:app", "--port") as url:
        status, first = json_of("PUT", f"{url}/payments/p-1", json=paid)
        assert (status, first["new"]) == (202, True)
        assert json_of("PUT", f"{url}/payments/p-1", json=paid) == (202, {**first, "new": False})
        assert json_of("PUT", f"{url}/payments/p-1", json={**paid, "amount": "11"})[0] == 409
        status, refused = json_of("PUT", f"{url}/payments/p-2", json={**paid, "amount": "0.001"})
        assert (status, list(refused["detail"])) == (422, ["amount"])
        assert json_of("GET", f"{url}/payments/p-2")[0] == 404
        wait_until(lambda: json_of("GET", f"{url}/payments/p-1")[1]["outcome"] == "applied", WAIT_S, "the payment")
        stage.valkey.halt()
        assert json_of("PUT", f"{url}/payments/p-3", json=paid)[0] == 503
        stage.valkey.start()
        wait_until(lambda: json_of("PUT", f"{url}/payments/p-3", json=paid)[0] == 202, WAIT_S, "Redis to be back")


def test_a_script_run_twice_pays_once(tmp_path, stage, frameworks):
    project = Project(tmp_path, {**FILES, "due.csv": "id,wallet,amount\n1,@ann,5.00\n2,@bob,7.50\n"}, stage, frameworks)
    assert project.run("payout.py", "due.csv") == "2 new of 2\n"
    assert project.run("payout.py", "due.csv") == "0 new of 2\n"
