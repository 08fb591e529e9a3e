from calico_ctl.model import yaml_text


def test_keys_keep_their_order_and_lists_stand_below_their_key() -> None:
    shared = ["web", "80:90"]
    assert yaml_text.write({"z": shared, "a": {"b": shared}}) == (
        "z:\n  - web\n  - 80:90\na:\n  b:\n    - web\n    - 80:90\n"
    )
