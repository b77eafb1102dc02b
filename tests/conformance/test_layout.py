"""The imports of the local Azure go one way: from HTTP to the state, and in no circle.

Every import counts: those for types only and those inside functions, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = 'tests.local_azure'
STATE = (
    f'{PACKAGE}.batch.account',
    f'{PACKAGE}.batch.autoscale',
    f'{PACKAGE}.batch.autoscale_formula',
    f'{PACKAGE}.batch.autoscale_samples',
    f'{PACKAGE}.batch.autoscale_tokens',
    f'{PACKAGE}.batch.autoscale_values',
    f'{PACKAGE}.batch.clock',
    f'{PACKAGE}.batch.delays',
    f'{PACKAGE}.batch.documented_limits',
    f'{PACKAGE}.batch.errors',
    f'{PACKAGE}.batch.execution',
    f'{PACKAGE}.batch.jobs',
    f'{PACKAGE}.batch.model',
    f'{PACKAGE}.batch.nodes',
    f'{PACKAGE}.batch.pools',
    f'{PACKAGE}.batch.resizing',
    f'{PACKAGE}.batch.retries',
    f'{PACKAGE}.batch.scheduling',
    f'{PACKAGE}.batch.shared_state',
    f'{PACKAGE}.batch.states',
    f'{PACKAGE}.batch.task_environment',
    f'{PACKAGE}.batch.task_users',
)
HTTP = (
    f'{PACKAGE}.http_front',
    f'{PACKAGE}.batch.api_versions',
    f'{PACKAGE}.batch.calls',
    f'{PACKAGE}.batch.etags',
    f'{PACKAGE}.batch.filters',
    f'{PACKAGE}.batch.lists',
    f'{PACKAGE}.batch.model_shapes',
    f'{PACKAGE}.batch.operations',
    f'{PACKAGE}.batch.property_types',
    f'{PACKAGE}.batch.request_properties',
    f'{PACKAGE}.batch.request_rules',
    f'{PACKAGE}.batch.resource_documents',
    f'{PACKAGE}.batch.resource_properties',
    f'{PACKAGE}.batch.service',
    f'{PACKAGE}.batch.signature',
)
Arrows = dict[str, set[str]]  # from each module to those that it imports


def read_modules(root: Path, package: str) -> dict[str, ast.Module]:
    """The parsed modules of a package below `root`, by their full names."""
    modules = {}
    for path in (root / package.replace('.', '/')).rglob('*.py'):
        parts = path.relative_to(root).with_suffix('').parts
        if parts[-1] == '__init__':
            parts = parts[:-1]
        modules['.'.join(parts)] = ast.parse(path.read_text())
    return modules


def imported_names(name: str, module: ast.Module, is_package: bool) -> Iterator[str]:
    """Full names of what a module imports: of modules, or of things in them."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name

        if isinstance(node, ast.ImportFrom):
            origin = node.module or ''
            if node.level:
                parents = node.level - 1 if is_package else node.level
                above = name.split('.')
                above = above[: len(above) - parents]
                origin = '.'.join([*above, origin]).rstrip('.')
            for alias in node.names:
                yield f'{origin}.{alias.name}'


def read_arrows(root: Path, package: str) -> Arrows:
    modules = read_modules(root, package)
    arrows: Arrows = {name: set() for name in modules}
    for name, module in modules.items():
        is_package = any(other.startswith(f'{name}.') for other in modules)
        for imported in imported_names(name, module, is_package):
            # `from package.module import thing` names a thing: the arrow goes to its module.
            if imported not in modules:
                imported = imported.rpartition('.')[0]
            if imported in modules:
                arrows[name].add(imported)
    return arrows


def find_circle(arrows: Arrows) -> list[str]:
    """The modules of a circle, the first one again at the end; empty if there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


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
    assert find_circle(arrows) == []


@pytest.mark.parametrize('module', STATE)
def test_state_knows_nothing_of_http(arrows: Arrows, module: str) -> None:
    assert reach(arrows, module).isdisjoint(HTTP)


def test_node_knows_neither_http_nor_the_account(arrows: Arrows) -> None:
    batch = {name for name in arrows if name.startswith(f'{PACKAGE}.batch')}
    node = [name for name in arrows if name.startswith(f'{PACKAGE}.node.')]

    assert batch
    assert node
    for module in node:
        assert reach(arrows, module).isdisjoint(batch | set(HTTP)), module


def test_the_front_knows_none_of_the_services_behind_it(arrows: Arrows) -> None:
    batch = {name for name in arrows if name.startswith(f'{PACKAGE}.batch')}
    services = batch | {f'{PACKAGE}.storage', f'{PACKAGE}.entra'}

    assert reach(arrows, f'{PACKAGE}.http_front').isdisjoint(services)


def test_the_service_knows_state_and_front(arrows: Arrows) -> None:
    known = reach(arrows, f'{PACKAGE}.batch.service')

    assert {f'{PACKAGE}.http_front', f'{PACKAGE}.batch.account'} <= known


def test_every_module_named_here_exists(arrows: Arrows) -> None:
    assert set(STATE) | set(HTTP) <= set(arrows)


@pytest.mark.parametrize(
    'source',
    [
        'import house.cellar.boiler',
        'from house.cellar import boiler as heat',
        'from house.cellar.boiler import warm',
        'from .cellar import boiler',
        'from .cellar.boiler import warm',
        'if TYPE_CHECKING:\n    from house.cellar.boiler import warm',
        'def live():\n    from house.cellar import boiler',
    ],
)
def test_circle_is_found_however_the_import_is_written(tmp_path: Path, source: str) -> None:
    (tmp_path / 'house/cellar').mkdir(parents=True)
    (tmp_path / 'house/__init__.py').touch()
    (tmp_path / 'house/cellar/__init__.py').touch()
    (tmp_path / 'house/roof.py').write_text(source)
    (tmp_path / 'house/cellar/boiler.py').write_text('from ..roof import chimney')

    arrows = read_arrows(tmp_path, 'house')

    assert set(find_circle(arrows)) == {'house.roof', 'house.cellar.boiler'}
