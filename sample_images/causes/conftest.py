"""Some causes exist in one runtime only, and their pairs name it. Asked for another, those skip and say why."""

import pytest


def pytest_collection_modifyitems(config, items):
    for item in items:
        deployment = getattr(item, "deployment", None)
        if deployment is None or "runtime" not in deployment.origins:
            continue
        asked = config.getoption("llamakey_runtime") or config.getini("llamakey_runtime")
        if asked not in ("auto", deployment.runtime):
            where, named = deployment.origin("runtime"), deployment.runtime
            item.add_marker(pytest.mark.skip(reason=f"{where}: this cause exists in the {named} runtime only"))
