"""Child processes answer, and end whatever they do."""

from __future__ import annotations

import os

import pytest

from dev.benchmarks.children import Child, ChildError
from dev.benchmarks.harness import Fleet

pytestmark = pytest.mark.one_python


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_method_is_called_and_its_value_returned():
    with Child("fractions", "Fraction", 3, 4) as child:
        assert child.ask("__str__") == "3/4"


def test_what_a_method_raises_is_told():
    with Child("builtins", "list") as child, pytest.raises(ChildError, match="IndexError: pop"):
        child.ask("pop")


def test_one_that_cannot_start_says_why():
    with pytest.raises(ChildError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        Child("no_such_module", "Driver")


def test_one_that_ends_by_itself_is_noticed():
    with pytest.raises(ChildError, match="_exit: ended with status 3"):
        Child("os", "_exit", 3)


def test_a_fleet_makes_each_child_once_and_ends_them_all():
    with Fleet() as fleet:
        child = fleet.child("builtins", "list")
        assert fleet.child("builtins", "list") is child
        assert fleet.child("builtins", "dict") is not child
        pid = child.pid
        assert is_running(pid)
    assert not is_running(pid)


def test_a_child_ends_when_its_parent_has_gone():
    with Child("builtins", "list") as child:
        process = child._process
        process.stdin.close()  # as the system does for a parent that is killed
        assert process.wait(30) == 0


def test_an_answer_that_nobody_waited_for_is_not_the_next_one():
    with Child("builtins", "list") as child:
        child.tell("__len__")
        child.tell("append", 7)
        child.tell("copy")
        assert child.answer() == [7]


def test_one_that_gives_no_answer_in_time_is_ended_and_made_anew():
    with Fleet() as fleet:
        child = fleet.child("threading", "Event")
        child.tell("wait", 60)
        with pytest.raises(ChildError, match=r"no answer in 0 s from threading\.Event"):
            child.answer(0.0)
        assert not is_running(child.pid)
        assert fleet.child("threading", "Event").ask("is_set") is False


def test_closing_may_be_repeated():
    child = Child("builtins", "list")
    child.close()
    child.close()
