from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio.testing
from attrs import frozen

from ployz.actors.core import Actor, handles
from ployz.actors.system import ActorSystem
from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.ids import MachineId, VolumeRef
from ployz.wire.message import OPERATOR, PEER, Done, Local, Message, Operator, Peer, message

A = MachineId("machine-a")


@frozen
class Count:
    value: int


@frozen
class Who:
    name: str


@message("test.add")
@frozen
class Add(Message[Count]):
    amount: int


@message("test.block", senders=PEER)
@frozen
class Block(Message[Done]):
    pass


@message("test.work")
@frozen
class Work(Message[Done]):
    pass


@message("test.refuse")
@frozen
class Refuse(Message[Done]):
    pass


@message("test.crash")
@frozen
class Crash(Message[Done]):
    pass


@message("test.identify", senders=PEER | OPERATOR)
@frozen
class Identify(Message[Who]):
    pass


@message("test.leave")
@frozen
class Leave(Message[Done]):
    pass


@message("test.unhandled")
@frozen
class Unhandled(Message[Done]):
    pass


@message("test.look")
@frozen
class Look(Message[Count]):
    pass


class Counter(Actor):
    """Blocks and works until `gate` opens."""

    def __init__(self, gate: anyio.Event | None = None) -> None:
        self.value = 0
        self.gate = gate or anyio.Event()

    @handles(Add)
    async def add(self, message: Add) -> Count:
        self.value += message.amount
        return Count(self.value)

    @handles(Block)
    async def block(self, message: Block) -> Done:
        await self.gate.wait()
        return Done()

    @handles(Work, concurrent=True)
    async def work(self, message: Work) -> Done:
        await self.gate.wait()
        return Done()

    @handles(Look, concurrent=True)
    async def look(self, message: Look) -> Count:
        return Count(self.value)

    @handles(Refuse)
    async def refuse(self, message: Refuse) -> Done:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.fail)
        return Done()

    async def fail(self) -> None:
        raise Failed(Code.ZFS_FAILED, "no such pool", "Make one.")

    @handles(Crash)
    async def crash(self, message: Crash) -> Done:
        raise KeyError("oops")

    @handles(Identify)
    async def identify(self, message: Identify) -> Who:
        return Who(str(self.sender))

    @handles(Leave)
    async def leave(self, message: Leave) -> Done:
        self.finish()
        return Done()


def in_system(body: Callable[[ActorSystem], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        with anyio.fail_after(20):
            async with ActorSystem(A, **options) as system:
                await body(system)

    # The clock jumps when everyone waits: no pause here takes time.
    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})


async def problem_of(ask: Awaitable[object]) -> PloyzError:
    with pytest.raises(PloyzError) as caught:
        await ask
    return caught.value


def test_an_ask_is_answered_by_the_marked_method() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        assert await counter.ask(Add(2), timeout_s=5) == Count(2)
        assert await counter.ask(Add(3), timeout_s=5) == Count(5)

    in_system(body)


def test_a_refusal_reaches_the_asker_as_the_same_class_with_the_same_problem() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        error = await problem_of(counter.ask(Refuse(), timeout_s=5))
        assert type(error) is Failed
        assert (error.code, error.problem.text, error.problem.advice) == (Code.ZFS_FAILED, "no such pool", "Make one.")
        assert await counter.ask(Add(1), timeout_s=5) == Count(1)

    in_system(body)


def test_a_bug_is_told_to_the_asker_and_a_fresh_instance_takes_over() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        await counter.ask(Add(7), timeout_s=5)
        error = await problem_of(counter.ask(Crash(), timeout_s=5))
        assert isinstance(error, Failed)
        assert error.code is Code.BUG
        assert "KeyError" in error.problem.text
        assert await counter.ask(Add(1), timeout_s=5) == Count(1)

    in_system(body)


def test_queued_messages_outlive_a_bug() -> None:
    async def body(system: ActorSystem) -> None:
        gate = anyio.Event()
        counter = system.spawn("counter", lambda: Counter(gate))
        answers: list[Count] = []

        async def add() -> None:
            answers.append(await counter.ask(Add(1), timeout_s=5))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: counter.ask(Block(), timeout_s=5))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(lambda: problem_of(counter.ask(Crash(), timeout_s=5)))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(add)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert answers == [Count(1)]

    in_system(body)


def test_an_actor_that_keeps_breaking_stays_stopped_and_says_so() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        for _ in range(6):
            assert (await problem_of(counter.ask(Crash(), timeout_s=5))).code is Code.BUG
        error = await problem_of(counter.ask(Add(1), timeout_s=5))
        assert isinstance(error, Refused)
        assert error.code is Code.STOPPED
        assert "stays stopped" in error.problem.text
        assert "KeyError" in error.problem.text

    in_system(body)


