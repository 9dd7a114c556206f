"""Some causes exist in one runtime only, and their pairs name it. Asked for another, those are skipped with the reason."""

import pytest


def pytest_collection_modifyitems(config, items):
    asked = config.getoption("llamakey_runtime", None) or "auto"
    for item in items:
        deployment = getattr(item, "deployment", None)
        named = deployment and "runtime" in deployment.origins and deployment.runtime
        if named and asked not in ("auto", named):
            item.add_marker(pytest.mark.skip(reason=f"{deployment.origin('runtime')}: exists in the {named} runtime only"))
