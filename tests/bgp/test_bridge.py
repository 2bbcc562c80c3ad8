"""The real bridge process, with the test in ExaBGP's place at its pipes, and real clients at its socket."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bgp.memory import MEMORY, Memory
from tests.bgp.pipes import AGGREGATE, ISP, ROOT, ROUTES, Exabgp, Holder, eventually

SHOW_ROUTES = "show adj-rib out json"
SHOWN = (json.dumps({ISP: {"routes": [{"prefix": AGGREGATE, "family": "ipv6 unicast"}]}}), "done")


def test_the_first_acts_are_two_looks_and_a_withdraw_of_what_is_not_shown(exabgp: Exabgp) -> None:
    for command in ("show adj-rib out json", "show neighbor json", f"neighbor {ISP} withdraw route {AGGREGATE}"):
        assert exabgp.command() == command
        exabgp.obey(command)


def test_what_exabgp_already_has_is_left_alone_until_the_holder_is_back(exabgp: Exabgp) -> None:
    assert exabgp.command() == SHOW_ROUTES
    exabgp.write(*SHOWN)
    holder = Holder(exabgp.socket)
    exabgp.obey_until("show neighbor json")
    eventually(lambda: holder.renew()["state"], "announced")
    assert "65535:0" not in exabgp.obey_until("")
    holder.close()


def test_a_renewal_announces_and_the_answer_tells_only_what_was_confirmed(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder = Holder(exabgp.socket)
    expected = {
        "v": 1,
        "seq": 41,
        "state": "announced",
        "sent": [],
        "sessions": [{"neighbour": "2001:db8:1:a::1", "state": "established", "since_s": pytest.approx(1, abs=10)}],
        "mrai_s": 0,
    }
    eventually(lambda: holder.renew(seq=41), expected)
    exabgp.obey_until(f"neighbor {ISP} announce route {AGGREGATE} next-hop self")
    eventually(lambda: holder.renew()["sent"], [AGGREGATE])
    holder.close()


def test_silence_and_end_of_file_both_depreference_with_the_last_linger(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder = Holder(exabgp.socket)
    holder.renew(linger_ms=300)
    exabgp.obey_until("announce")
    assert "65535:0" in exabgp.obey_until("announce")  # 300 ms of silence
    holder.renew(linger_ms=300)
    assert "65535:0" not in exabgp.obey_until("announce")
    holder.close()
    assert "65535:0" in exabgp.obey_until("announce")
    exabgp.obey_until("withdraw")


def test_a_second_holder_is_refused_while_the_first_ones_lease_lives(exabgp: Exabgp) -> None:
    exabgp.start_up()
    first, second = Holder(exabgp.socket), Holder(exabgp.socket)
    first.renew()
    refused = second.renew(seq=9)
    assert refused["seq"] == 9
    assert f"process {os.getpid()} holds the lease" in refused["error"]
    assert refused["remedy"]
    exabgp.obey_until("announce")
    assert "65535:0" in exabgp.obey_until("announce")  # the first one fell silent
    assert second.renew()["state"] == "announced"
    assert "error" in first.renew()
    first.close()
    second.close()


def test_a_line_that_breaks_the_contract_is_answered_and_renews_nothing(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder = Holder(exabgp.socket)
    foreign = [{**ROUTES[0], "prefix": "2001:db8::/32"}]
    answer = holder.say(seq=5, wanted="announce", reason="", linger_ms=0, routes=foreign)
    assert answer["seq"] == 5
    assert "not an aggregate of this site" in answer["error"]
    assert holder.say(ask="status")["state"] == "withdrawn"
    holder.close()


def test_the_socket_is_for_its_owner_alone(exabgp: Exabgp) -> None:
    exabgp.start_up()
    assert exabgp.socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_stranger_is_refused_even_if_the_file_lets_it_in(exabgp: Exabgp, tmp_path: Path) -> None:
    exabgp.start_up()
    exabgp.socket.chmod(0o666)
    tmp_path.chmod(0o755)
    script = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('lease.sock'); print(s.recv(4096).decode())"
    # Relative to the directory, entered while still root: those above it are closed to strangers.
    words = [sys.executable, "-I", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, user=65534, group=65534, capture_output=True, check=True, timeout=10)
    refusal = json.loads(done.stdout)
    assert "uid 65534" in refusal["error"]


def test_a_flood_from_exabgp_is_drained_while_a_command_is_in_flight(exabgp: Exabgp) -> None:
    assert exabgp.command() == SHOW_ROUTES
    noise = json.dumps({"exabgp": "5.0.0", "type": "update", "padding": "x" * 900})
    for _ in range(500):  # seven pipes full
        exabgp.write(noise)
    exabgp.write("done")
    assert exabgp.command() == "show neighbor json"


def test_a_holder_that_never_reads_does_not_stop_the_bridge(exabgp: Exabgp) -> None:
    exabgp.start_up()
    greedy = Holder(exabgp.socket)
    line = json.dumps({"v": 1, "seq": 1, "wanted": "announce", "reason": "", "linger_ms": 0, "routes": ROUTES})
    for _ in range(3000):
        greedy.stream.sendall(line.encode() + b"\n")
    exabgp.obey_until("announce")
    assert Holder(exabgp.socket).say(ask="status")["counters"]["renewals_total"] > 0
    greedy.close()


def test_stopping_depreferences_then_withdraws_whatever_the_holder_says(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder, supervisor = Holder(exabgp.socket), Holder(exabgp.socket)
    holder.renew()
    exabgp.obey_until("announce")
    assert supervisor.say(ask="stop", linger_ms=200)["state"] == "stopping"
    assert "65535:0" in exabgp.obey_until("announce")
    assert holder.renew()["state"] == "stopping"
    exabgp.obey_until("withdraw")
    eventually(
        lambda: [supervisor.say(ask="status")[key] for key in ("state", "settled", "sent")], ["stopped", True, []]
    )
    holder.close()
    supervisor.close()


def test_the_neighbours_are_read_anew_on_request_and_nothing_else(exabgp: Exabgp) -> None:
    exabgp.start_up()
    holder = Holder(exabgp.socket)
    holder.renew()
    exabgp.obey_until("announce")
    text = exabgp.config.read_text()
    exabgp.config.write_text(text + 'communities = ["64500:9"]\nmrai_s = 30\n')
    answer = holder.say(ask="reload")
    assert (answer["described"], answer["state"]) == (False, "announced")
    assert holder.renew()["mrai_s"] == 30
    assert "64500:9" in exabgp.obey_until("announce")
    exabgp.obey_until("show neighbor json")
    eventually(lambda: holder.say(ask="status")["described"], True)
    for wrong in ("what", text.replace("hold_down_max_s = 0", "hold_down_max_s = 5")):
        exabgp.config.write_text(wrong)
        assert set(holder.say(ask="reload")) == {"v", "seq", "error", "remedy"}
    assert holder.say(ask="status")["described"]
    holder.close()


def test_what_the_bridge_before_gave_up_is_held_back_for_the_failback_time(tmp_path: Path) -> None:
    (tmp_path / MEMORY).write_text(Memory((time.time() - 3600,), True).encode())
    exabgp = Exabgp(tmp_path, settings="failback_s = 600\n")
    try:
        exabgp.start_up()
        holder = Holder(exabgp.socket)
        eventually(lambda: holder.renew()["state"], "held")
        assert "65535:0" in exabgp.obey_until("announce")
        assert "held back for 600 s" in holder.say(ask="status")["reason"]
        holder.close()
    finally:
        exabgp.close()


def test_the_bridge_ends_with_exabgps_pipe(exabgp: Exabgp) -> None:
    exabgp.start_up()
    assert exabgp.bridge.stdin is not None
    exabgp.bridge.stdin.close()
    assert exabgp.bridge.wait(10) == 0
    exabgp.bridge.stdin = None


def test_the_bridge_imports_the_standard_library_alone() -> None:
    script = (
        "import sys; before = set(sys.modules); import bgp.__main__, bgp.bridge;"
        "names = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert set(done.stdout.decode().split()) <= {"bgp", "runtime"}
