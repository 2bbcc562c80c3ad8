"""The socket between the speakers of the sites, as the configuration changes."""

import asyncio
import os
from pathlib import Path

import pytest

from bgp.config import Fellows
from bgp.errors import BgpError
from bgp.megaphones import OtherSites
from runtime.counters import Counters


@pytest.mark.parametrize("has_sites", [True, False])
def test_a_change_that_is_refused_leaves_us_with_those_that_we_spoke_to(tmp_path: Path, has_sites: bool) -> None:
    """A reload that was refused said "nothing was changed"; the other sites were the new ones all the same."""
    key = tmp_path / "sites.key"
    key.write_text("a secret of all sites")
    high, low = divmod(os.getpid() % 65536, 256)  # an address of our own on loopback
    site2, site3 = ({"name": f"site{n}", "locator": f"127.0.0.{n}"} for n in (2, 3))
    both, first = (
        Fellows.model_validate({"locator": f"127.9.{high}.{low}", "key_file": key, "site": sites})
        for sites in ([site2, site3], [site2])
    )

    async def scenario() -> None:
        others = OtherSites("site1", Counters(), lambda: False)
        await others.change(first)
        with pytest.raises(BgpError, match="refused"):
            async with others.changed(both if has_sites else None):
                assert len(others.table()) == 2 * has_sites
                raise BgpError("refused", "")
        assert [one["site"] for one in others.table()] == ["site2"]
        async with others.changed(both):
            pass
        assert len(others.table()) == 2
        await others.close()

    asyncio.run(scenario())
