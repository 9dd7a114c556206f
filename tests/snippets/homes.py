"""Where each command that README and docs tell a reader to type is run: in these files, or by a test that is named."""

from __future__ import annotations

SAMPLES = "tests/e2e/test_samples.py::test_the_runs_are_green_and_complete"
RUNTIMES = "tests/e2e/test_whole_runs.py::test_all_workers_of_the_right_one_are_seen_with_one_call_each"
TUTORIAL = "tests/e2e/test_first_five_minutes.py::test_the_tutorial_works_with_the_wheel_alone"
CI = ".ci/run::make test"
_GITLAB = "pytest --llamakey -m llamakey deploy --llamakey-runtime process --llamakey-report llamakey.json"
_BINDING = "kubectl create clusterrolebinding pytest-llamakey --clusterrole pytest-llamakey"

AS_PROCESSES = (
    "pytest --llamakey",
    "pytest --llamakey path/to/app",
    "pytest --llamakey path/to/app --llamakey-runtime process",
    "pytest --llamakey --llamakey-checks all path/to/app",
    "pytest --llamakey -m llamakey deploy",
    "pytest --llamakey -m llamakey deploy --llamakey-report llamakey.json",
    f"{_GITLAB} --junitxml junit.xml",
    f"{_GITLAB} --llamakey-codequality quality.json --junitxml junit.xml",
)
"""Run on a tiny app, which boots within a moment."""
IN_CONTAINERS = (
    "pytest --llamakey path/to/app/Dockerfile",
    "pytest --llamakey path/to/app --llamakey-build-arg PYTHON_IMAGE=mirror.example/python:3.12-slim",
    "pytest --llamakey compose.yaml",
)
"""The same, where an engine answers."""
ON_A_CLUSTER = ("pytest --llamakey deploy.yaml",)
KUBECTL = (
    "kubectl create serviceaccount pytest-llamakey",
    f"{_BINDING} --serviceaccount default:pytest-llamakey",
)
"""Asked of the cluster, which checks them and makes nothing; that the rights suffice, test_kubernetes.py shows."""
OWN = (
    "python -m pytest_llamakey COMMAND",
    "python -m pytest_llamakey explain CAUSE",
    "python -m pytest_llamakey doctor",
    "python -m pytest_llamakey doctor path/to/app",
    "python -m pytest_llamakey census",
    "python -m pytest_llamakey init path/to/app",
    "python -m pytest_llamakey init shop",
)
ENGINES = ("tools/engine", "python -m pytest_llamakey census shop-web-1")
INSTALLED = (
    "pip install pytest-llamakey",
    "pip install pytest-llamakey -r requirements.txt",
    'pip install "pytest-llamakey[compose]"',
    'pip install "pytest-llamakey[kubernetes]"',
    "pip install pytest_llamakey-*.whl",
    "pip install path/to/clone",
)
"""Run in a clean environment, with a wheel that was built before."""
ELSEWHERE = {
    "pytest --llamakey sample_images/gunicorn sample_images/broken_client_before_env": SAMPLES,
    'pytest --llamakey sample_images/gunicorn --llamakey-build-arg "$(tools/engine)"': SAMPLES,
    "pytest --llamakey sample_images/runtimes/celery": "tests/e2e/test_celery.py::test_web_and_worker_of_one_app",
    "pytest --llamakey sample_images/runtimes/compose": RUNTIMES,
    "pytest --llamakey sample_images/runtimes/kubernetes": RUNTIMES,
    "pytest --llamakey sample_images/runtimes/node": RUNTIMES,
    "pip install pytest-llamakey flask gunicorn python-dotenv": TUTORIAL,
    "python -m pytest_llamakey init": TUTORIAL,
    "pytest --llamakey .": TUTORIAL,
    "python -m pytest_llamakey explain client-before-env": TUTORIAL,
}
TORTURE = "tests/torture/test_torture.py::test_it_is_survived"
MADE = {
    "test": CI,
    "lint": CI,
    "docs": CI,
    "demo": SAMPLES,
    "samples": "tests/test_makefile.py::test_all_samples_are_run_and_held_against_what_they_are_to_show",
    "dist": "tests/packaging/test_dist.py::test_wheel_and_sdist_are_built_the_same_twice_and_are_complete",
    "installs": TUTORIAL,
    "generations": "tests/e2e/test_generations.py::test_pairs_come_out_on_the_oldest_generation",
    "images": "tests/test_pairs_tools.py::test_a_run_is_read_by_folder",
    "accuracy": "tests/test_accuracy_generator.py::test_every_generated_deployment_is_read_by_the_plugin",
    "bench": "tests/snippets/test_snippet_commands.py::test_make_runs_what_there_is",
    "torture": TORTURE,
}
"""By make's target. Most take from minutes to hours: make is run with programs that only note their words, which the
real ones must know; what they do is run by the test that is named, in a short form where it takes long."""
