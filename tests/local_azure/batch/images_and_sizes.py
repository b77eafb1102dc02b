"""The images that the local Batch service offers, those that it knows, and the VM sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


# Triples and node agents: github.com/Azure/Batch issues 178 and 200, and pull request 328 of
# Azure-Samples/azure-batch-samples. That 22.04 ends on 2027-06-30 is announced in Azure/Batch issue
# 200; its triple is recorded traffic (GET /supportedimages, 2022).
_JAMMY = '0001-com-ubuntu-server-jammy'
_NOBLE = 'ubuntu-24_04-lts'
_END_OF_JAMMY = '2027-06-30T00:00:00Z'
IMAGES = (
    Image(_JAMMY, '22_04-lts', 'batch.node.ubuntu 22.04', 1, _END_OF_JAMMY),
    Image(_JAMMY, '22_04-lts-gen2', 'batch.node.ubuntu 22.04', 2, _END_OF_JAMMY),
    Image(_NOBLE, 'server', 'batch.node.ubuntu 24.04', 2),
    Image(_NOBLE, 'server-gen1', 'batch.node.ubuntu 24.04', 1),
)


class NodeAgent(NamedTuple):
    """A node agent, with the images that it runs on."""

    key: str
    images: list[Image]


def node_agents() -> list[NodeAgent]:
    agents: dict[str, NodeAgent] = {}
    for image in IMAGES:
        agent = agents.setdefault(image.agent, NodeAgent(image.agent, []))
        agent.images.append(image)
    return list(agents.values())


# Publisher and offer of images that Batch takes or has taken and that are not offered here. Their
# SKUs are too many to be listed (Azure docs: batch-linux-nodes; github.com/Azure/Batch issue 200).
_KNOWN_OFFERS = {
    ('almalinux', 'almalinux'),
    ('almalinux', 'almalinux-x86_64'),
    ('almalinux', 'almalinux-hpc'),
    ('debian', 'debian-11'),
    ('debian', 'debian-12'),
    ('microsoft-azure-batch', 'ubuntu-server-container'),
    ('microsoft-azure-batch', 'ubuntu-server-container-rdma'),
    ('microsoft-dsvm', 'dsvm-win-2019'),
    ('microsoft-dsvm', 'ubuntu-2004'),
    ('microsoft-dsvm', 'ubuntu-hpc'),
    ('microsoftwindowsserver', 'microsoftserveroperatingsystems-previews'),
    ('microsoftwindowsserver', 'windowsserver'),
    ('rockylinux', 'rockylinux'),
    ('suse', 'sles-15-sp5'),
}
# The same for SKUs of the offers that are offered here.
_KNOWN_SKUS = {
    (_JAMMY, '22_04-lts-arm64'),
    (_JAMMY, 'server'),
    (_NOBLE, 'cvm'),
    (_NOBLE, 'minimal'),
    (_NOBLE, 'minimal-gen1'),
    (_NOBLE, 'server-arm64'),
    (_NOBLE, 'ubuntu-pro'),
    (_NOBLE, 'ubuntu-pro-gen1'),
}


def image_of(reference: Mapping[str, str]) -> Image | None:
    """The offered image that an imageReference means."""
    wanted = _triple(reference)
    for image in IMAGES:
        if (image.publisher, image.offer, image.sku) == wanted:
            return image
    return None


def is_known_image(reference: Mapping[str, str]) -> bool:
    """Whether Azure may have an image that is not offered here."""
    publisher, offer, sku = _triple(reference)
    if (publisher, offer) in _KNOWN_OFFERS:
        return True
    return publisher == 'canonical' and (offer, sku) in _KNOWN_SKUS


def _triple(reference: Mapping[str, str]) -> tuple[str, str, str]:
    publisher = reference.get('publisher', '')
    offer = reference.get('offer', '')
    sku = reference.get('sku', '')
    return publisher.lower(), offer.lower(), sku.lower()


class VmSize(NamedTuple):
    cores: int
    generations: tuple[int, ...]


_FIRST = (1,)
_SECOND = (2,)
_BOTH = (1, 2)

VM_SIZES: dict[str, VmSize] = {}


def _series(
    prefix: str, cores: Iterable[int], suffix: str, generations: tuple[int, ...] = _BOTH
) -> None:
    """Adds the sizes of a series whose names contain the number of cores."""
    for number in cores:
        VM_SIZES[f'standard_{prefix}{number}{suffix}'] = VmSize(number, generations)


# Cores and generations: the size pages of Azure Virtual Machines. That Dv2 and Dsv2 boot only
# generation 1: Azure-Samples/azure-batch-samples pull request 328.
_UP_TO_64 = (2, 4, 8, 16, 32, 48, 64)
_UP_TO_96 = (2, 4, 8, 16, 32, 48, 64, 96)
_CORES_OF_E = (2, 4, 8, 16, 20, 32, 48, 64)
_CORES_OF_EV5 = (2, 4, 8, 16, 20, 32, 48, 64, 96, 104)
_CORES_OF_L = (8, 16, 32, 48, 64, 80)
_CORES_OF_DV2 = {
    1: 1,
    2: 2,
    3: 4,
    4: 8,
    5: 16,
    11: 2,
    12: 4,
    13: 8,
    14: 16,
    15: 20,
}

for _number, _cores in _CORES_OF_DV2.items():
    VM_SIZES[f'standard_d{_number}_v2'] = VmSize(_cores, _FIRST)
    VM_SIZES[f'standard_ds{_number}_v2'] = VmSize(_cores, _FIRST)

_series('a', (1, 2, 4, 8), '_v2', _FIRST)
_series('a', (2, 4, 8), 'm_v2', _FIRST)

_series('b', (1, 2), 's')
_series('b', (1, 2, 4, 8, 12, 16, 20), 'ms')
_series('b', (2, 4, 8, 16, 32), 's_v2')
_series('b', (2, 4, 8, 16, 32), 'as_v2')
_series('b', (2, 4), 'ls_v2')
_series('b', (2,), 'ts_v2')

_series('d', _UP_TO_64, '_v3', _FIRST)
_series('d', _UP_TO_64, 's_v3')
_series('e', _CORES_OF_E, '_v3', _FIRST)
_series('e', _CORES_OF_E, 's_v3')

for _kind in ('', 's', 'd', 'ds'):
    _series('d', _UP_TO_64, f'{_kind}_v4')
    _series('e', _CORES_OF_E, f'{_kind}_v4')
    _series('d', _UP_TO_96, f'{_kind}_v5')
    _series('e', _CORES_OF_EV5, f'{_kind}_v5')

for _kind in ('a', 'as'):
    _series('d', _UP_TO_96, f'{_kind}_v4')
    _series('e', _UP_TO_96, f'{_kind}_v4')

for _kind in ('as', 'ads'):
    _series('d', _UP_TO_96, f'{_kind}_v5')
    _series('e', _UP_TO_96, f'{_kind}_v5')

for _kind in ('s', 'as', 'ds', 'ads', 'ls', 'lds', 'als', 'alds'):
    _series('d', _UP_TO_96, f'{_kind}_v6', _SECOND)

for _kind in ('s', 'as', 'ds', 'ads'):
    _series('e', _UP_TO_96, f'{_kind}_v6', _SECOND)

for _kind in ('ls', 'lds'):
    _series('d', _UP_TO_96, f'{_kind}_v5')

_series('f', (1, 2, 4, 8, 16), '', _FIRST)
_series('f', (1, 2, 4, 8, 16), 's')
_series('f', (2, 4, 8, 16, 32, 48, 64, 72), 's_v2')
for _kind in ('as', 'als', 'ams'):
    _series('f', _UP_TO_64, f'{_kind}_v6', _SECOND)

_series('l', _CORES_OF_L, 's_v2')
_series('l', _CORES_OF_L, 's_v3')
_series('l', _CORES_OF_L, 'as_v3')

_series('m', (64, 128), 's')
_series('m', (64, 128), 'ms')

_series('hb', (120,), 'rs_v2')
_series('hb', (120,), 'rs_v3')
_series('hb', (176,), 'rs_v4', _SECOND)
_series('hc', (44,), 'rs')
_series('hx', (176,), 'rs', _SECOND)

_series('nc', (6, 12, 24), 's_v3')
_series('nc', (4, 8, 16, 64), 'as_t4_v3')
_series('nc', (24, 48, 96), 'ads_a100_v4', _SECOND)
_series('nc', (40, 80), 'ads_h100_v5', _SECOND)
_series('nv', (12, 24, 48), 's_v3')
_series('nv', (6, 12, 18, 36, 72), 'ads_a10_v5')
_series('nd', (96,), 'asr_v4', _SECOND)
_series('nd', (96,), 'isr_h100_v5', _SECOND)
