"""Other projects' clients against a server with the real SmolLM2, each in an environment of its own.

A suite is pytest's, run by the environment's own Python; it knows nothing of textmill but the address.
``make test-clients`` runs them all.
"""

import os
import subprocess
from pathlib import Path

import pytest

from serve.clients.environment import client_python
from serve.live_server import LiveServer

pytestmark = [pytest.mark.clients, pytest.mark.slow]
HERE = Path(__file__).parent
KEY = "a-key-of-the-tests"
PYTEST = "pytest==9.2.0"
SUITES = {
    "openai-2": ("suite_openai.py", "openai==2.54.0", PYTEST),
    "openai-3": ("suite_openai.py", "openai==3.57.0", PYTEST),
    "litellm": ("suite_litellm.py", "litellm==1.110.2", PYTEST),
    "langchain": ("suite_langchain.py", "langchain-openai==1.7.4", "langchain-tests==1.1.9"),
}


# Its asynchronous tests share one loop, as the package keeps one client for all of them.
ASYNC = [
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=session"),
    *("-o", "asyncio_default_test_loop_scope=session"),
]


@pytest.fixture(scope="module")
def server(real_model):
    with LiveServer(f"smollm2={real_model}", keys=(KEY,)) as server:
        yield server


@pytest.mark.real_model
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SUITES)
def test_suite(server, name, tmp_path):
    suite, *packages = SUITES[name]
    python = client_python(name, *packages)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"TEXTMILL_URL": server.address, "TEXTMILL_TEST_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-rxXs",
        "--rootdir",
        tmp_path,
        "-c",
        os.devnull,
        "--noconftest",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(
        [*command, *(ASYNC if name == "langchain" else ()), HERE / suite],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(result.stdout[-3000:])
    assert result.returncode == 0, f"{result.stdout[-12_000:]}\n{result.stderr[-3000:]}"


@pytest.mark.timeout(900)
def test_the_schema_is_true(folder, tmp_path):
    """schemathesis sends what /openapi.json allows and forbids, and checks every response against it."""
    python = client_python("schemathesis", "schemathesis==4.32.5")
    with LiveServer(folder, "--no-access-log", keys=(KEY,)) as server:
        command = [
            *(
                python.parent / "schemathesis",
                "run",
                f"{server.address}/openapi.json",
                "--max-examples",
                "25",
                "--seed",
                "1",
            ),
            *(
                "--header",
                f"Authorization: Bearer {KEY}",
                "--workers",
                "1",
                "--request-timeout",
                "60",
                "--no-color",
                "--suppress-health-check",
                "all",
            ),
            *("--exclude-checks", "positive_data_acceptance"),
        ]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        print(result.stdout[-3000:])
        assert result.returncode == 0, f"{result.stdout[-12_000:]}\n{result.stderr[-3000:]}"
