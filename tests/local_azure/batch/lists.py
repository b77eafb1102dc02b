"""Lists of resources: filtered, page by page, with the properties that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from urllib.parse import quote, urlencode

from tests.local_azure.batch import resource_documents, resource_properties
from tests.local_azure.batch.calls import Call, Result
from tests.local_azure.batch.filters import Condition, check_expand, parse_filter, parse_select
from tests.local_azure.batch.property_types import Shape
from tests.local_azure.batch.resource_documents import Document, View

Write = Callable[[Any, View], Document]
ReadOne = Callable[[Any, View, str], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    `what` names it in the service's metadata. `read_one` gives a property of the document, quicker
    than by writing it.
    """

    what: str
    shape: Shape
    write: Write
    read_one: ReadOne | None = None
    most: int = 1000  # on a page (SDK14 operations, maxresults)

    def read(self, item: Any, view: View, name: str) -> Any:
        if self.read_one:
            return self.read_one(item, view, name)
        return self.write(item, view).get(name)

    def document(self, item: Any, view: View, select: list[str] | None) -> Document:
        """The document, or as much of it as was selected."""
        if select is None:
            return self.write(item, view)
        if self.read_one is None:
            document = self.write(item, view)
            return {name: document[name] for name in select if name in document}

        document = {name: self.read_one(item, view, name) for name in select}
        return {name: value for name, value in document.items() if value is not None}


POOLS = Kind(
    what='pools',
    shape=resource_properties.POOL,
    write=resource_documents.pool_document,
)
NODES = Kind(
    what='nodes',
    shape=resource_properties.NODE,
    write=resource_documents.node_document,
)
NODE_COUNTS = Kind(
    what='poolnodecounts',
    shape=resource_properties.NODE_COUNTS,
    write=resource_documents.node_counts_document,
    most=10,
)
JOBS = Kind(
    what='jobs',
    shape=resource_properties.JOB,
    write=resource_documents.job_document,
)
TASKS = Kind(
    what='tasks',
    shape=resource_properties.TASK,
    write=resource_documents.task_document,
    read_one=resource_documents.task_property,
)
IMAGES = Kind(
    what='supportedimages',
    shape=resource_properties.IMAGE,
    write=resource_documents.image_document,
)
NODE_AGENTS = Kind(
    what='nodeagentskus',
    shape=resource_properties.NODE_AGENT,
    write=resource_documents.node_agent_document,
)


def files(folder_url: str) -> Kind:
    """The files of one folder."""

    def write(file: Any, _: View) -> Document:
        return resource_documents.file_document(file, folder_url)

    return Kind(
        what='files',
        shape=resource_properties.FILE,
        write=write,
    )


def selected(call: Call, kind: Kind, item: Any) -> Document:
    """The document of one resource."""
    select = parse_select(call.arguments.get('$select'), kind.shape)
    return kind.document(item, call.view, select)


def page(call: Call, kind: Kind, items: Iterable[Any]) -> Result:
    """One page in the order of keys, so that paging stays stable while items come and go.

    The caller holds the lock of the account where items can change.
    """
    arguments = call.arguments
    limit = call.integer('maxresults', 1, kind.most)
    condition = parse_filter(arguments.get('$filter'), kind.shape)
    select = parse_select(arguments.get('$select'), kind.shape)
    check_expand(arguments.get('$expand'))

    found = _first(call, kind, items, condition, limit + 1)
    shown = found[:limit]

    value = []
    for item in shown:
        value.append(kind.document(item, call.view, select))
    body: Document = {
        'odata.metadata': f'{call.account.url}/$metadata#{kind.what}',
        'value': value,
    }
    if len(found) > limit:
        body['odata.nextLink'] = _next_link(call, shown[-1].key)
    return Result(200, body)


def _first(
    call: Call, kind: Kind, items: Iterable[Any], condition: Condition, count: int
) -> list[Any]:
    """As many as are wanted of those that fulfil the condition, behind those of earlier pages."""
    after = call.arguments.get('$skiptoken', '')
    found: list[Any] = []
    for item in sorted(items, key=attrgetter('key')):
        if item.key <= after:
            continue

        def read(name: str, item: Any = item) -> Any:
            return kind.read(item, call.view, name)

        if condition.holds(read):
            found.append(item)
        if len(found) == count:
            break
    return found


def _next_link(call: Call, last_key: str) -> str:
    query = {**call.arguments, '$skiptoken': last_key}
    text = urlencode(query, safe='$', errors='surrogateescape', quote_via=quote)
    return f'{call.url}?{text}'
