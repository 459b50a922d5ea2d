"""Changes of a structure become mods, and mods become changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from copy import deepcopy
from typing import Any
from unittest import mock

import pytest

import sipyco_sync
from sipyco_sync.sync_struct import ModAction, Notifier, process_mod, update_from_dict


def recorded(struct: Any) -> tuple[Notifier, list[dict[str, Any]]]:
    """Give a notifier, and the list that its mods go to."""
    notifier = Notifier(struct)
    mods: list[dict[str, Any]] = []
    notifier.publish = mods.append
    return notifier, mods


def test_each_change_is_one_mod() -> None:
    n, mods = recorded({"a": [1, 2], "d": {"e": [0]}})
    n["a"].append(3)
    n["a"].insert(0, "i")
    assert n["a"].pop() == 3
    assert n["a"].pop(0) == "i"
    n["x"] = 1
    del n["x"]
    n["a"][0:1] = [7, 8]
    n["d"]["e"][0] = 5
    assert n["d"].pop("e") == [5]
    assert mods == [
        {"action": "append", "path": ["a"], "x": 3},
        {"action": "insert", "path": ["a"], "i": 0, "x": "i"},
        {"action": "pop", "path": ["a"], "i": -1},
        {"action": "pop", "path": ["a"], "i": 0},
        {"action": "setitem", "path": [], "key": "x", "value": 1},
        {"action": "delitem", "path": [], "key": "x"},
        {"action": "setitem", "path": ["a"], "key": slice(0, 1), "value": [7, 8]},
        {"action": "setitem", "path": ["d", "e"], "key": 0, "value": 5},
        {"action": "pop", "path": ["d"], "i": "e"},
    ]
    assert n.raw_view == {"a": [7, 8, 2], "d": {}}


def test_what_takes_one_step_in_python_takes_one_here() -> None:
    n, mods = recorded({"a": [], "d": {}})
    n["a"].extend(x for x in (1, 2))
    n["d"].update({"k": 1}, l=2)
    n["d"].update([("m", 3)])
    n.setdefault("a", "not this").append(3)
    n.setdefault("new", []).append(4)
    assert n.raw_view == {"a": [1, 2, 3], "d": {"k": 1, "l": 2, "m": 3}, "new": [4]}
    assert [mod["action"] for mod in mods] == ["append"] * 2 + ["setitem"] * 3 + [
        "append",
        "setitem",
        "append",
    ]
    assert len(n["a"]) == 3
    assert 2 in n["a"]
    assert "k" in n["d"]
    assert list(n["d"]) == ["k", "l", "m"]
    assert repr(n["a"]) == "Notifier([1, 2, 3])"
    assert bool(Notifier([]))


def test_what_was_assigned_is_held_and_not_copied() -> None:
    n, mods = recorded({})
    value: list[int] = []
    n["v"] = value
    assert n.raw_view["v"] is value
    assert mods[0]["value"] is value
    assert n["v"].raw_view is value
    assert n["v"].root is n


def test_the_callback_sees_the_change_that_it_is_told_of() -> None:
    n = Notifier({})
    seen: list[dict[str, Any]] = []
    n.publish = lambda mod: seen.append(dict(n.raw_view))
    n["k"] = 1
    assert seen == [{"k": 1}]


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n["a"].pop(5),
        lambda n: n.__delitem__("nosuch"),
        lambda n: n["a"].__setitem__(9, 1),
        lambda n: n.append(1),
    ],
)
def test_a_change_that_fails_is_not_announced(change: Any) -> None:
    n, mods = recorded({"a": [1]})
    with pytest.raises((LookupError, AttributeError)):
        change(n)
    assert n.raw_view == {"a": [1]}
    assert mods == []


def test_a_part_that_was_replaced_takes_no_changes() -> None:
    n, mods = recorded({"a": [{"k": 1}]})
    part, item = n["a"], n["a"][0]
    n["a"].insert(0, "before")
    with pytest.raises(LookupError, match=r"'a', 0.*take it again"):
        item["k"] = 2
    n["a"] = []
    with pytest.raises(LookupError, match=r"\['a'\].*take it again"):
        part.append(1)
    assert len(mods) == 2
    assert n.raw_view == {"a": []}


def test_nothing_is_refused_where_nobody_is_told() -> None:
    n = Notifier({"a": []})
    part = n["a"]
    n["a"] = object()
    part.append(1)
    assert part.raw_view == [1]


def test_mods_make_the_same_changes_elsewhere() -> None:
    n = Notifier({"a": [1, 2], "d": {}})
    mods: list[dict[str, Any]] = []
    n.publish = lambda mod: mods.append(deepcopy(mod))
    copy: Any = {"a": [1, 2], "d": {}}
    n["a"].append([3])
    n["a"][2].insert(0, 2.5)
    n["a"].pop(0)
    n["d"][(1, 2)] = OrderedDict(z=1)
    del n["a"][0:1]
    n["d"].pop((1, 2))
    for mod in mods:
        process_mod(copy, mod)
    assert copy == n.raw_view == {"a": [[2.5, 3]], "d": {}}


def test_a_notifier_can_be_the_target_of_mods() -> None:
    n, mods = recorded({"a": []})
    mod = {"action": ModAction.append.value, "path": ["a"], "x": 1}
    process_mod(n, mod)
    assert n.raw_view == {"a": [1]}
    assert mods == [mod]


@pytest.mark.parametrize(
    ("mod", "message"),
    [
        ({"action": "init", "struct": {}}, "nothing to apply it to"),
        ({"action": "explode", "path": []}, "unknown action of a mod: 'explode'"),
    ],
)
def test_mods_that_cannot_be_applied(mod: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        process_mod({}, mod)


def test_actions_are_known_by_their_names() -> None:
    assert [action.value for action in ModAction] == [
        "init",
        "append",
        "insert",
        "pop",
        "setitem",
        "delitem",
    ]


def test_update_changes_only_what_differs() -> None:
    n, mods = recorded({"same": [1, {"k": 2}], "other": 1, "gone": 0, "type": 1})
    update_from_dict(n, {"same": [1, {"k": 2}], "other": 2, "new": 3, "type": True})
    assert n.raw_view == {"same": [1, {"k": 2}], "other": 2, "type": True, "new": 3}
    assert sorted((mod["action"], mod["key"]) for mod in mods) == [
        ("delitem", "gone"),
        ("setitem", "new"),
        ("setitem", "other"),
        ("setitem", "type"),
    ]


def test_update_compares_arrays_by_value_and_shape() -> None:
    np = pytest.importorskip("numpy")
    nan = float("nan")

    def state() -> dict[str, Any]:
        return {
            "image": np.array([[1.0, nan], [3.0, 4.0]]),
            "empty": np.zeros((0, 3)),
            "records": np.array([(1, nan)], dtype=[("n", "<i4"), ("x", "<f8")]),
            "scalar": np.float32(nan),
            "times": np.array(["NaT", "2020-01-01"], dtype="datetime64[D]"),
            "nested": {"a": [np.arange(3), nan]},
            "complex": np.array([complex(nan, 1)]),
            "words": np.array(["a", "b"]),
        }

    n, mods = recorded(state())
    update_from_dict(n, state())
    assert mods == []
    changed = state()
    changed["image"][1, 1] = 5
    changed["empty"] = np.zeros((3, 0))
    changed["nested"]["a"][0][2] = 7
    changed["records"]["n"] = 2
    changed["words"] = np.array(["a", "c"])
    update_from_dict(n, changed)
    assert sorted(mod["key"] for mod in mods) == ["empty", "image", "nested", "records", "words"]
    mods.clear()
    update_from_dict(n, {**changed, "image": changed["image"].astype("<f4"), "scalar": 1.5})
    assert sorted(mod["key"] for mod in mods) == ["image", "scalar"]


def test_update_compares_arrays_of_objects_item_by_item() -> None:
    np = pytest.importorskip("numpy")

    def arrays(last: Any) -> dict[str, Any]:
        return {"a": np.array([1, [2, float("nan")], last], dtype=object)}

    n, mods = recorded(arrays(None))
    update_from_dict(n, arrays(None))
    assert mods == []
    update_from_dict(n, arrays("x"))
    assert [mod["key"] for mod in mods] == ["a"]


def test_a_part_of_an_array_has_its_place() -> None:
    np = pytest.importorskip("numpy")
    n, mods = recorded({"image": np.zeros((2, 2))})
    row = n["image"][0]
    row[1] = 5.0
    assert [(mod["path"], mod["key"], mod["value"]) for mod in mods] == [(["image", 0], 1, 5.0)]
    assert n.raw_view["image"].tolist() == [[0.0, 5.0], [0.0, 0.0]]


def test_update_copes_with_values_that_cannot_be_compared() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    n, mods = recorded({"k": Odd()})
    update_from_dict(n, {"k": Odd()})
    assert [mod["action"] for mod in mods] == ["setitem"]


def test_a_callback_may_change_the_structure_once_more() -> None:
    n = Notifier({"log": []})

    def publish(mod: dict[str, Any]) -> None:
        if mod["path"] == []:
            n["log"].append(mod["key"])

    n.publish = publish
    n["k"] = 1
    assert n.raw_view == {"log": ["k"], "k": 1}


def test_whatever_can_be_called_can_be_told() -> None:
    n = Notifier({})
    n.publish = mock.Mock()
    n["k"] = object()
    n.publish.assert_called_once_with(
        {"action": "setitem", "path": [], "key": "k", "value": n.raw_view["k"]}
    )


def test_it_needs_no_event_loop() -> None:
    n, mods = recorded([])
    threads = [threading.Thread(target=n.append, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n.raw_view) == [0, 1, 2, 3]
    assert len(mods) == 4


def test_a_mod_sets_no_more_items_of_an_array_than_there_are() -> None:
    """Two lists of indices go together as rows and columns do: each with each."""
    np = pytest.importorskip("numpy")
    many = list(range(300))
    for shape, key in [
        ((1, 1), ([[0]] * 300, [0] * 300)),
        ((1, 90_000), [0] * 300),
        ((1, 90_000), np.zeros(300, int)),
        ((1, 1, 90_000), (0, [0] * 300, slice(None))),
        ((1, 300), (np.zeros((300, 1), int), np.ones(300, bool))),
    ]:
        for target in (np.zeros(shape), Notifier(np.zeros(shape)), np.zeros(shape, object)):
            with pytest.raises(ValueError, match="expected to set at most"):
                process_mod(target, {"action": "setitem", "path": [], "key": key, "value": 1.0})
    for key, changed in [
        (([[i] for i in many], many), 90_000),
        ([0] * 300, 300),
        ((many, many), 300),
        ((..., [0, 0]), 300),
        (([True] * 299 + [False], 5), 299),
        (np.ones((300, 300), bool), 90_000),
        ((slice(0, 2), None, [3]), 2),
        ([], 0),
    ]:
        array = np.zeros((300, 300))
        process_mod(array, {"action": "setitem", "path": [], "key": key, "value": 1.0})
        assert int(array.sum()) == changed
    records = np.zeros(3, "i4,i4")
    process_mod(records, {"action": "setitem", "path": [], "key": ["f0", "f1"], "value": 7})
    assert records.tolist() == [(7, 7)] * 3
    empty = np.zeros((0, 5))
    process_mod(empty, {"action": "setitem", "path": [], "key": ([], [1]), "value": 1.0})
    for key in (0, ([0], [0], [0])):
        with pytest.raises(IndexError):
            process_mod(np.zeros((0, 5)), {"action": "setitem", "key": key, "value": 1})
    with pytest.raises(IndexError):
        process_mod(np.zeros(5), {"action": "setitem", "key": ([0], [0]), "value": 1})


def test_a_path_into_an_array_leads_to_a_part_of_it_and_makes_no_copy() -> None:
    """Indices in a list would give as many copies, of an array that may be large."""
    np = pytest.importorskip("numpy")
    array = np.zeros((4, 3), [("a", "<i4"), ("b", "<f8", (2,))])
    for path, key, value in [
        ([], (slice(1, 3), 0), (1, 2.0)),
        ([0, 1], "a", 5),
        (["b", slice(0, 2), (1, None)], (0, 1), 7.0),
        ([np.int64(3), -1, "b"], [0, 1], [8.0, 9.0]),
    ]:
        for target in (array, Notifier(array)):
            process_mod(target, {"action": "setitem", "path": path, "key": key, "value": value})
    assert array["a"].tolist() == [[0, 5, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert array["b"][1, 1].tolist() == [7.0, 7.0]
    assert array["b"][3, 2].tolist() == [8.0, 9.0]
    for index in ([0] * 9, np.zeros(9, int), ((0, 0), 1), ([0], 1), ..., 1.5):
        for target in (array, Notifier(array), {"x": array}):
            path = ["x", index] if isinstance(target, dict) else [index]
            with pytest.raises(ValueError, match="in a path into a `ndarray`, got a `"):
                process_mod(target, {"action": "pop", "path": path, "i": 0})


def test_a_copy_of_a_part_of_an_array_is_no_part_to_change() -> None:
    """The change would be lost, here and in every copy of the structure."""
    np = pytest.importorskip("numpy")
    n, mods = recorded({"a": np.zeros(4)})
    n["a"][1:][0] = 1
    with pytest.raises(ValueError, match="path into a `ndarray`, got a `list`"):
        n["a"][[0, 1]][0] = 1
    assert [mod["path"] for mod in mods] == [["a", slice(1, None)]]
    assert n.raw_view["a"].tolist() == [0, 1, 0, 0]
    n["a"][[0, 2]] = 3
    assert n.raw_view["a"].tolist() == [3, 1, 3, 0]


def test_a_path_leads_through_other_containers_by_any_key() -> None:
    struct = {(1, 2): {None: [[], {1.5: []}]}}
    process_mod(struct, {"action": "append", "path": [(1, 2), None, 1, 1.5], "x": 1})
    assert struct == {(1, 2): {None: [[], {1.5: [1]}]}}


def test_names_can_be_imported_from_the_package() -> None:
    assert sipyco_sync.Notifier is Notifier
    assert {"Notifier", "Publisher", "Subscriber", "__version__"} <= set(dir(sipyco_sync))
    with pytest.raises(AttributeError, match="module 'sipyco_sync' has no attribute 'nosuch'"):
        sipyco_sync.nosuch
