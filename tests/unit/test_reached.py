"""Several journals on one server that does not answer wait for it once, and hold up no others."""

from __future__ import annotations

import pytest

from blnk_relay import JournalUnavailable, Settings, Target
from blnk_relay.errors import OtherShape
from blnk_relay.journal.journals import Journals, reached


@pytest.fixture
def journals(tmp_path):
    targets = [Target(name=name, instance_id=name) for name in ("eu", "us", "uk")]
    targets.append(Target(name="far", instance_id="far", redis_url=f"unix://{tmp_path}/elsewhere"))
    made = Journals(Settings(redis_url=f"unix://{tmp_path}/nothing", targets=tuple(targets)))
    yield made
    made.close()


def test_a_server_that_does_not_answer_is_asked_once_for_all_its_journals(journals):
    asked = []

    def read(journal):
        asked.append(journal.target)
        return journal.now_ms()

    with pytest.raises(JournalUnavailable):
        reached(journals.everywhere(), read)
    assert asked == ["eu", "far"]


def test_a_journal_that_cannot_be_read_is_no_word_of_the_others_on_its_server(journals):
    def read(journal):
        if journal.target == "eu":
            raise OtherShape("eu", "99", (1, 2), "1.0")
        return journal.target

    assert [found for _, found in reached(journals, read)] == ["us", "uk", "far"]


def test_what_is_no_journal_is_asked_each_for_itself():
    asked = []

    def read(one):
        asked.append(one)
        if one["of"] == "eu":
            raise JournalUnavailable("away")
        return one["of"]

    assert [found for _, found in reached([{"of": "eu"}, {"of": "us"}], read)] == ["us"]
    assert len(asked) == 2
