"""The imports of the local Azure go one way: from HTTP to the state, and in no circle.

Every import counts: those for types only and those inside functions, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = 'tests.local_azure'
BATCH = f'{PACKAGE}.batch'
ENTRIES = ('account', 'autoscale', 'jobs', 'nodes', 'pools', 'resizing')  # of the state
HTTP = {
    f'{PACKAGE}.http_front',
    *(
        f'{BATCH}.{name}'
        for name in (
            *('api_versions', 'calls', 'etags', 'filters', 'lists', 'model_shapes', 'operations'),
            *('property_types', 'request_properties', 'request_rules', 'resource_documents'),
            *('resource_properties', 'service', 'signature'),
        )
    ),
}
Arrows = dict[str, set[str]]  # from each module to those that it imports


def read_modules(root: Path, package: str) -> dict[str, ast.Module]:
    """The parsed modules of a package below `root`, by their full names."""
    modules = {}
    for path in (root / package.replace('.', '/')).rglob('*.py'):
        name = '.'.join(path.relative_to(root).with_suffix('').parts)
        modules[name.removesuffix('.__init__')] = ast.parse(path.read_text())
    return modules


def imported_names(module: ast.Module) -> Iterator[str]:
    """Full names of what a module imports: of modules, or of things in them."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'imports have full names'
            for alias in node.names:
                yield f'{node.module}.{alias.name}'


def read_arrows(root: Path, package: str) -> Arrows:
    modules = read_modules(root, package)
    arrows: Arrows = {name: set() for name in modules}
    for name, module in modules.items():
        for imported in imported_names(module):
            # `from package.module import thing` names a thing: the arrow goes to its module.
            target = imported if imported in modules else imported.rpartition('.')[0]
            if target in modules:
                arrows[name].add(target)
    return arrows


def reach(arrows: Arrows, start: str) -> set[str]:
    """All that a module imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in arrows[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found


@pytest.fixture(scope='module')
def arrows() -> Arrows:
    return read_arrows(ROOT, PACKAGE)


def test_imports_make_no_circle(arrows: Arrows) -> None:
    TopologicalSorter(arrows).prepare()  # CycleError names the modules of a circle


def test_state_knows_nothing_of_http(arrows: Arrows) -> None:
    assert set(arrows) >= HTTP
    for name in ENTRIES:
        assert reach(arrows, f'{BATCH}.{name}').isdisjoint(HTTP), name


def test_node_knows_neither_http_nor_the_account(arrows: Arrows) -> None:
    batch = {name for name in arrows if name.startswith(BATCH)}
    nodes = [name for name in arrows if name.startswith(f'{PACKAGE}.node.')]

    assert batch
    assert nodes
    for module in nodes:
        assert reach(arrows, module).isdisjoint(batch | HTTP), module


def test_the_front_knows_none_of_the_services_behind_it(arrows: Arrows) -> None:
    batch = {name for name in arrows if name.startswith(BATCH)}
    services = batch | {f'{PACKAGE}.storage', f'{PACKAGE}.entra'}

    assert reach(arrows, f'{PACKAGE}.http_front').isdisjoint(services)
