"""What an operator or a line says of a router while its Binding Update waits for the kernel, which then refuses it."""

from ha.events import ForwardingReported, RevokeAsked
from mip6 import care_of_proof
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_2, CARE_OF_3, HOME, OVERWRITE, Router, both_lines
from tests.ha.mesh import NAMES, Mesh
from tests.ha.test_heartbeats import Office, heartbeat

NOW = 100.0
THIRD = (BindingIdentifier(3, care_of=CARE_OF_3),)


def waiting() -> Mesh:
    """Three sites that know both lines; a third line is under way to the kernel of site 1."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    site = mesh.sites["site1"]
    site.hold_reports = True
    mesh.feed("site1", router.update(NOW + 1, THIRD), NOW + 1)
    return mesh


def refuse(mesh: Mesh) -> None:
    """The kernel refuses what it was told last, and takes what it is told instead."""
    site = mesh.sites["site1"]
    site.hold_reports = False
    mesh.feed("site1", ForwardingReported({HOME: (site.held[-1].generation, "ENOMEM")}), NOW + 1.02)
    mesh.settle(NOW + 1.02)
    for later in (1.1, 3.2, 5.3, 7.4):
        mesh.say_hello(NOW + later)
        mesh.tick(NOW + later)
        mesh.settle(NOW + later)


def lines(mesh: Mesh) -> list[set[int]]:
    return [set(mesh.sites[name].agent.cache.records[HOME].live(NOW + 7.4)) for name in NAMES]


def test_what_is_revoked_meanwhile_stays_gone_and_what_the_kernel_refused_is_nowhere() -> None:
    """The operator's word went with the refused update at the site that was asked, and to the others with it."""
    mesh = waiting()
    mesh.feed("site1", RevokeAsked(HOME, (1,)), NOW + 1.01)
    mesh.settle(NOW + 1.01)
    assert all(3 not in mesh.sites[name].agent.cache.records[HOME].live(NOW + 1.01) for name in NAMES[1:])
    refuse(mesh)
    assert [ack.ack.status for name, ack in mesh.acks] == [Status.ACCEPTED, Status.INSUFFICIENT_RESOURCES]
    assert lines(mesh) == [{2}, {2}, {2}]
    assert {path.bid for path in mesh.sites["site1"].plane.read()[HOME].paths} == {2}


def test_all_that_is_revoked_meanwhile_stays_gone() -> None:
    mesh = waiting()
    mesh.feed("site1", RevokeAsked(HOME, ()), NOW + 1.01)
    mesh.settle(NOW + 1.01)
    refuse(mesh)
    assert lines(mesh) == [set(), set(), set()]
    assert HOME not in mesh.sites["site1"].plane.read()


def test_a_first_registration_that_is_revoked_and_refused_leaves_nothing() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.sites["site1"].hold_reports = True
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.feed("site1", RevokeAsked(HOME, (1,)), NOW + 0.01)
    mesh.settle(NOW + 0.01)
    assert all(HOME not in mesh.sites[name].agent.cache.records for name in NAMES[1:])
    refuse(mesh)
    assert all(HOME not in mesh.sites[name].agent.cache.records for name in NAMES)


def test_a_line_that_is_proved_meanwhile_stays_proved() -> None:
    """Its proof went with the refused update: the line was without traffic until it was asked anew."""
    office = Office()
    given = office.cookie(CARE_OF_2)
    office.site.hold_reports = True
    office.site.feed(office.router.update(NOW + 1, THIRD), NOW + 1)
    office.site.feed(heartbeat(CARE_OF_2, care_of_proof.cookie_option(given), now=NOW + 1), NOW + 1)
    last = office.site.held[-1]
    office.site.hold_reports = False
    office.site.feed(ForwardingReported({HOME: (last.generation, "ENOMEM")}), NOW + 1.1)
    assert office.carrying() == {1, 2}
    assert set(office.site.agent.cache.records[HOME].live(NOW + 1.1)) == {1, 2}


def test_an_address_that_is_proved_meanwhile_proves_not_the_one_that_the_line_falls_back_to() -> None:
    """It is the same line, but the router has not shown that it hears where that was before."""
    office = Office()
    moved = (BindingIdentifier(2, care_of=CARE_OF_3),)
    office.site.hold_reports = True
    office.site.feed(office.router.update(NOW + 1, moved), NOW + 1)
    given = office.cookie(CARE_OF_3, NOW + 1)
    office.site.feed(heartbeat(CARE_OF_3, care_of_proof.cookie_option(given), now=NOW + 1), NOW + 1)
    assert office.site.agent.cache.records[HOME].cells[2].verified
    last = office.site.held[-1]
    office.site.hold_reports = False
    office.site.feed(ForwardingReported({HOME: (last.generation, "ENOMEM")}), NOW + 1.1)
    fallen_back = office.site.agent.cache.records[HOME].cells[2]
    assert (fallen_back.care_of, fallen_back.verified) == (CARE_OF_2, False)
    assert office.carrying() == {1}


def test_a_report_about_an_older_order_says_nothing_about_the_newer_one() -> None:
    office = Office()
    office.site.hold_reports = True
    office.site.feed(office.router.update(NOW + 1, THIRD), NOW + 1)
    older = office.site.held[-1]
    moved = (BindingIdentifier(2, care_of=CARE_OF_3),)
    office.site.feed(office.router.update(NOW + 2, moved), NOW + 2)
    newer = office.site.held[-1]
    assert older.generation < newer.generation
    before = dict(office.site.agent.cache.installed)
    for error in (None, "ENOMEM"):
        assert not office.site.feed(ForwardingReported({HOME: (older.generation, error)}), NOW + 2.1)
        assert office.site.agent.cache.pending[HOME].generation == newer.generation
        assert office.site.agent.cache.installed == before
