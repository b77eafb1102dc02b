"""The images and VM sizes that the local Batch service offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Image(NamedTuple):
    offer: str
    sku: str
    agent: str
    generation: int
    end_of_life: str | None = None
    publisher: str = 'canonical'

    @property
    def key(self) -> str:
        return self.sku


class VmSize(NamedTuple):
    cores: int
    generations: tuple[int, ...]


# Triples and node agents: github.com/Azure/Batch issues 178 and 200, Azure-Samples/azure-batch-samples pull request
# 328. That 22.04 ends on 2027-06-30 is announced in Azure/Batch issue 200; its triple is recorded traffic (GET
# /supportedimages, 2022).
_JAMMY, _NOBLE, _END = '0001-com-ubuntu-server-jammy', 'ubuntu-24_04-lts', '2027-06-30T00:00:00Z'
IMAGES = (
    Image(_JAMMY, '22_04-lts', 'batch.node.ubuntu 22.04', 1, _END),
    Image(_JAMMY, '22_04-lts-gen2', 'batch.node.ubuntu 22.04', 2, _END),
    Image(_NOBLE, 'server', 'batch.node.ubuntu 24.04', 2),
    Image(_NOBLE, 'server-gen1', 'batch.node.ubuntu 24.04', 1),
)

# Cores and generations: the size pages of Azure Virtual Machines (Av2 and Dv2: generation 1 only; v3 and v5: both;
# Dsv6: 2 only).
VM_SIZES = {
    **{f'standard_a{n}_v2': VmSize(n, (1,)) for n in (1, 2, 4, 8)},
    **{f'standard_a{n}m_v2': VmSize(n, (1,)) for n in (2, 4, 8)},
    **{f'standard_d{i}_v2': VmSize(n, (1,)) for i, n in enumerate((1, 2, 4, 8, 16), 1)},
    **{
        f'standard_d{n}{s}_v3': VmSize(n, (1, 2) if s else (1,))
        for n in (2, 4, 8, 16)
        for s in ('', 's')
    },
    **{
        f'standard_d{n}{s}_v5': VmSize(n, (1, 2))
        for n in (2, 4, 8, 16)
        for s in ('', 's', 'as', 'ds', 'd', 'ads')
    },
    **{
        f'standard_d{n}{s}_v6': VmSize(n, (2,))
        for n in (2, 4, 8, 16)
        for s in ('s', 'as', 'ds', 'ads')
    },
    **{f'standard_f{n}s_v2': VmSize(n, (1, 2)) for n in (2, 4, 8, 16)},
}


def image_of(reference: Mapping[str, str]) -> Image | None:
    wanted = tuple(reference.get(key, '').lower() for key in ('publisher', 'offer', 'sku'))
    return next(
        (image for image in IMAGES if (image.publisher, image.offer, image.sku) == wanted), None
    )
