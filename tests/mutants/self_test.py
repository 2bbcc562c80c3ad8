"""The mutations of the self-test: its rounds, its judge, and its device. Data."""

# ruff: noqa: E501  (what is replaced must stand as it stands)

from tests.mutants.mutation import Mutation

SELF_TEST = (
    Mutation("an open source check is nothing", "dataplane/self_test.py", '            self.trouble = "a spoofed inner source was let through"\n', "            pass\n", ("tests/dataplane/test_self_test.py",)),
    Mutation("a stranger's packet counts as the return", "dataplane/self_test.py", "return _seen(payload, None, source == self._stranger)", "return _seen(payload, None)", ("tests/dataplane/test_self_test.py",)),
    Mutation("the spoofed packet has the customer's source", "dataplane/self_test.py", "inner = _packet(self._stranger, self._host", "inner = _packet(self._home, self._host", ("tests/dataplane/test_self_test.py",)),
    Mutation("a wrong hop limit is nothing", "dataplane/self_test.py", "if seen.outer_hop_limit != hop_limit:", "if False:", ("tests/dataplane/test_self_test.py",)),
    Mutation("a copied hop limit does not show", "dataplane/self_test.py", "INNER_HOP_LIMIT = 37", "INNER_HOP_LIMIT = 64", ("tests/dataplane/test_self_test.py",)),
    Mutation("the return alone is a pass", "dataplane/self_test.py", "        if not self.tunnelled:\n", "        if False:\n", ("tests/dataplane/test_self_test.py",)),
    Mutation("the way to the customer alone is a pass", "dataplane/self_test.py", 'return "" if self.returned else "a packet from', 'return "" if True else "a packet from', ("tests/dataplane/test_self_test.py",)),
    Mutation("a packet of the last round counts", "dataplane/self_test.py", "        if seen.number != self.number:\n            return False\n", "", ("tests/dataplane/test_self_test.py",)),
    Mutation("any tunnel to the test's line counts", "dataplane/self_test.py", "(source, destination, protocol) == (self._home_agent, self._care_of, IPV6_IN_IPV6)", "(destination, protocol) == (self._care_of, IPV6_IN_IPV6)", ("tests/dataplane/test_self_test.py",)),
    Mutation("anybody's packet in the tunnel counts", "dataplane/self_test.py", "inner is None or inner[:3] != (self._host, self._home, PROTOCOL)", "inner is None", ("tests/dataplane/test_self_test.py",)),
    Mutation("one good round ends a failure", "dataplane/self_test.py", "self.verdict != PENDING and self._good < RISE", "False", ("tests/dataplane/test_self_test.py",)),
    Mutation("a failure leaves the good rounds before it", "dataplane/self_test.py", "why != self.verdict, why, 0\n", "why != self.verdict, why, self._good\n", ("tests/dataplane/test_self_test.py",)),
    Mutation("another reason is not told", "dataplane/self_test.py", "        if is_new or self._bad", "        if self._bad", ("tests/dataplane/test_self_test.py",)),
    Mutation("a failure that stays is told once", "dataplane/self_test.py", "if is_new or self._bad >= self._told_for + min(max(self._told_for, AGAIN), AGAIN_MAX):", "if is_new:", ("tests/dataplane/test_self_test.py",)),
    Mutation("a self-test that ends is never started again", "ha/self_test.py", "            if loop.time() - began > PAUSE_MAX_S:\n", "                return\n            if loop.time() - began > PAUSE_MAX_S:\n", ("tests/ha/test_self_test.py",)),
    Mutation("a self-test that ends has not failed", "ha/self_test.py", "                loop.call_soon(self._told, self._judge.verdict)", "                pass", ("tests/ha/test_self_test.py",)),
    Mutation("a device that takes no packet ends the test", "ha/self_test.py", '        except OSError as error:\n            return f"', '        except ZeroDivisionError as error:\n            return f"', ("tests/ha/test_self_test.py",)),
    Mutation("a device that was deleted is read for ever", "ha/self_test.py", "            self._listen_no_more()  # a device", "            pass  # a device", ("tests/ha/test_self_test.py",)),
    Mutation("a flood is read to its end", "ha/self_test.py", "for _ in range(PACKETS_A_TURN):", "while True:", ("tests/ha/test_self_test.py",)),
    Mutation("a packet that never comes is waited for for ever", "ha/self_test.py", "async with asyncio.timeout(PATIENCE_S):", "async with asyncio.timeout(None):", ("tests/ha/test_self_test.py",)),
    Mutation("a repair that failed owes nothing", "ha/kernel.py", "await self._repair(ANYTHING if whole else disturbed | owed)", "await self._repair(ANYTHING if whole else disturbed or {Disturbance.RULES})", ("tests/ha/test_kernel.py",)),
    Mutation("a repair that failed half done owes what it was for", "ha/kernel.py", "        self._owed = ANYTHING\n        wanted", "        wanted", ("tests/ha/test_kernel.py",)),
    Mutation("what was announced is everything", "ha/kernel.py", "await self._repair(ANYTHING if whole else disturbed | owed)", "await self._repair(ANYTHING)", ("tests/ha/test_kernel.py",)),
    Mutation("what is announced each second is all that is repaired", "ha/kernel.py", " or (alarmed and self._repaired_in_part)", "", ("tests/ha/test_kernel.py",)),
    Mutation("a failure in a repair asks for another one", "ha/kernel.py", "        self._alarmed = False  # what", "        pass  # what", ("tests/ha/test_kernel.py",)),
    Mutation("a failure that a repair left is told in a minute", "ha/kernel.py", "            self._self_test.tell_soon()\n", "            pass\n", ("tests/ha/test_kernel.py",)),
)  # fmt: skip
