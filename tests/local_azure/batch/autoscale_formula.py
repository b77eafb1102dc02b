"""The language of autoscale formulas: what a formula gives.

    $tasks = max(0, $PendingTasks.GetSample(1));
    $TargetLowPriorityNodes = time() < time("2026-11-25T12:00:00Z") ? min($tasks, 5) : 0;

Azure docs, batch-automatic-scaling. What that article's formulas use is understood, but for the use
of CPU and disks, and so is Nextflow's formula. Whatever else stands in a formula is NotImplemented,
never an error of the service, since it may be right there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.local_azure.batch.autoscale_samples import METRICS, NODE_METRICS
from tests.local_azure.batch.autoscale_tokens import Token, not_understood, split
from tests.local_azure.batch.autoscale_values import (
    FUNCTIONS,
    INTERVALS,
    LEVELS,
    METHODS,
    Situation,
    Value,
    as_number,
    call,
    combine,
    member_of_time,
    moment_of,
    with_sign,
    written,
)
from tests.local_azure.batch.errors import BatchError

DEALLOCATION = '$NodeDeallocationOption'
# The second name of each is an alias, which yields to the first (Azure docs).
DEDICATED = ('$TargetDedicatedNodes', '$TargetDedicated')
LOW_PRIORITY = ('$TargetLowPriorityNodes', '$TargetLowPriority')
SLOTS = '$TaskSlotsPerNode'
IMITATED_OPTIONS = ('requeue', 'terminate', 'taskcompletion')
MOST_NODES = 2**31 - 1
LONGEST_FORMULA = 8192  # characters (.NET BatchErrorCodeStrings.AutoScaleFormulaTooLong)


@dataclass(frozen=True)
class FormulaResult:
    """What a formula gives: numbers of nodes, and what becomes of the tasks on nodes that leave."""

    dedicated: int
    low_priority: int
    deallocation: str = 'requeue'
    variables: str = ''  # those of the formula's own, as the service shows them

    @property
    def targets(self) -> dict[bool, int]:
        """As a pool has them: True for dedicated."""
        return {True: self.dedicated, False: self.low_priority}

    def __str__(self) -> str:
        """Recorded traffic: POST /pools/{id}/evaluateautoscale."""
        return (
            f'{DEDICATED[0]}={self.dedicated};'
            f'{LOW_PRIORITY[0]}={self.low_priority};'
            f'{DEALLOCATION}={self.deallocation}{self.variables}'
        )


def evaluate(formula: str, situation: Situation) -> FormulaResult:
    """The result of a formula; a target that it does not set stays what it is.

    Recorded traffic: $TargetLowPriorityNodes=3 gave $TargetDedicatedNodes=0 and requeue, too.
    """
    if len(formula) > LONGEST_FORMULA:
        raise BatchError('AutoScalingFormulaTooLong')
    scope = _Scope(situation)
    try:
        for statement in _Reader(formula).read_formula():
            statement(scope)
        return scope.result()
    except RecursionError:
        raise not_understood('a nesting so deep') from None
    except (OverflowError, ValueError) as error:
        raise not_understood(f'a value beyond all bounds, {error}') from error


class _Scope:
    """The variables of one evaluation."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.deallocation = 'requeue'
        self.values: dict[str, Value] = {SLOTS: float(situation.slots), **situation.nodes}
        for names, is_dedicated in ((DEDICATED, True), (LOW_PRIORITY, False)):
            for name in names:
                self.values[name] = float(situation.targets[is_dedicated])
        self._assigned: dict[str, Value] = {}

    def assign(self, name: str, value: Value) -> None:
        self.values[name] = value
        self._assigned[name] = value

    def result(self) -> FormulaResult:
        variables = ''
        for name in sorted(self._assigned):
            if name not in (*DEDICATED, *LOW_PRIORITY):
                variables += f';{name}={written(self._assigned[name])}'
        return FormulaResult(
            self._target(DEDICATED), self._target(LOW_PRIORITY), self.deallocation, variables
        )

    def _target(self, names: tuple[str, str]) -> int:
        """A whole number: that the rest is cut off is what the article's "+ 3) / 4" needs."""
        for name in names:
            if name in self._assigned:
                value = self._assigned[name]
                assert isinstance(value, float)  # it was checked when it was assigned
                return max(0, int(value))
        return int(self.situation.targets[names == DEDICATED])


_Expression = Callable[[_Scope], Value]
_Statement = Callable[[_Scope], None]