def test_a_full_mailbox_refuses() -> None:
    async def body(system: ActorSystem) -> None:
        gate = anyio.Event()
        counter = system.spawn("counter", lambda: Counter(gate))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: counter.ask(Block(), timeout_s=5))
            await anyio.wait_all_tasks_blocked()
            for _ in range(2):
                tasks.start_soon(lambda: counter.ask(Add(1), timeout_s=5))
            await anyio.wait_all_tasks_blocked()
            error = await problem_of(counter.ask(Add(1), timeout_s=5))
            assert isinstance(error, Refused)
            assert error.code is Code.MAILBOX_FULL
            gate.set()

    in_system(body, mailbox_size=2)


def test_a_message_whose_asker_gave_up_is_never_begun() -> None:
    async def body(system: ActorSystem) -> None:
        gate = anyio.Event()
        counter = system.spawn("counter", lambda: Counter(gate))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: counter.ask(Block(), timeout_s=5))
            await anyio.wait_all_tasks_blocked()
            error = await problem_of(counter.ask(Add(100), timeout_s=0.01))
            assert isinstance(error, Unreachable)
            assert error.code is Code.TIMED_OUT
            gate.set()
        assert await counter.ask(Add(1), timeout_s=5) == Count(1)

    in_system(body)


def test_a_concurrent_handler_does_not_hold_up_the_mailbox() -> None:
    async def body(system: ActorSystem) -> None:
        gate = anyio.Event()
        counter = system.spawn("counter", lambda: Counter(gate))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: counter.ask(Work(), timeout_s=5))
            await anyio.wait_all_tasks_blocked()
            assert await counter.ask(Add(1), timeout_s=5) == Count(1)
            gate.set()

    in_system(body)


def test_a_concurrent_message_does_not_wait_for_its_turn() -> None:
    async def body(system: ActorSystem) -> None:
        gate = anyio.Event()
        counter = system.spawn("counter", lambda: Counter(gate))
        order: list[str] = []

        async def ask(name: str, message: Message[Any]) -> None:
            await counter.ask(message, timeout_s=5)
            order.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "first", Block())
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask, "second", Add(1))
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask, "beside", Look())
            await anyio.wait_all_tasks_blocked()
            assert order == ["beside"]
            gate.set()
        assert order == ["beside", "first", "second"]

    in_system(body)


def test_stopping_answers_who_is_queued_and_who_is_being_served() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        served: list[PloyzError] = []
        waiting: list[PloyzError] = []

        async def ask_block() -> None:
            served.append(await problem_of(counter.ask(Block(), timeout_s=5)))

        async def ask_add() -> None:
            waiting.append(await problem_of(counter.ask(Add(1), timeout_s=5)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_block)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask_add)
            await anyio.wait_all_tasks_blocked()
            await system.stop("counter")
        assert [(type(error), error.code) for error in served] == [(Unreachable, Code.STOPPED)]
        assert [(type(error), error.code) for error in waiting] == [(Refused, Code.STOPPED)]
        assert (await problem_of(counter.ask(Add(1), timeout_s=5))).code is Code.UNKNOWN_ACTOR

    in_system(body)


def test_a_finished_actor_answers_first_and_is_gone_then() -> None:
    async def body(system: ActorSystem) -> None:
        counter = system.spawn("counter", Counter)
        assert await counter.ask(Leave(), timeout_s=5) == Done()
        await system.stop("counter")
        assert (await problem_of(counter.ask(Add(1), timeout_s=5))).code is Code.UNKNOWN_ACTOR
        system.spawn("counter", Counter)
        assert await counter.ask(Add(1), timeout_s=5) == Count(1)

    in_system(body)


def test_an_unknown_actor_and_an_unhandled_message_are_refused() -> None:
    async def body(system: ActorSystem) -> None:
        assert (await problem_of(system.ref("nobody").ask(Add(1), timeout_s=5))).code is Code.UNKNOWN_ACTOR
        counter = system.spawn("counter", Counter)
        assert (await problem_of(counter.ask(Unhandled(), timeout_s=5))).code is Code.UNKNOWN_MESSAGE

    in_system(body)


def test_the_handler_knows_who_asks() -> None:
    async def body(system: ActorSystem) -> None:
        system.spawn("counter", Counter)
        for sender, name in (
            (Local(), "this node"),
            (Peer(MachineId("machine-b")), "machine machine-b"),
            (Operator(12, 0), "process 12 of user 0"),
        ):
            assert await system.deliver("counter", Identify(), sender, timeout_s=5) == Who(name)

    in_system(body)


