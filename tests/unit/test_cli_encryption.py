"""How a renewal of keys ends: by what came of it, and by what is said of it, which agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blnk_relay import Resealed
from worker.cli import exits
from worker.cli.encryption import code_of, renewed_in_words

WHOLE = Resealed(done=3, changed=0, locked={}, broken=(), finished=True)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (WHOLE, exits.OK),
        (replace(WHOLE, done=0), exits.OK),
        (replace(WHOLE, changed=1), exits.PARTLY),
        (replace(WHOLE, locked={"k0": 2}), exits.PARTLY),
        (replace(WHOLE, broken=("id",)), exits.PARTLY),
        (replace(WHOLE, tokens=("the token of eu is under k0",)), exits.PARTLY),
        (replace(WHOLE, finished=False), exits.INTERRUPTED),
    ],
)
def test_the_code_is_that_of_what_is_left_and_each_thing_that_is_left_has_its_sentence(result, code):
    assert code_of({"eu": result, "own": WHOLE}, whole=True) == code
    assert len(renewed_in_words("eu", result)) == (1 if code == exits.OK else 2)


def test_a_target_that_was_not_come_to_is_broken_off():
    assert code_of({"eu": WHOLE}, whole=False) == exits.INTERRUPTED
