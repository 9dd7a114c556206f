"""How the key comes to a workload by what its manifests say, where the deployment's own file does not."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keylike import names_key
from pytest_llamakey.spec import manifests
from pytest_llamakey.spec.model import OPENAI_KEY, KeyDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_llamakey.spec.manifests import Manifests, SecretUse
    from pytest_llamakey.spec.model import Deployment


def with_key(deployment: Deployment) -> Deployment:
    """``deployment``, its key delivered by the Secret that its manifests take it from, unless it says how itself.

    Raises:
        SpecError: a manifest cannot be read.
    """
    if "key" in deployment.origins or deployment.key != (KeyDelivery("env", OPENAI_KEY),):
        return deployment
    found = next(_secrets(manifests.read(deployment)), None)
    if found is None:
        return deployment
    use, item = found
    way = KeyDelivery("secret", f"{use.secret}/{item}")
    return replace(deployment, key=(way,), origins={**deployment.origins, "key": use.origin})


def _secrets(found: Manifests) -> Iterator[tuple[SecretUse, str]]:
    """Each use of a Secret by which a key arrives, and the Secret's item that holds it.

    That is the item as the Secret calls it, where the manifests bring one; by another name nothing is there.
    """
    for use in found.workload.uses:
        brought = found.secret(use.secret)
        parts = [brought.body.get(part) or {} for part in ("data", "stringData")] if brought else []
        items = [str(name) for part in parts for name in part]
        keys = [item for item in items if names_key(item) or names_key(use.arrives_as(item).rpartition("/")[2])]
        if use.item and (names_key(use.variable) or use.item in keys):
            # With none of them alike, the item may be put there by others than the manifests.
            alike = get_close_matches(use.item, keys, 1) if len(keys) > 1 else keys
            yield use, use.item if use.item in items or not alike else alike[0]
        elif not use.item and keys:
            yield use, keys[0]
        elif not use.item and not brought and not use.path and OPENAI_KEY.startswith(use.variable):
            yield use, OPENAI_KEY.removeprefix(use.variable)
