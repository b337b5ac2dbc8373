"""Keys of the settings, and what they seal: refused with sentences, bound to their place, read again on a change."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import DoesNotVerify, EncryptionKeyMissing, InvalidSettings, Settings, Target, encryption
from blnk_relay.encryption import MARK, Keyring, Keys, name_in, parsed
from blnk_relay.journal.entries import new_entry
from blnk_relay.journal.packing import unpacked
from blnk_relay.journal.seal import Seal, hidden, keys_in
from blnk_relay.kinds.reconciliation_upload import upload_records
from tests.support.payments import payment
from tests.support.secrecy import a_key, a_mark, forms_of, found_in

PLACE = ("eu", "an-id", "payload")
ONE, TWO = a_key("k1"), a_key("k2")
#: What of the library is used; others may import the rest of it.
LIBRARY = "cryptography.hazmat.primitives.ciphers.aead"

VARIABLE = "BLNK_RELAY_ENCRYPTION_KEYS"


def keys(*texts: str) -> Keys:
    return parsed(",".join(texts), VARIABLE)


def sealed(text: bytes = b"hello", place: tuple[str, ...] = PLACE, key: str = ONE) -> str:
    first = keys(key).first
    assert first is not None
    return first.seal(place, text)


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [",", " , ", "\n", " ", ",\n"])
def test_keys_stand_behind_each_other_and_the_first_is_written_with(between):
    found = parsed(f"{ONE}{between}{TWO}\n", VARIABLE)
    assert found.first is not None
    assert found.first.id == "k1"
    assert [name.partition(".")[0] for name in found.names] == ["k1", "k2"]


def test_a_key_may_be_written_in_the_letters_of_addresses():
    raw = b"\xff\xfe" * 16
    plain, safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    assert plain != safe
    assert parsed(f"k:{plain}", VARIABLE).names == parsed(f"k:{safe}", VARIABLE).names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", "key 1 must have the form id:key"),
        (f"{ONE},{base64.b64encode(os.urandom(32)).decode()}", "key 2 must have the form id:key"),
        ("a key:abcd", "key 1 must have the form id:key"),
        ("k1:§§", "key 'k1' is not base64"),
        ("k1:YWJj", "key 'k1' has 3 bytes, and AES-256 takes 32"),
        (f"{ONE},{a_key('k1')}", "the id 'k1' stands twice"),
        (f"{ONE},k2:{ONE.partition(':')[2]}", "'k1' and 'k2' are one key"),
        (",".join(a_key(f"k{number}") for number in range(101)), "at most 100"),
    ],
    # Not by their values: keys are other ones in each process.
    ids=["none", "no id", "a blank", "no base64", "too short", "an id twice", "a key twice", "too many"],
)
def test_keys_that_cannot_be_used_are_refused_with_a_sentence_that_quotes_none(text, says):
    with pytest.raises(InvalidSettings) as caught:
        parsed(text, VARIABLE)
    assert says in str(caught.value)
    assert str(caught.value).startswith(VARIABLE)
    for part in text.split(","):
        secret = part.partition(":")[2] or part
        assert len(secret) < 8 or secret not in str(caught.value)


def test_without_the_library_a_key_is_refused_with_what_to_install():
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from blnk_relay import Settings, InvalidSettings\n"
        "Settings()\n"
        f"try: Settings(encryption_keys={ONE!r})\n"
        "except InvalidSettings as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'blnk-relay[encryption]'" in told
    assert ONE.partition(":")[2] not in told


def test_a_producer_without_keys_imports_nothing_for_it():
    program = f"import sys, blnk_relay; blnk_relay.Settings(); print('{LIBRARY}' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told == "False\n"


def test_a_target_has_keys_of_its_own_or_those_of_all():
    settings = Settings(
        encryption_keys=ONE, targets=(Target(name="eu", encryption_keys=TWO), Target(name="us")), instance_id="i"
    )
    names = {name: settings.keyring(name).keys().names[0][:2] for name in settings.ledgers}
    assert names == {"default": "k1", "eu": "k2", "us": "k1"}
    assert settings.keyring("gone").keys().names[0].startswith("k1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"encryption_keys": "k1:YWJj"}, "BLNK_RELAY_ENCRYPTION_KEYS: key 'k1' has 3 bytes"),
        ({"encryption_keys_file": "/no/such"}, "BLNK_RELAY_ENCRYPTION_KEYS_FILE: '/no/such' cannot be read"),
        ({"encryption_keys": ONE, "encryption_keys_file": "/no/such"}, "are both set"),
        ({"targets": (Target(name="eu", encryption_keys="k1:YWJj"),)}, "BLNK_RELAY_EU__ENCRYPTION_KEYS: key 'k1' has"),
    ],
)
def test_settings_that_contradict_are_refused_at_start(arguments, says):
    with pytest.raises(InvalidSettings) as caught:
        Settings(**arguments)
    assert says in str(caught.value)


def ids(ring: Keyring) -> list[str]:
    found = ring.keys()
    return [key.id for key in found]


# -- the file of the keys ------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(encryption, "LOOK_S", 0.0)
    found = tmp_path / "keys"
    found.write_text(f"{ONE}\n")
    return found


def test_a_file_is_read_again_when_it_changes(path):
    ring = Keyring("", str(path), VARIABLE)
    assert ids(ring) == ["k1"]
    path.write_text(f"{TWO}\n{ONE}\n")
    assert ids(ring) == ["k2", "k1"]


@pytest.mark.parametrize("text", ["", "nonsense", "k3:YWJj"])
def test_a_file_that_cannot_be_used_for_a_moment_changes_nothing_and_is_told_once(path, text, caplog):
    ring = Keyring("", str(path), VARIABLE)
    path.write_text(text)
    assert [ids(ring) for _ in range(3)] == [["k1"]] * 3
    assert len(caplog.records) == 1
    path.unlink()
    assert ids(ring) == ["k1"]
    path.write_text(TWO)
    assert ids(ring) == ["k2"]


def test_an_empty_file_is_refused_at_start(path):
    path.write_text("\n")
    with pytest.raises(InvalidSettings, match="there is no key in"):
        Settings(encryption_keys_file=str(path))


# -- sealed texts --------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_sealed_is_read_back_and_no_two_are_alike(content, id_):
    first, again = sealed(content, ("eu", id_, "memo")), sealed(content, ("eu", id_, "memo"))
    assert first != again
    assert keys(TWO, ONE).opened(("eu", id_, "memo"), first) == content
    assert name_in(first) == keys(ONE).names[0]


@pytest.mark.parametrize(
    "place", [("us", *PLACE[1:]), ("eu", "other", "payload"), ("eu", "an-id", "memo"), ("eu", "an-id", "payload", "x")]
)
def test_it_cannot_be_read_in_another_place(place):
    with pytest.raises(DoesNotVerify):
        keys(ONE).opened(place, sealed())


def test_it_cannot_be_read_once_any_letter_was_changed_or_is_missing():
    text = sealed()
    start = text.index(":") + 1
    for at in range(start, len(text)):
        letter = "A" if text[at] != "A" else "B"
        # The last letters of base64 may stand for bits that are not there.
        changed = base64.b64decode(text[start:at] + letter + text[at + 1 :]) if text[at] != "=" else b""
        if changed and changed != base64.b64decode(text[start:]):
            with pytest.raises(DoesNotVerify):
                keys(ONE).opened(PLACE, text[:at] + letter + text[at + 1 :])
    for end in range(1, len(text)):
        with pytest.raises(DoesNotVerify):
            keys(ONE).opened(PLACE, text[:end])


def test_a_wrong_key_under_the_right_id_counts_as_none():
    with pytest.raises(EncryptionKeyMissing) as caught:
        keys(a_key("k1")).opened(PLACE, sealed())
    assert caught.value.key == keys(ONE).names[0]
    assert "encrypted with key k1" in str(caught.value)


# -- entries -------------------------------------------------------------------------------------------------------


def test_a_body_hides_its_payload_and_nothing_else():
    seal, mark = Seal("default", Keyring(ONE)), a_mark()
    odd = {"a": f'",{mark}\\', "payload": {"payload": 1}}
    new = new_entry(payment(meta_data=odd, description=mark), "a-key", "lane", not_before="+0", deadline="+1")
    body = seal.body(new.entry.id, new.body, seal.keys().first)
    assert found_in([mark], new.body.encode()) == {mark}
    assert found_in([mark], body.encode()) == set()
    shown, data = json.loads(new.body), json.loads(body)
    assert shown.pop("payload") != data.pop("payload")
    assert shown == data
    assert seal.shown_body(new.entry.id, body) == new.body
    assert seal.shown_body(new.entry.id, new.body) == new.body
    with pytest.raises(DoesNotVerify):
        seal.shown_body("another", body)


def test_a_file_is_read_back_and_may_be_in_the_clear_from_before():
    content = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
    new = new_entry(upload_records("bank", content, name="x.csv"), "k", "lane", not_before="+0", deadline="+1")
    seal = Seal("default", Keyring(ONE))
    kept = seal.file(new.entry.id, new.file, seal.keys().first)
    assert kept.startswith(MARK)
    for text in (kept, new.file):
        assert unpacked(seal.shown_file(new.entry.id, text), len(content)) == content


def test_without_keys_nothing_is_touched():
    seal = Seal("default", Keyring())
    new = new_entry(payment(), "a-key", "lane", not_before="+0", deadline="+1")
    with pytest.raises(StopIteration) as end:
        next(seal.entries_flow([new]))
    assert end.value.value == ("", [new])
    assert seal.hidden("id", "memo", "{}", seal.keys().first) == "{}"


def test_what_only_looks_sealed_is_told_as_what_it_is():
    seal = Seal("default", Keyring(ONE))
    assert seal.told("id", "message", "plain") == "plain"
    assert "does not verify" in seal.told("id", "message", MARK + "nonsense")
    assert seal.told("id", "message", sealed(key=TWO)) == "(encrypted with key k2, which this process does not have)"


@pytest.mark.parametrize(
    ("field", "needs", "is_hidden"), [("", [], False), ("a.1", ["a.1"], True), ("- a.1 b.2", ["a.1", "b.2"], False)]
)
def test_the_field_says_which_keys_an_intent_needs_and_whether_its_body_is_hidden(field, needs, is_hidden):
    assert (keys_in(field), hidden(field)) == (needs, is_hidden)


# -- the search itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(4))
def test_a_mark_is_found_in_every_form(before):
    mark = a_mark("märk")
    around = b"x" * before + mark.encode() + b"yz"
    for data in (
        around,
        base64.b64encode(around),
        base64.urlsafe_b64encode(around),
        around.hex().encode(),
        json.dumps({"a": mark}).encode(),
    ):
        assert found_in([mark], data) == {mark}
    assert found_in([a_mark("märk")], around) == set()
    assert all(len(form) > 12 for form in forms_of(mark))
