from calico_ctl.host.clock import SystemClock


def test_time_goes_on_while_we_sleep_and_never_back() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01