def test_a_message_is_taken_only_from_its_senders() -> None:
    async def body(system: ActorSystem) -> None:
        system.spawn("counter", Counter)
        peer = Peer(MachineId("machine-b"))
        error = await problem_of(system.deliver("counter", Add(1), peer, timeout_s=5))
        assert error.code is Code.NOT_ALLOWED
        error = await problem_of(system.deliver("counter", Block(), Operator(1, 0), timeout_s=5))
        assert error.code is Code.NOT_ALLOWED

    in_system(body)


def test_a_spawner_makes_actors_on_demand_and_refuses_names_that_are_none() -> None:
    made: list[str] = []

    def spawner(address: str) -> Callable[[], Actor]:
        VolumeRef.parse(address.removeprefix("volume/"))
        made.append(address)
        return Counter

    async def body(system: ActorSystem) -> None:
        volume = system.ref("volume/production/pgdata")
        assert await volume.ask(Add(1), timeout_s=5) == Count(1)
        assert await volume.ask(Add(1), timeout_s=5) == Count(2)
        for address in ("volume/production", "volume/../etc", "volume/a/b/c", "volume/" + "a" * 300):
            assert (await problem_of(system.ref(address).ask(Add(1), timeout_s=5))).code is Code.UNKNOWN_ACTOR
        assert made == ["volume/production/pgdata"]

    in_system(body, spawners={"volume": spawner})


class Parent(Actor):
    async def started(self) -> None:
        self.child = self.spawn("child", Counter)

    @handles(Add)
    async def add(self, message: Add) -> Count:
        return await self.child.ask(message, timeout_s=5)

    @handles(Crash)
    async def crash(self, message: Crash) -> Done:
        raise KeyError("oops")


def test_a_child_ends_with_its_parent_and_starts_again_with_it() -> None:
    async def body(system: ActorSystem) -> None:
        parent = system.spawn("parent", Parent)
        assert await parent.ask(Add(4), timeout_s=5) == Count(4)
        assert await system.ref("parent/child").ask(Add(1), timeout_s=5) == Count(5)
        await problem_of(parent.ask(Crash(), timeout_s=5))
        assert await parent.ask(Add(1), timeout_s=5) == Count(1)
        await system.stop("parent")
        assert (await problem_of(system.ref("parent/child").ask(Add(1), timeout_s=5))).code is Code.UNKNOWN_ACTOR

    in_system(body)


class Runner(Actor):
    """Its `run` breaks at the first life and waits at the second."""

    lives = 0

    def __init__(self) -> None:
        Runner.lives += 1

    async def run(self) -> None:
        if Runner.lives == 1:
            raise Refused(Code.CONFLICT, "outside of a handler even this is a bug")
        await anyio.sleep_forever()

    @handles(Add)
    async def add(self, message: Add) -> Count:
        return Count(Runner.lives)


def test_a_background_task_that_breaks_restarts_the_actor() -> None:
    async def body(system: ActorSystem) -> None:
        Runner.lives = 0
        runner = system.spawn("runner", Runner)
        await anyio.sleep(1)
        assert await runner.ask(Add(0), timeout_s=5) == Count(2)

    in_system(body)


# ---------------------------------------------------------------- what is checked when a class is made


@frozen
class Silent(Message):  # type: ignore[type-arg]  # the mistake that is found
    pass


class Bare(Message[Done]):
    pass


async def _add(self: Actor, message: Add) -> Count:
    return Count(message.amount)


async def _wrong_message(self: Actor, message: Block) -> Count:
    return Count(0)


async def _wrong_reply(self: Actor, message: Add) -> Done:
    return Done()


def _not_async(self: Actor, message: Add) -> Count:
    return Count(0)


@pytest.mark.parametrize("method", [_wrong_message, _wrong_reply, _not_async])
def test_a_handler_that_does_not_fit_its_message_is_found_when_the_class_is_made(method: Any) -> None:
    with pytest.raises(AssertionError, match=r"must|async"):
        type("Wrong", (Actor,), {"add": handles(Add)(method)})


def test_two_handlers_of_one_message_are_found_when_the_class_is_made() -> None:
    async def again(self: Actor, message: Add) -> Count:
        return Count(0)

    with pytest.raises(AssertionError, match="both handle Add"):
        type("Wrong", (Actor,), {"add": handles(Add)(_add), "again": handles(Add)(again)})


def test_a_tag_is_given_once_and_a_message_names_its_reply() -> None:
    with pytest.raises(AssertionError, match="twice"):
        message("test.add")(Add)
    with pytest.raises(AssertionError, match="names no reply"):
        message("test.silent")(Silent)
    with pytest.raises(AssertionError, match="no message tag"):
        message("Test Add")(Add)
    with pytest.raises(AssertionError, match="no attrs class"):
        message("test.bare")(Bare)
