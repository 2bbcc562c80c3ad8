"""When the supervisor gives up on ExaBGP."""

from bgp.watch import AWAY_S, Watch


def test_a_deaf_bridge_has_a_second() -> None:
    watch = Watch(1.0, 0.0)
    assert watch.answered(0.0, 0.2) is None
    verdicts = [watch.silent(away=False, now=0.2 + 0.25 * look) for look in range(1, 6)]
    assert verdicts[:4] == [None] * 4
    assert verdicts[4] == "the bridge does not answer"


def test_a_deaf_bridge_is_killed_alone_but_not_twice_in_a_row() -> None:
    watch = Watch(1.0, 0.0)
    assert watch.spare_exabgp()
    assert watch.silent(away=False, now=1.2) is None
    assert not watch.spare_exabgp()
    assert watch.answered(0.0, 1.3) is None
    assert watch.answered(0.0, 4.2) is None
    assert not watch.spare_exabgp(), "2.9 s of answers show nothing"
    assert watch.answered(0.0, 4.4) is None
    assert watch.spare_exabgp(), "the one after it was well: this is another fault"
    assert not watch.spare_exabgp()


def test_one_answer_forgives_all_silence() -> None:
    watch = Watch(1.0, 0.0)
    for look in range(1, 20):
        assert watch.silent(away=False, now=0.45 * look) is None
        assert watch.answered(0.0, 0.45 * look + 0.01) is None


def test_a_bridge_that_is_not_there_has_time_to_start() -> None:
    watch = Watch(1.0, 0.0)
    looks = int(AWAY_S / 0.2)
    assert not any(watch.silent(away=True, now=0.2 * look) for look in range(1, looks))
    assert watch.silent(away=True, now=0.2 * (looks + 2)) == "ExaBGP runs no bridge"


def test_a_machine_that_slept_kills_nothing() -> None:
    watch = Watch(1.0, 0.0)
    assert watch.answered(0.0, 0.2) is None
    assert watch.silent(away=False, now=3600.0) is None
    assert watch.answered(3599.0, 3600.1) is None
    assert watch.answered(0.0, 3600.3) is None


def test_an_exabgp_that_owes_an_answer_twice_in_a_row_is_given_up() -> None:
    watch = Watch(1.0, 0.0)
    assert watch.answered(0.9, 0.2) is None
    assert watch.answered(1.1, 0.4) is None
    assert watch.answered(1.3, 0.6) == "ExaBGP does not carry out the bridge's commands"
