"""No operation of the API says that the fault is ours, whatever it is given; `python -m tests.api` asks more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.everything import fill, operations, try_everything
from tests.integration.installed import up


@pytest.mark.slow
def test_no_operation_fails_at_what_it_is_given(tmp_path: Path) -> None:
    with up(tmp_path / "data", phones=1) as site:
        site.wait_for_phones(1)
        tried = try_everything(site, fill(site), examples=1)
        assert tried.failures == {}
        assert set(tried.operations) == {operation.label for operation in operations(site)}
        assert tried.statuses[200] > 20, "nothing was let in"
