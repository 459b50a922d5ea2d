"""The accounts accept right histories and refuse wrong ones. Nothing runs here."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from dev.soak.accounts import GIVEN_UP, HANG, KILLED, UNSENT, Accounts
from dev.soak.disturbances import SLACK, Disturbance, Excuses, overlap, touches
from dev.soak.peers import KINDS, kind_of, lay_out, number_of, peer_of, token_of, way_of, worker_of

pytestmark = pytest.mark.one_python

CLIENT = number_of(lay_out(10)[0], 0)
FORWARDER = number_of(lay_out(10)[4], 0)
RECEIVER = number_of(lay_out(10)[7], 0)


def judged(
    worker: Iterable[str] = (),
    executed: Iterable[int] = (),
    arrived: Iterable[str] = (),
    *,
    killed: Iterable[tuple[int, int]] = (),
    paused: float = 0.0,
    disturbed: bool = True,
    disturbances: Iterable[Disturbance] = (),
) -> Accounts:
    accounts = Accounts(KINDS)
    for line in worker:
        accounts.take(line)
    for token in executed:
        accounts.executed(token)
    for line in arrived:
        accounts.arrived(line)
    excuses = {FORWARDER: Excuses(disturbances)}
    accounts.judge(
        set(killed),
        lambda peer, begin, end: paused,
        lambda peer, begin, end: disturbed,
        excuses,
        set(),
    )
    return accounts


def call(count: int, end: str = "c {} 1.5", what: str = "echo") -> list[str]:
    token = token_of(CLIENT, count)
    return [f"a {token} 1.0 {what}", end.format(token)]


T0, T1 = token_of(CLIENT, 0), token_of(CLIENT, 1)


def test_calls_that_complete_and_calls_that_fail_for_a_reason_are_right() -> None:
    accounts = judged(
        [*call(0), *call(1, "f {} 2.0 EOFError"), *call(2, what="connect")], executed=[T0, T1]
    )
    assert accounts.complaints() == []
    tally = accounts.tallies["Client"]
    assert (tally.attempted, tally.completed, tally.lost) == (3, 2, 0)
    assert tally.failed == {"EOFError": 1}


def test_a_call_that_never_ends_is_lost() -> None:
    accounts = judged(call(0)[:1], executed=[T0])
    assert accounts.complaints() == [f"lost: echo {T0} has not ended since 1.000"]
    assert accounts.tallies["Client"].lost == 1


def test_a_call_that_ends_with_its_process_has_failed() -> None:
    accounts = judged(call(0)[:1], killed=[worker_of(CLIENT)])
    assert accounts.complaints() == []
    assert accounts.tallies["Client"].failed == {KILLED: 1}


@pytest.mark.parametrize("end", ["c {} 31.0", "f {} 31.0 EOFError"])
@pytest.mark.parametrize(("paused", "lost"), [(0.0, 1), (25.0, 0)])
def test_a_call_that_ends_long_after_its_time_is_lost_unless_its_process_was_stopped(
    end: str, paused: float, lost: int
) -> None:
    assert HANG < 30.0
    accounts = judged(call(0, end), executed=[T0], paused=paused)
    tally = accounts.tallies["Client"]
    assert tally.lost == lost
    assert tally.completed + tally.failed.total() + tally.lost == tally.attempted
    assert bool(accounts.complaints()) == bool(lost)


def test_a_failure_without_a_fault_is_wrong() -> None:
    timed_out = call(0, "f {} 4.0 TimeoutError")
    assert judged(timed_out, disturbed=True).complaints() == []
    assert judged(timed_out, disturbed=False).complaints() == [
        f"a failure without a fault: TimeoutError of call {T0}, begun at 1.000"
    ]
    assert judged(call(0, f"f {{}} 4.0 {GIVEN_UP}"), disturbed=False).complaints() == []


def test_a_call_that_is_executed_twice_is_wrong() -> None:
    assert judged(call(0), executed=[T0, T0]).complaints() == [f"a call was executed twice: {T0}"]


def test_a_call_that_nobody_has_made_is_wrong() -> None:
    assert judged(call(0), executed=[T0, T1]).complaints() == [
        f"a call was executed that nobody has made: {T1}"
    ]


def test_an_answer_to_what_was_not_executed_is_wrong() -> None:
    assert judged(call(0)).complaints() == [
        f"a call was answered that the server has not executed: {T0}"
    ]


@pytest.mark.parametrize("lines", [[*call(0), call(0)[1]], call(0)[1:]])
def test_an_end_without_a_beginning_is_wrong(lines: list[str]) -> None:
    complaint = f"a call ended twice, or had not begun: {T0}"
    assert judged(lines, executed=[T0]).complaints()[0] == complaint


def test_what_a_worker_finds_wrong_is_wrong() -> None:
    accounts = judged(["x a copy went back: from 2 to 1", "x a copy went back: from 9 to 8"])
    assert accounts.complaints() == [
        "a copy went back: from 2 to 1",
        "a copy went back: from 9 to 8",
    ]


def test_only_the_first_of_many_complaints_are_shown() -> None:
    complaints = judged(["x a thing: again"] * 50).complaints()
    assert len(complaints) == 21
    assert complaints[-1] == "a thing: 30 times more"


def test_a_line_that_nobody_understands_is_no_account() -> None:
    with pytest.raises(ValueError, match="unknown line of a ledger: 'q 7'"):
        judged(["q 7"])


def test_messages_that_were_missed_for_a_reason_are_counted() -> None:
    accounts = judged([f"s {RECEIVER} 20", f"g {RECEIVER} 3"])
    tally = accounts.tallies["Receiver"]
    assert (tally.attempted, tally.completed, tally.failed.total()) == (23, 20, 3)
    assert accounts.complaints() == []


def test_messages_that_were_missed_without_a_reason_are_lost() -> None:
    accounts = judged([f"s {RECEIVER} 20", f"m {RECEIVER} 3"])
    assert accounts.tallies["Receiver"].lost == 3
    assert accounts.complaints() == [f"lost: 3 messages to peer {RECEIVER}, which was connected"]


def logged(*times: float) -> list[str]:
    return [f"l {FORWARDER} {number} {at}" for number, at in enumerate(times)]


def test_records_that_arrive_are_right() -> None:
    accounts = judged(logged(1.0, 2.0), arrived=[f"r {FORWARDER} 0", f"r {FORWARDER} 1", "d 7"])
    assert accounts.complaints() == []
    assert accounts.tallies["LogForwarder"].completed == 2
    assert accounts.dropped == 7
    assert accounts.has_arrived([FORWARDER])


def test_a_record_that_does_not_arrive_is_lost() -> None:
    accounts = judged(logged(1.0, 2.0), arrived=[f"r {FORWARDER} 0"])
    assert accounts.complaints() == [f"lost: log record 1 of peer {FORWARDER}, logged at 2.000"]
    assert not accounts.has_arrived([FORWARDER])


def test_a_record_that_was_on_its_way_when_the_connection_broke_is_excused() -> None:
    kill = Disturbance(50.0, 52.0, "kill", "log server")
    accounts = judged(logged(10.0, 49.9, 51.5), arrived=[], disturbances=[kill])
    tally = accounts.tallies["LogForwarder"]
    assert tally.failed == {UNSENT: 1}
    assert tally.lost == 2  # long before, and when there was nowhere to send it


def test_a_record_that_was_never_logged_is_invented() -> None:
    assert judged(arrived=[f"r {FORWARDER} 3"]).complaints() == [
        f"a log record was invented: 3 of peer {FORWARDER}"
    ]


def test_a_record_comes_twice_only_when_a_connection_broke() -> None:
    twice = [f"r {FORWARDER} 0"] * 2
    assert judged(logged(1.0), arrived=twice).complaints() == [
        f"a log record came twice without a break: 0 of peer {FORWARDER}"
    ]
    cut = Disturbance(1.1, 2.0, "cut", "logs")
    assert judged(logged(1.0), arrived=twice, disturbances=[cut]).complaints() == []
    assert judged(logged(1.0), arrived=twice * 2, disturbances=[cut]).complaints() == [
        f"a log record came too often: 0 of peer {FORWARDER}: 4"
    ]


def excused(*disturbances: Disturbance, outage: bool = False) -> list[int]:
    """Give the seconds up to 20 of which records may be lost."""
    excuses = Excuses(disturbances, outage=outage)
    return [at for at in range(21) if excuses.lost(at)]


def test_what_does_not_break_a_connection_loses_nothing() -> None:
    assert excused(Disturbance(5.5, 8.5, "pause", "log server")) == []
    assert excused(Disturbance(5.5, 8.5, "stall", "logs"), outage=True) == []


def test_what_ends_in_an_orderly_way_loses_nothing() -> None:
    restart = Disturbance(5.5, 8.5, "restart", "log server")
    assert excused(restart) == []
    assert excused(restart, outage=True) == [5, 6, 7, 8, 9]
    assert Excuses([restart]).repeated(6.0)


def test_a_break_loses_what_was_held_up_before_it() -> None:
    assert SLACK == 1.0
    pause = Disturbance(5.5, 8.5, "pause", "log server")
    kill = Disturbance(9.1, 12.5, "kill", "log server")
    assert excused(kill) == [9, 10]
    assert excused(pause, kill) == [5, 6, 7, 8, 9, 10]
    assert excused(kill, pause, outage=True) == [5, 6, 7, 8, 9, 10, 11, 12, 13]
    late = Disturbance(10.1, 12.5, "kill", "log server")
    assert excused(pause, late) == [10, 11]


def test_a_time_is_touched_by_what_overlaps_it_and_by_its_aftermath() -> None:
    cut = Disturbance(5.0, 8.0, "cut", "logs")
    assert [touches([cut], begin, begin + 0.5, 1.5) for begin in (3.0, 3.5, 6.0, 9.5, 10.0)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not touches([], 0.0, 9.0, 9.0)
    assert overlap([cut, Disturbance(10.0, 11.0, "cut", "logs")], 6.0, 10.5) == 2.5


def test_a_link_may_break_at_any_time_of_its_fault() -> None:
    assert excused(Disturbance(5.5, 8.5, "truncate", "logs")) == [5, 6, 7, 8, 9]


def test_every_number_tells_whose_it_is() -> None:
    places = lay_out(50)
    numbers = [number_of(place, life) for place in places for life in (0, 3)]
    assert len(set(numbers)) == 100
    for place in places:
        number = number_of(place, 3)
        assert kind_of(number) == place.kind
        assert worker_of(number) == (place.worker, 3)
        assert peer_of(token_of(number, 9_999_999)) == number
    assert way_of(places[0]) == {"worker 0", "rpc server"}
    assert way_of(places[14]) == {"worker 1", "log server", "logs"}
    assert {place.kind for place in places[:10]} == set(KINDS)
    assert {(place.kind, place.linked) for place in places} == {
        (kind, linked) for kind in KINDS for linked in (False, True)
    }
