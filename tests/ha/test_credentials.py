"""The files by which a site proves its name: those that fit together are used, all others are refused by their name."""

import datetime
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from ha import credentials, metrics
from ha.config import Config
from ha.credential_files import CredentialFiles
from ha.credentials import CredentialsRefused
from runtime.counters import Counters
from tests.certificates import Authority
from tests.ha import configuration
from tests.ha.test_files import CONFIG, written


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "ca")
    made.issue("site1")
    return made


def test_a_site_speaks_tls_1_3_only_and_resumes_no_session(ca: Authority) -> None:
    proof = ca.load("site1")
    for context in (proof.dialing, proof.accepting):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.verify_flags & ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    assert proof.accepting.num_tickets == 0


def swap_authority(ca: Authority) -> None:
    Authority(ca.directory / "other").certificate.replace(ca.certificate)


def swap_list(ca: Authority) -> None:
    Authority(ca.directory / "other").revoked.replace(ca.revoked)


def swap_key(ca: Authority) -> None:
    ca.issue("site2")
    (ca.directory / "site2.key").replace(ca.directory / "site1.key")


def swap_site(ca: Authority) -> None:
    ca.issue("site2")
    for suffix in ("pem", "key"):
        (ca.directory / f"site2.{suffix}").replace(ca.directory / f"site1.{suffix}")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (swap_authority, "is not of the authority"),
        (swap_list, "is not of the authority"),
        (swap_key, "cannot be used together"),
        (swap_site, "is not the certificate of site1"),
        (lambda ca: ca.certificate.unlink(), r"ca.pem cannot be read"),
        (lambda ca: ca.revoked.write_text(""), r"revoked.pem is no revocation list"),
        (lambda ca: (ca.directory / "site1.pem").write_bytes(b"\xff" * 99), r"site1.pem is no certificate"),
        (lambda ca: (ca.directory / "site1.key").write_text("x"), "cannot be used together"),
        (lambda ca: (ca.directory / "site1.key").unlink(), "cannot be used together"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    ca: Authority, harm: Callable[[Authority], object], why: str
) -> None:
    harm(ca)
    with pytest.raises(CredentialsRefused, match=why):
        ca.load("site1")


def test_a_certificate_that_names_no_site_of_ours_or_two_names_nobody() -> None:
    ours, host = ("URI", "xsp:site:site1"), ("DNS", "site1")
    assert credentials.site_of({"subjectAltName": (ours, host)}) == "site1"
    for names in ((), (host,), (ours, ("URI", "xsp:site:site2")), (("URI", "https://site1"),)):
        assert credentials.site_of({"subjectAltName": names}) is None
    assert credentials.site_of(None) is None


@pytest.mark.parametrize(
    ("days", "level"), [(31, None), (30, None), (29, "warning"), (1, "warning"), (-1, "error"), (-100, "error")]
)
def test_the_alarm_comes_thirty_days_before_the_end(ca: Authority, days: int, level: str | None) -> None:
    proof = ca.load("site1")
    alarm = proof.alarm(proof.not_after - days * credentials.DAY_S)
    assert (alarm and alarm[0]) == level


def test_a_revoked_certificate_of_our_own_is_an_alarm(ca: Authority) -> None:
    ca.revoke(ca.issue("site1"))
    alarm = ca.load("site1").alarm(0.0)
    assert alarm is not None and alarm[0] == "error" and "revoked" in alarm[1]


def config_of(ca: Authority, tmp_path: Path) -> Config:
    places = {
        "authority": ca.certificate,
        "certificate": ca.directory / "site1.pem",
        "key": ca.directory / "site1.key",
        "revoked": ca.revoked,
    }
    lines = "".join(f'{name} = "{path}"\n' for name, path in places.items())
    return configuration.load(written(tmp_path, CONFIG.partition("[tls]")[0] + "[tls]\n" + lines + BGP))


BGP = '[bgp]\nlease_socket = "/run/anycast-xsp/site1/lease.sock"\n'


def test_changed_files_are_used_once_they_rest_and_bad_ones_leave_the_old_in_force(
    ca: Authority, tmp_path: Path
) -> None:
    counters = Counters()
    files = CredentialFiles(config_of(ca, tmp_path), counters)
    assert files.now is not None and files.newer(asked=False) is None
    renewed = ca.issue("site1")
    assert files.newer(asked=False) is None  # they may be in the middle of being written
    loaded = files.newer(asked=False)
    assert loaded is not None and loaded is files.now and f"{loaded.serial:x}" == renewed.serial
    assert files.newer(asked=False) is None
    swap_key(ca)
    with structlog.testing.capture_logs() as said:
        assert [files.newer(asked=False) for _ in range(5)] == [None] * 5
    assert [line["log_level"] for line in said] == ["error"]
    assert counters.get("credentials_refused") == 1 and files.now is loaded
    ca.issue("site1")
    assert files.newer(asked=True) is not None


def test_the_alarm_is_said_once_a_day_and_stands_in_status_and_metrics(ca: Authority, tmp_path: Path) -> None:
    ca.issue("site1", days=12)
    files = CredentialFiles(config_of(ca, tmp_path), Counters())
    with structlog.testing.capture_logs() as said:
        for _ in range(3):
            assert "over in 11 days" in files.alarm()
    assert [line["log_level"] for line in said] == ["warning"]
    assert "issue-certificate site1" in said[0]["remedy"]
    status = files.status()
    assert (status["transport"], status["days_left"]) == ("tls", 11) and status["alarm"]
    gauges = {gauge.name: gauge.value for gauge in metrics.certificate(status)}
    assert gauges == {"certificate_days_left": 11, "certificate_alarm": True}
    ca.issue("site1")
    assert files.newer(asked=True) is not None
    assert files.alarm() == "" and files.status()["alarm"] == ""


def test_a_site_without_its_files_does_not_start_and_says_what_to_do(
    ca: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ca.directory / "site1.key").unlink()
    with pytest.raises(SystemExit):
        CredentialFiles(config_of(ca, tmp_path), Counters())
    said = capsys.readouterr().err
    assert "cannot prove its name" in said and "xsp site issue-certificate site1" in said


def test_a_key_that_became_unreadable_is_no_reason_to_stop(ca: Authority, tmp_path: Path) -> None:
    files = CredentialFiles(config_of(ca, tmp_path), Counters())
    ca.revoked.unlink()
    assert [files.newer(asked=False) for _ in range(3)] == [None] * 3 and files.now is not None
    os.utime(ca.certificate)
    assert datetime.datetime.fromisoformat(files.status()["not_after"]).tzinfo is not None
