"""Messages say what failed and stay short."""

from calico_ctl.errors import (
    DatastoreUnavailable,
    ExitCode,
    InvalidValue,
    PrivilegeRequired,
    shorten,
)


def test_an_invalid_value_names_the_thing_the_value_and_what_is_accepted():
    error = InvalidValue("AS number", "x", "a number")
    assert error.message == "invalid AS number 'x': expected a number"
    assert error.exit_code is ExitCode.FAILED


def test_an_unreachable_etcd_is_named_with_what_to_try():
    error = DatastoreUnavailable("10.0.0.1:4001", "connection refused")
    assert "10.0.0.1:4001" in error.message
    assert "ETCD_AUTHORITY" in error.hint


def test_a_long_value_is_cut_in_the_middle():
    shown = shorten("a" * 500 + "end")
    assert len(shown) <= 80
    assert shown.endswith("end'")


def test_missing_privilege_has_an_exit_code_of_its_own():
    assert PrivilegeRequired("no").exit_code == 2
