"""What a worker's pool has to be, and what it needs, seen at start."""

from __future__ import annotations

import tempfile

import pytest
from celery.concurrency import get_implementation
from celery.concurrency.base import BasePool

from blnk_relay import InvalidSettings
from worker.app import POOLS, check_pool


@pytest.mark.parametrize("pool", [*POOLS, *map(get_implementation, POOLS)])
def test_our_pools_are_taken_by_name_and_as_celery_has_them(pool):
    check_pool(pool)


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "", BasePool])
def test_any_other_is_refused(pool):
    with pytest.raises(InvalidSettings, match=r"unknown pool .*; use one of threads, prefork, solo"):
        check_pool(pool)


@pytest.mark.parametrize("pool", POOLS)
def test_processes_need_a_folder_for_temporary_files_and_threads_need_none(monkeypatch, tmp_path, pool):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    for given in (pool, get_implementation(pool)):
        if pool != "prefork":
            check_pool(given)
            continue
        with pytest.raises(InvalidSettings, match=r"the pool prefork needs a folder .* TMPDIR"):
            check_pool(given)