class _Reader:
    """Reads a formula once, from left to right; what it has read is evaluated later."""

    def __init__(self, formula: str) -> None:
        self._tokens = split(formula)
        self._position = 0
        self._variables = {*DEDICATED, *LOW_PRIORITY, SLOTS}  # that can be read

    def read_formula(self) -> list[_Statement]:
        """formula = [statement] {";" [statement]}"""
        statements = []
        while self._peek().kind != 'end':
            if self._peek().text == ';':
                self._take()
            else:
                statements.append(self._read_statement())
        return statements

    def _read_statement(self) -> _Statement:
        """statement = (variable | name) "=" (expression | option)"""
        token = self._take()
        is_read_only = token.text == SLOTS or token.text in METRICS
        if token.kind not in ('variable', 'name') or is_read_only:
            token.refuse()
        self._expect('=')
        if token.text == DEALLOCATION:
            return self._read_option()

        expression = self._read_expression()
        self._check_end_of_statement()
        self._variables.add(token.text)

        def assign(scope: _Scope) -> None:
            value = expression(scope)
            is_target = token.text in (*DEDICATED, *LOW_PRIORITY)
            if is_target and as_number(value, token) > MOST_NODES:
                token.refuse(written(value))
            scope.assign(token.text, value)

        return assign

    def _read_option(self) -> _Statement:
        option = self._take()
        self._check_end_of_statement()
        if option.text not in IMITATED_OPTIONS:
            option.refuse()

        def set_option(scope: _Scope) -> None:
            scope.deallocation = option.text

        return set_option

    def _read_expression(self) -> _Expression:
        """expression = operation ["?" expression ":" expression]"""
        condition = self._read_operation()
        mark = self._peek()
        if mark.text != '?':
            return condition

        self._expect('?')
        value = self._read_expression()
        self._expect(':')
        otherwise = self._read_expression()

        def choose(scope: _Scope) -> Value:
            is_true = as_number(condition(scope), mark)
            return value(scope) if is_true else otherwise(scope)

        return choose

    def _read_operation(self, level: int = 0) -> _Expression:
        """operation = operand {sign operand}, with the signs of each level inside those before"""
        if level == len(LEVELS):
            return self._read_operand()
        left = self._read_operation(level + 1)
        while self._peek().text in LEVELS[level]:
            sign = self._take()
            left = _operation(left, sign, self._read_operation(level + 1))
        return left

    def _read_operand(self) -> _Expression:
        """operand = ("-" | "!") operand | metric | simple {member}"""
        token = self._peek()
        if token.text in ('-', '!'):
            self._take()
            operand = self._read_operand()
            return lambda scope: with_sign(token, operand(scope))
        if token.text in METRICS:
            return self._read_metric()

        operand = self._read_simple()
        while self._peek().kind == 'member':
            operand = _member(operand, self._take())
        return operand

    def _read_metric(self) -> _Expression:
        """metric = variable ["." method "(" [arguments] ")"]; only nodes have a present number"""
        metric = self._take()
        if self._peek().kind != 'member' and metric.text in NODE_METRICS:
            return lambda scope: scope.values[metric.text]

        method = self._take()
        if method.text not in METHODS:
            method.refuse(f'{metric.text}{method.text}')
        arguments = self._read_arguments()
        get = METHODS[method.text]
        return lambda scope: get(
            scope.situation, metric.text, method, [read(scope) for read in arguments]
        )

    def _read_simple(self) -> _Expression:
        """simple = number | name ["(" [arguments] ")"] | variable | "(" expression ")" """
        token = self._take()
        if token.kind == 'number':
            number = float(token.text)
            return lambda _: number
        if token.text == '(':
            expression = self._read_expression()
            self._expect(')')
            return expression
        if token.text in INTERVALS:
            return lambda _: INTERVALS[token.text]
        if token.text in self._variables:
            return lambda scope: scope.values[token.text]
        return self._read_call(token)

    def _read_call(self, function: Token) -> _Expression:
        if function.text == 'time':
            return self._read_time()
        if function.text not in FUNCTIONS:
            function.refuse()
        arguments = self._read_arguments()
        return lambda scope: call(function, [read(scope) for read in arguments])

    def _read_time(self) -> _Expression:
        """Now, or the time in quotation marks."""
        self._expect('(')
        token = self._peek()
        if token.kind != 'text':
            self._expect(')')
            return lambda scope: scope.situation.now

        moment = moment_of(self._take())
        self._expect(')')
        return lambda _: moment

    def _read_arguments(self) -> list[_Expression]:
        """arguments = expression {"," expression}"""
        self._expect('(')
        arguments = []
        while self._peek().text != ')':
            arguments.append(self._read_expression())
            if self._peek().text != ')':
                self._expect(',')
        self._expect(')')
        return arguments

    def _peek(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._peek()
        if token.kind != 'end':
            self._position += 1
        return token

    def _check_end_of_statement(self) -> None:
        token = self._peek()
        if token.kind != 'end' and token.text != ';':
            token.refuse()

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            token.refuse(f'{token.text or "the end"} where {text} could stand')


def _operation(left: _Expression, sign: Token, right: _Expression) -> _Expression:
    return lambda scope: combine(left(scope), sign, right(scope))


def _member(operand: _Expression, member: Token) -> _Expression:
    return lambda scope: member_of_time(operand(scope), member)
